//! Answers: every pattern of every output rule as an automaton that the window steps, and where each can start.

use regex_syntax::hir::Hir;

use super::automaton::{Automaton, TooCostly};
use super::starts::Starts;
use super::validate::Validator;
use crate::types::Action;

/// The output side of a rule set.
#[derive(Debug)]
pub(super) struct OutputEngine {
    pub(super) patterns: Vec<OutputPattern>,
    pub(super) rules: Vec<OutputRule>,
    pub(super) starts: Starts,
    /// The rules that report a repeated prompt, by position among the output rules.
    pub(super) leaks: Vec<usize>,
}

/// One pattern of a rule.
#[derive(Debug)]
pub(super) struct OutputPattern {
    pub(super) automaton: Automaton,
    /// Its rule, by position among the output rules.
    pub(super) rule: usize,
    pub(super) kind: Kind,
}

/// What a pattern's candidates do to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// They hold it: their rules redact or block.
    pub(super) enforced: bool,
    /// They are judged when they end: their rules check the matched text.
    pub(super) judged: bool,
}

/// The output side of one rule.
#[derive(Debug)]
pub(super) struct OutputRule {
    /// Its position among all rules.
    pub(super) rule: usize,
    pub(super) action: Action,
    pub(super) validators: Vec<Validator>,
    /// What the matched text must not contain.
    pub(super) not: Vec<regex::bytes::Regex>,
}

impl OutputRule {
    /// What its patterns' candidates do.
    pub(super) fn kind(&self) -> Kind {
        let enforced = matches!(self.action, Action::Redact | Action::Block);
        Kind { enforced, judged: !self.validators.is_empty() || !self.not.is_empty() }
    }

    /// Whether every end of a match is worth a check.
    pub(super) fn tries_every_end(&self) -> bool {
        self.validators.iter().any(|validator| validator.is_checksum())
    }

    /// Whether matched text passes the rule's checks.
    pub(super) fn passes(&self, matched: &[u8]) -> bool {
        self.validators.iter().all(|validator| validator.passes(matched))
            && !self.not.iter().any(|not| not.is_match(matched))
    }
}

impl OutputEngine {
    /// Compiles `patterns`, each with the position of its output rule; the rules `leaks` report a repeated prompt.
    /// `limit` is for each pattern, in bytes.
    pub(super) fn new(
        rules: Vec<OutputRule>,
        patterns: &[(usize, Hir)],
        leaks: Vec<usize>,
        limit: usize,
    ) -> Result<Self, Refused> {
        let mut own = Vec::with_capacity(patterns.len());
        for (rule, hir) in patterns {
            let automaton = Automaton::build(hir, limit).map_err(|error| refused(error, *rule, limit))?;
            let kind = rules.get(*rule).map_or(Kind { enforced: true, judged: false }, OutputRule::kind);
            own.push(OutputPattern { automaton, rule: *rule, kind });
        }
        if u16::try_from(own.len()).is_err() {
            return Err(Refused { rule: None, message: "more than 65,535 patterns for answers".into() });
        }
        let starts = Starts::new(&own);
        Ok(Self { patterns: own, rules, starts, leaks })
    }

    /// Whether a repeated prompt must not leave.
    pub(super) fn holds_leaks(&self) -> bool {
        self.leaks.iter().filter_map(|rule| self.rules.get(*rule)).any(|rule| rule.kind().enforced)
    }

    /// The pattern with a number.
    pub(super) fn pattern(&self, number: u16) -> Option<&OutputPattern> {
        self.patterns.get(usize::from(number))
    }

    /// Bytes compiled.
    pub(super) fn memory(&self) -> usize {
        self.starts.memory() + self.patterns.iter().map(|own| own.automaton.memory()).sum::<usize>()
    }
}

/// Why the patterns could not be compiled, and which output rule is to blame.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) rule: Option<usize>,
    pub(super) message: String,
}

fn refused(error: TooCostly, rule: usize, limit: usize) -> Refused {
    let message = match error {
        TooCostly::Size => format!("too costly: its automaton needs more than {limit} bytes"),
        TooCostly::Other(message) => message,
    };
    Refused { rule: Some(rule), message }
}

//! The detection engine. Pure: no I/O, no clock, no await; the same text gives the same verdict.
//!
//! Rule files become one immutable [`RuleSet`]. Prompts go through [`RuleSet::scan`], span by span, and [`judge`] makes
//! the verdict. Answers go through a [`Window`] per channel.

mod automaton;
mod cases;
mod compile;
mod condition;
mod explain;
mod frequency;
mod input;
mod late;
mod literal;
mod load;
pub mod normalize;
mod output;
mod pattern;
mod place;
mod problem;
mod rule;
mod score;
mod single;
mod starts;
mod tables;
mod validate;
mod window;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::{Action, Evidence, Family, Finding, Role, RuleId, RuleSetHash, Severity, SpanIndex};

pub use explain::explain;
pub use problem::Problem;
pub use rule::{Budget, Directions, Examples, Override, Roles, Rule, Source};
pub use score::{Thresholds, judge};
pub use validate::Validator;
pub use window::{Released, Window, inspect_output};

/// Every rule in force, compiled. Immutable; share it in an `Arc`.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: Vec<Rule>,
    input: input::InputEngine,
    output: Arc<output::OutputEngine>,
    hash: RuleSetHash,
    stats: Stats,
}

/// What a rule set is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rules that look at prompts.
    pub input_rules: usize,
    /// Rules that look at answers.
    pub output_rules: usize,
    /// Patterns of all rules.
    pub patterns: usize,
    /// Automata of the output patterns.
    pub automata: usize,
    /// Bytes of everything compiled.
    pub bytes: u64,
    /// The most bytes a window can hold back.
    pub longest_hold: u64,
}

impl RuleSet {
    /// Compiles `sources`; a rule of a later source replaces one of the same id from an earlier source. Nothing or
    /// everything: with any problem there is no rule set, and every problem is told.
    pub fn compile(
        sources: &[Source],
        overrides: &BTreeMap<String, Override>,
        budget: &Budget,
    ) -> Result<Self, Vec<Problem>> {
        compile::compile(sources, overrides, budget)
    }

    /// Runs every rule's own examples; returns those that do not hold.
    pub fn self_test(&self) -> Vec<Problem> {
        cases::self_test(self)
    }

    /// What verdicts of this rule set are marked with.
    pub fn hash(&self) -> &RuleSetHash {
        &self.hash
    }

    /// What it is made of.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Its rules, by id.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What replaces a match of `rule` where it is redacted.
    pub fn mark(&self, rule: &RuleId) -> &str {
        self.rules.iter().find(|known| known.id == *rule).map_or("[REDACTED]", |rule| &rule.mark)
    }

    /// Appends what is found in one span of a prompt, in the text itself and in every reading of it that undoes a
    /// disguise. Evidence counts bytes of `text`. A rule that redacts gives a
    /// finding per match, any other at most one.
    pub fn scan(&self, span: SpanIndex, role: Role, text: &str, out: &mut Vec<Finding>) {
        let mut hits = self.input.scan(text.as_bytes(), role);
        let (folded, views) = normalize::readings(text, &normalize::Budget::default());
        for view in folded.iter().chain(&views.views) {
            for (rule, start, end) in self.input.scan(view.text.as_bytes(), role) {
                let (start, end) = view.original(start, end);
                let known = |(own, from, to): &(usize, usize, usize)| {
                    *own == rule && (*from < end && start < *to || self.rules.get(rule).is_some_and(reports_once))
                };
                if !hits.iter().any(known) {
                    hits.push((rule, start, end));
                }
            }
        }
        let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        if let Some(hidden) = views.hidden {
            out.push(hidden_text(Evidence { span, start: short(hidden.start), end: short(hidden.end) }));
        }
        for (rule, start, end) in hits {
            out.extend(self.finding(rule, Evidence { span, start: short(start), end: short(end) }));
        }
    }

    fn output(&self) -> &output::OutputEngine {
        &self.output
    }

    fn finding(&self, rule: usize, evidence: Evidence) -> Option<Finding> {
        let rule = self.rules.get(rule)?;
        Some(Finding {
            rule: rule.id.clone(),
            title: Arc::clone(&rule.title),
            family: rule.family,
            severity: rule.severity,
            score: rule.score,
            action: rule.action,
            threats: Arc::clone(&rule.threats),
            evidence,
        })
    }
}

/// Text in characters that show as nothing: no rule's pattern can say it, so it is a finding of its own.
fn hidden_text(evidence: Evidence) -> Finding {
    Finding {
        rule: RuleId("PC-ENC-9001".into()),
        title: "Text hidden in characters that show as nothing".into(),
        family: Family::Encoding,
        severity: Severity::High,
        score: 4,
        action: Action::Flag,
        threats: ["LLM01:2025", "LLM01:2026", "AML.T0068", "T1027"].map(Arc::from).into(),
        evidence,
    }
}

fn reports_once(rule: &Rule) -> bool {
    rule.action != Action::Redact
}

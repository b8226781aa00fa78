//! Answers: every pattern of every output rule, compiled into a few automata that the window steps.

use std::collections::HashMap;

use regex_syntax::hir::Hir;

use super::automaton::{Automaton, BEHIND_LEN, DEAD, TooCostly};
use super::validate::Validator;
use crate::types::Action;

/// Bytes one automaton may take: enough to share, small enough for the cache.
const GROUP_LIMIT: usize = 512 * 1024;
/// Groups are marked in one word.
const MAX_GROUPS: usize = 64;

/// The output side of a rule set.
#[derive(Debug)]
pub(super) struct OutputEngine {
    pub(super) groups: Vec<Group>,
    pub(super) rules: Vec<OutputRule>,
    /// The groups in which a match can start: a bit each, by `behind * 256 + byte`.
    spawn: Vec<u64>,
    pairs: Pairs,
}

/// The groups in which a match can start with a byte and go on with the next one. Most starts end there.
#[derive(Debug)]
struct Pairs {
    /// The row of a first byte, by `behind * 256 + byte`. Row 0 starts nothing.
    rows: Vec<u16>,
    /// The column of a second byte.
    columns: Box<[u8; 256]>,
    width: usize,
    table: Vec<u64>,
}

impl Pairs {
    fn new(groups: &[Group]) -> Self {
        let mut known: HashMap<Vec<u16>, u16> = HashMap::new();
        let mut starts: Vec<Vec<u16>> = Vec::new();
        let mut rows = Vec::with_capacity(BEHIND_LEN * 256);
        let mut row = |states: Vec<u16>| {
            let next = starts.len() as u16;
            *known.entry(states).or_insert_with_key(|states| {
                starts.push(states.clone());
                next
            })
        };
        row(vec![DEAD; groups.len()]);
        for behind in 0..BEHIND_LEN {
            for byte in 0..=u8::MAX {
                rows.push(row(groups.iter().map(|group| group.automaton.first(behind, byte)).collect()));
            }
        }
        let goes_on = |states: &Vec<u16>, byte: u8| {
            groups.iter().zip(states).enumerate().fold(0_u64, |bits, (at, (group, state))| {
                let next = group.automaton.next(*state, byte);
                let lives = *state != DEAD && (group.automaton.is_live(next) || group.automaton.is_match(next));
                bits | u64::from(lives) << at
            })
        };
        let mut distinct: Vec<Vec<u64>> = Vec::new();
        let mut columns = Box::new([0_u8; 256]);
        for (byte, column) in (0..=u8::MAX).zip(columns.iter_mut()) {
            let own: Vec<u64> = starts.iter().map(|states| goes_on(states, byte)).collect();
            let at = distinct.iter().position(|known| *known == own).unwrap_or_else(|| {
                distinct.push(own);
                distinct.len() - 1
            });
            *column = at as u8;
        }
        let width = distinct.len();
        let table =
            (0..starts.len()).flat_map(|row| distinct.iter().map(move |own| own.get(row).copied().unwrap_or(0)));
        let table = table.collect();
        Self { rows, columns, width, table }
    }

    fn get(&self, behind: usize, byte: u8, next: u8) -> u64 {
        match self.rows.get(behind * 256 + usize::from(byte)).copied().unwrap_or(0) {
            0 => 0,
            row => {
                let column = usize::from(self.columns.get(usize::from(next)).copied().unwrap_or(0));
                self.table.get(usize::from(row) * self.width + column).copied().unwrap_or(0)
            }
        }
    }

    fn memory(&self) -> usize {
        self.rows.len() * 2 + 256 + self.table.len() * 8
    }
}

/// Patterns stepped together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) automaton: Automaton,
    /// The rule of each pattern, by position among the output rules.
    pub(super) rules: Vec<u16>,
    pub(super) kind: Kind,
}

/// What a group's candidates do to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// How its patterns are grouped.
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

impl Group {
    /// The rules that match in `state`.
    pub(super) fn told(&self, state: u16) -> impl Iterator<Item = usize> + '_ {
        let patterns = self.automaton.patterns(state).iter();
        patterns.filter_map(|pattern| self.rules.get(usize::from(*pattern)).map(|rule| usize::from(*rule)))
    }
}

impl OutputEngine {
    /// Groups `patterns`, each with the position of its output rule. `limit` is for all of them, in bytes.
    pub(super) fn new(rules: Vec<OutputRule>, patterns: &[(usize, Hir)], limit: usize) -> Result<Self, Refused> {
        let mut groups = Vec::new();
        for kind in [(true, false), (true, true), (false, false), (false, true)] {
            let kind = Kind { enforced: kind.0, judged: kind.1 };
            let of_kind = |(rule, _): &&(usize, Hir)| rules.get(*rule).is_some_and(|rule| rule.kind() == kind);
            let mut own: Vec<&(usize, Hir)> = patterns.iter().filter(of_kind).collect();
            // Patterns that many texts can begin share an automaton badly with those that few can.
            own.sort_by_key(|(rule, hir)| (hir.properties().maximum_len().is_none(), breadth(hir), *rule));
            let mut together: Vec<&(usize, Hir)> = Vec::new();
            let mut bytes = 0;
            for pattern in own {
                let alone = Automaton::build(&[&pattern.1], limit).map_err(|error| refused(error, pattern.0, limit))?;
                let own = alone.table_bytes();
                if own > GROUP_LIMIT / 4 {
                    groups.push(Group { automaton: alone, rules: vec![number(pattern.0)], kind });
                    continue;
                }
                if bytes + own > GROUP_LIMIT / 2 {
                    group(&std::mem::take(&mut together), kind, limit, &mut groups)?;
                    bytes = 0;
                }
                bytes += own;
                together.push(pattern);
            }
            group(&together, kind, limit, &mut groups)?;
        }
        if groups.len() > MAX_GROUPS {
            let message = format!("the completion rules need {} automata; {MAX_GROUPS} are possible", groups.len());
            return Err(Refused { rule: None, message });
        }
        let mut spawn = Vec::with_capacity(BEHIND_LEN * 256);
        for behind in 0..BEHIND_LEN {
            for byte in 0..=u8::MAX {
                let bits = groups.iter().enumerate().fold(0_u64, |bits, (at, group): (usize, &Group)| {
                    bits | u64::from(group.automaton.first(behind, byte) != DEAD) << at
                });
                spawn.push(bits);
            }
        }
        let pairs = Pairs::new(&groups);
        Ok(Self { groups, rules, spawn, pairs })
    }

    /// The groups in which a match can start with `byte`, a bit each.
    pub(super) fn spawn(&self, behind: usize, byte: u8) -> u64 {
        self.spawn.get(behind * 256 + usize::from(byte)).copied().unwrap_or(0)
    }

    /// The groups in which a match can start with `byte` and go on with `next`, a bit each.
    pub(super) fn spawn_pair(&self, behind: usize, byte: u8, next: u8) -> u64 {
        self.pairs.get(behind, byte, next)
    }

    /// Bytes compiled.
    pub(super) fn memory(&self) -> usize {
        self.pairs.memory()
            + self.spawn.len() * 8
            + self.groups.iter().map(|group| group.automaton.memory()).sum::<usize>()
    }
}

/// Why the patterns could not be compiled, and which output rule is to blame.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) rule: Option<usize>,
    pub(super) message: String,
}

/// An output rule's position in 16 bits; what does not fit matches no rule.
fn number(rule: usize) -> u16 {
    u16::try_from(rule).unwrap_or(u16::MAX)
}

/// How many bytes a match can begin with.
fn breadth(hir: &Hir) -> usize {
    let mut extractor = regex_syntax::hir::literal::Extractor::new();
    extractor.limit_total(2_000).limit_literal_len(1);
    extractor.extract(hir).len().unwrap_or(256)
}

/// Compiles patterns together, or in halves where that is too large.
fn group(patterns: &[&(usize, Hir)], kind: Kind, limit: usize, groups: &mut Vec<Group>) -> Result<(), Refused> {
    if patterns.is_empty() {
        return Ok(());
    }
    let hirs: Vec<&Hir> = patterns.iter().map(|(_, hir)| hir).collect();
    let single = patterns.len() == 1;
    match Automaton::build(&hirs, if single { limit } else { GROUP_LIMIT.min(limit) }) {
        Ok(automaton) => {
            let rules = patterns.iter().map(|(rule, _)| number(*rule)).collect();
            groups.push(Group { automaton, rules, kind });
            Ok(())
        }
        Err(TooCostly::Size) if !single => {
            let (left, right) = patterns.split_at(patterns.len() / 2);
            group(left, kind, limit, groups)?;
            group(right, kind, limit, groups)
        }
        Err(error) => Err(refused(error, patterns.first().map_or(0, |(rule, _)| *rule), limit)),
    }
}

fn refused(error: TooCostly, rule: usize, limit: usize) -> Refused {
    let message = match error {
        TooCostly::Size => format!("too costly: its automaton needs more than {limit} bytes"),
        TooCostly::Other(message) => message,
    };
    Refused { rule: Some(rule), message }
}

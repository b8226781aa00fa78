//! Prompts: one pass for the literals of all rules; a pattern runs only where a literal of each of its sets is near.

use std::sync::{Arc, OnceLock};

use regex_automata::{Input, meta};

use super::condition::Condition;
use super::pattern::compile_lazily;
use super::rule::Roles;
use super::validate::Validator;
use super::words::{End, Words};
use crate::types::Role;

/// The input side of a rule set.
#[derive(Debug, Clone)]
pub(super) struct InputEngine {
    words: Option<Arc<Words>>,
    /// By literal: the sets it is in, and the patterns to look at when it occurs.
    literals: Vec<Literal>,
    /// How many sets there are.
    set_count: usize,
    /// What is looked at: the `sel_*` patterns that have sets.
    triggers: Vec<Trigger>,
    rules: Vec<InputRule>,
}

#[derive(Debug, Clone, Default)]
struct Literal {
    sets: Box<[u16]>,
    /// Positions of triggers whose rarest set it is in.
    triggers: Box<[u16]>,
}

/// A pattern that is looked at when a literal of its rarest set occurs.
#[derive(Debug, Clone)]
struct Trigger {
    /// Its rule, by position among the input rules.
    rule: u16,
    /// The sets of which a literal must be near, too.
    also: Box<[u16]>,
    /// Its longest match.
    reach: u32,
}

/// The input side of one rule.
#[derive(Debug, Clone)]
pub(super) struct InputRule {
    /// Its position among all rules.
    pub(super) rule: usize,
    pub(super) roles: Roles,
    pub(super) selections: Vec<Selection>,
    pub(super) condition: Condition,
    pub(super) validators: Vec<Validator>,
    /// Report every match, not only the first.
    pub(super) all: bool,
}

/// Patterns of which any may match.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) patterns: Vec<Pattern>,
    pub(super) negative: bool,
}

/// One pattern. It is proven to compile when the rules are loaded, and compiled to stay when a text first needs it: most
/// patterns of a large pack never run in a process, and would be most of its memory. For the same reason it is kept as
/// text, not parsed.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    source: Box<str>,
    limit: usize,
    regex: OnceLock<Option<meta::Regex>>,
    /// Bytes compiled.
    memory: usize,
    longest: usize,
    /// Sets of literals, rarest first: a match contains one of each. Without any, the whole text is searched.
    sets: Vec<u16>,
    /// Its trigger's position, where it has one.
    trigger: Option<u16>,
}

impl Pattern {
    /// A bounded pattern that compiles to at most `limit` bytes.
    pub(super) fn new(source: &str, longest: usize, sets: Vec<u16>, limit: usize) -> Result<Self, String> {
        let memory = compile_lazily(source, limit)?.memory_usage();
        Ok(Self { source: source.into(), limit, regex: OnceLock::new(), memory, longest, sets, trigger: None })
    }

    /// The compiled pattern. `None` cannot be: it compiled before.
    fn regex(&self) -> Option<&meta::Regex> {
        self.regex.get_or_init(|| compile_lazily(&self.source, self.limit).ok()).as_ref()
    }

    /// Bytes compiled.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

/// Where one rule matched: its position among all rules and the matches' ranges.
pub(super) type Hits = Vec<(usize, usize, usize)>;

impl InputEngine {
    /// Over the rules, and the sets of literals their patterns name by position.
    pub(super) fn new(mut rules: Vec<InputRule>, sets: &[Vec<String>]) -> Result<Self, String> {
        let mut texts: Vec<String> = sets.iter().flatten().cloned().collect();
        texts.sort_unstable();
        texts.dedup();
        let words = if texts.is_empty() { None } else { Some(Arc::new(Words::new(&texts)?)) };
        let mut sets_of: Vec<Vec<u16>> = vec![Vec::new(); texts.len()];
        let mut triggers_of: Vec<Vec<u16>> = vec![Vec::new(); texts.len()];
        let place = |text: &String| texts.binary_search(text).unwrap_or(usize::MAX);
        let short = |number: usize| u16::try_from(number).map_err(|_| "more than 65,535 of a kind".to_owned());
        for (nth, set) in sets.iter().enumerate() {
            let nth = short(nth)?;
            for text in set {
                sets_of.get_mut(place(text)).into_iter().for_each(|own| own.push(nth));
            }
        }
        let mut triggers: Vec<Trigger> = Vec::new();
        for (rule, own) in (0..).zip(&mut rules) {
            for pattern in own.selections.iter_mut().filter(|own| !own.negative).flat_map(|own| &mut own.patterns) {
                let Some((first, also)) = pattern.sets.split_first() else { continue };
                let nth = short(triggers.len())?;
                for text in sets.get(usize::from(*first)).into_iter().flatten() {
                    triggers_of.get_mut(place(text)).into_iter().for_each(|own| own.push(nth));
                }
                let reach = u32::try_from(pattern.longest).unwrap_or(u32::MAX);
                triggers.push(Trigger { rule: short(rule)?, also: also.into(), reach });
                pattern.trigger = Some(nth);
            }
        }
        let literal = |(sets, triggers): (Vec<u16>, Vec<u16>)| Literal { sets: sets.into(), triggers: triggers.into() };
        let literals = sets_of.into_iter().zip(triggers_of).map(literal).collect();
        Ok(Self { words, literals, set_count: sets.len(), triggers, rules })
    }

    /// Bytes compiled.
    pub(super) fn memory(&self) -> usize {
        let patterns = self.rules.iter().flat_map(|rule| &rule.selections).flat_map(|own| &own.patterns);
        self.words.as_ref().map_or(0, |words| words.memory()) + patterns.map(Pattern::memory).sum::<usize>()
    }

    /// Where rules for `role` match, by rule.
    pub(super) fn scan(&self, text: &[u8], role: Role) -> Hits {
        let mut found = Hits::new();
        let Some(words) = &self.words else { return found };
        let mut ends = Vec::new();
        words.find(text, &mut ends);
        if ends.is_empty() {
            return found;
        }
        let mut occurring = Bits::new(self.set_count);
        for (literal, _) in &ends {
            let sets = self.literals.get(usize::from(*literal)).map_or(&[][..], |own| &own.sets);
            sets.iter().for_each(|set| occurring.set(*set));
        }
        let mut windows = Windows { found: Vec::new(), last: vec![0; self.triggers.len()] };
        self.look(words, &ends, &occurring, &mut windows);
        let mut candidates = Bits::new(self.rules.len());
        let looked_at = windows.found.iter().filter_map(|(trigger, ..)| self.triggers.get(usize::from(*trigger)));
        looked_at.for_each(|trigger| candidates.set(trigger.rule));
        windows.found.sort_unstable();
        for rule in candidates.ones().filter_map(|at| self.rules.get(at)) {
            if rule.roles.contains(role) {
                rule.matches(text, &occurring, &windows, &mut found);
            }
        }
        found
    }

    /// Notes where each pattern can match: around a literal of its rarest set, where one of each other set is near.
    fn look(&self, words: &Words, ends: &[End], occurring: &Bits, windows: &mut Windows) {
        let literal = |at: u16| self.literals.get(usize::from(at));
        // Where a literal of each set was last seen to start, plus one.
        let mut last = vec![0_u32; self.set_count];
        let seen = |last: &[u32], set: u16| last.get(usize::from(set)).copied().unwrap_or(0);
        for (nth, (own, end)) in ends.iter().enumerate() {
            let Some(own_literal) = literal(*own) else { continue };
            let start = end.saturating_sub(words.length(*own));
            for set in &own_literal.sets {
                if let Some(slot) = last.get_mut(usize::from(*set)) {
                    *slot = start + 1;
                }
            }
            for at in &own_literal.triggers {
                let Some(trigger) = self.triggers.get(usize::from(*at)) else { continue };
                if !trigger.also.iter().all(|set| occurring.get(*set)) {
                    continue;
                }
                let (from, to) = (start.saturating_sub(trigger.reach), start.saturating_add(trigger.reach));
                if windows.extend(*at, start, to) {
                    continue;
                }
                let after = ends.get(nth..).unwrap_or_default();
                let near = |set: &u16| {
                    let behind = || {
                        let close = after.iter().take_while(|(_, end)| *end <= to);
                        close.filter_map(|(other, _)| literal(*other)).any(|other| other.sets.contains(set))
                    };
                    seen(&last, *set) > from || behind()
                };
                if trigger.also.iter().all(near) {
                    windows.push(*at, from, to);
                }
            }
        }
    }
}

/// Where patterns can match: trigger, first byte, one past the last.
struct Windows {
    found: Vec<(u16, u32, u32)>,
    /// By trigger: its last window's position, plus one.
    last: Vec<u32>,
}

impl Windows {
    /// Lengthens the pattern's last window to `to` if `start` is in it.
    fn extend(&mut self, trigger: u16, start: u32, to: u32) -> bool {
        let last = self.last.get(usize::from(trigger)).and_then(|last| last.checked_sub(1));
        match last.and_then(|last| self.found.get_mut(last as usize)) {
            Some((_, _, end)) if start < *end => {
                *end = to.max(*end);
                true
            }
            Some(_) | None => false,
        }
    }

    fn push(&mut self, trigger: u16, from: u32, to: u32) {
        self.found.push((trigger, from, to));
        if let Some(last) = self.last.get_mut(usize::from(trigger)) {
            *last = self.found.len() as u32;
        }
    }

    /// One pattern's windows, overlapping ones joined.
    fn of(&self, trigger: u16, len: usize) -> Vec<(usize, usize)> {
        let first = self.found.partition_point(|(own, ..)| *own < trigger);
        let own = self.found.get(first..).unwrap_or_default().iter().take_while(|(own, ..)| *own == trigger);
        let mut joined: Vec<(usize, usize)> = Vec::new();
        for (_, from, to) in own {
            let (from, to) = (*from as usize, (*to as usize).min(len));
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                Some(_) | None => joined.push((from, to)),
            }
        }
        joined
    }
}

/// A set of small numbers.
struct Bits(Vec<u64>);

impl Bits {
    fn new(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)])
    }

    fn set(&mut self, bit: u16) {
        if let Some(word) = self.0.get_mut(usize::from(bit / 64)) {
            *word |= 1 << (bit % 64);
        }
    }

    fn get(&self, bit: u16) -> bool {
        self.0.get(usize::from(bit / 64)).is_some_and(|word| word >> (bit % 64) & 1 != 0)
    }

    fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(nth, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(nth * 64 + bit)
            })
        })
    }
}

impl InputRule {
    /// Appends where this rule matches.
    fn matches(&self, text: &[u8], occurring: &Bits, windows: &Windows, found: &mut Hits) {
        let known = vec![None; self.selections.len()];
        let mut evaluation = Evaluation { rule: self, text, occurring, windows, known, first: None };
        if !evaluation.holds(&self.condition) {
            return;
        }
        if !self.all {
            found.extend(evaluation.first.map(|(start, end)| (self.rule, start, end)));
            return;
        }
        let mut every: Vec<(usize, usize)> = Vec::new();
        for selection in self.selections.iter().filter(|selection| !selection.negative) {
            self.find(selection, text, occurring, windows, &mut |start, end| {
                every.push((start, end));
                false
            });
        }
        every.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (start, end) in every {
            match merged.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                Some(_) | None => merged.push((start, end)),
            }
        }
        found.extend(merged.into_iter().map(|(start, end)| (self.rule, start, end)));
    }

    /// Tells `visit` matches of `selection` that pass the checks, until it says stop.
    fn find(
        &self,
        selection: &Selection,
        text: &[u8],
        occurring: &Bits,
        windows: &Windows,
        visit: &mut dyn FnMut(usize, usize) -> bool,
    ) {
        for pattern in &selection.patterns {
            if !pattern.sets.iter().all(|set| occurring.get(*set)) {
                continue;
            }
            let around = pattern.trigger.map_or_else(|| vec![(0, text.len())], |own| windows.of(own, text.len()));
            let Some(regex) = (if around.is_empty() { None } else { pattern.regex() }) else { continue };
            for (mut from, end) in around {
                while from < end {
                    let Some(found) = regex.search(&Input::new(text).span(from..end)) else { break };
                    let matched = text.get(found.range()).unwrap_or_default();
                    let passes =
                        selection.negative || self.validators.iter().all(|validator| validator.passes(matched));
                    if passes && visit(found.start(), found.end()) {
                        return;
                    }
                    from = if passes { found.end().max(found.start() + 1) } else { found.start() + 1 };
                }
            }
        }
    }
}

/// A condition being evaluated: each selection is searched for once, when it is needed.
struct Evaluation<'a> {
    rule: &'a InputRule,
    text: &'a [u8],
    occurring: &'a Bits,
    windows: &'a Windows,
    known: Vec<Option<bool>>,
    /// The match of the first `sel_*` that held.
    first: Option<(usize, usize)>,
}

impl Evaluation<'_> {
    fn holds(&mut self, condition: &Condition) -> bool {
        match condition {
            Condition::Selection(at) => self.selected(*at),
            Condition::And(parts) => parts.iter().all(|part| self.holds(part)),
            Condition::Or(parts) => parts.iter().any(|part| self.holds(part)),
            Condition::Not(part) => !self.holds(part),
        }
    }

    fn selected(&mut self, at: usize) -> bool {
        if let Some(known) = self.known.get(at).copied().flatten() {
            return known;
        }
        let Some(selection) = self.rule.selections.get(at) else { return false };
        let mut found = None;
        self.rule.find(selection, self.text, self.occurring, self.windows, &mut |start, end| {
            found = Some((start, end));
            true
        });
        if !selection.negative {
            self.first = self.first.or(found);
        }
        if let Some(slot) = self.known.get_mut(at) {
            *slot = Some(found.is_some());
        }
        found.is_some()
    }
}

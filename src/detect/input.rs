//! Prompts: one pass for the literals of all rules; a pattern runs only where a literal of each of its sets is near.

use std::sync::{Arc, OnceLock};

use regex_automata::util::syntax;
use regex_automata::{Input, meta};
use regex_syntax::hir::Hir;

use super::condition::Condition;
use super::rule::Roles;
use super::validate::Validator;
use super::words::{End, Words};
use crate::types::Role;

/// Bytes the lazy automaton of one pattern may grow to, per thread that runs it.
const LAZY_CACHE: usize = 128 * 1024;

/// The input side of a rule set.
#[derive(Debug, Clone)]
pub(super) struct InputEngine {
    words: Option<Arc<Words>>,
    /// The sets each literal is in, sorted.
    sets: Vec<Box<[u16]>>,
    /// How many sets there are.
    set_count: usize,
    /// By set: the rules to look at when it occurs, each with the sets that must occur too.
    triggers: Vec<Vec<Trigger>>,
    rules: Vec<InputRule>,
}

/// A reason to look at a rule.
#[derive(Debug, Clone)]
struct Trigger {
    rule: u16,
    also: Box<[u16]>,
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
/// patterns of a large pack never run in a process, and would be most of its memory.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    hir: Hir,
    limit: usize,
    regex: OnceLock<Option<meta::Regex>>,
    /// Bytes compiled.
    memory: usize,
    longest: usize,
    /// Sets of literals: a match contains one of each. Without any, the whole text is searched.
    sets: Vec<u16>,
}

impl Pattern {
    /// A bounded pattern that compiles to at most `limit` bytes.
    pub(super) fn new(hir: &Hir, longest: usize, sets: Vec<u16>, limit: usize) -> Result<Self, String> {
        let memory = compile(hir, limit)?.memory_usage();
        Ok(Self { hir: hir.clone(), limit, regex: OnceLock::new(), memory, longest, sets })
    }

    /// The compiled pattern. `None` cannot be: it compiled before.
    fn regex(&self) -> Option<&meta::Regex> {
        self.regex.get_or_init(|| compile(&self.hir, self.limit).ok()).as_ref()
    }

    /// Bytes compiled.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Where a match can be: around each literal of the set that occurs least, if one of every other is near.
    fn windows(&self, text: &[u8], words: &Occurrences<'_>) -> Vec<(usize, usize)> {
        let mut places: Vec<Vec<u32>> = self.sets.iter().map(|set| words.of_set(*set)).collect();
        places.sort_by_key(Vec::len);
        let Some((anchors, others)) = places.split_first() else { return vec![(0, text.len())] };
        let reach = u32::try_from(self.longest).unwrap_or(u32::MAX);
        let near = |others: &Vec<u32>, anchor: u32| {
            let from = others.partition_point(|other| *other < anchor.saturating_sub(reach));
            others.get(from).is_some_and(|other| *other <= anchor.saturating_add(reach))
        };
        let mut joined: Vec<(usize, usize)> = Vec::new();
        for anchor in anchors.iter().filter(|anchor| others.iter().all(|others| near(others, **anchor))) {
            let (start, end) = (anchor.saturating_sub(reach) as usize, anchor.saturating_add(reach) as usize);
            let end = end.min(text.len());
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                Some(_) | None => joined.push((start, end)),
            }
        }
        joined
    }
}

fn compile(hir: &Hir, limit: usize) -> Result<meta::Regex, String> {
    let config = meta::Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(limit))
        .hybrid_cache_capacity(LAZY_CACHE)
        .dfa(false)
        .onepass(false)
        .which_captures(regex_automata::nfa::thompson::WhichCaptures::Implicit);
    meta::Builder::new()
        .configure(config)
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build_from_hir(hir)
        .map_err(|error| match error.size_limit() {
            Some(limit) => format!("too costly: more than {limit} bytes compiled"),
            None => error.to_string(),
        })
}

/// Where one rule matched: its position among all rules and the matches' ranges.
pub(super) type Hits = Vec<(usize, usize, usize)>;

impl InputEngine {
    /// Over the rules, and the sets of literals their patterns name by position.
    pub(super) fn new(rules: Vec<InputRule>, sets: &[Vec<String>]) -> Result<Self, String> {
        let mut literals: Vec<String> = sets.iter().flatten().cloned().collect();
        literals.sort_unstable();
        literals.dedup();
        let words = if literals.is_empty() { None } else { Some(Arc::new(Words::new(&literals)?)) };
        let mut of_literal: Vec<Vec<u16>> = vec![Vec::new(); literals.len()];
        for (nth, set) in sets.iter().enumerate() {
            let nth = u16::try_from(nth).map_err(|_| "more than 65,535 sets of literals".to_owned())?;
            for literal in set {
                let own = literals.binary_search(literal).ok().and_then(|at| of_literal.get_mut(at));
                own.into_iter().for_each(|own| own.push(nth));
            }
        }
        let mut triggers: Vec<Vec<Trigger>> = Vec::new();
        triggers.resize_with(sets.len(), Vec::new);
        for (at, rule) in rules.iter().enumerate() {
            let at = u16::try_from(at).map_err(|_| "more than 65,535 rules".to_owned())?;
            for pattern in rule.selections.iter().filter(|own| !own.negative).flat_map(|own| &own.patterns) {
                let Some((first, also)) = pattern.sets.split_first() else { continue };
                if let Some(own) = triggers.get_mut(usize::from(*first)) {
                    own.push(Trigger { rule: at, also: also.into() });
                }
            }
        }
        let sets_of = of_literal.into_iter().map(Into::into).collect();
        Ok(Self { words, sets: sets_of, set_count: sets.len(), triggers, rules })
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
            self.sets.get(usize::from(*literal)).into_iter().flatten().for_each(|set| occurring.set(*set));
        }
        let mut candidates = Bits::new(self.rules.len());
        for trigger in occurring.ones().filter_map(|set| self.triggers.get(set)).flatten() {
            if trigger.also.iter().all(|set| occurring.get(*set)) {
                candidates.set(trigger.rule);
            }
        }
        let occurrences = Occurrences { words, sets: &self.sets, ends: &ends, occurring: &occurring };
        for rule in candidates.ones().filter_map(|at| self.rules.get(at)) {
            if rule.roles.contains(role) {
                rule.matches(text, &occurrences, &mut found);
            }
        }
        found
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

/// The literals found in a text.
struct Occurrences<'a> {
    words: &'a Words,
    sets: &'a [Box<[u16]>],
    ends: &'a [End],
    occurring: &'a Bits,
}

impl Occurrences<'_> {
    /// Where literals of a set start, in order.
    fn of_set(&self, set: u16) -> Vec<u32> {
        let within = |literal: u16| self.sets.get(usize::from(literal)).is_some_and(|sets| sets.contains(&set));
        let mut starts: Vec<u32> = self
            .ends
            .iter()
            .filter(|(literal, _)| within(*literal))
            .map(|(literal, end)| end.saturating_sub(self.words.length(*literal)))
            .collect();
        starts.sort_unstable();
        starts
    }
}

impl InputRule {
    /// Appends where this rule matches.
    fn matches(&self, text: &[u8], words: &Occurrences<'_>, found: &mut Hits) {
        let mut evaluation = Evaluation { rule: self, text, words, known: vec![None; self.selections.len()], first: None };
        if !evaluation.holds(&self.condition) {
            return;
        }
        if !self.all {
            found.extend(evaluation.first.map(|(start, end)| (self.rule, start, end)));
            return;
        }
        let mut every: Vec<(usize, usize)> = Vec::new();
        for selection in self.selections.iter().filter(|selection| !selection.negative) {
            self.find(selection, text, words, &mut |start, end| {
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
        words: &Occurrences<'_>,
        visit: &mut dyn FnMut(usize, usize) -> bool,
    ) {
        for pattern in &selection.patterns {
            if !pattern.sets.iter().all(|set| words.occurring.get(*set)) {
                continue;
            }
            let windows = pattern.windows(text, words);
            let Some(regex) = (if windows.is_empty() { None } else { pattern.regex() }) else { continue };
            for (mut from, end) in windows {
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
    words: &'a Occurrences<'a>,
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
        self.rule.find(selection, self.text, self.words, &mut |start, end| {
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

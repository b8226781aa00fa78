//! Prompts: one pass for the literals of all rules; a pattern runs only where a literal of each of its sets is near.

use std::sync::{Arc, OnceLock};

use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::Hir;

use super::condition::Condition;
use super::literal::{FEW_STARTS, rare_bytes};
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
    /// The sets of which a literal must be near, too; 32 at most.
    also: Box<[Near]>,
    /// How far before the literal a match can start, at least and at most.
    least: u32,
    most: u32,
}

/// A set of which a literal starts so many bytes from another: negative before it.
#[derive(Debug, Clone)]
struct Near {
    set: u16,
    least: i64,
    most: i64,
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
    /// The bytes a match can begin with.
    first: Box<[bool; 256]>,
    /// Bytes of which a match contains one.
    rare: Option<Box<[bool; 256]>>,
    /// A match is by one of these. Without any, the whole text is searched.
    ways: Vec<Way>,
    /// Its triggers' positions, one for each way.
    triggers: Vec<u16>,
}

/// A way to match.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// A match contains a literal of each; the first is the one to start from.
    pub(super) sets: Vec<Placed>,
}

/// A set of literals, and how many bytes after the start of a match one of them starts.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) set: u16,
    pub(super) least: usize,
    pub(super) most: usize,
}

impl Pattern {
    /// A bounded pattern that compiles to at most `limit` bytes.
    pub(super) fn new(source: &str, hir: &Hir, longest: usize, ways: Vec<Way>, limit: usize) -> Result<Self, String> {
        Ok(Self {
            source: source.into(),
            limit,
            regex: OnceLock::new(),
            memory: compile_lazily(source, limit)?.memory_usage(),
            longest,
            first: Box::new(first_bytes(hir)),
            rare: rare_bytes(hir).map(Box::new),
            ways,
            triggers: Vec::new(),
        })
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
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut triggers: Vec<Trigger> = Vec::new();
        for (rule, own) in (0..).zip(&mut rules) {
            for pattern in own.selections.iter_mut().filter(|own| !own.negative).flat_map(|own| &mut own.patterns) {
                for way in &pattern.ways {
                    let Some((first, also)) = way.sets.split_first() else { continue };
                    let nth = short(triggers.len())?;
                    for text in sets.get(usize::from(first.set)).into_iter().flatten() {
                        triggers_of.get_mut(place(text)).into_iter().for_each(|own| own.push(nth));
                    }
                    let near = |placed: &Placed| Near {
                        set: placed.set,
                        least: i64::from(length(placed.least)) - i64::from(length(first.most)),
                        most: i64::from(length(placed.most)) - i64::from(length(first.least)),
                    };
                    let also = also.iter().map(near).collect();
                    let (least, most) = (length(first.least), length(first.most));
                    triggers.push(Trigger { rule: short(rule)?, also, least, most });
                    pattern.triggers.push(nth);
                }
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
        let mut blocks = Blocks::new(self.set_count, text.len());
        for (literal, end) in &ends {
            let start = end.saturating_sub(words.length(*literal));
            for set in self.literals.get(usize::from(*literal)).map_or(&[][..], |own| &own.sets) {
                occurring.set(*set);
                blocks.set(start, *set);
            }
        }
        let mut windows = Windows { found: Vec::new(), last: vec![0; self.triggers.len()] };
        self.look(words, &ends, &occurring, &blocks, &mut windows);
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

    /// Notes where each pattern can start: before a literal of its first set, where one of each other set is in place.
    fn look(&self, words: &Words, ends: &[End], occurring: &Bits, blocks: &Blocks, windows: &mut Windows) {
        for (nth, (own, end)) in ends.iter().enumerate() {
            let Some(literal) = self.literals.get(usize::from(*own)) else { continue };
            for at in &literal.triggers {
                let Some(trigger) = self.triggers.get(usize::from(*at)) else { continue };
                if !trigger.also.iter().all(|near| occurring.get(near.set)) {
                    continue;
                }
                let start = end.saturating_sub(words.length(*own));
                let starts = (start.saturating_sub(trigger.most), start.saturating_sub(trigger.least));
                let about =
                    |near: &Near| blocks.any(i64::from(start) + near.least, i64::from(start) + near.most, near.set);
                if !trigger.also.iter().all(about) {
                    continue;
                }
                if !windows.extend(*at, starts) && self.in_place(words, ends, nth, start, &trigger.also) {
                    windows.push(*at, starts);
                }
            }
        }
    }

    /// Whether a literal of each set starts where it must, seen from the literal `nth`, which starts at `start`.
    fn in_place(&self, words: &Words, ends: &[End], nth: usize, start: u32, also: &[Near]) -> bool {
        let (mut missing, start) = ((1_u64 << also.len().min(32)) - 1, i64::from(start));
        if missing == 0 {
            return true;
        }
        let (first, last) =
            also.iter().fold((0, 0), |(first, last), near| (near.least.min(first), near.most.max(last)));
        let mut visit = |(other, end): &End| {
            let Some(literal) = self.literals.get(usize::from(*other)) else { return false };
            let at = i64::from(end.saturating_sub(words.length(*other))) - start;
            for (bit, near) in also.iter().enumerate().take(32) {
                if (near.least..=near.most).contains(&at) && literal.sets.contains(&near.set) {
                    missing &= !(1 << bit);
                }
            }
            missing == 0
        };
        let (before, from) = ends.split_at_checked(nth).unwrap_or_default();
        // A literal that starts in reach ends behind its first byte, and not further than the longest is long.
        let behind = i64::try_from(words.longest()).unwrap_or(i64::MAX);
        before.iter().rev().take_while(|(_, end)| i64::from(*end) > start + first).any(&mut visit)
            || from.iter().take_while(|(_, end)| i64::from(*end) <= start + last + behind).any(visit)
    }
}

/// Where matches can start: trigger, first and last such byte.
struct Windows {
    found: Vec<(u16, u32, u32)>,
    /// By trigger: its last entry's position, plus one.
    last: Vec<u32>,
}

impl Windows {
    /// Lengthens the trigger's last range by one that overlaps it.
    fn extend(&mut self, trigger: u16, (first, last): (u32, u32)) -> bool {
        let latest = self.last.get(usize::from(trigger)).and_then(|latest| latest.checked_sub(1));
        match latest.and_then(|latest| self.found.get_mut(latest as usize)) {
            Some((_, start, end)) if first <= *end && *start <= last => {
                *start = first.min(*start);
                *end = last.max(*end);
                true
            }
            Some(_) | None => false,
        }
    }

    fn push(&mut self, trigger: u16, (first, last): (u32, u32)) {
        self.found.push((trigger, first, last));
        if let Some(latest) = self.last.get_mut(usize::from(trigger)) {
            *latest = self.found.len() as u32;
        }
    }

    /// The ranges of some triggers, sorted, overlapping ones joined.
    fn of(&self, triggers: &[u16]) -> Vec<(usize, usize)> {
        let mut all: Vec<(usize, usize)> = Vec::new();
        for trigger in triggers {
            let first = self.found.partition_point(|(own, ..)| own < trigger);
            let own = self.found.get(first..).unwrap_or_default().iter().take_while(|(own, ..)| own == trigger);
            all.extend(own.map(|(_, first, last)| (*first as usize, *last as usize)));
        }
        all.sort_unstable();
        let mut joined: Vec<(usize, usize)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match joined.last_mut() {
                Some(known) if first <= known.1 => known.1 = known.1.max(last),
                Some(_) | None => joined.push((first, last)),
            }
        }
        joined
    }
}

/// Which sets occur in each short piece of a text.
struct Blocks {
    words: usize,
    bits: Vec<u64>,
}

impl Blocks {
    /// Bytes of a piece, as a power of two.
    const SHIFT: u32 = 7;

    fn new(sets: usize, len: usize) -> Self {
        let words = sets.div_ceil(64);
        Self { words, bits: vec![0; ((len >> Self::SHIFT) + 1) * words] }
    }

    fn set(&mut self, at: u32, set: u16) {
        let word = (at >> Self::SHIFT) as usize * self.words + usize::from(set / 64);
        if let Some(word) = self.bits.get_mut(word) {
            *word |= 1 << (set % 64);
        }
    }

    /// Whether the set occurs in a piece that the range touches.
    fn any(&self, first: i64, last: i64, set: u16) -> bool {
        let block = |at: i64| usize::try_from(at.max(0) >> Self::SHIFT).unwrap_or(usize::MAX);
        let pieces = self.bits.len().checked_div(self.words).unwrap_or(0);
        let mut range = block(first)..=block(last).min(pieces.saturating_sub(1));
        let word = |block: usize| self.bits.get(block * self.words + usize::from(set / 64)).copied().unwrap_or(0);
        range.any(|block| word(block) >> (set % 64) & 1 != 0)
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
        let passes = |start: usize, end: usize| {
            let matched = text.get(start..end).unwrap_or_default();
            selection.negative || self.validators.iter().all(|validator| validator.passes(matched))
        };
        for pattern in &selection.patterns {
            let occurs = |way: &Way| way.sets.iter().all(|placed| occurring.get(placed.set));
            if !pattern.ways.is_empty() && !pattern.ways.iter().any(occurs) {
                continue;
            }
            let starts = match pattern.triggers.as_slice() {
                [] => vec![(0, text.len())],
                triggers => windows.of(triggers),
            };
            for (first, last) in starts {
                let stopped = if last - first <= FEW_STARTS {
                    pattern.at_starts(text, first..=last, &passes, visit)
                } else {
                    pattern.in_range(text, first..last.saturating_add(pattern.longest).min(text.len()), &passes, visit)
                };
                if stopped {
                    return;
                }
            }
        }
    }
}

impl Pattern {
    /// Tries single starts: most end after a few bytes. True when `visit` says stop.
    fn at_starts(
        &self,
        text: &[u8],
        starts: std::ops::RangeInclusive<usize>,
        passes: &dyn Fn(usize, usize) -> bool,
        visit: &mut dyn FnMut(usize, usize) -> bool,
    ) -> bool {
        let Some(regex) = self.regex() else { return false };
        for start in starts {
            let end = start.saturating_add(self.longest).min(text.len());
            if start >= end
                || !self.first.get(usize::from(text.get(start).copied().unwrap_or(0))).is_some_and(|own| *own)
            {
                continue;
            }
            let input = Input::new(text).span(start..end).anchored(Anchored::Yes);
            let Some(found) = regex.search_half(&input) else { continue };
            if passes(start, found.offset()) && visit(start, found.offset()) {
                return true;
            }
        }
        false
    }

    /// Searches a part of the text. True when `visit` says stop.
    fn in_range(
        &self,
        text: &[u8],
        range: std::ops::Range<usize>,
        passes: &dyn Fn(usize, usize) -> bool,
        visit: &mut dyn FnMut(usize, usize) -> bool,
    ) -> bool {
        let mut from = range.start;
        let part = text.get(range.clone()).unwrap_or_default();
        let contains =
            |rare: &[bool; 256]| part.iter().any(|byte| rare.get(usize::from(*byte)).is_some_and(|own| *own));
        if self.rare.as_ref().is_some_and(|rare| !contains(rare)) {
            return false;
        }
        let Some(regex) = self.regex() else { return false };
        while from < range.end {
            let Some(found) = regex.search(&Input::new(text).span(from..range.end)) else { break };
            let passed = passes(found.start(), found.end());
            if passed && visit(found.start(), found.end()) {
                return true;
            }
            from = if passed { found.end().max(found.start() + 1) } else { found.start() + 1 };
        }
        false
    }
}

/// The bytes a match can begin with.
fn first_bytes(hir: &Hir) -> [bool; 256] {
    let mut extractor = regex_syntax::hir::literal::Extractor::new();
    extractor.kind(regex_syntax::hir::literal::ExtractKind::Prefix).limit_total(2_000).limit_literal_len(1);
    let mut first = [false; 256];
    let seq = extractor.extract(hir);
    let Some(literals) = seq.literals() else { return [true; 256] };
    for literal in literals {
        match literal.as_bytes().first().and_then(|byte| first.get_mut(usize::from(*byte))) {
            Some(slot) => *slot = true,
            None => return [true; 256],
        }
    }
    first
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

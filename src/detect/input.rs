//! Prompts: one pass for the literals of all rules, then only the rules whose literals occur, and only around them.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::Hir;

use super::condition::Condition;
use super::pattern::Coverage;
use super::rule::Roles;
use super::validate::Validator;
use crate::types::Role;

/// Below this many bytes one lane is quicker than four.
const LANES_FROM: usize = 512;
/// A literal that occurs more often than once in so many bytes is searched around in one go.
const DENSE: usize = 64;
/// Bytes the lazy automaton of one selection may grow to, per thread that runs it.
const LAZY_CACHE: usize = 256 * 1024;

/// The input side of a rule set.
#[derive(Debug)]
pub(super) struct InputEngine {
    pub(super) literals: Option<DFA>,
    /// The longest literal.
    longest: usize,
    /// The rules of each literal.
    users: Vec<Box<[u16]>>,
    pub(super) rules: Vec<InputRule>,
}

/// The input side of one rule.
#[derive(Debug)]
pub(super) struct InputRule {
    /// Its position among all rules.
    pub(super) rule: usize,
    pub(super) roles: Roles,
    pub(super) selections: Vec<Selection>,
    pub(super) condition: Condition,
    /// Its literals, by position among all literals, in the order `Selection::coverage` has them.
    pub(super) literals: Vec<usize>,
    pub(super) validators: Vec<Validator>,
    /// Report every match, not only the first.
    pub(super) all: bool,
}

/// Patterns of which any may match.
#[derive(Debug)]
pub(super) struct Selection {
    regex: meta::Regex,
    longest: usize,
    coverage: Coverage,
    negative: bool,
    first: Box<[bool; 256]>,
}

impl Selection {
    /// Compiles bounded patterns. `limit` is in bytes.
    pub(super) fn new(
        hirs: &[Hir],
        longest: usize,
        coverage: Coverage,
        negative: bool,
        limit: usize,
    ) -> Result<Self, String> {
        let config = meta::Config::new()
            .utf8_empty(false)
            .nfa_size_limit(Some(limit))
            .hybrid_cache_capacity(LAZY_CACHE)
            .dfa(false)
            .onepass(false)
            .which_captures(regex_automata::nfa::thompson::WhichCaptures::Implicit);
        let regex = meta::Builder::new()
            .configure(config)
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .build_many_from_hir(hirs)
            .map_err(|error| match error.size_limit() {
                Some(limit) => format!("too costly: more than {limit} bytes compiled"),
                None => error.to_string(),
            })?;
        Ok(Self { regex, longest, coverage, negative, first: Box::new(first_bytes(hirs)) })
    }

    /// Bytes compiled.
    pub(super) fn memory(&self) -> usize {
        self.regex.memory_usage() + 256
    }
}

/// The bytes a match can begin with.
fn first_bytes(hirs: &[Hir]) -> [bool; 256] {
    let mut extractor = regex_syntax::hir::literal::Extractor::new();
    extractor.kind(regex_syntax::hir::literal::ExtractKind::Prefix).limit_total(2_000).limit_literal_len(1);
    let mut first = [false; 256];
    for hir in hirs {
        let seq = extractor.extract(hir);
        let Some(literals) = seq.literals() else { return [true; 256] };
        for literal in literals {
            match literal.as_bytes().first().and_then(|byte| first.get_mut(usize::from(*byte))) {
                Some(slot) => *slot = true,
                None => return [true; 256],
            }
        }
    }
    first
}

/// Where one rule matched: its position among all rules and the matches' ranges.
pub(super) type Hits = Vec<(usize, usize, usize)>;

impl InputEngine {
    /// Over the rules and all their literals, without repetition.
    pub(super) fn new(rules: Vec<InputRule>, literals: &[String]) -> Result<Self, String> {
        let mut users: Vec<Vec<u16>> = vec![Vec::new(); literals.len()];
        for (at, rule) in rules.iter().enumerate() {
            let at = u16::try_from(at).map_err(|_| "more than 65,535 rules".to_owned())?;
            for literal in &rule.literals {
                if let Some(list) = users.get_mut(*literal) {
                    list.push(at);
                }
            }
        }
        let automaton = if literals.is_empty() {
            None
        } else {
            let built = DFA::builder()
                .ascii_case_insensitive(true)
                .start_kind(aho_corasick::StartKind::Unanchored)
                .prefilter(false)
                .build(literals);
            Some(built.map_err(|error| error.to_string())?)
        };
        let longest = literals.iter().map(String::len).max().unwrap_or(0);
        Ok(Self { literals: automaton, longest, users: users.into_iter().map(Into::into).collect(), rules })
    }

    /// Bytes compiled.
    pub(super) fn memory(&self) -> usize {
        let literals = self.literals.as_ref().map_or(0, aho_corasick::automaton::Automaton::memory_usage);
        literals + self.rules.iter().flat_map(|rule| &rule.selections).map(Selection::memory).sum::<usize>()
    }

    /// Where rules for `role` match, by rule.
    pub(super) fn scan(&self, text: &[u8], role: Role) -> Hits {
        let mut found = Hits::new();
        let Some(places) = self.places(text) else { return found };
        let mut candidates = vec![false; self.rules.len()];
        for (users, _) in self.users.iter().zip(&places).filter(|(_, places)| !places.is_empty()) {
            for user in users {
                if let Some(slot) = candidates.get_mut(usize::from(*user)) {
                    *slot = true;
                }
            }
        }
        for (rule, _) in self.rules.iter().zip(&candidates).filter(|(_, candidate)| **candidate) {
            if rule.roles.contains(role) {
                rule.matches(text, &places, &mut found);
            }
        }
        found
    }

    /// Where each literal starts; `None` when there is none.
    fn places(&self, text: &[u8]) -> Option<Vec<Vec<u32>>> {
        let automaton = self.literals.as_ref()?;
        let mut ends: Vec<(u32, u32)> = Vec::new();
        lanes(automaton, text, self.longest, &mut ends);
        if ends.is_empty() {
            return None;
        }
        let mut places: Vec<Vec<u32>> = vec![Vec::new(); self.users.len()];
        for (literal, end) in ends {
            let literal = literal as usize;
            let length = automaton.pattern_len(aho_corasick::PatternID::must(literal));
            if let Some(list) = places.get_mut(literal) {
                let start = end.saturating_sub(length as u32);
                // Lanes overlap: what ends in an overlap is seen twice.
                if list.last() != Some(&start) {
                    list.push(start);
                }
            }
        }
        Some(places)
    }
}

/// Steps the literals' automaton over `text` in four lanes side by side, as each step waits for the one before.
fn lanes(automaton: &DFA, text: &[u8], longest: usize, ends: &mut Vec<(u32, u32)>) {
    let Ok(start) = automaton.start_state(aho_corasick::Anchored::No) else { return };
    let quarter = text.len() / 4;
    if quarter < LANES_FROM.max(longest * 4) {
        let mut state = start;
        for (at, byte) in text.iter().enumerate() {
            state = automaton.next_state(aho_corasick::Anchored::No, state, *byte);
            if automaton.is_special(state) {
                tell(automaton, state, at + 1, ends);
            }
        }
        return;
    }
    let overlap = longest.saturating_sub(1);
    let cut = |nth: usize| {
        let from = if nth == 0 { 0 } else { nth * quarter - overlap };
        let to = if nth == 3 { text.len() } else { (nth + 1) * quarter };
        (from, text.get(from..to).unwrap_or_default())
    };
    let ((_, a), (from_b, b), (from_c, c), (from_d, d)) = (cut(0), cut(1), cut(2), cut(3));
    let (mut sa, mut sb, mut sc, mut sd) = (start, start, start, start);
    let mut found: [Vec<(u32, u32)>; 3] = Default::default();
    let [found_b, found_c, found_d] = &mut found;
    let next = |state, byte: u8| automaton.next_state(aho_corasick::Anchored::No, state, byte);
    for (at, (((a, b), c), d)) in a.iter().zip(b).zip(c).zip(d).enumerate() {
        (sa, sb, sc, sd) = (next(sa, *a), next(sb, *b), next(sc, *c), next(sd, *d));
        if automaton.is_special(sa) {
            tell(automaton, sa, at + 1, ends);
        }
        if automaton.is_special(sb) {
            tell(automaton, sb, from_b + at + 1, found_b);
        }
        if automaton.is_special(sc) {
            tell(automaton, sc, from_c + at + 1, found_c);
        }
        if automaton.is_special(sd) {
            tell(automaton, sd, from_d + at + 1, found_d);
        }
    }
    let rest = |lane: &[u8], from: usize, mut state: StateID, found: &mut Vec<(u32, u32)>| {
        for (at, byte) in lane.iter().enumerate().skip(a.len()) {
            state = next(state, *byte);
            if automaton.is_special(state) {
                tell(automaton, state, from + at + 1, found);
            }
        }
    };
    rest(b, from_b, sb, found_b);
    rest(c, from_c, sc, found_c);
    rest(d, from_d, sd, found_d);
    found.iter().for_each(|found| ends.extend(found));
}

/// Notes the literals that end at `end`.
fn tell(automaton: &DFA, state: StateID, end: usize, ends: &mut Vec<(u32, u32)>) {
    if automaton.is_match(state) {
        for nth in 0..automaton.match_len(state) {
            ends.push((automaton.match_pattern(state, nth).as_u32(), end as u32));
        }
    }
}

impl InputRule {
    /// Appends where this rule matches.
    fn matches(&self, text: &[u8], places: &[Vec<u32>], found: &mut Hits) {
        let mut evaluation = Evaluation { rule: self, text, places, known: vec![None; self.selections.len()], first: None };
        if !evaluation.holds(&self.condition) {
            return;
        }
        if !self.all {
            found.extend(evaluation.first.map(|(start, end)| (self.rule, start, end)));
            return;
        }
        let mut every: Vec<(usize, usize)> = Vec::new();
        for selection in self.selections.iter().filter(|selection| !selection.negative) {
            self.find(selection, text, places, &mut |start, end| {
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

    /// Tells `visit` matches of `selection` that pass the checks, until it says stop. Where literals stand at known
    /// offsets only those starts are tried; otherwise the surroundings of each literal, or the whole text.
    fn find(
        &self,
        selection: &Selection,
        text: &[u8],
        places: &[Vec<u32>],
        visit: &mut dyn FnMut(usize, usize) -> bool,
    ) {
        let own = || self.literals.iter().map(|literal| places.get(*literal).map_or(&[][..], Vec::as_slice));
        let search = Search { rule: self, selection, text };
        let windows: Vec<(usize, usize)> = match &selection.coverage {
            Coverage::No(_) => vec![(0, text.len())],
            Coverage::Somewhere => {
                let around = |place: &u32| {
                    let place = *place as usize;
                    (place.saturating_sub(selection.longest), place.saturating_add(selection.longest))
                };
                own().flatten().map(around).collect()
            }
            Coverage::Within(offsets) => {
                let mut starts: Vec<(usize, usize)> = Vec::new();
                for (places, offsets) in own().zip(offsets) {
                    let Some((least, most)) = offsets else { continue };
                    starts.extend(places.iter().map(|place| {
                        let place = *place as usize;
                        (place.saturating_sub(*most), place.saturating_sub(*least))
                    }));
                }
                starts.sort_unstable();
                if starts.len() <= 16 || starts.len().saturating_mul(DENSE) <= text.len() {
                    search.at_starts(&starts, visit);
                    return;
                }
                starts.into_iter().map(|(least, most)| (least, most.saturating_add(selection.longest))).collect()
            }
        };
        search.in_windows(windows, visit);
    }
}

/// One selection's search over one text.
struct Search<'a> {
    rule: &'a InputRule,
    selection: &'a Selection,
    text: &'a [u8],
}

impl Search<'_> {
    fn passes(&self, start: usize, end: usize) -> bool {
        let matched = self.text.get(start..end).unwrap_or_default();
        self.selection.negative || self.rule.validators.iter().all(|validator| validator.passes(matched))
    }

    /// Tries single starts, in order.
    fn at_starts(&self, ranges: &[(usize, usize)], visit: &mut dyn FnMut(usize, usize) -> bool) {
        let mut tried = None;
        for (least, most) in ranges {
            for start in *least..=*most {
                if tried.is_some_and(|tried| start <= tried) {
                    continue;
                }
                tried = Some(start);
                let Some(byte) = self.text.get(start) else { break };
                if !self.selection.first.get(usize::from(*byte)).copied().unwrap_or(true) {
                    continue;
                }
                let end = start.saturating_add(self.selection.longest).min(self.text.len());
                let input = Input::new(self.text).span(start..end).anchored(Anchored::Yes);
                let Some(half) = self.selection.regex.search_half(&input) else { continue };
                if self.passes(start, half.offset()) && visit(start, half.offset()) {
                    return;
                }
            }
        }
    }

    /// Searches ranges of the text, overlapping ones joined.
    fn in_windows(&self, mut windows: Vec<(usize, usize)>, visit: &mut dyn FnMut(usize, usize) -> bool) {
        windows.sort_unstable();
        let mut joined: Vec<(usize, usize)> = Vec::new();
        for (start, end) in windows {
            let end = end.min(self.text.len());
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                Some(_) | None => joined.push((start, end)),
            }
        }
        for (start, end) in joined {
            let mut from = start;
            while from < end {
                let Some(found) = self.selection.regex.search(&Input::new(self.text).span(from..end)) else { break };
                let passes = self.passes(found.start(), found.end());
                if passes && visit(found.start(), found.end()) {
                    return;
                }
                from = if passes { found.end().max(found.start() + 1) } else { found.start() + 1 };
            }
        }
    }
}

/// A condition being evaluated: each selection is searched for once, when it is needed.
struct Evaluation<'a> {
    rule: &'a InputRule,
    text: &'a [u8],
    places: &'a [Vec<u32>],
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
        self.rule.find(selection, self.text, self.places, &mut |start, end| {
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

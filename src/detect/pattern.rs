//! What can be known of a pattern before it runs: its longest match, and whether a match can do without some literals.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use aho_corasick::{Anchored, automaton::Automaton as _};
use regex_automata::meta;
use regex_automata::nfa::thompson::{self, NFA, State, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_syntax::hir::{Hir, HirKind, Repetition};

use super::fold::fold;
use super::literal;

/// Bytes the lazy automaton of a pattern may grow to for each byte of it, per thread that runs it. The longest patterns meet some
/// hundred kilobytes of states in source code, and with less would make the same states again and again; so much for every
/// pattern would be too much.
const CACHE_PER_BYTE: usize = 512;
/// The least of it, in bytes.
const LEAST_CACHE: usize = 128 * 1024;
/// The most of it, in bytes.
const MOST_CACHE: usize = 512 * 1024;
/// A repetition that can be longer is a gap.
const LONG_GAP: u32 = 8;
/// Product states visited before the proof is given up.
const MAX_PRODUCT: usize = 2_000_000;

/// Reads a pattern: bytes, not scalar values, so that `\w`, `\d`, `\s`, `\b` and case folding are ASCII.
pub(super) fn parse(pattern: &str) -> Result<Hir, String> {
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).nest_limit(64).build();
    parser.parse(pattern).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => format!("{} in `{pattern}`", error.kind()),
        regex_syntax::Error::Translate(error) => {
            format!(
                "{} in `{pattern}` (patterns are bytes; write `(?u:…)` around a class of other letters)",
                error.kind()
            )
        }
        other => other.to_string(),
    })
}

/// A pattern as written, compiled for single searches: small, with an automaton that grows as it is used.
///
/// # Errors
/// What is wrong with it, or that it takes more than `limit` bytes.
pub(super) fn compile_lazily(source: &str, limit: usize) -> Result<meta::Regex, String> {
    lazy(&parse(source)?, limit, source.len())
}

/// The same pattern with its counts let go: it matches wherever the pattern does, and elsewhere.
pub(super) fn compile_relaxed(source: &str, limit: usize) -> Result<meta::Regex, String> {
    lazy(&unbounded(&parse(source)?, 1), limit, source.len())
}

/// Whether letting counts go makes a difference.
pub(super) fn is_relaxable(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Repetition(own) => own.max.is_some_and(|most| most > 2) || is_relaxable(&own.sub),
        HirKind::Capture(own) => is_relaxable(&own.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(is_relaxable),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

fn lazy(hir: &Hir, limit: usize, len: usize) -> Result<meta::Regex, String> {
    let cache = len.saturating_mul(CACHE_PER_BYTE).clamp(LEAST_CACHE, MOST_CACHE);
    let config = meta::Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(limit))
        .hybrid_cache_capacity(cache)
        .dfa(false)
        .onepass(false)
        .auto_prefilter(false)
        .which_captures(WhichCaptures::Implicit);
    meta::Builder::new()
        .configure(config)
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build_from_hir(hir)
        .map_err(|error| match error.size_limit() {
            Some(limit) => format!("too costly: more than {limit} bytes compiled"),
            None => error.to_string(),
        })
}

/// The longest match in bytes; `None` where a repetition has no upper bound.
pub(super) fn longest(hir: &Hir) -> Option<usize> {
    hir.properties().maximum_len()
}

/// A small automaton over some literals, as prompts are read: without case, white space as a space.
pub(super) struct Literals {
    automaton: aho_corasick::dfa::DFA,
    start: LiteralState,
    /// States behind a space: more white space changes nothing.
    spaced: HashSet<LiteralState>,
}

type LiteralState = aho_corasick::automaton::StateID;

impl Literals {
    /// Of lower-case ASCII literals.
    pub(super) fn new(literals: &[String]) -> Result<Self, String> {
        let text = |error: &dyn ToString| error.to_string();
        let read = literals.iter().map(|literal| literal::read(literal));
        let automaton = aho_corasick::dfa::DFA::builder().build(read).map_err(|error| text(&error))?;
        let start = automaton.start_state(Anchored::No).map_err(|error| text(&error))?;
        let mut own = Self { automaton, start, spaced: HashSet::new() };
        let (mut seen, mut queue) = (HashSet::from([start]), vec![start]);
        while let Some(state) = queue.pop() {
            let behind_space = own.automaton.next_state(Anchored::No, state, b' ');
            if behind_space != start {
                own.spaced.insert(behind_space);
            }
            let next = (0..=u8::MAX).map(|byte| own.automaton.next_state(Anchored::No, state, byte));
            queue.extend(next.filter(|next| seen.insert(*next)));
        }
        Ok(own)
    }

    /// A match of `hir` that contains none of the literals, if there is one. Look-around is taken to hold always, so
    /// that the answer errs towards one. Long gaps are first taken to have no bound, which makes the automaton small
    /// and can only add matches; what that finds is looked at exactly.
    pub(super) fn uncovered(&self, hir: &Hir) -> Result<Option<String>, String> {
        match Product::new(self, &compile(&unbounded(hir, LONG_GAP))?).run()? {
            None => Ok(None),
            Some(_) => Product::new(self, &compile(hir)?).run(),
        }
    }

    /// Where bytes lead from `state`: all that do not go back to the start, and one that does.
    fn moves(&self, state: LiteralState) -> Moves {
        let (mut away, mut back) = (Vec::new(), [false; 256]);
        for (byte, back) in (0..=u8::MAX).zip(back.iter_mut()) {
            let next = match fold(byte) {
                b' ' if self.spaced.contains(&state) => state,
                folded => self.automaton.next_state(Anchored::No, state, folded),
            };
            *back = next == self.start;
            if !*back {
                away.push((byte, next));
            }
        }
        let mut next_back: Vec<Option<u8>> = vec![None; 257];
        for byte in (0..=u8::MAX).rev() {
            let at = usize::from(byte);
            let own = if back.get(at).copied().unwrap_or(false) {
                Some(byte)
            } else {
                next_back.get(at + 1).copied().flatten()
            };
            if let Some(slot) = next_back.get_mut(at) {
                *slot = own;
            }
        }
        Moves { away, next_back }
    }
}

/// The moves of one state of the literals' automaton.
struct Moves {
    away: Vec<(u8, LiteralState)>,
    /// The first byte from each on that leads to the start.
    next_back: Vec<Option<u8>>,
}

/// Hashing of state numbers, which nobody chooses to collide: one multiplication.
#[derive(Default)]
struct StateHasher(u64);

impl Hasher for StateHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<StateHasher>>;

/// What a pattern's automaton can do in one state: byte ranges to next states, and whether a match can end.
#[derive(Default)]
struct Closure {
    ranges: Vec<(u8, u8, StateID)>,
    ends: bool,
}

/// The pattern's automaton and the literals' side by side.
struct Product<'a> {
    literals: &'a Literals,
    nfa: &'a NFA,
    closures: Map<StateID, Rc<Closure>>,
    moves: Map<LiteralState, Rc<Moves>>,
    /// How each pair was first reached.
    from: Map<Pair, (Pair, u8)>,
}

type Pair = (StateID, LiteralState);

impl<'a> Product<'a> {
    fn new(literals: &'a Literals, nfa: &'a NFA) -> Self {
        Self { literals, nfa, closures: Map::default(), moves: Map::default(), from: Map::default() }
    }

    /// Visits each pair once; a match that needs no literal.
    fn run(mut self) -> Result<Option<String>, String> {
        let start = (self.nfa.start_anchored(), self.literals.start);
        let mut queue = VecDeque::from([start]);
        while let Some(pair) = queue.pop_front() {
            let Some(reached) = self.step(pair) else { return Ok(Some(self.example(pair))) };
            for (to, byte) in reached {
                if self.literals.automaton.is_match(to.1) || to == start || self.from.contains_key(&to) {
                    continue;
                }
                self.from.insert(to, (pair, byte));
                queue.push_back(to);
            }
            if self.from.len() > MAX_PRODUCT {
                return Err("too large to prove that its matches contain a prefilter literal".into());
            }
        }
        Ok(None)
    }

    /// The text that leads to a pair.
    fn example(&self, mut pair: Pair) -> String {
        let mut text = Vec::new();
        while let Some((from, byte)) = self.from.get(&pair)
            && text.len() < 200
        {
            text.push(*byte);
            pair = *from;
        }
        text.reverse();
        text.escape_ascii().to_string()
    }

    /// The pairs one byte on, each with such a byte; `None` when a match can end here, without any literal.
    fn step(&mut self, (from, literals): Pair) -> Option<Vec<(Pair, u8)>> {
        let nfa = self.nfa;
        let closure = Rc::clone(self.closures.entry(from).or_insert_with(|| Rc::new(closure(nfa, from))));
        if closure.ends {
            return None;
        }
        let own = self.literals;
        let moves = Rc::clone(self.moves.entry(literals).or_insert_with(|| Rc::new(own.moves(literals))));
        let mut reached = Vec::new();
        for (start, end, to) in &closure.ranges {
            let away = moves.away.iter().filter(|(byte, _)| (start..=end).contains(&byte));
            reached.extend(away.map(|(byte, next)| ((*to, *next), *byte)));
            let back = moves.next_back.get(usize::from(*start)).copied().flatten().filter(|byte| byte <= end);
            reached.extend(back.map(|byte| ((*to, own.start), byte)));
        }
        Some(reached)
    }
}

fn compile(hir: &Hir) -> Result<NFA, String> {
    thompson::Compiler::new()
        .configure(thompson::Config::new().utf8(false).which_captures(WhichCaptures::None))
        .build_from_hir(hir)
        .map_err(|error| error.to_string())
}

/// The pattern with repetitions of more than `longest` made endless.
fn unbounded(hir: &Hir, longest: u32) -> Hir {
    match hir.kind() {
        HirKind::Repetition(own) => {
            let long = own.max.is_some_and(|most| most > longest);
            let (min, max) = if long { (own.min.min(1), None) } else { (own.min, own.max) };
            let sub = Box::new(unbounded(&own.sub, longest));
            Hir::repetition(Repetition { min, max, greedy: own.greedy, sub })
        }
        HirKind::Capture(own) => unbounded(&own.sub, longest),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(|part| unbounded(part, longest)).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(|part| unbounded(part, longest)).collect()),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
    }
}

/// Follows everything that takes no byte.
fn closure(nfa: &NFA, from: StateID) -> Closure {
    let mut stack = vec![from];
    let mut seen = HashSet::from([from]);
    let mut found = Closure::default();
    while let Some(id) = stack.pop() {
        let mut also = |next: StateID| {
            if seen.insert(next) {
                stack.push(next);
            }
        };
        match nfa.state(id) {
            State::ByteRange { trans } => found.ranges.push((trans.start, trans.end, trans.next)),
            State::Sparse(sparse) => found.ranges.extend(sparse.transitions.iter().map(|t| (t.start, t.end, t.next))),
            State::Dense(dense) => {
                let each = (0..=u8::MAX).filter_map(|byte| Some((byte, byte, dense.matches_byte(byte)?)));
                found.ranges.extend(each);
            }
            State::Look { next, .. } | State::Capture { next, .. } => also(*next),
            State::Union { alternates } => alternates.iter().copied().for_each(also),
            State::BinaryUnion { alt1, alt2 } => {
                also(*alt1);
                also(*alt2);
            }
            State::Fail => {}
            State::Match { .. } => found.ends = true,
        }
    }
    // Lower case first, for examples that read well.
    found.ranges.sort_by_key(|(start, ..)| start.is_ascii_uppercase());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uncovered(pattern: &str, literals: &[&str]) -> Option<String> {
        let literals: Vec<String> = literals.iter().map(|literal| (*literal).to_owned()).collect();
        Literals::new(&literals).unwrap().uncovered(&parse(pattern).unwrap()).unwrap()
    }

    #[test]
    fn alternations_are_seen_through_whatever_the_case() {
        assert_eq!(uncovered(r"(?i)\b(?:ignore|disregard)\b.{0,40}x", &["ignore", "disregard"]), None);
        assert_eq!(uncovered("(?i)ignor(?:e|ing) it", &["ignore", "ignoring"]), None);
        assert_eq!(uncovered("(?i)ignor(?:e|ing|es) it", &["ignoring"]), Some("ignore it".into()));
    }

    #[test]
    fn a_literal_behind_a_gap_counts_and_an_optional_one_does_not() {
        assert_eq!(uncovered("(?i)please.{0,60}password", &["password"]), None);
        assert_eq!(uncovered("(?i)please.{0,60}(?:password)?", &["password"]), Some("please".into()));
        assert!(uncovered(r"\d{16}", &["card"]).is_some());
        assert_eq!(uncovered(r"4[0-9]{15}", &["40", "41", "42", "43", "44", "45", "46", "47", "48", "49"]), None);
    }

    #[test]
    fn perl_classes_are_ascii() {
        assert_eq!(longest(&parse(r"\w\d\s\b").unwrap()), Some(3));
        assert_eq!(longest(&parse("é.{0,4}").unwrap()), Some(6));
        assert_eq!(longest(&parse("a+").unwrap()), None);
    }
}

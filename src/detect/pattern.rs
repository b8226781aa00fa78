//! What can be known of a pattern before it runs: its longest match, and which literals every match must contain.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use aho_corasick::{Anchored, automaton::Automaton as _};
use regex_automata::nfa::thompson::{self, NFA, State, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::{Hir, HirKind, Repetition};

/// How many bytes into a match the first literal is looked for, to know where a match can start.
const MAX_OFFSET: usize = 40;
/// Product states visited while offsets are counted.
const MAX_LEVELS: usize = 800;
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
            format!("{} in `{pattern}` (patterns are bytes; write `(?u:…)` around a class of other letters)", error.kind())
        }
        other => other.to_string(),
    })
}

/// The longest match in bytes; `None` where a repetition has no upper bound.
pub(super) fn longest(hir: &Hir) -> Option<usize> {
    hir.properties().maximum_len()
}

/// Where, in every match of some patterns, the first of some literals starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Per literal, the least and the greatest offset from the start of the match; `None`: another comes first.
    Within(Vec<Option<(usize, usize)>>),
    /// Somewhere.
    Somewhere,
    /// A match need not contain one; this one does not.
    No(String),
}

/// A small automaton over a rule's literals, ASCII case folded.
pub(super) struct Literals {
    automaton: aho_corasick::dfa::DFA,
    start: LiteralState,
    lengths: Vec<usize>,
}

type LiteralState = aho_corasick::automaton::StateID;

impl Literals {
    /// Of lower-case ASCII literals.
    pub(super) fn new(literals: &[String]) -> Result<Self, String> {
        let automaton = aho_corasick::dfa::DFA::builder()
            .ascii_case_insensitive(true)
            .build(literals)
            .map_err(|error| error.to_string())?;
        let start = automaton.start_state(Anchored::No).map_err(|error| error.to_string())?;
        Ok(Self { automaton, start, lengths: literals.iter().map(String::len).collect() })
    }

    /// How matches of `hir` are covered. Look-around is taken to hold always, so the answer errs towards `No`.
    pub(super) fn covers(&self, hir: &Hir) -> Result<Coverage, String> {
        let nfa = compile(hir)?;
        match Product::new(self, &nfa).within() {
            Some(coverage) => Ok(coverage),
            None => self.somewhere(hir),
        }
    }

    /// The same without offsets: `Somewhere` or `No`. Long gaps are first taken to have no bound, which makes the
    /// automaton small and can only add matches; what that finds missing is looked at exactly.
    pub(super) fn somewhere(&self, hir: &Hir) -> Result<Coverage, String> {
        match Product::new(self, &compile(&unbounded(hir))?).somewhere()? {
            Coverage::No(_) => Product::new(self, &compile(hir)?).somewhere(),
            covered => Ok(covered),
        }
    }

    fn ending_at(&self, state: LiteralState) -> impl Iterator<Item = usize> + '_ {
        let count = if self.automaton.is_match(state) { self.automaton.match_len(state) } else { 0 };
        (0..count).map(move |nth| self.automaton.match_pattern(state, nth).as_usize())
    }

    /// Widens a literal's offsets by one that ends `end` bytes into a match.
    fn note(&self, offsets: &mut [Option<(usize, usize)>], literal: usize, end: usize) {
        let start = end.saturating_sub(self.lengths.get(literal).copied().unwrap_or(0));
        if let Some(known) = offsets.get_mut(literal) {
            let (least, most) = known.unwrap_or((start, start));
            *known = Some((least.min(start), most.max(start)));
        }
    }

    /// Where bytes lead from `state`: all that do not go back to the start, and one that does.
    fn moves(&self, state: LiteralState) -> Moves {
        let (mut away, mut back) = (Vec::new(), [false; 256]);
        for (byte, back) in (0..=u8::MAX).zip(back.iter_mut()) {
            // Both cases of a letter lead to the same state.
            let next = self.automaton.next_state(Anchored::No, state, byte);
            *back = next == self.start;
            if !*back {
                away.push((byte, next));
            }
        }
        let mut next_back: Vec<Option<u8>> = vec![None; 257];
        for byte in (0..=u8::MAX).rev() {
            let at = usize::from(byte);
            let own = if back.get(at).copied().unwrap_or(false) { Some(byte) } else { next_back.get(at + 1).copied().flatten() };
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

    /// Goes on byte by byte, noting offsets; `None` when that takes too long.
    fn within(mut self) -> Option<Coverage> {
        let mut frontier = HashSet::from([(self.nfa.start_anchored(), self.literals.start)]);
        let mut offsets: Vec<Option<(usize, usize)>> = vec![None; self.literals.lengths.len()];
        let mut work = 0;
        for length in 1..=MAX_OFFSET {
            let mut next = HashSet::new();
            for pair in &frontier {
                let Some(reached) = self.step(*pair) else { return Some(Coverage::No(self.example(*pair))) };
                for (to, byte) in reached {
                    let mut found = false;
                    for literal in self.literals.ending_at(to.1) {
                        found = true;
                        self.literals.note(&mut offsets, literal, length);
                    }
                    if !found && next.insert(to) {
                        self.from.entry(to).or_insert((*pair, byte));
                    }
                }
            }
            if next.is_empty() {
                return Some(Coverage::Within(offsets));
            }
            frontier = next;
            work += frontier.len();
            if work > MAX_LEVELS {
                break;
            }
        }
        None
    }

    /// Visits each pair once.
    fn somewhere(mut self) -> Result<Coverage, String> {
        let start = (self.nfa.start_anchored(), self.literals.start);
        let mut queue = VecDeque::from([start]);
        while let Some(pair) = queue.pop_front() {
            let Some(reached) = self.step(pair) else { return Ok(Coverage::No(self.example(pair))) };
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
        Ok(Coverage::Somewhere)
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

/// The pattern with long repetitions of single bytes made endless.
fn unbounded(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Repetition(own) => {
            let single = matches!(own.sub.kind(), HirKind::Class(_));
            let long = single && own.max.is_some_and(|most| most > LONG_GAP);
            let (min, max) = if long { (own.min.min(1), None) } else { (own.min, own.max) };
            Hir::repetition(Repetition { min, max, greedy: own.greedy, sub: Box::new(unbounded(&own.sub)) })
        }
        HirKind::Capture(own) => unbounded(&own.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(unbounded).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(unbounded).collect()),
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

    fn coverage(pattern: &str, literals: &[&str]) -> Coverage {
        let literals: Vec<String> = literals.iter().map(|literal| (*literal).to_owned()).collect();
        Literals::new(&literals).unwrap().covers(&parse(pattern).unwrap()).unwrap()
    }

    #[test]
    fn a_literal_head_is_found_at_its_offset_whatever_the_case() {
        let both = coverage(r"(?i)\b(?:ignore|disregard)\b.{0,40}x", &["ignore", "disregard"]);
        assert_eq!(both, Coverage::Within(vec![Some((0, 0)), Some((0, 0))]));
        assert_eq!(coverage(r"(?i)(?:my )?ignore", &["ignore"]), Coverage::Within(vec![Some((0, 3))]));
    }

    #[test]
    fn factored_alternations_are_seen_through() {
        let both = Coverage::Within(vec![Some((0, 0)), Some((0, 0))]);
        assert_eq!(coverage("(?i)ignor(?:e|ing) it", &["ignore", "ignoring"]), both);
        assert_eq!(coverage("(?i)ignor(?:e|ing|es) it", &["ignoring"]), Coverage::No("ignore it".into()));
    }

    #[test]
    fn a_literal_behind_a_gap_is_somewhere_and_an_optional_one_is_not() {
        assert_eq!(coverage("(?i)please.{0,60}password", &["password"]), Coverage::Somewhere);
        assert_eq!(coverage("(?i)please.{0,60}(?:password)?", &["password"]), Coverage::No("please".into()));
        assert!(matches!(coverage(r"\d{16}", &["card"]), Coverage::No(_)));
    }

    #[test]
    fn perl_classes_are_ascii() {
        assert_eq!(longest(&parse(r"\w\d\s\b").unwrap()), Some(3));
        assert_eq!(longest(&parse("é.{0,4}").unwrap()), Some(6));
        assert_eq!(longest(&parse("a+").unwrap()), None);
    }
}

//! What can be known of a pattern before it runs: its longest match, and which literals every match must contain.

use std::collections::{HashSet, VecDeque};

use aho_corasick::{Anchored, automaton::Automaton as _};
use regex_automata::nfa::thompson::{self, NFA, State, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::Hir;

/// How many bytes into a match the first literal is looked for, to know where a match can start.
const MAX_OFFSET: usize = 40;
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
    /// A match need not contain one.
    No,
}

/// A small automaton over a rule's literals, ASCII case folded.
pub(super) struct Literals {
    automaton: aho_corasick::dfa::DFA,
    /// Bytes that can move it away from its start, and one that cannot.
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Literals {
    /// Of lower-case ASCII literals.
    pub(super) fn new(literals: &[String]) -> Result<Self, String> {
        let automaton = aho_corasick::dfa::DFA::builder()
            .ascii_case_insensitive(true)
            .build(literals)
            .map_err(|error| error.to_string())?;
        let mut bytes: Vec<u8> = (0..=u8::MAX).filter(|byte| occurs(literals, *byte)).collect();
        bytes.extend((0..=u8::MAX).rev().find(|byte| !occurs(literals, *byte)));
        Ok(Self { automaton, bytes, lengths: literals.iter().map(String::len).collect() })
    }

    fn ending_at(&self, state: aho_corasick::automaton::StateID) -> Vec<usize> {
        if !self.automaton.is_match(state) {
            return Vec::new();
        }
        (0..self.automaton.match_len(state)).map(|nth| self.automaton.match_pattern(state, nth).as_usize()).collect()
    }

    /// Widens a literal's offsets by one that ends `end` bytes into a match.
    fn note(&self, offsets: &mut [Option<(usize, usize)>], literal: usize, end: usize) {
        let start = end.saturating_sub(self.lengths.get(literal).copied().unwrap_or(0));
        if let Some(known) = offsets.get_mut(literal) {
            let (least, most) = known.unwrap_or((start, start));
            *known = Some((least.min(start), most.max(start)));
        }
    }

    /// How matches of `hir` are covered. Look-around is taken to hold always, so the answer errs towards `No`.
    pub(super) fn covers(&self, hir: &Hir) -> Result<Coverage, String> {
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().utf8(false).which_captures(WhichCaptures::None))
            .build_from_hir(hir)
            .map_err(|error| error.to_string())?;
        Product { literals: self, nfa: &nfa }.run()
    }
}

fn occurs(literals: &[String], byte: u8) -> bool {
    literals.iter().any(|literal| literal.bytes().any(|own| own.eq_ignore_ascii_case(&byte)))
}

/// The pattern's automaton and the literals' side by side.
struct Product<'a> {
    literals: &'a Literals,
    nfa: &'a NFA,
}

type Pair = (StateID, aho_corasick::automaton::StateID);

impl Product<'_> {
    fn run(&self) -> Result<Coverage, String> {
        let start = self
            .literals
            .automaton
            .start_state(Anchored::No)
            .map_err(|error| error.to_string())?;
        let mut frontier = HashSet::from([(self.nfa.start_anchored(), start)]);
        let mut offsets: Vec<Option<(usize, usize)>> = vec![None; self.literals.lengths.len()];
        for length in 1..=MAX_OFFSET {
            let mut next = HashSet::new();
            for pair in &frontier {
                let ended = self.step(*pair, &mut |to| {
                    let found = self.literals.ending_at(to.1);
                    if found.is_empty() {
                        next.insert(to);
                    }
                    for literal in found {
                        self.literals.note(&mut offsets, literal, length);
                    }
                });
                if ended {
                    return Ok(Coverage::No);
                }
            }
            if next.is_empty() {
                return Ok(Coverage::Within(offsets));
            }
            frontier = next;
        }
        self.somewhere(frontier)
    }

    /// Goes on without counting bytes.
    fn somewhere(&self, frontier: HashSet<Pair>) -> Result<Coverage, String> {
        let mut seen = frontier;
        let mut queue: VecDeque<Pair> = seen.iter().copied().collect();
        while let Some(pair) = queue.pop_front() {
            let mut next = Vec::new();
            let ended = self.step(pair, &mut |to| {
                if !self.literals.automaton.is_match(to.1) {
                    next.push(to);
                }
            });
            if ended {
                return Ok(Coverage::No);
            }
            queue.extend(next.into_iter().filter(|to| seen.insert(*to)));
            if seen.len() > MAX_PRODUCT {
                return Err("too large to prove that its matches contain a prefilter literal".into());
            }
        }
        Ok(Coverage::Somewhere)
    }

    /// Tells `visit` every pair one byte on; true when a match can end here, without any literal.
    fn step(&self, (from, literals): Pair, visit: &mut dyn FnMut(Pair)) -> bool {
        let mut stack = vec![from];
        let mut seen = HashSet::from([from]);
        let mut ended = false;
        let mut spread = |start: u8, end: u8, to: StateID| {
            for byte in self.literals.bytes.iter().filter(|byte| (start..=end).contains(*byte)) {
                self.advance(literals, *byte, to, visit);
            }
            // The last of `bytes` stands for every byte outside the literals; ranges without it need their own.
            let plain = (start..=end).find(|byte| !self.literals.bytes.contains(byte));
            if let Some(byte) = plain {
                self.advance(literals, byte, to, visit);
            }
        };
        while let Some(id) = stack.pop() {
            let mut also = |next: StateID| {
                if seen.insert(next) {
                    stack.push(next);
                }
            };
            match self.nfa.state(id) {
                State::ByteRange { trans } => spread(trans.start, trans.end, trans.next),
                State::Sparse(sparse) => sparse.transitions.iter().for_each(|t| spread(t.start, t.end, t.next)),
                State::Dense(dense) => {
                    (0..=u8::MAX).for_each(|byte| {
                        if let Some(next) = dense.matches_byte(byte) {
                            spread(byte, byte, next);
                        }
                    });
                }
                State::Look { next, .. } | State::Capture { next, .. } => also(*next),
                State::Union { alternates } => alternates.iter().copied().for_each(also),
                State::BinaryUnion { alt1, alt2 } => {
                    also(*alt1);
                    also(*alt2);
                }
                State::Fail => {}
                State::Match { .. } => ended = true,
            }
        }
        ended
    }

    fn advance(
        &self,
        from: aho_corasick::automaton::StateID,
        byte: u8,
        to: StateID,
        visit: &mut dyn FnMut(Pair),
    ) {
        visit((to, self.literals.automaton.next_state(Anchored::No, from, byte)));
    }
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
        assert_eq!(coverage("(?i)ignor(?:e|ing|es) it", &["ignoring"]), Coverage::No);
    }

    #[test]
    fn a_literal_behind_a_gap_is_somewhere_and_an_optional_one_is_not() {
        assert_eq!(coverage("(?i)please.{0,60}password", &["password"]), Coverage::Somewhere);
        assert_eq!(coverage("(?i)please.{0,60}(?:password)?", &["password"]), Coverage::No);
        assert_eq!(coverage(r"\d{16}", &["card"]), Coverage::No);
    }

    #[test]
    fn perl_classes_are_ascii() {
        assert_eq!(longest(&parse(r"\w\d\s\b").unwrap()), Some(3));
        assert_eq!(longest(&parse("é.{0,4}").unwrap()), Some(6));
        assert_eq!(longest(&parse("a+").unwrap()), None);
    }
}

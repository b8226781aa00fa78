//! One pattern of a prompt rule: where it may start is known when it runs.

use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::edges::{begins_word_at, edges, is_word};
use super::fold::fold;
use super::literal::rare_bytes;
use super::pattern::{compile_lazily, compile_relaxed, is_relaxable};
use super::signs::Signs;
use super::words::{STEP, is_odd};

/// So many places where a match could start are tried one by one.
const FEW_STARTS: usize = 16;

/// What a try costs, in bytes that an automaton could search instead, and how far tries may be ahead of that.
const TRY: usize = 64;
const ADVANCE: usize = 4_096;

/// Bytes that single starts are tried on for each byte of a part of a text; then its automaton follows all of them.
const COSTLY: usize = 64;

/// In shorter texts the first end that an automaton tells of may not be the first of all.
const SHORT: usize = 256;

/// One pattern. It is proven to compile when the rules are loaded, and compiled to stay when a text first needs it: most
/// patterns of a large pack never run in a process, and would be most of its memory. For the same reason it is kept as
/// text, not parsed.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    source: Box<str>,
    limit: usize,
    regex: OnceLock<Option<meta::Regex>>,
    /// The pattern with its counts let go: matches wherever the pattern does, from an automaton that is many times
    /// smaller. Counting is what makes automata large, and few texts get that far.
    relaxed: Option<OnceLock<Option<meta::Regex>>>,
    /// Bytes compiled.
    memory: usize,
    longest: usize,
    beginnings: Beginnings,
    /// Bytes of which a match contains one.
    rare: Option<Box<[bool; 256]>>,
    /// The same as bits of [`Signs`]; 0 where not all of them are signs.
    signs: u64,
    /// A match is by one of these. Without any, the whole text is searched.
    pub(super) ways: Vec<Way>,
    /// Its triggers' positions, one for each way.
    pub(super) triggers: Vec<u16>,
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

/// What is done with each match: its checks, and a visitor that says when to stop.
pub(super) struct Visit<'a> {
    pub(super) passes: &'a dyn Fn(usize, usize) -> bool,
    pub(super) visit: &'a mut dyn FnMut(usize, usize) -> bool,
}

impl Pattern {
    /// A bounded pattern that compiles to at most `limit` bytes.
    pub(super) fn new(source: &str, hir: &Hir, longest: usize, ways: Vec<Way>, limit: usize) -> Result<Self, String> {
        let rare = rare_bytes(hir).map(Box::new);
        Ok(Self {
            source: source.into(),
            limit,
            regex: OnceLock::new(),
            relaxed: is_relaxable(hir).then(OnceLock::new),
            memory: compile_lazily(source, limit)?.memory_usage(),
            longest,
            beginnings: Beginnings::of(hir),
            signs: rare.as_deref().map_or(0, sign_bits),
            rare,
            ways,
            triggers: Vec::new(),
        })
    }

    /// Bytes compiled.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// The compiled pattern. `None` cannot be: it compiled before.
    fn regex(&self) -> Option<&meta::Regex> {
        self.regex.get_or_init(|| compile_lazily(&self.source, self.limit).ok()).as_ref()
    }

    /// The pattern without its counts, where it has some.
    fn relaxed(&self) -> Option<&meta::Regex> {
        self.relaxed.as_ref()?.get_or_init(|| compile_relaxed(&self.source, self.limit).ok()).as_ref()
    }

    /// Tells of matches that start in `first..=last`. True when the visitor says stop.
    pub(super) fn search(
        &self,
        text: &[u8],
        (first, last): (usize, usize),
        signs: &Signs,
        visit: &mut Visit<'_>,
    ) -> bool {
        if self.signs != 0 && !signs.any(first, last.saturating_add(self.longest), self.signs) {
            return false;
        }
        let starts = last - first;
        if starts <= FEW_STARTS || self.beginnings.cost(starts) <= starts.saturating_add(self.longest) {
            self.one_by_one(text, first, last, visit)
        } else {
            self.within(text, first..last.saturating_add(self.longest).min(text.len()), visit)
        }
    }

    /// Whether a match is anywhere in a text.
    pub(super) fn occurs(&self, text: &[u8], signs: &Signs) -> bool {
        if self.signs != 0 && !signs.any(0, text.len(), self.signs) {
            return false;
        }
        let mut visit = Visit { passes: &|_, _| true, visit: &mut |_, _| true };
        let (mut from, mut tries, mut behind_word) = (0, 0_usize, false);
        while self.beginnings.edge && tries.saturating_mul(TRY) < from + ADVANCE {
            let Some(part) = text.get(from..).and_then(|rest| rest.first_chunk::<{ STEP + 3 }>()) else { break };
            let (words, others) = edges(part, &mut behind_word);
            let mut edges = if self.beginnings.word { words } else { words | others };
            while edges != 0 {
                let nth = edges.trailing_zeros() as usize;
                edges &= edges - 1;
                let four = part.get(nth..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
                if self.beginnings.may_be(four) {
                    tries += 1;
                    if self.at(text, from + nth, &mut visit) {
                        return true;
                    }
                }
            }
            from += STEP;
        }
        self.within(text, from..text.len(), &mut visit)
    }

    /// Tries each start with which a match can begin.
    fn one_by_one(&self, text: &[u8], first: usize, last: usize, visit: &mut Visit<'_>) -> bool {
        let rest = text.get(first..).unwrap_or_default();
        let starts = (last - first).saturating_add(1);
        let mut tried = |nth: usize| {
            let start = first + nth;
            (!self.beginnings.word || begins_word_at(text, start)) && self.at(text, start, visit)
        };
        let whole = rest.len().saturating_sub(3).min(starts);
        for (nth, four) in rest.get(..whole + 3).unwrap_or_default().array_windows().enumerate() {
            if self.beginnings.may_be(*four) && tried(nth) {
                return true;
            }
        }
        // The last three bytes of a text.
        (whole..rest.len().min(starts)).any(|nth| {
            let own = rest.get(nth..).unwrap_or_default();
            let mut four = [0; 4];
            four.iter_mut().zip(own).for_each(|(slot, byte)| *slot = *byte);
            own.len() >= self.beginnings.len && self.beginnings.may_be(four) && tried(nth)
        })
    }

    /// Tries a single start: most end after a few bytes.
    fn at(&self, text: &[u8], start: usize, visit: &mut Visit<'_>) -> bool {
        let end = start.saturating_add(self.longest).min(text.len());
        if start >= end {
            return false;
        }
        let Some(end) = self.exact(text, start..end, &mut 0) else { return false };
        (visit.passes)(start, end) && (visit.visit)(start, end)
    }

    /// Searches a part of the text.
    fn within(&self, text: &[u8], range: Range<usize>, visit: &mut Visit<'_>) -> bool {
        let part = text.get(range.clone()).unwrap_or_default();
        if self.rare.as_ref().is_some_and(|rare| !contains(rare, part)) {
            return false;
        }
        let mut from = range.start;
        while from < range.end {
            let Some((start, end)) = self.next(text, from..range.end) else { break };
            let passed = (visit.passes)(start, end);
            if passed && (visit.visit)(start, end) {
                return true;
            }
            from = if passed { end.max(start + 1) } else { start + 1 };
        }
        false
    }

    /// The first match in a part of the text. Where the beginnings of matches are known and the pattern counts, starts
    /// are tried one by one, but only those near which the relaxed copy matches: the automaton of a pattern that counts is
    /// small as long as it follows a single start, and overflows where it follows all of them.
    fn next(&self, text: &[u8], range: Range<usize>) -> Option<(usize, usize)> {
        let relaxed = self.relaxed();
        let Some(relaxed) = relaxed.filter(|_| self.beginnings.len > 1) else {
            let input = || Input::new(text).span(range.clone());
            if relaxed.is_some_and(|relaxed| relaxed.search_half(&input().earliest(true)).is_none()) {
                return None;
            }
            return self.regex()?.search(&input()).map(|found| (found.start(), found.end()));
        };
        let (mut from, mut spent) = (range.start, 0);
        while from < range.end {
            // No match ends before the relaxed copy's first does, and none is longer than the longest.
            let input = Input::new(text).span(from..range.end).earliest(true);
            let end = relaxed.search_half(&input)?.offset();
            let reach = if text.len() < SHORT { end } else { self.longest };
            for start in from.max(end.saturating_sub(reach))..=end {
                if !self.begins(text, start) {
                    continue;
                }
                if spent > range.len().saturating_mul(COSTLY) {
                    let found = self.regex()?.search(&Input::new(text).span(start..range.end))?;
                    return Some((found.start(), found.end()));
                }
                let until = start.saturating_add(self.longest).min(range.end);
                if let Some(end) = self.exact(text, start..until, &mut spent) {
                    return Some((start, end));
                }
            }
            from = end + 1;
        }
        None
    }

    /// Whether a match can begin at a byte of the text.
    #[inline]
    fn begins(&self, text: &[u8], start: usize) -> bool {
        let rest = text.get(start..).unwrap_or_default();
        let four = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut four = [0; 4];
            four.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
            four
        });
        rest.len() >= self.beginnings.len
            && self.beginnings.may_be(four)
            && (!self.beginnings.word || begins_word_at(text, start))
    }

    /// Where the match ends that begins where a part of the text does, and is inside of it. Adds to `spent` the bytes that
    /// the pattern itself was asked about.
    fn exact(&self, text: &[u8], part: Range<usize>, spent: &mut usize) -> Option<usize> {
        let len = part.len();
        let input = Input::new(text).span(part).anchored(Anchored::Yes);
        let may = |relaxed: &meta::Regex| relaxed.search_half(&input.clone().earliest(true)).is_some();
        if !self.relaxed().is_none_or(may) {
            return None;
        }
        *spent = spent.saturating_add(len);
        self.regex()?.search_half(&input).map(|found| found.offset())
    }
}

/// What stands for a set of digits and signs; 0 where others are in it.
fn sign_bits(bytes: &[bool; 256]) -> u64 {
    let own = || (0..=u8::MAX).zip(bytes).filter(|(_, own)| **own).map(|(byte, _)| byte);
    if own().all(|byte| is_odd(byte) && fold(byte) == byte) {
        own().fold(0, |bits, byte| bits | Signs::bit(byte))
    } else {
        0
    }
}

fn contains(bytes: &[bool; 256], part: &[u8]) -> bool {
    let own = |byte: &u8| bytes.get(usize::from(*byte)).copied().unwrap_or(false);
    part.chunks(32).any(|few| few.iter().fold(false, |any, byte| any | own(byte)))
}

/// What a match can begin with: a small set of hashes of its first bytes.
#[derive(Debug, Clone)]
struct Beginnings {
    /// Bytes hashed; none where a match can begin with anything.
    len: usize,
    /// Their bits.
    mask: u32,
    hashes: [u64; 8],
    /// A match begins where a word does.
    word: bool,
    /// A match begins where a word does or with what is part of no word, and some bytes of it are known.
    edge: bool,
}

impl Beginnings {
    /// Most bytes hashed.
    const LONGEST: usize = 3;

    fn of(hir: &Hir) -> Self {
        let mut extractor = regex_syntax::hir::literal::Extractor::new();
        extractor.kind(regex_syntax::hir::literal::ExtractKind::Prefix);
        extractor.limit_total(4_000).limit_repeat(4).limit_literal_len(Self::LONGEST);
        let seq = extractor.extract(hir);
        let literals = seq.literals().unwrap_or_default();
        let len = literals.iter().map(|literal| literal.as_bytes().len()).min().unwrap_or(0);
        let mut own = Self { len, mask: (1 << (8 * len)) - 1, hashes: [0; 8], word: false, edge: false };
        if len == 0 {
            own.hashes = [1, 0, 0, 0, 0, 0, 0, 0];
        }
        own.word =
            len > 0 && begins_word(hir) && literals.iter().all(|own| own.as_bytes().first().is_some_and(is_word));
        own.edge = len > 1 && begins_at_edge(hir);
        for literal in literals {
            let mut four = [0; 4];
            four.iter_mut().zip(literal.as_bytes()).for_each(|(slot, byte)| *slot = *byte);
            let hash = Self::hash(four, own.mask);
            own.hashes.get_mut(hash >> 6).into_iter().for_each(|word| *word |= 1 << (hash & 63));
        }
        own
    }

    /// What asking for so many starts costs, in bytes that an automaton could search instead.
    const fn cost(&self, starts: usize) -> usize {
        match self.len {
            0 | 1 => usize::MAX,
            _ if self.word => starts.saturating_mul(2),
            _ => starts.saturating_mul(4),
        }
    }

    /// Whether a match can begin with these bytes.
    #[inline]
    fn may_be(&self, four: [u8; 4]) -> bool {
        let hash = Self::hash(four, self.mask);
        self.hashes.get(hash >> 6).is_some_and(|word| word >> (hash & 63) & 1 != 0)
    }

    /// Of the first bytes, whatever the case.
    #[inline]
    const fn hash(four: [u8; 4], mask: u32) -> usize {
        (((u32::from_le_bytes(four) | 0x2020_2020) & mask).wrapping_mul(0x9e37_79b1) >> 23) as usize
    }
}

/// Whether every match begins at the boundary of a word or with what is part of none.
fn begins_at_edge(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Look(look) => matches!(look, Look::WordAscii | Look::WordStartAscii | Look::Start),
        HirKind::Literal(own) => own.0.first().is_some_and(|byte| !is_word(byte)),
        HirKind::Class(Class::Bytes(own)) => {
            own.ranges().iter().all(|range| (range.start()..=range.end()).all(|byte| !is_word(&byte)))
        }
        HirKind::Capture(own) => begins_at_edge(&own.sub),
        HirKind::Concat(parts) => parts.first().is_some_and(begins_at_edge),
        HirKind::Alternation(parts) => parts.iter().all(begins_at_edge),
        HirKind::Repetition(own) => own.min > 0 && begins_at_edge(&own.sub),
        HirKind::Empty | HirKind::Class(Class::Unicode(_)) => false,
    }
}

/// Whether every match begins at the boundary of a word.
fn begins_word(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Look(look) => matches!(look, Look::WordAscii | Look::WordStartAscii),
        HirKind::Capture(own) => begins_word(&own.sub),
        HirKind::Concat(parts) => parts.first().is_some_and(begins_word),
        HirKind::Alternation(parts) => parts.iter().all(begins_word),
        HirKind::Repetition(own) => own.min > 0 && begins_word(&own.sub),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => false,
    }
}

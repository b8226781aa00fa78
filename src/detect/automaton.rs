//! A pattern as an anchored automaton over bytes, stepped one byte at a time: what the output window runs on.

use std::collections::BTreeSet;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::Hir;

use super::tables::Tables;

/// What stands before a position, as far as look-behind can tell: a byte for each class, `None` for the text's start.
const BEHIND: [Option<u8>; 5] = [None, Some(b'a'), Some(b'\n'), Some(b'\r'), Some(b' ')];
/// How many classes there are.
pub(super) const BEHIND_LEN: usize = BEHIND.len();
/// Nothing can match any more.
pub(super) const DEAD: u16 = 0;
/// The state can still reach a match.
const LIVE: u8 = 1;
/// Entering the state tells that a match ended before the byte just read.
const MATCH: u8 = 2;

/// The class of what stands before a position.
pub(super) const fn behind(byte: Option<u8>) -> usize {
    match byte {
        None => 0,
        Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_') => 1,
        Some(b'\n') => 2,
        Some(b'\r') => 3,
        Some(_) => 4,
    }
}

/// One pattern. Every match is seen (`MatchKind::All`), each one byte late.
#[derive(Debug)]
pub(super) struct Automaton {
    classes: Box<[u8; 256]>,
    stride: usize,
    /// `state * stride + class`; the last class is the end of the text.
    table: Box<[u16]>,
    flags: Box<[u8]>,
    /// The state after the first byte, by what stands before it: `behind * stride + class`.
    first: Box<[u16]>,
}

/// Why a pattern could not be compiled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TooCostly {
    /// Over the byte limit or the state limit.
    Size,
    /// Anything else.
    Other(String),
}

impl Automaton {
    /// Compiles `pattern`; `limit` is in bytes, of the automaton and of the work to make it.
    pub(super) fn build(pattern: &Hir, limit: usize) -> Result<Self, TooCostly> {
        let other = |error: &dyn ToString| TooCostly::Other(error.to_string());
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(limit.saturating_mul(2))),
            )
            .build_from_hir(pattern)
            .map_err(|error| if error.size_limit().is_some() { TooCostly::Size } else { other(&error) })?;
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Anchored)
            .accelerate(false)
            .minimize(false)
            .dfa_size_limit(Some(limit.saturating_mul(2)))
            .determinize_size_limit(Some(limit.saturating_mul(4)));
        let dfa = dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .map_err(|error| if error.is_size_limit_exceeded() { TooCostly::Size } else { other(&error) })?;
        Self::compact(&dfa, limit)
    }

    /// Renumbers the states that matter into a small table, without those that lead nowhere.
    fn compact(dfa: &dense::DFA<Vec<u32>>, limit: usize) -> Result<Self, TooCostly> {
        let classes = dfa.byte_classes();
        let bytes: Vec<u8> = classes.representatives(0..=u8::MAX).filter_map(|unit| unit.as_u8()).collect();
        let mut starts = Vec::new();
        for byte in BEHIND {
            let config = start::Config::new().anchored(Anchored::Yes).look_behind(byte);
            starts.push(dfa.start_state(&config).map_err(|error| TooCostly::Other(error.to_string()))?);
        }
        let stride = bytes.len() + 1;
        let explored = Explored::new(dfa, &starts, &bytes);
        let matching: Vec<bool> = explored.order.iter().map(|id| dfa.is_match_state(*id)).collect();
        let live = explored.live(&matching, stride);
        let mut kept = 0_usize;
        let numbers: Vec<u16> = live
            .iter()
            .zip(&matching)
            .map(|(live, matching)| {
                kept += usize::from(*live || *matching);
                if *live || *matching { u16::try_from(kept).unwrap_or(u16::MAX) } else { DEAD }
            })
            .collect();
        if kept >= usize::from(u16::MAX) || (kept + 1).saturating_mul(stride).saturating_mul(2) > limit {
            return Err(TooCostly::Size);
        }
        let numbered = |at: u32| numbers.get(at as usize).copied().unwrap_or(DEAD);
        let mut table = vec![DEAD; stride];
        let mut flags = vec![0];
        let rows = explored.order.iter().zip(explored.next.chunks_exact(stride));
        for (((id, row), live), number) in rows.zip(&live).zip(&numbers).filter(|(_, number)| **number != DEAD) {
            table.extend(row.iter().map(|to| numbered(*to)));
            let matching = dfa.is_match_state(*id);
            flags.push(if *live { LIVE } else { 0 } | if matching { MATCH } else { 0 });
            debug_assert_eq!(flags.len(), usize::from(*number) + 1);
        }
        let mut first = Vec::with_capacity(BEHIND_LEN * stride);
        for from in starts {
            first.extend(bytes.iter().map(|byte| explored.number(dfa.next_state(from, *byte)).map_or(DEAD, numbered)));
            first.push(DEAD);
        }
        let mut map = Box::new([0_u8; 256]);
        for (byte, class) in (0..=u8::MAX).zip(map.iter_mut()) {
            *class = classes.get(byte);
        }
        let mut small = Tables { classes: map, stride, table, flags, first };
        small.join_states();
        small.join_classes();
        let Tables { classes, stride, table, flags, first } = small;
        Ok(Self { classes, stride, table: table.into(), flags: flags.into(), first: first.into() })
    }

    /// The state after `byte`, the first of a match, behind what `behind` says.
    pub(super) fn first(&self, behind: usize, byte: u8) -> u16 {
        // A match begins and ends between characters: none starts at a continuation byte.
        if (0x80..0xc0).contains(&byte) {
            return DEAD;
        }
        self.first.get(behind * self.stride + self.class(byte)).copied().unwrap_or(DEAD)
    }

    fn class(&self, byte: u8) -> usize {
        usize::from(self.classes.get(usize::from(byte)).copied().unwrap_or(0))
    }

    /// The state after one more byte.
    pub(super) fn next(&self, state: u16, byte: u8) -> u16 {
        self.table.get(usize::from(state) * self.stride + self.class(byte)).copied().unwrap_or(DEAD)
    }

    /// The state after the end of the text.
    pub(super) fn end(&self, state: u16) -> u16 {
        self.table.get(usize::from(state) * self.stride + self.stride - 1).copied().unwrap_or(DEAD)
    }

    /// Whether a match can still come.
    pub(super) fn is_live(&self, state: u16) -> bool {
        self.flags.get(usize::from(state)).is_some_and(|flags| flags & LIVE != 0)
    }

    /// Whether a match ended before the byte that led here.
    pub(super) fn is_match(&self, state: u16) -> bool {
        self.flags.get(usize::from(state)).is_some_and(|flags| flags & MATCH != 0)
    }

    /// Whether nothing happens in `state` but that a match can still come.
    pub(super) fn is_quiet(&self, state: u16) -> bool {
        self.flags.get(usize::from(state)).is_some_and(|flags| *flags == LIVE)
    }

    /// Whether `state` comes to nothing, without a match, within `bytes`.
    pub(super) fn dies_within<'b>(&self, mut state: u16, bytes: impl Iterator<Item = &'b u8>) -> bool {
        for byte in bytes {
            state = self.next(state, *byte);
            match self.flags.get(usize::from(state)).copied().unwrap_or(0) {
                LIVE => {}
                flags => return flags & MATCH == 0,
            }
        }
        false
    }

    /// Bytes held by the tables.
    pub(super) fn memory(&self) -> usize {
        (self.table.len() + self.first.len()) * 2 + self.flags.len() + 256
    }

    /// Whether every match reads `byte`, for the first time after at most `reach` others.
    pub(super) fn must_read(&self, byte: u8, reach: usize) -> bool {
        let others = || (0..=u8::MAX).filter(|other| *other != byte);
        let first = |behind| others().map(move |other| self.first(behind, other));
        let mut states: BTreeSet<u16> = (0..BEHIND_LEN).flat_map(first).filter(|state| *state != DEAD).collect();
        for _ in 0..reach {
            if states.is_empty() {
                return true;
            }
            let ends = |state: &u16| [self.next(*state, byte), self.end(*state)].iter().any(|to| self.is_match(*to));
            if states.iter().any(|state| self.is_match(*state) || ends(state)) {
                return false;
            }
            states = states.iter().flat_map(|state| others().map(|other| self.next(*state, other))).collect();
            states.remove(&DEAD);
        }
        states.is_empty()
    }

    /// The bytes that a match can read before it reads `byte` for the first time.
    pub(super) fn reads_before(&self, byte: u8) -> [bool; 256] {
        let mut reads = [false; 256];
        let mut seen = BTreeSet::from([DEAD]);
        let mut stack = Vec::new();
        let mut from = |steps: &dyn Fn(u8) -> u16, stack: &mut Vec<u16>| {
            for (other, read) in (0..=u8::MAX).zip(&mut reads).filter(|(other, _)| *other != byte) {
                let state = steps(other);
                *read |= state != DEAD;
                stack.extend(seen.insert(state).then_some(state));
            }
        };
        (0..BEHIND_LEN).for_each(|behind| from(&|other| self.first(behind, other), &mut stack));
        while let Some(state) = stack.pop() {
            from(&|other| self.next(state, other), &mut stack);
        }
        reads
    }

    /// The most bytes that can be read, from any start, before a first match is told or ruled out; `None` when there
    /// is no limit.
    pub(super) fn longest_wait(&self) -> Option<usize> {
        let mut longest: Vec<Option<usize>> = vec![None; self.flags.len()];
        let mut path = vec![false; self.flags.len()];
        let starts: BTreeSet<u16> = self.first.iter().copied().filter(|state| *state != DEAD).collect();
        let mut most = 0;
        for start in starts {
            most = most.max(self.wait(start, &mut longest, &mut path)? + 1);
        }
        Some(most)
    }

    /// Depth-first with an explicit stack, as chains can be thousands of states long.
    fn wait(&self, start: u16, longest: &mut [Option<usize>], path: &mut [bool]) -> Option<usize> {
        let mut stack = vec![(start, 0_usize)];
        while let Some((state, edge)) = stack.pop() {
            let at = usize::from(state);
            if longest.get(at).copied().flatten().is_some() {
                continue;
            }
            if self.is_match(state) || !self.is_live(state) {
                *longest.get_mut(at)? = Some(0);
                continue;
            }
            *path.get_mut(at)? = true;
            let row = self.table.get(at * self.stride..(at + 1) * self.stride - 1)?;
            if let Some(to) = row.get(edge) {
                stack.push((state, edge + 1));
                let known = longest.get(usize::from(*to)).copied().flatten().is_some();
                if *to != DEAD && !known {
                    if path.get(usize::from(*to)).copied().unwrap_or(false) {
                        return None;
                    }
                    stack.push((*to, 0));
                }
                continue;
            }
            let beyond = row.iter().filter(|to| **to != DEAD);
            let most = beyond.filter_map(|to| longest.get(usize::from(*to)).copied().flatten()).max().unwrap_or(0);
            *path.get_mut(at)? = false;
            *longest.get_mut(at)? = Some(most + 1);
        }
        longest.get(usize::from(start)).copied().flatten()
    }
}

/// The states of a library automaton, numbered in the order they are found, and where each byte class and the end lead
/// from each: `next[state * (bytes + 1) + class]`.
struct Explored {
    order: Vec<StateID>,
    next: Vec<u32>,
    /// Number by the library's own index, `u32::MAX` where unseen.
    position: Vec<u32>,
    stride2: usize,
}

impl Explored {
    /// Every state reachable from `starts` by at least one byte.
    fn new(dfa: &dense::DFA<Vec<u32>>, starts: &[StateID], bytes: &[u8]) -> Self {
        let mut own = Self { order: Vec::new(), next: Vec::new(), position: Vec::new(), stride2: dfa.stride2() };
        for start in starts {
            for byte in bytes {
                own.place(dfa.next_state(*start, *byte));
            }
        }
        let mut at = 0;
        while let Some(id) = own.order.get(at).copied() {
            for byte in bytes {
                let to = own.place(dfa.next_state(id, *byte));
                own.next.push(to);
            }
            let end = own.place(dfa.next_eoi_state(id));
            own.next.push(end);
            at += 1;
        }
        own
    }

    fn place(&mut self, id: StateID) -> u32 {
        let at = id.as_usize() >> self.stride2;
        if self.position.len() <= at {
            self.position.resize(at + 1, u32::MAX);
        }
        match self.position.get_mut(at) {
            Some(number) if *number == u32::MAX => {
                *number = self.order.len() as u32;
                self.order.push(id);
                *number
            }
            Some(number) => *number,
            None => u32::MAX,
        }
    }

    fn number(&self, id: StateID) -> Option<u32> {
        self.position.get(id.as_usize() >> self.stride2).copied().filter(|number| *number != u32::MAX)
    }

    /// Which states can reach one of `matching` by one more byte, or the end, at least.
    fn live(&self, matching: &[bool], stride: usize) -> Vec<bool> {
        // Edges by their target, as one list with an offset per state.
        let mut offsets = vec![0_u32; self.order.len() + 1];
        for to in &self.next {
            if let Some(count) = offsets.get_mut(*to as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        let mut fill = offsets.clone();
        let mut before = vec![0_u32; self.next.len()];
        for (edge, to) in self.next.iter().enumerate() {
            if let Some(at) = fill.get_mut(*to as usize) {
                if let Some(slot) = before.get_mut(*at as usize) {
                    *slot = (edge / stride) as u32;
                }
                *at += 1;
            }
        }
        let mut live = vec![false; self.order.len()];
        let mut queue: Vec<usize> =
            (0..matching.len()).filter(|at| matching.get(*at).copied().unwrap_or(false)).collect();
        while let Some(at) = queue.pop() {
            let from = offsets.get(at).copied().unwrap_or(0) as usize;
            let to = offsets.get(at + 1).copied().unwrap_or(0) as usize;
            for state in before.get(from..to).unwrap_or_default() {
                if let Some(slot) = live.get_mut(*state as usize).filter(|slot| !**slot) {
                    *slot = true;
                    queue.push(*state as usize);
                }
            }
        }
        live
    }
}

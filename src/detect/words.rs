//! All literals of all rules in one small table, run over a text in four lanes side by side.

use std::collections::HashMap;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::noncontiguous::NFA;

/// Below this many bytes one lane is quicker than four.
const LANES_FROM: usize = 1024;

/// An Aho-Corasick automaton with 16-bit states; ASCII upper case reads as lower case.
#[derive(Debug)]
pub(super) struct Words {
    /// Bytes that no literal contains share class 0.
    classes: Box<[u8; 256]>,
    shift: u32,
    /// `state << shift | class`.
    table: Vec<u16>,
    /// States from here on end literals.
    first_match: u16,
    /// The literals that end in each of those.
    ends: Vec<Box<[u16]>>,
    lengths: Vec<u16>,
    longest: usize,
}

/// A literal and the byte behind it.
pub(super) type End = (u16, u32);

impl Words {
    /// Over different lower-case ASCII literals.
    pub(super) fn new(literals: &[String]) -> Result<Self, String> {
        let too_many = || format!("{} prefilter literals are too many", literals.len());
        let nfa = NFA::builder().build(literals).map_err(|error| error.to_string())?;
        let start = nfa.start_state(Anchored::No).map_err(|error| error.to_string())?;
        let mut classes = Box::new([0_u8; 256]);
        let mut bytes = vec![0_u8];
        for byte in 0..=u8::MAX {
            let used = literals.iter().any(|literal| literal.as_bytes().contains(&byte));
            if used && let Some(class) = classes.get_mut(usize::from(byte)) {
                *class = bytes.len() as u8;
                bytes.push(byte);
            }
        }
        for upper in b'A'..=b'Z' {
            let lower = classes.get(usize::from(upper.to_ascii_lowercase())).copied().unwrap_or(0);
            if let Some(class) = classes.get_mut(usize::from(upper)) {
                *class = lower;
            }
        }
        // Class 0 goes where a byte in no literal goes.
        if let Some(slot) = bytes.first_mut() {
            *slot = (0..=u8::MAX).find(|byte| classes.get(usize::from(*byte)) == Some(&0)).ok_or_else(too_many)?;
        }
        let (order, next) = explore(&nfa, start, &bytes);
        let shift = bytes.len().next_power_of_two().trailing_zeros();
        let plain = order.iter().filter(|id| !nfa.is_match(**id)).count();
        let (mut next_plain, mut next_match) = (0, plain);
        let mut numbers = Vec::with_capacity(order.len());
        for id in &order {
            let slot = if nfa.is_match(*id) { &mut next_match } else { &mut next_plain };
            numbers.push(u16::try_from(*slot).map_err(|_| too_many())?);
            *slot += 1;
        }
        let mut table = vec![0_u16; order.len() << shift];
        let mut ends = vec![Box::default(); order.len() - plain];
        for ((id, number), row) in order.iter().zip(&numbers).zip(next.chunks_exact(bytes.len())) {
            let at = usize::from(*number) << shift;
            for (slot, to) in table.iter_mut().skip(at).zip(row) {
                *slot = numbers.get(*to as usize).copied().unwrap_or(0);
            }
            if let Some(own) = usize::from(*number).checked_sub(plain).and_then(|nth| ends.get_mut(nth)) {
                *own = (0..nfa.match_len(*id)).map(|nth| nfa.match_pattern(*id, nth).as_usize() as u16).collect();
            }
        }
        let lengths: Vec<u16> = literals.iter().map(|literal| literal.len() as u16).collect();
        let longest = lengths.iter().copied().max().map_or(0, usize::from);
        let first_match = u16::try_from(plain).map_err(|_| too_many())?;
        Ok(Self { classes, shift, table, first_match, ends, lengths, longest })
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.table.len() * 2 + self.ends.len() * 24 + self.lengths.len() * 2 + 256
    }

    /// A literal's length.
    pub(super) fn length(&self, literal: u16) -> u32 {
        self.lengths.get(usize::from(literal)).copied().map_or(0, u32::from)
    }

    fn next(&self, state: u16, byte: u8) -> u16 {
        let class = self.classes.get(usize::from(byte)).copied().unwrap_or(0);
        self.table.get((usize::from(state) << self.shift) | usize::from(class)).copied().unwrap_or(0)
    }

    fn tell(&self, state: u16, end: usize, found: &mut Vec<End>) {
        if let Some(nth) = state.checked_sub(self.first_match) {
            let ends = self.ends.get(usize::from(nth)).map_or(&[][..], |ends| ends);
            found.extend(ends.iter().map(|literal| (*literal, end as u32)));
        }
    }

    fn run(&self, text: &[u8], from: usize, mut state: u16, found: &mut Vec<End>) {
        for (at, byte) in text.iter().enumerate() {
            state = self.next(state, *byte);
            if state >= self.first_match {
                self.tell(state, from + at + 1, found);
            }
        }
    }

    /// Appends every occurrence of every literal, in the order they end; some twice in a row where lanes meet.
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<End>) {
        let quarter = text.len() / 4;
        if text.len() < LANES_FROM.max(self.longest * 16) {
            self.run(text, 0, self.start(), found);
            return;
        }
        let overlap = self.longest.saturating_sub(1);
        let lane = |nth: usize| {
            let from = (nth * quarter).saturating_sub(overlap);
            let to = if nth == 3 { text.len() } else { (nth + 1) * quarter };
            (from, text.get(from..to).unwrap_or_default())
        };
        let ((_, a), (from_b, b), (from_c, c), (from_d, d)) = (lane(0), lane(1), lane(2), lane(3));
        let start = self.start();
        let (mut sa, mut sb, mut sc, mut sd) = (start, start, start, start);
        let (mut found_b, mut found_c, mut found_d) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (((a, b), c), d)) in a.iter().zip(b).zip(c).zip(d).enumerate() {
            (sa, sb, sc, sd) = (self.next(sa, *a), self.next(sb, *b), self.next(sc, *c), self.next(sd, *d));
            if sa.max(sb).max(sc.max(sd)) >= self.first_match {
                self.tell(sa, at + 1, found);
                self.tell(sb, from_b + at + 1, &mut found_b);
                self.tell(sc, from_c + at + 1, &mut found_c);
                self.tell(sd, from_d + at + 1, &mut found_d);
            }
        }
        let rest = |lane: &[u8], from: usize, state: u16, found: &mut Vec<End>| {
            self.run(lane.get(a.len()..).unwrap_or_default(), from + a.len(), state, found);
        };
        rest(b, from_b, sb, &mut found_b);
        rest(c, from_c, sc, &mut found_c);
        rest(d, from_d, sd, &mut found_d);
        for lane in [found_b, found_c, found_d] {
            // What ends in the overlap was seen by the lane before.
            let last = found.last().map_or(0, |(_, end)| *end);
            found.extend(lane.into_iter().filter(|(_, end)| *end > last));
        }
    }

    /// The start is the first state explored, and no literal is empty.
    const fn start(&self) -> u16 {
        0
    }
}

/// Every state, the start first, and where each of `bytes` leads from each.
fn explore(nfa: &NFA, start: StateID, bytes: &[u8]) -> (Vec<StateID>, Vec<u32>) {
    let mut order = vec![start];
    let mut place = HashMap::from([(start, 0_u32)]);
    let mut next = Vec::new();
    let mut at = 0;
    while let Some(id) = order.get(at).copied() {
        for byte in bytes {
            let to = nfa.next_state(Anchored::No, id, *byte);
            next.push(*place.entry(to).or_insert_with(|| {
                order.push(to);
                (order.len() - 1) as u32
            }));
        }
        at += 1;
    }
    (order, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(literals: &[&str], text: &str) -> Vec<End> {
        let lower = text.to_ascii_lowercase();
        let mut all = Vec::new();
        for (nth, literal) in literals.iter().enumerate() {
            for start in 0..lower.len() {
                if lower.as_bytes()[start..].starts_with(literal.as_bytes()) {
                    all.push((nth as u16, (start + literal.len()) as u32));
                }
            }
        }
        all.sort_by_key(|(nth, end)| (*end, *nth));
        all
    }

    #[test]
    fn every_occurrence_is_found_in_any_lane() {
        let literals = ["ignore", "nor", "instructions", "](http", "4111", "the "];
        let owned: Vec<String> = literals.map(String::from).to_vec();
        let words = Words::new(&owned).unwrap();
        for length in [0, 5, 100, 1_023, 1_024, 1_500, 4_096, 4_099] {
            let text: String = "IGNORE the INSTRUCTIONS é ![x](http://4111) ".chars().cycle().take(length).collect();
            let mut found = Vec::new();
            words.find(text.as_bytes(), &mut found);
            found.dedup();
            found.sort_by_key(|(nth, end)| (*end, *nth));
            assert_eq!(found, naive(&literals, &text), "{length}");
        }
    }
}

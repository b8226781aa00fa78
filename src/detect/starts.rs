//! Where in a text a match can start: one pass over the text, four bytes looked at per position.
//!
//! What the first bytes of a match can be is gathered from every pattern into 64 buckets, each a set of bytes per place.
//! A position where some bucket admits what stands before it and the bytes there is looked at closer, by the smaller
//! buckets of that bucket and then by their patterns; most positions of ordinary text end before.

use std::collections::{BTreeMap, BTreeSet};

use super::automaton::{Automaton, BEHIND_LEN, DEAD, behind};
use super::frequency::share;
use super::late::{Late, REACH};
use super::output::OutputPattern;

/// Buckets, each a bit.
const BUCKETS: usize = 64;
/// Smaller buckets in each.
const SMALLER: usize = 8;
/// Places of a match that are looked at: all where the first [`QUICK`] admit it.
const PLACES: usize = 8;
/// Places looked at everywhere.
const QUICK: usize = 4;
/// A pattern that can start at more than one position in so many of ordinary text is looked for late, where it can be.
const BROAD: f64 = 1.0 / 400.0;

/// The buckets.
#[derive(Debug)]
pub(super) struct Starts {
    /// The buckets that admit a start behind a byte.
    behind: Box<[u64; 256]>,
    /// Those that admit a start where nothing stands before.
    opening: u64,
    /// Those that admit a byte in each place of a match.
    places: Box<[[u64; 256]; PLACES]>,
    buckets: Vec<Bucket>,
    late: Vec<Late>,
    /// Their buckets.
    late_bits: u64,
}

/// A bucket's smaller buckets, each a bit.
#[derive(Debug)]
struct Bucket {
    /// Those that admit a start, by what stands before.
    behind: [u8; BEHIND_LEN],
    /// Those that admit a byte in each place.
    places: Box<[[u8; 256]; PLACES]>,
    /// The patterns of each.
    patterns: Vec<Box<[u16]>>,
}

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Bytes([u64; 4]);

/// One way to start: what may stand before, and what the first bytes may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    behind: [bool; BEHIND_LEN],
    places: [Bytes; PLACES],
}

/// A way to start and the patterns that start so, by number.
type Numbered = (Way, Vec<u16>);
type Ways = Vec<Numbered>;

impl Starts {
    pub(super) fn new(patterns: &[OutputPattern]) -> Self {
        let mut all: BTreeMap<Way, Vec<u16>> = BTreeMap::new();
        let mut late: BTreeMap<u8, Vec<u16>> = BTreeMap::new();
        for (number, own) in (0_u16..).zip(patterns) {
            let ways = ways(&own.automaton);
            let broad = ways.iter().map(Way::weight).sum::<f64>() > BROAD;
            let byte = if broad && !own.kind.enforced && !own.kind.judged { rare_byte(&own.automaton) } else { None };
            match byte {
                Some(byte) if late.contains_key(&byte) || late.len() < BUCKETS / 8 => {
                    late.entry(byte).or_default().push(number);
                }
                Some(_) | None => ways.into_iter().for_each(|way| all.entry(way).or_default().push(number)),
            }
        }
        let buckets = divide(all.into_iter().collect(), BUCKETS - late.len());
        let mut own = Self {
            behind: Box::new([0; 256]),
            opening: 0,
            places: Box::new([[0; 256]; PLACES]),
            buckets: Vec::new(),
            late: Vec::new(),
            late_bits: 0,
        };
        for (byte, numbers) in late {
            own.late_bits |= 1 << own.buckets.len();
            own.late.push(Late::new(byte, numbers, patterns));
            let mut places = [Bytes::ALL; PLACES];
            places[0] = Bytes::of([byte].into_iter());
            own.add(&Way { behind: [true; BEHIND_LEN], places }, Vec::new());
        }
        for bucket in buckets {
            own.add(&Way::joined(&bucket), bucket);
        }
        own
    }

    fn add(&mut self, way: &Way, ways: Ways) {
        let bit = 1 << self.buckets.len();
        for byte in 0..=u8::MAX {
            let at = usize::from(byte);
            let admits = way.behind.get(behind(Some(byte))).copied().unwrap_or(true);
            self.behind.get_mut(at).into_iter().filter(|_| admits).for_each(|bits| *bits |= bit);
            for (table, place) in self.places.iter_mut().zip(&way.places) {
                table.get_mut(at).into_iter().filter(|_| place.has(byte)).for_each(|bits| *bits |= bit);
            }
        }
        if way.behind.first().copied().unwrap_or(true) {
            self.opening |= bit;
        }
        self.buckets.push(Bucket::new(ways));
    }

    /// The first position of `text` from `at` on where a match may start, and the buckets that say so.
    pub(super) fn next(&self, before: Option<u8>, text: &[u8], mut at: usize) -> Option<(usize, u64)> {
        if at == 0 {
            match self.admits(before, text) {
                0 => at = 1,
                bits => return Some((0, bits)),
            }
        }
        loop {
            let rest = text.get(at - 1..)?;
            at += rest
                .array_windows()
                .position(|bytes| self.quick(bytes) != 0)
                .unwrap_or(rest.len().saturating_sub(QUICK));
            let (before, rest) = text.get(at - 1..)?.split_first()?;
            if rest.is_empty() {
                return None;
            }
            match self.admits(Some(*before), rest) {
                0 => at += 1,
                bits => return Some((at, bits)),
            }
        }
    }

    /// The buckets that admit a byte and the [`QUICK`] behind it.
    #[inline]
    fn quick(&self, [before, first, second, third, fourth]: &[u8; QUICK + 1]) -> u64 {
        let [one, two, three, four, ..] = &*self.places;
        let bits = |table: &[u64; 256], byte: &u8| table.get(usize::from(*byte)).copied().unwrap_or(0);
        bits(&self.behind, before) & bits(one, first) & bits(two, second) & bits(three, third) & bits(four, fourth)
    }

    /// The buckets that admit all that is there of the first bytes of `text`.
    fn admits(&self, before: Option<u8>, text: &[u8]) -> u64 {
        let mut bits = before.map_or(self.opening, |byte| self.behind.get(usize::from(byte)).copied().unwrap_or(0));
        for (table, byte) in self.places.iter().zip(text) {
            bits &= table.get(usize::from(*byte)).copied().unwrap_or(0);
        }
        bits
    }

    /// The patterns of some buckets that may match from the beginning of `text` on; one may come twice.
    pub(super) fn patterns<'a>(&'a self, bits: u64, behind: usize, text: &'a [u8]) -> impl Iterator<Item = u16> + 'a {
        let admitting = move |bucket: &'a Bucket| {
            let bits = u64::from(bucket.admits(behind, text));
            ones(bits).filter_map(|at| bucket.patterns.get(at)).flat_map(|own| own.iter().copied())
        };
        ones(bits).filter_map(|at| self.buckets.get(at)).flat_map(admitting)
    }

    /// Whether one of the buckets asks to look back.
    pub(super) fn is_late(&self, bits: u64) -> bool {
        bits & self.late_bits != 0
    }

    /// The patterns that are looked for backwards.
    pub(super) fn late(&self) -> &[Late] {
        &self.late
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let patterns = self.buckets.iter().flat_map(|own| &own.patterns).map(|own| own.len() * 2);
        (PLACES + 1) * 256 * 8 + self.buckets.len() * PLACES * 256 + patterns.sum::<usize>()
    }
}

impl Bucket {
    fn new(ways: Ways) -> Self {
        let mut own = Self { behind: [0; BEHIND_LEN], places: Box::new([[0; 256]; PLACES]), patterns: Vec::new() };
        for some in divide(ways, SMALLER) {
            let (way, bit) = (Way::joined(&some), 1 << own.patterns.len());
            let behind = own.behind.iter_mut().zip(way.behind);
            behind.filter(|(_, admits)| *admits).for_each(|(bits, _)| *bits |= bit);
            for (table, place) in own.places.iter_mut().zip(&way.places) {
                let bytes = (0..=u8::MAX).zip(table.iter_mut());
                bytes.filter(|(byte, _)| place.has(*byte)).for_each(|(_, bits)| *bits |= bit);
            }
            let numbers: BTreeSet<u16> = some.into_iter().flat_map(|(_, numbers)| numbers).collect();
            own.patterns.push(numbers.into_iter().collect());
        }
        own
    }

    /// The smaller buckets that admit all that is there of the first bytes of `text`.
    fn admits(&self, behind: usize, text: &[u8]) -> u8 {
        let bits = self.behind.get(behind).copied().unwrap_or(0);
        let tables = self.places.iter().zip(text);
        tables.fold(bits, |bits, (table, byte)| bits & table.get(usize::from(*byte)).copied().unwrap_or(0))
    }
}

/// The positions of the bits that are set.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (bits != 0).then(|| bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        at
    })
}

impl Bytes {
    const NONE: Self = Self([0; 4]);
    const ALL: Self = Self([u64::MAX; 4]);

    fn of(bytes: impl Iterator<Item = u8>) -> Self {
        let mut own = Self::NONE;
        for byte in bytes {
            own.0.get_mut(usize::from(byte >> 6)).into_iter().for_each(|bits| *bits |= 1 << (byte & 63));
        }
        own
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|bits| bits >> (byte & 63) & 1 == 1)
    }

    fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own |= other);
    }

    fn first(&self) -> u8 {
        (0..=u8::MAX).find(|byte| self.has(*byte)).unwrap_or(0).to_ascii_lowercase()
    }

    /// How often one of them stands somewhere in ordinary text.
    fn weight(&self) -> f64 {
        if *self == Self::ALL { 1.0 } else { (0..=u8::MAX).filter(|byte| self.has(*byte)).map(share).sum() }
    }
}

impl Way {
    fn joined(ways: &[(Self, Vec<u16>)]) -> Self {
        let none = Self { behind: [false; BEHIND_LEN], places: [Bytes::NONE; PLACES] };
        ways.iter().fold(none, |mut all, (way, _)| {
            all.join(way);
            all
        })
    }

    fn join(&mut self, other: &Self) {
        self.behind.iter_mut().zip(other.behind).for_each(|(own, other)| *own |= other);
        self.places.iter_mut().zip(&other.places).for_each(|(own, other)| own.join(other));
    }

    /// How often ordinary text is admitted by what is looked at everywhere.
    fn weight(&self) -> f64 {
        const BEHIND: [f64; BEHIND_LEN] = [0.0, 0.79, 0.01, 0.0, 0.2];
        let behind: f64 = self.behind.iter().zip(BEHIND).filter(|(own, _)| **own).map(|(_, weight)| weight).sum();
        self.places.iter().take(QUICK).fold(behind, |product, place| product * place.weight())
    }
}

/// The ways a pattern can start, told apart by their first two bytes.
fn ways(automaton: &Automaton) -> Vec<Way> {
    let mut firsts: BTreeMap<(u16, [bool; BEHIND_LEN]), BTreeSet<u8>> = BTreeMap::new();
    for byte in 0..=u8::MAX {
        let states: [u16; BEHIND_LEN] = std::array::from_fn(|behind| automaton.first(behind, byte));
        for state in states.iter().copied().filter(|state| *state != DEAD) {
            firsts.entry((state, states.map(|other| other == state))).or_default().insert(byte);
        }
    }
    let mut ways = Vec::new();
    for ((state, behind), bytes) in firsts {
        let mut seconds: BTreeMap<u16, BTreeSet<u8>> = BTreeMap::new();
        for byte in 0..=u8::MAX {
            seconds.entry(automaton.next(state, byte)).or_default().insert(byte);
        }
        seconds.remove(&DEAD);
        for (second, then) in seconds {
            let mut places = [Bytes::ALL; PLACES];
            let (head, rest) = places.split_at_mut(2);
            head.copy_from_slice(&[Bytes::of(bytes.iter().copied()), Bytes::of(then.into_iter())]);
            follow(automaton, second, rest);
            ways.push(Way { behind, places });
        }
        // A match that needs the end of the text behind its first byte: any other byte rules it out.
        if automaton.end(state) != DEAD {
            let mut places = [Bytes::NONE; PLACES];
            places[0] = Bytes::of(bytes.into_iter());
            ways.push(Way { behind, places });
        }
    }
    ways
}

/// What can follow in each place, from one state on. Behind a match anything can.
fn follow(automaton: &Automaton, from: u16, places: &mut [Bytes]) {
    let mut states = BTreeSet::from([from]);
    for place in places {
        if states.iter().any(|state| automaton.is_match(*state)) {
            return;
        }
        let mut next = BTreeSet::new();
        let mut admitted = Bytes::NONE;
        for byte in 0..=u8::MAX {
            let reached = states.iter().map(|state| automaton.next(*state, byte)).filter(|state| *state != DEAD);
            let reached: Vec<u16> = reached.collect();
            if !reached.is_empty() {
                admitted.join(&Bytes::of([byte].into_iter()));
                next.extend(reached);
            }
        }
        *place = admitted;
        states = next;
    }
}

/// The rarest byte that every match reads soon enough.
fn rare_byte(automaton: &Automaton) -> Option<u8> {
    let mut bytes: Vec<u8> = (0..0x80).filter(|byte| share(*byte) < BROAD).collect();
    bytes.sort_by(|a, b| share(*a).total_cmp(&share(*b)));
    bytes.into_iter().find(|byte| automaton.must_read(*byte, REACH))
}

/// Divides the ways into at most `most` buckets, each time the one that admits the most text.
fn divide(all: Ways, most: usize) -> Vec<Ways> {
    let mut done: Vec<Ways> = Vec::new();
    let mut buckets = vec![(Way::joined(&all).weight(), all)];
    buckets.retain(|(_, own)| !own.is_empty());
    while done.len() + buckets.len() < most {
        let heaviest = buckets.iter().enumerate().max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0)).map(|(at, _)| at);
        let Some((_, bucket)) = heaviest.map(|at| buckets.swap_remove(at)) else { break };
        match halves(bucket) {
            Ok(halves) => buckets.extend(halves.map(|half| (Way::joined(&half).weight(), half))),
            Err(whole) => done.push(whole),
        }
    }
    done.extend(buckets.into_iter().map(|(_, own)| own));
    done
}

/// The best division of a bucket in two, by the bytes of some place.
fn halves(mut bucket: Ways) -> Result<[Ways; 2], Ways> {
    let key = |way: &Way, place: usize| (way.places.get(place).map_or(0, Bytes::first), *way);
    let mut best: Option<(f64, usize, usize)> = None;
    for place in 0..QUICK {
        bucket.sort_by_key(|(way, _)| key(way, place));
        let mut behind = vec![0.0; bucket.len()];
        let mut sum: Option<Way> = None;
        for ((way, _), slot) in bucket.iter().zip(&mut behind).rev() {
            *slot = joined(&mut sum, way);
        }
        let mut sum: Option<Way> = None;
        for (at, (way, _)) in bucket.iter().enumerate() {
            let weight = joined(&mut sum, way) + behind.get(at + 1).copied().unwrap_or(f64::MAX);
            if best.is_none_or(|(known, ..)| weight < known) && at + 1 < bucket.len() {
                best = Some((weight, place, at + 1));
            }
        }
    }
    let Some((_, place, at)) = best else { return Err(bucket) };
    bucket.sort_by_key(|(way, _)| key(way, place));
    let right = bucket.split_off(at);
    Ok([bucket, right])
}

/// Joins a way to a sum; the sum's weight.
fn joined(sum: &mut Option<Way>, way: &Way) -> f64 {
    let own = sum.get_or_insert(*way);
    own.join(way);
    own.weight()
}

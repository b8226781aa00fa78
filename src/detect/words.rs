//! All literals of all rules, found by the rarest four bytes of each.
//!
//! Each position of a text is hashed, four bytes at a time, and looked up in small bit sets: independent of each other,
//! so that a processor does several at once, where an automaton waits for one state to know the next. Most positions are
//! asked of the first set only, which knows the pieces without digits and signs and is one bit per hash. What the sets let
//! through is compared with the literals behind the hash. Literals too short for that are looked for where a digit or a
//! sign is: nearly all contain one, and most text does not.

use super::fold::{FOREIGN, Read, fold};
use super::frequency::expected;
use super::signs::Signs;

/// Bytes a literal can be long: it is compared as one number.
pub(super) const WIDTH: usize = super::literal::LONGEST;
/// Bytes hashed.
const PIECE: usize = 4;
/// Positions looked at between two looks at what was let through.
pub(super) const STEP: usize = 64;
/// Bits of a hash by which literals are found.
const BITS: u32 = 17;
/// Words of the bit set, as a power of two: 32 KiB stay in the first cache.
const FILTER: u32 = 12;
/// Words of the first bit set, as a power of two.
const PLAIN: u32 = 11;
/// What is left of a piece of four bytes when it is shorter.
const THREE: u32 = 0x00ff_ffff;
const TWO: u32 = 0xffff;

/// Different ASCII literals, read as texts are.
#[derive(Debug)]
pub(super) struct Words {
    /// Which brief hashes are of a piece without digits and signs.
    plain: Box<Plain>,
    /// Which are of a piece with some.
    odd: Box<Plain>,
    /// By a piece of four bytes.
    long: Table,
    /// By all of the literal, where the digit or sign in it is.
    short: Table,
    /// By the first two bytes of a short literal: a bit for each number of bytes before its digit or sign.
    pairs: Box<Pairs>,
    masks: Masks,
}

/// A bit for each brief hash: 16 KiB.
type Plain = [u64; 1 << PLAIN];

/// By two bytes of ASCII.
type Pairs = [u8; 1 << 14];

/// So many positions of a step with a digit or sign near are looked up in the second bit set first.
const MANY: u32 = 16;

/// By length: the bits of so many first bytes.
type Masks = [u128; 256];

/// Literals by the hash of a piece.
#[derive(Debug)]
struct Table {
    /// By the first bits of a hash: the two bits of each piece (a blocked Bloom filter).
    filter: Box<[u64; 1 << FILTER]>,
    /// By hash: where its entries begin, and how many there are.
    heads: Vec<(u16, u16)>,
    entries: Vec<Entry>,
}

/// A literal, compared with the text around a piece of it. Small, so that those behind a hash share a cache line.
#[derive(Debug, Clone, Copy)]
struct Entry {
    text: [u8; WIDTH],
    literal: u16,
    len: u8,
    /// Bytes of the literal before the place where it is compared.
    before: u8,
}

/// An occurrence of a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) literal: u16,
    /// Its first byte.
    pub(super) start: u32,
}

impl Table {
    /// Of literals, each with a piece.
    fn new(entries: Vec<(u32, Entry)>) -> Result<Self, String> {
        let mut entries: Vec<(u32, Entry)> = entries.into_iter().map(|(piece, entry)| (hash(piece), entry)).collect();
        let mut filter = Box::new([0_u64; 1 << FILTER]);
        for (hash, _) in &entries {
            let (word, bits) = place(*hash);
            filter.get_mut(word).into_iter().for_each(|word| *word |= bits);
        }
        let by_head = |(hash, entry): &(u32, Entry)| (head(*hash), entry.literal);
        entries.sort_by_key(by_head);
        entries.dedup_by_key(|own| by_head(own));
        if u16::try_from(entries.len()).is_err() {
            return Err(format!("{} pieces of prefilter literals are too many", entries.len()));
        }
        let mut heads = vec![(0_u16, 0_u16); 1 << BITS];
        for (nth, (hash, _)) in (0..).zip(&entries) {
            if let Some((first, count)) = heads.get_mut(head(*hash)) {
                (*first, *count) = (if *count == 0 { nth } else { *first }, *count + 1);
            }
        }
        Ok(Self { filter, heads, entries: entries.into_iter().map(|(_, entry)| entry).collect() })
    }

    /// 1 where the hash may be one of a piece.
    #[inline]
    fn lets(&self, hash: u32) -> u64 {
        let word = self.filter.get((hash >> (u32::BITS - FILTER)) as usize).copied().unwrap_or(0);
        (word >> (hash >> 14 & 63)) & (word >> (hash >> 8 & 63)) & 1
    }

    /// The literals behind a hash.
    fn entries(&self, hash: u32) -> &[Entry] {
        let (first, count) = self.heads.get(head(hash)).copied().unwrap_or_default();
        self.entries.get(usize::from(first)..usize::from(first) + usize::from(count)).unwrap_or_default()
    }

    fn memory(&self) -> usize {
        size_of_val(&*self.filter) + self.heads.len() * 4 + self.entries.len() * size_of::<Entry>()
    }
}

impl Words {
    /// Over different lower-case ASCII literals of at most [`LONGEST`](super::literal::LONGEST) bytes.
    pub(super) fn new(literals: &[String]) -> Result<Self, String> {
        let (mut long, mut short) = (Vec::new(), Vec::new());
        let mut pairs: Box<Pairs> = Box::new([0; 1 << 14]);
        for (nth, literal) in literals.iter().enumerate() {
            let nth = u16::try_from(nth).map_err(|_| format!("{} prefilter literals are too many", literals.len()))?;
            let entry = Entry::new(nth, literal.as_bytes())?;
            match literal.bytes().position(is_odd).filter(|_| literal.len() < PIECE) {
                Some(before) => {
                    let [one, two, ..] = entry.text;
                    pairs.get_mut(pair(one, two)).into_iter().for_each(|own| *own |= 1 << before);
                    short.push((piece(&entry.text, 0), Entry { before: before as u8, ..entry }));
                }
                None => long.extend(entry.by_piece(literal.as_bytes())),
            }
        }
        let mask = |len: usize| u128::MAX.checked_shr(8 * WIDTH.saturating_sub(len) as u32).unwrap_or(0);
        let (mut plain, mut odd): (Box<Plain>, Box<Plain>) = (Box::new([0; 1 << PLAIN]), Box::new([0; 1 << PLAIN]));
        for (piece, _) in &long {
            let set = if piece.to_le_bytes().iter().any(|own| is_odd(*own)) { &mut odd } else { &mut plain };
            let (word, bit) = brief(*piece);
            set.get_mut(word).into_iter().for_each(|word| *word |= 1 << bit);
        }
        let (long, short) = (Table::new(long)?, Table::new(short)?);
        Ok(Self { plain, odd, long, short, pairs, masks: std::array::from_fn(mask) })
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let sets = size_of_val(&*self.plain) + size_of_val(&*self.odd) + size_of_val(&*self.pairs);
        sets + self.long.memory() + self.short.memory()
    }

    /// Appends every occurrence of every literal, in the order they start, and tells which digits and signs are where.
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<Hit>) -> Signs {
        let read = Read::of(text);
        let mut signs = Signs { pieces: vec![0; text.len() / STEP + 1] };
        let (mut at, mut missing) = (0, 0);
        while at < read.len {
            let Some(part) = read.low.get(at + WIDTH..).and_then(|rest| rest.first_chunk()) else { break };
            let odd = odd(part);
            let around = around(odd, part);
            let many = around.count_ones() >= MANY;
            let around = if many { around & known(&self.odd, part) } else { around };
            ones(known(&self.plain, part) | around, |nth| {
                let piece = part.get(nth..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
                let hash = hash(u32::from_le_bytes(piece));
                if self.long.lets(hash) != 0 {
                    self.compare(hash, &read.low, at + nth, found);
                }
            });
            ones(odd, |nth| {
                while read.missing.get(missing).is_some_and(|(from, _)| *from as usize <= at + nth) {
                    missing += 1;
                }
                let left_out = missing.checked_sub(1).and_then(|last| read.missing.get(last));
                let place = at + nth + left_out.map_or(0, |(_, bytes)| *bytes as usize);
                part.get(nth).into_iter().for_each(|byte| signs.note(place, *byte));
                self.compare_short(&read.low, at + nth, found);
            });
            at += STEP;
        }
        read.place(found);
        // They come nearly in order: each moves back by a few.
        for nth in 1..found.len() {
            let mut at = nth;
            while at > 0 && found.get(at - 1).map(|hit| hit.start) > found.get(at).map(|hit| hit.start) {
                found.swap(at - 1, at);
                at -= 1;
            }
        }
        signs
    }

    /// Compares the literals behind the hash of a position's piece; `low` has `WIDTH` bytes before the text.
    #[inline(never)]
    fn compare(&self, hash: u32, low: &[u8], here: usize, found: &mut Vec<Hit>) {
        let Some(around) = low.get(here + PIECE..).and_then(|rest| rest.first_chunk()) else { return };
        for entry in self.long.entries(hash) {
            entry.compare(&self.masks, around, here, found);
        }
    }

    /// Compares the short literals whose first digit or sign can be here.
    fn compare_short(&self, low: &[u8], here: usize, found: &mut Vec<Hit>) {
        let Some(near) = low.get(here + WIDTH + 1 - (PIECE - 1)..).and_then(|rest| rest.first_chunk()) else { return };
        let near: &[u8; PIECE] = near;
        for (before, [one, two]) in near.array_windows().rev().enumerate() {
            if self.pairs.get(pair(*one, *two)).copied().unwrap_or(0) >> before & 1 == 0 {
                continue;
            }
            let piece = piece(low, here + WIDTH - before);
            // At the end of a text three bytes are two and a zero.
            let three = Some(piece & THREE).filter(|three| *three != piece & TWO);
            for hash in three.into_iter().chain([piece & TWO]).map(hash) {
                if self.short.lets(hash) != 0 {
                    let own = self.short.entries(hash).iter().filter(|entry| usize::from(entry.before) == before);
                    let Some(around) = low.get(here + PIECE..).and_then(|rest| rest.first_chunk()) else { return };
                    own.for_each(|entry| entry.compare(&self.masks, around, here, found));
                }
            }
        }
    }
}

/// Tells each bit that is set.
#[inline]
fn ones(mut bits: u64, mut visit: impl FnMut(usize)) {
    while bits != 0 {
        visit(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

/// What is looked at in one step: so many positions, and what the pieces of the last reach.
type Part = [u8; STEP + PIECE - 1];

/// At which positions a piece of a set may be.
#[inline]
fn known(set: &Plain, part: &Part) -> u64 {
    let mut flags = [0; STEP];
    for (flag, piece) in flags.iter_mut().zip(part.array_windows()) {
        let (word, bit) = brief(u32::from_le_bytes(*piece));
        *flag = u8::from(set.get(word).copied().unwrap_or(0) >> bit & 1 != 0);
    }
    gathered(&flags)
}

/// Which bytes are digits or signs.
#[inline]
fn odd(part: &Part) -> u64 {
    let mut flags = [0_u8; STEP];
    for (flag, byte) in flags.iter_mut().zip(part) {
        *flag = u8::from(is_odd(*byte));
    }
    gathered(&flags)
}

/// At which positions the piece contains a digit or sign; `odd` are those of the first bytes.
#[inline]
fn around(odd: u64, part: &Part) -> u64 {
    let behind = part.iter().skip(STEP).rev().fold(0, |bits, byte| bits << 1 | u64::from(is_odd(*byte)));
    odd | odd >> 1 | odd >> 2 | odd >> 3 | behind << 63 | behind << 62 | behind << 61
}

/// A bit for each flag.
#[inline]
pub(super) fn gathered(flags: &[u8; STEP]) -> u64 {
    /// Gathers the lowest bits of eight bytes into one byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (eights, _) = flags.as_chunks::<8>();
    let bytes = eights.iter().map(|eight| u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56);
    bytes.enumerate().fold(0, |bits, (nth, eight)| bits | eight << (8 * nth))
}

/// A piece's word of the first bit set, and its bit there.
#[inline]
const fn brief(piece: u32) -> (usize, u32) {
    let hash = piece.wrapping_mul(0x9e37_79b1);
    ((hash >> (u32::BITS - PLAIN)) as usize, hash >> (u32::BITS - PLAIN - 6) & 63)
}

/// Neither a small letter, nor a space, nor of another script: a digit, a sign.
pub(super) const fn is_odd(byte: u8) -> bool {
    !(byte.wrapping_sub(b'a') < 26 || byte == b' ' || byte <= FOREIGN)
}

/// Where two bytes of ASCII stand in a table.
#[inline]
const fn pair(one: u8, two: u8) -> usize {
    (one as usize & 127) << 7 | two as usize & 127
}

fn piece(low: &[u8], at: usize) -> u32 {
    low.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |piece| u32::from_le_bytes(*piece))
}

const fn hash(piece: u32) -> u32 {
    ((piece as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> u32::BITS) as u32
}

/// Where the entries of a hash are found.
const fn head(hash: u32) -> usize {
    (hash >> (u32::BITS - BITS)) as usize
}

/// A hash's word of the filter, and its bits there.
const fn place(hash: u32) -> (usize, u64) {
    ((hash >> (u32::BITS - FILTER)) as usize, 1 << (hash >> 14 & 63) | 1 << (hash >> 8 & 63))
}

impl Entry {
    fn new(nth: u16, literal: &[u8]) -> Result<Self, String> {
        let short = literal.len() < PIECE - 1 && !literal.iter().any(|byte| is_odd(*byte));
        if short || !(2..=WIDTH).contains(&literal.len()) || literal.contains(&0) || literal.starts_with(b" ") {
            let literal = literal.escape_ascii();
            return Err(format!(
                "a prefilter literal must be 3 to {WIDTH} bytes, or 2 with a digit or sign, and not begin with a space: \
                 `{literal}`"
            ));
        }
        let mut text = [0; WIDTH];
        text.iter_mut().zip(literal).for_each(|(slot, byte)| *slot = *byte);
        Ok(Self { text, literal: nth, len: literal.len() as u8, before: 0 })
    }

    /// With its rarest piece; with every piece that can be there where the literal is shorter.
    fn by_piece(self, literal: &[u8]) -> Vec<(u32, Self)> {
        let pieces = literal.array_windows::<PIECE>().enumerate();
        if let Some((at, piece)) = pieces.min_by(|(_, a), (_, b)| expected(*a).total_cmp(&expected(*b))) {
            return vec![(u32::from_le_bytes(*piece), Self { before: at as u8, ..self })];
        }
        // A zero is behind the end of the text.
        let mut behind: Vec<u8> = (0..=u8::MAX).map(fold).chain([0]).collect();
        behind.sort_unstable();
        behind.dedup();
        behind.into_iter().map(|byte| (piece(&self.text, 0) | u32::from(byte) << 24, self)).collect()
    }

    /// Notes the literal where the text around a position is its: `around` begins so many bytes before it as a
    /// piece can have in a literal.
    #[inline(always)]
    fn compare(&self, masks: &Masks, around: &[u8; 2 * WIDTH], here: usize, found: &mut Vec<Hit>) {
        let before = usize::from(self.before);
        let from = (WIDTH - PIECE).wrapping_sub(before) & (WIDTH - 1);
        let Some(text) = around.get(from..).and_then(|rest| rest.first_chunk()) else { return };
        let mask = masks.get(usize::from(self.len)).copied().unwrap_or(0);
        if (u128::from_le_bytes(*text) ^ u128::from_le_bytes(self.text)) & mask == 0 {
            // A literal contains no zero: it cannot begin before the text.
            found.push(Hit { literal: self.literal, start: (here - before) as u32 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By comparing everywhere: white space in a literal stands for any run of it.
    fn naive(literals: &[&str], text: &str) -> Vec<Hit> {
        let lower: Vec<u8> = text.bytes().map(fold).collect();
        let mut all = Vec::new();
        for start in 0..lower.len() {
            for (nth, literal) in literals.iter().enumerate() {
                let mut at = start;
                let matches = literal.bytes().all(|byte| {
                    let own = lower.get(at) == Some(&byte);
                    at += 1;
                    while own && byte == b' ' && lower.get(at) == Some(&b' ') {
                        at += 1;
                    }
                    own
                });
                if matches {
                    all.push(Hit { literal: nth as u16, start: start as u32 });
                }
            }
        }
        all
    }

    #[test]
    fn every_occurrence_is_found_in_order() {
        let literals = [
            "dan",
            "ignore",
            "nor",
            "instruct",
            "](http",
            "4111",
            "the ",
            "nore",
            "](",
            "11",
            "the inst",
            "nore the",
            "\u{2}\u{2} !",
        ];
        let owned: Vec<String> = literals.map(String::from).to_vec();
        let words = Words::new(&owned).unwrap();
        for pieces in [
            "IGNORE\tthe\nINSTRUCTIONS é ![x](http://4111) ",
            "the \n\n INSTRUCTIONS  ",
            "  ",
            "ignore  the\t\tinst",
            "dan\u{0}4111 Dan",
        ] {
            for length in [0, 1, 3, 4, 5, 63, 64, 65, 100, 1_023, 1_024, 1_500, 4_099] {
                let text: String = pieces.chars().cycle().take(length).collect();
                let mut found = Vec::new();
                words.find(text.as_bytes(), &mut found);
                assert!(found.is_sorted_by_key(|hit| hit.start), "{length}");
                found.sort_by_key(|hit| (hit.start, hit.literal));
                let all = naive(&literals, &text);
                let different = found.iter().zip(&all).find(|(own, all)| own != all);
                assert!(different.is_none() && found.len() == all.len(), "{length} {pieces:?} {different:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        assert!(Words::new(&["a".into()]).is_err());
        assert!(Words::new(&["ai".into()]).is_err());
        assert!(Words::new(&["a ".into()]).is_err());
        assert!(Words::new(&[" ab".into()]).is_err());
        assert!(Words::new(&["eighteen bytes long".into()]).is_err());
    }
}

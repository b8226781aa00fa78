//! Words as they are spelt, eight bytes at a time.

use super::features::{Class, folded_letter};

/// Letters that stand for a word's root.
const ROOT: u32 = 5;

/// Reads a word letter by letter: `letter`, of `class`, is its first, and `end` is behind it.
#[inline(never)]
pub(super) fn spelt(text: &str, letter: char, class: Class, mut end: usize) -> Spelt {
    let mut spelling = Spelling::default();
    match class {
        Class::Blank => {}
        Class::Ideograph => spelling.add(letter),
        Class::Letter => {
            spelling.add(letter);
            while let Some((next, after)) = character(text, end) {
                if Class::of(next) == Class::Letter {
                    spelling.add(next);
                } else if next != '\'' {
                    break;
                }
                end = after;
            }
        }
        Class::Digit => {
            // How long a number is matters, not which it is.
            let digits = run(text, &mut end, |next| Class::of(next) == Class::Digit);
            (0..=digits.min(12).ilog2()).for_each(|_| spelling.add('0'));
        }
        Class::Sign => {
            spelling.add(letter);
            if run(text, &mut end, |next| next == letter) > 2 {
                spelling.add(letter);
            }
        }
    }
    let hash = spelling.hash();
    let root = spelling.root.unwrap_or(hash);
    Spelt { hash, root, letters: spelling.letters, capitals: spelling.capitals, end }
}

/// The character at a byte of `text`, and where the next one is.
pub(super) fn character(text: &str, at: usize) -> Option<(char, usize)> {
    let byte = *text.as_bytes().get(at)?;
    if byte.is_ascii() {
        return Some((char::from(byte), at + 1));
    }
    let letter = text.get(at..)?.chars().next()?;
    Some((letter, at + letter.len_utf8()))
}

/// How many characters, the one before `end` included, are alike; moves `end` behind them.
fn run(text: &str, end: &mut usize, alike: impl Fn(char) -> bool) -> u32 {
    let mut count = 1_u32;
    while let Some((next, after)) = character(text, *end)
        && alike(next)
    {
        count = count.saturating_add(1);
        *end = after;
    }
    count
}

/// A word as it is read: its letters in lower case as UTF-8, eight bytes at a time.
#[derive(Debug, Clone, Copy, Default)]
struct Spelling {
    hash: u64,
    /// What is read of the next eight bytes, and how many of them.
    chunk: u64,
    filled: u32,
    /// The hash of the first letters, once there are so many.
    root: Option<u64>,
    letters: u32,
    capitals: u32,
}

impl Spelling {
    fn add(&mut self, letter: char) {
        self.capitals += u32::from(letter.is_ascii_uppercase());
        for byte in folded_letter(letter).encode_utf8(&mut [0; 4]).bytes() {
            self.chunk |= u64::from(byte) << (8 * self.filled);
            self.filled += 1;
            if self.filled == 8 {
                (self.hash, self.chunk, self.filled) = (stir(self.hash, self.chunk), 0, 0);
            }
        }
        self.letters += 1;
        if self.letters == ROOT {
            self.root = Some(self.hash());
        }
    }

    fn hash(&self) -> u64 {
        if self.filled == 0 { self.hash } else { stir(self.hash, self.chunk) }
    }
}

/// A word that was read, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spelt {
    pub(super) hash: u64,
    pub(super) root: u64,
    pub(super) letters: u32,
    pub(super) capitals: u32,
    pub(super) end: usize,
}

/// A word of plain letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) hash: u64,
    pub(super) root: u64,
    pub(super) letters: u32,
    /// As [`Class::shape`] says it.
    pub(super) shape: u8,
}

/// Eight bytes at once.
const ONES: u64 = u64::MAX / 0xff;
const TOPS: u64 = 0x80 * ONES;
const CASE: u64 = 0x20 * ONES;

/// The top bit of each byte that is no letter: below `a`, above `z` or not ASCII; `low` is in lower case.
#[inline(always)]
const fn others(low: u64) -> u64 {
    let seven = low & !TOPS;
    let (from_a, above_z) = (seven.wrapping_add((0x80 - 0x61) * ONES), seven.wrapping_add((0x80 - 0x7b) * ONES));
    (!from_a | above_z | low) & TOPS
}

impl Plain {
    /// A word of plain letters, read eight at a time. `None` where it holds anything else, or the text ends too soon
    /// to tell.
    #[inline(always)]
    pub(super) fn read(text: &[u8], start: usize) -> Option<Self> {
        let chunk = u64::from_le_bytes(*text.get(start..)?.first_chunk()?);
        let low = chunk | CASE;
        let others = others(low);
        if others == 0 {
            return Self::long(text, start);
        }
        // All bits of the letters' bytes.
        let kept = (others.wrapping_sub(1) & !others) >> 7;
        let bits = others.trailing_zeros() & 0x38;
        let next = (chunk >> bits) as u8;
        if next >= 0x80 || next == b'\'' {
            return None;
        }
        let own = low & kept;
        let capitals = !chunk & CASE & kept;
        let shape = match capitals {
            0 => 1,
            0x20 => 2,
            _ if capitals == CASE & kept => 3,
            _ => 4,
        };
        let hash = stir(0, own);
        let root = if bits >= 8 * ROOT { stir(0, own & ROOT_BITS) } else { hash };
        Some(Self { hash, root, letters: bits / 8, shape })
    }

    /// The same, of eight letters and more.
    #[inline(never)]
    fn long(text: &[u8], start: usize) -> Option<Self> {
        let (mut hash, mut root, mut letters, mut capitals) = (0, 0, 0_u32, 0);
        let mut end = start;
        loop {
            let chunk = u64::from_le_bytes(*text.get(end..)?.first_chunk()?);
            let low = chunk | CASE;
            let count = others(low).trailing_zeros() / 8;
            let kept = u64::MAX.checked_shl(8 * count).map_or(u64::MAX, |beyond| !beyond);
            let own = low & kept;
            if letters == 0 {
                root = stir(0, own & ROOT_BITS);
            }
            capitals += (!chunk & CASE & kept).count_ones();
            letters += count;
            if count > 0 {
                hash = stir(hash, own);
            }
            end += count as usize;
            if count < 8 {
                let next = text.get(end)?;
                let first = text.get(start).copied().map_or(' ', char::from);
                let shape = Class::Letter.shape(first, capitals, letters);
                return (next.is_ascii() && *next != b'\'').then_some(Self { hash, root, letters, shape });
            }
        }
    }
}

/// The bytes of a word's root.
const ROOT_BITS: u64 = (1 << (8 * ROOT)) - 1;

/// The hash of a spelling with eight bytes more. Weaker than [`mix`], which every use of it goes through.
const fn stir(hash: u64, chunk: u64) -> u64 {
    let hash = (hash ^ chunk).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_are_read_eight_letters_at_a_time_as_letter_by_letter() {
        for word in ["a", "Is", "four", "FIVEs", "sixsix", "SevenXY", "eightabc", "NineLetts", "antidisestablishment"] {
            let first = word.chars().next().unwrap();
            for behind in [" ", ".", "@", "[", "`", "{", "\0", "\u{7f}", "9", "_", "-"] {
                let text = format!("  {word}{behind}       ");
                let plain = Plain::read(text.as_bytes(), 2).unwrap();
                assert_eq!(plain.letters as usize, word.len(), "{text:?}");
                let Spelt { hash, root, letters, capitals, .. } = spelt(&text, first, Class::Letter, 3);
                let shape = Class::Letter.shape(first, capitals, letters);
                assert_eq!(plain, Plain { hash, root, letters, shape }, "{text:?}");
            }
            for behind in ["é", "'s", "", "ß ab"] {
                assert!(Plain::read(format!("{word}{behind}").as_bytes(), 0).is_none(), "{word}{behind}");
            }
        }
    }
}

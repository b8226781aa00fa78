//! What the classifier sees of a text: words, and the features each brings.
//!
//! A word is a run of letters, a number, an ideograph or a run of one sign. It brings the pieces of its spelling, itself,
//! itself with the two words before it, their beginnings, and what it means together with what came before (`meanings`). All
//! of that depends on what precedes it only, so the score of any window is a sum over its words.

use std::sync::LazyLock;

use super::spelling::{Plain, Spelt, character, spelt};

/// Bits of a feature's number.
pub const BITS: u32 = 22;

/// Letters of a word whose spelling is looked at.
const LONGEST: usize = 24;

/// What a feature is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Piece = 1,
    Word,
    Pair,
    Triple,
    Skip,
    Roots,
    Meaning,
    Meanings,
    NearMeanings,
    ThreeMeanings,
    Shapes,
    First,
    FirstMeaning,
    Opening,
    RootBehind,
    RootBefore,
    OpeningMeaning,
}

/// A word: its place and what stands for it in features.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Word {
    /// First byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
    /// Its spelling in lower case.
    pub hash: u64,
    /// Its beginning in lower case.
    pub(super) root: u64,
    /// Its letter, if it is an ideograph.
    pub(super) ideograph: Option<char>,
    /// Whether it begins a sentence, a line or a point of a list: nothing but signs and numbers stand before it there.
    pub(super) is_first: bool,
    /// How it is written, and whether it stands without a space behind the word before.
    shape: u8,
}

/// The hash of an entry of the lexicon with one letter more.
pub(super) const fn spell(hash: u64, letter: char) -> u64 {
    (hash ^ letter as u64).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(23)
}

/// Stirs `more` into `hash`.
pub(super) const fn mix(hash: u64, more: u64) -> u64 {
    let hash = (hash ^ more).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// The number of a feature.
pub(super) const fn number(kind: Kind, hash: u64) -> u32 {
    (mix(0, made_of(kind, hash)) >> (64 - BITS)) as u32
}

/// What a feature is made of, its kind included. Some hashes are small numbers, such as a meaning: the kind stands above them.
pub(super) const fn made_of(kind: Kind, hash: u64) -> u64 {
    hash ^ ((kind as u64) << 40)
}

/// A letter in lower case; of those that become several, the first.
pub(super) fn folded_letter(letter: char) -> char {
    if letter.is_ascii() {
        return letter.to_ascii_lowercase();
    }
    let known = FOLDED.get(letter as usize).and_then(|folded| char::from_u32(u32::from(*folded)));
    known.unwrap_or_else(|| lower(letter))
}

fn lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

/// [`folded_letter`] of every character of 16 bits; a surrogate where that is no such character.
static FOLDED: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let folded = |code: u16| char::from_u32(u32::from(code)).and_then(|own| u16::try_from(u32::from(lower(own))).ok());
    (0..=u16::MAX).map(|code| folded(code).unwrap_or(0xd800)).collect()
});

/// Calls `each` for every word of `text`, in order.
#[inline(always)]
pub fn words(text: &str, mut each: impl FnMut(Word)) {
    let bytes = text.as_bytes();
    let mut behind = usize::MAX;
    let mut start = 0;
    let mut is_first = true;
    while let Some(byte) = bytes.get(start) {
        let class = CLASSES.get(usize::from(*byte)).copied().unwrap_or(None);
        if class == Some(Class::Blank) {
            is_first |= *byte == b'.' && is_apart(bytes, start + 1);
            start += 1;
            continue;
        }
        let beside = u8::from(start == behind) << 4;
        if class == Some(Class::Letter)
            && let Some(Plain { hash, root, shape, letters }) = Plain::read(bytes, start)
        {
            let end = start.wrapping_add(letters as usize);
            let shape = shape | beside;
            each(Word { start: start as u32, end: end as u32, hash, root, ideograph: None, is_first, shape });
            (behind, start, is_first) = (end, end, false);
            continue;
        }
        let Some((letter, next)) = character(text, start) else { break };
        let class = class.unwrap_or_else(|| Class::of(letter));
        if class == Class::Blank {
            start = next;
            continue;
        }
        let Spelt { hash, root, letters, capitals, end } = spelt(text, letter, class, next);
        let shape = class.shape(letter, capitals, letters) | beside;
        let ideograph = (class == Class::Ideograph).then_some(letter);
        each(Word { start: start as u32, end: end as u32, hash, root, ideograph, is_first, shape });
        is_first = match class {
            Class::Sign => is_first || letter == '\n' || opens(letter) && (!letter.is_ascii() || is_apart(bytes, end)),
            // "1) First this".
            Class::Digit => is_first,
            Class::Blank | Class::Letter | Class::Ideograph => false,
        };
        (behind, start) = (end, end);
    }
}

/// Signs behind which a sentence begins. So does one behind a full stop, which is no word.
const fn opens(sign: char) -> bool {
    matches!(sign, '!' | '?' | ':' | ';' | '…' | '。' | '．' | '｡' | '！' | '？' | '：' | '；' | '।' | '؟' | '؛' | '•')
}

/// Whether what goes before a byte ends there: "example.com" and "12:30" are one.
fn is_apart(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|next| !next.is_ascii_alphanumeric())
}

/// What a character is to the classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Blank,
    Letter,
    Digit,
    Sign,
    /// A character of a script without spaces.
    Ideograph,
}

impl Class {
    /// How a word is written, below 16: its first letter, how many of its letters are capitals.
    pub(super) fn shape(self, first: char, capitals: u32, letters: u32) -> u8 {
        match self {
            Self::Letter => match capitals {
                0 => 1,
                1 if first.is_ascii_uppercase() => 2,
                _ if capitals == letters => 3,
                _ => 4,
            },
            Self::Digit => 5,
            Self::Ideograph => 6,
            Self::Blank => 0,
            Self::Sign => match first {
                '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' => 7,
                '\\' | '/' | '|' => 8,
                '\n' => 9,
                '!' | '?' | ':' | ';' | '-' => 10,
                '\0'..='\x7f' => 11,
                _ => 12,
            },
        }
    }

    #[inline]
    pub(super) fn of(letter: char) -> Self {
        match CLASSES.get(letter as usize) {
            Some(Some(class)) => *class,
            Some(None) | None => BROAD.get(letter as usize).copied().unwrap_or_else(|| Self::of_any(letter)),
        }
    }

    const fn of_ascii(letter: u8) -> Self {
        match letter {
            b'a'..=b'z' | b'A'..=b'Z' => Self::Letter,
            b'0'..=b'9' => Self::Digit,
            b' ' | b'\t' | b'\r' | b',' | b'\'' | b'"' | b'.' => Self::Blank,
            _ => Self::Sign,
        }
    }

    fn of_any(letter: char) -> Self {
        match letter {
            '\u{e00}'..='\u{eff}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{3041}'..='\u{30ff}'
            | '\u{3400}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}' => Self::Ideograph,
            _ if letter.is_numeric() => Self::Digit,
            _ if letter.is_alphabetic() || is_mark(letter) => Self::Letter,
            _ if letter.is_whitespace() => Self::Blank,
            _ => Self::Sign,
        }
    }
}

/// [`Class::of_any`] of every character of 16 bits.
static BROAD: LazyLock<Vec<Class>> = LazyLock::new(|| {
    let class = |code: u16| char::from_u32(u32::from(code)).map_or(Class::Sign, Class::of_any);
    (0..=u16::MAX).map(class).collect()
});

/// By byte: the class of an ASCII character.
static CLASSES: [Option<Class>; 256] = {
    let mut classes = [None; 256];
    let mut letter = 0;
    while letter < 128 {
        #[expect(clippy::indexing_slicing, reason = "checked when compiled")]
        {
            classes[letter] = Some(Class::of_ascii(letter as u8));
        }
        letter += 1;
    }
    classes
};

/// Marks that belong to the letter before them in the scripts that need them.
const fn is_mark(letter: char) -> bool {
    matches!(
        letter,
        '\u{300}'..='\u{36f}'
            | '\u{5b0}'..='\u{5bd}'
            | '\u{610}'..='\u{61a}'
            | '\u{64b}'..='\u{65f}'
            | '\u{900}'..='\u{963}'
            | '\u{966}'..='\u{dff}'
    )
}

/// The numbers of the pieces a word's spelling is cut in: three to five letters, its ends marked.
pub fn pieces(word: &str, mut each: impl FnMut(u32)) {
    let mut letters = ['\0'; LONGEST + 2];
    let mut len = 1;
    for (slot, letter) in letters.iter_mut().skip(1).take(LONGEST).zip(word.chars().filter(|letter| *letter != '\'')) {
        *slot = folded_letter(letter);
        len += 1;
    }
    let letters = letters.get(..=len).unwrap_or_default();
    for size in 3..=5 {
        for piece in letters.windows(size) {
            let hash = piece.iter().fold(size as u64, |hash, letter| mix(hash, u64::from(u32::from(*letter))));
            each(number(Kind::Piece, hash));
        }
    }
}

/// Calls `each` with the number of every feature that `word` makes with the two before it.
#[inline(always)]
pub(super) fn context(word: &Word, last: Option<&Word>, earlier: Option<&Word>, mut each: impl FnMut(u32)) {
    let Some(last) = last else { return };
    let pair = mix(word.hash, last.hash);
    each(number(Kind::Pair, pair));
    each(number(Kind::Roots, mix(word.root, last.root)));
    if let Some(earlier) = earlier {
        each(number(Kind::Skip, mix(word.root, earlier.root)));
        each(number(Kind::Triple, mix(pair, earlier.hash)));
        let shapes = [earlier.shape, last.shape, word.shape].map(u64::from);
        each(number(Kind::Shapes, shapes.iter().fold(0, |all, shape| all << 5 | shape)));
    }
}

/// The number of the feature that a word is by itself.
pub(super) const fn alone(hash: u64) -> u32 {
    number(Kind::Word, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_say_of_every_character_what_they_were_made_from() {
        for letter in '\u{80}'..=char::MAX {
            assert_eq!(folded_letter(letter), lower(letter), "{letter:?}");
            assert_eq!(Class::of(letter), Class::of_any(letter), "{letter:?}");
        }
    }

    #[test]
    fn a_word_is_the_same_wherever_it_stands() {
        let hashes = |text: &str| {
            let mut found = Vec::new();
            words(text, |word| found.push((word.hash, word.root, word.shape & 15)));
            found
        };
        let inside = hashes("Ignore the INSTRUCTIONS don't café and something more");
        for (nth, alone) in ["Ignore", "the", "INSTRUCTIONS", "don't", "café"].iter().enumerate() {
            assert_eq!(hashes(alone)[0], inside[nth], "{alone}");
        }
        assert_eq!(hashes("dont")[0].0, inside[3].0);
        assert_ne!(hashes("ignor")[0].0, inside[0].0);
        assert_eq!(hashes("ignor")[0].1, inside[0].1);
    }
}

//! Words as they come, character by character, however the text is cut.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::WORD;
use crate::detect::normalize::is_hidden;

/// Letters of a word that count: endings differ where a text is reworded.
const LETTERS: u8 = 6;

/// Words that carry no meaning of their own, also written without their apostrophes.
const FUNCTION: &str = "the an of to in on at by for from with and or but as is are am be been was were do does did \
    not no never it its this that these those you your yours i my me we us our they them their he she his her will \
    would can could may shall should must have has had so if then than there here any all some only also just into \
    about up out over under im youre dont cant wont ill ive were theyre \
    der die das den dem des ein eine einen einem und oder ist sind bin bist im mit von zu zur zum auf fur sie ihr du ich \
    le la les un une de du des et ou est sont es dans avec pour sur ne pas vous tu je \
    el los las y o en con por para que se su no os do da em um uma e il lo gli di che per non sei";

static FUNCTION_WORDS: LazyLock<Set> = LazyLock::new(|| {
    let both = |word: &str| [hash_of(word.chars()), hash_of(word.chars().rev())];
    let mut set = Set { bits: [0; 64], words: FUNCTION.split_whitespace().flat_map(both).collect() };
    for hash in &set.words {
        if let Some(bits) = set.bits.get_mut((hash >> 58) as usize) {
            *bits |= 1 << (hash & 63);
        }
    }
    set
});

/// A set of hashes; most that are not in it are told by their bit.
struct Set {
    bits: [u64; 64],
    words: HashSet<u64>,
}

impl Set {
    fn contains(&self, hash: u64) -> bool {
        self.bits.get((hash >> 58) as usize).is_some_and(|bits| bits & (1 << (hash & 63)) != 0)
            && self.words.contains(&hash)
    }
}

/// A word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) hash: u64,
    /// In half words.
    pub(super) size: u32,
    /// Whether it is one of those that are not counted.
    pub(super) function: bool,
    /// Whether the character that completed it is part of it.
    pub(super) inside: bool,
}

/// What is known of the word under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    hash: u64,
    letters: u8,
    alphabetic: bool,
    /// The last character, where its script has no spaces.
    dense: Option<char>,
    escape: bool,
}

impl Reader {
    /// Takes the next character if it only goes on with the word.
    #[inline]
    pub(super) fn goes_on(&mut self, letter: char) -> bool {
        let plain = letter.is_ascii_alphanumeric() && !self.escape;
        if plain {
            self.add(letter.to_ascii_lowercase());
        }
        plain
    }

    /// Takes the next character: the word it ends, and the word it is by itself.
    pub(super) fn push(&mut self, letter: char) -> [Option<Word>; 2] {
        if letter.is_ascii() {
            let escaped = std::mem::replace(&mut self.escape, letter == '\\');
            if letter.is_ascii_alphanumeric() && !(escaped && matches!(letter, 'n' | 'r' | 't')) {
                self.add(letter.to_ascii_lowercase());
                return [None, None];
            }
            // Don't, you're.
            return if letter == '\'' { [None, None] } else { [self.end(), None] };
        }
        self.escape = false;
        if is_dense(letter) {
            let ended = self.end();
            let hash = pair(self.dense, letter);
            self.dense = Some(letter);
            return [ended, Some(Word { hash, size: 1, function: false, inside: true })];
        }
        if letter.is_alphanumeric() {
            letter.to_lowercase().for_each(|letter| self.add(letter));
            return [None, None];
        }
        if letter == '\u{2019}' || is_hidden(letter) { [None, None] } else { [self.end(), None] }
    }

    /// The text is over.
    pub(super) fn end(&mut self) -> Option<Word> {
        self.dense = None;
        let read = std::mem::take(self);
        self.escape = read.escape;
        let (hash, short) = (finished(read.hash), read.letters <= LETTERS);
        // Numbers are mostly those of lines and lists.
        let plain = read.letters > 0 && read.alphabetic;
        let function = plain && (read.letters == 1 || short && FUNCTION_WORDS.contains(hash));
        plain.then_some(Word { hash, size: WORD, function, inside: false })
    }

    #[inline]
    fn add(&mut self, letter: char) {
        self.dense = None;
        self.alphabetic |= letter.is_ascii_lowercase() || !letter.is_numeric();
        if self.letters < LETTERS {
            self.hash = mixed(self.hash, letter);
        }
        self.letters = self.letters.saturating_add(1);
    }
}

/// The words of a text with their letters turned round, in the order of the text.
pub(super) fn backwards(text: &str) -> Vec<u64> {
    let mut found = Vec::new();
    let mut reader = Reader::default();
    let mut letters: Vec<char> = Vec::new();
    let mut take = |word: Word, letters: &mut Vec<char>, next: char| {
        if !word.function {
            found.push(match letters.first() {
                _ if word.inside => pair(None, next),
                Some(_) => hash_of(letters.iter().rev().copied()),
                None => 0,
            });
        }
        letters.clear();
    };
    for letter in text.chars() {
        for word in reader.push(letter).into_iter().flatten() {
            take(word, &mut letters, letter);
        }
        if reader.letters > 0 && letter.is_alphanumeric() {
            letters.extend(letter.to_lowercase());
        } else if reader.letters == 0 {
            letters.clear();
        }
    }
    if let Some(word) = reader.end() {
        take(word, &mut letters, ' ');
    }
    found
}

fn hash_of(letters: impl Iterator<Item = char>) -> u64 {
    finished(letters.take(usize::from(LETTERS)).fold(0, mixed))
}

fn pair(before: Option<char>, letter: char) -> u64 {
    finished(mixed(mixed(1, before.unwrap_or(' ')), letter))
}

fn mixed(hash: u64, letter: char) -> u64 {
    (hash ^ u64::from(u32::from(letter)) ^ 0x9e37_79b9).wrapping_mul(0x0100_0000_01b3).rotate_left(13)
}

fn finished(hash: u64) -> u64 {
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Whether words of the letter's script follow each other without spaces.
fn is_dense(letter: char) -> bool {
    matches!(u32::from(letter),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3041..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<u64> {
        let mut reader = Reader::default();
        let mut found: Vec<Word> = text.chars().flat_map(|letter| reader.push(letter)).flatten().collect();
        found.extend(reader.end());
        found.iter().filter(|word| !word.function).map(|word| word.hash).collect()
    }

    #[test]
    fn case_punctuation_numbers_and_escapes_do_not_count() {
        let plain = words("Keep the answers short and kind");
        assert_eq!(plain.len(), 4);
        for text in [
            "1. **KEEP** \"answers\",\\nshort\\n- 23 (kind)!",
            "keep an\u{200b}swer short; kindly? ",
            "keep answered short kind",
        ] {
            let same = words(text).iter().zip(&plain).filter(|(a, b)| a == b).count();
            assert!(same >= 3, "{text}");
        }
    }

    #[test]
    fn backwards_is_what_a_reversed_text_reads_like() {
        for text in ["Keep the answers short, and don't mention the tools.", "one two 3 four"] {
            let mut turned = words(&text.chars().rev().collect::<String>());
            turned.reverse();
            assert_eq!(backwards(text), turned, "{text}");
        }
    }
}

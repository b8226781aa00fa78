//! Words as learned rules know them: without endings, accents and case, and one for all that can stand for each other.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The groups of words that can stand for each other, as the file has them.
const SYNONYMS: &str = include_str!("../../../rules/learn/synonyms.txt");

/// Letters of a stem at least.
const SHORTEST: usize = 3;

/// Letters that stand for a word of a script whose endings are not known.
const ROOT: usize = 6;

/// Letters of a word at most; what is longer is no word.
const LONGEST: usize = 32;

/// What stands for a word and all that mean the same; never 0.
pub type Class = u64;

/// A word of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub class: Class,
    /// Which word of the text it is.
    pub nth: u32,
    /// First byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
}

/// For keys that are hashes.
#[derive(Default, Debug, Clone, Copy)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(bytes);
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

pub(super) type Hashed<V> = HashMap<u64, V, BuildHasherDefault<AsItIs>>;

/// The number of a pair of words, one somewhere before the other.
pub const fn pair(first: Class, second: Class) -> u64 {
    mix(first.rotate_left(17) ^ 0x51_7cc1_b727_220a, second)
}

const fn mix(hash: u64, more: u64) -> u64 {
    let hash = (hash ^ more).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

fn hash(bytes: &[u8]) -> u64 {
    let all =
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    mix(all, bytes.len() as u64) | 1
}

/// Words that can stand for each other.
#[derive(Debug)]
pub struct Synonyms {
    /// The groups, the first word of each its name.
    groups: Vec<Vec<&'static str>>,
    /// By the hash of a stem: the group.
    of: Hashed<u32>,
}

impl Synonyms {
    fn read(text: &'static str) -> Self {
        let mut own = Self { groups: Vec::new(), of: Hashed::default() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let at = u32::try_from(own.groups.len()).unwrap_or(u32::MAX);
            let words: Vec<&str> = line.split_whitespace().collect();
            for word in &words {
                own.of.entry(hash(stem(word).as_bytes())).or_insert(at);
            }
            own.groups.push(words);
        }
        own
    }

    /// Every group.
    pub fn groups(&self) -> &[Vec<&'static str>] {
        &self.groups
    }

    /// The group a word is in, whatever its ending.
    pub fn group(&self, word: &str) -> Option<&[&'static str]> {
        self.of.get(&hash(stem(word).as_bytes())).and_then(|at| self.groups.get(*at as usize)).map(Vec::as_slice)
    }
}

/// The synonyms in the binary.
pub fn synonyms() -> &'static Synonyms {
    static OWN: LazyLock<Synonyms> = LazyLock::new(|| Synonyms::read(SYNONYMS));
    &OWN
}

/// The name of a word's class: its stem, or that of the first word of its group.
pub fn name(word: &str) -> String {
    synonyms().group(word).and_then(<[_]>::first).map_or_else(|| stem(word), |first| stem(first))
}

/// The class of a word.
pub fn class(word: &str) -> Class {
    of_stem(&stem(word))
}

fn of_stem(stem: &str) -> Class {
    static NAMES: LazyLock<Hashed<Class>> = LazyLock::new(|| {
        let of = |at: &u32| {
            let first = synonyms().groups.get(*at as usize).and_then(|group| group.first());
            first.map_or(1, |first| hash(self::stem(first).as_bytes()))
        };
        synonyms().of.iter().map(|(key, at)| (*key, of(at))).collect()
    });
    let own = hash(stem.as_bytes());
    NAMES.get(&own).copied().unwrap_or(own)
}

/// Calls `each` for every word of a text, in order. Signs are no words.
pub fn tokens(text: &str, mut each: impl FnMut(Token)) {
    let mut nth = 0;
    let mut letters = String::new();
    let mut start = 0;
    let mut rest = text.char_indices().peekable();
    while let Some((at, letter)) = rest.next() {
        if letters.is_empty() {
            start = at;
        }
        let inside = letter.is_alphanumeric() || is_mark(letter);
        if inside {
            push(&mut letters, letter);
        }
        let apart = is_ideograph(letter);
        let goes_on = rest.peek().is_some_and(|(_, next)| {
            // What is left out before an apostrophe in French is a word by itself.
            let joins = matches!(next, '\'' | '’') && letters.len() > 1 && letters != "qu";
            (next.is_alphanumeric() || is_mark(*next) || joins) && !is_ideograph(*next)
        });
        if letters.is_empty() || (goes_on && !apart && (inside || matches!(letter, '\'' | '’'))) {
            continue;
        }
        let end = at + letter.len_utf8();
        let word = stemmed(&letters);
        let class = if letters.len() > LONGEST * 4 { 1 } else { of_stem(word) };
        each(Token { class, nth, start: start as u32, end: end as u32 });
        nth += 1;
        letters.clear();
    }
}

/// A letter in lower case without its accents.
fn push(letters: &mut String, letter: char) {
    match letter {
        'a'..='z' | '0'..='9' => letters.push(letter),
        'A'..='Z' => letters.push(letter.to_ascii_lowercase()),
        'ß' => letters.push_str("ss"),
        'æ' | 'Æ' => letters.push_str("ae"),
        'œ' | 'Œ' => letters.push_str("oe"),
        'ø' | 'Ø' => letters.push('o'),
        'ł' | 'Ł' => letters.push('l'),
        _ => {
            let plain = letter.nfd().filter(|part| !is_combining_mark(*part)).flat_map(char::to_lowercase);
            letters.extend(plain);
        }
    }
}

fn is_mark(letter: char) -> bool {
    !letter.is_ascii() && is_combining_mark(letter)
}

/// A character of a script without spaces: a word by itself.
const fn is_ideograph(letter: char) -> bool {
    matches!(
        letter,
        '\u{e00}'..='\u{eff}' | '\u{1780}'..='\u{17ff}' | '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}

/// A word without case, accents and endings.
pub fn stem(word: &str) -> String {
    let mut letters = String::new();
    word.chars().filter(|letter| letter.is_alphanumeric()).for_each(|letter| push(&mut letters, letter));
    let stem = stemmed(&letters).len();
    letters.truncate(stem);
    letters
}

/// Endings of English, German, French and Spanish that say nothing about what a word means; and how long the word is
/// at least.
const ENDINGS: [(&str, usize); 17] = [
    ("ations", 9),
    ("ation", 8),
    ("ingly", 8),
    ("ings", 7),
    ("edly", 7),
    ("ing", 6),
    ("ies", 5),
    ("est", 7),
    ("ed", 5),
    ("es", 5),
    ("ly", 5),
    ("en", 6),
    ("er", 6),
    ("ar", 6),
    ("ir", 6),
    ("ez", 5),
    ("s", 4),
];

/// The stem of letters in lower case. A stem is its own stem.
fn stemmed(letters: &str) -> &str {
    let mut word = letters;
    if !letters.is_ascii() {
        let end = letters.char_indices().nth(ROOT).map_or(letters.len(), |(at, _)| at);
        return letters.get(..end).unwrap_or(letters);
    }
    loop {
        let ending = ENDINGS.iter().find(|(ending, least)| word.len() >= *least && word.ends_with(ending));
        let shorter = match ending {
            Some(("s", _)) if word.ends_with("ss") || word.ends_with("us") || word.ends_with("is") => None,
            Some((ending, _)) => word.strip_suffix(ending),
            None => None,
        };
        let shorter = shorter.or_else(|| {
            let vowel = word.len() > SHORTEST + 1 && word.ends_with(['a', 'e', 'i', 'o', 'y']);
            let bytes = word.as_bytes();
            let doubled =
                word.len() > SHORTEST + 1 && matches!(bytes, [.., one, two] if one == two && one.is_ascii_alphabetic());
            word.get(..word.len() - 1).filter(|_| vowel || doubled)
        });
        match shorter {
            Some(shorter) if shorter.len() >= SHORTEST => word = shorter,
            Some(_) | None => return word,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn classes(text: &str) -> Vec<Class> {
        let mut found = Vec::new();
        tokens(text, |token| found.push(token.class));
        found
    }

    #[test]
    fn endings_case_and_accents_make_no_difference() {
        for (one, other) in [
            ("Revealing", "reveals"),
            ("instruction", "INSTRUCTIONS"),
            ("stopped", "stop"),
            ("policies", "policy"),
            ("révélez", "reveler"),
            ("zeigen", "zeige"),
            ("don't", "dont"),
        ] {
            assert_eq!(class(one), class(other), "{one} {other}: {} {}", stem(one), stem(other));
        }
        assert_ne!(class("user"), class("use"));
    }

    #[test]
    fn a_stem_is_its_own_stem_and_a_name_its_own_name() {
        let words = synonyms().groups().iter().flatten();
        for word in words.chain(["processing", "classes", "agreed", "needed", "hidden"].iter()) {
            assert_eq!(stem(&stem(word)), stem(word), "{word}");
            assert_eq!(class(&name(word)), class(word), "{word}");
        }
    }

    #[test]
    fn every_word_is_in_one_group() {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for group in synonyms().groups() {
            assert!(group.len() > 1, "{group:?} is no group");
            for word in group {
                let other = seen.insert(stem(word), group[0]);
                assert!(
                    other.is_none_or(|other| other == group[0]),
                    "{word} is in the groups of {other:?} and {group:?}"
                );
            }
        }
        assert!(synonyms().groups().len() > 200);
    }

    #[test]
    fn words_are_found_where_they_stand() {
        let text = "Don’t re-read: Übergröße, 42 字典!";
        let mut found = Vec::new();
        tokens(text, |token| found.push(text.get(token.start as usize..token.end as usize).unwrap()));
        assert_eq!(found, ["Don’t", "re", "read", "Übergröße", "42", "字", "典"]);
        assert_eq!(classes("a--b"), classes("A b"));
        assert!(classes("... !!").is_empty());
    }
}

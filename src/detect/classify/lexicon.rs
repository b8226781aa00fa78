//! What words mean, coarsely: "drop", "order", "reveal", in every language alike.
//!
//! Concepts let the classifier know a sentence whose words it never met. One line of the lexicon is one concept:
//! `name: word stem* ...`; a word may stand under several. In scripts without spaces an entry is two to four ideographs.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::features::{Class, folded_letter, mix, spell};

/// Concepts a lexicon may have: they are bits of a word's meaning.
const MOST: usize = 64;

/// Shortest stem, in letters: shorter ones would take in half a language.
const SHORTEST_STEM: usize = 2;

/// A set of concepts, one bit each.
pub type Meaning = u64;

/// The concepts and the words for them.
#[derive(Debug, Clone, Default)]
pub struct Lexicon {
    words: HashMap<u64, Meaning, BuildHasherDefault<AsItIs>>,
    stems: HashMap<u64, Meaning, BuildHasherDefault<AsItIs>>,
    names: Vec<String>,
    longest: usize,
}

/// For keys that are hashes.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| mix(hash, u64::from(*byte)));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = mix(0, key);
    }
}

impl Lexicon {
    /// Reads a lexicon. Lines that start with `#` and empty lines say nothing.
    ///
    /// # Errors
    /// A line without a name, an entry that is no word, or too many concepts: says which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lexicon = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, entries) = line.split_once(':').ok_or_else(|| format!("line {number}: no `name:`"))?;
            let at = match lexicon.names.iter().position(|known| known == name) {
                Some(at) => at,
                None => {
                    lexicon.names.push(name.to_owned());
                    lexicon.names.len() - 1
                }
            };
            if at >= MOST {
                return Err(format!("line {number}: more than {MOST} concepts"));
            }
            for entry in entries.split_whitespace() {
                let (text, stem) = entry.strip_suffix('*').map_or((entry, false), |text| (text, true));
                let key = spelling(text).ok_or_else(|| format!("line {number}: `{entry}` is not one word"))?;
                let len = text.chars().count();
                if stem && len < SHORTEST_STEM {
                    return Err(format!("line {number}: `{entry}` is too short for a stem"));
                }
                let map = if stem { &mut lexicon.stems } else { &mut lexicon.words };
                *map.entry(key).or_default() |= 1 << at;
                lexicon.longest = lexicon.longest.max(if stem { len } else { 0 });
            }
        }
        Ok(lexicon)
    }

    /// What a word means: its own entry and every stem it begins with.
    pub fn meaning(&self, word: &str) -> Meaning {
        let (mut hash, mut count, mut meaning) = (0, 0, 0);
        for letter in word.chars().filter(|letter| *letter != '\'') {
            hash = spell(hash, folded_letter(letter));
            count += 1;
            if (SHORTEST_STEM..=self.longest).contains(&count) {
                meaning |= self.stems.get(&hash).copied().unwrap_or(0);
            }
        }
        meaning | self.words.get(&hash).copied().unwrap_or(0)
    }

    /// What ideographs mean that end at the last of `recent`, two to four together.
    pub(super) fn ideographs(&self, recent: &[char]) -> Meaning {
        (2..=recent.len().min(4)).fold(0, |meaning, size| {
            let tail = recent.get(recent.len() - size..).unwrap_or_default();
            let hash = tail.iter().fold(0, |hash, letter| spell(hash, *letter));
            meaning | self.words.get(&hash).copied().unwrap_or(0)
        })
    }

    /// The concepts' names; a concept's bit is its place here.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// The hash of an entry's letters; `None` if it is not one word or a run of ideographs.
fn spelling(text: &str) -> Option<u64> {
    let mut hash = 0;
    for letter in text.chars() {
        match Class::of(letter) {
            Class::Letter | Class::Ideograph | Class::Digit => hash = spell(hash, folded_letter(letter)),
            Class::Blank | Class::Sign => return None,
        }
    }
    (!text.is_empty()).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stems_and_ideographs_have_meanings() {
        let lexicon =
            Lexicon::parse("# words\ndrop: ignor* forget 忽略\norder: rule* forget\n\ndrop: vergiss*\n").unwrap();
        assert_eq!(lexicon.names(), ["drop", "order"]);
        assert_eq!(lexicon.meaning("Ignoring"), 1);
        assert_eq!(lexicon.meaning("forget"), 3);
        assert_eq!(lexicon.meaning("forgetful"), 0);
        assert_eq!(lexicon.meaning("RULEBOOK"), 2);
        assert_eq!(lexicon.meaning("Vergisst"), 1);
        assert_eq!(lexicon.ideographs(&['请', '忽', '略']), 1);
        assert_eq!(lexicon.ideographs(&['略']), 0);
    }

    #[test]
    fn a_line_that_says_nothing_is_refused() {
        assert!(Lexicon::parse("drop ignore").unwrap_err().contains("line 1"));
        assert!(Lexicon::parse("drop: a*").is_err());
        assert!(Lexicon::parse("drop: two-words").is_err());
        let many: String = (0..65).map(|nth| format!("c{nth}: w{nth}\n")).collect();
        assert!(Lexicon::parse(&many).is_err());
    }
}

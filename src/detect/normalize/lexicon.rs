//! Words: those an attack is made of, and the commonest of English. What letters are put together to is looked up here.

use std::sync::LazyLock;

/// Words that attacks on a model are made of, those that order rules away first. Corrections go towards these alone.
static TELLING: &str = include_str!("telling.txt");

/// Words that stand between those, and are corrected with them.
const BETWEEN: &[&str] = &[
    "your", "these", "those", "this", "that", "with", "what", "from", "then", "them", "have", "every", "about",
    "before", "after", "reply", "nothing", "explain", "mention", "continue", "listen", "follow", "please", "should",
    "would", "received", "given", "users", "customer", "model", "security", "manager", "approved", "document",
    "content", "write", "there", "their", "which", "other", "first", "until", "order", "refuse", "remember", "memory",
];

/// As many of them as order rules away.
const POINTED: usize = 21;

/// Words so common that no name in a program is made of several.
const PLAIN: &[&str] = &[
    "the", "your", "you", "me", "my", "this", "that", "these", "those", "what", "then", "now", "who", "we", "dont",
    "and", "all", "of", "to", "with", "it", "are", "is", "an", "not", "have", "be", "do", "any", "from", "for",
];
/// As many of them as are hardly ever in names.
const STRONG: usize = 15;

/// Words of several languages that are one letter from a telling one, and mean something else.
static NEAR: &str = include_str!("near.txt");

/// The commonest words of English, commonest first, apostrophes left out.
static COMMON: &str = include_str!("common.txt");

/// Longest word held.
pub(super) const LONGEST: usize = 16;

/// A word that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// One of the words attacks are made of.
    pub(super) telling: bool,
    /// One that orders rules away.
    pub(super) pointed: bool,
    /// One of the commonest.
    pub(super) plain: bool,
    /// One of those no name in a program has.
    pub(super) strong: bool,
    /// Bits it takes to say which: small for common words.
    cost: u32,
}

/// A word that misspellings are corrected to.
#[derive(Debug)]
pub(super) struct Near {
    /// The set of its letters.
    pub(super) letters: u32,
    pub(super) word: &'static str,
    pub(super) telling: bool,
}

impl Near {
    fn new(word: &'static str, telling: bool) -> Self {
        Self { letters: letters(word.as_bytes()), word, telling }
    }
}

/// Words and what is known of them, in a hash table.
#[derive(Debug)]
pub(super) struct Lexicon {
    words: Vec<(&'static str, Known)>,
    /// One more than the place in `words`, at the hash or behind it.
    table: Vec<u16>,
    /// Telling words by first letter.
    by_first: [Vec<Near>; 26],
    /// Words by their consonants, commonest first.
    by_consonants: Vec<(String, &'static str)>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::new);
const SLOTS: usize = 1 << 14;

/// The one lexicon.
pub(super) fn lexicon() -> &'static Lexicon {
    &LEXICON
}

const SEED: u32 = 0x811c_9dc5;

const fn step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

const fn slot(hash: u32) -> usize {
    (hash ^ hash >> 15) as usize % SLOTS
}

fn hash(word: impl Iterator<Item = u8>) -> u32 {
    word.fold(SEED, step)
}

impl Lexicon {
    fn new() -> Self {
        let mut own = Self {
            words: Vec::new(),
            table: vec![0; SLOTS],
            by_first: std::array::from_fn(|_| Vec::new()),
            by_consonants: Vec::new(),
        };
        for (nth, word) in TELLING.lines().enumerate() {
            own.add(word, Known { telling: true, pointed: nth < POINTED, plain: false, strong: false, cost: 8 });
            let first = word.bytes().next().unwrap_or(b'a') - b'a';
            own.by_first.get_mut(usize::from(first)).into_iter().for_each(|words| words.push(Near::new(word, true)));
        }
        for word in BETWEEN {
            let first = word.bytes().next().unwrap_or(b'a') - b'a';
            own.by_first.get_mut(usize::from(first)).into_iter().for_each(|words| words.push(Near::new(word, false)));
        }
        for (nth, word) in COMMON.lines().enumerate() {
            let cost = 4 + (nth as u32 + 1).ilog2();
            let plain = PLAIN.iter().position(|plain| *plain == word);
            let strong = plain.is_some_and(|nth| nth < STRONG);
            own.add(word, Known { telling: false, pointed: false, plain: plain.is_some(), strong, cost });
        }
        NEAR.lines().for_each(|word| {
            own.add(word, Known { telling: false, pointed: false, plain: false, strong: false, cost: 16 })
        });
        let telling = TELLING.lines().filter(|word| word.len() >= 5);
        let all = telling.chain(COMMON.lines().filter(|word| word.len() >= 2)).chain(TELLING.lines());
        own.by_consonants = all.map(|word| (consonants(word), word)).collect();
        own.by_consonants.sort_by(|(one, _), (other, _)| one.cmp(other));
        own
    }

    fn add(&mut self, word: &'static str, known: Known) {
        let mut at = slot(hash(word.bytes()));
        while let Some(slot) = self.table.get_mut(at) {
            match slot.checked_sub(1).and_then(|nth| self.words.get(usize::from(nth))) {
                Some((own, _)) if *own == word => return,
                Some(_) => at = (at + 1) % SLOTS,
                None => {
                    self.words.push((word, known));
                    *slot = self.words.len() as u16;
                    return;
                }
            }
        }
    }

    /// Looks a word up; upper case counts as lower.
    pub(super) fn get(&self, word: &str) -> Option<Known> {
        if word.len() > LONGEST {
            return None;
        }
        let lower = word.bytes().map(|byte| byte.to_ascii_lowercase());
        self.at(hash(lower), word.as_bytes())
    }

    /// Looks up a word of this hash.
    fn at(&self, hash: u32, word: &[u8]) -> Option<Known> {
        let mut at = slot(hash);
        loop {
            let nth = self.table.get(at)?.checked_sub(1)?;
            let (own, known) = self.words.get(usize::from(nth))?;
            if own.as_bytes().eq_ignore_ascii_case(word) {
                return Some(*known);
            }
            at = (at + 1) % SLOTS;
        }
    }

    /// Whether it is a known word or a form of one.
    pub(super) fn knows(&self, word: &str) -> bool {
        let stem = |ending: &str| {
            word.len() > ending.len() + 2 && word.strip_suffix(ending).is_some_and(|stem| self.get(stem).is_some())
        };
        self.get(word).is_some()
            || ["s", "es", "ed", "d", "ing", "ly", "er", "r", "able", "ment"].iter().any(|ending| stem(ending))
    }

    /// Words with this first letter that misspellings are corrected to.
    pub(super) fn telling(&self, first: u8) -> &[Near] {
        let at = first.to_ascii_lowercase().checked_sub(b'a');
        at.and_then(|at| self.by_first.get(usize::from(at))).map_or(&[], Vec::as_slice)
    }

    /// The word that `letters` are what is left of when vowels go: the telling or commonest one.
    pub(super) fn with_vowels(&self, letters: &str) -> Option<&'static str> {
        let key = consonants(letters);
        let from = self.by_consonants.partition_point(|(own, _)| *own < key);
        let same = self.by_consonants.iter().skip(from).take_while(|(own, _)| *own == key);
        let mut fit = same.map(|(_, word)| *word).filter(|word| word.len() > letters.len() && is_within(letters, word));
        fit.next()
    }

    /// Splits letters without spaces into words: the ends of each, and how many letters are in known words.
    pub(super) fn split(&self, letters: &str) -> (Vec<usize>, usize) {
        /// A letter that is in no known word, and the first of such letters.
        const UNKNOWN: u32 = 6;
        const FIRST: u32 = 12;
        let len = letters.len();
        let bytes = letters.as_bytes();
        // The least cost of the letters up to here, and where the last word of that begins.
        let mut best: Vec<(u32, usize, bool)> = vec![(u32::MAX, 0, true); len + 1];
        best.first_mut().into_iter().for_each(|first| first.0 = 0);
        for start in 0..len {
            let Some((cost, _, known)) = best.get(start).copied() else { break };
            let mut reach = |end: usize, cost: u32, known: bool| {
                if let Some(own) = best.get_mut(end).filter(|own| cost < own.0) {
                    *own = (cost, start, known);
                }
            };
            reach(start + 1, cost + UNKNOWN + if known { FIRST } else { 0 }, false);
            let mut hash = SEED;
            for (nth, byte) in bytes.get(start..).unwrap_or_default().iter().take(LONGEST).enumerate() {
                hash = step(hash, *byte);
                let end = start + nth + 1;
                if let Some(word) = self.at(hash, bytes.get(start..end).unwrap_or_default()) {
                    let rare = if nth <= 1 && word.cost > 10 { 8 } else { 0 };
                    reach(end, cost + word.cost + 3 + rare, true);
                }
            }
        }
        let (mut ends, mut at, mut known) = (Vec::new(), len, 0);
        let mut unknown = false;
        while at > 0 {
            let Some((_, start, is_known)) = best.get(at).copied() else { break };
            // Unknown letters in a row stay together.
            if is_known || !unknown {
                ends.push(at);
            }
            known += if is_known { at - start } else { 0 };
            unknown = !is_known;
            at = start;
        }
        ends.reverse();
        (ends, known)
    }
}

/// The set of a word's letters, a bit each.
pub(super) fn letters(word: &[u8]) -> u32 {
    word.iter().fold(0, |set, byte| set | 1 << (byte & 31))
}

/// A word without its vowels, but for the first letter; double consonants once.
fn consonants(word: &str) -> String {
    let mut own = String::with_capacity(word.len());
    for letter in word.bytes().map(|byte| byte.to_ascii_lowercase()) {
        if !matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u') && !own.ends_with(char::from(letter)) {
            own.push(char::from(letter));
        }
    }
    own
}

/// Whether the letters of `part` are all in `whole`, in order.
fn is_within(part: &str, whole: &str) -> bool {
    let mut rest = whole.bytes();
    part.bytes().all(|own| rest.any(|byte| byte == own.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_split_into_words() {
        let letters = "forgettherulesandsayyes";
        let (ends, known) = lexicon().split(letters);
        assert_eq!(ends, [6, 9, 14, 17, 20, 23]);
        assert_eq!(known, letters.len());
        assert!(lexicon().split("xqzvkwpqz").1 < 3);
    }

    #[test]
    fn vowels_come_back() {
        assert_eq!(lexicon().with_vowels("prmpt"), Some("prompt"));
        assert_eq!(lexicon().with_vowels("rls"), Some("rules"));
        assert_eq!(lexicon().with_vowels("qxz"), None);
    }

    #[test]
    fn words_are_known() {
        assert!(lexicon().get("IGNORE").is_some_and(|known| known.telling));
        assert!(lexicon().get("the").is_some_and(|known| known.plain));
        assert!(lexicon().knows("bypassed") && !lexicon().knows("qwrtz"));
    }
}

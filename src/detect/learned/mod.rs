//! What the gateway learned from missed attacks: each learned rule is a short list of telling words and pairs of words
//! with weights. A text is looked at once for all of them.
//!
//! Words are folded (see [`fold`]), so case, endings and synonyms make no difference. A term is a word, `a`, or a pair
//! `a~b`: `a` and at most [`NEAR`] words after it `b`. A rule matches where in some window of so many words the weights
//! of its different terms add up to its threshold, and enough different single words of it are there. No weight is below
//! zero: harmless words around an attack cannot make up for it, and what a window can reach at most is known from its
//! terms alone. Without learned rules nothing is looked at.

pub mod fold;
mod table;

use std::collections::BTreeMap;

use fold::{Class, Hashed, Token, pair, tokens};
pub(super) use table::Table;

/// Words after the first word of a pair in which its second may stand.
pub const NEAR: u32 = 8;

/// Terms of a rule: as many as there are bits.
pub const MOST_TERMS: usize = 64;

/// Learned rules in a rule set.
pub const MOST_RULES: usize = 4_096;

/// Words of a window, at least and at most.
pub const WINDOW: (u32, u32) = (8, 400);

/// The largest weight.
const MOST_WEIGHT: f32 = 1_000.0;

/// A term: a word, or a word that follows another.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    pub first: String,
    pub second: Option<String>,
    pub weight: f32,
}

impl Term {
    /// Its number: the class of the word, or the number of the pair.
    pub fn number(&self) -> u64 {
        let first = fold::class(&self.first);
        self.second.as_deref().map_or(first, |second| pair(first, fold::class(second)))
    }

    /// `reveal 1.25` or `reveal~secret 2`.
    fn parse(text: &str) -> Result<Self, String> {
        let (words, weight) = text.trim().rsplit_once(' ').ok_or_else(|| format!("`{text}` has no weight"))?;
        let weight: f32 = weight.parse().map_err(|_| format!("`{weight}` is no number"))?;
        if !(weight > 0.0 && weight <= MOST_WEIGHT) {
            return Err(format!("the weight of `{text}` must be above 0 and at most {MOST_WEIGHT}"));
        }
        let (first, second) = words.trim().split_once('~').map_or((words, None), |(one, two)| (one, Some(two)));
        let word = |word: &str| {
            let plain = word.trim();
            let good = !plain.is_empty() && plain.chars().all(char::is_alphanumeric) && plain.len() <= 64;
            good.then(|| plain.to_owned()).ok_or_else(|| format!("`{word}` in `{text}` is not one word"))
        };
        Ok(Self { first: word(first)?, second: second.map(word).transpose()?, weight })
    }
}

/// What one learned rule knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    pub terms: Vec<Term>,
    /// What the weights must add up to.
    pub threshold: f32,
    /// Different single words that must be there.
    pub telling: u32,
    /// In so many words of the text.
    pub window: u32,
}

/// Where the weights of a text add up to most.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Best {
    pub score: f32,
    /// Different single words there.
    pub telling: u32,
    /// In bytes.
    pub start: u32,
    pub end: u32,
}

impl Weights {
    /// From the entries of a rule's `detection`; `None` where the rule is no learned one.
    ///
    /// # Errors
    /// The entry that is wrong, and why.
    pub(super) fn of(
        entries: &BTreeMap<String, Vec<String>>,
        is_learned: bool,
    ) -> Result<Option<Self>, (&str, String)> {
        if !is_learned {
            let odd = entries.keys().next();
            return odd.map_or(Ok(None), |key| Err((key, "goes with the detector `learned` only".into())));
        }
        let entry = |key: &str| entries.get(key).and_then(|texts| texts.first()).map(String::as_str);
        let terms = entries.get("weights").map_or(&[][..], Vec::as_slice);
        Self::parse(terms, entry("threshold"), entry("telling"), entry("window")).map(Some)
    }

    fn parse(
        terms: &[String],
        threshold: Option<&str>,
        telling: Option<&str>,
        window: Option<&str>,
    ) -> Result<Self, (&'static str, String)> {
        let terms: Result<Vec<Term>, String> = terms.iter().map(|text| Term::parse(text)).collect();
        let terms = terms.map_err(|message| ("weights", message))?;
        if !(2..=MOST_TERMS).contains(&terms.len()) {
            return Err(("weights", format!("must be 2 to {MOST_TERMS} terms, not {}", terms.len())));
        }
        let mut numbers: Vec<u64> = terms.iter().map(Term::number).collect();
        numbers.sort_unstable();
        if numbers.array_windows().any(|[one, two]| one == two) {
            return Err(("weights", "two terms are the same but for case, endings or synonyms".into()));
        }
        let whole = |part: &'static str, text: Option<&str>, range: (u32, u32)| {
            let number = text.and_then(|text| text.trim().parse().ok());
            let good = number.filter(|number| (range.0..=range.1).contains(number));
            good.ok_or_else(|| (part, format!("must be a whole number from {} to {}", range.0, range.1)))
        };
        let words = u32::try_from(terms.iter().filter(|term| term.second.is_none()).count()).unwrap_or(0);
        let telling = whole("telling", telling, (2, words.max(2)))?;
        let window = whole("window", window, WINDOW)?;
        let threshold: Option<f32> = threshold.and_then(|text| text.trim().parse().ok());
        let all: f32 = terms.iter().map(|term| term.weight).sum();
        let threshold = threshold.filter(|threshold| *threshold > 0.0 && *threshold <= all + 0.01);
        let threshold =
            threshold.ok_or(("threshold", format!("must be above 0 and at most {all}, the sum of all weights")))?;
        Ok(Self { terms, threshold, telling, window })
    }

    /// A reader of texts, without looking at the threshold.
    pub fn reader(&self) -> Reader {
        let mut bits: Hashed<u8> = Hashed::default();
        let mut words: Hashed<(bool, bool)> = Hashed::default();
        for (bit, term) in (0_u8..).zip(&self.terms).take(MOST_TERMS) {
            bits.insert(term.number(), bit);
            let first = words.entry(fold::class(&term.first)).or_default();
            first.0 |= term.second.is_some();
            if let Some(second) = &term.second {
                words.entry(fold::class(second)).or_default().1 = true;
            }
        }
        let singles = self.terms.iter().enumerate().filter(|(_, term)| term.second.is_none());
        let singles = singles.take(MOST_TERMS).fold(0_u64, |bits, (at, _)| bits | bit(at));
        let weights = self.terms.iter().map(|term| term.weight).take(MOST_TERMS).collect();
        Reader { bits, words, weights, singles, window: self.window }
    }
}

fn bit(at: usize) -> u64 {
    u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at)).unwrap_or(0)
}

/// One rule's terms, ready to be looked for.
#[derive(Debug, Clone)]
pub struct Reader {
    bits: Hashed<u8>,
    /// By word: whether it begins a pair, and ends one.
    words: Hashed<(bool, bool)>,
    weights: Vec<f32>,
    singles: u64,
    window: u32,
}

/// A term at a place.
#[derive(Debug, Clone, Copy)]
struct Occurrence {
    nth: u32,
    start: u32,
    end: u32,
    bit: u8,
}

impl Reader {
    /// Other weights for the same terms.
    pub fn weigh(&mut self, weights: &[f32]) {
        self.weights.clear();
        self.weights.extend_from_slice(weights);
    }

    /// Which terms of the rule are anywhere in the words, as bits, and what they weigh together.
    pub fn all(&self, words: &[Token]) -> (u64, f32) {
        let mut bits = 0;
        self.occurrences(words, |found| bits |= bit(usize::from(found.bit)));
        (bits, self.sum(bits))
    }

    /// The window whose terms weigh most.
    pub fn best(&self, words: &[Token]) -> Best {
        let mut found = Vec::new();
        self.occurrences(words, |one| found.push(one));
        self.heaviest(&found)
    }

    /// The terms of the window that weighs most, as bits.
    pub fn best_terms(&self, words: &[Token]) -> u64 {
        let best = self.best(words);
        let mut bits = 0;
        self.occurrences(words, |one| {
            bits |= if one.start >= best.start && one.end <= best.end { bit(usize::from(one.bit)) } else { 0 };
        });
        bits
    }

    fn sum(&self, bits: u64) -> f32 {
        let own = self.weights.iter().enumerate().filter(|(at, _)| bits & bit(*at) != 0);
        own.map(|(_, weight)| weight).sum()
    }

    fn occurrences(&self, words: &[Token], mut each: impl FnMut(Occurrence)) {
        let mut recent = Recent::default();
        for word in words {
            let Some((begins, ends)) = self.words.get(&word.class) else { continue };
            let mut add = |start: u32, number: u64| {
                if let Some(bit) = self.bits.get(&number) {
                    each(Occurrence { nth: word.nth, start, end: word.end, bit: *bit });
                }
            };
            add(word.start, word.class);
            if *ends {
                recent.before(word.nth).for_each(|first| add(first.start, pair(first.class, word.class)));
            }
            if *begins {
                recent.push(*word);
            }
        }
    }

    fn heaviest(&self, found: &[Occurrence]) -> Best {
        let mut counts = [0_u32; MOST_TERMS];
        let (mut bits, mut from) = (0_u64, 0);
        let mut best = Best::default();
        for (at, last) in found.iter().enumerate() {
            if let Some(count) = counts.get_mut(usize::from(last.bit)) {
                *count += 1;
                bits |= bit(usize::from(last.bit));
            }
            while let Some(first) = found.get(from).filter(|first| last.nth - first.nth >= self.window) {
                if let Some(count) = counts.get_mut(usize::from(first.bit)) {
                    *count -= 1;
                    bits &= if *count == 0 { !bit(usize::from(first.bit)) } else { u64::MAX };
                }
                from += 1;
            }
            let score = self.sum(bits);
            if score > best.score {
                let start = found.get(from..=at).unwrap_or_default().iter().map(|one| one.start).min();
                let telling = (bits & self.singles).count_ones();
                best = Best { score, telling, start: start.unwrap_or(last.start), end: last.end };
            }
        }
        best
    }
}

/// The last words that begin a pair.
#[derive(Debug, Default)]
struct Recent {
    words: [Option<Token>; NEAR as usize],
    next: usize,
}

impl Recent {
    fn push(&mut self, word: Token) {
        if let Some(slot) = self.words.get_mut(self.next) {
            *slot = Some(word);
        }
        self.next = (self.next + 1) % self.words.len();
    }

    /// Those that are near enough before the `nth` word.
    fn before(&self, nth: u32) -> impl Iterator<Item = &Token> {
        self.words.iter().flatten().filter(move |word| nth > word.nth && nth - word.nth <= NEAR)
    }
}

/// The words of a text.
pub fn read(text: &str) -> Vec<Token> {
    let mut found = Vec::with_capacity(text.len() / 6);
    tokens(text, |token| found.push(token));
    found
}

/// Whether two words are one to learned rules.
pub fn same(one: &str, other: &str) -> bool {
    let [one, other]: [Class; 2] = [one, other].map(fold::class);
    one == other
}

#[cfg(test)]
mod tests;

//! The trained classifier: how much a text reads like an attack on a model.
//!
//! A linear model over hashed features, in two views added up in one pass: the text as a whole, and every window of
//! twenty words, so that an order planted in a long document is found and located. A score becomes points, the unit
//! of the rules: 4 where about one ordinary prompt in a hundred scores more, 8 where one in a thousand does.

pub mod features;
pub mod lexicon;
pub mod model;

use std::ops::Range;

use features::{Before, Word};
use lexicon::{Lexicon, Meaning};
use model::{Head, Model};

/// Words of half a window. Windows overlap by half.
pub const HALF: usize = 10;

/// Words a text must have to be judged: one alone says nothing.
const FEWEST: usize = 3;

/// Points at the two marks of a [`Head`].
const FLAG: f32 = 4.0;
const BLOCK: f32 = 8.0;

/// The most points a score is worth.
const MOST: f32 = 12.0;

/// What the classifier says of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// 0 to 12, in the unit of the rules.
    pub points: f32,
    /// The part that reads most like an attack, in bytes.
    pub place: Range<usize>,
}

/// A model, ready to use. Immutable; share it in an `Arc`.
#[derive(Debug, Clone)]
pub struct Classifier {
    lexicon: Lexicon,
    whole: Head,
    window: Head,
    weights: Vec<[i8; 2]>,
    known: Known,
    digest: String,
}

impl Classifier {
    /// Reads a model file and prepares its common words.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn new(file: &[u8]) -> Result<Self, String> {
        let Model { header, weights } = Model::read(file)?;
        let lexicon = Lexicon::parse(&header.lexicon).map_err(|error| format!("lexicon: {error}"))?;
        let known = Known::new(&header.vocabulary, &lexicon, &weights);
        let (whole, window) = (header.whole, header.window);
        Ok(Self { lexicon, whole, window, weights, known, digest: Model::digest(file) })
    }

    /// What stands for the model in verdicts.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes in memory, nearly.
    pub fn memory(&self) -> usize {
        self.weights.len() * 2 + self.known.slots.len() * size_of::<Option<Spelt>>()
    }

    /// The raw scores of a text: as a whole, and of the window that scores most with its place, which is empty where
    /// there are too few words to say anything.
    pub fn scores(&self, text: &str) -> (f32, f32, Range<usize>) {
        let mut before = Before::default();
        let (mut all, mut half, mut last) = (Sum::default(), Sum::default(), Sum::default());
        let (mut best, mut place) = (f32::MIN, 0..0);
        let (mut in_half, mut halves) = (0, 0);
        let mut starts = [0; 2];
        let mut end = 0;
        let mut close = |half: &Sum, last: &Sum, range: Range<usize>| {
            let score = self.window.of(half.window + last.window, half.count + last.count);
            if score > best {
                (best, place) = (score, range);
            }
        };
        features::words(text, |word| {
            if in_half == HALF {
                // The first half alone is no window: the text goes on.
                if halves > 0 {
                    close(&half, &last, starts[0]..end);
                }
                (last, half, in_half) = (half, Sum::default(), 0);
                starts = [starts[1], word.start as usize];
                halves += 1;
            }
            let sum = self.word(text, &word, &mut before);
            half += sum;
            all += sum;
            in_half += 1;
            end = word.end as usize;
        });
        close(&half, &last, starts[0]..end);
        if halves * HALF + in_half < FEWEST {
            place = 0..0;
        }
        (self.whole.of(all.whole, all.count), best, place)
    }

    /// How much `text` reads like an attack, and where. `None` for a text of one or two words.
    pub fn judge(&self, text: &str) -> Option<Opinion> {
        let (whole, window, place) = self.scores(text);
        if place.is_empty() {
            return None;
        }
        let (whole, window) = (self.whole.points(whole), self.window.points(window));
        let place = if whole > window + 1.0 { 0..text.len() } else { place };
        Some(Opinion { points: whole.max(window), place })
    }

    /// What one word adds.
    fn word(&self, text: &str, word: &Word, before: &mut Before) -> Sum {
        let spelt = self.known.get(word.hash).copied().unwrap_or_else(|| {
            let letters = text.get(word.start as usize..word.end as usize).unwrap_or_default();
            Spelt::new(word.hash, letters, &self.lexicon, &self.weights)
        });
        let mut sum = spelt.sum;
        let meaning = before.meaning(word, spelt.meaning, &self.lexicon);
        before.read(word, meaning, |number| sum.add(&self.weights, number));
        sum
    }
}

/// Features from which on a longer text weighs no more: beyond, the mean counts.
const LONG: f32 = 1_000.0;

/// What a sum of `count` weights is divided by. The square root keeps what many weak signs say together; of a long text it
/// would make too much.
pub fn norm(count: usize) -> f32 {
    let count = count.max(1) as f32;
    if count < LONG { count.sqrt() } else { count / LONG.sqrt() }
}

impl Head {
    /// The score of a sum of `count` weights.
    fn of(&self, sum: i64, count: u32) -> f32 {
        self.scale * sum as f32 / norm(count as usize) + self.bias
    }

    /// What a score is worth.
    pub fn points(&self, score: f32) -> f32 {
        let way = (score - self.flag) / (self.block - self.flag).max(f32::EPSILON);
        if way < 0.0 { FLAG * way.exp() } else { (FLAG + way * (BLOCK - FLAG)).min(MOST) }
    }
}

/// Weights added up.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    whole: i64,
    window: i64,
    count: u32,
}

impl Sum {
    fn add(&mut self, weights: &[[i8; 2]], number: u32) {
        if let Some([whole, window]) = weights.get(number as usize) {
            self.whole += i64::from(*whole);
            self.window += i64::from(*window);
        }
        self.count += 1;
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, more: Self) {
        self.whole += more.whole;
        self.window += more.window;
        self.count += more.count;
    }
}

/// A word whose spelling has been read.
#[derive(Debug, Clone, Copy)]
struct Spelt {
    hash: u64,
    sum: Sum,
    meaning: Meaning,
}

impl Spelt {
    fn new(hash: u64, letters: &str, lexicon: &Lexicon, weights: &[[i8; 2]]) -> Self {
        let mut sum = Sum::default();
        features::pieces(letters, |number| sum.add(weights, number));
        Self { hash, sum, meaning: lexicon.meaning(letters) }
    }
}

/// Where a word is looked for first: the high bits depend on every letter.
const fn place(hash: u64) -> usize {
    (hash >> 40) as usize
}

/// The common words, read beforehand: open addressing, at most half full.
#[derive(Debug, Clone)]
struct Known {
    slots: Vec<Option<Spelt>>,
}

impl Known {
    fn new(vocabulary: &str, lexicon: &Lexicon, weights: &[[i8; 2]]) -> Self {
        let words: Vec<&str> = vocabulary.split(' ').filter(|word| !word.is_empty()).collect();
        let mut slots = vec![None; (words.len() * 2).next_power_of_two().max(2)];
        let mask = slots.len() - 1;
        for letters in words {
            let mut hash = None;
            features::words(letters, |word| hash = hash.or(Some(word.hash)));
            let Some(hash) = hash else { continue };
            let free = (0..slots.len()).map(|step| (place(hash).wrapping_add(step)) & mask);
            let same = |slot: &Option<Spelt>| slot.is_none_or(|known| known.hash == hash);
            if let Some(slot) =
                free.into_iter().find(|at| slots.get(*at).is_some_and(same)).and_then(|at| slots.get_mut(at))
            {
                *slot = Some(Spelt::new(hash, letters, lexicon, weights));
            }
        }
        Self { slots }
    }

    fn get(&self, hash: u64) -> Option<&Spelt> {
        let mask = self.slots.len() - 1;
        let mut at = place(hash) & mask;
        while let Some(known) = self.slots.get(at)?.as_ref() {
            if known.hash == hash {
                return Some(known);
            }
            at = (at + 1) & mask;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::classify::model::Header;

    /// A model that finds every word as bad as can be.
    fn alarmed() -> Classifier {
        let head = Head { scale: 1.0, bias: 0.0, flag: 1.0, block: 2.0 };
        let header = Header { bits: features::BITS, whole: head, window: head, ..Header::default() };
        Classifier::new(&Model { header, weights: vec![[127; 2]; 1 << features::BITS] }.write().unwrap()).unwrap()
    }

    #[test]
    fn the_sum_of_a_long_text_is_not_cut_off() {
        let classifier = alarmed();
        let text = "abcdefghijklmnopqrst ".repeat(400_000);
        let (whole, window, _) = classifier.scores(&text);
        assert!(whole > i32::MAX as f32 / norm(40_000_000), "{whole}");
        assert!(window > 0.0 && whole.is_finite());
    }

    #[test]
    fn two_words_are_no_text() {
        let classifier = alarmed();
        assert_eq!(classifier.judge("two words"), None);
        assert!(classifier.judge("more than two words").is_some());
    }
}

//! The trained classifier: how much a text reads like an attack on a model.
//!
//! A linear model over hashed features, in two views added up in one pass: the text as a whole, and every window of
//! twenty words, so that an order planted in a long document is found and located. A score becomes points, the unit
//! of the rules: 4 where about one ordinary prompt in a hundred scores more, 8 where one in a thousand does.

pub mod features;
pub mod lexicon;
pub mod model;
mod spelling;

use std::ops::Range;

use features::{Before, Word};
use lexicon::{Lexicon, Meaning};
use model::{Head, KIND_BITS, Kind, Model};

use crate::types::Family;

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
    /// What kind of attack it reads like, where it does.
    pub family: Option<Family>,
}

/// A model, ready to use. Immutable; share it in an `Arc`.
#[derive(Debug, Clone)]
pub struct Classifier {
    lexicon: Lexicon,
    whole: Head,
    window: Head,
    weights: Vec<[i8; 2]>,
    kinds: Vec<Kind>,
    /// For the first bits of every feature number the weight of each kind.
    of_kinds: Vec<i8>,
    known: Known,
    digest: String,
}

impl Classifier {
    /// Reads a model file and prepares its common words.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn new(file: &[u8]) -> Result<Self, String> {
        let Model { header, weights, kinds: of_kinds } = Model::read(file)?;
        let lexicon = Lexicon::parse(&header.lexicon).map_err(|error| format!("lexicon: {error}"))?;
        let known = Known::new(&header.vocabulary, &lexicon, &weights);
        let (whole, window) = (header.whole, header.window);
        let (kinds, digest) = (header.kinds, Model::digest(file));
        Ok(Self { lexicon, whole, window, weights, kinds, of_kinds, known, digest })
    }

    /// What stands for the model in verdicts.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes in memory, nearly.
    pub fn memory(&self) -> usize {
        self.weights.len() * 2 + self.of_kinds.len() + self.known.slots.len() * size_of::<Spelt>()
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
            half.add(sum);
            all.add(sum);
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
        let points = whole.max(window);
        let attack = text.get(place.clone()).filter(|_| points >= FLAG);
        Some(Opinion { points, family: attack.and_then(|attack| self.kind(attack)), place })
    }

    /// What kind of attack a text reads like most, if it is one.
    fn kind(&self, text: &str) -> Option<Family> {
        let mut sums = [0_i64; 16];
        let mut count = 0_usize;
        let mut add = |number: u32| {
            let at = (number >> (features::BITS - KIND_BITS)) as usize * self.kinds.len();
            let own = self.of_kinds.get(at..at + self.kinds.len()).unwrap_or_default();
            sums.iter_mut().zip(own).for_each(|(sum, weight)| *sum += i64::from(*weight));
            count += 1;
        };
        let mut before = Before::default();
        features::words(text, |word| {
            let letters = text.get(word.start as usize..word.end as usize).unwrap_or_default();
            features::pieces(letters, &mut add);
            let meaning = before.meaning(&word, self.lexicon.meaning(letters), &self.lexicon);
            before.read(&word, meaning, &mut add);
        });
        let score = |(kind, sum): (&Kind, &i64)| (kind.family, kind.scale * *sum as f32 / norm(count) + kind.bias);
        let scored = self.kinds.iter().zip(&sums).map(score);
        scored.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(family, _)| family)
    }

    /// What one word adds.
    #[inline(always)]
    fn word(&self, text: &str, word: &Word, before: &mut Before) -> Packed {
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

/// Weights added up, of a window or of a text.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    whole: i64,
    window: i64,
    count: u32,
}

impl Sum {
    fn add(&mut self, word: Packed) {
        let (whole, window, count) = word.parts();
        self.whole += whole;
        self.window += window;
        self.count = self.count.saturating_add(count);
    }
}

/// Weights of one word added up, all three numbers in one: a feature costs one addition. From the top 22 bits for the
/// whole text and 22 for the window, both signed, and 20 for the count: room for 16,000 features of the largest weight.
#[derive(Debug, Clone, Copy, Default)]
struct Packed(u64);

impl Packed {
    const WINDOW: u32 = 20;
    const WHOLE: u32 = 42;

    #[inline(always)]
    fn add(&mut self, weights: &[[i8; 2]], number: u32) {
        let [whole, window] = weights.get(number as usize).copied().unwrap_or_default().map(i64::from);
        let packed = (whole << Self::WHOLE).wrapping_add(window << Self::WINDOW).wrapping_add(1);
        self.0 = self.0.wrapping_add(packed.cast_unsigned());
    }

    #[inline(always)]
    fn parts(self) -> (i64, i64, u32) {
        let all = self.0.cast_signed();
        let count = (self.0 & ((1 << Self::WINDOW) - 1)) as u32;
        // What is below borrowed from what is above.
        let window = (all << (64 - Self::WHOLE)) >> (64 - Self::WHOLE + Self::WINDOW);
        let whole = all.wrapping_sub(window << Self::WINDOW) >> Self::WHOLE;
        (whole, window, count)
    }
}

/// A word whose spelling has been read. Small: thousands of them are looked up at random.
#[derive(Debug, Clone, Copy, Default)]
struct Spelt {
    /// 0: none.
    hash: u64,
    sum: Packed,
    meaning: Meaning,
}

impl Spelt {
    #[inline(never)]
    fn new(hash: u64, letters: &str, lexicon: &Lexicon, weights: &[[i8; 2]]) -> Self {
        let mut sum = Packed::default();
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
    slots: Vec<Spelt>,
}

impl Known {
    fn new(vocabulary: &str, lexicon: &Lexicon, weights: &[[i8; 2]]) -> Self {
        let words: Vec<&str> = vocabulary.split(' ').filter(|word| !word.is_empty()).collect();
        let mut slots = vec![Spelt::default(); (words.len() * 2).next_power_of_two().max(2)];
        let mask = slots.len() - 1;
        for letters in words {
            let mut hash = 0;
            features::words(letters, |word| hash = if hash == 0 { word.hash } else { hash });
            let mut free = (0..slots.len()).map(|step| place(hash).wrapping_add(step) & mask);
            let fits = |slot: &Spelt| slot.hash == 0 || slot.hash == hash;
            let at = free.find(|at| slots.get(*at).is_some_and(fits)).filter(|_| hash != 0);
            if let Some(slot) = at.and_then(|at| slots.get_mut(at)) {
                *slot = Spelt::new(hash, letters, lexicon, weights);
            }
        }
        Self { slots }
    }

    #[inline(always)]
    fn get(&self, hash: u64) -> Option<&Spelt> {
        let mask = self.slots.len() - 1;
        let mut at = place(hash) & mask;
        loop {
            let known = self.slots.get(at)?;
            if known.hash == hash {
                return Some(known);
            }
            if known.hash == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
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
        Classifier::new(
            &Model { header, weights: vec![[127; 2]; 1 << features::BITS], kinds: Vec::new() }.write().unwrap(),
        )
        .unwrap()
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
    fn packed_sums_are_the_sums() {
        let weights = [[-128, 127], [127, -128], [0, -1], [-1, 0], [5, 7]];
        for rounds in [1_u32, 7, 3_000] {
            let (mut packed, mut sums) = (Packed::default(), (0, 0, 0));
            for nth in 0..rounds * 5 {
                let number = (nth * 7 + nth / 3) % 5;
                packed.add(&weights, number);
                let [whole, window] = weights[number as usize].map(i64::from);
                sums = (sums.0 + whole, sums.1 + window, sums.2 + 1);
            }
            assert_eq!(packed.parts(), sums);
        }
        let mut worst = Packed::default();
        (0..16_000).for_each(|_| worst.add(&weights, 0));
        assert_eq!(worst.parts(), (-128 * 16_000, 127 * 16_000, 16_000));
    }

    #[test]
    fn two_words_are_no_text() {
        let classifier = alarmed();
        assert_eq!(classifier.judge("two words"), None);
        assert!(classifier.judge("more than two words").is_some());
    }
}

//! The trained classifier: how much a text reads like an attack on a model.
//!
//! A linear model over hashed features, in two views added up in one pass: the text as a whole, and every window of
//! twenty words, so that an order planted in a long document is found and located. Both make one score, and that becomes
//! points, the unit of the rules: 4 where two ordinary prompts in a thousand score more, 8 where hardly any does.

pub mod features;
pub mod lexicon;
pub mod meanings;
pub mod model;
pub mod said;
mod spelling;
mod weights;

use std::ops::Range;

use features::Word;
use lexicon::{Lexicon, Meaning};
use meanings::{Before, Meanings};
use model::{Blend, Head, KIND_BITS, Kind, Marks, Model, Views};
use said::Again;
use weights::{Brief, Gathered, Sum, Tally, Weights};

use crate::types::Family;

/// Words of half a window. Windows overlap by half.
pub const HALF: usize = 10;

/// Words a text must have to be judged: one alone says nothing.
const FEWEST: usize = 3;

/// Points at the two [`Marks`].
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
    blend: Blend,
    weights: Weights,
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
        let weights = Weights::new(&weights).ok_or("a weight is missing")?;
        let known = Known::new(&header.vocabulary, &lexicon, &weights);
        let (whole, window, blend) = (header.whole, header.window, header.blend);
        let (kinds, digest) = (header.kinds, Model::digest(file));
        Ok(Self { lexicon, whole, window, blend, weights, kinds, of_kinds, known, digest })
    }

    /// What stands for the model in verdicts.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes in memory, nearly.
    pub fn memory(&self) -> usize {
        self.weights.memory() + self.of_kinds.len() + self.known.slots.len() * size_of::<Spelt>()
    }

    /// What both views say of a text, and where the window is that scores most: nowhere if there are too few words to say
    /// anything.
    pub fn views(&self, text: &str) -> (Views, Range<usize>) {
        let mut course = Course::default();
        // The two words before and those of half a window, and whether these were said before.
        let (mut words, mut said, mut in_half) = ([Word::default(); HALF + 2], [Again::No; HALF], 0);
        said::each(text, |word, again| {
            if in_half == HALF {
                self.half(text, &words, &said, true, &mut course);
                course.starts = [course.starts[1], word.start as usize];
                words.copy_within(HALF.., 0);
                in_half = 0;
            }
            words.get_mut(in_half + 2).into_iter().for_each(|slot| *slot = word);
            said.get_mut(in_half).into_iter().for_each(|slot| *slot = again);
            in_half += 1;
        });
        self.half(text, words.get(..in_half + 2).unwrap_or_default(), &said, false, &mut course);
        if course.halves * HALF + in_half < FEWEST {
            course.place = 0..0;
        }
        let Sum { whole, count, .. } = course.all;
        (Views { whole: self.whole.of(whole, count), window: course.best, count }, course.place)
    }

    /// Adds up the next words, of half a window, behind the two before them; the text may go on.
    #[inline(never)]
    fn half(&self, text: &str, words: &[Word], said: &[Again; HALF], goes_on: bool, course: &mut Course) {
        // `far`: what the window reads and the text as a whole has read before.
        let (half, mut far, mut read) = (&mut course.half, Tally::default(), 0);
        // All looked up at once, for the memory answers several looks in the time of one.
        let mut likely = [Spelt::default(); HALF];
        for (slot, word) in likely.iter_mut().zip(words.get(2..).unwrap_or_default()) {
            *slot = self.known.likely(word.hash);
        }
        for (([_, last, word], again), likely) in words.array_windows().zip(said).zip(&likely) {
            let (own, mut meaning) = match self.known.get(word.hash, likely) {
                Some(spelt) => (spelt.sum, spelt.meaning),
                None => self.spelt(text, word, &mut course.lately),
            };
            if let Some(letter) = word.ideograph {
                meaning |= course.meanings.of_ideograph(letter, last.ideograph.is_some(), &self.lexicon);
            }
            let mut own = own.tally();
            // Nearly all words: what they add is gathered.
            if *again == Again::No {
                half.join(own);
                course.meanings.follow(word, |number| half.add(&self.weights, number));
                if meaning != 0 {
                    self.understood(&mut course.meanings, meaning, half);
                }
            } else {
                course.meanings.follow(word, |number| own.add(&self.weights, number));
                if meaning != 0 {
                    course.meanings.meant(meaning, |number| own.add(&self.weights, number));
                }
                if *again == Again::Far {
                    half.join(own);
                    far.join(own);
                }
            }
            read += usize::from(*again != Again::Near);
        }
        for (nth, ([earlier, last, word], again)) in words.array_windows().zip(said).enumerate() {
            let (is_second, is_third) = (course.halves > 0 || nth > 0, course.halves > 0 || nth > 1);
            let (last, earlier) = (is_second.then_some(last), is_third.then_some(earlier));
            match again {
                Again::No => features::context(word, last, earlier, |number| half.add(&self.weights, number)),
                Again::Near => {}
                Again::Far => {
                    let mut own = Tally::default();
                    features::context(word, last, earlier, |number| own.add(&self.weights, number));
                    half.join(own);
                    far.join(own);
                }
            }
        }
        let half = half.tally(&self.weights);
        let (own, far) = (half.sum(), far.sum());
        // The first half alone is no window where the text goes on, and nothing is known of a window that says all again.
        if (!goes_on || course.halves > 0) && read + course.read >= FEWEST {
            let score = self.window.of(own.window + course.last.window, own.count + course.last.count);
            if score > course.best {
                (course.best, course.place) =
                    (score, course.starts[0]..words.last().map_or(0, |word| word.end as usize));
            }
        }
        course.all.add(Sum { whole: own.whole - far.whole, window: 0, count: own.count - far.count });
        (course.last, course.read) = (own, read);
        course.halves += usize::from(goes_on);
    }

    /// How much `text` reads like an attack, and where. `None` for a text of one or two words.
    pub fn judge(&self, text: &str) -> Option<Opinion> {
        let (views, place) = self.views(text);
        if place.is_empty() {
            return None;
        }
        let place = if views.whole > views.window + 1.0 { 0..text.len() } else { place };
        let points = self.blend.points(&views);
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

    /// A word that is not among the common ones. A text that has such a word often has it again: the same letters, for a word
    /// with the same hash can be made.
    #[inline(never)]
    fn spelt(&self, text: &str, word: &Word, lately: &mut Lately) -> (Brief, Meaning) {
        let mut none = (Spelt::default(), 0..0);
        let own = word.start as usize..word.end as usize;
        let letters = text.get(own.clone()).unwrap_or_default();
        let (spelt, at) = lately.get_mut(place(word.hash) % LATELY).unwrap_or(&mut none);
        let is_same =
            spelt.hash == word.hash && text.get(at.clone()).is_some_and(|known| known.eq_ignore_ascii_case(letters));
        if !is_same || word.hash == 0 {
            (*spelt, *at) = (Spelt::new(word.hash, letters, &self.lexicon, &self.weights), own);
        }
        (spelt.sum, spelt.meaning)
    }

    /// What a word adds by its meaning.
    #[inline(never)]
    fn understood(&self, meanings: &mut Meanings, meaning: Meaning, sum: &mut Gathered) {
        meanings.meant(meaning, |number| sum.add(&self.weights, number));
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
}

impl Marks {
    /// What a score is worth.
    fn points(&self, score: f32) -> f32 {
        let way = (score - self.flag) / (self.block - self.flag).max(f32::EPSILON);
        if way < 0.0 { FLAG * way.exp() } else { (FLAG + way * (BLOCK - FLAG)).min(MOST) }
    }
}

impl Blend {
    /// What a text is worth that both views have seen.
    pub fn points(&self, views: &Views) -> f32 {
        self.both.points(self.score(views)).max(self.alone.points(views.window))
    }
}

/// Words of a text that were spelt are kept at so many places.
const LATELY: usize = 64;

/// The last word that was spelt at each place, and where it stands in the text.
type Lately = [(Spelt, Range<usize>); LATELY];

/// A text being scored.
#[derive(Debug)]
struct Course {
    meanings: Meanings,
    lately: Lately,
    /// Of half a window; empty between two, and kept so that its room is cleared once.
    half: Gathered,
    all: Sum,
    /// Of the half before, and how many of its words were read.
    last: Sum,
    read: usize,
    /// Where the half before and this one start.
    starts: [usize; 2],
    halves: usize,
    best: f32,
    place: Range<usize>,
}

impl Default for Course {
    fn default() -> Self {
        let (meanings, all, last) = (Meanings::default(), Sum::default(), Sum::default());
        let lately = std::array::from_fn(|_| (Spelt::default(), 0..0));
        Self {
            meanings,
            lately,
            half: Gathered::default(),
            all,
            last,
            read: 0,
            starts: [0; 2],
            halves: 0,
            best: f32::MIN,
            place: 0..0,
        }
    }
}

/// A word whose spelling has been read. Small: thousands of them are looked up at random.
#[derive(Debug, Clone, Copy, Default)]
struct Spelt {
    /// 0: none.
    hash: u64,
    /// What it adds wherever it stands.
    sum: Brief,
    meaning: Meaning,
}

impl Spelt {
    fn new(hash: u64, letters: &str, lexicon: &Lexicon, weights: &Weights) -> Self {
        let mut sum = Tally::default();
        features::pieces(letters, |number| sum.add(weights, number));
        sum.add(weights, features::alone(hash));
        Self { hash, sum: Brief::of(sum), meaning: lexicon.meaning(letters) }
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
    fn new(vocabulary: &str, lexicon: &Lexicon, weights: &Weights) -> Self {
        let words: Vec<&str> = vocabulary.split(' ').filter(|word| !word.is_empty()).collect();
        // A word whose hash is 0 finds an empty slot: there stands what it adds.
        let mut none = Tally::default();
        none.add(weights, features::alone(0));
        let empty = Spelt { sum: Brief::of(none), ..Spelt::default() };
        let mut slots = vec![empty; (words.len() * 2).next_power_of_two().max(2)];
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

    /// What stands in the first place where a word is looked for.
    #[inline(always)]
    fn likely(&self, hash: u64) -> Spelt {
        self.slots.get(place(hash) & (self.slots.len() - 1)).copied().unwrap_or_default()
    }

    /// A word's entry; `likely` is what [`Self::likely`] says of the same hash.
    #[inline(always)]
    fn get<'a>(&'a self, hash: u64, likely: &'a Spelt) -> Option<&'a Spelt> {
        if likely.hash == hash {
            return Some(likely);
        }
        if likely.hash == 0 {
            return None;
        }
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
    use crate::detect::classify::model::{FACTORS, Header};

    /// A model that finds every word as bad as can be.
    fn alarmed() -> Classifier {
        let head = Head { scale: 1.0, bias: 0.0 };
        let marks = Marks { flag: 1.0, block: 2.0 };
        let blend = Blend { factors: [1.0; FACTORS], bias: 0.0, both: marks, alone: marks };
        let header = Header { bits: features::BITS, whole: head, window: head, blend, ..Header::default() };
        Classifier::new(
            &Model { header, weights: vec![[127; 2]; 1 << features::BITS], kinds: Vec::new() }.write().unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn the_sum_of_a_long_text_is_not_cut_off() {
        let classifier = alarmed();
        // What is said again is left out only near the beginning.
        let letters = || 'a'..='z';
        let start: String = letters().flat_map(|one| letters().map(move |two| format!("{one}{two} "))).collect();
        let text = start + &"abcdefghijklmnopqrst ".repeat(400_000);
        let (views, _) = classifier.views(&text);
        assert!(views.whole > i32::MAX as f32 / norm(40_000_000), "{views:?}");
        assert!(views.window > 0.0 && views.whole.is_finite());
    }

    #[test]
    fn two_words_are_no_text() {
        let classifier = alarmed();
        assert_eq!(classifier.judge("two words"), None);
        assert!(classifier.judge("more than two words").is_some());
    }
}

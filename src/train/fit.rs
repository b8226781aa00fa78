//! Fitting: logistic regression over the classifier's features, in both views, by AdaGrad.
//!
//! Of a text longer than a window the windows are looked at: all of a harmless text are harmless, of an attack the one
//! that scores most is held to be the attack. Each source counts about alike, however many rows it has.

use std::collections::BTreeMap;
use std::ops::Range;

use super::corpus::Example;
use super::rng::Rng;
use crate::detect::classify::features::{self, BITS};
use crate::detect::classify::lexicon::Lexicon;
use crate::detect::classify::meanings::Before;
use crate::detect::classify::model::Views;
use crate::detect::classify::said::{self, Again};
use crate::detect::classify::{HALF, norm};

/// Rows a source counts for at most, of each label.
const CAP: f32 = 3000.0;

/// How much more an attack counts than a harmless text.
const ATTACK: f32 = 1.5;

/// Passes over the texts.
const EPOCHS: usize = 8;

/// Step width.
const RATE: f32 = 0.6;

/// How much weights are drawn to zero.
const DECAY: f32 = 1e-6;

/// A text's features, word by word.
#[derive(Debug, Clone, Default)]
pub struct Features {
    numbers: Vec<u32>,
    /// Where each word's begin, and the end.
    words: Vec<u32>,
    /// Those of the text as a whole, where it says something again.
    whole: Option<Vec<u32>>,
}

impl Features {
    /// The features of `text`.
    pub fn of(text: &str, lexicon: &Lexicon) -> Self {
        let (mut numbers, mut starts, mut far) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = Before::default();
        said::each(text, |word, again| {
            let start = numbers.len();
            starts.push(start as u32);
            let letters = text.get(word.start as usize..word.end as usize).unwrap_or_default();
            features::pieces(letters, |number| numbers.push(number));
            let meaning = before.meaning(&word, lexicon.meaning(letters), lexicon);
            before.read(&word, meaning, |number| numbers.push(number));
            match again {
                Again::No => {}
                Again::Near => numbers.truncate(start),
                Again::Far => far.push(start..numbers.len()),
            }
        });
        starts.push(numbers.len() as u32);
        let whole = (!far.is_empty()).then(|| {
            let is_far = |at: &usize| far.iter().any(|range: &Range<usize>| range.contains(at));
            numbers.iter().enumerate().filter(|(at, _)| !is_far(at)).map(|(_, number)| *number).collect()
        });
        Self { numbers, words: starts, whole }
    }

    /// The numbers of the features of the text as a whole.
    pub(super) fn numbers(&self) -> &[u32] {
        self.whole.as_ref().unwrap_or(&self.numbers)
    }

    fn of_words(&self, range: &Range<usize>) -> &[u32] {
        let at = |word: usize| self.words.get(word).or(self.words.last()).map_or(0, |start| *start as usize);
        self.numbers.get(at(range.start)..at(range.end)).unwrap_or_default()
    }

    /// The windows, as the classifier sees them.
    fn windows(&self) -> impl Iterator<Item = Range<usize>> + Clone {
        let count = self.words.len() - 1;
        (0..count.div_ceil(HALF).saturating_sub(1).max(1)).map(move |nth| nth * HALF..((nth + 2) * HALF).min(count))
    }

    fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// A linear model being fitted.
#[derive(Debug, Clone)]
pub struct Linear {
    /// One for every feature number.
    pub weights: Vec<f32>,
    /// Added to every score.
    pub bias: f32,
    slopes: Vec<f32>,
    bias_slope: f32,
}

impl Linear {
    pub(super) fn new(bits: u32) -> Self {
        let size = 1 << bits;
        Self { weights: vec![0.0; size], bias: 0.0, slopes: vec![1e-3; size], bias_slope: 1e-3 }
    }

    /// The score of a set of features.
    pub(super) fn score(&self, numbers: &[u32]) -> f32 {
        let weight = |number: &u32| self.weights.get(*number as usize).copied().unwrap_or(0.0);
        numbers.iter().map(weight).sum::<f32>() / norm(numbers.len()) + self.bias
    }

    pub(super) fn step(&mut self, numbers: &[u32], attack: bool, count: f32) {
        let chance = 1.0 / (1.0 + (-self.score(numbers)).exp());
        let slope = (chance - f32::from(u8::from(attack))) * count;
        let share = slope / norm(numbers.len());
        for number in numbers {
            let at = *number as usize;
            if let (Some(weight), Some(seen)) = (self.weights.get_mut(at), self.slopes.get_mut(at)) {
                let slope = share + DECAY * *weight;
                *seen += slope * slope;
                *weight -= RATE * slope / seen.sqrt();
            }
        }
        self.bias_slope += slope * slope;
        self.bias -= RATE * slope / self.bias_slope.sqrt();
    }
}

/// Both views, fitted.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The text as a whole.
    pub whole: Linear,
    /// Its windows.
    pub window: Linear,
}

impl Fitted {
    /// What both views say of a text.
    pub fn views(&self, text: &Features) -> Views {
        let count = u32::try_from(text.numbers().len()).unwrap_or(u32::MAX);
        Views { whole: self.whole.score(text.numbers()), window: self.worst(text).1, count }
    }

    fn worst(&self, text: &Features) -> (Range<usize>, f32) {
        let scored = text.windows().map(|window| {
            let score = self.window.score(text.of_words(&window));
            (window, score)
        });
        scored.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0..0, self.window.bias))
    }
}

/// How many examples each source has, of each label.
pub(super) struct Counts<'e>(BTreeMap<(&'e str, bool), f32>);

impl<'e> Counts<'e> {
    pub(super) fn of(examples: impl Iterator<Item = &'e Example>) -> Self {
        let mut rows: BTreeMap<(&str, bool), f32> = BTreeMap::new();
        for example in examples {
            *rows.entry((&example.source, example.attack)).or_default() += 1.0;
        }
        Self(rows)
    }

    /// How often an example counts.
    pub(super) fn weight(&self, example: &Example) -> f32 {
        let of_source = self.0.get(&(example.source.as_str(), example.attack)).copied().unwrap_or(1.0);
        CAP.min(of_source) / of_source * if example.attack { ATTACK } else { 1.0 }
    }
}

/// Fits both views to the examples that `used` names by position.
pub fn fit(examples: &[Example], texts: &[Features], used: &[usize], seed: &str) -> Fitted {
    let known = || used.iter().filter_map(|at| Some((examples.get(*at)?, texts.get(*at)?)));
    let counts = Counts::of(known().map(|(example, _)| example));
    let mut order: Vec<(bool, f32, &Features)> = known()
        .filter(|(_, text)| !text.is_empty())
        .map(|(example, text)| (example.attack, counts.weight(example), text))
        .collect();
    let mut fitted = Fitted { whole: Linear::new(BITS), window: Linear::new(BITS) };
    let mut rng = Rng::named(seed);
    for epoch in 0..EPOCHS {
        rng.shuffle(&mut order);
        for (attack, count, text) in &order {
            fitted.whole.step(text.numbers(), *attack, *count);
            fitted.windows(text, *attack, *count, epoch > 0, &mut rng);
        }
    }
    fitted
}

impl Fitted {
    fn windows(&mut self, text: &Features, attack: bool, count: f32, settled: bool, rng: &mut Rng) {
        let windows = text.windows();
        let many = windows.clone().count();
        if many == 1 {
            return self.window.step(&text.numbers, attack, count);
        }
        if !attack || !settled {
            let any = windows.clone().nth(rng.below(many)).unwrap_or(0..0);
            // Which window is the attack is not known yet.
            self.window.step(text.of_words(&any), attack, if attack { count * 0.3 } else { count });
        }
        if settled {
            let (worst, _) = self.worst(text);
            self.window.step(text.of_words(&worst), attack, count);
        }
    }
}

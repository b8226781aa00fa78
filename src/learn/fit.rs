//! Fitting a learned rule: weights that put every reading of an attack above every harmless text, by a margin.
//!
//! Weights begin with how rare a term is and are then corrected by multiplication (Winnow): terms of harmless texts that
//! score high shrink, terms of attacks that score low grow. They stay above zero, the result is the same every time.

use super::benign::Benign;
use super::terms::{Doc, Telling};
use crate::detect::learned::fold::Token;
use crate::detect::learned::{Reader, WINDOW, Weights};

/// The score of the reported text.
pub(super) const FULL: f32 = 10.0;

/// Passes over the texts, and how fast weights change.
const EPOCHS: usize = 24;
const SHRINK: f32 = 0.90;
const GROW: f32 = 1.04;

/// Harmless texts that are corrected for: those that score most.
const HARD: usize = 400;

/// Harmless texts should stay below the first, attacks above the second.
const AIMS: (f32, f32) = (2.4, 7.0);

/// How much higher than any harmless text a threshold must be.
const MARGIN: f32 = 1.25;

/// Words that a rule must find at least.
const FEWEST: u32 = 3;

/// A fitted rule without its threshold.
#[derive(Debug, Clone)]
pub(super) struct Fitted {
    pub(super) weights: Weights,
    /// Different telling words of the report.
    pub(super) words: u32,
    /// The most that a harmless text scores.
    pub(super) harmless: f32,
    /// Positions of the harmless texts that score most, the highest first.
    pub(super) nearest: Vec<usize>,
}

/// Fits the terms; `None` where they are too few to tell anything.
pub(super) fn fit(own: &Doc, docs: &[Doc], terms: &[Telling], benign: &Benign) -> Option<Fitted> {
    let count = u32::try_from(own.words.len()).unwrap_or(u32::MAX);
    let window = (count.saturating_mul(2).saturating_add(12)).clamp(WINDOW.0.max(24), WINDOW.1.min(260));
    let terms: Vec<_> = terms.iter().map(|one| one.term.clone()).collect();
    let mut weights = Weights { terms, threshold: FULL, telling: FEWEST, window };
    let mut reader = weights.reader();
    let words = reader.best(&own.words).telling;
    if words < FEWEST {
        return None;
    }
    let mut own_weights: Vec<f32> = weights.terms.iter().map(|term| term.weight).collect();
    scale(&mut own_weights, &mut reader, &own.words);
    let hard = hardest(&reader, benign, HARD);
    let texts: Vec<&[Token]> = benign.texts().map(|text| text.words.as_slice()).collect();
    for _ in 0..EPOCHS {
        for text in hard.iter().filter_map(|at| texts.get(*at)) {
            if reader.best(text).score > AIMS.0 {
                multiply(&mut own_weights, reader.best_terms(text), SHRINK);
                reader.weigh(&own_weights);
            }
        }
        for doc in docs.iter().chain([own]) {
            if reader.best(&doc.words).score < AIMS.1 {
                multiply(&mut own_weights, reader.best_terms(&doc.words), GROW);
                reader.weigh(&own_weights);
            }
        }
        scale(&mut own_weights, &mut reader, &own.words);
    }
    for (term, weight) in weights.terms.iter_mut().zip(&own_weights) {
        term.weight = (weight * 100.0).round() / 100.0;
    }
    weights.terms.retain(|term| term.weight >= 0.01);
    let reader = weights.reader();
    let nearest = hardest(&reader, benign, 3);
    let harmless = nearest.first().and_then(|at| texts.get(*at)).map_or(0.0, |text| reader.best(text).score);
    Some(Fitted { weights, words, harmless, nearest })
}

impl Fitted {
    /// The rule with a threshold: `wanted` of what the report scores, or as much more as harmless texts ask for; and so
    /// many of the report's telling words. `None` where the report itself would be missed.
    pub(super) fn with(&self, wanted: f32, words: f32) -> Option<Weights> {
        let threshold = (wanted * FULL).max(self.harmless * MARGIN + 0.2);
        let telling = ((self.words as f32 * words).ceil() as u32).max(FEWEST).min(self.words);
        let threshold = (threshold * 100.0).round() / 100.0;
        (threshold <= FULL * 0.9).then(|| Weights { threshold, telling, ..self.weights.clone() })
    }
}

fn multiply(weights: &mut [f32], bits: u64, by: f32) {
    for (at, weight) in weights.iter_mut().enumerate() {
        if bits >> at.min(63) & 1 == 1 {
            *weight *= by;
        }
    }
}

/// Makes the report score [`FULL`].
fn scale(weights: &mut [f32], reader: &mut Reader, own: &[Token]) {
    reader.weigh(weights);
    let score = reader.best(own).score.max(f32::EPSILON);
    weights.iter_mut().for_each(|weight| *weight = (*weight * FULL / score).min(FULL));
    reader.weigh(weights);
}

/// Positions of the harmless texts that score most, the highest first; none that score nothing.
fn hardest(reader: &Reader, benign: &Benign, most: usize) -> Vec<usize> {
    let scored = benign.texts().enumerate().map(|(at, text)| {
        // What is there at all is more than what is in a window.
        let (_, all) = reader.all(&text.words);
        (at, if all > 0.0 { reader.best(&text.words).score } else { 0.0 })
    });
    let mut scored: Vec<(usize, f32)> = scored.filter(|(_, score)| *score > 0.0).collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scored.truncate(most);
    scored.into_iter().map(|(at, _)| at).collect()
}

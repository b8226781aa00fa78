//! A fitted model in its file: weights in steps of one byte, the common words.

use std::collections::BTreeMap;

use super::corpus::Example;
use super::fit::{Fitted, Linear};
use crate::detect::classify::features::{self, BITS};
use crate::detect::classify::model::{Blend, Head, Header, KIND_BITS, Kind, Model};
use crate::types::Family;

/// Words in the vocabulary at most.
const WORDS: usize = 24_000;

/// Texts a word of the vocabulary is in at least.
const TEXTS: u32 = 6;

/// The share of weights, largest first, that are cut to the largest step.
const CLIPPED: f64 = 0.000_05;

pub(super) fn pack(
    fitted: &Fitted,
    kinds: &[(Family, Linear)],
    blend: Blend,
    examples: &[Example],
    lexicon: &str,
) -> Model {
    let (whole, window) = (head(&fitted.whole), head(&fitted.window));
    let pairs = fitted.whole.weights.iter().zip(&fitted.window.weights);
    let weights =
        pairs.map(|(of_whole, of_window)| [step(*of_whole, whole.scale), step(*of_window, window.scale)]).collect();
    let mut sources: BTreeMap<String, u32> = BTreeMap::new();
    for one in examples {
        *sources.entry(one.source.clone()).or_default() += 1;
    }
    let vocabulary = vocabulary(examples);
    let (kinds, of_kinds) = packed_kinds(kinds);
    let header = Header { bits: BITS, whole, window, blend, lexicon: lexicon.to_owned(), vocabulary, kinds, sources };
    Model { header, weights, kinds: of_kinds }
}

/// The kinds, and for every feature number the weight of each.
fn packed_kinds(kinds: &[(Family, Linear)]) -> (Vec<Kind>, Vec<i8>) {
    let scale = |linear: &Linear| largest(linear) / f32::from(i8::MAX);
    let heads = kinds.iter().map(|(family, linear)| Kind { family: *family, scale: scale(linear), bias: linear.bias });
    let heads: Vec<Kind> = heads.collect();
    let weight = |at: usize, (kind, (_, linear)): (&Kind, &(Family, Linear))| {
        step(linear.weights.get(at).copied().unwrap_or(0.0), kind.scale)
    };
    let weights = (0..1 << KIND_BITS).flat_map(|at| heads.iter().zip(kinds).map(move |pair| weight(at, pair)));
    let weights = weights.collect();
    (heads, weights)
}

fn head(linear: &Linear) -> Head {
    Head { scale: largest(linear) / f32::from(i8::MAX), bias: linear.bias }
}

/// The weight that becomes the largest step.
fn largest(linear: &Linear) -> f32 {
    let mut sizes: Vec<f32> = linear.weights.iter().map(|weight| weight.abs()).filter(|size| *size > 0.0).collect();
    sizes.sort_by(f32::total_cmp);
    let at = (sizes.len() as f64 * (1.0 - CLIPPED)) as usize;
    sizes.get(at.min(sizes.len().saturating_sub(1))).copied().unwrap_or(1.0)
}

fn step(weight: f32, scale: f32) -> i8 {
    (weight / scale).round().clamp(-127.0, 127.0) as i8
}

/// The words of most texts, the most common first.
fn vocabulary(examples: &[Example]) -> String {
    let mut texts: BTreeMap<String, (u32, usize)> = BTreeMap::new();
    for (nth, one) in (1..).zip(examples) {
        features::words(&one.text, |word| {
            let letters = one.text.get(word.start as usize..word.end as usize).unwrap_or_default().to_lowercase();
            if letters.chars().count() > 1 && letters.chars().all(char::is_alphabetic) {
                let (count, last) = texts.entry(letters).or_default();
                if *last != nth {
                    (*count, *last) = (*count + 1, nth);
                }
            }
        });
    }
    let mut common: Vec<(u32, String)> =
        texts.into_iter().filter(|(_, (count, _))| *count >= TEXTS).map(|(word, (count, _))| (count, word)).collect();
    common.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    common.truncate(WORDS);
    common.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

//! Training the classifier: texts in, a model file out. Pure and repeatable: the same texts give the same bytes.

mod calibrate;
pub mod corpus;
pub mod fit;
pub mod kinds;
mod noise;
mod pack;
pub mod rng;

use std::collections::{BTreeMap, BTreeSet};

use corpus::Example;
use fit::{Features, Fitted};

use crate::detect::classify::lexicon::Lexicon;
use crate::detect::classify::model::Blend;

pub use calibrate::Held;

/// Parts the sources are divided in, to try each on a model that has not seen it.
pub const FOLDS: usize = 8;

/// A trained model and how it did on sources it had not seen.
#[derive(Debug)]
pub struct Trained {
    /// The model file.
    pub file: Vec<u8>,
    /// The score of every example, by a model fitted without its source.
    pub held: Vec<Held>,
    blend: Blend,
}

impl Trained {
    /// The points of an example as its model's marks give them.
    pub fn points(&self, held: &Held) -> f32 {
        self.blend.points(&held.views)
    }
}

/// Trains on `examples` with the lexicon `lexicon`.
///
/// # Errors
/// What is wrong with the lexicon, or that there is nothing to learn from.
pub fn train(examples: &[Example], lexicon: &str) -> Result<Trained, String> {
    let words = Lexicon::parse(lexicon)?;
    if !examples.iter().any(|one| one.attack) || examples.iter().all(|one| one.attack) {
        return Err("there must be attacks and harmless texts to learn from".into());
    }
    let texts: Vec<Features> = examples.iter().map(|one| Features::of(&one.text, &words)).collect();
    let held = held_out(examples, &texts);
    let all: Vec<usize> = (0..examples.len()).collect();
    let fitted = fit::fit(examples, &texts, &all, "all");
    let blend = calibrate::blend(examples, &held);
    let kinds = kinds::fit(examples, &texts, &all, "kinds");
    let model = pack::pack(&fitted, &kinds, blend, examples, lexicon);
    Ok(Trained { file: model.write()?, held, blend })
}

/// Scores every example with a model fitted without its fold; a source is in one fold only.
fn held_out(examples: &[Example], texts: &[Features]) -> Vec<Held> {
    let folds = folds(examples);
    let one = |fold: usize| -> Vec<(usize, Held)> {
        let is_held = |at: &usize| examples.get(*at).is_some_and(|one| folds.get(one.source.as_str()) == Some(&fold));
        let (held, used): (Vec<usize>, Vec<usize>) = (0..examples.len()).partition(is_held);
        if held.is_empty() {
            return Vec::new();
        }
        let fitted: Fitted = fit::fit(examples, texts, &used, &format!("fold {fold}"));
        let kinds = kinds::fit(examples, texts, &used, &format!("kinds {fold}"));
        held.into_iter()
            .filter_map(|at| {
                let text = texts.get(at)?;
                Some((at, Held { views: fitted.views(text), kind: kinds::guess(&kinds, text) }))
            })
            .collect()
    };
    let mut scored: Vec<(usize, Held)> = (0..FOLDS).flat_map(one).collect();
    scored.sort_by_key(|(at, _)| *at);
    scored.into_iter().map(|(_, held)| held).collect()
}

/// Which fold each source is in. Sources of one name up to the first `_` go together: they were made by the same hand.
fn folds(examples: &[Example]) -> BTreeMap<&str, usize> {
    let hand = |source: &str| hand(source).to_owned();
    let mut rows: BTreeMap<(bool, String), usize> = BTreeMap::new();
    for one in examples {
        *rows.entry((one.attack, hand(&one.source))).or_default() += 1;
    }
    let mut by_size: Vec<((bool, String), usize)> = rows.into_iter().collect();
    by_size.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let mut of_hand: BTreeMap<String, usize> = BTreeMap::new();
    let mut load: BTreeMap<(bool, usize), usize> = BTreeMap::new();
    for ((attack, hand), rows) in by_size {
        let least = || (0..FOLDS).min_by_key(|fold| load.get(&(attack, *fold)).copied().unwrap_or(0));
        let fold = of_hand.get(&hand).copied().or_else(least).unwrap_or(0);
        of_hand.insert(hand, fold);
        *load.entry((attack, fold)).or_default() += rows;
    }
    let sources: BTreeSet<&str> = examples.iter().map(|one| one.source.as_str()).collect();
    sources.into_iter().map(|source| (source, of_hand.get(&hand(source)).copied().unwrap_or(0))).collect()
}

/// Whose hand made a source: its name up to the first `_`. Collections of harmless texts are each their own.
fn hand(source: &str) -> &str {
    match source.split_once('_') {
        Some(("benign", _)) | None => source,
        Some((hand, _)) => hand,
    }
}

#[cfg(test)]
mod tests;

//! What kind of attack a text is, among attacks: one family against all others, by the first bits of its features.

use std::collections::BTreeMap;

use super::corpus::Example;
use super::fit::{Features, Linear};
use super::rng::Rng;
use crate::detect::classify::features::BITS;
use crate::detect::classify::model::KIND_BITS;
use crate::types::Family;

/// Passes over the attacks.
const EPOCHS: usize = 3;

/// Texts a family counts for, however many it has.
const COUNT: f32 = 1_000.0;

/// The families told apart.
const FAMILIES: [Family; 7] = [
    Family::PromptInjection,
    Family::IndirectInjection,
    Family::Jailbreak,
    Family::PromptExtraction,
    Family::SecretExtraction,
    Family::DataExfiltration,
    Family::SocialEngineering,
];

/// The family of a category, if it is one that is told apart.
pub fn family(category: &str) -> Option<Family> {
    match category.split(':').next()? {
        "prompt_injection" => Some(Family::PromptInjection),
        "indirect_injection" => Some(Family::IndirectInjection),
        "jailbreak" => Some(Family::Jailbreak),
        "prompt_extraction" | "system_prompt_extraction" => Some(Family::PromptExtraction),
        "secret_extraction" | "flag_extraction" => Some(Family::SecretExtraction),
        "data_exfiltration" => Some(Family::DataExfiltration),
        "social_engineering" => Some(Family::SocialEngineering),
        _ => None,
    }
}

/// A scorer for each family that occurs, fitted to the examples that `used` names by position.
pub(super) fn fit(examples: &[Example], texts: &[Features], used: &[usize], seed: &str) -> Vec<(Family, Linear)> {
    let shorter = |text: &Features| text.numbers().iter().map(|number| number >> (BITS - KIND_BITS)).collect();
    let known = |at: &usize| {
        let one = examples.get(*at).filter(|one| one.attack)?;
        Some((family(&one.category)?, shorter(texts.get(*at)?)))
    };
    let mut order: Vec<(Family, Vec<u32>)> = used.iter().filter_map(known).collect();
    let mut rows: BTreeMap<Family, f32> = BTreeMap::new();
    order.iter().for_each(|(family, _)| *rows.entry(*family).or_default() += 1.0);
    let occurring = FAMILIES.iter().filter(|family| rows.contains_key(family));
    let mut kinds: Vec<(Family, Linear)> = occurring.map(|family| (*family, Linear::new(KIND_BITS))).collect();
    let mut rng = Rng::named(seed);
    for _ in 0..EPOCHS {
        rng.shuffle(&mut order);
        for (family, numbers) in &order {
            let count = (COUNT / rows.get(family).copied().unwrap_or(1.0)).min(1.0);
            kinds.iter_mut().for_each(|(own, linear)| linear.step(numbers, own == family, count));
        }
    }
    kinds
}

/// The family a text reads like most.
pub(super) fn guess(kinds: &[(Family, Linear)], text: &Features) -> Option<Family> {
    let numbers: Vec<u32> = text.numbers().iter().map(|number| number >> (BITS - KIND_BITS)).collect();
    let scored = kinds.iter().map(|(family, linear)| (*family, linear.score(&numbers)));
    scored.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(family, _)| family)
}

//! The outputs of a classifier: which of them mean an attack, and what their names are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::models::Scores;

/// What is read of a model's `config.json`.
#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    id2label: BTreeMap<String, String>,
}

/// The outputs that mean an attack.
#[derive(Debug)]
pub(super) struct Labels {
    attack: Vec<usize>,
    names: BTreeMap<usize, Arc<str>>,
    scores: Scores,
}

impl Labels {
    /// From the labels that the settings name (names or positions) and the text of `config.json`.
    ///
    /// # Errors
    /// A name that the model does not have, a file that is not JSON.
    pub(super) fn new(attack: &[String], config: Option<&str>, scores: Scores) -> Result<Self, String> {
        let Config { id2label } = config
            .map_or_else(|| Ok(Config::default()), serde_json::from_str)
            .map_err(|e| format!("config.json: {e}"))?;
        let names: BTreeMap<usize, Arc<str>> =
            id2label.iter().filter_map(|(at, name)| Some((at.parse().ok()?, Arc::from(name.as_str())))).collect();
        let position = |label: &String| {
            let named = names.iter().find(|(_, name)| name.eq_ignore_ascii_case(label)).map(|(at, _)| *at);
            named.or_else(|| label.parse().ok()).ok_or_else(|| {
                let known: Vec<&str> = names.values().map(|name| &**name).collect();
                format!("it has no label `{label}`: config.json knows [{}]", known.join(", "))
            })
        };
        let attack = attack.iter().map(position).collect::<Result<_, _>>()?;
        Ok(Self { attack, names, scores })
    }

    /// Whether the model has an output for each label.
    ///
    /// # Errors
    /// It has fewer.
    pub(super) fn fit(&self, outputs: usize) -> Result<(), String> {
        match self.attack.iter().find(|at| **at >= outputs) {
            // A single output is the probability of the attack, whatever its position is called.
            Some(_) if outputs == 1 => Ok(()),
            Some(at) => Err(format!("it has {outputs} outputs, no label {at}")),
            None => Ok(()),
        }
    }

    /// The probability of an attack, and the name of the likeliest of its labels.
    pub(super) fn judge(&self, outputs: &[f32]) -> (f32, Option<Arc<str>>) {
        let sigmoid = |logit: f32| 1.0 / (1.0 + (-logit).exp());
        if let [only] = outputs {
            let probability = if self.scores == Scores::Probability { *only } else { sigmoid(*only) };
            return (sane(probability), None);
        }
        let of = |at: &usize| outputs.get(*at).copied().unwrap_or(f32::NEG_INFINITY);
        let most = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let all: f32 = outputs.iter().map(|logit| (logit - most).exp()).sum();
        let probability = match self.scores {
            Scores::Softmax => self.attack.iter().map(|at| (of(at) - most).exp() / all).sum(),
            Scores::Sigmoid => self.attack.iter().map(|at| sigmoid(of(at))).fold(0.0, f32::max),
            Scores::Probability => self.attack.iter().map(of).sum(),
        };
        let likeliest = self.attack.iter().max_by(|a, b| of(a).total_cmp(&of(b)));
        (sane(probability), likeliest.and_then(|at| self.names.get(at)).map(Arc::clone))
    }
}

/// A number that is none is certainty: what breaks a model must not pass for harmless.
fn sane(probability: f32) -> f32 {
    if probability.is_nan() { 1.0 } else { probability.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"id2label": {"0": "BENIGN", "1": "INJECTION", "2": "JAILBREAK"}, "hidden_size": 4}"#;

    fn labels(attack: &[&str], scores: Scores) -> Result<Labels, String> {
        let attack: Vec<String> = attack.iter().map(|label| (*label).to_owned()).collect();
        Labels::new(&attack, Some(CONFIG), scores)
    }

    #[test]
    fn labels_are_found_by_name_and_by_position() {
        let both = labels(&["injection", "2"], Scores::Softmax).unwrap();
        let (probability, label) = both.judge(&[0.0, 0.0, 1.0]);
        assert!((probability - (1.0 + 1_f32.exp()) / (2.0 + 1_f32.exp())).abs() < 1e-6);
        assert_eq!(label.as_deref(), Some("JAILBREAK"));
        assert!(both.fit(3).is_ok() && both.fit(2).is_err());
        assert!(labels(&["SPAM"], Scores::Softmax).unwrap_err().contains("BENIGN, INJECTION, JAILBREAK"));
    }

    #[test]
    fn outputs_may_be_logits_of_each_label_or_probabilities() {
        assert!((labels(&["1"], Scores::Sigmoid).unwrap().judge(&[5.0, 0.0, 9.0]).0 - 0.5).abs() < 1e-6);
        assert!((labels(&["1"], Scores::Probability).unwrap().judge(&[0.25, 0.75]).0 - 0.75).abs() < 1e-6);
        assert!((labels(&["1"], Scores::Softmax).unwrap().judge(&[0.0]).0 - 0.5).abs() < 1e-6);
        assert_eq!(labels(&["1"], Scores::Softmax).unwrap().judge(&[f32::NAN, f32::NAN]).0, 1.0);
    }
}

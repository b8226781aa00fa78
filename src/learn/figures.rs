//! What a trial found, and what it takes to pass.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::assess::Reading;
use super::kinds::Kind;

/// What a candidate must reach before it may be put in force.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gates {
    /// The share of what was held back that must be caught with it in force.
    pub min_held_back: f64,
    /// Texts of the benign corpus it may hit.
    pub max_benign_hits: usize,
    /// The share of traffic it may newly hit.
    pub max_traffic_rate: f64,
    /// Bytes compiled, of a rule and of all of the candidate's.
    pub max_bytes: u64,
    /// The share of harmless texts that may have a literal its patterns are looked for by.
    pub max_literal_rate: f64,
    /// Whether a report that reads harmless may become a rule.
    pub allow_harmless: bool,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            min_held_back: 0.8,
            max_benign_hits: 0,
            max_traffic_rate: 0.001,
            max_bytes: 1 << 20,
            max_literal_rate: 0.25,
            allow_harmless: false,
        }
    }
}

/// How many of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caught {
    pub hit: usize,
    pub all: usize,
}

impl Caught {
    pub(super) const fn add(&mut self, hit: bool) {
        self.hit += if hit { 1 } else { 0 };
        self.all += 1;
    }

    /// 0 to 1; 0 of nothing.
    pub fn share(&self) -> f64 {
        if self.all == 0 { 0.0 } else { self.hit as f64 / self.all as f64 }
    }
}

/// What became of one kind of variation that was held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfKind {
    /// Reported by the rules in force.
    pub before: Caught,
    /// Reported with the candidate beside them.
    pub after: Caught,
}

/// What a trial found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Whether the reported text itself is hit.
    pub reported: bool,
    /// Of the texts it was made from.
    pub built: Caught,
    /// Of what was held back: by the rules in force, with it beside them, and by it alone.
    pub held_back_before: Caught,
    pub held_back_after: Caught,
    pub held_back_alone: Caught,
    /// Of the benign corpus.
    pub benign: Caught,
    /// The first texts of it that are hit, by position.
    pub benign_hits: Vec<usize>,
    /// Of traffic: newly hit. What the rules in force report anyway is no new hit.
    pub traffic: Caught,
    /// The first of those, by position.
    pub traffic_hits: Vec<usize>,
    /// Bytes compiled.
    pub bytes: u64,
    /// The share of the benign corpus with a literal its patterns are looked for by.
    pub literal_rate: f64,
    /// What was held back, by kind.
    pub kinds: BTreeMap<Kind, OfKind>,
    /// What the report reads like.
    pub reading: Reading,
    /// Why a person must look at the report first, if so.
    pub needs_review: Option<String>,
    /// Whether it passes every gate.
    pub passed: bool,
    /// The gates it does not pass, for people.
    pub reasons: Vec<String>,
}

impl Figures {
    /// Says what follows from the figures.
    pub(super) fn conclude(&mut self, gates: &Gates) {
        let percent = |share: f64| (share * 1_000.0).round() / 10.0;
        let mut reasons = std::mem::take(&mut self.reasons);
        if reasons.is_empty() {
            if !self.reported {
                reasons.push("the reported text is not hit".into());
            }
            let held = self.held_back_after;
            if held.all > 0 && held.share() < gates.min_held_back {
                let (hit, wanted) = (percent(held.share()), percent(gates.min_held_back));
                reasons.push(format!("{hit} % of what was held back is caught, {wanted} % are asked for"));
            }
            if self.benign.hit > gates.max_benign_hits {
                let (hit, most) = (self.benign.hit, gates.max_benign_hits);
                reasons.push(format!("{hit} texts of the benign corpus are hit, at most {most} may be"));
            }
            if self.traffic.share() > gates.max_traffic_rate {
                let (rate, most) = (percent(self.traffic.share()), percent(gates.max_traffic_rate));
                reasons.push(format!("{rate} % of the traffic is newly hit, at most {most} % may be"));
            }
            if self.bytes > gates.max_bytes {
                reasons.push(format!("{} bytes compiled, {} are allowed", self.bytes, gates.max_bytes));
            }
            if self.literal_rate > gates.max_literal_rate {
                let (rate, most) = (percent(self.literal_rate), percent(gates.max_literal_rate));
                reasons.push(format!("its literals are in {rate} % of harmless texts, at most {most} % may have one"));
            }
        }
        if self.reading.is_harmless {
            let why = format!("reads harmless: {}", self.reading.why());
            if !gates.allow_harmless {
                reasons.push(why.clone());
            }
            self.needs_review = Some(why);
        }
        self.passed = reasons.is_empty();
        self.reasons = reasons;
    }
}

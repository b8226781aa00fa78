//! The shape of `[learn]`: how reports of missed attacks become rules, and what they have to pass.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Size, Time};

/// Learning from what was missed. Not reloaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Learn {
    /// `false` switches it off: nothing can be reported, and learned rules that are in the store are not used.
    pub enabled: bool,
    /// New reports of one account within an hour.
    pub reports_per_hour: u64,
    /// Proposals that may wait to be worked on.
    pub waiting: u64,
    /// The longest text that can be reported, and the longest rule file that can be taken over.
    pub max_text: Size,
    /// The share of the time, 0.01 to 1, that is worked while there is work.
    pub share: f32,
    /// How long a worker has a proposal to itself; after a crash another one takes it then.
    pub lease: Time,
    /// Tries of a step before the proposal is given up.
    pub tries: u32,
    /// The wait after a failure; doubles each time.
    pub retry_delay: Time,
    /// Let the analyst's language model ([soc.analyst]) write variations too.
    pub model: bool,
    /// Further directories with harmless texts (*.txt).
    pub harmless: Vec<PathBuf>,
    /// Harmless texts that people may add through the API.
    pub max_harmless: u64,
    /// What a proposal has to pass before anything changes.
    pub gates: LearnGates,
    /// How a proposal comes into force.
    pub stages: LearnStages,
    /// When what was learned is taken back.
    pub rollback: LearnRollback,
}

/// What a proposal has to pass before anything changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LearnGates {
    /// The share of the variations it was not built from that it has to catch, 0 to 1.
    pub held_back: f32,
    /// Harmless texts it may hit.
    pub harmless_hits: u64,
    /// Recent prompts it is tried on, as far as policies keep their words.
    pub traffic: u32,
    /// How far back they reach.
    pub traffic_since: Time,
    /// The share of them it may hit, 0 to 1.
    pub traffic_rate: f32,
    /// What its rules may compile to.
    pub max_bytes: Size,
    /// What looking at a text may take on average, in microseconds for a KiB.
    pub max_micros: f32,
}

/// How a proposal comes into force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LearnStages {
    /// Let what did well in the shadow go on by itself; otherwise a person who did not report it approves it.
    pub automatic: bool,
    /// How long it has to be in the shadow then.
    pub shadow_for: Time,
    /// The requests it has to have seen there.
    pub shadow_requests: u64,
    /// The share of requests that it alone may have found something in, 0 to 1.
    pub shadow_rate: f32,
    /// The share of callers that an approved proposal holds for first, 0 to 1; 1 skips this stage.
    pub canary: f32,
    /// How long, before it holds for all; 0: until a person promotes it.
    pub canary_for: Time,
    /// The requests it has to have seen as a canary before it holds for all by itself.
    pub canary_requests: u64,
}

/// When what was learned is taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LearnRollback {
    /// How often it is looked at.
    pub every: Time,
    /// How far back.
    pub within: Time,
    /// The share of requests that a rule alone may find something in, 0 to 1.
    pub rate: f32,
    /// Such requests below which that says nothing.
    pub hits: u64,
    /// Different callers of these below which that says nothing: one who attacks alone cannot take a rule back.
    pub callers: usize,
    /// Accounts that report false alarms of it.
    pub false_alarms: usize,
}

impl Default for Learn {
    fn default() -> Self {
        Self {
            enabled: true,
            reports_per_hour: 60,
            waiting: 1_000,
            max_text: Size::bytes(16 << 10),
            share: 0.25,
            lease: Time::from_secs(300),
            tries: 4,
            retry_delay: Time::from_secs(1),
            model: false,
            harmless: Vec::new(),
            max_harmless: 20_000,
            gates: LearnGates::default(),
            stages: LearnStages::default(),
            rollback: LearnRollback::default(),
        }
    }
}

impl Default for LearnGates {
    fn default() -> Self {
        Self {
            held_back: 0.8,
            harmless_hits: 0,
            traffic: 5_000,
            traffic_since: Time::from_secs(7 * 24 * 3600),
            traffic_rate: 0.001,
            max_bytes: Size::bytes(4 << 20),
            max_micros: 50.0,
        }
    }
}

impl Default for LearnStages {
    fn default() -> Self {
        Self {
            automatic: false,
            shadow_for: Time::from_secs(24 * 3600),
            shadow_requests: 1_000,
            shadow_rate: 0.000_5,
            canary: 0.1,
            canary_for: Time::from_secs(3600),
            canary_requests: 100,
        }
    }
}

impl Default for LearnRollback {
    fn default() -> Self {
        Self {
            every: Time::from_secs(5),
            within: Time::from_secs(300),
            rate: 0.01,
            hits: 10,
            callers: 3,
            false_alarms: 2,
        }
    }
}

impl Learn {
    /// What is wrong with it, by key.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut need = |holds: bool, key, told: &str| {
            if !holds {
                found.push((key, told.to_owned()));
            }
        };
        need((0.01..=1.0).contains(&self.share), "share", "must be 0.01 to 1");
        need(self.tries > 0, "tries", "must be at least 1");
        need(
            self.max_text.get() <= 1 << 20,
            "max_text",
            "may be 1MiB at most: each is kept in memory while it is worked on",
        );
        need(self.max_harmless <= 100_000, "max_harmless", "may be 100000 at most: they are kept in memory");
        for (key, time) in [
            ("lease", self.lease),
            ("retry_delay", self.retry_delay),
            ("rollback.every", self.rollback.every),
            ("rollback.within", self.rollback.within),
        ] {
            need(!time.is_zero(), key, "must be longer than 0");
        }
        for (key, share) in [
            ("gates.held_back", self.gates.held_back),
            ("gates.traffic_rate", self.gates.traffic_rate),
            ("stages.shadow_rate", self.stages.shadow_rate),
            ("stages.canary", self.stages.canary),
            ("rollback.rate", self.rollback.rate),
        ] {
            need((0.0..=1.0).contains(&share), key, "must be between 0 and 1");
        }
        need(self.gates.traffic <= 20_000, "gates.traffic", "may be 20000 at most: they are kept in memory");
        need(self.gates.max_micros > 0.0, "gates.max_micros", "must be more than 0");
        need(self.rollback.hits > 0, "rollback.hits", "must be at least 1");
        need((1..=16).contains(&self.rollback.callers), "rollback.callers", "must be 1 to 16");
        need(self.rollback.false_alarms > 0, "rollback.false_alarms", "must be at least 1");
        let (every, within) = (self.rollback.every.get(), self.rollback.within.get());
        need(every <= within, "rollback.every", "may be at most rollback.within");
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problem_and_each_mistake_is_named() {
        assert_eq!(Learn::default().problems(), []);
        let gates = LearnGates { held_back: 1.5, max_micros: 0.0, ..LearnGates::default() };
        let bad = Learn { share: 0.0, gates, ..Learn::default() };
        let keys: Vec<&str> = bad.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["share", "gates.held_back", "gates.max_micros"]);
    }
}

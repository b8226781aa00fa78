//! The detection engine. Pure: no I/O, no clock, no await; the same text gives the same verdict.
//!
//! Rule files become one immutable [`RuleSet`]. Prompts go through [`RuleSet::scan`], span by span, and [`judge`] makes
//! the verdict. Answers go through a [`Window`] per channel.

mod anatomy;
mod automaton;
mod bits;
mod cases;
pub mod classify;
mod compile;
mod condition;
mod defines;
mod documents;
mod doubt;
mod edges;
mod explain;
mod factors;
mod fold;
mod frequency;
pub mod history;
mod input;
mod late;
pub mod leak;
pub mod learned;
mod literal;
mod load;
pub mod normalize;
mod output;
mod pattern;
mod place;
mod probe;
mod problem;
mod read;
mod released;
mod rule;
mod score;
mod signs;
mod single;
mod starts;
mod tables;
mod threats;
mod treatment;
mod trial;
mod validate;
mod web;
mod whole;
mod window;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::{RuleId, RuleSetHash};

pub use anatomy::{Anatomy, anatomies, cost, definitions, threats};
pub use explain::explain;
pub use factors::{Circumstances, judge_in};
pub use problem::Problem;
pub use released::Released;
pub use rule::{Budget, Directions, Examples, Override, Roles, Rule, Source};
pub use score::{Levels, Thresholds, judge, judge_answer};
pub use threats::{Threat, Threats};
pub use treatment::{Treatment, Treatments};
pub use validate::Validator;
pub use whole::{inspect_output, inspect_output_knowing, inspect_output_under};
pub use window::Window;

/// Every rule in force, compiled. Immutable; share it in an `Arc`.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: Vec<Rule>,
    input: input::InputEngine,
    output: Arc<output::OutputEngine>,
    classifier: Option<Arc<classify::Classifier>>,
    reports: Vec<read::Report>,
    threats: Threats,
    watched: Arc<history::Watched>,
    trials: trial::Trials,
    hash: RuleSetHash,
    stats: Stats,
}

/// What a rule set is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rules that look at prompts.
    pub input_rules: usize,
    /// Rules that look at answers.
    pub output_rules: usize,
    /// Patterns of all rules.
    pub patterns: usize,
    /// Automata of the output patterns.
    pub automata: usize,
    /// Bytes of everything compiled.
    pub bytes: u64,
    /// The most bytes a window can hold back.
    pub longest_hold: u64,
}

impl RuleSet {
    /// Compiles `sources`; a rule of a later source replaces one of the same id from an earlier source. Rules that
    /// report the classifier are silent without one. Nothing or everything: with any problem there is no rule set, and
    /// every problem is told.
    pub fn compile(
        sources: &[Source],
        classifier: Option<Arc<classify::Classifier>>,
        overrides: &BTreeMap<String, Override>,
        budget: &Budget,
    ) -> Result<Self, Vec<Problem>> {
        compile::compile(sources, classifier, overrides, budget)
    }

    /// Runs every rule's own examples; returns those that do not hold.
    pub fn self_test(&self) -> Vec<Problem> {
        cases::self_test(self)
    }

    /// What verdicts of this rule set are marked with.
    pub fn hash(&self) -> &RuleSetHash {
        &self.hash
    }

    /// What it is made of.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Its rules, by id.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the threat ids of findings stand for.
    pub fn threats(&self) -> &Threats {
        &self.threats
    }

    /// Whether some rule compares answers with the prompt they were made under: [`leak::Known`] is worth making.
    pub fn knows_prompts(&self) -> bool {
        !self.output.leaks.is_empty()
    }

    /// What replaces a match of `rule` where it is redacted.
    pub fn mark(&self, rule: &RuleId) -> &str {
        self.rules.iter().find(|known| known.id == *rule).map_or("[REDACTED]", |rule| &rule.mark)
    }

    /// Rules that name a rule which there is not: files are also read one by one, so this is no mistake until all are
    /// together.
    pub fn dangling(&self) -> Vec<Problem> {
        self.watched.dangling(&self.rules)
    }

    fn watched(&self) -> &history::Watched {
        &self.watched
    }

    fn output(&self) -> &output::OutputEngine {
        &self.output
    }
}

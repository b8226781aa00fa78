//! What a rule is made of, for people: its parts as written and with names put in place, and what it costs.

use std::collections::BTreeMap;

use super::Stats;
use super::compile::{compile, compile_loaded};
use super::documents;
use super::load::{self, Loaded};
use super::problem::Problem;
use super::rule::{Budget, Rule, Source};
use super::threats::{self, Threats};

/// A rule and what its file says.
#[derive(Debug)]
pub struct Anatomy {
    /// The rule without a site's changes.
    pub rule: Rule,
    /// The entries of `detection` as written, by key.
    pub written: Vec<(String, Vec<String>)>,
    /// Every pattern with lists and macros put in place, by selection.
    pub patterns: Vec<(String, Vec<String>)>,
    /// The checks on a match, as written.
    pub checks: Vec<String>,
}

/// Every rule of `sources`, by id.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn anatomies(sources: &[Source]) -> Result<Vec<Anatomy>, Vec<Problem>> {
    let mut problems = Vec::new();
    let loaded = load::load(sources, &BTreeMap::new(), &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let anatomy = |loaded: Loaded| Anatomy {
        patterns: loaded.names.into_iter().zip(loaded.selections).collect(),
        rule: loaded.rule,
        written: loaded.written,
        checks: loaded.checks,
    };
    Ok(loaded.into_iter().map(anatomy).collect())
}

/// What the rule with this id costs by itself: bytes compiled, automata, and how much it can hold back.
///
/// # Errors
/// What is wrong with the files, or with the rule.
pub fn cost(sources: &[Source], id: &str, budget: &Budget) -> Result<Stats, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut loaded = load::load(sources, &BTreeMap::new(), &mut problems);
    loaded.retain(|loaded| &*loaded.rule.id.0 == id);
    let with = compile_loaded(loaded, problems, &[], None, &BTreeMap::new(), budget)?.stats();
    let without = compile(&[], None, &BTreeMap::new(), budget)?.stats();
    Ok(Stats { bytes: with.bytes.saturating_sub(without.bytes), ..with })
}

/// What the threat ids of the sources stand for.
///
/// # Errors
/// Catalogues that cannot be read.
pub fn threats(sources: &[Source]) -> Result<Threats, Vec<Problem>> {
    let mut problems = Vec::new();
    let threats = threats::read(sources, &mut problems);
    if problems.is_empty() { Ok(threats) } else { Err(problems) }
}

/// The sources without their rules: lists and macros only, for files that are tried without the rest of the pack.
pub fn definitions(sources: &[Source]) -> Vec<Source> {
    let only = |source: &Source| Source { name: source.name.clone(), text: documents::definitions_of(&source.text) };
    sources.iter().map(only).filter(|source| !source.text.trim().is_empty()).collect()
}

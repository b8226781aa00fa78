//! Rule files to a rule set: all or nothing, with every problem found.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex_syntax::hir::Hir;
use sha2::{Digest as _, Sha256};

use super::automaton::{Automaton, TooCostly};
use super::classify::Classifier;
use super::condition::is_negative;
use super::history::Watched;
use super::input::{InputEngine, InputRule, Selection, Watch};
use super::learned;
use super::literal::{self, Set, required};
use super::load::{Loaded, load};
use super::output::{OutputEngine, OutputRule};
use super::pattern::{Literals, longest, parse};
use super::probe::Probe;
use super::problem::Problem;
use super::read::Report;
use super::rule::{Budget, Override, Roles, Rule, Source};
use super::single::{Pattern, Placed, Way};
use super::trial::Trials;
use super::{RuleSet, Stats, threats};
use crate::types::{Action, Direction, RuleSetHash, hex};

/// Longest match of a rule that checks its matched text: every start within it is followed separately.
const MAX_JUDGED: u64 = 4096;

/// Literals met so many times in a thousand bytes are not looked for where rarer ones will do.
const OFTEN: f64 = 2.0;

/// What compiling has made so far.
struct Compiler<'a> {
    budget: &'a Budget,
    problems: Vec<Problem>,
    /// Sets of literals by number.
    sets: BTreeMap<Vec<String>, usize>,
    input: Vec<InputRule>,
    watches: Vec<Watch>,
    reports: Vec<Report>,
    output: Vec<OutputRule>,
    leaks: Vec<usize>,
    learned: Vec<(usize, Roles, learned::Weights)>,
    watched: Watched,
    patterns: Vec<(usize, Hir)>,
    stats: Stats,
}

/// Compiles `sources`, later ones replacing earlier ones of the same id, with a site's changes.
pub(super) fn compile(
    sources: &[Source],
    classifier: Option<Arc<Classifier>>,
    overrides: &BTreeMap<String, Override>,
    budget: &Budget,
) -> Result<RuleSet, Vec<Problem>> {
    let mut problems = Vec::new();
    let loaded = load(sources, overrides, &mut problems);
    compile_loaded(loaded, problems, sources, classifier, overrides, budget)
}

/// Compiles rules that are loaded, with the problems there were; the rest is what they are marked with.
pub(super) fn compile_loaded(
    loaded: Vec<Loaded>,
    problems: Vec<Problem>,
    sources: &[Source],
    classifier: Option<Arc<Classifier>>,
    overrides: &BTreeMap<String, Override>,
    budget: &Budget,
) -> Result<RuleSet, Vec<Problem>> {
    let mut compiler = Compiler {
        budget,
        problems,
        sets: BTreeMap::new(),
        input: Vec::new(),
        watches: Vec::new(),
        reports: Vec::new(),
        output: Vec::new(),
        leaks: Vec::new(),
        learned: Vec::new(),
        watched: Watched::default(),
        patterns: Vec::new(),
        stats: Stats::default(),
    };
    for (at, rule) in loaded.iter().enumerate() {
        compiler.rule(at, rule);
    }
    compiler.finish(sources, classifier, overrides, loaded)
}

impl Compiler<'_> {
    fn rule(&mut self, at: usize, loaded: &Loaded) {
        if let Some(correlation) = &loaded.correlation {
            self.stats.input_rules += 1;
            return self.watched.correlations.push((at, correlation.clone()));
        }
        let before = self.problems.len();
        let mut selections: Vec<Vec<Hir>> = Vec::new();
        for (name, patterns) in loaded.names.iter().zip(&loaded.selections) {
            let mut hirs = Vec::new();
            for pattern in patterns {
                match parse(pattern) {
                    Ok(hir) if hir.properties().minimum_len() == Some(0) => {
                        let message = format!("`{pattern}` matches the empty text");
                        self.problems.push(loaded.problem(&format!("detection.{name}"), message));
                    }
                    Ok(hir) => hirs.push(hir),
                    Err(message) => self.problems.push(loaded.problem(&format!("detection.{name}"), message)),
                }
            }
            self.stats.patterns += hirs.len();
            selections.push(hirs);
        }
        if self.problems.len() > before {
            return;
        }
        if let Some(probe) = loaded.probe {
            return self.detector(at, loaded, probe);
        }
        let directions = loaded.rule.directions;
        if directions.include(Direction::Input)
            && let Err(problems) = self.input_rule(at, loaded, &selections)
        {
            self.problems.extend(problems);
        }
        if directions.include(Direction::Output)
            && let Err(problems) = self.output_rule(at, loaded, &selections)
        {
            self.problems.extend(problems);
        }
    }

    fn detector(&mut self, at: usize, loaded: &Loaded, probe: Probe) {
        if probe.is_for_answers() {
            self.stats.output_rules += 1;
        } else {
            self.stats.input_rules += 1;
        }
        let Rule { roles, action, validators, .. } = &loaded.rule;
        match probe {
            Probe::Web(probe) => self.watches.push(Watch { rule: at, roles: *roles, probe }),
            Probe::Classifier | Probe::Conversation | Probe::Hidden | Probe::Disguise => {
                self.reports.push(Report { rule: at, roles: *roles, probe });
            }
            Probe::Learned => self.learned.extend(loaded.learned.clone().map(|weights| (at, *roles, weights))),
            Probe::Behaviour(behaviour) => self.watched.behaviours.push((at, behaviour)),
            Probe::SystemPrompt => {
                self.leaks.push(self.output.len());
                self.reports.push(Report { rule: at, roles: *roles, probe });
                let (action, validators) = (*action, validators.clone());
                self.output.push(OutputRule { rule: at, action, validators, not: Vec::new() });
            }
        }
    }

    fn input_rule(&mut self, at: usize, loaded: &Loaded, selections: &[Vec<Hir>]) -> Result<(), Vec<Problem>> {
        let one = |part: &str, message: String| vec![loaded.problem(part, message)];
        if loaded.prefilter.is_empty() {
            return Err(one("detection", "prompts need a `prefilter`".into()));
        }
        let limit = usize::try_from(self.budget.max_rule).unwrap_or(usize::MAX);
        let mut problems = Vec::new();
        let (mut compiled, mut gaps) = (Vec::new(), Vec::new());
        let written = loaded.names.iter().zip(selections).zip(&loaded.selections);
        for (nth, ((name, hirs), sources)) in written.enumerate() {
            let negative = is_negative(&loaded.names, nth);
            let mut gap = None;
            let mut patterns = Vec::new();
            for (hir, source) in hirs.iter().zip(sources) {
                let mut problem =
                    |message: String| problems.push(loaded.problem(&format!("detection.{name}"), message));
                let Some(longest) = longest(hir) else {
                    problem("a repetition has no upper bound; write `{0,60}` instead of `*`".into());
                    continue;
                };
                // What rules a match out is looked for where one was found.
                let ways = if negative { Ok(Vec::new()) } else { ways(&loaded.prefilter, hir, longest) };
                let ways = ways.unwrap_or_else(|message| {
                    gap = Some(format!("{name} {message}"));
                    Vec::new()
                });
                let ways = ways.into_iter().map(|sets| self.way(sets)).collect();
                match Pattern::new(source, hir, longest, ways, limit) {
                    Ok(pattern) => patterns.push(pattern),
                    Err(message) => problem(message),
                }
            }
            gaps.push(gap);
            compiled.push(Selection { patterns, negative });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if !loaded.condition.implies(&|nth| gaps.get(nth).is_some_and(Option::is_none)) {
            let positive = gaps.iter().enumerate().filter(|(nth, _)| !is_negative(&loaded.names, *nth));
            let gaps: Vec<&str> = positive.filter_map(|(_, gap)| gap.as_deref()).collect();
            let message = format!("a match need not contain any of these literals: {}", gaps.join(", "));
            return Err(one("detection.prefilter", message));
        }
        let bytes: usize = compiled.iter().flat_map(|own| &own.patterns).map(Pattern::memory).sum();
        if bytes as u64 > self.budget.max_rule {
            return Err(one(
                "detection",
                format!("too costly: {bytes} bytes compiled, {} allowed", self.budget.max_rule),
            ));
        }
        self.stats.input_rules += 1;
        self.input.push(InputRule {
            rule: at,
            roles: loaded.rule.roles,
            selections: compiled,
            condition: loaded.condition.clone(),
            validators: loaded.rule.validators.clone(),
            all: loaded.rule.action == Action::Redact,
        });
        Ok(())
    }

    /// A way to match, with its sets by number.
    fn way(&mut self, sets: Vec<Set>) -> Way {
        let placed = |set: Set| Placed { least: set.least, most: set.most, set: self.set(set.texts) };
        Way { sets: sets.into_iter().map(placed).collect() }
    }

    /// A set's number; equal sets share one.
    fn set(&mut self, mut set: Vec<String>) -> u16 {
        set.sort_unstable();
        set.dedup();
        let next = self.sets.len();
        u16::try_from(*self.sets.entry(set).or_insert(next)).unwrap_or(u16::MAX)
    }

    fn output_rule(&mut self, at: usize, loaded: &Loaded, selections: &[Vec<Hir>]) -> Result<(), Vec<Problem>> {
        let one = |part: &str, message: String| vec![loaded.problem(part, message)];
        if !loaded.condition.is_any_of_selections(&loaded.names) {
            let message = "for answers only an `or` of sel_*, and not_* negated beside it, is possible";
            return Err(one("detection.condition", message.into()));
        }
        let mut not = Vec::new();
        for (nth, patterns) in loaded.selections.iter().enumerate() {
            if is_negative(&loaded.names, nth) {
                let joined: Vec<String> = patterns.iter().map(|pattern| format!("(?:{pattern})")).collect();
                let built = regex::bytes::RegexBuilder::new(&joined.join("|")).unicode(false).build();
                not.push(built.map_err(|error| one("detection", error.to_string()))?);
            }
        }
        let rule = OutputRule { rule: at, action: loaded.rule.action, validators: loaded.rule.validators.clone(), not };
        let kind = rule.kind();
        let mut problems = Vec::new();
        let position = self.output.len();
        for (nth, (name, hirs)) in loaded.names.iter().zip(selections).enumerate() {
            if is_negative(&loaded.names, nth) {
                continue;
            }
            for hir in hirs {
                if kind.enforced || kind.judged {
                    match hold(hir, kind.judged, self.budget) {
                        Ok(hold) if kind.enforced => {
                            self.stats.longest_hold = self.stats.longest_hold.max(hold);
                        }
                        Ok(_) => {}
                        Err(message) => problems.push(loaded.problem(&format!("detection.{name}"), message)),
                    }
                }
                self.patterns.push((position, hir.clone()));
            }
        }
        self.stats.output_rules += 1;
        self.output.push(rule);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn finish(
        mut self,
        sources: &[Source],
        classifier: Option<Arc<Classifier>>,
        overrides: &BTreeMap<String, Override>,
        loaded: Vec<Loaded>,
    ) -> Result<RuleSet, Vec<Problem>> {
        let whole = |message: String| Problem { file: "rules".into(), line: None, path: String::new(), message };
        let mut sets: Vec<(usize, Vec<String>)> = self.sets.into_iter().map(|(set, at)| (at, set)).collect();
        sets.sort_unstable();
        let sets: Vec<Vec<String>> = sets.into_iter().map(|(_, set)| set).collect();
        let input = InputEngine::new(self.input, self.watches, &self.learned, &sets);
        let limit = usize::try_from(self.budget.max_rule).unwrap_or(usize::MAX);
        let positions: Vec<usize> = self.output.iter().map(|rule| rule.rule).collect();
        let output = OutputEngine::new(self.output, &self.patterns, self.leaks, limit);
        let (input, output) = match (input, output) {
            (Ok(input), Ok(output)) => (input, output),
            (input, output) => {
                self.problems.extend(input.err().map(whole));
                self.problems.extend(output.err().map(|refused| {
                    let rule = refused.rule.and_then(|rule| loaded.get(*positions.get(rule)?));
                    match rule {
                        Some(rule) => rule.problem("detection", refused.message),
                        None => whole(refused.message),
                    }
                }));
                return Err(self.problems);
            }
        };
        let model = classifier.as_ref().map_or(0, |classifier| classifier.memory());
        self.stats.bytes = (input.memory() + output.memory() + model) as u64;
        self.stats.automata = output.patterns.len();
        if self.stats.bytes > self.budget.max_total {
            let (bytes, allowed) = (self.stats.bytes, self.budget.max_total);
            self.problems.push(whole(format!("too costly: {bytes} bytes compiled, {allowed} allowed")));
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        // Every problem with them was told when the rules were loaded.
        let threats = threats::read(sources, &mut Vec::new());
        let rules: Vec<Rule> = loaded.into_iter().map(|loaded| loaded.rule).collect();
        let hash = hash(sources, classifier.as_deref(), overrides);
        let (output, stats, reports, watched) = (Arc::new(output), self.stats, self.reports, Arc::new(self.watched));
        let trials = Trials::of(&rules);
        Ok(RuleSet { rules, input, output, classifier, reports, watched, trials, threats, hash, stats })
    }
}

/// The ways a pattern can match, with the sets of literals each needs: read off the pattern, or the rule's own literals
/// where nothing can be, or only what is met much more often. A match without any of these, where there is one, is the
/// error.
fn ways(prefilter: &[String], hir: &Hir, longest: usize) -> Result<Vec<Vec<Set>>, String> {
    let read = required(hir);
    let own = Set { texts: prefilter.iter().map(|text| literal::read(text)).collect(), least: 0, most: longest };
    let often: f64 = read.iter().filter_map(|way| way.first()).map(Set::frequency).sum();
    if !read.is_empty() && (often < OFTEN || often < own.frequency() * 4.0) {
        return Ok(read);
    }
    match Literals::new(prefilter).and_then(|own| own.uncovered(hir)) {
        Ok(None) => Ok(vec![vec![own]]),
        Ok(Some(_)) | Err(_) if !read.is_empty() => Ok(read),
        Ok(Some(example)) => Err(format!("matches `{example}`")),
        Err(message) => Err(message),
    }
}

/// The most bytes a pattern can hold back: its longest match or, where that has no bound, the longest way to a first
/// match.
fn hold(hir: &Hir, judged: bool, budget: &Budget) -> Result<u64, String> {
    let allowed = if judged { budget.max_hold.min(MAX_JUDGED) } else { budget.max_hold };
    let bytes = match longest(hir) {
        Some(bytes) => bytes,
        None if judged => {
            return Err("a rule with `validate` or `not_*` must bound every repetition: write `{1,64}`".into());
        }
        None => {
            let limit = usize::try_from(budget.max_rule).unwrap_or(usize::MAX);
            let automaton = Automaton::build(hir, limit).map_err(|error| match error {
                TooCostly::Size => format!("too costly: more than {limit} bytes compiled"),
                TooCostly::Other(message) => message,
            })?;
            automaton.longest_wait().ok_or(
                "text before the first possible match has no bound (also a `\\b` behind an unbounded repetition); \
                 write `{1,64}` instead of `+` or `*`",
            )?
        }
    };
    let bytes = bytes as u64;
    if bytes > allowed { Err(format!("would hold back {bytes} bytes; {allowed} are allowed")) } else { Ok(bytes) }
}

/// SHA-256 over every source in name order, the classifier and every override, each with its length.
fn hash(sources: &[Source], classifier: Option<&Classifier>, overrides: &BTreeMap<String, Override>) -> RuleSetHash {
    let mut parts: Vec<(&str, &str)> =
        sources.iter().map(|source| (source.name.as_str(), source.text.as_str())).collect();
    parts.sort_unstable();
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text.as_bytes());
    };
    for (name, text) in parts {
        add(name);
        add(text);
    }
    add(classifier.map_or("", Classifier::digest));
    for (id, change) in overrides {
        add(id);
        add(&format!("{change:?}"));
    }
    RuleSetHash(hex(&digest.finalize()).into())
}

//! A candidate on trial, a few texts at a time.

use std::collections::BTreeMap;

use super::assess::assess;
use super::benign::Benign;
use super::figures::{Figures, Gates};
use super::propose::Candidate;
use super::{Kind, Miss};
use crate::detect::{self, Budget, RuleSet, Source, Thresholds};
use crate::types::{Decision, Finding, Role, SpanIndex};

/// Texts looked at in one step.
const STEP: usize = 64;

/// Positions of hits that are remembered.
const SAMPLES: usize = 20;

/// So many hits more than allowed tell enough.
const ENOUGH: usize = 40;

/// Bytes of a rule set on trial at most; a rule has its own limit.
const LARGEST: u64 = 64 << 20;

/// A rule that costs next to nothing: what it takes beside it is what the candidate costs.
const LEAST: &str = "id: LRN-000000-0\ntitle: t\nfamily: jailbreak\ngain: g\nseverity: low\nscore: 1\ndirection: input\n\
                     action: score\ndetection: { prefilter: [qzx], sel_a: qzx }\n\
                     examples: { positive: [qzx], negative: [a] }\n";

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Call again.
    More,
    /// Only traffic is missing, if there is any.
    Done,
}

/// A candidate on trial. What costs time is done in steps.
#[derive(Debug)]
pub struct Trial<'a> {
    miss: &'a Miss<'a>,
    benign: &'a Benign,
    in_force: &'a RuleSet,
    gates: &'a Gates,
    alone: Option<RuleSet>,
    built: Vec<&'a str>,
    held: Vec<(Kind, &'a str)>,
    literals: Vec<String>,
    with_literal: usize,
    /// Texts looked at: built, held back, benign.
    at: usize,
    figures: Figures,
}

impl<'a> Trial<'a> {
    /// Compiles the candidate's rules and tries them on the reported text.
    pub fn new(
        candidate: &Candidate,
        miss: &'a Miss<'a>,
        benign: &'a Benign,
        in_force: &'a RuleSet,
        gates: &'a Gates,
    ) -> Self {
        let source = Source { name: format!("{}.yaml", miss.id), text: candidate.rules.clone() };
        let budget = Budget { max_rule: gates.max_bytes, max_total: LARGEST, max_hold: 4 << 10 };
        let mut figures = Figures { reading: assess(miss.text, miss.role, benign, in_force), ..Figures::default() };
        let compiled = RuleSet::compile(std::slice::from_ref(&source), None, &BTreeMap::new(), &budget);
        let alone = match compiled {
            Ok(alone) => {
                figures.bytes = alone.stats().bytes.saturating_sub(base(alone.stats().patterns > 0, &budget));
                figures.reported = hits(&alone, miss.role, miss.text);
                figures.reasons = alone.self_test().iter().map(ToString::to_string).collect();
                Some(alone)
            }
            Err(problems) => {
                figures.reasons = problems.iter().map(ToString::to_string).collect();
                None
            }
        };
        let (built, held) = (miss.built_from().collect(), miss.held_back().collect());
        let literals = literals(&[source]);
        Self { miss, benign, in_force, gates, alone, built, held, literals, with_literal: 0, at: 0, figures }
    }

    /// Looks at the next texts.
    pub fn step(&mut self) -> Progress {
        let Some(alone) = &self.alone else { return Progress::Done };
        for _ in 0..STEP {
            let (built, held) = (self.built.len(), self.held.len());
            let at = self.at;
            if let Some(text) = self.built.get(at) {
                self.figures.built.add(hits(alone, self.miss.role, text));
            } else if let Some((kind, text)) = self.held.get(at - built.min(at)) {
                let (before, own) = (self.reports(text), hits(alone, self.miss.role, text));
                self.figures.held_back_before.add(before);
                self.figures.held_back_after.add(before || own);
                self.figures.held_back_alone.add(own);
                let of_kind = self.figures.kinds.entry(*kind).or_default();
                of_kind.before.add(before);
                of_kind.after.add(before || own);
            } else if let Some(text) = self.benign.texts().nth(at - (built + held).min(at)) {
                let hit = hits(alone, self.miss.role, &text.text);
                self.figures.benign.add(hit);
                if hit && self.figures.benign_hits.len() < SAMPLES {
                    self.figures.benign_hits.push(at - built - held);
                }
                if !self.literals.is_empty() {
                    let lower = text.text.to_ascii_lowercase();
                    self.with_literal += usize::from(self.literals.iter().any(|literal| lower.contains(literal)));
                }
                if self.figures.benign.hit > self.gates.max_benign_hits + ENOUGH {
                    return Progress::Done;
                }
            } else {
                return Progress::Done;
            }
            self.at += 1;
        }
        Progress::More
    }

    /// Looks at a text of ordinary traffic.
    pub fn traffic(&mut self, text: &str) {
        let Some(alone) = &self.alone else { return };
        let new = hits(alone, self.miss.role, text) && !self.reports(text);
        if new && self.figures.traffic_hits.len() < SAMPLES {
            self.figures.traffic_hits.push(self.figures.traffic.all);
        }
        self.figures.traffic.add(new);
    }

    /// Whether the rules in force report a text.
    fn reports(&self, text: &str) -> bool {
        reports(self.in_force, self.miss.role, text)
    }

    /// What was found, and whether it passes.
    pub fn figures(mut self) -> Figures {
        self.figures.literal_rate = self.with_literal as f64 / self.figures.benign.all.max(1) as f64;
        self.figures.conclude(self.gates);
        self.figures
    }
}

/// A whole trial at once.
pub fn try_out(
    candidate: &Candidate,
    miss: &Miss<'_>,
    benign: &Benign,
    traffic: &mut dyn Iterator<Item = &str>,
    in_force: &RuleSet,
    gates: &Gates,
) -> Figures {
    let mut trial = Trial::new(candidate, miss, benign, in_force, gates);
    while trial.step() == Progress::More {}
    traffic.for_each(|text| trial.traffic(text));
    trial.figures()
}

/// Bytes of a rule set that finds nothing, with the tables that patterns need or without.
fn base(patterns: bool, budget: &Budget) -> u64 {
    let least = Source { name: "least".into(), text: LEAST.into() };
    let sources = if patterns { vec![least] } else { Vec::new() };
    RuleSet::compile(&sources, None, &BTreeMap::new(), budget).map_or(0, |none| none.stats().bytes)
}

/// What rules find in a text.
pub(super) fn findings(rules: &RuleSet, role: Role, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    rules.scan(SpanIndex(0), role, text, &mut findings);
    // Another proposal in the shadow is no reason to trust this one.
    rules.on_trial(&mut findings, || 1.0);
    findings
}

fn hits(rules: &RuleSet, role: Role, text: &str) -> bool {
    !findings(rules, role, text).is_empty()
}

/// Whether rules report a text at least, at the usual thresholds.
pub(super) fn reports(rules: &RuleSet, role: Role, text: &str) -> bool {
    let verdict = detect::judge(findings(rules, role, text), &Thresholds::default(), rules.hash());
    verdict.decision > Decision::Allow
}

/// The literals that patterns are looked for by.
fn literals(sources: &[Source]) -> Vec<String> {
    let read = detect::anatomies(sources).unwrap_or_default();
    let own = read.into_iter().flat_map(|anatomy| anatomy.written);
    own.filter(|(key, _)| key == "prefilter").flat_map(|(_, literals)| literals).collect()
}

//! The work on candidates: made and tried one after the other, off the async threads, with rests in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::learner::{BY_MODEL, LearnerOptions, Lesson, Tried};
use crate::config::Snapshot;
use crate::detect::{Problem, RuleSet, Source};
use crate::learn::{self, Benign, Candidate, Figures, Miss, Progress, Trial, Variation};
use crate::types::SpanIndex;
use crate::types::learn::Variant;

/// Candidates of one proposal that are tried.
const CANDIDATES: usize = 6;

/// Texts of traffic looked at between two rests.
const TRAFFIC: usize = 64;

/// The longest rest between two pieces of work.
const MOST_REST: Duration = Duration::from_millis(500);

/// A piece of work off the async threads, with rests in between.
pub(super) struct Work {
    pub(super) lesson: Lesson,
    pub(super) benign: Arc<Benign>,
    pub(super) traffic: Vec<String>,
    pub(super) snapshot: Arc<Snapshot>,
    /// Rules that are taken over instead of made.
    pub(super) given: Option<Candidate>,
    pub(super) stem: String,
    pub(super) variations: Vec<Variant>,
    pub(super) options: LearnerOptions,
    pub(super) until: Instant,
}

impl Work {
    /// Makes candidates and tries them until one passes.
    pub(super) fn run(&self) -> Result<Tried, String> {
        let kinds: BTreeMap<&str, learn::Kind> = learn::Kind::ALL.into_iter().map(|kind| (kind.name(), kind)).collect();
        let own = self.variations.iter().filter_map(|one| {
            let kind = *kinds.get(&*one.kind)?;
            Some(Variation { kind, text: one.text.clone(), held_back: one.held_back })
        });
        let own: Vec<Variation> = own.collect();
        let others = self.variations.iter().filter(|one| &*one.kind == BY_MODEL).map(|one| one.text.clone());
        let others: Vec<String> = others.collect();
        let miss = Miss {
            id: &self.stem,
            text: &self.lesson.text,
            family: self.lesson.family,
            role: self.lesson.role,
            variations: &own,
            others: &others,
        };
        let began = Instant::now();
        let candidates = match &self.given {
            Some(given) => vec![given.clone()],
            None => learn::propose(&miss, &self.benign),
        };
        self.rest(began);
        let mut tried = Tried { all: Vec::new(), traffic: self.traffic.len() };
        for candidate in candidates.into_iter().take(CANDIDATES) {
            let figures = self.figures(&candidate, &miss)?;
            let passed = figures.passed;
            // The one that passed first; else the one that came nearest.
            let nearer = |other: &Figures| figures.reasons.len() < other.reasons.len();
            let at = match tried.all.first() {
                Some((_, best)) if !passed && !nearer(best) => tried.all.len(),
                _ => 0,
            };
            tried.all.insert(at, (candidate, figures));
            if passed {
                break;
            }
        }
        Ok(tried)
    }

    fn figures(&self, candidate: &Candidate, miss: &Miss<'_>) -> Result<Figures, String> {
        let rules = &self.snapshot.rules;
        let mut trial = Trial::new(candidate, miss, &self.benign, rules, &self.options.gates);
        loop {
            let began = Instant::now();
            let progress = trial.step();
            self.rest(began);
            self.in_time()?;
            if progress == Progress::Done {
                break;
            }
        }
        for texts in self.traffic.chunks(TRAFFIC) {
            let began = Instant::now();
            texts.iter().for_each(|text| trial.traffic(text));
            self.rest(began);
            self.in_time()?;
        }
        let mut figures = trial.figures();
        if let Ok(set) = compile_alone(&self.snapshot, &candidate.rules) {
            let micros = self.cost(&set);
            if micros > self.options.max_micros {
                figures.passed = false;
                let most = self.options.max_micros;
                figures.reasons.push(format!("looking at a KiB takes {micros:.1} us, {most} may be"));
            }
        }
        Ok(figures)
    }

    /// Microseconds for a KiB of harmless texts: of each text the best of three times, for other work disturbs it, and on a
    /// busy machine every long stretch of time is disturbed.
    fn cost(&self, rules: &RuleSet) -> f32 {
        let texts: Vec<&str> = self.benign.texts().step_by(8).map(|one| one.text.as_str()).collect();
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let mut best = vec![Duration::MAX; texts.len()];
        for _ in 0..3 {
            let began = Instant::now();
            let mut findings = Vec::new();
            for (text, best) in texts.iter().zip(&mut best) {
                let began = Instant::now();
                rules.scan_as_written(SpanIndex(0), self.lesson.role, text, &mut findings);
                *best = began.elapsed().min(*best);
            }
            self.rest(began);
        }
        best.iter().sum::<Duration>().as_secs_f32() * 1e6 / (bytes.max(1) as f32 / 1024.0)
    }

    /// Leaves the machine to others for its share of the time.
    fn rest(&self, began: Instant) {
        let rest = began.elapsed().mul_f32((1.0 / self.options.share.clamp(0.01, 1.0)) - 1.0);
        std::thread::sleep(rest.min(MOST_REST));
    }

    fn in_time(&self) -> Result<(), String> {
        if Instant::now() < self.until { Ok(()) } else { Err("it took too long".to_owned()) }
    }
}

fn compile_alone(snapshot: &Snapshot, rules: &str) -> Result<RuleSet, Vec<Problem>> {
    let source = Source { name: "learned rules".to_owned(), text: rules.to_owned() };
    let none = BTreeMap::new();
    RuleSet::compile(&[source], None, &none, &snapshot.rule_budget())
}

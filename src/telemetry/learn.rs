//! The metrics of learning.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Meter};

use super::grid::Grid;
use super::names;
use crate::types::learn::{ProposalState, ReportKind};

/// The instruments.
pub struct Learn {
    reports: Grid<Counter<u64>, 1>,
    variations: BoundCounter<u64>,
    rules: BoundCounter<u64>,
    held_back: Grid<Counter<u64>, 2>,
    gates: Grid<Counter<u64>, 1>,
    hits: Grid<Counter<u64>, 1>,
    alone: Grid<Counter<u64>, 1>,
    harmless: Grid<Counter<u64>, 1>,
    rolled_back: BoundCounter<u64>,
    proposals: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Learn {
    /// The instruments of `meter`.
    pub(super) fn new(meter: &Meter) -> Self {
        let lone = |metric| {
            let counter = names::counter(meter, metric).bind(&[]);
            counter.add(0);
            counter
        };
        let one = |metric: &'static names::Metric, values: &[&'static str]| {
            Grid::new(names::counter(meter, metric), metric, [values.to_vec()]).start_at_zero()
        };
        let proposals: Arc<Mutex<BTreeMap<&'static str, u64>>> = Arc::default();
        let shown = Arc::clone(&proposals);
        let _registered = meter
            .u64_observable_gauge(names::LEARN_PROPOSALS.otel)
            .with_unit(names::LEARN_PROPOSALS.unit)
            .with_description(names::LEARN_PROPOSALS.help)
            .with_callback(move |observer| {
                for (state, count) in shown.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    observer.observe(*count, &[KeyValue::new("state", *state)]);
                }
            })
            .build();
        let learn = Self {
            reports: one(&names::LEARN_REPORTS, &[ReportKind::Missed.name(), ReportKind::FalseAlarm.name()]),
            variations: lone(&names::LEARN_VARIATIONS),
            rules: lone(&names::LEARN_RULES),
            held_back: Grid::new(
                names::counter(meter, &names::LEARN_HELD_BACK),
                &names::LEARN_HELD_BACK,
                [vec!["before", "after"], vec!["caught", "missed"]],
            ),
            gates: one(&names::LEARN_GATES, &["passed", "refused"]),
            hits: one(&names::LEARN_HITS, &["trial", "live"]),
            alone: one(&names::LEARN_ALONE, &["trial", "live"]),
            harmless: one(&names::LEARN_HARMLESS, &["hit", "passed"]),
            rolled_back: lone(&names::LEARN_ROLLED_BACK),
            proposals,
        };
        learn.held_back(0, 0, 0);
        learn.proposals(&[]);
        learn
    }

    /// Somebody reported a text that was not reported before.
    pub fn reported(&self, kind: ReportKind) {
        self.reports.add([usize::from(kind == ReportKind::FalseAlarm)], 1);
    }

    /// So many variations were written.
    pub fn varied(&self, count: usize) {
        self.variations.add(count as u64);
    }

    /// A proposal of so many rules passed every gate, or did not.
    pub fn judged(&self, passed: bool, rules: usize) {
        self.gates.add([usize::from(!passed)], 1);
        if passed {
            self.rules.add(rules as u64);
        }
    }

    /// Of so many variations that were kept back, so many were caught before, and so many after.
    pub fn held_back(&self, all: u64, before: u64, after: u64) {
        for (when, caught) in [(0, before), (1, after)] {
            self.held_back.add([when, 0], caught);
            self.held_back.add([when, 1], all.saturating_sub(caught));
        }
    }

    /// Learned rules found something in a request, and decided or did not; nothing else did, where they did so alone.
    pub fn hit(&self, decided: bool, alone: bool) {
        self.hits.add([usize::from(decided)], 1);
        if alone {
            self.alone.add([usize::from(decided)], 1);
        }
    }

    /// Of so many harmless texts and recent prompts a proposal that passed hit so many.
    pub fn harmless(&self, all: u64, hit: u64) {
        self.harmless.add([0], hit);
        self.harmless.add([1], all.saturating_sub(hit));
    }

    /// A learned rule was taken back.
    pub fn rolled_back(&self) {
        self.rolled_back.add(1);
    }

    /// How many proposals stand where.
    pub fn proposals(&self, counts: &[(String, u64)]) {
        let count = |state: &str| counts.iter().find(|(known, _)| known == state).map_or(0, |(_, count)| *count);
        let now = ProposalState::ALL.into_iter().map(|state| (state.name(), count(state.name()))).collect();
        *self.proposals.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

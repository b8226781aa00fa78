//! The metrics of exports.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Meter};

use super::labels::{BreakerState, ExportFailure, ExportResult};
use super::names;

/// Sinks that get series of their own; further ones share `other`.
const MAX_SINKS: usize = 64;

/// The instruments.
pub struct Export {
    items: Counter<u64>,
    failures: Counter<u64>,
    sinks: Arc<Mutex<BTreeMap<Arc<str>, Sink>>>,
}

/// One sink's series.
struct Sink {
    items: Vec<BoundCounter<u64>>,
    failures: Vec<BoundCounter<u64>>,
    /// Only while this replica works on it.
    gauges: Option<ExportGauges>,
}

/// How a sink stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExportGauges {
    /// Entries not looked at yet.
    pub backlog: u64,
    /// Seconds the oldest has waited.
    pub oldest: f64,
    /// Items nobody has decided about.
    pub dead: u64,
    /// The breaker.
    pub breaker: BreakerState,
}

impl Export {
    /// The instruments of `meter`.
    pub(super) fn new(meter: &Meter) -> Self {
        let export = Self {
            items: names::counter(meter, &names::EXPORT_ITEMS),
            failures: names::counter(meter, &names::EXPORT_FAILURES),
            sinks: Arc::default(),
        };
        export.observe(meter, &names::EXPORT_BACKLOG, |gauges| gauges.backlog as f64);
        export.observe(meter, &names::EXPORT_OLDEST, |gauges| gauges.oldest);
        export.observe(meter, &names::EXPORT_DEAD, |gauges| gauges.dead as f64);
        export.observe(meter, &names::EXPORT_BREAKER, |gauges| f64::from(gauges.breaker as u8));
        export
    }

    /// So many entries are done with.
    pub fn items(&self, sink: &Arc<str>, result: ExportResult, count: u64) {
        self.sink(sink, |series| {
            if let Some(counter) = series.items.get(result as usize) {
                counter.add(count);
            }
        });
    }

    /// A try failed.
    pub fn failed(&self, sink: &Arc<str>, why: ExportFailure) {
        self.sink(sink, |series| {
            if let Some(counter) = series.failures.get(why as usize) {
                counter.add(1);
            }
        });
    }

    /// How it stands; `None` when another replica works on it, whose gauges count.
    pub fn stands(&self, sink: &Arc<str>, gauges: Option<ExportGauges>) {
        self.sink(sink, |series| series.gauges = gauges);
    }

    fn sink(&self, name: &Arc<str>, change: impl FnOnce(&mut Sink)) {
        let mut all = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.contains_key(name) || all.len() < MAX_SINKS;
        let name = if known { Arc::clone(name) } else { Arc::from("other") };
        change(all.entry(name).or_insert_with_key(|name| self.bind(name)));
    }

    /// Everything is shown as 0 from the start: a rate over a series that begins at 1 misses its first event.
    fn bind(&self, sink: &Arc<str>) -> Sink {
        let sink = KeyValue::new("sink", Arc::clone(sink));
        let bound = |counter: &Counter<u64>, label: &'static str, values: &[&'static str]| {
            let one = |value: &&'static str| {
                let counter = counter.bind(&[sink.clone(), KeyValue::new(label, *value)]);
                counter.add(0);
                counter
            };
            values.iter().map(one).collect()
        };
        Sink {
            items: bound(&self.items, "result", ExportResult::NAMES),
            failures: bound(&self.failures, "reason", ExportFailure::NAMES),
            gauges: None,
        }
    }

    fn observe(&self, meter: &Meter, metric: &'static names::Metric, value: fn(&ExportGauges) -> f64) {
        let sinks = Arc::clone(&self.sinks);
        let _registered = meter
            .f64_observable_gauge(metric.otel)
            .with_unit(metric.unit)
            .with_description(metric.help)
            .with_callback(move |observer| {
                let shown: Vec<(Arc<str>, f64)> = {
                    let all = sinks.lock().unwrap_or_else(PoisonError::into_inner);
                    let of = |(name, series): (&Arc<str>, &Sink)| Some((Arc::clone(name), value(&series.gauges?)));
                    all.iter().filter_map(of).collect()
                };
                for (name, shown) in shown {
                    observer.observe(shown, &[KeyValue::new("sink", name)]);
                }
            })
            .build();
    }
}

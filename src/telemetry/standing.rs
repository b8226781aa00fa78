//! Where things stand: numbers that somebody looks up now and then, and tells all at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::names::{self, Kind, Metric};

/// The metrics that are told this way.
const TOLD: &[Metric] = &[
    names::BUDGET_USED,
    names::ALERTS_OPEN,
    names::APPROVALS_WAITING,
    names::APPROVALS_OLDEST,
    names::STORE_UP,
    names::STORE_QUEUE,
    names::STORE_SPOOL,
    names::STORE_ITEMS,
    names::AUDIT_DIVERGED,
    names::AUDIT_WRITTEN,
    names::AUDIT_REFUSED,
    names::AUDIT_SPOOLED,
    names::AUDIT_CHECKPOINT,
    names::FLEET_APART,
    names::CERTIFICATE_EXPIRY,
];

/// Series of one metric at most.
const MAX_SERIES: usize = 128;

type Told = Arc<Mutex<HashMap<&'static str, Vec<(Vec<KeyValue>, f64)>>>>;

/// What was told last.
pub struct Standing(Told);

impl Standing {
    /// The instruments of `meter`; what was not told yet is not shown.
    pub(super) fn new(meter: &Meter) -> Self {
        let told: Told = Arc::default();
        for metric in TOLD {
            let told = Arc::clone(&told);
            let series = move |show: &dyn Fn(f64, &[KeyValue])| {
                let all = told.lock().unwrap_or_else(PoisonError::into_inner);
                all.get(metric.otel).into_iter().flatten().for_each(|(labels, value)| show(*value, labels));
            };
            match metric.kind {
                Kind::Counter => drop(
                    meter
                        .f64_observable_counter(metric.otel)
                        .with_unit(metric.unit)
                        .with_description(metric.help)
                        .with_callback(move |observer| series(&|value, labels| observer.observe(value, labels)))
                        .build(),
                ),
                Kind::Gauge | Kind::Histogram(_) => drop(
                    meter
                        .f64_observable_gauge(metric.otel)
                        .with_unit(metric.unit)
                        .with_description(metric.help)
                        .with_callback(move |observer| series(&|value, labels| observer.observe(value, labels)))
                        .build(),
                ),
            }
        }
        Self(told)
    }

    /// Where a metric without labels stands.
    pub fn tell(&self, metric: &'static Metric, value: f64) {
        self.put(metric, vec![(Vec::new(), value)]);
    }

    /// Where a metric with one label stands: its values and their labels, in place of all that was told before.
    pub fn tell_each<L: Into<opentelemetry::Value>>(
        &self,
        metric: &'static Metric,
        series: impl IntoIterator<Item = (L, f64)>,
    ) {
        let Some(label) = metric.labels.first().copied() else { return };
        let labelled = series.into_iter().map(|(value, number)| (vec![KeyValue::new(label, value)], number));
        self.put(metric, labelled.take(MAX_SERIES).collect());
    }

    fn put(&self, metric: &'static Metric, series: Vec<(Vec<KeyValue>, f64)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(metric.otel, series);
    }
}

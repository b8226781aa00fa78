//! The metrics of other people's models, by their names in the configuration.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};

use super::labels::ModelCall;
use super::names;

/// Models that get series of their own; further ones share `other`.
const MAX_MODELS: usize = 64;

/// The instruments.
pub(super) struct Models {
    calls: Counter<u64>,
    seconds: Histogram<f64>,
    series: Mutex<HashMap<Arc<str>, Series>>,
}

/// One model's series.
struct Series {
    calls: Vec<BoundCounter<u64>>,
    seconds: BoundHistogram<f64>,
}

impl Models {
    /// The instruments of `meter`.
    pub(super) fn new(meter: &Meter) -> Self {
        let calls = names::counter(meter, &names::MODEL_CALLS);
        Self { calls, seconds: names::histogram(meter, &names::MODEL_SECONDS), series: Mutex::default() }
    }

    /// A question and how it went.
    pub(super) fn call(&self, model: &Arc<str>, call: ModelCall, seconds: f64) {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.contains_key(model) || all.len() < MAX_MODELS;
        let name = if known { Arc::clone(model) } else { Arc::from("other") };
        let series = all.entry(name).or_insert_with_key(|name| self.bind(name));
        if let Some(calls) = series.calls.get(call as usize) {
            calls.add(1);
        }
        series.seconds.record(seconds);
    }

    /// Every result is shown as 0 from the start: a rate over a series that begins at 1 misses its first event.
    fn bind(&self, model: &Arc<str>) -> Series {
        let model = KeyValue::new("model", Arc::clone(model));
        let calls = ModelCall::NAMES.iter().map(|result| {
            let counter = self.calls.bind(&[model.clone(), KeyValue::new("result", *result)]);
            counter.add(0);
            counter
        });
        Series { calls: calls.collect(), seconds: self.seconds.bind(std::slice::from_ref(&model)) }
    }
}

//! The metrics of the security operations centre.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Histogram, Meter};

use super::grid::Grid;
use super::labels::{BreakerState, ModelCall, ModelPurpose, NoticeResult, SearchBy};
use super::names;

/// Channels that get series of their own; further ones share `other`.
const MAX_CHANNELS: usize = 64;

/// The instruments.
pub struct Soc {
    notices: Counter<u64>,
    model_calls: Grid<Counter<u64>, 2>,
    model_seconds: Grid<Histogram<f64>, 1>,
    searches: Grid<Counter<u64>, 1>,
    lagged: BoundCounter<u64>,
    subscribers: Arc<AtomicU64>,
    channels: Arc<Mutex<HashMap<Arc<str>, Channel>>>,
}

/// One channel's series.
struct Channel {
    notices: Vec<BoundCounter<u64>>,
    breaker: BreakerState,
}

impl Soc {
    /// The instruments of `meter`.
    pub(super) fn new(meter: &Meter) -> Self {
        let lagged = names::counter(meter, &names::SOC_LAGGED).bind(&[]);
        lagged.add(0);
        let (purposes, calls) = (ModelPurpose::NAMES.to_vec(), ModelCall::NAMES.to_vec());
        let soc = Self {
            notices: names::counter(meter, &names::SOC_NOTICES),
            model_calls: Grid::new(
                names::counter(meter, &names::SOC_MODEL_CALLS),
                &names::SOC_MODEL_CALLS,
                [purposes.clone(), calls],
            ),
            model_seconds: Grid::new(
                names::histogram(meter, &names::SOC_MODEL_SECONDS),
                &names::SOC_MODEL_SECONDS,
                [purposes],
            ),
            searches: Grid::new(
                names::counter(meter, &names::SOC_SEARCHES),
                &names::SOC_SEARCHES,
                [SearchBy::NAMES.to_vec()],
            )
            .start_at_zero(),
            lagged,
            subscribers: Arc::default(),
            channels: Arc::default(),
        };
        soc.observe(meter);
        soc
    }

    /// A notice was to be sent through a channel, and what became of it.
    pub fn notice(&self, channel: &Arc<str>, result: NoticeResult) {
        self.channel(channel, |series| {
            if let Some(counter) = series.notices.get(result as usize) {
                counter.add(1);
            }
        });
    }

    /// Where a channel's breaker stands now.
    pub fn breaker(&self, channel: &Arc<str>, state: BreakerState) {
        self.channel(channel, |series| series.breaker = state);
    }

    /// A model was asked, and answered or not after so many seconds.
    pub fn model(&self, purpose: ModelPurpose, call: ModelCall, seconds: f64) {
        self.model_calls.add([purpose as usize, call as usize], 1);
        self.model_seconds.record([purpose as usize], seconds);
    }

    /// A search was ranked by these vectors.
    pub fn searched(&self, by: SearchBy) {
        self.searches.add([by as usize], 1);
    }

    /// Somebody watches the live feed; `unsubscribed` must follow.
    pub fn subscribed(&self) {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody watches it no more.
    pub fn unsubscribed(&self) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
    }

    /// A watcher missed entries.
    pub fn lagged(&self) {
        self.lagged.add(1);
    }

    fn channel(&self, name: &Arc<str>, count: impl FnOnce(&mut Channel)) {
        let mut all = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.contains_key(name) || all.len() < MAX_CHANNELS;
        let name = if known { Arc::clone(name) } else { Arc::from("other") };
        count(all.entry(name).or_insert_with_key(|name| self.bind(name)));
    }

    /// Every result is shown as 0 from the start: a rate over a series that begins at 1 misses its first event.
    fn bind(&self, channel: &Arc<str>) -> Channel {
        let channel = KeyValue::new("channel", Arc::clone(channel));
        let notices = NoticeResult::NAMES.iter().map(|result| {
            let counter = self.notices.bind(&[channel.clone(), KeyValue::new("result", *result)]);
            counter.add(0);
            counter
        });
        Channel { notices: notices.collect(), breaker: BreakerState::Closed }
    }

    fn observe(&self, meter: &Meter) {
        let subscribers = Arc::clone(&self.subscribers);
        let _registered = meter
            .u64_observable_gauge(names::SOC_SUBSCRIBERS.otel)
            .with_unit(names::SOC_SUBSCRIBERS.unit)
            .with_description(names::SOC_SUBSCRIBERS.help)
            .with_callback(move |observer| observer.observe(subscribers.load(Ordering::Relaxed), &[]))
            .build();
        let channels = Arc::clone(&self.channels);
        let _registered = meter
            .u64_observable_gauge(names::SOC_BREAKER.otel)
            .with_unit(names::SOC_BREAKER.unit)
            .with_description(names::SOC_BREAKER.help)
            .with_callback(move |observer| {
                let states: Vec<(Arc<str>, BreakerState)> = {
                    let all = channels.lock().unwrap_or_else(PoisonError::into_inner);
                    all.iter().map(|(name, series)| (Arc::clone(name), series.breaker)).collect()
                };
                for (name, state) in states {
                    observer.observe(state as u64, &[KeyValue::new("channel", name)]);
                }
            })
            .build();
    }
}

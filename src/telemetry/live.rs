//! Gauges: numbers kept or fetched elsewhere, read when somebody collects.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::labels::ListenerKind;
use super::metrics::{Count, QueueDepth, unix_seconds};
use super::names::{self, Metric};
use super::process;
use crate::types::Generation;

/// What the gauges show.
#[derive(Default)]
pub(super) struct Live {
    pub(super) in_flight: Count,
    pub(super) connections: [Count; ListenerKind::NAMES.len()],
    pub(super) rules: AtomicU64,
    pub(super) event_queue: OnceLock<Box<dyn Fn() -> QueueDepth + Send + Sync>>,
    pub(super) cache_entries: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
    /// Callers and conversations.
    pub(super) history: OnceLock<Box<dyn Fn() -> (u64, u64) + Send + Sync>>,
    pub(super) monitoring_off: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    generation: AtomicU64,
    /// Reloads that were tried; until the first one there is nothing to say about the last.
    reloads: AtomicU64,
    last_reload_ok: AtomicU64,
    last_success: AtomicU64,
}

impl Live {
    /// A reload was tried.
    pub(super) fn reload(&self, ok: bool, generation: Generation) {
        self.generation.store(generation.0, Ordering::Relaxed);
        self.last_reload_ok.store(u64::from(ok), Ordering::Relaxed);
        if ok {
            self.last_success.store(unix_seconds(), Ordering::Relaxed);
        }
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }

    fn reloaded(&self) -> bool {
        self.reloads.load(Ordering::Relaxed) > 0
    }
}

/// Registers every gauge.
pub(super) fn observe(meter: &Meter, live: &Arc<Live>) {
    gauge(meter, live, &names::IN_FLIGHT, |live| Some(live.in_flight.load(Ordering::Relaxed)));
    gauge(meter, live, &names::RULES_LOADED, |live| Some(live.rules.load(Ordering::Relaxed)));
    gauge(meter, live, &names::GENERATION, |live| Some(live.generation.load(Ordering::Relaxed)));
    gauge(meter, live, &names::EVENT_QUEUE, |live| live.event_queue.get().map(|depth| depth().waiting));
    gauge(meter, live, &names::VERDICT_CACHE_ENTRIES, |live| live.cache_entries.get().map(|entries| entries()));
    gauge(meter, live, &names::MONITORING_OFF, |live| live.monitoring_off.get().map(|off| u64::from(off())));
    gauge(meter, live, &names::HISTORY_CALLERS, |live| live.history.get().map(|entries| entries().0));
    gauge(meter, live, &names::HISTORY_CONVERSATIONS, |live| live.history.get().map(|entries| entries().1));
    gauge(meter, live, &names::RELOAD_SUCCESSFUL, |live| {
        live.reloaded().then(|| live.last_reload_ok.load(Ordering::Relaxed))
    });
    gauge(meter, live, &names::RELOAD_TIME, |live| live.reloaded().then(|| live.last_success.load(Ordering::Relaxed)));
    gauge(meter, live, &names::RESIDENT_MEMORY, |_| process::resident_memory());
    gauge(meter, live, &names::OPEN_FDS, |_| process::open_fds());
    let started = unix_seconds();
    gauge(meter, live, &names::START_TIME, move |_| Some(started));
    connections(meter, live);
    build_info(meter);
    cpu_time(meter);
}

/// A gauge without labels; `None` shows nothing.
fn gauge(
    meter: &Meter,
    live: &Arc<Live>,
    metric: &Metric,
    read: impl Fn(&Live) -> Option<u64> + Send + Sync + 'static,
) {
    let live = Arc::clone(live);
    let _registered = meter
        .u64_observable_gauge(metric.otel)
        .with_unit(metric.unit)
        .with_description(metric.help)
        .with_callback(move |observer| {
            if let Some(value) = read(&live) {
                observer.observe(value, &[]);
            }
        })
        .build();
}

fn connections(meter: &Meter, live: &Arc<Live>) {
    let live = Arc::clone(live);
    let metric = &names::CONNECTIONS;
    let _registered = meter
        .u64_observable_gauge(metric.otel)
        .with_unit(metric.unit)
        .with_description(metric.help)
        .with_callback(move |observer| {
            for (open, listener) in live.connections.iter().zip(ListenerKind::NAMES) {
                observer.observe(open.load(Ordering::Relaxed), &[KeyValue::new("listener", *listener)]);
            }
        })
        .build();
}

fn build_info(meter: &Meter) {
    let metric = &names::BUILD_INFO;
    let _registered = meter
        .u64_observable_gauge(metric.otel)
        .with_unit(metric.unit)
        .with_description(metric.help)
        .with_callback(|observer| observer.observe(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]))
        .build();
}

fn cpu_time(meter: &Meter) {
    let metric = &names::CPU_TIME;
    let _registered = meter
        .f64_observable_counter(metric.otel)
        .with_unit(metric.unit)
        .with_description(metric.help)
        .with_callback(|observer| {
            if let Some(seconds) = process::cpu_seconds() {
                observer.observe(seconds, &[]);
            }
        })
        .build();
}

//! `Metrics`: what the data path counts live, and what the event reader derives from each Record.
//!
//! All instruments are OpenTelemetry's, read by two readers: Prometheus text for `/metrics`, OTLP where an endpoint is
//! configured. Every instrument is bound to its attributes once (`BoundCounter`, `BoundHistogram`), because looking
//! attributes up at each measurement costs four times as much; `cargo bench --bench telemetry` measures both. Nearly
//! everything comes from the Record, on the control side; the data path itself only counts what no Record tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::metrics::BoundCounter;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, MeterProviderBuilder, PeriodicReader, SdkMeterProvider, Stream,
};
use prometheus::{Registry, TextEncoder};

use super::Error;
use super::export::Export;
use super::grid::Grid;
use super::labels::{ConnectionRefused, Handshake, ListenerKind, ModelCall, Part, SCOPES};
use super::learn::Learn;
use super::live::{Live, observe};
use super::models::Models;
use super::names::{self, Kind, Metric};
use super::recorded::Recorded;
use super::soc::Soc;
use super::standing::Standing;
use crate::types::{AlarmKind, Record, ReloadOutcome};

/// The handle to all metrics; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// Owns the readers; dropped, nothing would be collected any more.
    provider: SdkMeterProvider,
    live: Arc<Live>,
    recorded: Recorded,
    models: Models,
    soc: Soc,
    learn: Learn,
    standing: Standing,
    export: Export,
    limited: Grid<opentelemetry::metrics::Counter<u64>, 1>,
    fail_open: Grid<opentelemetry::metrics::Counter<u64>, 1>,
    refused: Grid<opentelemetry::metrics::Counter<u64>, 1>,
    handshakes: Grid<opentelemetry::metrics::Counter<u64>, 1>,
    alarms: Grid<opentelemetry::metrics::Counter<u64>, 1>,
    verdict_cache: Grid<opentelemetry::metrics::Counter<u64>, 1>,
    reloads: Grid<opentelemetry::metrics::Counter<u64>, 1>,
    chunks: BoundCounter<u64>,
    panics: BoundCounter<u64>,
    dropped: BoundCounter<u64>,
    record_errors: BoundCounter<u64>,
}

impl Metrics {
    /// Metrics of a service of this name, readable by `render` only.
    ///
    /// # Errors
    /// When the exporter cannot be built.
    pub fn new(service_name: &str) -> Result<Self, Error> {
        Self::build(resource(service_name), |builder| builder)
    }

    /// Metrics that are also pushed by `exporter`, once a minute or as `OTEL_METRIC_EXPORT_INTERVAL` says.
    pub(super) fn pushed(resource: Resource, exporter: impl PushMetricExporter) -> Result<Self, Error> {
        Self::build(resource, |builder| builder.with_reader(PeriodicReader::builder(exporter).build()))
    }

    fn build(
        resource: Resource,
        readers: impl FnOnce(MeterProviderBuilder) -> MeterProviderBuilder,
    ) -> Result<Self, Error> {
        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(|error| Error::Exporter(error.to_string()))?;
        let builder = SdkMeterProvider::builder().with_resource(resource).with_reader(prometheus).with_view(view);
        let provider = readers(builder).build();
        let meter = provider.meter("portcullis");
        let live = Arc::new(Live::default());
        observe(&meter, &live);
        let one = |metric: &'static Metric, values: &[&'static str]| {
            Grid::new(names::counter(&meter, metric), metric, [values.to_vec()]).start_at_zero()
        };
        let lone = |metric: &Metric| {
            let counter = names::counter(&meter, metric).bind(&[]);
            counter.add(0);
            counter
        };
        Ok(Self(Arc::new(Inner {
            recorded: Recorded::new(&meter),
            models: Models::new(&meter),
            soc: Soc::new(&meter),
            learn: Learn::new(&meter),
            standing: Standing::new(&meter),
            export: Export::new(&meter),
            limited: one(&names::LIMITED, SCOPES),
            fail_open: one(&names::FAIL_OPEN, Part::NAMES),
            refused: one(&names::CONNECTIONS_REFUSED, ConnectionRefused::NAMES),
            handshakes: one(&names::TLS_HANDSHAKES, Handshake::NAMES),
            alarms: one(&names::ALARMS, &AlarmKind::ALL.map(AlarmKind::name)),
            verdict_cache: one(&names::VERDICT_CACHE, &["hit", "miss"]),
            reloads: one(&names::RELOADS, &["ok", "rejected"]),
            chunks: lone(&names::STREAM_CHUNKS),
            panics: lone(&names::PANICS),
            dropped: lone(&names::EVENTS_DROPPED),
            record_errors: lone(&names::RECORD_ERRORS),
            registry,
            provider,
            live,
        })))
    }

    /// Everything in the Prometheus text format.
    ///
    /// # Errors
    /// When the encoder fails, which a metric with broken names would cause.
    pub fn render(&self) -> Result<String, Error> {
        TextEncoder::new()
            .encode_to_string(&self.0.registry.gather())
            .map_err(|error| Error::Exporter(error.to_string()))
    }

    /// Pushes what has not been pushed yet and stops pushing. Blocks for as long as the exporter needs.
    pub(super) fn shutdown(&self) -> Result<(), Error> {
        self.0.provider.shutdown().map_err(|error| Error::Exporter(error.to_string()))
    }

    // For the event reader, on the control side.

    /// Everything that one Record tells.
    pub fn record(&self, record: &Record) {
        self.0.recorded.record(record);
    }

    /// What the security operations centre counts.
    pub fn soc(&self) -> &Soc {
        &self.0.soc
    }

    /// Those of exports.
    pub fn export(&self) -> &Export {
        &self.0.export
    }

    /// Those of learning.
    pub fn learn(&self) -> &Learn {
        &self.0.learn
    }

    /// Where the store, the audit trail, budgets and approvals stand.
    pub fn standing(&self) -> &Standing {
        &self.0.standing
    }

    /// A reload was tried.
    pub fn reload(&self, outcome: &ReloadOutcome) {
        let ok = outcome.problems.is_empty();
        self.0.reloads.add([usize::from(!ok)], 1);
        self.0.live.reload(ok, outcome.generation);
    }

    /// So many records could not be written to their file.
    pub fn record_write_failed(&self, records: u64) {
        self.0.record_errors.add(records);
    }

    // For whoever assembles the parts.

    /// So many rules are in force.
    pub fn rules_loaded(&self, rules: usize) {
        self.0.live.rules.store(rules as u64, Ordering::Relaxed);
    }

    /// Where to read how many events wait, and how many may. `depth` must not keep the channel open: give it a
    /// `WeakSender`. Only the first call counts.
    pub fn watch_event_queue(&self, depth: impl Fn() -> QueueDepth + Send + Sync + 'static) {
        drop(self.0.live.event_queue.set(Box::new(depth)));
    }

    /// How many events wait; `None` before anybody said where to look.
    pub fn event_queue(&self) -> Option<QueueDepth> {
        self.0.live.event_queue.get().map(|depth| depth())
    }

    /// Where to read how many verdicts are cached. Only the first call counts.
    pub fn watch_verdict_cache(&self, entries: impl Fn() -> u64 + Send + Sync + 'static) {
        drop(self.0.live.cache_entries.set(Box::new(entries)));
    }

    /// Where to read how many callers and conversations are remembered. Only the first call counts.
    pub fn watch_history(&self, entries: impl Fn() -> (u64, u64) + Send + Sync + 'static) {
        drop(self.0.live.history.set(Box::new(entries)));
    }

    /// Where to read whether monitoring is switched off. Only the first call counts.
    pub fn watch_monitoring(&self, off: impl Fn() -> bool + Send + Sync + 'static) {
        drop(self.0.live.monitoring_off.set(Box::new(off)));
    }

    // For the data path.

    /// A request is in flight until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.0.live.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.0.live))
    }

    /// Requests in flight now.
    pub fn in_flight_now(&self) -> u64 {
        self.0.live.in_flight.load(Ordering::Relaxed)
    }

    /// A connection is open until the guard is dropped.
    pub fn connection(&self, listener: ListenerKind) -> Connection {
        if let Some(open) = self.0.live.connections.get(listener as usize) {
            open.fetch_add(1, Ordering::Relaxed);
        }
        Connection(Arc::clone(&self.0.live), listener)
    }

    /// A connection begins to be served; `connection_closed` must follow.
    pub fn connection_opened(&self, listener: ListenerKind) {
        std::mem::forget(self.connection(listener));
    }

    /// A connection that was opened has ended.
    pub fn connection_closed(&self, listener: ListenerKind) {
        drop(Connection(Arc::clone(&self.0.live), listener));
    }

    /// A connection was closed before it was served.
    pub fn connection_refused(&self, reason: ConnectionRefused) {
        self.0.refused.add([reason as usize], 1);
    }

    /// A TLS handshake ended.
    pub fn handshake(&self, result: Handshake) {
        self.0.handshakes.add([result as usize], 1);
    }

    /// A piece of a streamed answer was relayed.
    pub fn stream_chunk(&self) {
        self.0.chunks.add(1);
    }

    /// A limit held a request off: `address`, `user`, `in_flight`, `body_bytes` or `event_queue`.
    pub fn limited(&self, scope: &'static str) {
        let other = SCOPES.len().saturating_sub(1);
        self.0.limited.add([SCOPES.iter().position(|known| *known == scope).unwrap_or(other)], 1);
    }

    /// An alarm was raised.
    pub fn alarm(&self, kind: AlarmKind) {
        self.0.alarms.add([AlarmKind::ALL.iter().position(|known| *known == kind).unwrap_or(0)], 1);
    }

    /// A span was looked up in the verdict cache.
    pub fn verdict_cache(&self, hit: bool) {
        self.0.verdict_cache.add([usize::from(!hit)], 1);
    }

    /// A failing part was passed over.
    pub fn failed_open(&self, part: Part) {
        self.0.fail_open.add([part as usize], 1);
    }

    /// A model was asked, and answered or not after so many seconds.
    pub fn model(&self, model: &Arc<str>, call: ModelCall, seconds: f64) {
        self.0.models.call(model, call, seconds);
    }

    /// A panic was caught.
    pub fn panicked(&self) {
        self.0.panics.add(1);
    }

    /// An event found the queue full.
    pub fn event_dropped(&self) {
        self.0.dropped.add(1);
    }
}

/// How full the event queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueDepth {
    /// Events that wait.
    pub waiting: u64,
    /// Events that may wait.
    pub capacity: u64,
}

/// Counts one request as in flight while it lives.
#[must_use]
pub struct InFlight(Arc<Live>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one connection as open while it lives.
#[must_use]
pub struct Connection(Arc<Live>, ListenerKind);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(open) = self.0.connections.get(self.1 as usize) {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What this process says it is.
pub(super) fn resource(service_name: &str) -> Resource {
    Resource::builder()
        .with_service_name(service_name.to_owned())
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The buckets of each histogram, and a bound on series per instrument: the SDK sets aside room for all of them.
fn view(instrument: &Instrument) -> Option<Stream> {
    let metric = names::ALL.iter().find(|metric| metric.otel == instrument.name())?;
    let stream = Stream::builder().with_cardinality_limit(match metric.labels.len() {
        0 => 1,
        1 => 160,
        _ => 1600,
    });
    let stream = match metric.kind {
        Kind::Histogram(bounds) => stream.with_aggregation(Aggregation::ExplicitBucketHistogram {
            boundaries: bounds.to_vec(),
            record_min_max: false,
        }),
        Kind::Counter | Kind::Gauge => stream,
    };
    stream.build().ok()
}

/// Now, in seconds of Unix time.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// An atomic count on a cache line of its own, so that cores counting different things do not wait for each other.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Count(pub(super) AtomicU64);

impl std::ops::Deref for Count {
    type Target = AtomicU64;

    fn deref(&self) -> &AtomicU64 {
        &self.0
    }
}

#[cfg(test)]
mod tests;

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
use super::grid::Grid;
use super::labels::{ConnectionRefused, Handshake, ListenerKind, ModelCall, Part, SCOPES};
use super::live::{Live, observe};
use super::models::Models;
use super::names::{self, Kind, Metric};
use super::recorded::Recorded;
use super::soc::Soc;
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
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use super::{Metrics, QueueDepth};
    use crate::telemetry::labels::{
        BreakerState, ConnectionRefused, Handshake, ListenerKind, ModelCall, ModelPurpose, NoticeResult, Part, SearchBy,
    };
    use crate::telemetry::names::{self, Kind};
    use crate::types::{
        Accounted, Action, AlarmKind, Decision, Dialect, Direction, Evidence, Family, Finding, Generation, Outcome,
        Record, ReloadOutcome, RequestId, RuleId, RuleSetHash, Severity, SpanIndex, Uninspected, Usage, Verdict,
    };

    fn verdict(decision: Decision, rules: &[&str]) -> Verdict {
        let finding = |rule: &&str| Finding {
            rule: RuleId(Arc::from(*rule)),
            title: Arc::from("title"),
            family: Family::Secrets,
            severity: Severity::High,
            score: 5.0,
            action: Action::Block,
            threats: Arc::from([]),
            evidence: Evidence { span: SpanIndex(0), start: 0, end: 4 },
            doubts: Vec::new(),
        };
        Verdict {
            decision,
            risk: 0.5,
            false_positive: 0.0,
            recommended: Default::default(),
            factors: Default::default(),
            findings: rules.iter().map(finding).collect(),
            steps: Vec::new(),
            rule_set: RuleSetHash(Arc::from("00")),
        }
    }

    /// A streamed chat whose answer was cut, with something in every field that has a metric.
    fn record() -> Record {
        let mut record = Record::new(0, RequestId("req_1".into()), Generation(1));
        record.dialect = Some(Dialect::Chat);
        record.model = Some("model-as-sent".into());
        record.stream = true;
        record.upstream = Some(Arc::from("openai"));
        record.attempts = 3;
        record.outcome = Outcome::AnswerBlocked;
        record.reason = Some("content_filter");
        record.status = 200;
        record.decision = Decision::Block;
        record.input = Some(verdict(Decision::Allow, &[]));
        record.output = Some(verdict(Decision::Block, &["PC-SEC-0001"]));
        record.request_bytes = Accounted { inspected: 900, exempt: 0, uninspected: 100 };
        record.response_bytes = Accounted { inspected: 5000, exempt: 0, uninspected: 0 };
        record.uninspected = vec![(Uninspected::Media, 100)];
        record.held_max = 24;
        record.usage = Some(Usage { input: 300, cached: 0, output: 40, reasoning: 0 });
        record.micros.total = 1_000_300;
        record.micros.upstream = 900_000;
        record.micros.receive = 100_000;
        record.micros.scan = 70;
        record.micros.scan_output = 30;
        record.micros.first_chunk = 250_000;
        record.micros.hold = 1_500;
        record
    }

    fn everything() -> Metrics {
        let metrics = Metrics::new("portcullis").unwrap();
        metrics.record(&record());
        metrics.reload(&ReloadOutcome {
            trigger: Arc::from("start"),
            generation: Generation(1),
            problems: vec![],
            warnings: vec![],
        });
        metrics.watch_event_queue(|| QueueDepth { waiting: 3, capacity: 8 });
        metrics.watch_verdict_cache(|| 17);
        metrics.watch_history(|| (5, 3));
        metrics.watch_monitoring(|| true);
        metrics.model(&Arc::from("guard"), ModelCall::Ok, 0.125);
        metrics.soc().notice(&Arc::from("pager"), NoticeResult::Sent);
        metrics.soc().breaker(&Arc::from("pager"), BreakerState::Open);
        metrics.soc().model(ModelPurpose::Analyst, ModelCall::Ok, 0.25);
        metrics.soc().searched(SearchBy::Fallback);
        metrics.soc().subscribed();
        metrics.soc().lagged();
        metrics
    }

    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|found| found == line), "{line:?} is missing from\n{text}");
    }

    #[test]
    fn one_record_is_counted_everywhere_it_should_be() {
        let text = everything().render().unwrap();
        for line in [
            r#"portcullis_requests_total{decision="block",dialect="chat",outcome="answer_blocked",status_class="2xx"} 1"#,
            r#"portcullis_overhead_seconds_bucket{le="0.00025"} 0"#,
            r#"portcullis_overhead_seconds_bucket{le="0.0005"} 1"#,
            r"portcullis_overhead_seconds_sum 0.0003",
            r#"portcullis_scan_seconds_sum{direction="input"} 0.00004"#,
            r#"portcullis_scan_seconds_sum{direction="output"} 0.00003"#,
            r#"portcullis_upstream_seconds_sum{dialect="chat",upstream="openai"} 0.9"#,
            r#"portcullis_held_bytes_bucket{le="16"} 0"#,
            r#"portcullis_held_bytes_bucket{le="32"} 1"#,
            r"portcullis_hold_seconds_sum 0.0015",
            r#"portcullis_bytes_total{account="inspected",dialect="chat",direction="input"} 900"#,
            r#"portcullis_bytes_total{account="uninspected",dialect="chat",direction="input"} 100"#,
            r#"portcullis_bytes_total{account="inspected",dialect="chat",direction="output"} 5000"#,
            r#"portcullis_uninspected_bytes_total{reason="media"} 100"#,
            r#"portcullis_decisions_total{decision="allow",direction="input"} 1"#,
            r#"portcullis_decisions_total{decision="block",direction="output"} 1"#,
            r#"portcullis_rule_hits_total{action="block",family="secrets",rule="PC-SEC-0001"} 1"#,
            r#"portcullis_refusals_total{code="content_filter"} 1"#,
            r#"portcullis_upstream_attempts_total{result="failed",upstream="openai"} 2"#,
            r#"portcullis_upstream_attempts_total{result="ok",upstream="openai"} 1"#,
            r#"gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_token_type="input"} 300"#,
            r#"gen_ai_client_operation_time_to_first_chunk_seconds_sum{gen_ai_operation_name="chat",gen_ai_provider_name="openai"} 0.25"#,
            r#"gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="openai"} 1"#,
            "portcullis_config_last_reload_successful 1",
            "portcullis_snapshot_generation 1",
            "portcullis_event_queue_depth 3",
            "portcullis_verdict_cache_entries 17",
            "portcullis_history_callers 5",
            "portcullis_history_conversations 3",
            r#"portcullis_model_calls_total{model="guard",result="ok"} 1"#,
            r#"portcullis_model_duration_seconds_sum{model="guard"} 0.125"#,
            r#"portcullis_soc_notices_total{channel="pager",result="sent"} 1"#,
            r#"portcullis_soc_notices_total{channel="pager",result="breaker_open"} 0"#,
            r#"portcullis_soc_breaker_state{channel="pager"} 2"#,
            r#"portcullis_soc_model_calls_total{purpose="analyst",result="ok"} 1"#,
            r#"portcullis_soc_model_duration_seconds_sum{purpose="analyst"} 0.25"#,
            r#"portcullis_soc_searches_total{by="fallback"} 1"#,
            "portcullis_soc_subscribers 1",
            "portcullis_soc_feed_lagged_total 1",
        ] {
            has(&text, line);
        }
        assert!(
            !text.contains("model-as-sent") && !text.contains("req_1"),
            "a label has a value of the client's making"
        );
        assert!(!text.contains("otel_scope"), "scope labels are on");
    }

    #[test]
    fn the_list_of_names_is_what_is_rendered() {
        let text = everything().render().unwrap();
        let kinds: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| *name != "target_info")
            .collect();
        let listed: BTreeMap<&str, &str> = names::ALL
            .iter()
            .map(|metric| {
                let kind = match metric.kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram(_) => "histogram",
                };
                (metric.prometheus, kind)
            })
            .collect();
        assert_eq!(kinds, listed);
        for metric in names::ALL {
            let series = text
                .lines()
                .find(|line| !line.starts_with('#') && line.starts_with(metric.prometheus))
                .unwrap_or_else(|| panic!("{} has no series", metric.prometheus));
            let labels: BTreeSet<String> = series
                .split_once('{')
                .map_or("", |(_, labels)| labels.split_once('}').unwrap().0)
                .split(',')
                .filter_map(|label| Some(label.split_once('=')?.0.to_owned()))
                .filter(|label| label != "le")
                .collect();
            let expected: BTreeSet<String> = metric.labels.iter().map(|label| label.replace('.', "_")).collect();
            assert_eq!(labels, expected, "{}", metric.prometheus);
        }
    }

    #[test]
    fn what_the_data_path_counts_is_shown() {
        let metrics = Metrics::new("portcullis").unwrap();
        has(&metrics.render().unwrap(), r#"portcullis_fail_open_total{part="input_inspection"} 0"#);
        let first = metrics.in_flight();
        let second = metrics.clone().in_flight();
        drop(first);
        let connection = metrics.connection(ListenerKind::Https);
        metrics.connection_refused(ConnectionRefused::PerAddress);
        metrics.handshake(Handshake::Timeout);
        metrics.stream_chunk();
        metrics.stream_chunk();
        metrics.limited("user");
        metrics.limited("a scope nobody knows");
        metrics.verdict_cache(true);
        metrics.failed_open(Part::InputInspection);
        metrics.panicked();
        metrics.event_dropped();
        metrics.alarm(AlarmKind::SpendSurge);
        metrics.rules_loaded(60);
        metrics.record_write_failed(5);
        let text = metrics.render().unwrap();
        for line in [
            "portcullis_in_flight 1",
            r#"portcullis_connections{listener="https"} 1"#,
            r#"portcullis_connections_refused_total{reason="per_address"} 1"#,
            r#"portcullis_tls_handshakes_total{result="timeout"} 1"#,
            "portcullis_stream_chunks_total 2",
            r#"portcullis_limited_total{scope="user"} 1"#,
            r#"portcullis_limited_total{scope="other"} 1"#,
            r#"portcullis_verdict_cache_total{result="hit"} 1"#,
            r#"portcullis_verdict_cache_total{result="miss"} 0"#,
            r#"portcullis_fail_open_total{part="input_inspection"} 1"#,
            "portcullis_panics_total 1",
            "portcullis_events_dropped_total 1",
            "portcullis_rules_loaded 60",
            "portcullis_record_write_errors_total 5",
        ] {
            has(&text, line);
        }
        drop((second, connection));
        let text = metrics.render().unwrap();
        has(&text, "portcullis_in_flight 0");
        has(&text, r#"portcullis_connections{listener="https"} 0"#);
    }

    #[test]
    fn a_rejected_reload_keeps_the_time_of_the_last_good_one() {
        let metrics = everything();
        let line = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        let name = "portcullis_config_last_reload_success_timestamp_seconds ";
        let before = line(&metrics.render().unwrap(), name);
        metrics.reload(&ReloadOutcome {
            trigger: Arc::from("watch"),
            generation: Generation(1),
            problems: vec!["gateway.toml:1: no".into()],
            warnings: vec![],
        });
        let text = metrics.render().unwrap();
        has(&text, "portcullis_config_last_reload_successful 0");
        has(&text, r#"portcullis_reloads_total{result="rejected"} 1"#);
        assert_eq!(line(&text, name), before);
    }

    #[test]
    fn hostile_numbers_of_rules_share_one_series() {
        let metrics = Metrics::new("portcullis").unwrap();
        let names: Vec<String> = (0..700).map(|number| format!("PC-TST-{number:04}")).collect();
        for name in &names {
            let mut record = record();
            record.output = Some(verdict(Decision::Flag, &[name]));
            record.upstream = Some(Arc::from(name.as_str()));
            metrics.record(&record);
        }
        let text = metrics.render().unwrap();
        let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(series("portcullis_rule_hits_total{"), 513);
        has(&text, r#"portcullis_rule_hits_total{action="block",family="secrets",rule="other"} 188"#);
        assert_eq!(series("portcullis_upstream_seconds_count{"), 65);
        assert!(!text.contains("otel_metric_overflow"), "the SDK's own limit was met before ours");
        assert_eq!(series("portcullis_decisions_total"), Direction::ALL.len(), "allow in, flag out");
    }
}

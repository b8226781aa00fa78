//! Every metric of the gateway, once: its OpenTelemetry name, its Prometheus name, its labels and what it means.
//!
//! Labels take few values. A user, an address, a prompt or a model as the client wrote it is never one: the client
//! chooses those, so they would let it fill the memory of this process and of the Prometheus behind it.

use opentelemetry::metrics::{self, Meter};

/// What an instrument does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by bucket; the upper bounds, in the metric's unit.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name in OpenTelemetry (OTLP).
    pub otel: &'static str,
    /// Its name on `/metrics`; histograms add `_bucket`, `_sum` and `_count`.
    pub prometheus: &'static str,
    /// Its unit in UCUM; annotations in braces leave no trace in the Prometheus name.
    pub unit: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Its labels, as OpenTelemetry spells them; Prometheus has `_` where they have a dot.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// Seconds from 10 microseconds to 10 seconds: for what the gateway itself does.
const FINE: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_15, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 1.0, 10.0,
];
/// Seconds from 1 millisecond to 5 minutes: for what includes a model's answer.
const COARSE: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Bytes held back from one stream.
const HELD_BYTES: &[f64] = &[0.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0, 65_536.0, 1_048_576.0];
/// The buckets that the GenAI conventions give for durations.
const GEN_AI_SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// The buckets that the GenAI conventions give for tokens.
const GEN_AI_TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:expr, $otel:literal [$unit:literal] => $prometheus:literal {$($label:literal),*};)+) => {
        $(
            $(#[doc = $help])+
            pub const $name: Metric = Metric {
                otel: $otel,
                prometheus: $prometheus,
                unit: $unit,
                kind: $kind,
                labels: &[$($label),*],
                help: concat!($($help),+).trim_ascii(),
            };
        )+
        /// Every metric, in the order of this file.
        pub const ALL: &[Metric] = &[$($name),+];
    };
}

use Kind::{Counter, Gauge, Histogram};

metrics! {
    /// Requests, each counted once when it ended.
    REQUESTS: Counter, "portcullis.requests" ["{request}"] => "portcullis_requests_total"
        {"dialect", "outcome", "decision", "status_class"};
    /// Time a request spent in the gateway: without the upstream's time and without waiting for the client's body.
    OVERHEAD: Histogram(FINE), "portcullis.overhead" ["s"] => "portcullis_overhead_seconds" {};
    /// Time spent inspecting one request, by direction.
    SCAN: Histogram(FINE), "portcullis.scan" ["s"] => "portcullis_scan_seconds" {"direction"};
    /// Time spent waiting for the upstream, until its head and between its chunks.
    UPSTREAM: Histogram(COARSE), "portcullis.upstream" ["s"] => "portcullis_upstream_seconds" {"upstream", "dialect"};
    /// Time from the parsed head of a request to the last byte of its answer.
    REQUEST: Histogram(COARSE), "portcullis.request" ["s"] => "portcullis_request_seconds" {};
    /// The most bytes of one streamed answer that were held back at once.
    HELD: Histogram(HELD_BYTES), "portcullis.held" ["By"] => "portcullis_held_bytes" {};
    /// The longest time any byte of one streamed answer was held back.
    HOLD: Histogram(FINE), "portcullis.hold" ["s"] => "portcullis_hold_seconds" {};
    /// Pieces of streamed answers relayed.
    STREAM_CHUNKS: Counter, "portcullis.stream.chunks" ["{chunk}"] => "portcullis_stream_chunks_total" {};
    /// Bytes of body relayed, each in one account: inspected, exempt (by a policy) or uninspected (unreadable).
    BYTES: Counter, "portcullis.bytes" ["{byte}"] => "portcullis_bytes_total" {"dialect", "direction", "account"};
    /// Bytes relayed although they could not be inspected, by reason.
    UNINSPECTED: Counter, "portcullis.uninspected" ["By"] => "portcullis_uninspected_bytes_total" {"reason"};
    /// Verdicts, by direction; in monitor mode they have no consequence.
    DECISIONS: Counter, "portcullis.decisions" ["{verdict}"] => "portcullis_decisions_total" {"direction", "decision"};
    /// Matches of each rule. Beyond 512 rules that ever matched, further ones are counted as "other".
    RULE_HITS: Counter, "portcullis.rule.hits" ["{match}"] => "portcullis_rule_hits_total" {"rule", "family", "action"};
    /// Requests held off by a limit.
    LIMITED: Counter, "portcullis.limited" ["{request}"] => "portcullis_limited_total" {"scope"};
    /// Requests that were refused, cut or failed, by error code.
    REFUSALS: Counter, "portcullis.refusals" ["{request}"] => "portcullis_refusals_total" {"code"};
    /// Attempts made at an upstream.
    UPSTREAM_ATTEMPTS: Counter, "portcullis.upstream.attempts" ["{attempt}"] => "portcullis_upstream_attempts_total"
        {"upstream", "result"};
    /// Times a failing part was passed over, because the configuration says to fail open.
    FAIL_OPEN: Counter, "portcullis.fail_open" ["{event}"] => "portcullis_fail_open_total" {"part"};
    /// Questions to other people's models, by how that went.
    MODEL_CALLS: Counter, "portcullis.model.calls" ["{call}"] => "portcullis_model_calls_total" {"model", "result"};
    /// Time from such a question to its answer, waiting included.
    MODEL_SECONDS: Histogram(COARSE), "portcullis.model.duration" ["s"] => "portcullis_model_duration_seconds" {"model"};
    /// Spans of prompts looked up in the verdict cache.
    VERDICT_CACHE: Counter, "portcullis.verdict_cache" ["{lookup}"] => "portcullis_verdict_cache_total" {"result"};
    /// Verdicts in the cache.
    VERDICT_CACHE_ENTRIES: Gauge, "portcullis.verdict_cache.entries" ["{verdict}"] => "portcullis_verdict_cache_entries" {};
    /// Callers remembered.
    HISTORY_CALLERS: Gauge, "portcullis.history.callers" ["{caller}"] => "portcullis_history_callers" {};
    /// Conversations remembered.
    HISTORY_CONVERSATIONS: Gauge, "portcullis.history.conversations" ["{conversation}"] => "portcullis_history_conversations" {};
    /// Whether monitoring is switched off (1): requests pass uninspected.
    MONITORING_OFF: Gauge, "portcullis.monitoring_off" ["{bool}"] => "portcullis_monitoring_off" {};
    /// Requests that passed uninspected because monitoring was switched off.
    UNMONITORED: Counter, "portcullis.unmonitored" ["{request}"] => "portcullis_unmonitored_total" {};
    /// Requests in flight.
    IN_FLIGHT: Gauge, "portcullis.in_flight" ["{request}"] => "portcullis_in_flight" {};
    /// Connections open.
    CONNECTIONS: Gauge, "portcullis.connections" ["{connection}"] => "portcullis_connections" {"listener"};
    /// Connections closed before they were served.
    CONNECTIONS_REFUSED: Counter, "portcullis.connections.refused" ["{connection}"] =>
        "portcullis_connections_refused_total" {"reason"};
    /// TLS handshakes.
    TLS_HANDSHAKES: Counter, "portcullis.tls.handshakes" ["{handshake}"] => "portcullis_tls_handshakes_total" {"result"};
    /// Panics caught; each cost one request.
    PANICS: Counter, "portcullis.panics" ["{panic}"] => "portcullis_panics_total" {};
    /// Reloads tried.
    RELOADS: Counter, "portcullis.reloads" ["{reload}"] => "portcullis_reloads_total" {"result"};
    /// Whether the last reload succeeded (1) or the configuration before it still serves (0).
    RELOAD_SUCCESSFUL: Gauge, "portcullis.config.last_reload_successful" ["{bool}"] =>
        "portcullis_config_last_reload_successful" {};
    /// When the configuration that serves was loaded, in Unix time.
    RELOAD_TIME: Gauge, "portcullis.config.last_reload_success.timestamp" ["s"] =>
        "portcullis_config_last_reload_success_timestamp_seconds" {};
    /// Rules in force.
    RULES_LOADED: Gauge, "portcullis.rules.loaded" ["{rule}"] => "portcullis_rules_loaded" {};
    /// Snapshots published since the start, the first included.
    GENERATION: Gauge, "portcullis.snapshot.generation" ["{snapshot}"] => "portcullis_snapshot_generation" {};
    /// Events waiting for the control side.
    EVENT_QUEUE: Gauge, "portcullis.event_queue.depth" ["{event}"] => "portcullis_event_queue_depth" {};
    /// Events that found the queue full and were lost.
    EVENTS_DROPPED: Counter, "portcullis.events.dropped" ["{event}"] => "portcullis_events_dropped_total" {};
    /// Warnings about budgets, spending and behaviour.
    ALARMS: Counter, "portcullis.alarms" ["{alarm}"] => "portcullis_alarms_total" {"kind"};
    /// Records that could not be written to their file.
    RECORD_ERRORS: Counter, "portcullis.record.write_errors" ["{record}"] => "portcullis_record_write_errors_total" {};
    /// Notices to webhooks, Slack, PagerDuty and mail, each try counted. Beyond 64 channels further ones are counted as "other".
    SOC_NOTICES: Counter, "portcullis.soc.notices" ["{notice}"] => "portcullis_soc_notices_total" {"channel", "result"};
    /// Whether notices pass to a channel (0), one is let through to see whether it works again (1), or none passes (2).
    SOC_BREAKER: Gauge, "portcullis.soc.breaker_state" ["{state}"] => "portcullis_soc_breaker_state" {"channel"};
    /// Questions of the analyst to its models, by what for and how that went.
    SOC_MODEL_CALLS: Counter, "portcullis.soc.model.calls" ["{call}"] => "portcullis_soc_model_calls_total" {"purpose", "result"};
    /// Time from such a question to its answer.
    SOC_MODEL_SECONDS: Histogram(COARSE), "portcullis.soc.model.duration" ["s"] => "portcullis_soc_model_duration_seconds"
        {"purpose"};
    /// Searches in playbooks and past incidents, by whose vectors ranked them.
    SOC_SEARCHES: Counter, "portcullis.soc.searches" ["{search}"] => "portcullis_soc_searches_total" {"by"};
    /// Watchers of the live feed.
    SOC_SUBSCRIBERS: Gauge, "portcullis.soc.subscribers" ["{subscriber}"] => "portcullis_soc_subscribers" {};
    /// Times a watcher of the live feed missed entries and was sent to the store.
    SOC_LAGGED: Counter, "portcullis.soc.feed.lagged" ["{event}"] => "portcullis_soc_feed_lagged_total" {};
    /// Texts reported: attacks that were missed, and false alarms.
    LEARN_REPORTS: Counter, "portcullis.learn.reports" ["{report}"] => "portcullis_learn_reports_total" {"kind"};
    /// Variations of reported texts that were written.
    LEARN_VARIATIONS: Counter, "portcullis.learn.variations" ["{text}"] => "portcullis_learn_variations_total" {};
    /// Rules that passed every gate.
    LEARN_RULES: Counter, "portcullis.learn.rules" ["{rule}"] => "portcullis_learn_rules_total" {};
    /// Variations that were kept back from building rules, and whether the rules caught them before and after learning.
    LEARN_HELD_BACK: Counter, "portcullis.learn.held_back" ["{text}"] => "portcullis_learn_held_back_total" {"when", "result"};
    /// Proposals that came to an end at the gates.
    LEARN_GATES: Counter, "portcullis.learn.gates" ["{proposal}"] => "portcullis_learn_gates_total" {"result"};
    /// Requests that learned rules found something in: while they are on trial, and where they decide.
    LEARN_HITS: Counter, "portcullis.learn.hits" ["{request}"] => "portcullis_learn_hits_total" {"stage"};
    /// Of those, requests that nothing else found anything in: at most so many are false alarms.
    LEARN_ALONE: Counter, "portcullis.learn.alone" ["{request}"] => "portcullis_learn_alone_total" {"stage"};
    /// Harmless texts and recent prompts that proposals which passed every gate were tried on.
    LEARN_HARMLESS: Counter, "portcullis.learn.harmless" ["{text}"] => "portcullis_learn_harmless_total" {"result"};
    /// Learned rules that were taken back because they hit harmless traffic.
    LEARN_ROLLED_BACK: Counter, "portcullis.learn.rolled_back" ["{proposal}"] => "portcullis_learn_rolled_back_total" {};
    /// Proposals by where they stand.
    LEARN_PROPOSALS: Gauge, "portcullis.learn.proposals" ["{proposal}"] => "portcullis_learn_proposals" {"state"};
    /// What answers cost, by the model of the price table; what has no price is not in it.
    COST: Counter, "portcullis.cost.usd" ["{USD}"] => "portcullis_cost_usd_total" {"model"};
    /// The share of its limit that each budget has used in the period that runs: of those who have one each, the most.
    BUDGET_USED: Gauge, "portcullis.budget.used_ratio" ["{ratio}"] => "portcullis_budget_used_ratio" {"budget"};
    /// Alerts that nobody has closed.
    ALERTS_OPEN: Gauge, "portcullis.soc.alerts.open" ["{alert}"] => "portcullis_soc_alerts_open" {"severity"};
    /// Plans and tool calls that wait for people (at most 1000 of each are counted).
    APPROVALS_WAITING: Gauge, "portcullis.approvals.waiting" ["{approval}"] => "portcullis_approvals_waiting" {"kind"};
    /// How long the oldest of them has waited; 0 where none waits.
    APPROVALS_OLDEST: Gauge, "portcullis.approvals.oldest" ["s"] => "portcullis_approvals_oldest_seconds" {"kind"};
    /// Whether the store takes what is written (1), or it goes to the spool or nowhere (0).
    STORE_UP: Gauge, "portcullis.store.up" ["{bool}"] => "portcullis_store_up" {};
    /// Items that wait for the store's writer.
    STORE_QUEUE: Gauge, "portcullis.store.queue.depth" ["{item}"] => "portcullis_store_queue_depth" {"kind"};
    /// Bytes that wait on the disk for the store.
    STORE_SPOOL: Gauge, "portcullis.store.spool" ["By"] => "portcullis_store_spool_bytes" {};
    /// Items for the store, by what became of them.
    STORE_ITEMS: Counter, "portcullis.store.items" ["{item}"] => "portcullis_store_items_total" {"result"};
    /// Whether the audit trail in the store and its checkpoint files contradict each other (1).
    AUDIT_DIVERGED: Gauge, "portcullis.audit.diverged" ["{bool}"] => "portcullis_audit_diverged" {};
    /// Entries this replica put into the audit trail.
    AUDIT_WRITTEN: Counter, "portcullis.audit.written" ["{entry}"] => "portcullis_audit_written_total" {};
    /// Entries of the audit trail that neither store nor disk took; what they were about was not done.
    AUDIT_REFUSED: Counter, "portcullis.audit.refused" ["{entry}"] => "portcullis_audit_refused_total" {};
    /// Bytes of entries of the audit trail that wait on the disk.
    AUDIT_SPOOLED: Gauge, "portcullis.audit.spool" ["By"] => "portcullis_audit_spool_bytes" {};
    /// When the audit trail was last signed, in Unix time; 0 before the first time.
    AUDIT_CHECKPOINT: Gauge, "portcullis.audit.checkpoint.timestamp" ["s"] => "portcullis_audit_checkpoint_timestamp_seconds" {};
    /// Whether the fleet's Redis is away and this replica counts alone (1); nothing without a fleet.
    FLEET_APART: Gauge, "portcullis.fleet.apart" ["{bool}"] => "portcullis_fleet_apart" {};
    /// When the certificate that listeners show ends, in Unix time.
    CERTIFICATE_EXPIRY: Gauge, "portcullis.certificate.expiry.timestamp" ["s"] =>
        "portcullis_certificate_expiry_timestamp_seconds" {};
    /// Always 1; the version is the label.
    BUILD_INFO: Gauge, "portcullis.build_info" ["{info}"] => "portcullis_build_info" {"version"};
    /// Entries that sinks of exports are done with.
    EXPORT_ITEMS: Counter, "portcullis.export.items" ["{item}"] => "portcullis_export_items_total" {"sink", "result"};
    /// Tries of sinks of exports that failed.
    EXPORT_FAILURES: Counter, "portcullis.export.failures" ["{try}"] => "portcullis_export_failures_total" {"sink", "reason"};
    /// Entries of the sources that a sink of exports has not looked at yet, as its worker sees it.
    EXPORT_BACKLOG: Gauge, "portcullis.export.backlog" ["{entry}"] => "portcullis_export_backlog" {"sink"};
    /// How old the oldest is that waits for a sink of exports.
    EXPORT_OLDEST: Gauge, "portcullis.export.oldest" ["s"] => "portcullis_export_oldest_seconds" {"sink"};
    /// Items that a receiver refused and that nobody has decided about.
    EXPORT_DEAD: Gauge, "portcullis.export.dead_letters" ["{item}"] => "portcullis_export_dead_letters" {"sink"};
    /// Where the circuit breaker of a sink of exports stands: 0 closed, 1 half-open, 2 open.
    EXPORT_BREAKER: Gauge, "portcullis.export.breaker_state" ["{state}"] => "portcullis_export_breaker_state" {"sink"};
    /// Time one GenAI operation took, as seen from the gateway.
    GEN_AI_DURATION: Histogram(GEN_AI_SECONDS), "gen_ai.client.operation.duration" ["s"] =>
        "gen_ai_client_operation_duration_seconds" {"gen_ai.operation.name", "gen_ai.provider.name"};
    /// Time until the first chunk of a streamed GenAI operation.
    GEN_AI_FIRST_CHUNK: Histogram(GEN_AI_SECONDS), "gen_ai.client.operation.time_to_first_chunk" ["s"] =>
        "gen_ai_client_operation_time_to_first_chunk_seconds" {"gen_ai.operation.name", "gen_ai.provider.name"};
    /// Tokens of one GenAI operation, as the provider counted them.
    GEN_AI_TOKENS_USED: Histogram(GEN_AI_TOKENS), "gen_ai.client.token.usage" ["{token}"] => "gen_ai_client_token_usage"
        {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.token.type"};
    /// Resident memory of this process.
    RESIDENT_MEMORY: Gauge, "process.resident_memory" ["By"] => "process_resident_memory_bytes" {};
    /// File descriptors this process has open.
    OPEN_FDS: Gauge, "process.open_fds" ["{fd}"] => "process_open_fds" {};
    /// CPU time this process has used.
    CPU_TIME: Counter, "process.cpu" ["s"] => "process_cpu_seconds_total" {};
    /// When this process started its telemetry, in Unix time.
    START_TIME: Gauge, "process.start_time" ["s"] => "process_start_time_seconds" {};
}

/// The counter of `metric`.
pub(super) fn counter(meter: &Meter, metric: &Metric) -> metrics::Counter<u64> {
    meter.u64_counter(metric.otel).with_unit(metric.unit).with_description(metric.help).build()
}

/// The counter of `metric`, of money.
pub(super) fn money(meter: &Meter, metric: &Metric) -> metrics::Counter<f64> {
    meter.f64_counter(metric.otel).with_unit(metric.unit).with_description(metric.help).build()
}

/// The histogram of `metric`; its buckets come with the provider's view.
pub(super) fn histogram(meter: &Meter, metric: &Metric) -> metrics::Histogram<f64> {
    meter.f64_histogram(metric.otel).with_unit(metric.unit).with_description(metric.help).build()
}

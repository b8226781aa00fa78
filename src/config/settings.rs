//! The shape of `gateway.toml`: one struct per table, every key with its default and a line of documentation.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::admin_settings::Admin;
pub use super::alarm_settings::Alarms;
pub use super::approval_settings::Approvals;
pub use super::audit_settings::Audit;
use super::empty_is_none;
pub use super::export_settings::Export;
pub use super::fleet::Fleet;
pub use super::history::History;
pub use super::identity_settings::{GatewayKey, Identity};
pub use super::learn_settings::Learn;
pub use super::limit_settings::{Limits, PriceFile, Unpriced};
pub use super::model_settings::Model;
pub use super::policies::settings::{PolicyFiles, PolicySettings};
pub use super::report_settings::Reports;
pub use super::soc_settings::Soc;
pub use super::store_settings::{Retention, Store};
use super::units::{Size, Time};
pub use super::upstream_settings::{ApiKey, Upstream, UpstreamKind};
use crate::detect::{Levels, Thresholds};
use crate::quota::BudgetSpec;
use crate::types::{Action, Severity};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the gateway listens. Not reloaded: a change needs a restart.
    pub listeners: Vec<Listener>,
    /// Threads, queues, connection caps and draining.
    pub server: Server,
    /// Certificates.
    pub tls: Tls,
    /// Deadlines and limits of the HTTP protocol.
    pub http: Http,
    /// Limits on bodies.
    pub body: Body,
    /// The ops listener: metrics and probes.
    pub ops: Ops,
    /// Who is let in.
    pub identity: Identity,
    /// Rates and concurrency.
    pub limits: Limits,
    /// How much may be spent in a day, a week or a month.
    pub budgets: Vec<BudgetSpec>,
    /// What tokens cost.
    pub prices: PriceFile,
    /// When spending and repetition are worth somebody's attention.
    pub alarms: Alarms,
    /// What replicas share.
    pub fleet: Fleet,
    /// The database.
    pub store: Store,
    /// The audit trail.
    pub audit: Audit,
    /// The admin API.
    pub admin: Admin,
    /// Tool calls that wait for a person.
    pub approvals: Approvals,
    /// The security operations centre.
    pub soc: Soc,
    /// Learning from what was missed.
    pub learn: Learn,
    /// What other systems are sent.
    pub export: Export,
    /// Reports: what is kept of them, and those made by themselves.
    pub reports: Reports,
    /// What inspection does.
    pub inspect: Inspect,
    /// Where rules come from and how this site changes them.
    pub rules: Rules,
    /// Other people's models, asked for a second opinion on prompts, by name.
    pub models: BTreeMap<String, Model>,
    /// What holds for everybody, and where further policies stand.
    pub policy: PolicyFiles,
    /// Who gets what treatment, tried in order.
    pub policies: Vec<PolicySettings>,
    /// Where requests may go, by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Exceptions to the built-in routes, tried in order before them.
    pub routes: Vec<Route>,
    /// The decision record.
    pub record: RecordFile,
    /// Logs, traces, metrics.
    pub telemetry: Telemetry,
    /// How changes are noticed.
    pub reload: Reload,
}

/// One socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `https`, `http` or `unix`.
    pub protocol: Protocol,
    /// `address:port`, for `https` and `http`.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// The socket's path, for `unix`. Made with mode 0660.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// Expect a PROXY protocol header (v1 or v2); honoured only from `server.trusted_proxies`, others are cut.
    #[serde(default)]
    pub proxy_protocol: bool,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2 over TLS, chosen by ALPN.
    Https,
    /// HTTP/1.1 and HTTP/2 with prior knowledge, in clear: for the sidecar case.
    Http,
    /// HTTP/1.1 on a Unix socket.
    Unix,
}

/// Threads, queues, connection caps and draining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Worker threads; 0 is one per core this process may use. Not reloaded.
    pub workers: usize,
    /// Connections open at once, all listeners together; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Connections open at once from one address; further ones are closed.
    pub max_connections_per_address: usize,
    /// Peers whose `X-Forwarded-For`, `Forwarded` and PROXY headers are believed.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// Events (records among them) waiting for the control side. Not reloaded.
    pub event_queue: usize,
    /// Blocks, alarms and reloads that may wait beside it when it is full. No request begins while these have no room
    /// either. Not reloaded.
    pub event_reserve: usize,
    /// What happens to new requests when that queue is full.
    pub on_event_queue_full: QueueFull,
    /// On SIGTERM: how long readiness is off before accepting stops.
    pub drain_delay: Time,
    /// On SIGTERM: how long running requests may go on after that.
    pub drain_deadline: Time,
}

/// What a full queue means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueFull {
    /// Answer 503 until there is room: nothing goes unrecorded.
    Refuse,
    /// Serve, and count what was not recorded.
    Serve,
}

/// Certificates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate chain. Absent: a development CA and certificate are made in `dev_directory`.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// Where the development CA and certificate live.
    pub dev_directory: PathBuf,
    /// Names the development certificate is for.
    pub dev_names: Vec<String>,
    /// PEM file with the CAs that client certificates must chain to.
    pub client_ca: Option<PathBuf>,
    /// Whether clients need a certificate.
    pub client_auth: ClientAuth,
}

/// Whether clients need a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// None is asked for.
    None,
    /// Asked for, verified if given.
    Optional,
    /// Handshakes without one fail.
    Required,
}

/// Deadlines and limits of the HTTP protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Time,
    /// From the first byte of a request to the end of its head; also how long a fresh connection may stay silent.
    pub header_timeout: Time,
    /// How long a connection may stay idle between requests.
    pub idle_timeout: Time,
    /// From the head to the end of the request body.
    pub body_timeout: Time,
    /// Bytes per second a request body must average after the first five seconds; 0 switches the check off.
    pub body_min_rate: Size,
    /// How long a write to a client may make no progress.
    pub write_timeout: Time,
    /// Bytes of one request head.
    pub max_head: Size,
    /// Header fields in one request.
    pub max_headers: usize,
    /// Bytes of a request target.
    pub max_target: Size,
    /// HTTP/2: concurrent streams per connection.
    pub h2_max_streams: u32,
    /// HTTP/2: streams a client may reset before the connection is closed.
    pub h2_max_resets: usize,
    /// HTTP/2: bytes of a decoded header list.
    pub h2_max_header_list: Size,
    /// HTTP/2: flow-control window of one stream.
    pub h2_stream_window: Size,
    /// HTTP/2: flow-control window of one connection.
    pub h2_connection_window: Size,
    /// HTTP/2: ping an idle connection this often.
    pub h2_keep_alive: Time,
}

/// Limits on bodies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Body {
    /// Bytes of a request body, as sent and as decoded.
    pub max_request: Size,
    /// Bytes of an answer that is not a stream, as sent and as decoded.
    pub max_response: Size,
    /// How many times its encoded size a body may decode to, beyond the first megabyte.
    pub max_decode_ratio: u32,
    /// Nesting of JSON arrays and objects.
    pub max_depth: u32,
    /// JSON values in one body.
    pub max_nodes: u32,
    /// Bytes of one server-sent event.
    pub max_event: Size,
    /// Bytes of one tool call's arguments while they are held for the verdict.
    pub max_tool_call: Size,
    /// Bytes of request bodies in memory at once, all requests together; further requests get 503.
    pub max_in_flight: Size,
}

/// The ops listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ops {
    /// `/metrics`, `/livez`, `/readyz`, `/startupz` and `POST /reload` are served here; `""`: nowhere. Not reloaded.
    #[serde(with = "empty_is_none")]
    #[schemars(with = "String")]
    pub address: Option<SocketAddr>,
    /// Concurrent connections to it.
    pub max_connections: usize,
}

/// What inspection does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Inspect {
    /// `off`, `monitor` (inspect and report) or `enforce`.
    pub mode: Mode,
    /// `default`, `aware` (adds a hardening system message) or `strict` (that, and lower thresholds).
    pub security: SecurityMode,
    /// The hardening system message of `aware` and `strict`.
    pub hardening_message: String,
    /// Points at which a prompt is flagged.
    pub flag_at: u32,
    /// Points at which a prompt is blocked.
    pub block_at: u32,
    /// What `strict` multiplies both thresholds with, in percent.
    pub strict_percent: u32,
    /// Risks from which on something is recommended to whoever watches.
    pub recommend: Recommend,
    /// What a blocked answer that is not a stream becomes.
    pub block_mode: BlockMode,
    /// What text that cannot be inspected gets: media, token ids, encrypted state.
    pub on_uninspected: OnUninspected,
    /// What happens when inspection itself fails.
    pub on_failure: OnFailure,
    /// Answers: inspect what comes back.
    pub answers: bool,
    /// Spans in which little or nothing was found that are remembered; 0 switches the cache off.
    pub verdict_cache: usize,
    /// Memory for the indexes of system prompts that answers are compared with; 0 indexes every prompt anew.
    pub prompt_cache: Size,
    /// Bytes of inspection before a worker lets other requests run.
    pub yield_every: Size,
    /// Let the matched rules' ids appear in the error the client sees.
    pub show_rules: bool,
    /// What is remembered between requests.
    pub history: History,
}

/// Risks, 0 to 1, from which on an action is recommended. They decide nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Recommend {
    /// To stop it.
    pub block: f32,
    /// To look into it.
    pub investigate: f32,
    /// To watch whether it comes again.
    pub monitor: f32,
    /// To let it be; below, nothing is recommended.
    pub ignore: f32,
}

impl Inspect {
    /// What a verdict is measured against under `security`.
    pub fn thresholds(&self, security: SecurityMode) -> Thresholds {
        self.thresholds_of((self.flag_at, self.block_at), security)
    }

    /// The same from other points to flag and to block at.
    pub fn thresholds_of(&self, (flag_at, block_at): (u32, u32), security: SecurityMode) -> Thresholds {
        let scaled = |points: u32| match security {
            SecurityMode::Default | SecurityMode::Aware => points,
            SecurityMode::Strict => (points.saturating_mul(self.strict_percent) / 100).max(1),
        };
        let Recommend { block, investigate, monitor, ignore } = self.recommend;
        let recommend = Levels { block, investigate, monitor, ignore };
        Thresholds { flag_at: scaled(flag_at), block_at: scaled(block_at), recommend }
    }
}

/// Whether a verdict has consequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Not inspected; its bytes are counted as exempt.
    Off,
    /// Inspected and reported, never blocked.
    Monitor,
    /// Inspected, and the verdict carried out.
    Enforce,
}

/// How hard the gateway leans on the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecurityMode {
    /// The prompt is forwarded as it is.
    Default,
    /// A hardening system message is added.
    Aware,
    /// That, and lower thresholds.
    Strict,
}

/// What a blocked answer that is not a stream becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockMode {
    /// A 400 `content_filter` error that SDKs raise.
    Error,
    /// A 200 answer with empty text and the dialect's content-filter finish reason.
    FinishReason,
}

/// What text that cannot be inspected gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUninspected {
    /// The request is refused.
    Block,
    /// It passes and is counted.
    Pass,
}

/// What happens when a part fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Serve as if it had found nothing, and count it.
    Open,
    /// Refuse.
    Closed,
}

/// Where rules come from and how this site changes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Use the rules built into the binary.
    pub builtin: bool,
    /// Further directories, read recursively (`*.yaml`); a rule with a known id replaces it.
    pub directories: Vec<PathBuf>,
    /// The trained classifier: `builtin`, `off`, or the path of a model file that `portcullis train` made.
    pub classifier: String,
    /// Changes to single rules by id, or to all rules of a family by its name.
    pub overrides: BTreeMap<String, RuleOverride>,
    /// Bytes one rule may compile to.
    pub max_rule: Size,
    /// Bytes all rules may compile to.
    pub max_total: Size,
    /// Bytes a completion rule may have to hold back.
    pub max_hold: Size,
}

/// A change to one rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RuleOverride {
    /// `false` switches the rule off.
    pub enabled: Option<bool>,
    /// Another action.
    #[schemars(with = "Option<String>")]
    pub action: Option<Action>,
    /// Other points.
    pub score: Option<u16>,
    /// Another severity.
    #[schemars(with = "Option<String>")]
    pub severity: Option<Severity>,
}

/// An exception to the built-in routes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// A canonical path without the leading `/v1`, for example `/chat/completions`; a final `/*` matches what follows.
    pub path: String,
    /// Methods it is for; empty is POST.
    #[serde(default)]
    pub methods: Vec<String>,
    /// What happens to it.
    #[serde(default)]
    pub action: Option<RouteAction>,
    /// An upstream's name; absent: the first of the dialect's kind.
    #[serde(default)]
    pub upstream: Option<String>,
    /// Another mode than `inspect.mode`.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Another security mode than `inspect.security`.
    #[serde(default)]
    pub security: Option<SecurityMode>,
}

/// What happens to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteAction {
    /// Refused.
    Deny,
    /// Known dialects in full; any other JSON by its string leaves.
    Inspect,
    /// Relayed uninspected and counted as exempt.
    Pass,
}

/// The decision record: JSON lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecordFile {
    /// The file; `""`: no record is written. Not reloaded.
    #[serde(with = "empty_is_none")]
    #[schemars(with = "String")]
    pub path: Option<PathBuf>,
    /// It is rotated at this size.
    pub max_size: Size,
    /// Rotated files kept.
    pub keep: usize,
    /// How long records may wait to be written together.
    pub flush_every: Time,
}

/// Logs, traces, metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// A `tracing` filter (`info`, `portcullis=debug`). `RUST_LOG` wins.
    pub log: String,
    /// `text` for people, `json` for machines, `auto`: text on a terminal.
    pub log_format: LogFormat,
    /// OTLP over HTTP, for example `http://127.0.0.1:4318`; absent: `OTEL_EXPORTER_OTLP_ENDPOINT`, else off. Not reloaded.
    pub otlp_endpoint: Option<String>,
    /// Share of requests traced, 0 to 1.
    pub trace_ratio: f64,
    /// `service.name` of the resource.
    pub service_name: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// How changes are noticed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reload {
    /// Watch the configuration file and the rule directories.
    pub watch: bool,
    /// How long they must be quiet before they are read.
    pub debounce: Time,
    /// Also compare their contents this often, for file systems that send no events; 0 switches it off.
    pub poll: Time,
}

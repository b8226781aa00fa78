//! The shape of `[store]`: what is remembered, where, and for how long.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::QueueFull;
use super::units::{Size, Time};

/// The database. Not reloaded, but for retention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sqlite://path` or `postgres://…`; `""`: nothing is remembered, and there are no virtual keys, standing orders,
    /// audit trail and admin API.
    pub url: String,
    /// An environment variable with that URL, where it carries a password.
    pub url_env: Option<String>,
    /// The longest any statement, and any wait for a connection or lock, may take.
    pub timeout: Time,
    /// Connections for reading (SQLite), or in all (PostgreSQL).
    pub connections: u32,
    /// Requests and other ordinary items that may wait for the writer.
    pub queue: usize,
    /// Alerts and other important items that may wait: further ones hold up the reader of events.
    pub important_queue: usize,
    /// What happens when the queue of ordinary items is full: `refuse` holds up the reader of events, and so in the end
    /// new requests as `server.on_event_queue_full` says; `serve` drops and counts.
    pub on_full: QueueFull,
    /// Items of one transaction.
    pub batch: usize,
    /// How long an item may wait for others to share its transaction.
    pub flush_every: Time,
    /// Where batches go while the database is away.
    pub spool: PathBuf,
    /// Bytes of the spool.
    pub spool_max: Size,
    /// How often a database that is away is tried again.
    pub retry_every: Time,
    /// How often keys and orders that another replica changed are looked for.
    pub poll: Time,
    /// Whether a replica whose database is away is `ready`.
    pub ready_without: bool,
    /// An environment variable with the key that stored content is encrypted with: 32 bytes as hex or base64.
    pub content_key_env: Option<String>,
    /// Bytes of one prompt or answer that are kept, where a policy keeps any.
    pub max_content: Size,
    /// How long each class is kept.
    pub retention: Retention,
}

/// How long each class is kept; `"0"`: for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// How often what is too old is looked for.
    pub every: Time,
    /// Requests, without their content.
    pub requests: Time,
    /// Findings.
    pub findings: Time,
    /// Content of prompts and answers.
    pub content: Time,
    /// Alarms and other events.
    pub events: Time,
    /// The ledger.
    pub ledger: Time,
    /// Whom objects of providers were issued to.
    pub issued: Time,
    /// Standing orders that are over.
    pub orders: Time,
    /// Alerts of the SOC, and tool calls that waited for a person; not the evidence of open incidents.
    pub alerts: Time,
    /// Closed incidents, with their timelines, analyses, plans, approvals and remedies.
    pub incidents: Time,
    /// The live feed: how far back who comes back can catch up.
    pub feed: Time,
}

const DAY: u64 = 86_400;

impl Default for Store {
    fn default() -> Self {
        Self {
            url: "sqlite://data/portcullis.db".to_owned(),
            url_env: None,
            timeout: Time::from_secs(1),
            connections: 4,
            queue: 20_000,
            important_queue: 1_000,
            on_full: QueueFull::Serve,
            batch: 2_000,
            flush_every: Time::from_millis(50),
            spool: PathBuf::from("data/spool"),
            spool_max: Size::bytes(1 << 30),
            retry_every: Time::from_millis(500),
            poll: Time::from_millis(250),
            ready_without: true,
            content_key_env: None,
            max_content: Size::bytes(64 << 10),
            retention: Retention::default(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days: u64| Time::from_secs(days * DAY);
        Self {
            every: Time::from_secs(600),
            requests: days(90),
            findings: days(90),
            content: days(30),
            events: days(365),
            ledger: days(366),
            issued: days(90),
            orders: days(365),
            alerts: days(365),
            incidents: days(366),
            feed: days(7),
        }
    }
}

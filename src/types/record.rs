//! The one door up: everything known about a request leaves as an `Event`.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::soc::ToolHold;
use super::{Alarm, Caller, Decision, Dialect, FinishReason, Generation, Kept, RequestId, RuleId, Usage, Verdict};

/// What the data path and the reloader tell the control side.
#[derive(Debug, Clone)]
pub enum Event {
    /// A request ended, one way or another: exactly one per request.
    Request(Box<Record>),
    /// A reload was tried.
    Reload(ReloadOutcome),
    /// Something about money or behaviour is worth attention.
    Alarm(Box<Alarm>),
    /// Words of a request that its policy keeps: after its record, at most one for each direction.
    Content(Box<Kept>),
    /// A tool call in an answer waits for a person.
    ToolHeld(Box<ToolHold>),
}

impl Event {
    /// Whether it may not be dropped where others are: what is alerted on or goes into the audit trail.
    pub fn must_arrive(&self) -> bool {
        match self {
            Self::Request(record) => record.decision == Decision::Block || record.order.is_some(),
            Self::Reload(_) | Self::Alarm(_) | Self::ToolHeld(_) => true,
            Self::Content(_) => false,
        }
    }
}

/// How a reload went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadOutcome {
    /// What asked for it: `start`, `signal`, `watch`, `api`.
    pub trigger: Arc<str>,
    /// The generation now serving.
    pub generation: Generation,
    /// The problems that kept the old Snapshot in place; empty when the new one is live.
    pub problems: Vec<String>,
    /// What an operator should know although it is live: an expired certificate, a key that needs a restart.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// How a request ended. The label says which stage of the road ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer was relayed to its end.
    Served,
    /// Refused before inspection: bad input, identity, limits, routing.
    Refused,
    /// The prompt was blocked.
    PromptBlocked,
    /// The answer was blocked, whole or in mid-stream.
    AnswerBlocked,
    /// The upstream failed before or during the answer.
    UpstreamFailed,
    /// The client left before the end.
    Abandoned,
    /// The gateway cut it: deadline, drain, standing order.
    Cut,
    /// Our own fault.
    Internal,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 8] = [
        Self::Served,
        Self::Refused,
        Self::PromptBlocked,
        Self::AnswerBlocked,
        Self::UpstreamFailed,
        Self::Abandoned,
        Self::Cut,
        Self::Internal,
    ];

    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Refused => "refused",
            Self::PromptBlocked => "prompt_blocked",
            Self::AnswerBlocked => "answer_blocked",
            Self::UpstreamFailed => "upstream_failed",
            Self::Abandoned => "abandoned",
            Self::Cut => "cut",
            Self::Internal => "internal",
        }
    }
}

/// Why bytes were relayed without inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uninspected {
    /// Base64 images, audio, files.
    Media,
    /// Token ids instead of text.
    TokenIds,
    /// Provider-encrypted or provider-issued state: `encrypted_content`, `previous_response_id`.
    Opaque,
    /// An embedding vector.
    Vector,
}

impl Uninspected {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Media, Self::TokenIds, Self::Opaque, Self::Vector];

    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Media => "media",
            Self::TokenIds => "token_ids",
            Self::Opaque => "opaque",
            Self::Vector => "vector",
        }
    }
}

/// Law 2: bytes of body relayed in one direction. The three sum to the bytes relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accounted {
    /// Read by the detectors.
    pub inspected: u64,
    /// Let through by a policy (`mode = "off"`, a `pass` route).
    pub exempt: u64,
    /// Could not be read.
    pub uninspected: u64,
}

/// Where the time of a request went, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Durations {
    /// From the parsed head to the last byte handed to the connection.
    pub total: u64,
    /// Waiting for the upstream: until its head, and between its chunks.
    pub upstream: u64,
    /// Until the request was complete: waiting for the client's body.
    pub receive: u64,
    /// Inspecting, both directions.
    pub scan: u64,
    /// The part of `scan` spent on the answer.
    pub scan_output: u64,
    /// From the request handed to the upstream to the first byte of its answer's body; 0 when none came.
    pub first_chunk: u64,
    /// The longest time any byte of the answer was held back, but for people.
    pub hold: u64,
    /// Waiting for people to rule on tool calls.
    pub waited: u64,
}

impl Durations {
    /// What the gateway added: all but waiting for client, upstream and people.
    pub fn overhead(&self) -> u64 {
        let others = self.upstream.saturating_add(self.receive).saturating_add(self.waited);
        self.total.saturating_sub(others)
    }
}

/// The decision record of one request. Never carries prompt text, keys or matched text.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// When the head was read: Unix time in microseconds.
    pub time: i64,
    /// The request's id.
    pub id: RequestId,
    /// Who asked.
    pub caller: Caller,
    /// Method and canonical path (no query).
    pub method: Arc<str>,
    /// The canonical path; of unknown paths only that it was unknown.
    pub path: Arc<str>,
    /// The dialect spoken.
    pub dialect: Option<Dialect>,
    /// The model asked for.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The upstream chosen.
    pub upstream: Option<Arc<str>>,
    /// Attempts made upstream.
    pub attempts: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, as a low-cardinality code (`content_filter`, `rate_limit_exceeded`, …).
    pub reason: Option<&'static str>,
    /// The status sent, 0 when none was.
    pub status: u16,
    /// The worst decision of both directions as enforced.
    pub decision: Decision,
    /// The verdict on the prompt.
    pub input: Option<Verdict>,
    /// The verdict on the answer.
    pub output: Option<Verdict>,
    /// Rules on trial that found something in the prompt and decided nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trial: Vec<RuleId>,
    /// Law 2, towards the model.
    pub request_bytes: Accounted,
    /// Law 2, towards the client.
    pub response_bytes: Accounted,
    /// The uninspected bytes of both directions, by reason.
    pub uninspected: Vec<(Uninspected, u64)>,
    /// The most bytes held back at once.
    pub held_max: u64,
    /// Why the answer ended, where the provider said.
    pub finish: Option<FinishReason>,
    /// Tokens, where the provider said.
    pub usage: Option<Usage>,
    /// Whether `usage` is the gateway's own count, because the provider gave none.
    pub estimated: bool,
    /// What it cost by the price table, in billionths of a US dollar; `None` where the model has no price.
    pub cost: Option<u64>,
    /// The model of the price table it was paid by.
    #[serde(skip)]
    pub priced: Option<Arc<str>>,
    /// The policy that decided how it was treated.
    pub policy: Option<Arc<str>>,
    /// The standing order that refused or cut it.
    pub order: Option<Arc<str>>,
    /// Monitoring was switched off: it was let through uninspected, whatever its policy says.
    pub monitoring_off: bool,
    /// A provider issued an id with the answer: hashes of it and of whom it is for, where that is not known yet.
    #[serde(skip)]
    pub issued: Option<(String, String)>,
    /// A print of what the user said last, alike for what is alike; to tell programs that run in circles.
    #[serde(skip)]
    pub print: Option<u64>,
    /// Where the time went.
    pub micros: Durations,
    /// The Snapshot that decided.
    pub generation: Generation,
    /// The SDK's own retry count (`x-stainless-retry-count`): an attack retried is one attack.
    pub retry: u32,
    /// The caller's `traceparent` header, where it sent a well-formed one: the trace this request belongs to.
    pub traceparent: Option<String>,
}

impl Record {
    /// A record of a request of which only the head is known: abandoned, until something better is.
    pub fn new(time: i64, id: RequestId, generation: Generation) -> Self {
        Self {
            time,
            id,
            caller: Caller::default(),
            method: empty(),
            path: empty(),
            dialect: None,
            model: None,
            stream: false,
            upstream: None,
            attempts: 0,
            outcome: Outcome::Abandoned,
            reason: None,
            status: 0,
            decision: Decision::Allow,
            input: None,
            output: None,
            trial: Vec::new(),
            request_bytes: Accounted::default(),
            response_bytes: Accounted::default(),
            uninspected: Vec::new(),
            held_max: 0,
            finish: None,
            usage: None,
            estimated: false,
            cost: None,
            priced: None,
            policy: None,
            order: None,
            monitoring_off: false,
            issued: None,
            print: None,
            micros: Durations::default(),
            generation,
            retry: 0,
            traceparent: None,
        }
    }
}

/// The empty text, made once: every record begins with two of it.
fn empty() -> Arc<str> {
    static EMPTY: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
    Arc::clone(&EMPTY)
}

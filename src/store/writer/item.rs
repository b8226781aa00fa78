//! What the writer takes: rows that are ready to be written, or to be kept in the spool.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::contents::Content;
use crate::store::issued::Issued;
use crate::types::{Direction, Record};

/// The most tokens and the highest cost (nano-USD) one request is counted with. Providers send these numbers, and sums
/// of them have to stay below 2^63.
const MOST_TOKENS: u64 = 1 << 32;
const MOST_COST: u64 = 1_000_000_000_000_000;

/// One thing to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Item {
    /// A request with its findings and what it adds to the ledger.
    Request(Box<RequestRow>),
    /// Content of a request, as far as the privacy mode keeps any.
    Content(Box<Content>),
    /// A provider's object was issued to a caller.
    Issued(Issued),
    /// An alert or another event.
    Event(EventRow),
    /// What a `Sink` writes, as the text it understands.
    Of {
        /// The sink's kind.
        kind: Cow<'static, str>,
        /// The item.
        body: String,
    },
}

impl From<&Record> for Item {
    fn from(record: &Record) -> Self {
        Self::Request(Box::new(RequestRow::from(record)))
    }
}

/// A row of `requests`, its rows of `findings`, and its share of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestRow {
    /// The request's id.
    pub id: String,
    /// When its head was read: Unix time in microseconds.
    pub time: i64,
    /// The caller's tenant.
    pub tenant: Option<Arc<str>>,
    /// Its team.
    pub team: Option<Arc<str>>,
    /// The user.
    pub user: Option<Arc<str>>,
    /// The id of the key.
    pub key: Option<Arc<str>>,
    /// The conversation.
    pub session: Option<Arc<str>>,
    /// The agent.
    pub agent: Option<Arc<str>>,
    /// The client's address.
    pub address: Option<String>,
    /// The method.
    pub method: Arc<str>,
    /// The canonical path.
    pub path: Arc<str>,
    /// The dialect.
    pub dialect: Option<Cow<'static, str>>,
    /// The model asked for.
    pub model: Option<String>,
    /// The upstream chosen.
    pub upstream: Option<Arc<str>>,
    /// How it ended.
    pub outcome: Cow<'static, str>,
    /// Why.
    pub reason: Option<Cow<'static, str>>,
    /// The status sent.
    pub status: u16,
    /// The decision as enforced.
    pub decision: Cow<'static, str>,
    /// The higher risk of both directions, 0 to 1.
    pub risk: f32,
    /// Tokens, where known.
    pub tokens: Option<Tokens>,
    /// Whether the gateway counted them itself.
    pub estimated: bool,
    /// Cost in nano-USD.
    pub cost: Option<u64>,
    /// The policy that decided.
    pub policy: Option<Arc<str>>,
    /// The standing order that refused or cut it.
    pub order: Option<Arc<str>>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Microseconds in all.
    pub micros: u64,
    /// The Snapshot that decided.
    pub generation: u64,
    /// Its findings.
    pub findings: Vec<FindingRow>,
    /// The whole record as JSON.
    pub record: Arc<str>,
}

/// Tokens as they are counted in the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Of the prompt, cached ones included.
    pub input: u64,
    /// Read from the provider's cache.
    pub cached: u64,
    /// Of the answer, reasoning included.
    pub output: u64,
    /// Of reasoning.
    pub reasoning: u64,
}

/// A row of `findings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingRow {
    /// Which way the text went.
    pub direction: Cow<'static, str>,
    /// The rule's id.
    pub rule: Arc<str>,
    /// Its family.
    pub family: Cow<'static, str>,
    /// Its severity.
    pub severity: Cow<'static, str>,
    /// Points.
    pub score: f32,
    /// What it asked for.
    pub action: Cow<'static, str>,
    /// Which span or channel.
    pub span: u32,
    /// First byte in it.
    pub start: u32,
    /// One past the last.
    pub end: u32,
    /// Threat ids, with commas between them.
    pub threats: String,
}

/// A row of `events`: an alert, or anything else that has to be kept and is no request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// Its id; writing the same one again changes nothing.
    pub id: String,
    /// Unix time in microseconds.
    pub time: i64,
    /// What kind, a low-cardinality word.
    pub kind: Cow<'static, str>,
    /// The request it is about.
    pub request: Option<String>,
    /// The user it is about.
    pub user: Option<String>,
    /// The event as JSON.
    pub body: String,
}

impl From<&Record> for RequestRow {
    fn from(record: &Record) -> Self {
        // A record is plain data; it always has a JSON form.
        Self::of(record, serde_json::to_string(record).unwrap_or_default().into())
    }
}

impl RequestRow {
    /// Of a record that is `json`.
    pub fn of(record: &Record, json: Arc<str>) -> Self {
        let caller = &record.caller;
        let risk = |verdict: &Option<crate::types::Verdict>| verdict.as_ref().map_or(0.0, |verdict| verdict.risk);
        Self {
            id: record.id.0.clone(),
            time: record.time,
            tenant: caller.tenant.clone(),
            team: caller.team.clone(),
            user: caller.user.clone(),
            key: caller.key.clone(),
            session: caller.session.clone(),
            agent: caller.agent.clone(),
            address: caller.address.map(|address| address.to_string()),
            method: Arc::clone(&record.method),
            path: Arc::clone(&record.path),
            dialect: record.dialect.map(|dialect| dialect.name().into()),
            model: record.model.clone(),
            upstream: record.upstream.clone(),
            outcome: record.outcome.name().into(),
            reason: record.reason.map(Into::into),
            status: record.status,
            decision: record.decision.name().into(),
            risk: risk(&record.input).max(risk(&record.output)),
            tokens: record.usage.map(|usage| Tokens {
                input: usage.input.min(MOST_TOKENS),
                cached: usage.cached.min(MOST_TOKENS),
                output: usage.output.min(MOST_TOKENS),
                reasoning: usage.reasoning.min(MOST_TOKENS),
            }),
            estimated: record.estimated,
            cost: record.cost.map(|cost| cost.min(MOST_COST)),
            policy: record.policy.clone(),
            order: record.order.clone(),
            stream: record.stream,
            micros: record.micros.total,
            generation: record.generation.0,
            findings: findings(record),
            record: json,
        }
    }
}

/// The findings of both verdicts, the prompt's first.
fn findings(record: &Record) -> Vec<FindingRow> {
    let both = [(Direction::Input, &record.input), (Direction::Output, &record.output)];
    let found = both.into_iter().flat_map(|(direction, verdict)| {
        verdict.iter().flat_map(|verdict| verdict.findings.iter()).map(move |finding| (direction, finding))
    });
    found
        .map(|(direction, finding)| FindingRow {
            direction: direction.name().into(),
            rule: Arc::clone(&finding.rule.0),
            family: finding.family.name().into(),
            severity: finding.severity.name().into(),
            score: finding.score,
            action: finding.action.name().into(),
            span: finding.evidence.span.0,
            start: finding.evidence.start,
            end: finding.evidence.end,
            threats: finding.threats.join(","),
        })
        .collect()
}

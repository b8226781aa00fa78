//! Alerts: events that somebody should know of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{Caller, Decision, Direction, Factors, Family, Recommendation, Severity};

/// One alert. What comes again is counted in it, not beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// `alt_` and a time-ordered UUID (version 7).
    pub id: Arc<str>,
    /// The rule that made it an alert.
    pub rule: Arc<str>,
    /// In a few words.
    pub title: String,
    /// How bad it is, worst of all that is counted in it.
    pub severity: Severity,
    /// The family of threats; `None` for what is about money or comes from outside without one.
    pub family: Option<Family>,
    /// When it happened first: Unix time in microseconds.
    pub first: i64,
    /// When it happened last.
    pub last: i64,
    /// How many events are counted in it, at least 1.
    pub count: u64,
    /// Of these, sent again by a client library by itself.
    #[serde(default)]
    pub retries: u64,
    /// Who caused it.
    pub caller: Caller,
    /// The requests, newest last, at most 16.
    #[serde(default)]
    pub requests: Vec<Arc<str>>,
    /// The model asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// The canonical path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Arc<str>>,
    /// The policy that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Arc<str>>,
    /// What the gateway judged.
    pub verdict: Verdicted,
    /// The evidence, most severe first, at most 16.
    #[serde(default)]
    pub proofs: Vec<Proof>,
    /// The catalogued threats.
    #[serde(default)]
    pub threats: Vec<Threat>,
    /// In words, with figures; carries no prompt text.
    pub message: String,
    /// `gateway`, or the name of the system outside that sent it.
    pub source: Arc<str>,
    /// What it has in common with those that are counted in it.
    pub fold: String,
    /// What an outside system sent, as it came, bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<serde_json::Value>,
    /// What became of it.
    pub state: AlertState,
    /// Who looks into it: the name of an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<Arc<str>>,
    /// How it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// The incident it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Arc<str>>,
    /// The alert it was merged into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<Arc<str>>,
}

/// What the gateway judged, of the riskiest request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdicted {
    /// 0 to 1.
    pub risk: f32,
    /// How likely it is a false alarm, in percent.
    pub false_positive: u8,
    /// Why it may be one.
    pub reasons: Vec<String>,
    /// What to do about it.
    pub recommended: Recommendation,
    /// What the risk is made of.
    pub factors: Factors,
    /// What the gateway did; `None` where it decided nothing.
    pub enforced: Option<Decision>,
}

/// One rule's evidence; carries no text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The detection rule.
    pub rule: Arc<str>,
    /// Its title.
    pub title: Arc<str>,
    /// Its severity.
    pub severity: Severity,
    /// In the prompt or in the answer.
    pub direction: Direction,
    /// Which span or channel.
    pub span: u32,
    /// First byte of the match in it.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
}

/// A catalogued threat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threat {
    /// `LLM01:2026`, `AML.T0051.000`, `T1059`.
    pub id: Arc<str>,
    /// For people; empty where the catalogue does not know it.
    pub title: Arc<str>,
}

/// What becomes of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has looked.
    #[default]
    Open,
    /// Somebody has seen it.
    Acknowledged,
    /// Somebody works on it.
    InProgress,
    /// Done with.
    Closed,
}

impl AlertState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 4] = [Self::Open, Self::Acknowledged, Self::InProgress, Self::Closed];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::InProgress => "in_progress",
            Self::Closed => "closed",
        }
    }
}

/// How an alert or an incident was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// `resolved`, `false_positive`, `duplicate`, `accepted`, `expired`.
    pub reason: Arc<str>,
    /// In words.
    pub note: String,
    /// By whom.
    pub by: Arc<str>,
    /// When: Unix time in microseconds.
    pub at: i64,
}

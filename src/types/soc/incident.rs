//! Incidents: alerts that belong together, with what was found out and done.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Closed;
use crate::types::{Caller, Family, Severity};

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// `inc_` and a time-ordered UUID (version 7).
    pub id: Arc<str>,
    /// The correlation rule that raised it, or `person`.
    pub rule: Arc<str>,
    /// What its alerts have in common: `session:...`, `user:...`, `key:...`, `address:...`, `campaign:...`.
    pub about: String,
    /// In a few words.
    pub title: String,
    /// The worst of its alerts, or what the rule says.
    pub severity: Severity,
    /// The families of threats seen.
    #[serde(default)]
    pub families: Vec<Family>,
    /// The ids of catalogued threats.
    #[serde(default)]
    pub threats: Vec<Arc<str>>,
    /// The caller of the newest alert.
    pub caller: Caller,
    /// The lowest likelihood of its alerts that it is a false alarm, in percent.
    #[serde(default)]
    pub false_positive: u8,
    /// The highest risk of its alerts, 0 to 1.
    #[serde(default)]
    pub risk: f32,
    /// When it was raised: Unix time in microseconds.
    pub opened: i64,
    /// When something was last added.
    pub updated: i64,
    /// How many alerts are part of it.
    pub alerts: u64,
    /// Where it stands.
    pub state: IncidentState,
    /// Who looks into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<Arc<str>>,
    /// How it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// The incident it was merged into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<Arc<str>>,
}

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
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

impl IncidentState {
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

/// One line of an incident's timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When: Unix time in microseconds.
    pub time: i64,
    /// What kind of line.
    pub kind: LogKind,
    /// Who: the name of an account, `gateway` or `analyst`.
    pub actor: Arc<str>,
    /// In words.
    pub text: String,
    /// The id of what it is about: an alert, a plan, a remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Arc<str>>,
}

/// What a line of a timeline tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    /// It was raised.
    Raised,
    /// An alert joined it.
    Alert,
    /// Somebody wrote something.
    Comment,
    /// Its state, severity or assignee changed.
    Changed,
    /// Another incident was merged into it.
    Merged,
    /// A step of the analysis ended.
    Analysis,
    /// A plan was proposed, refused, approved, denied, or it expired.
    Plan,
    /// A remedy was applied, failed, was undone, or it expired.
    Remedy,
}

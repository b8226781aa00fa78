//! The live feed: what changed, in one order for all replicas.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One change, numbered without holes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedEntry {
    /// Its number; whoever comes back asks for what is after the last it saw.
    pub seq: i64,
    /// When: Unix time in microseconds.
    pub time: i64,
    /// What kind of thing changed.
    pub kind: FeedKind,
    /// The id of what changed.
    pub id: Arc<str>,
    /// How it is now: the JSON that the API shows for it. Carries no content.
    pub body: serde_json::Value,
}

/// What a feed entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedKind {
    /// An alert is new, or changed.
    Alert,
    /// An incident is new, or changed.
    Incident,
    /// A plan is new, or changed.
    Plan,
    /// A remedy is new, or changed.
    Remedy,
    /// A tool call waits, or was ruled on.
    ToolHold,
    /// Monitoring was switched off or on.
    Monitoring,
    /// A report of a missed attack or a false alarm is new, or changed.
    Report,
    /// A proposal of learned rules is new, or changed.
    Proposal,
}

impl FeedKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Alert,
        Self::Incident,
        Self::Plan,
        Self::Remedy,
        Self::ToolHold,
        Self::Monitoring,
        Self::Report,
        Self::Proposal,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Incident => "incident",
            Self::Plan => "plan",
            Self::Remedy => "remedy",
            Self::ToolHold => "tool_hold",
            Self::Monitoring => "monitoring",
            Self::Report => "report",
            Self::Proposal => "proposal",
        }
    }
}

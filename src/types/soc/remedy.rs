//! Remedies: steps of plans, carried out once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::RemedyAction;
use crate::types::Subject;

/// One step being carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remedy {
    /// `rem_` and a time-ordered UUID (version 7).
    pub id: Arc<str>,
    /// Hash of plan and step: the same step is never carried out twice.
    pub once: String,
    /// The plan.
    pub plan: Arc<str>,
    /// The incident.
    pub incident: Option<Arc<str>>,
    /// What is done.
    pub action: RemedyAction,
    /// To whom.
    pub target: Option<Subject>,
    /// For how long, in seconds.
    pub lasts: Option<u64>,
    /// Why.
    pub reason: String,
    /// Where it stands.
    pub state: RemedyState,
    /// Tries that failed.
    pub failures: u32,
    /// Why the last one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When it was made: Unix time in microseconds.
    pub made: i64,
    /// Not tried before this.
    pub due: i64,
    /// When it took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<i64>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// What undoing it takes: the id of a standing order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Arc<str>>,
    /// Who undid it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<Arc<str>>,
}

/// Where a remedy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemedyState {
    /// It waits to be tried, or tried again.
    Pending,
    /// It is in force.
    Applied,
    /// It has done what it does and nothing is left in force.
    Done,
    /// It failed too often, or it cannot be done.
    Failed,
    /// Somebody undid it.
    Undone,
    /// It ended by itself.
    Expired,
}

impl RemedyState {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Applied, Self::Done, Self::Failed, Self::Undone, Self::Expired];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applied => "applied",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undone => "undone",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing more happens to it.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Undone | Self::Expired)
    }
}

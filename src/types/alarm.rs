//! What is worth somebody's attention beside verdicts: money and behaviour.

use serde::{Deserialize, Serialize};

use super::{Caller, RequestId};

/// One such thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// When: Unix time in microseconds.
    pub time: i64,
    /// What it is.
    pub kind: AlarmKind,
    /// Who caused it.
    pub caller: Caller,
    /// The request with which it became one.
    pub request: Option<RequestId>,
    /// In words, with the figures.
    pub message: String,
}

/// The kinds of alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// A budget has reached a share of itself.
    BudgetWarning,
    /// Somebody spends far more than before.
    SpendSurge,
    /// A caller sends nearly the same again and again: a program that runs in circles.
    RunawayLoop,
    /// A learned rule hit harmless traffic, and was taken back.
    RuleRolledBack,
}

impl AlarmKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::BudgetWarning, Self::SpendSurge, Self::RunawayLoop, Self::RuleRolledBack];

    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BudgetWarning => "budget_warning",
            Self::SpendSurge => "spend_surge",
            Self::RunawayLoop => "runaway_loop",
            Self::RuleRolledBack => "rule_rolled_back",
        }
    }
}

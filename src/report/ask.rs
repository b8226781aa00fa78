//! What is asked for: which report, about which time, of whom.

use serde::{Deserialize, Serialize};

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Traffic, decisions, top threats, alerts, incidents, remedies.
    Security,
    /// Threats by family and catalogue, their trend, notable incidents.
    Threats,
    /// What the gateway contributes to the controls of a framework.
    Compliance,
    /// What was spent, by whom, against which budgets, and where that leads.
    Spend,
    /// What was missed, what was learned of it, and what was taken back.
    Learning,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Security, Self::Threats, Self::Compliance, Self::Spend, Self::Learning];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Threats => "threats",
            Self::Compliance => "compliance",
            Self::Spend => "spend",
            Self::Learning => "learning",
        }
    }

    /// The one with that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What it is called, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Security => "Security report",
            Self::Threats => "Threat report",
            Self::Compliance => "Compliance evidence",
            Self::Spend => "Spend report",
            Self::Learning => "Learning report",
        }
    }
}

/// A report that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Which.
    pub kind: Kind,
    /// The framework of a compliance report, by its name.
    pub framework: Option<String>,
    /// From when: Unix time in microseconds.
    pub since: i64,
    /// Before when: Unix time in microseconds.
    pub until: i64,
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// When it is made: Unix time in microseconds.
    pub made: i64,
    /// Who wants it: the name of an account, `schedule`, `command line`.
    pub by: String,
}

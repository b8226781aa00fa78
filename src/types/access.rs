//! Who may do what on the control side.

use serde::{Deserialize, Serialize};

/// What an account or an API token may do. Each is a set of its own: an auditor is no weaker administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessRole {
    /// Reads what carries no content: status, policies, limits, alerts.
    Viewer,
    /// Reads and works on alerts, incidents and events.
    Analyst,
    /// That, and gives and lifts standing orders and approves remedies.
    Responder,
    /// That, and manages keys, accounts, configuration.
    Admin,
    /// Reads everything, audit trail and ledger included, and changes nothing.
    Auditor,
}

impl AccessRole {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Analyst, Self::Responder, Self::Admin, Self::Auditor];

    /// The word in the API, in the store and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Responder => "responder",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }
}

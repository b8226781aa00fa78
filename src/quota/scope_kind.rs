//! Whom limits and budgets are about, and what the ledger is asked by for them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::Dimension;

/// Whom a limit or a budget is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// Everyone together.
    #[default]
    All,
    /// A client address; of IPv6 the /64.
    Address,
    /// A user of a tenant.
    User,
    /// A gateway key.
    Key,
    /// A team of a tenant.
    Team,
    /// A tenant.
    Tenant,
    /// A model.
    Model,
    /// An agent or application of a tenant.
    Agent,
}

impl ScopeKind {
    pub(super) const ALL: [Self; 8] =
        [Self::All, Self::Address, Self::User, Self::Key, Self::Team, Self::Tenant, Self::Model, Self::Agent];

    /// The word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Address => "address",
            Self::User => "user",
            Self::Key => "key",
            Self::Team => "team",
            Self::Tenant => "tenant",
            Self::Model => "model",
            Self::Agent => "agent",
        }
    }

    /// What the ledger is asked by for those of this kind; `None` where it does not know.
    pub fn dimensions(self) -> Option<Vec<Dimension>> {
        Some(match self {
            Self::All => Vec::new(),
            Self::Tenant => vec![Dimension::Tenant],
            Self::Team => vec![Dimension::Tenant, Dimension::Team],
            Self::User => vec![Dimension::Tenant, Dimension::User],
            Self::Agent => vec![Dimension::Tenant, Dimension::Agent],
            Self::Key => vec![Dimension::Key],
            Self::Model => vec![Dimension::Model],
            Self::Address => return None,
        })
    }
}

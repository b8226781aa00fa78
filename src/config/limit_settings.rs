//! The shape of `[limits]` and `[prices]`; what one caller may use is `quota::Allowance`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quota::{Allowance, LimitSpec};

/// Rates and concurrency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests in flight, all callers together; 0 is no limit.
    pub max_in_flight: usize,
    /// Addresses, users and other counters remembered at once (each); newcomers beyond share one.
    pub max_tracked: usize,
    /// Tokens of an answer that are set aside where a request does not say how long it may be.
    pub default_max_output: u64,
    /// Per client address; of IPv6 the /64.
    pub per_address: Allowance,
    /// Per user of a tenant.
    pub per_user: Allowance,
    /// Per gateway key.
    pub per_key: Allowance,
    /// Per team of a tenant.
    pub per_team: Allowance,
    /// Per tenant.
    pub per_tenant: Allowance,
    /// Per model, all callers together.
    pub per_model: Allowance,
}

impl Default for Limits {
    fn default() -> Self {
        let none = Allowance::default();
        Self {
            max_in_flight: 0,
            max_tracked: 100_000,
            default_max_output: 4096,
            per_address: none,
            per_user: none,
            per_key: none,
            per_team: none,
            per_tenant: none,
            per_model: none,
        }
    }
}

impl Limits {
    /// What the meter counts. The gate counts requests per minute and in flight of addresses and users before anything
    /// else is known of a request; a fleet counts them together as well.
    pub fn spec(&self, fleet: bool) -> LimitSpec {
        let gated = |allowance: Allowance| {
            if fleet { allowance } else { Allowance { requests_per_minute: 0, concurrent: 0, ..allowance } }
        };
        LimitSpec {
            per_address: gated(self.per_address),
            per_user: gated(self.per_user),
            per_key: self.per_key,
            per_team: self.per_team,
            per_tenant: self.per_tenant,
            per_model: self.per_model,
        }
    }
}

/// What tokens cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PriceFile {
    /// A price table of your own; absent: the one built into the binary (rules/prices.toml).
    pub path: Option<PathBuf>,
    /// What a request for a model without a price gets where a budget in dollars applies.
    pub unpriced: Unpriced,
}

/// What a request for a model without a price gets where a budget in dollars applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unpriced {
    /// It is refused: its cost cannot be held to a budget.
    #[default]
    Refuse,
    /// It costs nothing.
    Free,
}

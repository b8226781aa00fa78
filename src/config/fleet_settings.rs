//! The shape of `[fleet]`: what replicas share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::Time;

/// What replicas share. Not reloaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// The Redis that counts for all replicas, `redis://` or `rediss://`; absent: each counts for itself.
    pub redis: Option<String>,
    /// An environment variable with that URL, where it carries a password.
    pub redis_env: Option<String>,
    /// What keys in it begin with: fleets may share a Redis.
    pub prefix: String,
    /// How often a replica tells what its streams have used, and that it is alive.
    pub heartbeat: Time,
    /// After how long without a heartbeat what a replica holds is free again.
    pub lease: Time,
    /// The longest a request waits for Redis.
    pub timeout: Time,
    /// While Redis is away: `local`, each replica lets through its share of every limit, or `closed`, nothing.
    pub on_failure: FleetFailure,
    /// That share, 0 to 1: one by the number of replicas keeps the whole within the limit.
    pub local_share: f64,
}

/// What requests get while the fleet's counters are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FleetFailure {
    /// Each replica counts for itself.
    Local,
    /// Nothing that is limited is let through.
    Closed,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            redis: None,
            redis_env: None,
            prefix: "portcullis".to_owned(),
            heartbeat: Time::from_secs(1),
            lease: Time::from_secs(10),
            timeout: Time::from_millis(50),
            on_failure: FleetFailure::Local,
            local_share: 0.5,
        }
    }
}

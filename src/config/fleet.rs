//! `[fleet]`: replicas that share limits, budgets and standing orders through a Redis.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::Time;
use crate::quota;

/// How replicas share what they count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// Redis or Valkey, `redis://host:port/database` or `rediss://` (TLS); empty: this process counts alone.
    pub redis_url: String,
    /// The user of Redis' access control list, if it has one.
    pub user: Option<String>,
    /// The environment variable that holds the password.
    pub password_env: Option<String>,
    /// The file that holds the password.
    pub password_file: Option<PathBuf>,
    /// What every key and channel begins with; gateways with the same one are one fleet.
    pub prefix: String,
    /// The longest a request waits for Redis; after that this replica counts for itself until it is back in touch.
    pub timeout: Time,
    /// The longest a connection may take.
    pub connect_timeout: Time,
    /// How often a replica tells what its streams have used and that it is alive.
    pub heartbeat: Time,
    /// After how long without a heartbeat what a replica holds is free again.
    pub lease: Time,
    /// What happens while Redis is away.
    pub on_failure: OnFailure,
    /// With `on_failure = "local"`: the part of each limit, and of what was left of each budget, that one replica may
    /// use meanwhile. One divided by the number of replicas keeps the limits as they are.
    pub local_share: f64,
    /// Notices (standing orders, reloads) that may wait in one replica; more are replaced by reading the store.
    pub notices: usize,
}

/// What requests get while the counters of the fleet are out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// A share of the limits, counted by each replica for itself.
    #[default]
    Local,
    /// 503.
    Closed,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            redis_url: String::new(),
            user: None,
            password_env: None,
            password_file: None,
            prefix: "portcullis".to_owned(),
            timeout: Time::from_millis(50),
            connect_timeout: Time::from_millis(500),
            heartbeat: Time::from_secs(1),
            lease: Time::from_secs(10),
            on_failure: OnFailure::Local,
            local_share: 0.5,
            notices: 1024,
        }
    }
}

impl Fleet {
    /// Whether there is a fleet at all.
    pub fn is_on(&self) -> bool {
        !self.redis_url.is_empty()
    }

    /// Everything that is wrong with it: key and problem.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, key, problem| {
            if !fine {
                problems.push((key, problem));
            }
        };
        let scheme = ["redis://", "rediss://"].iter().any(|scheme| self.redis_url.starts_with(scheme));
        check(!self.is_on() || scheme, "redis_url", "it must begin with redis:// or rediss://");
        let secret = self.redis_url.contains('@');
        check(!secret, "redis_url", "user and password belong into `user` and `password_env` or `password_file`");
        check(
            self.password_env.is_none() || self.password_file.is_none(),
            "password_env",
            "give it or `password_file`",
        );
        check(!self.prefix.is_empty() && !self.prefix.contains(['{', '}']), "prefix", "it needs one, without braces");
        check(!self.timeout.is_zero(), "timeout", "it must be longer than nothing");
        check(!self.connect_timeout.is_zero(), "connect_timeout", "it must be longer than nothing");
        check(self.heartbeat.get() >= Duration::from_millis(50), "heartbeat", "it must be at least 50ms");
        let lasting = self.lease.get() >= self.heartbeat.get().saturating_mul(3);
        check(lasting, "lease", "it must be at least three times `heartbeat`, or a late one ends it");
        check(self.local_share > 0.0 && self.local_share <= 1.0, "local_share", "it must be above 0 and at most 1");
        check(self.notices > 0, "notices", "at least one has to fit");
        problems
    }

    /// As the meter takes them.
    pub fn options(&self) -> quota::FleetOptions {
        quota::FleetOptions {
            heartbeat: self.heartbeat.get(),
            lease: self.lease.get(),
            timeout: self.timeout.get(),
            on_failure: match self.on_failure {
                OnFailure::Local => quota::OnFailure::Local(self.local_share),
                OnFailure::Closed => quota::OnFailure::Closed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_fine_and_off() {
        let fleet = Fleet::default();
        assert!(!fleet.is_on() && fleet.problems().is_empty());
        assert_eq!(fleet.options(), quota::FleetOptions::default());
    }

    #[test]
    fn everything_wrong_is_said() {
        let wrong: Fleet = toml::from_str(
            "redis_url = 'http://u:p@h'\nprefix = '{x}'\ntimeout = '0'\nconnect_timeout = '0'\nheartbeat = '1ms'\nlease = '2ms'\nlocal_share = 0.0\nnotices = 0\npassword_env = 'A'\npassword_file = 'b'",
        )
        .unwrap();
        assert_eq!(wrong.problems().len(), 10, "{:?}", wrong.problems());
    }
}

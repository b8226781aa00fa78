//! What replicas share: the meter, alone or over the fleet's Redis.

use super::Error;
use crate::config::settings::{Fleet, FleetFailure, Settings};
use crate::quota::{Clock, FleetOptions, Meter, MeterOptions, OnFailure};
use crate::store::redis::{Counters, RedisOptions};
use crate::types::Secret;

/// The meter that `[limits]` and `[fleet]` ask for. Where there is a fleet it starts a task, so it needs a runtime.
pub(super) fn meter(settings: &Settings) -> Result<Meter, Error> {
    let options = MeterOptions { max_entries: settings.limits.max_tracked.saturating_mul(5) };
    let Some(redis) = redis(&settings.fleet)? else { return Ok(Meter::local(&options, Clock::system())) };
    let fleet = FleetOptions {
        heartbeat: settings.fleet.heartbeat.get(),
        lease: settings.fleet.lease.get(),
        timeout: settings.fleet.timeout.get(),
        on_failure: match settings.fleet.on_failure {
            FleetFailure::Local => OnFailure::Local(settings.fleet.local_share),
            FleetFailure::Closed => OnFailure::Closed,
        },
    };
    let counters = Counters::new(redis).map_err(|error| Error::Fleet(error.to_string()))?;
    Ok(Meter::fleet(&options, fleet, counters, Clock::system()))
}

/// Where Redis is; `None` where there is no fleet.
pub(super) fn redis(fleet: &Fleet) -> Result<Option<RedisOptions>, Error> {
    let named = fleet.redis_env.as_ref().map(|name| {
        std::env::var(name).map_err(|_| Error::Fleet(format!("the environment variable {name} is not set")))
    });
    let Some(url) = named.transpose()?.or_else(|| fleet.redis.clone()) else { return Ok(None) };
    let timeout = fleet.timeout.get();
    Ok(Some(RedisOptions {
        url: Secret::new(url),
        user: None,
        password: None,
        prefix: fleet.prefix.clone(),
        connect_timeout: timeout.saturating_mul(20),
        answer_timeout: timeout,
    }))
}

//! What replicas share: the meter over the fleet's Redis, and the word that keys or orders changed.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Error;
use crate::config::settings::{Fleet, Settings};
use crate::control::Follower;
use crate::quota::{Clock, Meter, MeterOptions};
use crate::store::redis::{Counters, Notices, RedisOptions};
use crate::types::Secret;

/// What replicas tell each other: look into the store.
const CHANGED: &str = "changed";

/// The meter that `[limits]` and `[fleet]` ask for. Where there is a fleet it starts a task, so it needs a runtime.
pub(super) fn meter(settings: &Settings) -> Result<Meter, Error> {
    let options = MeterOptions { max_entries: settings.limits.max_tracked.saturating_mul(5) };
    let Some(redis) = redis(&settings.fleet)? else { return Ok(Meter::local(&options, Clock::system())) };
    let counters = Counters::new(redis).map_err(|error| Error::Fleet(error.to_string()))?;
    Ok(Meter::fleet(&options, settings.fleet.options(), counters, Clock::system()))
}

/// Tells the other replicas that keys or orders changed.
#[derive(Clone)]
pub(super) struct Word(Option<Arc<Notices>>);

impl Word {
    /// Nobody to tell without a fleet.
    pub(super) fn new(fleet: &Fleet) -> Result<Self, Error> {
        let notices = redis(fleet)?.map(Notices::new).transpose();
        Ok(Self(notices.map_err(|error| Error::Fleet(error.to_string()))?.map(Arc::new)))
    }

    /// Tells them. They look for themselves soon where this fails.
    pub(super) async fn spread(&self) {
        let Some(notices) = &self.0 else { return };
        if let Err(error) = notices.publish(CHANGED, b"").await {
            tracing::debug!(%error, "other replicas were not told of a change; they will find it");
        }
    }

    /// Looks into the store whenever another replica says so.
    pub(super) async fn listen(self, follower: Follower, room: usize, stop: CancellationToken) {
        let Some(notices) = &self.0 else { return };
        let mut inbox = notices.subscribe(&[CHANGED], room);
        while let Some(Some(_)) = stop.run_until_cancelled(inbox.recv()).await {
            // The poll finds what this misses.
            drop(follower.look().await);
        }
    }
}

/// Where Redis is; `None` where there is no fleet.
fn redis(fleet: &Fleet) -> Result<Option<RedisOptions>, Error> {
    if !fleet.is_on() {
        return Ok(None);
    }
    let unreadable = |what: String| Error::Fleet(what);
    let password = match (&fleet.password_env, &fleet.password_file) {
        (Some(name), _) => {
            Some(std::env::var(name).map_err(|_| unreadable(format!("the environment variable {name} is not set")))?)
        }
        (None, Some(path)) => {
            Some(std::fs::read_to_string(path).map_err(|error| unreadable(format!("{}: {error}", path.display())))?)
        }
        (None, None) => None,
    };
    let connect_timeout: Duration = fleet.connect_timeout.get();
    Ok(Some(RedisOptions {
        url: Secret::new(fleet.redis_url.as_str()),
        user: fleet.user.clone(),
        password: password.map(|password| Secret::new(password.trim())),
        prefix: fleet.prefix.clone(),
        connect_timeout,
        answer_timeout: connect_timeout,
    }))
}

//! Builds learning: its desk, the task that works on proposals, the one that looks after what was learned, and the one that brings
//! learned rules into the Snapshot.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Error;
use super::backing::Backing;
use crate::config::Handle;
use crate::config::settings::{Learn as Settings, Settings as All};
use crate::control::learn::counter::Counter;
use crate::control::learn::desk::DeskOptions;
use crate::control::learn::guard::GuardOptions;
use crate::control::learn::learner::{LearnerOptions, LearnerParts};
use crate::control::learn::{Counts, Guard, Harmless, LearnDesk, LearnedFollower, Learner};
use crate::control::soc::feed::Feed;
use crate::control::soc::hub::{Hub, HubLimits};
use crate::control::surge::Raise;
use crate::learn::Gates;
use crate::store::learn::ReportBounds;
use crate::telemetry::Metrics;

/// How often the store is looked at for proposals to work on.
const EVERY: Duration = Duration::from_millis(250);

/// Entries of a feed that nobody watches.
const UNWATCHED: usize = 16;

/// The parts that run, and what the admin API uses.
pub(super) struct Learning {
    learner: Option<Learner>,
    guard: Option<Guard>,
    follower: Option<LearnedFollower>,
    desk: LearnDesk,
    poll: Duration,
}

/// What it is built from.
pub(super) struct From<'a> {
    pub(super) settings: &'a All,
    pub(super) handle: &'a Arc<Handle>,
    pub(super) backing: &'a Backing,
    pub(super) metrics: &'a Metrics,
    /// The feed of the SOC, where there is one.
    pub(super) feed: Option<Feed>,
    pub(super) raise: Raise,
}

/// Builds it, with learned rules in force as the store has them; `None` where it is switched off.
///
/// # Errors
/// A language model whose secret is not set, or whose address is none.
pub(super) async fn build(from: From<'_>) -> Result<Option<(Counter, Learning)>, Error> {
    let settings = &from.settings.learn;
    if !settings.enabled {
        return Ok(None);
    }
    let (backing, metrics) = (from.backing, from.metrics);
    let database = backing.database.clone();
    let limits = HubLimits { entries: UNWATCHED, subscribers: 1 };
    let feed = from.feed.unwrap_or_else(|| Feed::new(database.clone(), Hub::new(limits, metrics.clone())));
    let harmless = Harmless::new(database.clone(), &settings.harmless);
    let mut follower = LearnedFollower::new(database, Arc::clone(from.handle));
    if let Err(error) = follower.look().await {
        tracing::warn!(%error, "learned rules cannot be read yet");
    }
    let parts = LearnerParts {
        feed: feed.clone(),
        trail: backing.trail.clone(),
        config: Arc::clone(from.handle),
        vault: Arc::clone(&backing.vault),
        harmless,
        model: if settings.model { super::soc::model(&from.settings.soc, false)? } else { None },
        metrics: metrics.clone(),
    };
    let counts = Counts::default();
    let guard = Guard::new(
        feed.clone(),
        backing.trail.clone(),
        counts.clone(),
        from.raise,
        metrics.clone(),
        looking_after(settings),
    );
    let desk = DeskOptions {
        bounds: ReportBounds { per_hour: settings.reports_per_hour, waiting: settings.waiting },
        max_text: settings.max_text.len(),
        max_harmless: settings.max_harmless,
        canary: settings.stages.canary,
    };
    let learning = Learning {
        learner: Some(Learner::new(parts, working(settings))),
        guard: Some(guard),
        follower: Some(follower),
        desk: LearnDesk::new(feed, Arc::clone(from.handle), metrics.clone(), desk),
        poll: from.settings.store.poll.get(),
    };
    let config = Arc::clone(from.handle);
    let flag_at = Box::new(move || {
        let inspect = &config.load().settings.inspect;
        inspect.thresholds(inspect.security).flag_at as f32
    });
    Ok(Some((Counter::new(counts, metrics.clone(), flag_at), learning)))
}

fn working(settings: &Settings) -> LearnerOptions {
    let gates = &settings.gates;
    LearnerOptions {
        every: EVERY,
        share: settings.share,
        lease: settings.lease.get(),
        tries: settings.tries,
        retry: settings.retry_delay.get(),
        gates: Gates {
            min_held_back: f64::from(gates.held_back),
            max_benign_hits: usize::try_from(gates.harmless_hits).unwrap_or(usize::MAX),
            max_traffic_rate: f64::from(gates.traffic_rate),
            max_bytes: gates.max_bytes.get(),
            ..Gates::default()
        },
        max_micros: gates.max_micros,
        traffic: (gates.traffic, gates.traffic_since.get()),
    }
}

fn looking_after(settings: &Settings) -> GuardOptions {
    let (stages, rollback) = (&settings.stages, &settings.rollback);
    GuardOptions {
        every: rollback.every.get(),
        within: rollback.within.get(),
        rate: rollback.rate,
        hits: rollback.hits,
        callers: rollback.callers,
        false_alarms: rollback.false_alarms,
        automatic: stages.automatic,
        shadow_for: stages.shadow_for.get(),
        shadow_requests: stages.shadow_requests,
        shadow_rate: stages.shadow_rate,
        canary: stages.canary,
        canary_for: stages.canary_for.get(),
        canary_requests: stages.canary_requests,
    }
}

impl Learning {
    /// What the admin API uses.
    pub(super) fn desk(&self) -> LearnDesk {
        self.desk.clone()
    }

    /// Starts its tasks. They end at `stop`.
    pub(super) fn run(&mut self, stop: &CancellationToken) {
        if let Some(learner) = self.learner.take() {
            tokio::spawn(learner.run(stop.clone()));
        }
        if let Some(guard) = self.guard.take() {
            tokio::spawn(guard.run(stop.clone()));
        }
        if let Some(follower) = self.follower.take() {
            tokio::spawn(follower.run(self.poll, stop.clone()));
        }
    }
}

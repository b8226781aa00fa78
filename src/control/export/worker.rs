//! One sink at work: leased by one replica, in order, again and again until its receiver has taken or refused everything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use super::deliver::{Delivery, Halt};
use super::item::Source;
use super::source::{place, read, wants};
use super::{Parts, Target};
use crate::config::export_settings::Overflow;
use crate::control::soc::breaker::{Breaker, Limits};
use crate::store::export::{Cursors, Done};
use crate::store::{StoreError, now};
use crate::telemetry::{ExportFailure, ExportGauges, ExportResult};

/// The longest time a breaker stays open.
const PAUSE: Duration = Duration::from_secs(30);

/// Failures in a row that open it.
const FAILURES: u32 = 5;

/// What a look came to.
enum Round {
    /// There is nothing left to do.
    Idle,
    /// There may be more at once.
    More,
    /// Nothing gets through; again after so long.
    Wait(Duration),
    /// Another replica works on it.
    Lost,
}

/// The task of one sink.
pub(super) struct Worker {
    parts: Arc<Parts>,
    target: Arc<Target>,
    id: String,
    breaker: Breaker,
    backoff: Option<ExponentialBackoff>,
    /// Where it is, and until when it is ours.
    held: Option<(Cursors, i64)>,
    /// Whether the store may say that nothing gets through.
    failing: bool,
}

impl Worker {
    pub(super) fn new(parts: Arc<Parts>, target: Arc<Target>) -> Self {
        let pause = PAUSE.min(target.settings.retry_longest.get());
        let breaker = Breaker::new(Limits { failures: FAILURES, pause });
        let id = format!("export-{}", uuid::Uuid::now_v7().simple());
        Self { parts, target, id, breaker, backoff: None, held: None, failing: true }
    }

    /// Works until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let rest = match self.round(&stop).await {
                Ok(Round::More) => continue,
                Ok(Round::Idle) => self.parts.every,
                Ok(Round::Wait(wait)) => wait,
                Ok(Round::Lost) => {
                    self.held = None;
                    self.parts.metrics.export().stands(&self.target.name, None);
                    self.parts.every
                }
                Err(error) => {
                    tracing::debug!(sink = %self.target.name, %error, "exports wait for the store");
                    self.parts.metrics.export().failed(&self.target.name, ExportFailure::Store);
                    self.held = None;
                    self.parts.every
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.rest(rest) => {}
            }
        }
        // So that another replica need not wait for the lease to end.
        if self.held.is_some()
            && let Err(error) = self.parts.database.export_release(&self.target.name, &self.id).await
        {
            tracing::debug!(%error, "a sink of exports was not given back");
        }
    }

    /// Rests, and keeps the lease meanwhile.
    async fn rest(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(self.lease() / 3)).await;
            if self.held.is_some() && !matches!(self.hold().await, Ok(Some(_))) {
                // Told by the next round.
                self.held = None;
                return;
            }
        }
    }

    /// A lease outlives every try.
    fn lease(&self) -> Duration {
        self.parts.lease.max(self.target.settings.timeout.get().saturating_mul(5))
    }

    /// Where the sink is, if it is ours: taken, or renewed when half of the lease is over.
    async fn hold(&mut self) -> Result<Option<Cursors>, StoreError> {
        let (time, lease) = (now(), i64::try_from(self.lease().as_micros()).unwrap_or(i64::MAX));
        if let Some((cursors, until)) = self.held
            && until.saturating_sub(time) > lease / 2
        {
            return Ok(Some(cursors));
        }
        let until = time.saturating_add(lease);
        let name = &self.target.name;
        let cursors = self.parts.database.export_lease(name, &self.id, (time, until)).await?;
        // Whoever had it before may have written that nothing gets through.
        self.failing |= self.held.is_none();
        self.held = cursors.map(|cursors| (cursors, until));
        Ok(cursors)
    }

    async fn round(&mut self, stop: &CancellationToken) -> Result<Round, StoreError> {
        let (parts, target, id) = (Arc::clone(&self.parts), Arc::clone(&self.target), self.id.clone());
        if self.held.is_none() {
            parts.register(&target).await?;
        }
        if self.hold().await?.is_none() {
            return Ok(Round::Lost);
        }
        let (store, heads) = (parts.store().await?, parts.database.export_heads().await?);
        if !self.bound(heads).await? {
            return Ok(Round::Lost);
        }
        let Some((cursors, until)) = self.held else { return Ok(Round::Lost) };
        if !self.breaker.lets_through(Instant::now()) {
            return Ok(Round::Wait(self.breaker.closed_for(Instant::now()).max(parts.every)));
        }
        let mut delivery = Delivery::new(&parts, &target, &id, cursors);
        let mut halt = delivery.again().await?;
        let (mut more, mut oldest) = (false, None);
        if halt.is_none() {
            let page = read(&parts.database, &store, &target.settings, cursors, heads).await?;
            more = page.more;
            oldest = page.entries.iter().find(|entry| entry.item.is_some()).map(|entry| entry.time);
            halt = delivery.page(page, until, stop).await?;
        }
        let Some(cursors) = self.write(&mut delivery, heads, cursors).await? else { return Ok(Round::Lost) };
        self.show(cursors, heads, oldest.filter(|_| halt.is_some())).await?;
        let worked = delivery.worked();
        self.after(halt, more, worked).await
    }

    /// Gives up the oldest entries beyond what may wait; whether the sink still is ours.
    async fn bound(&mut self, heads: Cursors) -> Result<bool, StoreError> {
        let settings = &self.target.settings;
        let Some((cursors, _)) = &mut self.held else { return Ok(false) };
        if settings.on_overflow == Overflow::Keep {
            return Ok(true);
        }
        let most = i64::try_from(settings.max_backlog).unwrap_or(i64::MAX);
        let mut dropped = 0_u64;
        for (source, head) in all(heads) {
            let Some(at) = place(cursors, source).filter(|_| wants(settings, source)) else { continue };
            let from = head.saturating_sub(most);
            if *at < from {
                dropped = dropped.saturating_add(u64::try_from(from.saturating_sub(*at)).unwrap_or(0));
                *at = from;
            }
        }
        if dropped == 0 {
            return Ok(true);
        }
        let (cursors, done) = (*cursors, Done { delivered: 0, dropped });
        let name = &self.target.name;
        let ours = self.parts.database.export_advance(name, &self.id, cursors, done, now()).await?;
        if ours {
            tracing::error!(sink = %name, entries = dropped, "too much waits to be exported: the oldest is given up");
            self.parts.metrics.export().items(name, ExportResult::Dropped, dropped);
        }
        Ok(ours)
    }

    /// Writes how far it is; `None` when it is not ours any more. Sources that it wants nothing of are followed, so that it
    /// begins with what is new when it does.
    async fn write(
        &mut self,
        delivery: &mut Delivery<'_>,
        heads: Cursors,
        before: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        let mut cursors = delivery.cursors();
        if cursors != before || delivery.unwritten() != Done::default() {
            for (source, head) in all(heads) {
                let skip = !wants(&self.target.settings, source);
                if let Some(at) = place(&mut cursors, source).filter(|_| skip) {
                    *at = head.max(*at);
                }
            }
            delivery.set(cursors);
            if !delivery.write().await? {
                return Ok(None);
            }
        }
        if let Some((held, _)) = &mut self.held {
            *held = cursors;
        }
        Ok(Some(cursors))
    }

    /// Shows how it stands.
    async fn show(&self, cursors: Cursors, heads: Cursors, oldest: Option<i64>) -> Result<(), StoreError> {
        let settings = &self.target.settings;
        let dead = self.parts.database.export_dead_counts().await?.get(&*self.target.name).copied().unwrap_or(0);
        let gauges = ExportGauges {
            backlog: super::backlog(settings, cursors, heads),
            oldest: oldest.map_or(0.0, |time| now().saturating_sub(time).max(0) as f64 / 1e6),
            dead,
            breaker: self.breaker.state(),
        };
        self.parts.metrics.export().stands(&self.target.name, Some(gauges));
        Ok(())
    }

    /// What is next.
    async fn after(&mut self, halt: Option<Halt>, more: bool, worked: bool) -> Result<Round, StoreError> {
        let trouble = match halt {
            None => {
                // Also when there was nothing to send: then there is nothing to hold back either.
                self.backoff = None;
                self.breaker.succeeded();
                if self.failing && !self.parts.database.export_settled(&self.target.name, &self.id).await? {
                    return Ok(Round::Lost);
                }
                self.failing = false;
                return Ok(if more { Round::More } else { Round::Idle });
            }
            Some(Halt::Lost) => return Ok(Round::Lost),
            // Told again by the next round, with a fresh lease.
            Some(Halt::Renew) => return Ok(Round::More),
            Some(Halt::Trouble(trouble)) => trouble,
        };
        let name = &self.target.name;
        if worked {
            self.backoff = None;
            self.breaker.succeeded();
        }
        self.parts.metrics.export().failed(name, trouble.why);
        if self.breaker.failed(Instant::now()) {
            tracing::warn!(sink = %name, error = %trouble, "a sink of exports is left alone for a while: nothing is lost");
        }
        self.failing = true;
        if !self.parts.database.export_problem(name, &self.id, &trouble.what, now()).await? {
            return Ok(Round::Lost);
        }
        let settings = &self.target.settings;
        let longest = settings.retry_longest.get();
        let fresh = || {
            let builder = ExponentialBuilder::default().with_min_delay(settings.retry_delay.get());
            builder.with_max_delay(longest).with_factor(2.0).with_jitter().without_max_times().build()
        };
        let next = self.backoff.get_or_insert_with(fresh).next().unwrap_or(longest).min(longest);
        Ok(Round::Wait(next.max(trouble.after.unwrap_or_default()).max(self.breaker.closed_for(Instant::now()))))
    }
}

/// Every source with where it ends.
const fn all(heads: Cursors) -> [(Source, i64); 3] {
    [(Source::Feed, heads.feed), (Source::Audit, heads.audit), (Source::Records, heads.records)]
}

//! The meter: everything a request is charged to, reserved at once or not at all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bucket::{Bucket, Charge, Denied, Exceeded, Headroom, Kind};
use super::cell::{Cell, Short};
use super::clock::{Clock, Now};
use super::fleet::{Fleet, FleetOptions, FleetState};
use super::reservation::{Part, Reservation};
use super::table::{Table, cells};
use crate::store::redis::Counters;

/// What bounds the meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterOptions {
    /// Buckets remembered at once; newcomers beyond share one bucket per rule. About 250 bytes each.
    pub max_entries: usize,
}

impl Default for MeterOptions {
    fn default() -> Self {
        Self { max_entries: 500_000 }
    }
}

/// Limits and budgets, in this process or shared by a fleet. Cheap to clone.
///
/// What a request may use is held when it is admitted, counted as used while it is relayed, and what is left is given
/// back when it ends. At every moment `used + held <= limit` in every bucket, so nothing is overspent under any
/// concurrency as long as nobody uses more than it holds (`Reservation::extend` first, then relay). Beyond that:
/// - a request that did use more overdraws by just that: the sum of `actual - reserved` over requests in flight;
/// - a rate is a burst of the limit and leaks while time passes: `limit * (1 + t / window)` in a time `t`;
/// - a replica that is killed is charged what it told last. What it relayed since, at most one heartbeat's worth and
///   never more than it held, is lost to the count;
/// - while the fleet's Redis is away, each replica admits `local_share` of what was left: together `replicas *
///   local_share` limits, or one request at a time per replica where one needs more than the share of a rate;
/// - a Redis that lost its data learns budgets again from what the replicas saw last; a rate can be used once more.
#[derive(Clone)]
pub struct Meter(pub(super) Arc<Shared>);

/// What a meter and its reservations share.
pub(super) struct Shared {
    pub(super) table: Table,
    pub(super) clock: Clock,
    pub(super) fleet: Option<Fleet>,
}

impl Meter {
    /// Counts in this process.
    pub fn local(options: &MeterOptions, clock: Clock) -> Self {
        Self(Arc::new(Shared { table: Table::new(options.max_entries), clock, fleet: None }))
    }

    /// Counts in a fleet's Redis. Until the first contact, and whenever it cannot be reached, `FleetOptions::on_failure`
    /// decides. Starts a task, so it needs a Tokio runtime; the task ends with the last clone and reservation.
    pub fn fleet(options: &MeterOptions, fleet: FleetOptions, counters: Counters, clock: Clock) -> Self {
        let table = Table::new(options.max_entries);
        let shared = Arc::new(Shared { table, clock, fleet: Some(Fleet::new(fleet, counters)) });
        super::keeper::start(&shared);
        Self(shared)
    }

    /// Takes every charge, or none. Local answers come at once; in a fleet this is one round trip, of at most
    /// `FleetOptions::timeout`.
    ///
    /// # Errors
    /// The charge that does not fit; of several the one with the longest wait.
    pub async fn reserve(&self, charges: &[Charge]) -> Result<Reservation, Denied> {
        match &self.0.fleet {
            None => self.reserve_here(charges, None),
            Some(fleet) => fleet.reserve(self, charges).await,
        }
    }

    /// What is left of a bucket, as far as this process knows.
    pub fn headroom(&self, bucket: &Bucket) -> Headroom {
        let now = self.0.now();
        let share = self.0.share();
        let cell =
            self.0.table.find(bucket.id()).unwrap_or_else(|| Arc::new(Cell::new(bucket.id(), &bucket.rule, now)));
        let mut state = cell.lock();
        state.adopt(&bucket.rule);
        state.roll(now, share);
        state.headroom(now, share)
    }

    /// What the ledger says was spent of a budget in its current period. Never lowers what is known already.
    pub fn preload(&self, bucket: &Bucket, spent: u64) {
        let now = self.0.now();
        let cell = self.0.table.cell(bucket, now);
        {
            let mut state = cell.lock();
            state.adopt(&bucket.rule);
            state.roll(now, self.0.share());
            state.spent_at_least(spent);
        }
        self.0.tell(&cell, Urgency::Soon);
    }

    /// The share of its limit that each budget has used in the period that runs, as far as this process knows: of those
    /// who have one each, the most.
    pub fn budgets(&self) -> BTreeMap<Arc<str>, f64> {
        let (now, share) = (self.0.now(), self.0.share());
        let mut used = BTreeMap::new();
        for cell in self.0.table.shards().iter().flat_map(cells) {
            let mut state = cell.lock();
            let rule = Arc::clone(&state.rule);
            let Kind::Budget { limit, .. } = &rule.kind else { continue };
            state.roll(now, share);
            let (_, spent) = state.spent();
            let highest: &mut f64 = used.entry(Arc::clone(&rule.name)).or_default();
            *highest = highest.max(spent as f64 / (*limit).max(1) as f64);
        }
        used
    }

    /// Forgets buckets that are as good as new. To be called now and then.
    pub fn forget_idle(&self) {
        self.0.table.forget_idle(self.0.now());
    }

    /// Buckets remembered.
    pub fn tracked(&self) -> usize {
        self.0.table.len()
    }

    /// Whether the fleet counts, or this process alone.
    pub fn state(&self) -> FleetState {
        self.0.fleet.as_ref().map_or(FleetState::Alone, Fleet::state)
    }

    /// Waits until the fleet counts, but no longer than `patience`; alone there is nothing to wait for.
    pub async fn ready(&self, patience: Duration) -> FleetState {
        if let Some(fleet) = &self.0.fleet {
            // Out of time is an answer too: the state says it.
            drop(tokio::time::timeout(patience, fleet.together()).await);
        }
        self.state()
    }

    /// How often the fleet's counters went out of reach so far.
    pub fn failures(&self) -> u64 {
        self.0.fleet.as_ref().map_or(0, Fleet::failures)
    }

    /// Tells the fleet the last and leaves it, within about `patience`. To be called when nothing is in flight any more.
    pub async fn close(&self, patience: Duration) {
        let Some(fleet) = &self.0.fleet else { return };
        fleet.closing.store(true, Ordering::Release);
        fleet.wake.notify_one();
        if tokio::time::timeout(patience, fleet.closed.notified()).await.is_err() {
            tracing::warn!("the fleet was left without a goodbye: what this replica holds is void when its lease ends");
        }
    }

    /// Everything in this process, at the whole limit or at a share of it.
    pub(super) fn reserve_here(&self, charges: &[Charge], share: Option<f64>) -> Result<Reservation, Denied> {
        let now = self.0.now();
        let mut taken =
            Taken { shared: &self.0, parts: Vec::with_capacity(charges.len()), requests: None, tokens: None };
        let mut worst: Option<Exceeded> = None;
        for (index, charge) in charges.iter().enumerate() {
            let cell = self.0.table.cell(&charge.bucket, now);
            let short = {
                let mut state = cell.lock();
                state.adopt(&charge.bucket.rule);
                state.roll(now, share);
                let fits = state.check(charge.amount, now, share);
                if fits.is_ok() && worst.is_none() {
                    state.take(charge.amount);
                    taken.note(charge, state.headroom(now, share));
                }
                fits.err()
            };
            match short {
                Some(short) => worst = Some(longer_wait(worst, &charge.bucket, index, short)),
                None if worst.is_none() => taken.parts.push(Part::new(cell, &charge.bucket.rule, charge.amount)),
                None => {}
            }
        }
        match worst {
            None => Ok(taken.into_reservation()),
            Some(exceeded) => {
                taken.give_back();
                Err(Denied::Exceeded(Box::new(exceeded)))
            }
        }
    }
}

/// Of two refusals the one with the longer wait; one that never fits is the longest.
pub(super) fn longer_wait(worst: Option<Exceeded>, bucket: &Bucket, index: usize, short: Short) -> Exceeded {
    let Short { limit, remaining, wait } = short;
    match worst {
        Some(worst) if worst.retry_after.is_none() || wait.is_some_and(|wait| Some(wait) <= worst.retry_after) => worst,
        Some(_) | None => Exceeded { bucket: bucket.clone(), index, limit, remaining, retry_after: wait },
    }
}

/// What has been taken so far.
struct Taken<'a> {
    shared: &'a Arc<Shared>,
    parts: Vec<Part>,
    requests: Option<Headroom>,
    tokens: Option<Headroom>,
}

impl Taken<'_> {
    fn note(&mut self, charge: &Charge, headroom: Headroom) {
        super::reservation::note(&mut self.requests, &mut self.tokens, charge.bucket.rule.unit, headroom);
    }

    fn give_back(self) {
        for part in &self.parts {
            part.cell.lock().untake(part.reserved);
        }
    }

    fn into_reservation(self) -> Reservation {
        for part in &self.parts {
            self.shared.tell(&part.cell, Urgency::Soon);
        }
        Reservation::new(Arc::clone(self.shared), self.parts, self.requests, self.tokens)
    }
}

/// How fast the fleet has to hear of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// With the next heartbeat.
    Soon,
    /// At once: something is free again.
    Now,
}

impl Shared {
    /// The time; in a fleet the wall is that of Redis.
    pub(super) fn now(&self) -> Now {
        let now = self.clock.now();
        self.fleet.as_ref().map_or(now, |fleet| fleet.fleet_time(now))
    }

    /// The part of each limit that holds here: all of it, unless a fleet is out of reach.
    pub(super) fn share(&self) -> Option<f64> {
        self.fleet.as_ref().and_then(Fleet::share)
    }

    /// Puts a cell on the list of what the fleet has to be told.
    pub(super) fn tell(&self, cell: &Arc<Cell>, urgency: Urgency) {
        if let Some(fleet) = &self.fleet {
            fleet.tell(cell, urgency);
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("tracked", &self.tracked()).field("state", &self.state()).finish()
    }
}

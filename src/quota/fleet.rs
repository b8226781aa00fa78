//! One meter for a fleet: every reservation asks Redis, what becomes of it is told in the background, and this
//! replica's own part is counted here as well, for the time when Redis is away.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::bucket::{Charge, Denied, Exceeded, Headroom, Kind, Unit};
use super::cell::{Cell, Short, leak_time, signed};
use super::clock::Now;
use super::meter::{Meter, Urgency, longer_wait};
use super::reservation::{Part, Reservation, note};
use crate::store::redis::{Answer, Ask, Counters, CountersError, Form, Level, Member};

/// How a replica shares limits with the others.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetOptions {
    /// How often it tells what streams have used and that it is alive.
    pub heartbeat: Duration,
    /// After how long without a heartbeat its reservations are void.
    pub lease: Duration,
    /// The longest a request waits for Redis; after that the replica counts for itself until it is back in touch.
    pub timeout: Duration,
    /// What happens then.
    pub on_failure: OnFailure,
}

/// What requests get while the counters of the fleet are out of reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OnFailure {
    /// This part of each limit (0 to 1), and of what was left of each budget, counted here.
    Local(f64),
    /// Nothing.
    Closed,
}

/// Who counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FleetState {
    /// This process, which is no part of a fleet.
    Alone,
    /// The fleet.
    Together,
    /// This process, because the fleet's Redis is out of reach.
    Apart,
}

impl FleetState {
    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Together => "together",
            Self::Apart => "apart",
        }
    }
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            lease: Duration::from_secs(10),
            timeout: Duration::from_millis(50),
            on_failure: OnFailure::Local(0.5),
        }
    }
}

/// This replica's place in the fleet.
pub(super) struct Fleet {
    pub(super) options: FleetOptions,
    pub(super) counters: Counters,
    /// Under which identity we are known; `None` while out of touch.
    member: ArcSwapOption<Joined>,
    /// Counts our identities. What the fleet knows of our reservations is known under one of them.
    pub(super) epoch: AtomicU64,
    /// Redis' wall clock minus our monotonic one, in seconds, plus one so that 0 is "not known".
    offset: AtomicI64,
    queue: Mutex<Vec<Arc<Cell>>>,
    pub(super) wake: Arc<Notify>,
    /// Times we fell out of touch.
    failures: AtomicU64,
    pub(super) closing: AtomicBool,
    pub(super) closed: Notify,
    arrived: Notify,
}

/// An identity and its connection.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) member: Member,
    pub(super) epoch: u64,
}

impl Fleet {
    pub(super) fn new(options: FleetOptions, counters: Counters) -> Self {
        Self {
            options,
            counters,
            member: ArcSwapOption::empty(),
            epoch: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            closed: Notify::new(),
            arrived: Notify::new(),
            offset: AtomicI64::new(0),
            queue: Mutex::default(),
            wake: Arc::new(Notify::new()),
            failures: AtomicU64::new(0),
        }
    }

    pub(super) fn state(&self) -> FleetState {
        if self.member.load().is_none() { FleetState::Apart } else { FleetState::Together }
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn share(&self) -> Option<f64> {
        match (self.state(), self.options.on_failure) {
            (FleetState::Apart, OnFailure::Local(share)) => Some(share),
            // Nothing is admitted then; what is under way is counted as always.
            (FleetState::Apart, OnFailure::Closed) | (FleetState::Alone | FleetState::Together, _) => None,
        }
    }

    /// The wall of a fleet is Redis' clock, carried on by our monotonic one: replicas agree on periods.
    pub(super) fn fleet_time(&self, now: Now) -> Now {
        match self.offset.load(Ordering::Relaxed) {
            0 => now,
            offset => Now { wall: mono_secs(now).saturating_add(offset - 1), ..now },
        }
    }

    /// Takes note of Redis' clock, microseconds.
    pub(super) fn heard(&self, micros: u64, now: Now) {
        let wall = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
        self.offset.store(wall.saturating_sub(mono_secs(now)).saturating_add(1), Ordering::Relaxed);
    }

    /// In touch again.
    pub(super) fn join(&self, joined: Arc<Joined>) {
        self.member.store(Some(joined));
        self.arrived.notify_waiters();
    }

    /// Until in touch.
    pub(super) async fn together(&self) {
        loop {
            let arrived = self.arrived.notified();
            if self.state() == FleetState::Together {
                return;
            }
            arrived.await;
        }
    }

    /// Out of touch: everything is counted here until the keeper has joined again.
    pub(super) fn part(&self, epoch: u64, why: &CountersError) {
        let before = self.member.rcu(|joined| joined.clone().filter(|joined| joined.epoch != epoch));
        if before.is_some_and(|joined| joined.epoch == epoch) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(error = %why, "the fleet's counters are out of reach: counting here");
            self.wake.notify_one();
        }
    }

    pub(super) fn joined(&self) -> Option<Arc<Joined>> {
        self.member.load_full()
    }

    pub(super) fn tell(&self, cell: &Arc<Cell>, urgency: Urgency) {
        let first = !std::mem::replace(&mut cell.lock().news.queued, true);
        if first {
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(cell));
        }
        if urgency == Urgency::Now {
            self.wake.notify_one();
        }
    }

    /// Up to `most` cells of which something has to be told.
    pub(super) fn take_queue(&self, most: usize) -> Vec<Arc<Cell>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = queue.len().saturating_sub(most);
        queue.split_off(rest)
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// One round trip for all charges, or this replica's own counters when there is nobody to ask.
    ///
    /// A task of its own does it: a caller that leaves before the answer comes drops only its end, and what was
    /// reserved for it is given back.
    pub(super) async fn reserve(&self, meter: &Meter, charges: &[Charge]) -> Result<Reservation, Denied> {
        let Some(joined) = self.joined() else { return self.alone(meter, charges) };
        let (asking, asked) = (meter.clone(), charges.to_vec());
        let answered = tokio::spawn(async move {
            let fleet = asking.0.fleet.as_ref()?;
            Some(fleet.reserve_with(&joined, &asking, &asked).await)
        });
        match answered.await {
            Ok(Some(reserved)) => reserved,
            Ok(None) | Err(_) => self.alone(meter, charges),
        }
    }

    async fn reserve_with(&self, joined: &Joined, meter: &Meter, charges: &[Charge]) -> Result<Reservation, Denied> {
        let now = meter.0.now();
        let cells: Vec<Arc<Cell>> = charges.iter().map(|charge| meter.0.table.cell(&charge.bucket, now)).collect();
        let asks: Vec<Ask> = charges.iter().zip(&cells).map(|(charge, cell)| ask(charge, cell, now)).collect();
        let asked = tokio::time::timeout(self.options.timeout, joined.member.reserve(&asks)).await;
        match asked.unwrap_or(Err(CountersError::Timeout)) {
            Ok(Answer::Admitted(levels)) => Ok(self.admitted(meter, charges, &cells, (&asks, &levels), joined.epoch)),
            Ok(Answer::Refused(levels)) => {
                for ((cell, ask), level) in cells.iter().zip(&asks).zip(&levels) {
                    cell.lock().learn(level.used, ask.form.period());
                }
                Err(refused(charges, &levels, now))
            }
            Err(error) => {
                self.part(joined.epoch, &error);
                self.alone(meter, charges)
            }
        }
    }

    fn alone(&self, meter: &Meter, charges: &[Charge]) -> Result<Reservation, Denied> {
        match self.options.on_failure {
            OnFailure::Local(share) => meter.reserve_here(charges, Some(share)),
            OnFailure::Closed => Err(Denied::Unavailable),
        }
    }

    /// Counts here what the fleet has counted already.
    fn admitted(
        &self,
        meter: &Meter,
        charges: &[Charge],
        cells: &[Arc<Cell>],
        (asks, levels): (&[Ask], &[Level]),
        epoch: u64,
    ) -> Reservation {
        let now = meter.0.now();
        let mut parts = Vec::with_capacity(charges.len());
        let (mut requests, mut tokens) = (None, None);
        for (((charge, cell), ask), level) in charges.iter().zip(cells).zip(asks).zip(levels) {
            let rule = &charge.bucket.rule;
            {
                let mut state = cell.lock();
                state.adopt(rule);
                state.roll(now, None);
                state.take(charge.amount);
                if rule.unit == Unit::Requests {
                    state.news.charge = state.news.charge.saturating_sub(signed(charge.amount));
                } else {
                    state.news.told_under(epoch, charge.amount);
                }
                state.learn(level.used, ask.form.period());
            }
            // Between the answer and here we may have got another identity, which knows nothing of this.
            if self.epoch.load(Ordering::Acquire) != epoch {
                self.tell(cell, Urgency::Now);
            }
            note(&mut requests, &mut tokens, rule.unit, left(&rule.kind, *level, now));
            parts.push(Part::new(Arc::clone(cell), rule, charge.amount));
        }
        Reservation::new(Arc::clone(&meter.0), parts, requests, tokens)
    }
}

fn mono_secs(now: Now) -> i64 {
    i64::try_from(now.mono / 1_000_000_000).unwrap_or(i64::MAX)
}

fn ask(charge: &Charge, cell: &Cell, now: Now) -> Ask {
    let rule = &charge.bucket.rule;
    Ask {
        key: cell.id.to_string(),
        form: form(&rule.kind, now),
        amount: charge.amount,
        at_once: rule.unit == Unit::Requests,
    }
}

/// A kind as the store knows it.
pub(super) fn form(kind: &Kind, now: Now) -> Form {
    match kind {
        Kind::Rate { limit, window } => {
            Form::Rate { limit: *limit, window: u64::try_from(window.as_micros()).unwrap_or(u64::MAX).max(1) }
        }
        Kind::Budget { limit, calendar } => {
            Form::Budget { limit: *limit, period: calendar.id(now.wall), lasts: calendar.period().longest_secs() }
        }
        Kind::Concurrent { limit } => Form::Concurrent { limit: *limit },
    }
}

/// Which charge did not fit, by the levels Redis found.
fn refused(charges: &[Charge], levels: &[Level], now: Now) -> Denied {
    let mut worst: Option<Exceeded> = None;
    for (index, (charge, level)) in charges.iter().zip(levels).enumerate() {
        let kind = &charge.bucket.rule.kind;
        let headroom = left(kind, *level, now);
        if charge.amount <= headroom.remaining {
            continue;
        }
        let wait = match kind {
            Kind::Rate { limit, window } => leak_time((charge.amount - headroom.remaining) as f64, *limit, *window),
            Kind::Budget { .. } | Kind::Concurrent { .. } => headroom.reset,
        };
        let wait = if charge.amount > headroom.limit { None } else { Some(wait) };
        let short = Short { limit: headroom.limit, remaining: headroom.remaining, wait };
        worst = Some(longer_wait(worst, &charge.bucket, index, short));
    }
    worst.map_or(Denied::Unavailable, |exceeded| Denied::Exceeded(Box::new(exceeded)))
}

fn left(kind: &Kind, level: Level, now: Now) -> Headroom {
    let used = level.used.saturating_add(level.held);
    let reset = match kind {
        Kind::Rate { limit, window } => leak_time(used as f64, *limit, *window),
        Kind::Budget { calendar, .. } => Duration::from_secs(calendar.remaining_secs(now.wall)),
        Kind::Concurrent { .. } => Duration::from_secs(1),
    };
    Headroom { limit: kind.limit(), remaining: kind.limit().saturating_sub(used), reset }
}

//! The task that keeps a replica in touch with its fleet: heartbeats, what became of reservations, and joining again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::bucket::Kind;
use super::cell::Cell;
use super::clock::Now;
use super::fleet::{Fleet, Joined, form};
use super::meter::{Shared, Urgency};
use super::table;
use crate::store::redis::{CountersError, Former, Member, Told};

/// Buckets told of in one message: short enough that Redis is never busy for a millisecond.
const BATCH: usize = 200;

/// What ends within so much time is told together.
const GATHER: Duration = Duration::from_millis(2);

/// The pause between attempts to join, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Whoever stayed in touch so long starts again with the first pause.
const STEADY: Duration = Duration::from_secs(5);

/// Starts the task. It ends when the meter is gone.
pub(super) fn start(shared: &Arc<Shared>) {
    let Some(fleet) = &shared.fleet else { return };
    let wake = Arc::clone(&fleet.wake);
    let weak = Arc::downgrade(shared);
    // It is never waited for: `Meter::close` says goodbye, and without it the lease runs out.
    drop(tokio::spawn(async move {
        let mut keeper = Keeper::default();
        while let Some(pause) = keeper.turn(&weak).await {
            if tokio::time::timeout(pause, wake.notified()).await.is_ok() {
                tokio::time::sleep(GATHER).await;
            }
        }
    }));
}

/// What the task remembers between two turns.
#[derive(Default)]
struct Keeper {
    former: Former,
    /// A message that may have arrived or not.
    uncertain: Vec<Sent>,
    /// Whether Redis has lost data and was not yet told what we know.
    amnesia: bool,
    /// Failures in a row.
    failures: u32,
    next_try: Option<Instant>,
    joined_at: Option<Instant>,
    beat_at: Option<Instant>,
}

/// What a message said of a cell.
struct Sent {
    cell: Arc<Cell>,
    charge: i64,
    period: i64,
    floor: bool,
}

impl Keeper {
    /// One turn: joins, or tells what there is to tell. Gives the time until the next, `None` when there is none.
    async fn turn(&mut self, weak: &Weak<Shared>) -> Option<Duration> {
        let shared = weak.upgrade()?;
        let fleet = shared.fleet.as_ref()?;
        let outcome = match fleet.joined() {
            None => self.try_to_join(&shared, fleet).await,
            Some(joined) => self.keep(&shared, fleet, &joined).await,
        };
        if let Err((epoch, error)) = outcome {
            fleet.part(epoch, &error);
        }
        if fleet.closing.load(Ordering::Acquire) {
            if let Some(joined) = fleet.joined() {
                self.leave(fleet, &joined.member, &Arc::clone(joined.member.id())).await;
            }
            fleet.closed.notify_one();
            return None;
        }
        let until = |instant: Option<Instant>| {
            instant.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
        };
        Some(match fleet.joined() {
            None => until(self.next_try),
            Some(_) => until(self.beat_at.map(|at| at + fleet.options.heartbeat)),
        })
    }

    /// In touch: everything that waits, and a heartbeat when it is time.
    async fn keep(&mut self, shared: &Shared, fleet: &Fleet, joined: &Joined) -> Result<(), (u64, CountersError)> {
        let told = self.tell_all(shared, fleet, &joined.member, joined.epoch).await;
        let due = self.beat_at.is_none_or(|at| at.elapsed() >= fleet.options.heartbeat);
        let beat = if told.is_ok() && due { self.send(shared, fleet, &joined.member, &[], 1).await } else { told };
        beat.map_err(|error| (joined.epoch, error))
    }

    async fn try_to_join(&mut self, shared: &Shared, fleet: &Fleet) -> Result<(), (u64, CountersError)> {
        if self.next_try.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        if self.joined_at.take().is_some_and(|at| at.elapsed() >= STEADY) {
            self.failures = 0;
        }
        let joined = self.join(shared, fleet).await;
        if let Err(error) = &joined {
            tracing::debug!(%error, "the fleet's counters cannot be joined");
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LAST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.next_try = Some(Instant::now() + pause);
        Ok(())
    }

    /// A new identity: what we hold is told anew, then what the former one held is void. Until then it counts twice,
    /// so that nothing held looks free.
    async fn join(&mut self, shared: &Shared, fleet: &Fleet) -> Result<(), CountersError> {
        let former = self.former.clone();
        let (member, joining) = fleet.counters.join(&former, fleet.options.lease).await?;
        fleet.heard(joining.now, shared.clock.now());
        let epoch = fleet.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        self.former = Former { id: Arc::clone(member.id()), acknowledged: 0, sent: 0 };
        self.amnesia |= joining.lost;
        self.make_sure(joining.arrived);
        self.queue_everything(shared).await;
        // Whoever answers too late to a heartbeat would answer too late to requests.
        self.send(shared, fleet, &member, &[], 1).await?;
        self.tell_all(shared, fleet, &member, epoch).await?;
        if !former.id.is_empty() {
            self.leave(fleet, &member, &former.id).await;
        }
        if joining.lost {
            tracing::warn!("the fleet's counters had lost data and were told what this replica knows");
        }
        self.amnesia = false;
        self.joined_at = Some(Instant::now());
        tracing::info!(epoch, "counting with the fleet");
        fleet.join(Arc::new(Joined { member, epoch }));
        Ok(())
    }

    /// A message that did not arrive has to be told again.
    fn make_sure(&mut self, arrived: bool) {
        for sent in self.uncertain.drain(..) {
            let mut state = sent.cell.lock();
            if !arrived && state.spent().0 == sent.period {
                state.news.charge = state.news.charge.saturating_add(sent.charge);
            }
            state.news.floor |= sent.floor;
        }
    }

    /// Everything that a new identity has to tell. Others get their turn between two shards.
    async fn queue_everything(&self, shared: &Shared) {
        for shard in shared.table.shards() {
            let (now, share) = (shared.now(), shared.share());
            for cell in table::cells(shard) {
                if self.has_news(&cell, now, share) {
                    shared.tell(&cell, Urgency::Soon);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn has_news(&self, cell: &Cell, now: Now, share: Option<f64>) -> bool {
        let mut state = cell.lock();
        state.roll(now, share);
        if matches!(state.rule.kind, Kind::Rate { .. }) {
            // What was used while nobody could be told has leaked as time went by: the level says what is left.
            state.news.charge = 0;
            state.news.floor = state.least() > 0;
        }
        state.news.floor |= self.amnesia && state.least() > 0;
        state.held() > 0 || state.news.floor || state.news.charge != 0
    }

    /// Empties the queue as it is now; what comes meanwhile is for the next turn.
    async fn tell_all(
        &mut self,
        shared: &Shared,
        fleet: &Fleet,
        member: &Member,
        epoch: u64,
    ) -> Result<(), CountersError> {
        for _ in 0..fleet.queued().div_ceil(BATCH) {
            let cells = fleet.take_queue(BATCH);
            self.send(shared, fleet, member, &cells, epoch).await?;
        }
        Ok(())
    }

    /// One message.
    async fn send(
        &mut self,
        shared: &Shared,
        fleet: &Fleet,
        member: &Member,
        cells: &[Arc<Cell>],
        epoch: u64,
    ) -> Result<(), CountersError> {
        let now = shared.now();
        let share = shared.share();
        let mut told = Vec::with_capacity(cells.len());
        self.uncertain.clear();
        for cell in cells {
            let mut state = cell.lock();
            state.roll(now, share);
            let (charge, hold, floor) = state.tell(epoch);
            let least = if floor { state.least() } else { 0 };
            if charge != 0 || hold != 0 || floor {
                told.push(Told { key: cell.id.to_string(), form: form(&state.rule.kind, now), charge, hold, least });
                self.uncertain.push(Sent { cell: Arc::clone(cell), charge, period: state.spent().0, floor });
            }
        }
        if told.is_empty() && !cells.is_empty() {
            return Ok(());
        }
        self.former.sent += 1;
        let telling = member.tell(self.former.sent, fleet.options.lease, &told);
        let patience = fleet.options.timeout.saturating_mul(if cells.is_empty() { 1 } else { 4 });
        let (micros, used) = tokio::time::timeout(patience, telling).await.unwrap_or(Err(CountersError::Timeout))?;
        fleet.heard(micros, shared.clock.now());
        self.former.acknowledged = self.former.sent;
        self.beat_at = Some(Instant::now());
        for (sent, used) in self.uncertain.drain(..).zip(used) {
            sent.cell.lock().learn(used, Some(sent.period));
        }
        Ok(())
    }

    async fn leave(&self, fleet: &Fleet, member: &Member, id: &str) {
        let patience = fleet.options.timeout.saturating_mul(4);
        // If it fails, the lease runs out by itself.
        if !matches!(tokio::time::timeout(patience, member.leave(id)).await, Ok(Ok(()))) {
            tracing::debug!("an identity was left to run out");
        }
    }
}

//! One bucket's numbers, and what checking, holding, charging and releasing do to them. The Lua scripts of the fleet
//! (`store::redis`) do the same sums.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bucket::{BucketId, Headroom, Kind, Rule, Unit};
use super::clock::Now;

/// What rounding of a leaking level may add up to, in units.
const ROUNDING: f64 = 1e-6;

/// How long to wait for a slot when nobody knows when one ends.
const SLOT_WAIT: Duration = Duration::from_secs(1);

/// A bucket in memory. In a fleet it is this replica's share of it, and what the fleet was last told.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) id: BucketId,
    state: Mutex<State>,
}

/// The numbers.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rule: Arc<Rule>,
    /// Rates: units used and not yet leaked away, at `at` (nanoseconds of the monotonic clock).
    level: f64,
    at: u64,
    /// Budgets: the period, what was spent in it as far as known, and the part of that the fleet knows of.
    period: i64,
    spent: u64,
    seen: u64,
    /// Reserved by requests in flight and not used yet.
    held: u64,
    /// Fleet: what has to be told.
    pub(super) news: News,
}

/// What this replica has to tell the fleet about a bucket.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Used since the fleet was told; negative when an estimate was too high.
    pub(super) charge: i64,
    /// Of `held`, what the fleet knows of, and under which of our identities.
    pub(super) told: u64,
    pub(super) epoch: u64,
    /// Whether the fleet's own number has to be at least ours, because it may have forgotten it.
    pub(super) floor: bool,
    /// Whether it waits in the queue.
    pub(super) queued: bool,
}

/// Not enough left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    pub(super) wait: Option<Duration>,
}

impl Cell {
    pub(super) fn new(id: BucketId, rule: &Arc<Rule>, now: Now) -> Self {
        let state = State {
            rule: Arc::clone(rule),
            level: 0.0,
            at: now.mono,
            period: i64::MIN,
            spent: 0,
            seen: 0,
            held: 0,
            news: News::default(),
        };
        Self { id, state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    /// Under a new identity the fleet knows of nothing that we hold.
    fn become_known_as(&mut self, epoch: u64) {
        if self.epoch < epoch {
            self.epoch = epoch;
            self.told = 0;
        }
    }

    /// The fleet holds `amount` for us under an identity. One that is no longer ours holds nothing.
    pub(super) fn told_under(&mut self, epoch: u64, amount: u64) {
        self.become_known_as(epoch);
        if self.epoch == epoch {
            self.told = self.told.saturating_add(amount);
        }
    }
}

impl State {
    /// Follows the rule as it is configured now.
    pub(super) fn adopt(&mut self, rule: &Arc<Rule>) {
        if !Arc::ptr_eq(&self.rule, rule) {
            self.rule = Arc::clone(rule);
        }
    }

    /// Lets time pass. `share` is the part of the limit that holds here while the fleet cannot be asked.
    pub(super) fn roll(&mut self, now: Now, share: Option<f64>) {
        match &self.rule.kind {
            Kind::Rate { limit, window } => {
                let elapsed = now.mono.saturating_sub(self.at) as f64;
                let rate = effective(*limit, share) as f64 / window.as_nanos().max(1) as f64;
                self.level = (self.level - elapsed * rate).max(0.0);
                self.at = self.at.max(now.mono);
            }
            Kind::Budget { calendar, .. } => self.turn(calendar.id(now.wall)),
            Kind::Concurrent { .. } => {}
        }
    }

    /// Begins a later period. Of the one that ended nobody has to be told any more.
    fn turn(&mut self, period: i64) {
        if period > self.period {
            self.period = period;
            self.spent = 0;
            self.seen = 0;
            self.news.charge = 0;
        }
    }

    /// Whether `amount` fits, after `roll`.
    pub(super) fn check(&self, amount: u64, now: Now, share: Option<f64>) -> Result<(), Short> {
        let (limit, used) = self.use_of(share);
        let idle = self.level <= ROUNDING && self.held == 0;
        let fits = used.checked_add(amount).is_some_and(|sum| sum <= limit);
        // With a share smaller than one request's need, one at a time goes through: the limit is never a dead end.
        let alone = share.is_some() && idle && amount <= self.rule.kind.limit() && self.is_rate();
        if fits || alone {
            return Ok(());
        }
        let wait = if amount > self.rule.kind.limit() { None } else { Some(self.wait(limit, amount, now)) };
        Err(Short { limit, remaining: limit.saturating_sub(used), wait })
    }

    fn is_rate(&self) -> bool {
        matches!(self.rule.kind, Kind::Rate { .. })
    }

    /// The limit that holds and what counts against it.
    fn use_of(&self, share: Option<f64>) -> (u64, u64) {
        match &self.rule.kind {
            Kind::Rate { limit, .. } => (effective(*limit, share), whole(self.level).saturating_add(self.held)),
            Kind::Concurrent { limit } => (effective(*limit, share), self.held),
            Kind::Budget { limit, .. } => match share {
                None => (*limit, self.spent.saturating_add(self.held)),
                // What the fleet had spent is gone; of the rest this replica has its share.
                Some(share) => {
                    let rest = scaled(limit.saturating_sub(self.seen), share);
                    (rest, self.spent.saturating_sub(self.seen).saturating_add(self.held))
                }
            },
        }
    }

    /// How long until `amount` may fit.
    fn wait(&self, limit: u64, amount: u64, now: Now) -> Duration {
        match &self.rule.kind {
            Kind::Rate { window, .. } => {
                let over = self.level + self.held as f64 + amount as f64 - limit as f64;
                leak_time(over, limit, *window)
            }
            Kind::Budget { calendar, .. } => Duration::from_secs(calendar.remaining_secs(now.wall)),
            Kind::Concurrent { .. } => SLOT_WAIT,
        }
    }

    /// What is left, after `roll`.
    pub(super) fn headroom(&self, now: Now, share: Option<f64>) -> Headroom {
        let (limit, used) = self.use_of(share);
        let reset = match &self.rule.kind {
            Kind::Rate { window, .. } => leak_time(self.level + self.held as f64, limit, *window),
            Kind::Budget { calendar, .. } => Duration::from_secs(calendar.remaining_secs(now.wall)),
            Kind::Concurrent { .. } => SLOT_WAIT,
        };
        Headroom { limit, remaining: limit.saturating_sub(used), reset }
    }

    /// Takes `amount`: requests are used at once, everything else is held.
    pub(super) fn take(&mut self, amount: u64) {
        if self.rule.unit == Unit::Requests { self.charge(signed(amount)) } else { self.hold(amount) }
    }

    /// Undoes `take`, when another bucket refused.
    pub(super) fn untake(&mut self, amount: u64) {
        if self.rule.unit == Unit::Requests { self.charge(-signed(amount)) } else { self.release(amount) }
    }

    pub(super) fn hold(&mut self, amount: u64) {
        self.held = self.held.saturating_add(amount);
    }

    pub(super) fn release(&mut self, amount: u64) {
        self.held = self.held.saturating_sub(amount);
    }

    /// Counts `amount` as used, or as not used after all.
    pub(super) fn charge(&mut self, amount: i64) {
        match &self.rule.kind {
            Kind::Rate { limit, .. } => {
                let most = self.level.max(2.0 * *limit as f64);
                // Of an overdraft no more than one more window is remembered: one wrong number must not lock for years.
                self.level = (self.level + amount as f64).clamp(0.0, most);
            }
            Kind::Budget { .. } => self.spent = self.spent.saturating_add_signed(amount),
            Kind::Concurrent { .. } => return,
        }
        self.news.charge = self.news.charge.saturating_add(amount);
    }

    /// At least this was spent in the current period, says someone who knows more.
    pub(super) fn spent_at_least(&mut self, spent: u64) {
        self.spent = self.spent.max(spent);
        self.seen = self.seen.max(spent);
        self.news.floor = true;
    }

    /// The fleet says what was spent of a budget in a period; what it was not told yet comes on top. Of a period that
    /// has ended meanwhile it is no news.
    pub(super) fn learn(&mut self, total: u64, period: Option<i64>) {
        if period == Some(self.period) {
            self.seen = self.seen.max(total);
            self.spent = self.spent.max(self.seen.saturating_add_signed(self.news.charge));
        }
    }

    /// Budgets: the period and what was spent in it.
    pub(super) fn spent(&self) -> (i64, u64) {
        (self.period, self.spent)
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// What the fleet has to have counted at least.
    pub(super) fn least(&self) -> u64 {
        match self.rule.kind {
            Kind::Rate { .. } => whole(self.level),
            Kind::Budget { .. } => self.seen,
            Kind::Concurrent { .. } => 0,
        }
    }

    /// What has to be told, which then counts as told: used, held more or less, and whether the fleet must not know less.
    pub(super) fn tell(&mut self, epoch: u64) -> (i64, i64, bool) {
        self.news.queued = false;
        self.news.become_known_as(epoch);
        let hold = signed(self.held).saturating_sub(signed(self.news.told));
        self.news.told = self.held;
        (std::mem::take(&mut self.news.charge), hold, std::mem::take(&mut self.news.floor))
    }

    /// Whether nothing would be lost by forgetting it, after `roll`.
    pub(super) fn is_idle(&self) -> bool {
        self.held == 0 && self.level <= ROUNDING && self.spent == 0 && !self.news.queued
    }
}

/// The limit, or a share of it, but never nothing where the limit is something.
fn effective(limit: u64, share: Option<f64>) -> u64 {
    share.map_or(limit, |share| scaled(limit, share).max(limit.min(1)))
}

fn scaled(amount: u64, share: f64) -> u64 {
    (amount as f64 * share.clamp(0.0, 1.0)) as u64
}

/// A level in whole units, rounded up.
fn whole(level: f64) -> u64 {
    (level - ROUNDING).ceil().max(0.0) as u64
}

pub(super) fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// How long `units` take to leak away.
pub(super) fn leak_time(units: f64, limit: u64, window: Duration) -> Duration {
    let windows = units.max(0.0) / limit.max(1) as f64;
    Duration::try_from_secs_f64(windows * window.as_secs_f64()).unwrap_or(Duration::MAX)
}

//! What one request holds, from its admission to its end.

use std::fmt;
use std::mem;
use std::sync::Arc;

use super::bucket::{Amounts, Bucket, Charge, Denied, Headroom, Kind, Rule, Scope, Unit};
use super::cell::{Cell, signed};
use super::clock::Now;
use super::meter::{Meter, Shared, Urgency};

/// What a request holds of every bucket it is charged to.
///
/// `settle` ends it with what was really used. Dropped without, it ends with what `progress` said last, so a request
/// that failed before its first token costs nothing but its place in request rates.
#[must_use = "dropping it gives back what it holds"]
pub struct Reservation {
    shared: Arc<Shared>,
    parts: Vec<Part>,
    requests: Option<Headroom>,
    tokens: Option<Headroom>,
}

/// One bucket's part of a reservation.
pub(super) struct Part {
    pub(super) cell: Arc<Cell>,
    pub(super) rule: Arc<Rule>,
    /// All that was reserved, extensions included.
    pub(super) reserved: u64,
    /// Counted as used so far.
    used: u64,
}

/// What a settled request left of a budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Spent {
    /// Whose.
    pub scope: Scope,
    /// Of which budget.
    pub rule: Arc<Rule>,
    /// Of which period: the date it began, as `yyyymmdd`.
    pub period: i64,
    /// What was spent in it so far, in a fleet by all replicas as far as known.
    pub spent: u64,
}

impl Part {
    pub(super) fn new(cell: Arc<Cell>, rule: &Arc<Rule>, reserved: u64) -> Self {
        let used = if rule.unit == Unit::Requests { reserved } else { 0 };
        Self { cell, rule: Arc::clone(rule), reserved, used }
    }

    /// What it holds now.
    fn held(&self) -> u64 {
        self.reserved.saturating_sub(self.used)
    }

    /// Says that `used` were used so far, which may be more or less than before.
    fn use_up(&mut self, used: u64, (now, share): (Now, Option<f64>), release_rest: bool) {
        let charge = signed(used).saturating_sub(signed(self.used));
        let before = self.held();
        self.used = used;
        let after = if release_rest { 0 } else { self.held() };
        if charge == 0 && before == after {
            return;
        }
        let mut state = self.cell.lock();
        state.roll(now, share);
        state.charge(charge);
        if after > before {
            state.hold(after - before);
        } else {
            state.release(before - after);
        }
    }
}

impl Reservation {
    pub(super) fn new(
        shared: Arc<Shared>,
        parts: Vec<Part>,
        requests: Option<Headroom>,
        tokens: Option<Headroom>,
    ) -> Self {
        Self { shared, parts, requests, tokens }
    }

    /// What was left of the tightest request rate when it was admitted, this request counted.
    pub fn requests(&self) -> Option<Headroom> {
        self.requests
    }

    /// The same of token rates and token budgets.
    pub fn tokens(&self) -> Option<Headroom> {
        self.tokens
    }

    /// How much of a unit may still be used without an extension; `None` when nothing limits it.
    pub fn left(&self, unit: Unit) -> Option<u64> {
        self.parts.iter().filter(|part| part.rule.unit == unit).map(Part::held).min()
    }

    /// What was used so far, from the beginning. Costs a lock per bucket; a fleet hears of it with the next heartbeat.
    pub fn progress(&mut self, used: Amounts) {
        let time = (self.shared.now(), self.shared.share());
        for part in &mut self.parts {
            if let Some(used) = used.of(part.rule.unit)
                && used > part.used
            {
                part.use_up(used, time, false);
                self.shared.tell(&part.cell, Urgency::Soon);
            }
        }
    }

    /// Reserves `more`, all or nothing, before more is used than is held. In a fleet one round trip.
    ///
    /// # Errors
    /// What does not fit: the stream has reached its limit.
    pub async fn extend(&mut self, more: Amounts) -> Result<(), Denied> {
        let charges: Vec<Charge> = self.parts.iter().filter_map(|part| part.charge(more)).collect();
        let mut extension = Meter(Arc::clone(&self.shared)).reserve(&charges).await?;
        let mut extended = mem::take(&mut extension.parts).into_iter();
        for part in self.parts.iter_mut().filter(|part| part.charge(more).is_some()) {
            if let Some(extra) = extended.next() {
                part.reserved = part.reserved.saturating_add(extra.reserved);
            }
        }
        Ok(())
    }

    /// Ends it with what was really used. What is left of budgets tells whether someone has to be warned.
    pub fn settle(mut self, actual: Amounts) -> Vec<Spent> {
        self.end(Some(actual));
        mem::take(&mut self.parts).iter().filter_map(Part::spent).collect()
    }

    fn end(&mut self, actual: Option<Amounts>) {
        let time = (self.shared.now(), self.shared.share());
        for part in &mut self.parts {
            let used = actual.and_then(|actual| actual.of(part.rule.unit)).unwrap_or(part.used);
            part.use_up(used, time, true);
            self.shared.tell(&part.cell, Urgency::Now);
        }
    }
}

impl Part {
    fn charge(&self, more: Amounts) -> Option<Charge> {
        let amount = more.of(self.rule.unit).filter(|&amount| amount > 0)?;
        let bucket = Bucket { scope: self.cell.id.scope, rule: Arc::clone(&self.rule) };
        Some(Charge { bucket, amount })
    }

    fn spent(&self) -> Option<Spent> {
        if !matches!(self.rule.kind, Kind::Budget { .. }) {
            return None;
        }
        let (period, spent) = self.cell.lock().spent();
        Some(Spent { scope: self.cell.id.scope, rule: Arc::clone(&self.rule), period, spent })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// Keeps the tighter of what is known and what was found.
pub(super) fn note(requests: &mut Option<Headroom>, tokens: &mut Option<Headroom>, unit: Unit, found: Headroom) {
    let kept = match unit {
        Unit::Requests => requests,
        Unit::Tokens => tokens,
        Unit::NanoUsd | Unit::Slots => return,
    };
    if kept.is_none_or(|kept| found.is_tighter_than(&kept)) {
        *kept = Some(found);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("parts", &self.parts.len()).finish()
    }
}

//! Requests under way, so that an order given now ends what it is about: law 5, "standing orders also cut live streams".

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

use super::refuse::Refusal;
use crate::config::Orders;
use crate::types::{Caller, Measure, Order, Outcome};

/// Maps, so that workers seldom meet.
const SHARDS: usize = 16;

/// Every request under way, by number. Shared by all workers.
#[derive(Default)]
pub struct Live {
    shards: [Mutex<HashMap<u64, Entry>>; SHARDS],
    next: AtomicU64,
}

struct Entry {
    caller: Arc<Caller>,
    cut: Cancel,
}

/// What ends one request early: its connection, or an order.
#[derive(Clone)]
pub(super) struct Cancel {
    token: CancellationToken,
    order: Arc<OnceLock<Arc<Order>>>,
}

/// A request's place among those under way, given up when it is dropped.
pub(super) struct Place {
    live: Arc<Live>,
    number: u64,
}

impl Live {
    /// How many requests are under way.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends every request that `order` is about; how many.
    pub fn carry_out(&self, order: &Arc<Order>) -> usize {
        let mut ended = 0;
        for shard in &self.shards {
            for entry in shard.lock().unwrap_or_else(PoisonError::into_inner).values() {
                if Orders::concerns(order, &entry.caller) && entry.cut.order.set(Arc::clone(order)).is_ok() {
                    entry.cut.token.cancel();
                    ended += 1;
                }
            }
        }
        ended
    }

    /// A request of `caller` is under way until its place is dropped.
    pub(super) fn enter(self: &Arc<Self>, caller: Arc<Caller>, cut: &Cancel) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { caller, cut: cut.clone() };
        self.shard(number).lock().unwrap_or_else(PoisonError::into_inner).insert(number, entry);
        Place { live: Arc::clone(self), number }
    }

    fn shard(&self, number: u64) -> &Mutex<HashMap<u64, Entry>> {
        let [first, ..] = &self.shards;
        usize::try_from(number % SHARDS as u64).ok().and_then(|index| self.shards.get(index)).unwrap_or(first)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let entry = self.live.shard(self.number).lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        // Dropped after the lock.
        drop(entry);
    }
}

impl Cancel {
    /// Cancel with its connection, or alone.
    pub(super) fn of(connection: &CancellationToken) -> Self {
        Self { token: connection.child_token(), order: Arc::default() }
    }

    /// Cancelled when the request is to end.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// What is said to a caller whose request has not been answered yet.
    pub(super) fn refusal(&self) -> Refusal {
        match self.order().map(|order| order.measure) {
            None => Refusal::cut(),
            Some(Measure::Quarantine) => Refusal::quarantined().ending(Outcome::Cut),
            Some(Measure::Block | Measure::Limit { .. } | Measure::Tighten) => Refusal::ordered().ending(Outcome::Cut),
        }
    }

    /// The order that ended it, if one did.
    pub(super) fn order(&self) -> Option<&Arc<Order>> {
        self.order.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Subject;

    #[test]
    fn an_order_ends_the_requests_it_is_about_and_no_others() {
        let live = Arc::new(Live::default());
        let connection = CancellationToken::new();
        let cuts: Vec<(Cancel, Place)> = ["ann", "bob", "ann"]
            .into_iter()
            .map(|user| {
                let cut = Cancel::of(&connection);
                let place = live.enter(Arc::new(Caller { user: Some(user.into()), ..Caller::default() }), &cut);
                (cut, place)
            })
            .collect();
        let order = Arc::new(Order {
            id: "ord_1".into(),
            subject: Subject::User { name: "ann".into() },
            measure: Measure::Block,
            reason: "".into(),
            made_by: "".into(),
            made: 0,
            expires: None,
        });
        assert_eq!(live.carry_out(&order), 2);
        assert_eq!(live.carry_out(&order), 0, "they are ending already");
        let ended: Vec<bool> = cuts.iter().map(|(cut, _)| cut.token().is_cancelled()).collect();
        assert_eq!(ended, [true, false, true]);
        assert!(cuts.iter().all(|(cut, _)| cut.order().is_some() == cut.token().is_cancelled()));
        assert!(!connection.is_cancelled());
        drop(cuts);
        assert!(live.is_empty());
    }
}

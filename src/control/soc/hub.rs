//! The live hub: what the store's feed gained, told to everybody who watches, in the feed's own order.
//!
//! The store numbers entries without holes, and the hub keeps it so: it passes on what comes next and nothing else. Where
//! somebody else's entries lie between (another replica's), whoever publishes reads those from the store first. A watcher that
//! is too slow is told from where on it has to read the store itself; nobody waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::telemetry::Metrics;
use crate::types::soc::FeedEntry;

/// How much the hub holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubLimits {
    /// Entries kept for those who are slow; at least 1.
    pub entries: usize,
    /// Who may watch at the same time.
    pub subscribers: usize,
}

/// Tells watchers what is new. Clones are the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    sender: broadcast::Sender<Arc<FeedEntry>>,
    /// The last entry passed on; `None` before the first.
    last: Mutex<Option<i64>>,
    watching: Arc<AtomicUsize>,
    limits: HubLimits,
    metrics: Metrics,
}

/// What became of entries that were published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// All were passed on, now or before.
    All,
    /// Entries are missing between the last one passed on and these: read the store from after this number and publish that.
    Missing {
        /// The last entry passed on.
        after: i64,
    },
}

/// There are as many watchers as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as many watch already as may")]
pub struct TooMany;

impl Hub {
    /// A hub that has passed nothing on yet: whatever is published first comes next.
    pub fn new(limits: HubLimits, metrics: Metrics) -> Self {
        // The channel takes no more than half of all numbers, and at least one entry.
        let sender = broadcast::Sender::new(limits.entries.clamp(1, usize::MAX / 2));
        Self(Arc::new(Inner { sender, last: Mutex::new(None), watching: Arc::default(), limits, metrics }))
    }

    /// Says up to where the feed is known, at start: what comes next is the entry after it.
    pub fn begin_after(&self, seq: i64) {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(last.map_or(seq, |last| last.max(seq)));
    }

    /// The last entry passed on.
    pub fn last(&self) -> Option<i64> {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes entries on, in the order of their numbers. Those that were passed on before are left out.
    pub fn publish(&self, mut entries: Vec<FeedEntry>) -> Published {
        entries.sort_by_key(|entry| entry.seq);
        // Held while sending: two publishers at once must not mix up the order.
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            match *last {
                Some(known) if entry.seq <= known => continue,
                Some(known) if entry.seq > known.saturating_add(1) => return Published::Missing { after: known },
                Some(_) | None => {}
            }
            *last = Some(entry.seq);
            // An error: nobody watches.
            drop(self.0.sender.send(Arc::new(entry)));
        }
        Published::All
    }

    /// Watches what comes after entry `after`, the last that the watcher knows; `None`: from now on. Subscribe first, then read
    /// the store: what is in both is told once.
    ///
    /// # Errors
    /// There are as many watchers as there may be.
    pub fn subscribe(&self, after: Option<i64>) -> Result<Subscription, TooMany> {
        let taken = self.0.watching.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |watching| {
            (watching < self.0.limits.subscribers).then(|| watching.saturating_add(1))
        });
        taken.map_err(|_| TooMany)?;
        self.0.metrics.soc().subscribed();
        // The lock of whoever publishes: what `last` says and what the channel gives next fit together.
        let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.0.sender.subscribe();
        let (watching, metrics) = (Arc::clone(&self.0.watching), self.0.metrics.clone());
        Ok(Subscription { receiver, last: after.or(*last), watching, metrics })
    }

    /// How many watch.
    pub fn watching(&self) -> usize {
        self.0.watching.load(Ordering::Relaxed)
    }
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The next entry.
    Entry(Arc<FeedEntry>),
    /// Entries were missed: read the store from after this number, then say so by [`Subscription::caught_up`].
    Behind {
        /// The last entry the watcher knows.
        after: i64,
    },
    /// The hub is gone.
    Closed,
}

/// One watcher. Dropped, it watches no more.
pub struct Subscription {
    receiver: broadcast::Receiver<Arc<FeedEntry>>,
    /// The last entry the watcher knows; `None`: it asked for none and none was there.
    last: Option<i64>,
    watching: Arc<AtomicUsize>,
    metrics: Metrics,
}

impl Subscription {
    /// Waits for what comes next. Can be cancelled without losing anything.
    pub async fn next(&mut self) -> News {
        loop {
            match self.receiver.recv().await {
                Ok(entry) => match self.last {
                    Some(last) if entry.seq <= last => {}
                    Some(last) if entry.seq > last.saturating_add(1) => return self.behind(last),
                    Some(_) | None => {
                        self.last = Some(entry.seq);
                        return News::Entry(entry);
                    }
                },
                Err(RecvError::Lagged(_)) => {
                    // Without a last entry there is nothing to read from: what the channel still has comes next.
                    if let Some(last) = self.last {
                        return self.behind(last);
                    }
                }
                Err(RecvError::Closed) => return News::Closed,
            }
        }
    }

    /// The watcher has read the store up to this entry: what is no newer is not told again.
    pub fn caught_up(&mut self, seq: i64) {
        self.last = Some(self.last.map_or(seq, |last| last.max(seq)));
    }

    /// The last entry the watcher knows.
    pub const fn last(&self) -> Option<i64> {
        self.last
    }

    fn behind(&self, after: i64) -> News {
        self.metrics.soc().lagged();
        News::Behind { after }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.watching.fetch_sub(1, Ordering::Relaxed);
        self.metrics.soc().unsubscribed();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::soc::FeedKind;

    fn hub(entries: usize) -> Hub {
        Hub::new(HubLimits { entries, subscribers: 2 }, Metrics::new("portcullis").unwrap())
    }

    fn entries(seqs: impl IntoIterator<Item = i64>) -> Vec<FeedEntry> {
        let one = |seq| FeedEntry { seq, time: 0, kind: FeedKind::Alert, id: Arc::from("alt_1"), body: json!({}) };
        seqs.into_iter().map(one).collect()
    }

    async fn seq(subscription: &mut Subscription) -> i64 {
        match subscription.next().await {
            News::Entry(entry) => entry.seq,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn everybody_is_told_everything_once_and_in_order() {
        let hub = hub(16);
        hub.begin_after(9);
        let (mut one, mut two) = (hub.subscribe(None).unwrap(), hub.subscribe(Some(9)).unwrap());
        assert_eq!(hub.publish(entries([11, 10])), Published::All);
        assert_eq!(hub.publish(entries([10, 11, 12])), Published::All);
        for watcher in [&mut one, &mut two] {
            assert_eq!((seq(watcher).await, seq(watcher).await, seq(watcher).await), (10, 11, 12));
        }
    }

    #[tokio::test]
    async fn whoever_publishes_is_told_what_lies_between() {
        let hub = hub(16);
        assert_eq!(hub.publish(entries([5])), Published::All);
        let mut watcher = hub.subscribe(None).unwrap();
        assert_eq!(hub.publish(entries([8])), Published::Missing { after: 5 });
        assert_eq!(hub.publish(entries(6..=8)), Published::All);
        assert_eq!((seq(&mut watcher).await, seq(&mut watcher).await, seq(&mut watcher).await), (6, 7, 8));
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_from_where_to_read_and_misses_nothing() {
        let hub = hub(4);
        hub.begin_after(0);
        let mut watcher = hub.subscribe(None).unwrap();
        hub.publish(entries(1..=1));
        assert_eq!(seq(&mut watcher).await, 1);
        hub.publish(entries(2..=100));
        assert_eq!(watcher.next().await, News::Behind { after: 1 });
        watcher.caught_up(98);
        assert_eq!((seq(&mut watcher).await, seq(&mut watcher).await), (99, 100));
        assert!(hub.0.metrics.render().unwrap().contains("portcullis_soc_feed_lagged_total 1"));
    }

    #[tokio::test]
    async fn who_comes_back_late_is_sent_to_the_store() {
        let hub = hub(16);
        hub.begin_after(50);
        let mut watcher = hub.subscribe(Some(40)).unwrap();
        hub.publish(entries([51]));
        assert_eq!(watcher.next().await, News::Behind { after: 40 });
        // The store has what made the watcher notice.
        watcher.caught_up(51);
        hub.publish(entries([52]));
        assert_eq!(seq(&mut watcher).await, 52);
    }

    #[tokio::test]
    async fn watchers_are_bounded_and_a_place_is_free_when_one_goes() {
        let hub = hub(4);
        let first = hub.subscribe(None).unwrap();
        let _second = hub.subscribe(None).unwrap();
        assert!(matches!(hub.subscribe(None), Err(TooMany)));
        let shown = |count: u8| {
            let text = hub.0.metrics.render().unwrap();
            assert!(text.contains(&format!("portcullis_soc_subscribers {count}\n")), "{count}");
        };
        shown(2);
        drop(first);
        shown(1);
        assert_eq!(hub.watching(), 1);
        assert!(hub.subscribe(None).is_ok());
    }

    #[tokio::test]
    async fn a_hub_that_is_gone_is_told() {
        let hub = hub(4);
        let mut watcher = hub.subscribe(None).unwrap();
        assert_eq!(hub.publish(entries([1])), Published::All);
        drop(hub);
        assert_eq!(seq(&mut watcher).await, 1, "what was published before is told first");
        assert_eq!(watcher.next().await, News::Closed);
    }
}

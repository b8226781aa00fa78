//! The one door up, from its lower side: two bounded queues of events. What finds no room in the first is dropped and
//! counted, but a block, an order's cut, an alarm or a reload: these have a queue of their own for that case.

use std::fmt;
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, OwnedPermit, Receiver, Sender};

use super::metrics::{Metrics, QueueDepth};
use crate::types::Event;

/// Where events go. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<Queues>);

struct Queues {
    ordinary: Sender<Event>,
    important: Sender<Event>,
    metrics: Metrics,
}

/// Where events come out: whoever reads them takes both.
#[derive(Debug)]
pub struct EventQueues {
    /// Everything, in the order it was sent, as long as there is room.
    pub ordinary: Receiver<Event>,
    /// What must arrive and found no room there.
    pub important: Receiver<Event>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("room", &self.0.ordinary.capacity()).finish_non_exhaustive()
    }
}

impl Events {
    /// Queues of so many events, 1 at least. What is dropped is counted in `metrics`.
    pub fn new(ordinary: usize, important: usize, metrics: Metrics) -> (Self, EventQueues) {
        let (ordinary, ordinary_end) = mpsc::channel(ordinary.max(1));
        let (important, important_end) = mpsc::channel(important.max(1));
        let events = Self(Arc::new(Queues { ordinary, important, metrics }));
        events.watch();
        (events, EventQueues { ordinary: ordinary_end, important: important_end })
    }

    /// Tells the metrics how full it is.
    fn watch(&self) {
        let queue = self.0.ordinary.downgrade();
        self.0.metrics.watch_event_queue(move || {
            let (capacity, free) = queue.upgrade().map_or((0, 0), |queue| (queue.max_capacity(), queue.capacity()));
            QueueDepth { waiting: capacity.saturating_sub(free) as u64, capacity: capacity as u64 }
        });
    }

    /// Sends without waiting.
    pub fn send(&self, event: Event) {
        let Queues { ordinary, important, metrics } = &*self.0;
        let event = match ordinary.try_send(event) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(event)) if event.must_arrive() => event,
            Err(_) => return metrics.event_dropped(),
        };
        let event = match important.try_send(event) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(event)) => event,
            Err(_) => return metrics.event_dropped(),
        };
        // No request begins while this queue is full, so no more of these wait than requests were under way.
        let Ok(runtime) = Handle::try_current() else { return metrics.event_dropped() };
        let (important, metrics) = (important.clone(), metrics.clone());
        drop(runtime.spawn(async move {
            if important.send(event).await.is_err() {
                metrics.event_dropped();
            }
        }));
    }

    /// A place for one event; nothing when the first queue is full.
    pub fn reserve(&self) -> Option<OwnedPermit<Event>> {
        self.0.ordinary.clone().try_reserve_owned().ok()
    }

    /// Whether what must arrive would find a place.
    pub fn has_reserve(&self) -> bool {
        self.0.important.capacity() > 0
    }

    /// The same door, which this does not hold open.
    pub fn downgrade(&self) -> WeakEvents {
        WeakEvents(Arc::downgrade(&self.0))
    }
}

/// A sender that does not keep the queues open.
#[derive(Clone)]
pub struct WeakEvents(Weak<Queues>);

impl WeakEvents {
    /// A place for one event; nothing when the first queue is full, or every other sender is gone.
    pub fn reserve(&self) -> Option<OwnedPermit<Event>> {
        Events(self.0.upgrade()?).reserve()
    }

    /// Sends without waiting; nothing when every other sender is gone.
    pub fn send(&self, event: Event) {
        if let Some(queues) = self.0.upgrade() {
            Events(queues).send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EventQueues, Events};
    use crate::telemetry::Metrics;
    use crate::types::{Decision, Event, Generation, Record, RequestId};

    fn event(id: usize, decision: Decision) -> Event {
        let mut record = Record::new(0, RequestId(id.to_string()), Generation(1));
        record.decision = decision;
        Event::Request(Box::new(record))
    }

    fn drain(queues: &mut EventQueues) -> Vec<String> {
        let mut ids = Vec::new();
        while let Ok(Event::Request(record)) = queues.ordinary.try_recv().or_else(|_| queues.important.try_recv()) {
            ids.push(record.id.0);
        }
        ids
    }

    #[tokio::test]
    async fn a_full_queue_drops_what_is_ordinary_and_no_block() {
        let metrics = Metrics::new("test").unwrap();
        let (events, mut queues) = Events::new(2, 2, metrics.clone());
        for id in 0..4 {
            events.send(event(id, Decision::Allow));
        }
        assert!(events.has_reserve());
        for id in 4..9 {
            events.send(event(id, Decision::Block));
        }
        assert!(!events.has_reserve(), "and no request begins");
        let mut ids = drain(&mut queues);
        // The last three wait for a place of their own.
        for _ in 0..3 {
            tokio::task::yield_now().await;
            ids.extend(drain(&mut queues));
        }
        assert_eq!(ids, ["0", "1", "4", "5", "6", "7", "8"]);
        let text = metrics.render().unwrap();
        assert!(text.contains("portcullis_events_dropped_total 2"), "{text}");
    }

    #[tokio::test]
    async fn a_weak_sender_does_not_keep_the_queues_open() {
        let (events, mut queues) = Events::new(1, 1, Metrics::new("test").unwrap());
        let weak = events.downgrade();
        weak.send(event(1, Decision::Allow));
        drop(events);
        weak.send(event(2, Decision::Block));
        assert_eq!(drain(&mut queues), ["1"]);
        assert!(queues.ordinary.recv().await.is_none());
    }
}

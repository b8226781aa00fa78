//! The one door up, from its upper side: takes Events off the queue in batches and shows each to every reader.

use std::cell::OnceCell;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::telemetry::EventQueues;
use crate::types::Event;

/// Events taken off the queue at once.
const BATCH: usize = 1024;
/// A queue of this size or more may fill for a whole `flush_every`; a smaller one is emptied more often.
const ROOMY_QUEUE: u32 = 16_384;

/// After `stop`: how long a reserved place in the queue is waited for.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// An event on its way past the readers.
pub struct Told<'e> {
    event: &'e Event,
    record: OnceCell<Arc<str>>,
}

impl<'e> Told<'e> {
    /// As it came.
    pub fn new(event: &'e Event) -> Self {
        Self { event, record: OnceCell::new() }
    }

    /// The event.
    pub fn event(&self) -> &'e Event {
        self.event
    }

    /// A request's record as JSON, written once for all readers; nothing of any other event.
    pub fn record(&self) -> &Arc<str> {
        self.record.get_or_init(|| match self.event {
            // A record is plain data; it always has a JSON form.
            Event::Request(record) => serde_json::to_string(record).unwrap_or_default().into(),
            Event::Reload(_) | Event::Alarm(_) | Event::Content(_) | Event::ToolHeld(_) => Arc::default(),
        })
    }
}

/// Something that looks at every event, in the order they were sent. It must not fail: what goes wrong it counts.
pub trait Reader: Send {
    /// Looks at one event.
    fn read(&mut self, told: &Told<'_>);

    /// Called after each batch and once at the end: whatever was put off is due now.
    fn flush(&mut self) {}
}

/// Reads events until every sender is gone or `stop` is cancelled; then reads what is left, flushes and returns.
///
/// Between batches it rests for `flush_every`, so that a busy gateway pays for one wake-up per batch and not for one per
/// request. A reader that blocks holds up the other readers, never the data path: run this on a thread of its own
/// (`EventLoop::spawn`).
pub async fn run(
    mut queues: EventQueues,
    mut readers: Vec<Box<dyn Reader>>,
    flush_every: Duration,
    stop: CancellationToken,
) {
    let rest = rest(queues.ordinary.max_capacity(), flush_every);
    let mut batch = Vec::with_capacity(BATCH);
    let mut stopping = false;
    loop {
        let count = tokio::select! {
            count = receive(&mut queues, &mut batch) => count,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                queues.ordinary.close();
                queues.important.close();
                continue;
            }
            // Whoever holds a place in the queue this long will not use it.
            () = tokio::time::sleep(LAST_WAIT), if stopping => 0,
        };
        if count == 0 {
            break;
        }
        for event in batch.drain(..) {
            let told = Told::new(&event);
            for reader in &mut readers {
                reader.read(&told);
            }
        }
        if queues.ordinary.is_empty() && !stopping {
            readers.iter_mut().for_each(|reader| reader.flush());
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => {}
            }
        }
    }
    readers.iter_mut().for_each(|reader| reader.flush());
}

/// Takes events off the queues; 0 when both are closed and empty. What must arrive comes there only when the other queue is full.
async fn receive(queues: &mut EventQueues, batch: &mut Vec<Event>) -> usize {
    let first = tokio::select! {
        biased;
        Some(event) = queues.important.recv() => Some(event),
        event = queues.ordinary.recv() => event,
    };
    batch.extend(first);
    while !batch.is_empty() && batch.len() < BATCH {
        let Ok(event) = queues.important.try_recv().or_else(|_| queues.ordinary.try_recv()) else { break };
        batch.push(event);
    }
    batch.len()
}

/// How long to rest, so that a small queue does not overflow meanwhile.
fn rest(capacity: usize, flush_every: Duration) -> Duration {
    let capacity = u32::try_from(capacity).unwrap_or(u32::MAX).min(ROOMY_QUEUE);
    flush_every * capacity / ROOMY_QUEUE
}

/// The readers at work on a thread of their own.
#[derive(Debug)]
pub struct EventLoop {
    thread: JoinHandle<()>,
    stop: CancellationToken,
}

impl EventLoop {
    /// Starts reading.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn spawn(queues: EventQueues, readers: Vec<Box<dyn Reader>>, flush_every: Duration) -> Result<Self, io::Error> {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new()
            .name("events".into())
            .spawn(move || runtime.block_on(run(queues, readers, flush_every, stopped)))?;
        Ok(Self { thread, stop })
    }

    /// Reads what is queued, takes nothing more and ends. Blocks until everything is flushed.
    ///
    /// # Errors
    /// When a reader panicked; the events after that are lost.
    pub fn finish(self) -> Result<(), io::Error> {
        self.stop.cancel();
        self.thread.join().map_err(|_| io::Error::other("an event reader panicked"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::{EventLoop, Reader, Told, rest, run};
    use crate::telemetry::EventQueues;
    use crate::types::{Event, Generation, Record, RequestId};

    /// What a reader saw: ids, and `|` for each flush after something was read.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<String>>);

    impl Reader for Seen {
        fn read(&mut self, told: &Told<'_>) {
            if let Event::Request(record) = told.event() {
                self.0.lock().unwrap().push_str(&record.id.0);
            }
        }

        fn flush(&mut self) {
            let mut seen = self.0.lock().unwrap();
            if !seen.is_empty() && !seen.ends_with('|') {
                seen.push('|');
            }
        }
    }

    /// A queue of this size, and one for what must arrive that nobody sends to.
    fn queues(size: usize) -> (mpsc::Sender<Event>, EventQueues) {
        let (sender, ordinary) = mpsc::channel(size);
        (sender, EventQueues { ordinary, important: mpsc::channel(1).1 })
    }

    fn event(id: &str) -> Event {
        Event::Request(Box::new(Record::new(0, RequestId(id.into()), Generation(1))))
    }

    #[tokio::test]
    async fn every_reader_sees_every_event_in_order_and_is_flushed_at_the_end() {
        let (sender, queues) = queues(16);
        let (one, two) = (Seen::default(), Seen::default());
        for id in ["a", "b", "c"] {
            sender.send(event(id)).await.unwrap();
        }
        drop(sender);
        let readers: Vec<Box<dyn Reader>> = vec![Box::new(one.clone()), Box::new(two.clone())];
        run(queues, readers, Duration::ZERO, CancellationToken::new()).await;
        assert_eq!(*one.0.lock().unwrap(), "abc|");
        assert_eq!(*two.0.lock().unwrap(), "abc|");
    }

    #[test]
    fn a_record_is_written_as_json_once() {
        let event = event("a");
        let told = Told::new(&event);
        assert!(Arc::ptr_eq(told.record(), told.record()));
        let record: serde_json::Value = serde_json::from_str(told.record()).unwrap();
        assert_eq!(record["id"], "a");
    }

    #[tokio::test]
    async fn events_that_come_together_are_flushed_together() {
        let (sender, queues) = queues(65_536);
        let seen = Seen::default();
        let every = Duration::from_millis(100);
        let task = tokio::spawn(run(queues, vec![Box::new(seen.clone())], every, CancellationToken::new()));
        sender.try_send(event("a")).unwrap();
        while *seen.0.lock().unwrap() != "a|" {
            tokio::task::yield_now().await;
        }
        sender.try_send(event("b")).unwrap();
        sender.try_send(event("c")).unwrap();
        drop(sender);
        task.await.unwrap();
        assert_eq!(*seen.0.lock().unwrap(), "a|bc|");
    }

    #[test]
    fn finishing_reads_what_is_queued_although_senders_live() {
        let (sender, queues) = queues(16);
        let seen = Seen::default();
        let events = EventLoop::spawn(queues, vec![Box::new(seen.clone())], Duration::from_secs(3600)).unwrap();
        for id in ["a", "b", "c"] {
            sender.blocking_send(event(id)).unwrap();
        }
        events.finish().unwrap();
        assert_eq!(seen.0.lock().unwrap().replace('|', ""), "abc");
        assert!(sender.try_send(event("d")).is_err(), "nobody reads any more, and the sender learns it");
    }

    #[tokio::test]
    async fn a_place_in_the_queue_that_is_never_used_does_not_hold_up_the_end() {
        let (sender, queues) = queues(16);
        let _kept = sender.clone().reserve_owned().await.unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        let seen = Seen::default();
        sender.send(event("a")).await.unwrap();
        run(queues, vec![Box::new(seen.clone())], Duration::ZERO, stop).await;
        assert_eq!(*seen.0.lock().unwrap(), "a|");
    }

    #[tokio::test]
    async fn what_must_arrive_is_read_from_its_own_queue_and_does_not_end_the_other() {
        let ((sender, ordinary), (reserve, important)) = (mpsc::channel(16), mpsc::channel(16));
        for id in ["a", "b"] {
            sender.try_send(event(id)).unwrap();
            reserve.try_send(event(&id.to_uppercase())).unwrap();
        }
        drop(reserve);
        sender.try_send(event("c")).unwrap();
        drop(sender);
        let seen = Seen::default();
        let queues = EventQueues { ordinary, important };
        run(queues, vec![Box::new(seen.clone())], Duration::ZERO, CancellationToken::new()).await;
        assert_eq!(seen.0.lock().unwrap().replace('|', ""), "ABabc");
    }

    #[test]
    fn a_small_queue_is_emptied_more_often() {
        let every = Duration::from_millis(50);
        assert_eq!(rest(65_536, every), every);
        assert_eq!(rest(8_192, every), Duration::from_millis(25));
        assert!(rest(16, every) < Duration::from_millis(1));
    }
}

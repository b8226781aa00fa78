//! The one door up, from its upper side: takes Events off the queue in batches and shows each to every reader.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use crate::types::Event;

/// Events taken off the queue at once.
const BATCH: usize = 1024;
/// A queue of this size or more may fill for a whole `flush_every`; a smaller one is emptied more often.
const ROOMY_QUEUE: u32 = 16_384;

/// After `stop`: how long a reserved place in the queue is waited for.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Something that looks at every event, in the order they were sent. It must not fail: what goes wrong it counts.
pub trait Reader: Send {
    /// Looks at one event.
    fn read(&mut self, event: &Event);

    /// Called after each batch and once at the end: whatever was put off is due now.
    fn flush(&mut self) {}
}

/// Reads events until every sender is gone or `stop` is cancelled; then reads what is left, flushes and returns.
///
/// Between batches it rests for `flush_every`, so that a busy gateway pays for one wake-up per batch and not for one per
/// request. A reader that blocks holds up the other readers, never the data path: run this on a thread of its own
/// (`EventLoop::spawn`).
pub async fn run(
    mut receiver: Receiver<Event>,
    mut readers: Vec<Box<dyn Reader>>,
    flush_every: Duration,
    stop: CancellationToken,
) {
    let rest = rest(receiver.max_capacity(), flush_every);
    let mut batch = Vec::with_capacity(BATCH);
    let mut stopping = false;
    loop {
        let count = tokio::select! {
            count = receiver.recv_many(&mut batch, BATCH) => count,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                receiver.close();
                continue;
            }
            // Whoever holds a place in the queue this long will not use it.
            () = tokio::time::sleep(LAST_WAIT), if stopping => 0,
        };
        if count == 0 {
            break;
        }
        for event in batch.drain(..) {
            for reader in &mut readers {
                reader.read(&event);
            }
        }
        if receiver.is_empty() && !stopping {
            readers.iter_mut().for_each(|reader| reader.flush());
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => {}
            }
        }
    }
    readers.iter_mut().for_each(|reader| reader.flush());
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
    pub fn spawn(
        receiver: Receiver<Event>,
        readers: Vec<Box<dyn Reader>>,
        flush_every: Duration,
    ) -> Result<Self, io::Error> {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new()
            .name("events".into())
            .spawn(move || runtime.block_on(run(receiver, readers, flush_every, stopped)))?;
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

//! The writer: bounded queues into one task that writes batches, and spools to disk while the database is away.
//!
//! Ordinary items (requests, content) are offered and never waited for; when their queue is full the overflow policy
//! says what happens, and it is counted. Important items (alerts, audit) have a queue of their own, whose senders wait.
//! Whatever was acknowledged is in the database, or in a synchronised file that is written to it later, exactly once.

mod apply;
mod health;
mod item;
mod reject;
mod spool;
mod task;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::options::Overflow;
use super::{Database, Options, StoreError};
use health::Shared;
use spool::Spool;
use task::{Entry, Task};

pub use apply::{Sink, Writing};
pub use health::{Health, State};
pub use item::{EventRow, FindingRow, Item, RequestRow, Tokens};

/// Where an item is once it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// In the database.
    Committed,
    /// In the spool on disk, and on its way into the database.
    Spooled,
}

/// The way into the store for everything that is written all the time. Cloning it shares the queues.
#[derive(Clone)]
pub struct Writer {
    important: mpsc::Sender<Entry>,
    ordinary: mpsc::Sender<Entry>,
    shared: Arc<Shared>,
    overflow: Overflow,
    stop: CancellationToken,
}

/// Room in the queue for one ordinary item.
pub struct Reserved {
    permit: mpsc::OwnedPermit<Entry>,
}

impl Reserved {
    /// Uses it.
    pub fn send(self, item: Item) {
        drop(self.permit.send(Entry::of(item)));
    }
}

impl Writer {
    /// Starts the writing task. The database may be away, or not yet `ready`: then it begins in the spool.
    ///
    /// # Errors
    /// `File` when the spool cannot be used.
    pub fn start(database: Database, options: &Options, sinks: Vec<Arc<dyn Sink>>) -> Result<Self, StoreError> {
        let spool = match &options.spool {
            Some(folder) => Some(Spool::open(folder, options.spool_max)?),
            None => None,
        };
        let (important, important_end) = mpsc::channel(options.important_queue.max(1));
        let (ordinary, ordinary_end) = mpsc::channel(options.queue.max(1));
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        let task = Task::new(database, options, sinks, (important_end, ordinary_end), spool, Arc::clone(&shared));
        // The task ends by itself when it is stopped, or when no handle is left.
        drop(tokio::spawn(task.run(stop.clone())));
        Ok(Self { important, ordinary, shared, overflow: options.overflow, stop })
    }

    /// Takes an ordinary item if there is room, and says whether there was. What is not taken is counted.
    pub fn offer(&self, item: Item) -> bool {
        let taken = self.ordinary.try_send(Entry::of(item)).is_ok();
        if !taken {
            self.shared.count_dropped();
        }
        taken
    }

    /// Whether a request may be taken on: always, unless the overflow policy is to refuse and the queue is full.
    pub fn has_room(&self) -> bool {
        match self.overflow {
            Overflow::Serve => true,
            Overflow::Refuse => self.ordinary.capacity() > 0,
        }
    }

    /// Keeps room for an item that will come; `None` when there is none.
    pub fn reserve(&self) -> Option<Reserved> {
        self.ordinary.clone().try_reserve_owned().ok().map(|permit| Reserved { permit })
    }

    /// Takes an item that must not be lost; waits for room as long as it takes.
    ///
    /// # Errors
    /// `Closed` after `close`.
    pub async fn important(&self, item: Item) -> Result<(), StoreError> {
        self.important.send(Entry::of(item)).await.map_err(|_| StoreError::Closed)
    }

    /// Takes an item and returns when it is durable.
    ///
    /// # Errors
    /// `Refused` when the database holds no such item, then or ever; `Closed` when it was closed before.
    pub async fn acknowledged(&self, item: Item) -> Result<Durable, StoreError> {
        let (entry, done) = Entry::acknowledged(Some(item));
        self.important.send(entry).await.map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)?
    }

    /// Returns when everything accepted so far is durable.
    ///
    /// # Errors
    /// `Closed` when it was closed before.
    pub async fn flush(&self) -> Result<Durable, StoreError> {
        let mark = async |queue: &mpsc::Sender<Entry>| -> Result<oneshot::Receiver<_>, StoreError> {
            let (entry, done) = Entry::acknowledged(None);
            queue.send(entry).await.map_err(|_| StoreError::Closed)?;
            Ok(done)
        };
        let (important, ordinary) = (mark(&self.important).await?, mark(&self.ordinary).await?);
        let important = important.await.map_err(|_| StoreError::Closed)??;
        let ordinary = ordinary.await.map_err(|_| StoreError::Closed)??;
        Ok(if important == Durable::Committed { ordinary } else { important })
    }

    /// Flushes, at most as long as the limit, and ends the task. What could not be made durable until then is lost, and
    /// the error says so.
    ///
    /// # Errors
    /// `Timeout`; `Closed` when it was closed before.
    pub async fn close(&self, limit: Duration) -> Result<Durable, StoreError> {
        let flushed = tokio::time::timeout(limit, self.flush()).await;
        self.stop.cancel();
        // The spool's folder is given free when the task is gone.
        let gone = async { tokio::join!(self.important.closed(), self.ordinary.closed()) };
        tokio::time::timeout(limit, gone).await.unwrap_or_default();
        flushed.unwrap_or(Err(StoreError::Timeout(limit)))
    }

    /// How it is doing; cheap.
    pub fn health(&self) -> Health {
        let waiting = |queue: &mpsc::Sender<Entry>| queue.max_capacity().saturating_sub(queue.capacity());
        self.shared.health(waiting(&self.ordinary), waiting(&self.important))
    }
}

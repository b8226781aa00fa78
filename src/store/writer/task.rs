//! The task behind the writer's queues: collects batches, writes them, spools them, writes the spool.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::apply::{Batch, Sink, apply, salvage};
use super::health::{Shared, State};
use super::item::Item;
use super::spool::{Front, Spool};
use super::{Durable, reject};
use crate::store::{Database, Options, StoreError};

/// Batches of the spool that are written before new items are looked at again: enough to catch up under load.
const REPLAY_AT_ONCE: usize = 8;

type Acknowledgement = Result<Durable, StoreError>;

/// An item in a queue; without one, a mark that everything before it is to be acknowledged.
pub(super) struct Entry {
    item: Option<Item>,
    done: Option<oneshot::Sender<Acknowledgement>>,
}

impl Entry {
    pub(super) const fn of(item: Item) -> Self {
        Self { item: Some(item), done: None }
    }

    pub(super) fn acknowledged(item: Option<Item>) -> (Self, oneshot::Receiver<Acknowledgement>) {
        let (done, wait) = oneshot::channel();
        (Self { item, done: Some(done) }, wait)
    }
}

pub(super) struct Task {
    /// First, because fields are dropped in order: whoever sees the queues end finds the spool given free.
    spool: Option<Arc<Mutex<Spool>>>,
    database: Database,
    sinks: Vec<Arc<dyn Sink>>,
    important: mpsc::Receiver<Entry>,
    ordinary: mpsc::Receiver<Entry>,
    folder: Option<PathBuf>,
    shared: Arc<Shared>,
    /// This start of this process.
    id: Arc<str>,
    number: i64,
    batch: usize,
    flush_every: Duration,
    retry_every: Duration,
    rejected_most: u64,
    /// Whether batches wait in the spool: then new ones go there too, so that all are written in order.
    spooling: bool,
    /// When the spool is tried next.
    next_try: Instant,
}

impl Task {
    pub(super) fn new(
        database: Database,
        options: &Options,
        sinks: Vec<Arc<dyn Sink>>,
        (important, ordinary): (mpsc::Receiver<Entry>, mpsc::Receiver<Entry>),
        spool: Option<Spool>,
        shared: Arc<Shared>,
    ) -> Self {
        let spooling = spool.as_ref().is_some_and(|spool| !spool.is_empty());
        shared.set_spool_bytes(spool.as_ref().map_or(0, Spool::bytes));
        Self {
            database,
            sinks,
            important,
            ordinary,
            spool: spool.map(|spool| Arc::new(Mutex::new(spool))),
            folder: options.spool.clone(),
            shared,
            id: uuid::Uuid::now_v7().to_string().into(),
            number: 0,
            batch: options.batch.max(1),
            flush_every: options.flush_every,
            retry_every: options.retry_every,
            rejected_most: options.spool_max,
            spooling,
            next_try: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let entries = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                entries = self.collect() => entries,
            };
            let Some(entries) = entries else { return };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = Box::pin(self.round(entries)) => {}
            }
        }
    }

    /// Items for one transaction, important ones first; nothing when only the spool is due. `None` at the end.
    async fn collect(&mut self) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut deadline = self.spooling.then_some(self.next_try);
        let mut waited_for = false;
        loop {
            for queue in [&mut self.important, &mut self.ordinary] {
                while entries.len() < self.batch
                    && let Ok(entry) = queue.try_recv()
                {
                    waited_for |= entry.done.is_some();
                    entries.push(entry);
                }
            }
            if waited_for || entries.len() >= self.batch {
                return Some(entries);
            }
            if entries.is_empty() && self.important.is_closed() && self.ordinary.is_closed() {
                return None;
            }
            if !entries.is_empty() {
                let soon = Instant::now().checked_add(self.flush_every).unwrap_or_else(Instant::now);
                deadline = Some(deadline.map_or(soon, |before| before.min(soon)));
            }
            let until = deadline.unwrap_or_else(Instant::now);
            let entry = tokio::select! {
                biased;
                Some(entry) = self.important.recv() => entry,
                Some(entry) = self.ordinary.recv() => entry,
                () = sleep_until(until), if deadline.is_some() => return Some(entries),
                else => return (!entries.is_empty()).then_some(entries),
            };
            waited_for |= entry.done.is_some();
            entries.push(entry);
        }
    }

    async fn round(&mut self, entries: Vec<Entry>) {
        let (items, waiting): (Vec<_>, Vec<_>) = entries.into_iter().map(|entry| (entry.item, entry.done)).unzip();
        let items: Vec<Item> = items.into_iter().flatten().collect();
        let durable = if items.is_empty() {
            Ok(if self.spooling { Durable::Spooled } else { Durable::Committed })
        } else {
            self.number = self.number.saturating_add(1);
            self.keep(Batch { writer: Arc::clone(&self.id), number: self.number, items }).await
        };
        for done in waiting.into_iter().flatten() {
            // Whoever asked may have gone.
            done.send(durable.clone()).unwrap_or_default();
        }
        if self.spooling && self.next_try <= Instant::now() {
            self.replay().await;
        }
    }

    /// Makes a batch durable, however long it takes.
    async fn keep(&mut self, batch: Batch) -> Acknowledgement {
        let items = batch.items.len();
        loop {
            if !self.spooling {
                match self.write(&batch).await {
                    Ok(0) => return Ok(Durable::Committed),
                    Ok(rejected) if rejected < items => return Ok(Durable::Committed),
                    Ok(_) => return Err(StoreError::Refused("see rejected.jsonl beside the spool".to_owned())),
                    Err(error) => self.note(&error),
                }
            }
            match self.append(&batch).await {
                Ok(()) => {
                    self.shared.count_spooled(items);
                    self.shared.set_state(State::Spooling);
                    if !self.spooling {
                        self.spooling = true;
                        self.next_try = after(self.retry_every);
                    }
                    return Ok(Durable::Spooled);
                }
                Err(error) => {
                    tracing::error!(%error, "a batch can go neither into the database nor into the spool");
                    self.shared.set_state(State::Full);
                    if let Err(error) = self.database.checkpoint().await {
                        self.note(&error);
                    }
                }
            }
            sleep(self.retry_every).await;
            self.replay().await;
        }
    }

    /// Writes a batch; says how many of its items the database refuses for good (they are set aside).
    async fn write(&self, batch: &Batch) -> Result<usize, StoreError> {
        self.database.ready().await?;
        let outcome = apply(&self.database, &self.sinks, batch).await;
        let rejected = match outcome {
            Ok(()) => 0,
            Err(error) if error.is_permanent() => {
                tracing::error!(%error, "a batch was refused and is written item by item");
                let rejected = Box::pin(salvage(&self.database, &self.sinks, batch)).await?;
                reject::set_aside(self.folder.as_deref(), self.rejected_most, &rejected);
                self.shared.count_rejected(rejected.len());
                rejected.len()
            }
            Err(error) => return Err(error),
        };
        self.shared.count_committed(batch.items.len().saturating_sub(rejected));
        self.shared.set_problem(String::new());
        if !self.spooling {
            self.shared.set_state(State::Up);
        }
        Ok(rejected)
    }

    async fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        let frame = serde_json::to_vec(batch).map_err(|why| StoreError::File(why.to_string()))?;
        self.with_spool(move |spool| spool.append(&frame)).await
    }

    /// Writes what waits in the spool, a few batches at a time.
    async fn replay(&mut self) {
        for _ in 0..REPLAY_AT_ONCE {
            let frame = match self.with_spool(Spool::front).await {
                Ok(Front::Frame(frame)) => frame,
                Ok(Front::Empty) => {
                    self.spooling = false;
                    self.shared.set_state(State::Up);
                    return;
                }
                // Without a spool nothing ever waits there.
                Err(StoreError::Full(_)) => return,
                Err(error) => return self.try_later(&error),
            };
            match serde_json::from_slice::<Batch>(&frame) {
                Ok(batch) => {
                    if let Err(error) = self.write(&batch).await {
                        return self.try_later(&error);
                    }
                }
                Err(why) => {
                    tracing::error!(%why, "a batch of the spool cannot be read and is set aside");
                    reject::set_aside_frame(self.folder.as_deref(), self.rejected_most, &frame);
                    self.shared.count_rejected(1);
                }
            }
            let advanced = self
                .with_spool(move |spool| {
                    spool.advance(&frame);
                    Ok(())
                })
                .await;
            if let Err(error) = advanced {
                return self.try_later(&error);
            }
        }
        self.next_try = Instant::now();
    }

    fn try_later(&mut self, error: &StoreError) {
        self.note(error);
        self.next_try = after(self.retry_every);
    }

    fn note(&self, error: &StoreError) {
        tracing::warn!(%error, "the store could not be written");
        self.shared.set_problem(error.to_string());
    }

    /// Work on the spool's files, on a thread that may block.
    async fn with_spool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(spool) = self.spool.clone() else { return Err(StoreError::Full("there is no spool")) };
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || {
            let mut spool = spool.lock().unwrap_or_else(PoisonError::into_inner);
            let done = work(&mut spool);
            shared.set_spool_bytes(spool.bytes());
            done
        });
        done.await.unwrap_or_else(|why| Err(StoreError::File(why.to_string())))
    }
}

fn after(time: Duration) -> Instant {
    Instant::now().checked_add(time).unwrap_or_else(Instant::now)
}

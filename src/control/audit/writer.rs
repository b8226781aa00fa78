//! The one task that writes: batches into the chain, checkpoints after them, the spool while the database is away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::batch::{self, Batch, Keeper};
use super::counts::{Counts, State};
use super::entry::{Entry, Kind, Outcome};
use super::keys::SigningKey;
use super::spool::Spool;
use super::trail::Receipt;
use super::witness::{Last, Witness};
use super::{AuditError, Options};
use crate::store::Database;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    Append(Box<Entry>, oneshot::Sender<Result<Receipt, AuditError>>),
    Flush(oneshot::Sender<()>),
    Rotate(oneshot::Sender<Result<String, AuditError>>),
    Close(oneshot::Sender<()>),
}

/// An entry and who waits for it.
type Waiting = (Entry, oneshot::Sender<Result<Receipt, AuditError>>);

pub(super) struct Writer {
    keeper: Keeper,
    options: Arc<Options>,
    spool: Arc<Mutex<Spool>>,
    witness: Arc<Mutex<Witness>>,
    counts: Arc<Counts>,
    /// Whether store and checkpoint files were compared since the start.
    attached: bool,
    /// When the database may be tried again.
    retry_at: Instant,
}

impl Writer {
    pub(super) fn new(
        database: Database,
        options: Arc<Options>,
        key: SigningKey,
        spool: Spool,
        witness: Witness,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            keeper: Keeper { database, options: Arc::clone(&options), key: Arc::new(key) },
            options,
            spool: Arc::new(Mutex::new(spool)),
            witness: Arc::new(Mutex::new(witness)),
            counts,
            attached: false,
            retry_at: Instant::now(),
        }
    }

    /// Works until it is told to close, or nobody is left to tell. Gives those back who told it.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Job>) -> Vec<oneshot::Sender<()>> {
        let every = self.options.checkpoint_every.max(Duration::from_millis(10));
        let mut tick = tokio::time::interval_at(Instant::now() + every, every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let batch = self.options.batch.max(1);
        let mut jobs = Vec::with_capacity(batch);
        let mut closers = Vec::new();
        while closers.is_empty() {
            let waiting = !lock(&self.spool).is_empty();
            tokio::select! {
                count = queue.recv_many(&mut jobs, batch) => {
                    if count == 0 {
                        break;
                    }
                    self.work(&mut jobs, &mut closers).await;
                }
                () = tokio::time::sleep_until(self.retry_at), if waiting => self.replay(1).await,
                _ = tick.tick(), if !waiting => self.checkpoint().await,
            }
        }
        queue.close();
        while queue.recv_many(&mut jobs, batch).await > 0 {
            self.work(&mut jobs, &mut closers).await;
        }
        self.checkpoint().await;
        closers
    }

    /// Does what was asked for, in order.
    async fn work(&mut self, jobs: &mut Vec<Job>, closers: &mut Vec<oneshot::Sender<()>>) {
        let mut entries = Vec::with_capacity(jobs.len());
        for job in jobs.drain(..) {
            if let Job::Append(entry, told) = job {
                entries.push((*entry, told));
                continue;
            }
            self.write(std::mem::take(&mut entries)).await;
            match job {
                Job::Append(..) => {}
                Job::Flush(told) => {
                    self.checkpoint().await;
                    tell(told, ());
                }
                Job::Rotate(told) => {
                    let rotated = self.rotate_key().await;
                    tell(told, rotated);
                }
                Job::Close(closer) => closers.push(closer),
            }
        }
        self.write(entries).await;
    }

    /// Puts entries into the chain or the spool and tells who waits.
    async fn write(&mut self, waiting: Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        if !lock(&self.spool).is_empty() && Instant::now() >= self.retry_at {
            self.replay(4).await;
        }
        let (entries, told): (Vec<Entry>, Vec<_>) = waiting.into_iter().unzip();
        // While older entries wait on the disk, newer ones wait behind them.
        if lock(&self.spool).is_empty() && Instant::now() >= self.retry_at {
            match self.commit(&entries, false).await {
                Ok(receipts) => {
                    for (told, receipt) in told.into_iter().zip(receipts) {
                        tell(told, Ok(receipt));
                    }
                    return;
                }
                Err(error) => self.away(&error),
            }
        }
        self.set_aside(entries, told).await;
    }

    /// Puts entries on the disk.
    async fn set_aside(&mut self, entries: Vec<Entry>, told: Vec<oneshot::Sender<Result<Receipt, AuditError>>>) {
        let total = entries.len();
        let done = blocking(&self.spool, move |spool| spool.append(&entries)).await;
        let taken = match &done {
            Ok(taken) => *taken,
            Err(_) => 0,
        };
        if let Err(error) = &done {
            tracing::error!(%error, "audit entries cannot be written to the spool");
        }
        let spooled = lock(&self.spool).waiting();
        self.counts.change(|health| {
            health.spooled = spooled;
            health.state = if taken < total { State::Full } else { State::Spooling };
            health.refused = health.refused.saturating_add(u64::try_from(total.saturating_sub(taken)).unwrap_or(0));
        });
        for (at, told) in told.into_iter().enumerate() {
            let receipt = match &done {
                _ if at < taken => Ok(Receipt::Spooled),
                Ok(_) => Err(AuditError::Full),
                Err(error) => Err(error.again()),
            };
            tell(told, receipt);
        }
    }

    /// Commits a batch; `doubtful` when some of it may have been committed before.
    async fn commit(&mut self, entries: &[Entry], doubtful: bool) -> Result<Vec<Receipt>, AuditError> {
        self.attach().await?;
        let mut done = self.keeper.commit(entries, doubtful).await;
        if let Err(AuditError::Store(error)) = &done
            && error.is_permanent()
            && !doubtful
        {
            // Most likely an entry that was written before.
            done = self.keeper.commit(entries, true).await;
        }
        let Batch { receipts, head, written, checkpoints } = done?;
        self.counts.wrote(&head, written);
        self.counts.change(|health| health.state = State::Up);
        self.bear_witness(checkpoints).await;
        Ok(receipts)
    }

    /// Puts up to `batches` batches of the spool into the chain.
    async fn replay(&mut self, batches: usize) {
        let size = self.options.batch.max(1);
        for _ in 0..batches {
            let (entries, bytes) = match blocking(&self.spool, move |spool| spool.peek(size)).await {
                Ok(oldest) => oldest,
                Err(error) => return self.away(&error),
            };
            if entries.is_empty() {
                break;
            }
            if let Err(error) = self.commit(&entries, true).await {
                return self.away(&error);
            }
            if let Err(error) = blocking(&self.spool, move |spool| spool.forget(bytes)).await {
                return self.away(&error);
            }
        }
        let spooled = lock(&self.spool).waiting();
        self.counts.change(|health| health.spooled = spooled);
    }

    /// The database, or a file, does not do what it should.
    fn away(&mut self, error: &AuditError) {
        tracing::warn!(%error, "the audit trail cannot write to the store");
        self.retry_at = Instant::now() + self.options.retry_every;
        self.counts.change(|health| {
            if health.state == State::Up {
                health.state = State::Spooling;
            }
        });
    }

    /// Signs what is not signed yet.
    async fn checkpoint(&mut self) {
        let done = match self.attach().await {
            Ok(()) => self.keeper.checkpoint().await,
            Err(error) => Err(error),
        };
        match done {
            Ok(checkpoints) => {
                self.bear_witness(checkpoints).await;
                if lock(&self.spool).is_empty() {
                    self.counts.change(|health| health.state = State::Up);
                }
            }
            Err(error) => self.away(&error),
        }
    }

    /// Writes checkpoints to the files outside the store, those of other replicas among them.
    async fn bear_witness(&mut self, made: batch::Made) {
        if let Some(last) = made.signed.last() {
            let (seq, time) = (last.checkpoint.seq, last.checkpoint.time);
            self.counts.change(|health| {
                health.checkpoint = seq;
                health.checkpoint_time = time;
            });
        }
        let known = lock(&self.witness).last().map(|last| last.hash).unwrap_or_default();
        let missing = match made.signed.first() {
            // Nobody else made one since ours.
            Some(first) if first.checkpoint.previous == known => Ok(made.signed),
            None if made.latest == known => return,
            _ => self.missed().await,
        };
        let done = match missing {
            Ok(missing) => blocking(&self.witness, move |witness| witness.append(&missing)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &done {
            tracing::error!(%error, "checkpoints cannot be written outside the store");
        }
        self.counts.change(|health| health.witnessed = done.is_ok());
    }

    /// The checkpoints of the store that the files do not have.
    async fn missed(&self) -> Result<Vec<super::checkpoint::Signed>, AuditError> {
        let after = lock(&self.witness).last().map_or(0, |last| last.seq);
        self.keeper.checkpoints_after(after).await
    }

    /// The first time the database answers: gives the chain its id and this replica's key, and compares the chain with
    /// the checkpoint files.
    async fn attach(&mut self) -> Result<(), AuditError> {
        if self.attached {
            return Ok(());
        }
        let last = lock(&self.witness).last().cloned();
        let head = self.keeper.adopt().await?;
        let mut found = Vec::new();
        // It was introduced, even if that record is in a segment by now.
        let signed = last.as_ref().is_some_and(|l| l.store == head.store && l.key == self.keeper.key.public().id());
        if let Some(last) = last
            && let Some(what) = self.contradiction(&head.store, &last).await?
        {
            tracing::error!(what, "the store contradicts the audit checkpoints outside it");
            self.counts.change(|health| health.diverged = true);
            found.push(
                Entry::new(Kind::Integrity, "audit", "checkpoints")
                    .outcome(Outcome::Failure)
                    .detail("what", what)
                    .detail("checkpoint", last.seq)
                    .detail("store_seq", head.seq),
            );
        }
        found.extend(self.keeper.introduction(&head.store, signed).await?);
        if !found.is_empty() {
            let Batch { head, written, checkpoints, .. } = self.keeper.commit(&found, true).await?;
            self.counts.wrote(&head, written);
            self.bear_witness(checkpoints).await;
        }
        self.keeper.complete_rotation()?;
        self.attached = true;
        Ok(())
    }

    /// What is wrong when the last checkpoint of the files is not the store's.
    async fn contradiction(&self, store: &str, last: &Last) -> Result<Option<&'static str>, AuditError> {
        if last.store != store {
            return Ok(Some("the checkpoint files are of another store"));
        }
        Ok(match self.keeper.checkpoint_at(last.seq).await? {
            Some(signed) if signed.hash() == last.hash => None,
            Some(_) => Some("the store has another checkpoint"),
            None => Some("the store lacks a checkpoint"),
        })
    }

    /// Has the old key introduce a new one, and changes over.
    async fn rotate_key(&mut self) -> Result<String, AuditError> {
        self.attach().await?;
        // What was written so far is signed by the old key.
        let made = self.keeper.checkpoint().await?;
        self.bear_witness(made).await;
        let directory = self.options.directory.clone();
        let next = tokio::task::spawn_blocking(move || SigningKey::next(&directory))
            .await
            .map_err(|_| AuditError::Closed)??;
        let store = self.keeper.database.audit_head().await?.store;
        let entry = self.keeper.rotation(&next, &store);
        let Batch { head, written, checkpoints, .. } = self.keeper.commit(&[entry], true).await?;
        self.counts.wrote(&head, written);
        self.bear_witness(checkpoints).await;
        let made = self.keeper.checkpoint().await?;
        self.bear_witness(made).await;
        next.succeed(&self.options.directory)?;
        let id = next.public().id();
        self.keeper.key = Arc::new(next);
        Ok(id)
    }
}

/// Who asked may have gone.
fn tell<T>(told: oneshot::Sender<T>, what: T) {
    drop(told.send(what));
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Works on a file where waiting for the disk holds nobody up.
async fn blocking<T: Send + 'static, R: Send + 'static>(
    shared: &Arc<Mutex<T>>,
    work: impl FnOnce(&mut T) -> Result<R, AuditError> + Send + 'static,
) -> Result<R, AuditError> {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || work(&mut lock(&shared))).await.unwrap_or(Err(AuditError::Closed))
}

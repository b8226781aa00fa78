//! The way into the trail.

use std::fs::{self, File, TryLockError};
use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};

use super::chain::Hash;
use super::counts::{Counts, Health};
use super::entry::{Entry, Kind};
use super::keys::SigningKey;
use super::spool::Spool;
use super::witness::Witness;
use super::writer::{Job, Writer};
use super::{AuditError, Options};
use crate::store::Database;
use crate::store::audit::{AuditFilter, AuditRow};

/// Where an acknowledged entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// In the chain, committed.
    Committed {
        /// Its number.
        seq: i64,
        /// Its hash.
        hash: Hash,
    },
    /// On the disk, to be put into the chain as soon as the database answers.
    Spooled,
    /// In the chain before: an entry with this id was written.
    Known,
}

/// A receipt that is on its way. It may be dropped: the entry is written all the same.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Receipt, AuditError>>);

impl Future for Pending {
    type Output = Result<Receipt, AuditError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|told| told.unwrap_or(Err(AuditError::Closed)))
    }
}

/// The audit trail of one store. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Trail {
    jobs: mpsc::Sender<Job>,
    counts: Arc<Counts>,
    database: Database,
    options: Arc<Options>,
    /// Held as long as anybody uses the directory.
    _lock: Arc<File>,
}

impl Trail {
    /// Opens the trail: makes its directory (0700) and key where there are none, and starts the writer. The database need
    /// not answer yet.
    ///
    /// # Errors
    /// When the directory cannot be used: no access, a key that is none, another process.
    pub async fn open(database: Database, options: Options) -> Result<Self, AuditError> {
        let options = Arc::new(options);
        let kept = Arc::clone(&options);
        let (lock, key, spool, witness) =
            tokio::task::spawn_blocking(move || open_files(&kept)).await.map_err(gone)??;
        let counts = Arc::new(Counts::default());
        counts.change(|health| health.spooled = spool.waiting());
        let (jobs, queue) = mpsc::channel(options.queue.max(1));
        let writer = Writer::new(database.clone(), Arc::clone(&options), key, spool, witness, Arc::clone(&counts));
        let lock = Arc::new(lock);
        let held = Arc::clone(&lock);
        tokio::spawn(async move {
            let closers = writer.run(queue).await;
            drop(held);
            // Whoever closed it may open the directory again from here on.
            drop(closers);
        });
        Ok(Self { jobs, counts, database, options, _lock: lock })
    }

    /// Writes an entry down and returns when it is durable: in the chain, or in the spool. Waits while the queue is full.
    ///
    /// # Errors
    /// `Full` when neither takes it, `File` when the spool cannot be written, `Closed`.
    pub async fn append(&self, entry: Entry) -> Result<Receipt, AuditError> {
        let (told, pending) = oneshot::channel();
        self.jobs.send(Job::Append(Box::new(entry.bounded()), told)).await.map_err(|_| AuditError::Closed)?;
        Pending(pending).await
    }

    /// Hands an entry to the writer without waiting.
    ///
    /// # Errors
    /// The entry itself when the queue is full or the trail closed: nothing is dropped silently.
    pub fn try_append(&self, entry: Entry) -> Result<Pending, Box<Entry>> {
        let (told, pending) = oneshot::channel();
        match self.jobs.try_send(Job::Append(Box::new(entry.bounded()), told)) {
            Ok(()) => Ok(Pending(pending)),
            Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) => match job {
                Job::Append(entry, _) => Err(entry),
                // Not what was sent above.
                Job::Flush(_) | Job::Rotate(_) | Job::Close(_) => {
                    Err(Box::new(Entry::new(Kind::Integrity, "audit", "queue")))
                }
            },
        }
    }

    /// Returns when every entry handed over so far is durable and, unless the database is away, covered by a checkpoint.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn flush(&self) -> Result<(), AuditError> {
        let (told, done) = oneshot::channel();
        self.jobs.send(Job::Flush(told)).await.map_err(|_| AuditError::Closed)?;
        done.await.map_err(|_| AuditError::Closed)
    }

    /// Writes what was handed over so far, signs the last checkpoint and ends the writer. Later calls say `Closed`.
    pub async fn close(self) {
        let (closer, done) = oneshot::channel();
        if self.jobs.send(Job::Close(closer)).await.is_ok() {
            // It is dropped, not answered.
            drop(done.await);
        }
    }

    /// Introduces a new signing key with the word of the old one, and signs with it from then on. Returns its id.
    ///
    /// # Errors
    /// When the database is away, or the key cannot be written.
    pub async fn rotate_key(&self) -> Result<String, AuditError> {
        let (told, done) = oneshot::channel();
        self.jobs.send(Job::Rotate(told)).await.map_err(|_| AuditError::Closed)?;
        done.await.map_err(|_| AuditError::Closed)?
    }

    /// How it is doing.
    pub fn health(&self) -> Health {
        self.counts.read()
    }

    /// At most `limit` records that `filter` lets through, the youngest first; `before` the last one is the next page.
    /// With `from`, the oldest first.
    ///
    /// # Errors
    /// Of the database.
    pub async fn query(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, AuditError> {
        Ok(self.database.audit_query(filter, limit).await?)
    }

    /// Takes away what the trail says of a user, and writes down that it was done (not whose it was: that would say it
    /// again). The chain stays valid. Returns how many records it was.
    ///
    /// # Errors
    /// Of the database, or of writing it down.
    pub async fn erase(&self, user: &str, actor: &str) -> Result<u64, AuditError> {
        // Entries that wait for the database have to be there to be erased.
        self.flush().await?;
        let erased = self.database.audit_erase(user).await?;
        let entry = Entry::new(Kind::Erasure, actor, "audit").detail("records", erased);
        self.append(entry).await?;
        Ok(erased)
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Its database.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }
}

fn gone(_: tokio::task::JoinError) -> AuditError {
    AuditError::Closed
}

fn open_files(options: &Options) -> Result<(File, SigningKey, Spool, Witness), AuditError> {
    let directory = &options.directory;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| AuditError::file(directory, error))?;
    let lock = take_lock(directory)?;
    let key = SigningKey::open(directory)?;
    let spool = Spool::open(&directory.join("spool"), options.spool_max)?;
    let witness = Witness::open(directory, options.checkpoint_file_max)?;
    Ok((lock, key, spool, witness))
}

/// One process per directory: two would write over each other's spool.
fn take_lock(directory: &Path) -> Result<File, AuditError> {
    let path = directory.join("lock");
    let file = File::create(&path).map_err(|error| AuditError::file(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AuditError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(AuditError::file(&path, error)),
    }
}

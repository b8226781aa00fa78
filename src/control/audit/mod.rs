//! The audit trail: what happened, in a chain that shows when it was changed, cut or rewritten.
//!
//! `entry` is what is written down, `chain` what is hashed, `trail` the way in and `writer` the one task behind it,
//! which keeps `spool` (the database is away), `checkpoint` and `witness` (signatures inside and outside the store).
//! `verify` reads a chain again, from the store or from files (`transcript`); `segment` moves old records to such files;
//! `proof` shows one record to somebody who has only the public key.

mod batch;
pub mod canonical;
pub mod chain;
pub mod check;
pub mod checkpoint;
mod counts;
pub mod entry;
pub mod keys;
pub mod merkle;
pub mod ocsf;
mod parallel;
pub mod prepare;
pub mod proof;
pub mod segment;
mod spool;
pub mod trail;
pub mod transcript;
pub mod verify;
pub mod walk;
pub mod witness;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use check::{Checks, Verified, VerifiedState};
pub use counts::{Health, State};
pub use entry::{Entry, Kind, Outcome, entry_for_block};
pub use keys::{KeyRing, PublicKey, SigningKey};
pub use proof::Proof;
pub use trail::{Pending, Receipt, Trail};
pub use verify::{Fault, Finding, Summary};

use crate::config::audit_settings::Audit;
use crate::store::StoreError;

/// How a trail is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the signing key, the checkpoint files, the spool and the segments live: not where the store is.
    pub directory: PathBuf,
    /// The name of this replica, in every record it writes.
    pub replica: String,
    /// A checkpoint is signed at the latest so long after a record.
    pub checkpoint_every: Duration,
    /// And after so many records.
    pub checkpoint_records: u32,
    /// Entries that may wait for the writer.
    pub queue: usize,
    /// Entries written in one transaction.
    pub batch: usize,
    /// Bytes of entries that may wait on the disk while the database is away.
    pub spool_max: u64,
    /// How long to wait between attempts to reach a database that is away.
    pub retry_every: Duration,
    /// A checkpoint file is set aside when it has so many bytes.
    pub checkpoint_file_max: u64,
    /// Records of one segment file.
    pub segment_records: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("data/audit"),
            replica: "portcullis".to_owned(),
            checkpoint_every: Duration::from_secs(1),
            checkpoint_records: 1000,
            queue: 8192,
            batch: 512,
            spool_max: 256 << 20,
            retry_every: Duration::from_millis(500),
            checkpoint_file_max: 64 << 20,
            segment_records: 100_000,
        }
    }
}

impl Options {
    /// As `[audit]` says, for the replica of that name.
    pub fn of(settings: &Audit, replica: &str) -> Self {
        Self {
            directory: settings.directory.clone(),
            replica: replica.to_owned(),
            checkpoint_every: settings.checkpoint_every.get(),
            checkpoint_records: settings.checkpoint_records,
            queue: settings.queue,
            batch: settings.batch,
            spool_max: settings.spool_max.get(),
            retry_every: settings.retry_every.get(),
            checkpoint_file_max: settings.checkpoint_file_max.get(),
            segment_records: settings.segment_records,
        }
    }
}

/// What can go wrong with the trail.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the trail.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A file that should hold an Ed25519 key holds none.
    #[error("{}: there is no Ed25519 key in it (PEM)", .0.display())]
    NoKey(PathBuf),
    /// Another process keeps a trail in the directory.
    #[error("{}: another process keeps its audit trail there", .0.display())]
    InUse(PathBuf),
    /// Neither the database nor the spool takes the entry.
    #[error("the audit trail is full: the database is away, and the spool has no room")]
    Full,
    /// The writer is gone.
    #[error("the audit trail is closed")]
    Closed,
    /// What was asked for does not exist (yet).
    #[error("{0}")]
    Missing(String),
    /// The chain or a file of it is not what it should be.
    #[error("{0}")]
    Damaged(String),
}

impl AuditError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    /// Another one like it, for each of those who wait for the same write.
    fn again(&self) -> Self {
        match self {
            Self::Store(error) => Self::Store(error.clone()),
            Self::File { path, source } => Self::File { path: path.clone(), source: source.kind().into() },
            Self::NoKey(path) => Self::NoKey(path.clone()),
            Self::InUse(path) => Self::InUse(path.clone()),
            Self::Full => Self::Full,
            Self::Closed => Self::Closed,
            Self::Missing(what) => Self::Missing(what.clone()),
            Self::Damaged(what) => Self::Damaged(what.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_settings_are_those_of_the_options() {
        assert_eq!(Options::of(&Audit::default(), "portcullis"), Options::default());
    }
}

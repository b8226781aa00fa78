//! `[audit]`: the settings of the audit trail, part of `settings`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Size, Time};

/// The audit trail: where its key, checkpoints and segments are, how often it is signed, how long it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The name of this replica in what it writes; absent: the host's.
    pub replica: Option<String>,
    /// Where signing key, checkpoint files, spool and segments live. Not on the disk of the store, best.
    pub directory: PathBuf,
    /// The longest time a record waits for a signed checkpoint.
    pub checkpoint_every: Time,
    /// Records after which a checkpoint is signed at once.
    pub checkpoint_records: u32,
    /// Entries that may wait for the writer; further ones wait at their source.
    pub queue: usize,
    /// Entries written in one transaction.
    pub batch: usize,
    /// Bytes of entries that may wait on the disk while the database is away.
    pub spool_max: Size,
    /// Pause between attempts to reach a database that is away.
    pub retry_every: Time,
    /// Bytes after which a checkpoint file is set aside; none is ever removed.
    pub checkpoint_file_max: Size,
    /// Records of one segment file.
    pub segment_records: u32,
    /// Records older than this move from the store to compressed segment files; "0" keeps them in the store.
    pub archive_after: Time,
    /// Segments whose records are all older than this are removed; "0" keeps them for ever.
    pub keep: Time,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            replica: None,
            directory: PathBuf::from("data/audit"),
            checkpoint_every: Time::from_secs(1),
            checkpoint_records: 1000,
            queue: 8192,
            batch: 512,
            spool_max: Size::bytes(256 << 20),
            retry_every: Time::from_millis(500),
            checkpoint_file_max: Size::bytes(64 << 20),
            segment_records: 100_000,
            archive_after: Time::from_secs(90 * 86_400),
            keep: Time::from_secs(0),
        }
    }
}

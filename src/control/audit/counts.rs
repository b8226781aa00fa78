//! How the trail is doing: read by readiness, metrics and the admin API at no cost.

use std::sync::Mutex;
use std::sync::PoisonError;

use super::chain::Head;
use crate::types::hex;

/// Where entries go at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Into the chain.
    #[default]
    Up,
    /// To the disk: the database is away.
    Spooling,
    /// Nowhere: the database is away and the spool is full or cannot be written.
    Full,
}

/// How the trail is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Health {
    /// Where entries go.
    pub state: State,
    /// The last record that this replica wrote.
    pub seq: i64,
    /// Its hash, in hexadecimal digits.
    pub head: String,
    /// Entries this replica put into the chain since it started.
    pub written: u64,
    /// Bytes of entries that wait on the disk.
    pub spooled: u64,
    /// Entries that neither database nor spool took: their callers were told.
    pub refused: u64,
    /// The last record that a checkpoint covers.
    pub checkpoint: i64,
    /// When that checkpoint was made: Unix time in microseconds.
    pub checkpoint_time: i64,
    /// Whether the last checkpoint also stands in the files outside the store.
    pub witnessed: bool,
    /// Store and checkpoint files contradict each other: one of them was changed, or restored from a backup.
    pub diverged: bool,
}

/// Shared between writer and handles.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<Health>);

impl Counts {
    pub(super) fn read(&self) -> Health {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn wrote(&self, head: &Head, count: u64) {
        self.change(|health| {
            health.seq = head.seq;
            health.head = hex(&head.hash);
            health.written = health.written.saturating_add(count);
        });
    }
}

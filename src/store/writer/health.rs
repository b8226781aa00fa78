//! How the writer is doing, for `/readyz` and the metrics.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Where batches go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum State {
    /// Into the database.
    #[default]
    Up,
    /// Into the spool, or from there into the database.
    Spooling,
    /// Nowhere: the database is away and the spool takes no more. Queues fill.
    Full,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Up, Self::Spooling, Self::Full];

    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Spooling => "spooling",
            Self::Full => "full",
        }
    }
}

/// How the writer is doing. Counts are since the process started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Where batches go.
    pub state: State,
    /// Bytes in the spool.
    pub spool_bytes: u64,
    /// Ordinary items that wait.
    pub queued: usize,
    /// Important items that wait.
    pub important_queued: usize,
    /// Items that were committed, replayed ones included.
    pub committed: u64,
    /// Items that went into the spool.
    pub spooled: u64,
    /// Ordinary items for which there was no room.
    pub dropped: u64,
    /// Items the database refused for good; they are in `rejected.jsonl` beside the spool.
    pub rejected: u64,
    /// Why the database could not be written last; empty when it could.
    pub problem: String,
}

/// What the task tells and the handles read.
#[derive(Default)]
pub(super) struct Shared {
    state: AtomicU8,
    spool_bytes: AtomicU64,
    committed: AtomicU64,
    spooled: AtomicU64,
    dropped: AtomicU64,
    rejected: AtomicU64,
    problem: Mutex<String>,
}

impl Shared {
    pub(super) fn health(&self, queued: usize, important_queued: usize) -> Health {
        let state = self.state.load(Ordering::Relaxed);
        Health {
            state: State::ALL.into_iter().find(|known| *known as u8 == state).unwrap_or_default(),
            spool_bytes: self.spool_bytes.load(Ordering::Relaxed),
            queued,
            important_queued,
            committed: self.committed.load(Ordering::Relaxed),
            spooled: self.spooled.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            problem: self.problem.lock().map(|problem| problem.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn set_state(&self, state: State) {
        let before = self.state.swap(state as u8, Ordering::Relaxed);
        if before != state as u8 {
            tracing::warn!(state = state.name(), "the store's writer changed its state");
        }
    }

    pub(super) fn set_spool_bytes(&self, bytes: u64) {
        self.spool_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_problem(&self, problem: String) {
        if let Ok(mut held) = self.problem.lock() {
            *held = problem;
        }
    }

    pub(super) fn count_committed(&self, items: usize) {
        self.committed.fetch_add(u64::try_from(items).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn count_spooled(&self, items: usize) {
        self.spooled.fetch_add(u64::try_from(items).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_rejected(&self, items: usize) {
        self.rejected.fetch_add(u64::try_from(items).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

//! What the store needs to know, with defaults that suit one machine.

use std::path::PathBuf;
use std::time::Duration;

use crate::types::Secret;

/// What to do with an ordinary item when its queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// Callers ask `has_room` before they take a request, and refuse it when there is none.
    Refuse,
    /// Requests are served; what finds no room is dropped and counted.
    #[default]
    Serve,
}

impl Overflow {
    /// The word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Serve => "serve",
        }
    }
}

/// How the store behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The most any statement on PostgreSQL, and any wait for a connection or a lock, may take.
    pub timeout: Duration,
    /// Connections for reading (SQLite), or in all (PostgreSQL).
    pub connections: u32,
    /// SQLite files up to this many bytes are read and checked whole at start.
    pub check_max: u64,
    /// The most pages a SQLite file may have; `None`: as the library has it. For tests of a full disk.
    pub max_pages: Option<u32>,
    /// Ordinary items that may wait for the writer.
    pub queue: usize,
    /// Important items that may wait for the writer; further senders wait.
    pub important_queue: usize,
    /// What happens when the ordinary queue is full.
    pub overflow: Overflow,
    /// The most items of one transaction.
    pub batch: usize,
    /// How long an item may wait for others to share its transaction.
    pub flush_every: Duration,
    /// Where batches go while the database is away; `None`: nowhere, they wait in the queue.
    pub spool: Option<PathBuf>,
    /// The most bytes of the spool.
    pub spool_max: u64,
    /// How long to wait between attempts to reach a database that is away.
    pub retry_every: Duration,
    /// The key that content is encrypted with at rest: 32 bytes as hex or base64.
    pub content_key: Option<Secret>,
    /// Keys that content was encrypted with before, for reading.
    pub old_content_keys: Vec<Secret>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            connections: 4,
            check_max: 256 << 20,
            max_pages: None,
            queue: 20_000,
            important_queue: 1_000,
            overflow: Overflow::default(),
            batch: 2_000,
            flush_every: Duration::from_millis(50),
            spool: None,
            spool_max: 1 << 30,
            retry_every: Duration::from_millis(500),
            content_key: None,
            old_content_keys: Vec::new(),
        }
    }
}

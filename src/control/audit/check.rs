//! The trail verified while the gateway runs: one verification at a time, off the threads that serve, within a time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::keys::KeyRing;
use super::walk::{self, Against};
use super::{AuditError, Finding, Summary, segment};
use crate::store::{Database, now};

/// How a verification stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerifiedState {
    /// There was none since this process started.
    #[default]
    Never,
    /// It is under way.
    Running,
    /// All of it is as it was written.
    Intact,
    /// Something was changed, removed or forged: the problem says what.
    Broken,
    /// It took longer than it may; up to `reached` all is as it was written.
    Unfinished,
    /// Something that it needs could not be read.
    Failed,
}

/// The first thing that is wrong with the trail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifiedProblem {
    /// The number of the first bad entry, or of the first that a bad checkpoint covers.
    pub seq: i64,
    /// In one word, such as `changed`, `removed`, `rewritten`.
    pub fault: String,
    /// The same for people.
    pub what: String,
}

/// One verification of the trail, as far as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verified {
    /// How it stands.
    pub state: VerifiedState,
    /// Only entries from this number on, as the store has them; none: all there are, with segments and the checkpoints
    /// outside the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Only entries up to this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// When it began: Unix time in microseconds; 0: there was none.
    pub started: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
    /// The last entry verified so far.
    pub reached: i64,
    /// Entries whose hashes are right.
    pub entries: u64,
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
    /// Checkpoints whose signatures are right.
    pub checkpoints: u64,
    /// Entries after the last checkpoint: chained, not signed yet.
    pub unsigned: i64,
    /// Entries that only a checkpoint within the store covers.
    pub unwitnessed: i64,
    /// Entries whose personal part was erased.
    pub erased: u64,
    /// Entries before the first that were removed under a retention rule.
    pub retired: i64,
    /// The ids of the keys that are believed from the start.
    pub keys: Vec<String>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<VerifiedProblem>,
}

impl Verified {
    fn summed(&mut self, summary: &Summary) {
        self.state = VerifiedState::Intact;
        self.reached = summary.last;
        self.entries = summary.records;
        self.first = summary.first;
        self.last = summary.last;
        self.checkpoints = summary.checkpoints;
        // The end of a range may be signed by a checkpoint after it.
        self.unsigned = if self.to.is_some() { 0 } else { summary.unsigned };
        self.unwitnessed = if self.from.is_some() || self.to.is_some() { 0 } else { summary.unwitnessed };
        self.erased = summary.erased;
        self.retired = summary.retired;
    }

    fn broken(&mut self, found: Finding) {
        self.state = VerifiedState::Broken;
        self.problem = Some(VerifiedProblem { seq: found.seq, fault: found.fault.name().to_owned(), what: found.what });
    }
}

/// Verifies one trail, and remembers how the last verification went.
#[derive(Clone)]
pub struct Checks(Arc<Parts>);

struct Parts {
    database: Database,
    directory: PathBuf,
    longest: Duration,
    /// The one under way, or the last.
    last: Mutex<Verified>,
    reached: Arc<AtomicI64>,
    changed: watch::Sender<u64>,
}

impl Checks {
    /// Of the trail in that database and directory; one verification takes `longest` at most.
    pub fn new(database: Database, directory: PathBuf, longest: Duration) -> Self {
        let (changed, _) = watch::channel(0);
        let (last, reached) = (Mutex::default(), Arc::default());
        Self(Arc::new(Parts { database, directory, longest, last, reached, changed }))
    }

    /// How the one under way stands, or how the last one went.
    pub fn last(&self) -> Verified {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if last.state == VerifiedState::Running {
            last.reached = self.0.reached.load(Ordering::Relaxed);
        }
        last
    }

    /// Begins one, unless one is under way; says how it stands after `wait` at the latest.
    pub async fn run(&self, (from, to): (Option<i64>, Option<i64>), wait: Duration) -> Option<Verified> {
        let mut changed = self.0.changed.subscribe();
        let begun = Verified { state: VerifiedState::Running, from, to, started: now(), ..Verified::default() };
        {
            let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.state == VerifiedState::Running {
                return None;
            }
            *last = begun.clone();
        }
        self.0.reached.store(0, Ordering::Relaxed);
        let (checks, runtime) = (self.clone(), Handle::current());
        // Hashing pages of entries keeps a thread busy: not one that serves.
        let work = tokio::task::spawn_blocking(move || runtime.block_on(checks.verify(begun)));
        let checks = self.clone();
        tokio::spawn(async move {
            if work.await.is_err() {
                checks.done(|last| last.state = VerifiedState::Failed);
            }
        });
        drop(tokio::time::timeout(wait, changed.changed()).await);
        Some(self.last())
    }

    async fn verify(&self, mut begun: Verified) {
        let parts = &self.0;
        let walked = match KeyRing::of_directory(&parts.directory) {
            Ok(keys) => {
                begun.keys = keys.ids();
                tokio::time::timeout(parts.longest, self.walk(keys, (begun.from, begun.to))).await
            }
            Err(error) => Ok(Err(error)),
        };
        begun.reached = parts.reached.load(Ordering::Relaxed);
        match walked {
            Ok(Ok(Ok(summary))) => begun.summed(&summary),
            Ok(Ok(Err(found))) => begun.broken(found),
            Ok(Err(error)) => {
                tracing::error!(%error, "the audit trail cannot be verified");
                begun.state = VerifiedState::Failed;
            }
            Err(_) => begun.state = VerifiedState::Unfinished,
        }
        self.done(|last| *last = begun);
    }

    async fn walk(
        &self,
        keys: KeyRing,
        (from, to): (Option<i64>, Option<i64>),
    ) -> Result<Result<Summary, Finding>, AuditError> {
        let Parts { database, directory, reached, .. } = &*self.0;
        if from.is_none() && to.is_none() {
            let segments = Some(directory.join(segment::DIRECTORY));
            let against = Against { keys, checkpoints: Some(directory.clone()), segments };
            return walk::watched(database, &against, reached).await;
        }
        walk::range(database, keys, (from.unwrap_or(1).max(1), to.unwrap_or(i64::MAX)), reached).await
    }

    fn done(&self, change: impl FnOnce(&mut Verified)) {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut last);
        last.ended = Some(now());
        drop(last);
        self.0.changed.send_modify(|number| *number = number.wrapping_add(1));
    }
}

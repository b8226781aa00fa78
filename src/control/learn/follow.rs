//! Learned rules out of the store into the Snapshot, on every replica.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::{Handle, Learned, LearnedFile};
use crate::store::{Database, StoreError};
use crate::types::Generation;
use crate::types::learn::Stage;

/// Keeps the learned rules of the Snapshot in step with the store.
#[derive(Debug)]
pub struct LearnedFollower {
    database: Database,
    config: Arc<Handle>,
    /// What could not be compiled, and with which files: it is not tried again until something changes.
    failed: Option<(u64, Generation)>,
    /// Until then what is only on trial waits: many proposals that come into the shadow are compiled in together.
    rests_until: Option<Instant>,
}

/// So many times as long as compiling took what is on trial waits, and no longer than this.
const REST: u32 = 19;
const MOST_REST: Duration = Duration::from_secs(20);

impl LearnedFollower {
    /// From this store into this Snapshot.
    pub fn new(database: Database, config: Arc<Handle>) -> Self {
        Self { database, config, failed: None, rests_until: None }
    }

    /// Looks whether something else is staged than what is in the Snapshot, and compiles it in; says whether it was so. A reload
    /// that was prepared before a change puts the older rules back for a moment: that shows here too.
    ///
    /// # Errors
    /// The store does not answer; what is in force stays.
    pub async fn look(&mut self) -> Result<bool, StoreError> {
        let version = self.database.changes().await?.learned;
        let (known, generation) = {
            let snapshot = self.config.load();
            (snapshot.learned.version, snapshot.generation)
        };
        if known == version || self.failed == Some((version, generation)) {
            return Ok(false);
        }
        let staged = self.database.staged_proposals().await?;
        let learned = Arc::new(Learned::of(version, &staged));
        let resting = self.rests_until.is_some_and(|until| Instant::now() < until);
        if resting && deciding(&learned) == deciding(&self.config.load().learned) {
            return Ok(false);
        }
        let (config, began) = (Arc::clone(&self.config), Instant::now());
        let compiled = tokio::task::spawn_blocking(move || config.learn(&learned)).await;
        self.rests_until = Some(Instant::now() + began.elapsed().saturating_mul(REST).min(MOST_REST));
        match compiled {
            Ok(Ok(problems)) => {
                for problem in &problems {
                    tracing::error!(%problem, "a learned rule cannot be used together with the others, and is left out");
                }
                tracing::info!(proposals = staged.len(), "learned rules are in the Snapshot");
            }
            Ok(Err(problems)) => {
                self.failed = Some((version, generation));
                for problem in &problems {
                    tracing::error!(%problem, "rules do not compile any more: those in force stay");
                }
            }
            Err(error) => {
                self.failed = Some((version, generation));
                tracing::error!(%error, "compiling learned rules panicked");
            }
        }
        Ok(true)
    }

    /// Looks every `every`, until `stop`.
    pub async fn run(mut self, every: Duration, stop: CancellationToken) {
        let mut away = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            match self.look().await {
                Ok(_) => away = false,
                Err(error) if !away => {
                    away = true;
                    tracing::warn!(%error, "learned rules cannot be read: what is known of them stays in force");
                }
                Err(_) => {}
            }
        }
    }
}

/// What decides, if only for some.
fn deciding(learned: &Learned) -> Vec<&LearnedFile> {
    learned.files.iter().filter(|file| file.stage != Stage::Shadow).collect()
}

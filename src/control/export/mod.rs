//! Exports: what happens is sent to other systems, at least once and in order, and nothing ever waits for them.
//!
//! Everything that is sent is read from tables where it stands anyway (the feed, the audit trail, requests), by a cursor of each
//! sink that moves when the receiver has taken or refused an item. So a crash, a restart or a receiver that is away for a day loses
//! nothing, and the data path and the writers of those tables do not know that there are exports.

pub mod cef;
mod deliver;
pub mod item;
mod ocsf;
pub mod sinks;
mod source;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::item::{Item, Source};
use self::sinks::{Fate, Sink, Trouble};
use self::worker::Worker;
use super::audit::Trail;
use crate::config::export_settings::ExportSink;
use crate::store::export::{Cursors, SinkState};
use crate::store::{Database, StoreError, Vault, now};
use crate::telemetry::{ExportFailure, Metrics};

/// A sink and what it is to be sent.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub name: Arc<str>,
    /// Its settings.
    pub settings: ExportSink,
    /// The receiver.
    pub sink: Sink,
}

/// What every sink works with.
pub struct Parts {
    /// The sources, and how far each sink is.
    pub database: Database,
    /// Where it is written down that content leaves.
    pub trail: Trail,
    /// Opens content that is sealed at rest.
    pub vault: Arc<Vault>,
    /// The metrics.
    pub metrics: Metrics,
    /// How often a sink looks for what is new.
    pub every: Duration,
    /// How long a replica has a sink for itself.
    pub lease: Duration,
    /// Dead letters of a sink that are kept.
    pub max_dead: u32,
    /// The id of the store, read once.
    pub store: OnceCell<String>,
}

impl Parts {
    async fn store(&self) -> Result<String, StoreError> {
        let read = || async { Ok::<_, StoreError>(self.database.audit_head().await?.store) };
        self.store.get_or_try_init(read).await.cloned()
    }

    /// Makes a sink known; a new one begins with what happens from now on, or with what is stored.
    async fn register(&self, target: &Target) -> Result<(), StoreError> {
        let database = &self.database;
        let begin = if target.settings.backfill {
            database.export_before_oldest().await?
        } else {
            database.export_heads().await?
        };
        database.export_register(&target.name, begin).await
    }
}

/// How a sink stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Its name.
    pub name: Arc<str>,
    /// Its settings.
    pub settings: ExportSink,
    /// How far it is; `None` before its first start.
    pub state: Option<SinkState>,
    /// Entries of its sources that it has not looked at.
    pub backlog: u64,
    /// Items that its receiver refused.
    pub dead: u64,
}

/// Every sink. Clones are the same.
#[derive(Clone)]
pub struct Exports {
    parts: Arc<Parts>,
    targets: Arc<[Arc<Target>]>,
}

impl Exports {
    /// These sinks.
    pub fn new(parts: Parts, targets: Vec<Target>) -> Self {
        Self { parts: Arc::new(parts), targets: targets.into_iter().map(Arc::new).collect() }
    }

    /// Starts a task for each sink. They end soon after `stop`, and another replica goes on.
    pub fn run(&self, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        let start = |target: &Arc<Target>| {
            let worker = Worker::new(Arc::clone(&self.parts), Arc::clone(target));
            tokio::spawn(worker.run(stop.clone()))
        };
        self.targets.iter().map(start).collect()
    }

    /// How every sink stands, whichever replica works on it.
    ///
    /// # Errors
    /// Of the store.
    pub async fn standings(&self) -> Result<Vec<Standing>, StoreError> {
        let database = &self.parts.database;
        let (heads, dead) = (database.export_heads().await?, database.export_dead_counts().await?);
        let known: BTreeMap<String, SinkState> =
            database.export_states().await?.into_iter().map(|state| (state.name.clone(), state)).collect();
        let standing = |target: &Arc<Target>| {
            let state = known.get(&*target.name).cloned();
            Standing {
                name: Arc::clone(&target.name),
                settings: target.settings.clone(),
                backlog: state.as_ref().map_or(0, |state| backlog(&target.settings, state.cursors, heads)),
                dead: dead.get(&*target.name).copied().unwrap_or(0),
                state,
            }
        };
        Ok(self.targets.iter().map(standing).collect())
    }

    /// Whether there is a sink of this name.
    pub fn has(&self, name: &str) -> bool {
        self.targets.iter().any(|target| &*target.name == name)
    }

    /// Sends an item that says it is a test, now and from here, whatever else waits.
    ///
    /// # Errors
    /// There is no such sink (`None`), or why its receiver did not take it.
    pub async fn test(&self, name: &str) -> Result<(), Option<Trouble>> {
        let target = self.targets.iter().find(|target| &*target.name == name).ok_or(None)?;
        let item = Item::test(name, &uuid::Uuid::now_v7().simple().to_string(), now());
        let fates = deliver::send(&self.parts, target, std::slice::from_ref(&item)).await.map_err(Some)?;
        match fates.into_iter().next() {
            Some(Fate::Delivered) | None => Ok(()),
            Some(Fate::Later(why)) => Err(Some(Trouble::new(ExportFailure::Throttled, why))),
            Some(Fate::Refused(why)) => Err(Some(Trouble::new(ExportFailure::Refused, why))),
        }
    }

    /// The store, with the dead letters.
    pub fn database(&self) -> &Database {
        &self.parts.database
    }
}

/// Entries of a sink's sources that it has not looked at.
fn backlog(settings: &ExportSink, cursors: Cursors, heads: Cursors) -> u64 {
    let ways = [
        (Source::Feed, cursors.feed, heads.feed),
        (Source::Audit, cursors.audit, heads.audit),
        (Source::Records, cursors.records, heads.records),
    ];
    let wanted = ways.into_iter().filter(|(source, ..)| source::wants(settings, *source));
    wanted.map(|(_, at, head)| u64::try_from(head.saturating_sub(at)).unwrap_or(0)).sum()
}

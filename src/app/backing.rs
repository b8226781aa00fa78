//! What stands behind the gateway: the store, its writer, the audit trail. All of it can be away while traffic goes on.

use std::sync::Arc;
use std::time::Duration;

use super::Error;
use crate::config::settings::{Audit, QueueFull, Retention, Settings, Store};
use crate::config::units::Time;
use crate::control::audit::{self, Entry, Kind, Trail};
use crate::store::{self, Database, Overflow, StoreError, Vault, Writer};
use crate::types::Secret;

/// How long the writer may take for the last, at the end.
const LAST: Duration = Duration::from_secs(10);

/// Rows of each class removed at once.
const SWEEP: u64 = 50_000;

/// The store and the trail.
#[derive(Clone)]
pub(super) struct Backing {
    pub(super) database: Database,
    pub(super) writer: Writer,
    pub(super) trail: Trail,
    pub(super) vault: Arc<Vault>,
    pub(super) overflow: Overflow,
}

impl Backing {
    /// Opens what the settings name; `None` where they name no store. A database that does not answer is waited for
    /// later; one that is damaged, or of a newer version, is a reason not to start.
    pub(super) async fn open(settings: &Settings) -> Result<Option<Self>, Error> {
        let Some(url) = url(&settings.store)? else { return Ok(None) };
        let options = options(&settings.store)?;
        let failed = |error: StoreError| Error::Store(error.to_string());
        let database = Database::lazy(&url, &options).map_err(failed)?;
        match database.ready().await {
            Ok(()) => {}
            Err(error @ (StoreError::Unavailable(_) | StoreError::Timeout(_))) => {
                tracing::warn!(%error, "the store does not answer: starting without it");
            }
            Err(error) => return Err(failed(error)),
        }
        let vault = Arc::new(Vault::new(&options).map_err(failed)?);
        let writer = Writer::start(database.clone(), &options, Vec::new()).map_err(failed)?;
        let trail = Trail::open(database.clone(), trail(&settings.audit)).await;
        let trail = trail.map_err(|error| Error::Store(format!("audit trail: {error}")))?;
        let backing = Self { database, writer, trail, vault, overflow: options.overflow };
        backing.note(Kind::Start).await;
        Ok(Some(backing))
    }

    async fn note(&self, kind: Kind) {
        let entry = Entry::new(kind, "gateway", "process").detail("version", env!("CARGO_PKG_VERSION"));
        if let Err(error) = self.trail.append(entry).await {
            tracing::error!(%error, "the audit trail cannot be written");
        }
    }

    /// Writes down what is left and ends both writers.
    pub(super) async fn close(self) {
        self.note(Kind::Stop).await;
        if let Err(error) = self.writer.close(LAST).await {
            tracing::error!(%error, "the last records were not stored");
        }
        self.trail.close().await;
    }

    /// Removes what is older than the settings allow, now and then.
    pub(super) async fn sweep(self, current: impl Fn() -> (Retention, Audit)) {
        loop {
            let (retention, audit) = current();
            tokio::time::sleep(retention.every.get().max(Duration::from_secs(1))).await;
            match self.database.sweep(store::now(), &limits(&retention), SWEEP).await {
                Ok(swept) if swept != store::Swept::default() => {
                    let entry = Entry::new(Kind::Retention, "gateway", "store")
                        .detail("requests", swept.requests)
                        .detail("findings", swept.findings)
                        .detail("content", swept.content)
                        .detail("events", swept.events)
                        .detail("ledger", swept.ledger)
                        .detail("issued", swept.issued)
                        .detail("orders", swept.orders)
                        .detail("alerts", swept.alerts)
                        .detail("incidents", swept.incidents)
                        .detail("exports", swept.exports);
                    if let Err(error) = self.trail.append(entry).await {
                        tracing::error!(%error, "a sweep was not written into the audit trail");
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "old data could not be removed"),
            }
            self.sweep_trail(&audit).await;
        }
    }

    /// Moves old records of the trail into segment files, and removes segments that are too old.
    async fn sweep_trail(&self, settings: &Audit) {
        let before = |age: Time| {
            let micros = i64::try_from(age.get().as_micros()).unwrap_or(i64::MAX);
            (!age.is_zero()).then(|| store::now().saturating_sub(micros))
        };
        if let Some(limit) = before(settings.archive_after)
            && let Err(error) = self.trail.archive(limit).await
        {
            tracing::warn!(%error, "old audit records could not be moved to a segment");
        }
        if let Some(limit) = before(settings.keep)
            && let Err(error) = self.trail.retire(limit).await
        {
            tracing::warn!(%error, "old segments of the audit trail could not be removed");
        }
    }
}

/// Where the store is.
pub(super) fn url(settings: &Store) -> Result<Option<Secret>, Error> {
    if let Some(name) = &settings.url_env {
        let url = std::env::var(name);
        return url
            .map(|url| Some(Secret::new(url)))
            .map_err(|_| Error::Store(format!("the environment variable {name} is not set")));
    }
    Ok((!settings.url.is_empty()).then(|| Secret::new(settings.url.as_str())))
}

/// The store's own options.
pub(super) fn options(settings: &Store) -> Result<store::Options, Error> {
    let content_key = settings.content_key_env.as_ref().map(|name| {
        std::env::var(name)
            .map(Secret::new)
            .map_err(|_| Error::Store(format!("the environment variable {name} is not set")))
    });
    Ok(store::Options {
        timeout: settings.timeout.get(),
        connections: settings.connections,
        queue: settings.queue,
        important_queue: settings.important_queue,
        overflow: match settings.on_full {
            QueueFull::Refuse => Overflow::Refuse,
            QueueFull::Serve => Overflow::Serve,
        },
        batch: settings.batch,
        flush_every: settings.flush_every.get(),
        spool: Some(settings.spool.clone()),
        spool_max: settings.spool_max.get(),
        retry_every: settings.retry_every.get(),
        content_key: content_key.transpose()?,
        ..store::Options::default()
    })
}

pub(super) fn trail(settings: &Audit) -> audit::Options {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    let replica = settings.replica.clone().or_else(|| host().ok()).unwrap_or_else(|| "portcullis".to_owned());
    audit::Options::of(settings, &replica)
}

fn limits(settings: &Retention) -> store::Retention {
    let kept = |time: Time| (!time.is_zero()).then(|| time.get());
    store::Retention {
        requests: kept(settings.requests),
        findings: kept(settings.findings),
        content: kept(settings.content),
        events: kept(settings.events),
        ledger: kept(settings.ledger),
        issued: kept(settings.issued),
        orders: kept(settings.orders),
        alerts: kept(settings.alerts),
        incidents: kept(settings.incidents),
        feed: kept(settings.feed),
    }
}

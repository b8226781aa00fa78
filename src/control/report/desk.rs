//! The desk: reports are made and kept, written in a format, listed and removed. A few at once, and a few that wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use super::{ReportError, frameworks, make};
use crate::config::Handle;
use crate::config::settings::Reports;
use crate::report::{Ask, Format, Frameworks, Rendered, Report, render};
use crate::store::{Database, KeptReport};

/// How reports are made and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeskOptions {
    /// Reports that are kept.
    pub keep: u32,
    /// How long one is kept; `None`: as long as there are not too many.
    pub max_age: Option<Duration>,
    /// Made or written at once.
    pub at_once: usize,
    /// Further ones that may wait.
    pub waiting: usize,
    /// How long making one may take.
    pub timeout: Duration,
    /// Rows of a table of names.
    pub rows: u32,
}

impl DeskOptions {
    /// As `[reports]` says.
    pub fn of(settings: &Reports) -> Self {
        Self {
            keep: settings.keep,
            max_age: (!settings.max_age.is_zero()).then(|| settings.max_age.get()),
            at_once: settings.at_once,
            waiting: settings.waiting,
            timeout: settings.timeout.get(),
            rows: settings.rows,
        }
    }
}

/// Makes and keeps reports. Clones share it.
#[derive(Clone)]
pub struct ReportDesk(Arc<Parts>);

struct Parts {
    database: Database,
    config: Arc<Handle>,
    frameworks: Frameworks,
    options: DeskOptions,
    work: Semaphore,
    room: Semaphore,
}

impl ReportDesk {
    /// A desk over this store and configuration.
    ///
    /// # Errors
    /// The built-in frameworks cannot be read.
    pub fn new(database: Database, config: Arc<Handle>, options: DeskOptions) -> Result<Self, ReportError> {
        let room = options.at_once.saturating_add(options.waiting).max(1);
        Ok(Self(Arc::new(Parts {
            database,
            config,
            frameworks: frameworks()?,
            options,
            work: Semaphore::new(options.at_once.max(1)),
            room: Semaphore::new(room.min(Semaphore::MAX_PERMITS)),
        })))
    }

    /// The frameworks there are.
    pub fn frameworks(&self) -> &Frameworks {
        &self.0.frameworks
    }

    /// How long making one may take.
    pub fn timeout(&self) -> Duration {
        self.0.options.timeout
    }

    /// Makes a report and keeps it.
    ///
    /// # Errors
    /// `Busy` and `Late`; an impossible request; the store.
    pub async fn make(&self, ask: &Ask) -> Result<(KeptReport, Report), ReportError> {
        let (_place, _turn) = self.turn().await?;
        let parts = &self.0;
        let snapshot = parts.config.load_full();
        let making = make(&parts.database, &snapshot, &parts.frameworks, parts.options.rows, ask);
        let report = tokio::time::timeout(parts.options.timeout, making).await.map_err(|_| ReportError::Late)??;
        let (report, body) = off_thread(move || {
            let body = serde_json::to_string(&report).map_err(|error| ReportError::Failed(error.to_string()))?;
            Ok((report, body))
        })
        .await?;
        let kept = KeptReport {
            id: format!("rep_{}", Uuid::now_v7().simple()),
            kind: report.kind.name().to_owned(),
            framework: report.framework.clone(),
            tenant: report.tenant.clone(),
            title: report.title.clone(),
            since: report.since,
            until: report.until,
            made: report.made,
            by: report.by.clone(),
            bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
        };
        let age = parts.options.max_age.map_or(i64::MAX, |age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        let oldest = report.made.saturating_sub(age);
        parts.database.keep_report(&kept, body, parts.options.keep, oldest).await?;
        Ok((kept, report))
    }

    /// A kept report, written in a format.
    ///
    /// # Errors
    /// `Missing`, `Busy`; a table that it does not have; the store.
    pub async fn written(&self, id: &str, format: Format, table: Option<String>) -> Result<Rendered, ReportError> {
        let (_place, _turn) = self.turn().await?;
        let (_, body) = self.0.database.kept_report(id).await?.ok_or(ReportError::Missing)?;
        off_thread(move || {
            let report: Report = serde_json::from_str(&body).map_err(|error| ReportError::Failed(error.to_string()))?;
            Ok(render(&report, format, table.as_deref())?)
        })
        .await
    }

    /// A report written in a format.
    ///
    /// # Errors
    /// The writer of the format.
    pub async fn write(&self, report: &Arc<Report>, format: Format) -> Result<Rendered, ReportError> {
        let (_place, _turn) = self.turn().await?;
        let report = Arc::clone(report);
        off_thread(move || Ok(render(&report, format, None)?)).await
    }

    /// A kept report without its document.
    ///
    /// # Errors
    /// `Missing`; the store.
    pub async fn kept(&self, id: &str) -> Result<KeptReport, ReportError> {
        self.0.database.kept_report(id).await?.map(|(kept, _)| kept).ok_or(ReportError::Missing)
    }

    /// A page of them, newest first.
    ///
    /// # Errors
    /// The store.
    pub async fn list(&self, before: Option<&str>, limit: u32) -> Result<Vec<KeptReport>, ReportError> {
        Ok(self.0.database.kept_reports(before, limit).await?)
    }

    /// Removes one.
    ///
    /// # Errors
    /// `Missing`; the store.
    pub async fn remove(&self, id: &str) -> Result<(), ReportError> {
        if self.0.database.remove_report(id).await? { Ok(()) } else { Err(ReportError::Missing) }
    }

    /// Removes what is too old.
    ///
    /// # Errors
    /// The store.
    pub async fn forget(&self, now: i64) -> Result<u64, ReportError> {
        let Some(age) = self.0.options.max_age else { return Ok(0) };
        let oldest = now.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        Ok(self.0.database.forget_reports(oldest).await?)
    }

    /// A place among those that wait, then a turn.
    async fn turn(&self) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), ReportError> {
        let place = self.0.room.try_acquire().map_err(|_| ReportError::Busy)?;
        let turn = tokio::time::timeout(self.0.options.timeout, self.0.work.acquire()).await;
        let turn = turn.map_err(|_| ReportError::Late)?.map_err(|_| ReportError::Busy)?;
        Ok((place, turn))
    }
}

/// Work that takes the processor, off the async threads.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReportError> + Send + 'static,
) -> Result<T, ReportError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ReportError::Failed("writing the report failed".to_owned()))?
}

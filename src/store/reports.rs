//! Reports that are kept, and who makes those that are due.

use super::{Database, Row, StoreError};
use crate::values;

/// The most rows of a page, whatever was asked for.
const MOST_ROWS: u32 = 1_000;

/// A report that is kept, without its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReport {
    /// `rep_` and a sortable id.
    pub id: String,
    /// Which report.
    pub kind: String,
    /// The framework of a compliance report.
    pub framework: Option<String>,
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// What it is called.
    pub title: String,
    /// From when it tells: Unix time in microseconds.
    pub since: i64,
    /// Before when.
    pub until: i64,
    /// When it was made.
    pub made: i64,
    /// By whom.
    pub by: String,
    /// Bytes of its document.
    pub bytes: u64,
}

/// A due report that somebody wants to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRun {
    /// The schedule's name.
    pub schedule: String,
    /// When it was due: Unix time in microseconds.
    pub due: i64,
    /// Who makes it.
    pub worker: String,
    /// Until when nobody else does.
    pub lease_until: i64,
    /// How often it may be tried.
    pub tries: u32,
}

const COLUMNS: &str = "SELECT id, kind, framework, tenant, title, since_, until_, made, made_by, bytes FROM reports \
                       WHERE ($1 = '' OR id < $1) ORDER BY id DESC LIMIT $2";

fn kept_of(row: &Row) -> Result<KeptReport, StoreError> {
    Ok(KeptReport {
        id: row.text(0)?,
        kind: row.text(1)?,
        framework: row.maybe_text(2)?,
        tenant: row.maybe_text(3)?,
        title: row.text(4)?,
        since: row.int(5)?,
        until: row.int(6)?,
        made: row.int(7)?,
        by: row.text(8)?,
        bytes: row.count(9)?,
    })
}

/// Kept reports.
impl Database {
    /// Keeps a report, and removes those that are more than `keep`, or were made before `oldest`.
    pub async fn keep_report(
        &self,
        report: &KeptReport,
        body: String,
        keep: u32,
        oldest: i64,
    ) -> Result<(), StoreError> {
        let mut session = self.begin().await?;
        let sql = "INSERT INTO reports (id, kind, framework, tenant, title, since_, until_, made, made_by, bytes, body) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let one = report.clone();
        let values = values![
            one.id,
            one.kind,
            one.framework,
            one.tenant,
            one.title,
            one.since,
            one.until,
            one.made,
            one.by,
            one.bytes,
            body
        ];
        session.execute(sql, values).await?;
        session.execute("DELETE FROM reports WHERE made < $1", values![oldest]).await?;
        let sql = "DELETE FROM reports WHERE id NOT IN (SELECT id FROM reports ORDER BY id DESC LIMIT $1)";
        session.execute(sql, values![keep]).await?;
        session.commit().await
    }

    /// At most `limit` (and 1000) reports before the one with this id, newest first; `None`: from the newest on.
    pub async fn kept_reports(&self, before: Option<&str>, limit: u32) -> Result<Vec<KeptReport>, StoreError> {
        let before = before.unwrap_or_default().to_owned();
        let rows = self.read().await?.rows(COLUMNS, values![before, limit.min(MOST_ROWS)]).await?;
        rows.iter().map(kept_of).collect()
    }

    /// The report with this id and its document.
    pub async fn kept_report(&self, id: &str) -> Result<Option<(KeptReport, String)>, StoreError> {
        let sql = "SELECT id, kind, framework, tenant, title, since_, until_, made, made_by, bytes, body FROM reports \
                   WHERE id = $1";
        let row = self.read().await?.row(sql, values![id.to_owned()]).await?;
        row.map(|row| Ok((kept_of(&row)?, row.text(10)?))).transpose()
    }

    /// Removes a report; says whether it was there.
    pub async fn remove_report(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.write().await?.execute("DELETE FROM reports WHERE id = $1", values![id.to_owned()]).await? > 0)
    }

    /// Removes what was made before `oldest`.
    pub async fn forget_reports(&self, oldest: i64) -> Result<u64, StoreError> {
        self.write().await?.execute("DELETE FROM reports WHERE made < $1", values![oldest]).await
    }

    /// Notes a schedule that nobody has seen yet: nothing of it is due before `due`.
    pub async fn begin_schedule(&self, schedule: &str, due: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO report_runs (schedule, due, done, tries, worker, lease_until) \
                   VALUES ($1, $2, 1, 0, '', 0) ON CONFLICT (schedule) DO NOTHING";
        self.write().await?.execute(sql, values![schedule.to_owned(), due]).await.map(drop)
    }

    /// Takes a due report to make it: for one of all replicas, once for each time it is due, again only where who had it
    /// did not end in time.
    pub async fn take_run(&self, run: &ReportRun, now: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE report_runs SET due = $2, done = 0, worker = $3, lease_until = $4, \
                   tries = CASE WHEN due < $2 THEN 1 ELSE tries + 1 END WHERE schedule = $1 AND (due < $2 \
                   OR (due = $2 AND done = 0 AND lease_until <= $5 AND tries < $6))";
        let one = run.clone();
        let values = values![one.schedule, one.due, one.worker, one.lease_until, now, one.tries];
        Ok(self.write().await?.execute(sql, values).await? > 0)
    }

    /// The report was made.
    pub async fn end_run(&self, run: &ReportRun) -> Result<(), StoreError> {
        let sql = "UPDATE report_runs SET done = 1 WHERE schedule = $1 AND due = $2 AND worker = $3";
        let one = run.clone();
        self.write().await?.execute(sql, values![one.schedule, one.due, one.worker]).await.map(drop)
    }
}

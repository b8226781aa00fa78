//! The analyst's work on incidents: one row for each, leased by one worker at a time.

use std::sync::Arc;

use super::feed::FeedTx;
use super::{Fed, body, conflict, from_json, incidents, json, plans};
use crate::store::{Backend, Database, StoreError, Value};
use crate::types::soc::{Analysis, FeedEntry, Incident, LogEntry, Plan};
use crate::values;

const DUE: &str =
    "SELECT id FROM analyses WHERE ended = 0 AND due <= $1 AND lease_until <= $1 ORDER BY due, id LIMIT 1";

const BEGIN: &str = "INSERT INTO analyses (id, incident, ended, due, plan, lease_until, body) \
                     VALUES ($1, $2, $3, $4, $5, 0, $6) ON CONFLICT DO NOTHING";

/// What `BEGIN` writes.
fn beginning(fresh: &Analysis) -> Result<Vec<Value>, StoreError> {
    Ok(values![&fresh.id, &fresh.incident, fresh.phase.ended(), fresh.began, &fresh.plan, json(fresh)?])
}

macro_rules! lease {
    ($lock:literal) => {
        concat!(
            "UPDATE analyses SET worker = $2, lease_until = $3 WHERE id = (SELECT id FROM analyses WHERE ended = 0 \
             AND due <= $1 AND lease_until <= $1 ORDER BY due, id LIMIT 1",
            $lock,
            ") RETURNING body"
        )
    };
}

/// Begins an analysis, unless the incident has one.
pub(super) fn begin(tx: &mut FeedTx, fresh: &Analysis) -> Result<(), StoreError> {
    tx.put(BEGIN, beginning(fresh)?);
    Ok(())
}

macro_rules! held {
    ($lock:literal) => {
        concat!(
            "SELECT a.body, a.worker, a.lease_until, a.ended, i.body FROM analyses a \
             LEFT JOIN incidents i ON i.id = a.incident WHERE a.id = $1",
            $lock
        )
    };
}

/// The row, if the worker's lease on it lasts, and its incident.
async fn held(tx: &mut FeedTx, id: &str, worker: &str, now: i64) -> Result<(Analysis, Option<Incident>), StoreError> {
    // Locked against a lease being taken in this moment.
    let sql = match tx.backend() {
        Backend::Sqlite => held!(""),
        Backend::Postgres => held!(" FOR UPDATE OF a"),
    };
    let row = tx.session().await?.row(sql, values![id.to_owned()]).await?.ok_or(StoreError::Missing("analysis"))?;
    let mine = row.maybe_text(1)?.as_deref() == Some(worker);
    if !mine || row.int(2)? <= now || row.yes(3)? {
        return Err(conflict("the lease on the analysis is lost"));
    }
    Ok((body(&row)?, row.maybe_text(4)?.map(|text| from_json(&text)).transpose()?))
}

/// What becomes of a row that was worked on.
#[derive(Clone, Copy)]
enum Next {
    /// The lease is given back; it is due then.
    Due(i64),
    /// The worker goes on with it: due since the first time, its own until the second.
    Kept(i64, i64),
}

/// Writes the row, and gives the lease back or renews it.
fn store(tx: &mut FeedTx, known: &Analysis, new: &Analysis, worker: &str, next: Next) -> Result<(), StoreError> {
    let analysis = Analysis { incident: Arc::clone(&known.incident), began: known.began, ..new.clone() };
    let sql = "UPDATE analyses SET ended = $2, due = $3, plan = $4, body = $5, worker = $6, lease_until = $7 \
               WHERE id = $1";
    let (due, worker, until) = match next {
        Next::Due(due) => (due, None, 0),
        Next::Kept(due, until) => (due, Some(worker.to_owned()), until),
    };
    let ended = analysis.phase.ended();
    tx.put(sql, values![&analysis.id, ended, due, &analysis.plan, json(&analysis)?, worker, until]);
    Ok(())
}

async fn advance(
    tx: &mut FeedTx,
    analysis: &Analysis,
    (worker, now): (&str, i64),
    next: Next,
    plan: Option<&Plan>,
    log: &[LogEntry],
) -> Result<Option<Incident>, StoreError> {
    let (known, mut incident) = held(tx, &analysis.id, worker, now).await?;
    if let Some(plan) = plan {
        plans::insert(tx, plan).await?;
    }
    store(tx, &known, analysis, worker, next)?;
    if let Some(incident) = &mut incident {
        incidents::say(tx, incident, log)?;
    }
    Ok(incident)
}

async fn repeat(tx: &mut FeedTx, fresh: &Analysis, log: &[LogEntry]) -> Result<(), StoreError> {
    let sql = match tx.backend() {
        Backend::Sqlite => "SELECT body FROM analyses WHERE incident = $1",
        Backend::Postgres => "SELECT body FROM analyses WHERE incident = $1 FOR UPDATE",
    };
    let row = tx.session().await?.row(sql, values![&fresh.incident]).await?;
    let known: Analysis = row.as_ref().map(body).transpose()?.ok_or(StoreError::Missing("analysis"))?;
    if !known.phase.ended() || known.id == fresh.id {
        return Err(conflict("the analysis is still under way"));
    }
    if let Some(plan) = &known.plan {
        plans::supersede(tx, plan).await?;
    }
    tx.put("DELETE FROM analyses WHERE incident = $1", values![&fresh.incident]);
    tx.put(BEGIN, beginning(fresh)?);
    incidents::note(tx, Some(&fresh.incident), log).await
}

/// The analyst's work.
impl Database {
    /// Begins the analysis of an incident; says whether it is the first. It is due at once.
    pub async fn begin_analysis(&self, analysis: &Analysis) -> Result<bool, StoreError> {
        Ok(self.write().await?.execute(BEGIN, beginning(analysis)?).await? > 0)
    }

    /// Puts a fresh analysis of an incident in the place of one that has ended; the plan of that one is refused, if it waits.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when the one of before has not ended.
    pub async fn repeat_analysis(&self, fresh: &Analysis, log: &[LogEntry]) -> Result<Fed<()>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = repeat(&mut tx, fresh, log).await;
        tx.end(done).await
    }

    /// Leases the analysis that is due longest and that nobody works on, until `until` (Unix time in microseconds).
    /// `worker` names one task of one process: a name that is used again could take another's lease for its own.
    pub async fn lease_analysis(&self, worker: &str, until: i64, now: i64) -> Result<Option<Analysis>, StoreError> {
        // Mostly there is nothing to do, and that takes no lock.
        if self.read().await?.row(DUE, values![now]).await?.is_none() {
            return Ok(None);
        }
        let mut session = self.write().await?;
        let sql = match session.backend() {
            Backend::Sqlite => lease!(""),
            Backend::Postgres => lease!(" FOR UPDATE SKIP LOCKED"),
        };
        session.row(sql, values![now, worker.to_owned(), until]).await?.as_ref().map(body).transpose()
    }

    /// Writes what a step found and the step that is next, with the plan it made and lines for the incident's timeline,
    /// and gives the lease back; the next step is due at once.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when the lease is lost, and nothing is written then.
    pub async fn advance_analysis(
        &self,
        analysis: &Analysis,
        worker: &str,
        now: i64,
        plan: Option<&Plan>,
        log: &[LogEntry],
    ) -> Result<Vec<FeedEntry>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = advance(&mut tx, analysis, (worker, now), Next::Due(now), plan, log).await;
        tx.end(done).await.map(|(_, feed)| feed)
    }

    /// As `advance_analysis`, but the worker keeps it until `until` (Unix time in microseconds), for the next step; gives
    /// the incident as it is then.
    ///
    /// # Errors
    /// As `advance_analysis`.
    pub async fn go_on_with_analysis(
        &self,
        analysis: &Analysis,
        worker: &str,
        (now, until): (i64, i64),
        log: &[LogEntry],
    ) -> Result<Fed<Option<Incident>>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = advance(&mut tx, analysis, (worker, now), Next::Kept(now, until), None, log).await;
        tx.end(done).await
    }

    /// Writes that a step failed and gives the lease back; it is tried again at `due`.
    ///
    /// # Errors
    /// As `advance_analysis`.
    pub async fn retry_analysis(
        &self,
        analysis: &Analysis,
        worker: &str,
        now: i64,
        due: i64,
        log: &[LogEntry],
    ) -> Result<Vec<FeedEntry>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = advance(&mut tx, analysis, (worker, now), Next::Due(due), None, log).await;
        tx.end(done).await.map(|(_, feed)| feed)
    }

    /// The analysis of an incident.
    pub async fn analysis_of(&self, incident: &str) -> Result<Option<Analysis>, StoreError> {
        let sql = "SELECT body FROM analyses WHERE incident = $1";
        self.read().await?.row(sql, values![incident.to_owned()]).await?.as_ref().map(body).transpose()
    }

    /// Makes an analysis that waits for its next try due at `now`: for a person who does not want to wait. Says whether
    /// it waited.
    pub async fn hurry_analysis(&self, id: &Arc<str>, now: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE analyses SET due = $2 WHERE id = $1 AND ended = 0 AND due > $2";
        Ok(self.write().await?.execute(sql, values![id, now]).await? > 0)
    }
}

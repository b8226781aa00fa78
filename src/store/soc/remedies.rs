//! Remedies: steps of approved plans, each carried out once, leased by one worker at a time.

use std::collections::HashSet;
use std::sync::Arc;

use super::feed::FeedTx;
use super::{
    Fed, Filter, MOST_AT_ONCE, MOST_ROWS, bodies, body, conflict, few, from_json, incidents, json, plans, tree,
};
use crate::store::changes::{Changed, touch};
use crate::store::{Backend, Database, StoreError};
use crate::types::soc::{FeedEntry, FeedKind, Incident, LogEntry, Plan, PlanState, Remedy, RemedyState};
use crate::values;

/// Which remedies to list. Absent conditions hold for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemedyFilter {
    /// In this state.
    pub state: Option<RemedyState>,
    /// For this incident.
    pub incident: Option<String>,
    /// Of this plan.
    pub plan: Option<String>,
    /// Only those in force at this time: Unix time in microseconds.
    pub in_force: Option<i64>,
    /// The id that the last page ended with: they are listed newest first.
    pub before: Option<String>,
}

const DUE: &str =
    "SELECT id FROM remedies WHERE state = 'pending' AND due <= $1 AND lease_until <= $1 ORDER BY due, id LIMIT 1";

macro_rules! lease {
    ($lock:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (SELECT id FROM remedies WHERE state = 'pending' AND due <= $1 \
             AND lease_until <= $1 ORDER BY due, id LIMIT $4",
            $lock,
            ") UPDATE remedies SET worker = $2, lease_until = $3 WHERE id IN (SELECT id FROM due) RETURNING body"
        )
    };
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The remedy as it is then: `Pending` with another `due` is tried again.
    pub remedy: Remedy,
    /// Lines for its incident's timeline.
    pub log: Vec<LogEntry>,
}

/// Writes the remedies of a plan that was approved. A step that is there already (by its `once`) is left as it is.
pub(super) async fn insert(tx: &mut FeedTx, plan: &Plan, steps: &[Remedy]) -> Result<(), StoreError> {
    few(steps.len())?;
    let there = "SELECT once, state FROM remedies WHERE plan = $1";
    let mut known = HashSet::new();
    let mut waits = false;
    for row in tx.session().await?.rows(there, values![&plan.id]).await? {
        known.insert(row.text(0)?);
        waits |= row.text(1)? == RemedyState::Pending.name();
    }
    for remedy in steps {
        if remedy.plan != plan.id || remedy.state != RemedyState::Pending {
            return Err(StoreError::Refused("a remedy is of another plan, or has begun".to_owned()));
        }
        let sql = "INSERT INTO remedies (id, once, plan, incident, state, due, expires, lease_until, body) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8) ON CONFLICT DO NOTHING";
        let values = values![
            &remedy.id,
            remedy.once.clone(),
            &remedy.plan,
            &remedy.incident,
            remedy.state.name(),
            remedy.due,
            remedy.expires,
            json(remedy)?,
        ];
        if known.insert(remedy.once.clone()) {
            tx.put(sql, values);
            tell(tx, remedy)?;
            waits = true;
        }
    }
    // A plan whose steps do nothing is done.
    if plan.state == PlanState::Approved && !waits {
        plans::carried(tx, plan)?;
    }
    Ok(())
}

fn tell(tx: &mut FeedTx, remedy: &Remedy) -> Result<(), StoreError> {
    tx.tell(FeedKind::Remedy, &remedy.id, tree(remedy)?);
    Ok(())
}

/// Writes where a remedy stands, gives a lease on it back, and tells of it.
fn store(tx: &mut FeedTx, remedy: &Remedy) -> Result<(), StoreError> {
    let sql = "UPDATE remedies SET state = $2, due = $3, expires = $4, body = $5, worker = NULL, lease_until = 0 \
               WHERE id = $1";
    let values = values![&remedy.id, remedy.state.name(), remedy.due, remedy.expires, json(remedy)?];
    tx.put(sql, values);
    tell(tx, remedy)
}

/// A remedy with its lease: whose it is, and until when.
pub(super) async fn find(tx: &mut FeedTx, id: &str) -> Result<(Remedy, Option<String>, i64), StoreError> {
    // Locked against a lease being taken in this moment.
    let sql = match tx.backend() {
        Backend::Sqlite => "SELECT body, worker, lease_until FROM remedies WHERE id = $1",
        Backend::Postgres => "SELECT body, worker, lease_until FROM remedies WHERE id = $1 FOR UPDATE",
    };
    let row = tx.session().await?.row(sql, values![id.to_owned()]).await?.ok_or(StoreError::Missing("remedy"))?;
    Ok((body(&row)?, row.maybe_text(1)?, row.int(2)?))
}

/// Whether it waits and the worker's lease on it lasts.
pub(super) fn mine(known: &Remedy, holder: Option<&str>, until: i64, worker: &str, now: i64) -> Result<(), StoreError> {
    if holder != Some(worker) || until <= now || known.state != RemedyState::Pending {
        return Err(conflict("the lease on the remedy is lost"));
    }
    Ok(())
}

macro_rules! finishing {
    ($lock:literal) => {
        concat!(
            "SELECT r.body, r.worker, r.lease_until, p.body, i.body, (SELECT COUNT(*) FROM remedies o \
             WHERE o.plan = r.plan AND o.state = 'pending' AND o.id <> r.id) FROM remedies r \
             LEFT JOIN plans p ON p.id = r.plan AND p.state = 'approved' LEFT JOIN incidents i ON i.id = r.incident \
             WHERE r.id = $1",
            $lock
        )
    };
}

/// Writes what came of a try.
pub(super) async fn finish(
    tx: &mut FeedTx,
    Done { remedy, log }: &Done,
    worker: &str,
    now: i64,
) -> Result<Remedy, StoreError> {
    // Locked against a lease being taken in this moment.
    let sql = match tx.backend() {
        Backend::Sqlite => finishing!(""),
        Backend::Postgres => finishing!(" FOR UPDATE OF r"),
    };
    let row = tx.session().await?.row(sql, values![&remedy.id]).await?.ok_or(StoreError::Missing("remedy"))?;
    let known: Remedy = body(&row)?;
    mine(&known, row.maybe_text(1)?.as_deref(), row.int(2)?, worker, now)?;
    let plan: Option<Plan> = row.maybe_text(3)?.map(|text| from_json(&text)).transpose()?;
    let incident: Option<Incident> = row.maybe_text(4)?.map(|text| from_json(&text)).transpose()?;
    let others = row.count(5)?;
    // What is done, to whom and why is what was approved, whatever comes back.
    let remedy = Remedy {
        state: remedy.state,
        failures: remedy.failures,
        problem: remedy.problem.clone(),
        due: remedy.due,
        applied: remedy.applied,
        expires: remedy.expires,
        order: remedy.order.clone(),
        undone_by: remedy.undone_by.clone(),
        ..known
    };
    if remedy.state == RemedyState::Failed {
        lift(tx, &remedy.id, &Arc::from("gateway"), now).await?;
    }
    store(tx, &remedy)?;
    if let Some(plan) = plan.filter(|_| others == 0 && remedy.state != RemedyState::Pending) {
        plans::carried(tx, &plan)?;
    }
    if let Some(mut incident) = incident {
        incidents::say(tx, &mut incident, log)?;
    }
    Ok(remedy)
}

async fn undo(tx: &mut FeedTx, id: &str, by: &Arc<str>, now: i64, log: &[LogEntry]) -> Result<Remedy, StoreError> {
    let (mut remedy, _, until) = find(tx, id).await?;
    match remedy.state {
        RemedyState::Pending if until > now => return Err(conflict("the remedy is being carried out")),
        RemedyState::Applied if !remedy.action.reversible() => return Err(conflict("the remedy cannot be undone")),
        RemedyState::Pending | RemedyState::Applied => {}
        RemedyState::Done | RemedyState::Failed | RemedyState::Undone | RemedyState::Expired => {
            return Err(conflict(format!("the remedy is not in force: it is {}", remedy.state.name())));
        }
    }
    remedy.state = RemedyState::Undone;
    remedy.undone_by = Some(Arc::clone(by));
    store(tx, &remedy)?;
    lift(tx, &remedy.id, by, now).await?;
    plans::settle(tx, &remedy.plan).await?;
    incidents::note(tx, remedy.incident.as_ref(), log).await?;
    Ok(remedy)
}

/// Lifts the order that a remedy gave, also where it was given and nothing could be written down any more.
async fn lift(tx: &mut FeedTx, remedy: &Arc<str>, by: &Arc<str>, now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE orders SET lifted = $2, lifted_by = $3 WHERE made_by = $1 AND lifted IS NULL \
               AND (expires IS NULL OR expires > $2)";
    if tx.session().await?.execute(sql, values![Arc::clone(remedy), now, Arc::clone(by)]).await? > 0 {
        touch(tx.session().await?, Changed::Orders).await?;
    }
    Ok(())
}

async fn expire(tx: &mut FeedTx, now: i64) -> Result<Vec<Remedy>, StoreError> {
    let sql = "SELECT body FROM remedies WHERE state = 'applied' AND expires <= $1 ORDER BY expires, id LIMIT $2";
    let mut remedies: Vec<Remedy> = bodies(&tx.session().await?.rows(sql, values![now, MOST_AT_ONCE]).await?)?;
    for remedy in &mut remedies {
        remedy.state = RemedyState::Expired;
        store(tx, remedy)?;
    }
    Ok(remedies)
}

/// Remedies.
impl Database {
    /// Adds remedies to a plan that is approved; those that are there already are left as they are.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when the plan is not approved; `Refused` when a remedy is of another plan.
    pub async fn insert_remedies(&self, plan: &str, remedies: &[Remedy]) -> Result<Vec<FeedEntry>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = match plans::find(&mut tx, plan).await {
            Ok(plan) if plan.state == PlanState::Approved => insert(&mut tx, &plan, remedies).await,
            Ok(plan) => Err(conflict(format!("the plan is not approved: it is {}", plan.state.name()))),
            Err(error) => Err(error),
        };
        tx.end(done).await.map(|((), feed)| feed)
    }

    /// Leases the remedies that are due longest and that nobody works on, at most `most`, until `until` (Unix time in
    /// microseconds). `worker` names one task of one process: a name that is used again could take another's lease for its
    /// own.
    pub async fn lease_remedies(
        &self,
        worker: &str,
        until: i64,
        now: i64,
        most: u32,
    ) -> Result<Vec<Remedy>, StoreError> {
        // Mostly there is nothing to do, and that takes no lock.
        if self.read().await?.row(DUE, values![now]).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut session = self.write().await?;
        let sql = match session.backend() {
            Backend::Sqlite => lease!(""),
            Backend::Postgres => lease!(" FOR UPDATE SKIP LOCKED"),
        };
        let values = values![now, worker.to_owned(), until, most.min(MOST_ROWS)];
        let mut leased: Vec<Remedy> = Vec::new();
        for row in &session.rows(sql, values).await? {
            match body(row) {
                Ok(remedy) => leased.push(remedy),
                // Another version may have written it: the others do not wait for it.
                Err(error) => tracing::error!(%error, "a remedy in the store cannot be read"),
            }
        }
        leased.sort_by(|a, b| (a.due, &a.id).cmp(&(b.due, &b.id)));
        Ok(leased)
    }

    /// Gives leases back: nothing was tried.
    pub async fn release_remedies(&self, ids: &[Arc<str>], worker: &str) -> Result<(), StoreError> {
        let sql = "UPDATE remedies SET worker = NULL, lease_until = 0 WHERE id = $1 AND worker = $2";
        let mut session = self.write().await?;
        for id in ids {
            session.execute(sql, values![id, worker.to_owned()]).await?;
        }
        Ok(())
    }

    /// The remedy with this id.
    pub async fn remedy(&self, id: &str) -> Result<Option<Remedy>, StoreError> {
        let sql = "SELECT body FROM remedies WHERE id = $1";
        self.read().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(body).transpose()
    }

    /// At most `limit` (and 1000) remedies, newest first by their ids.
    pub async fn remedies(&self, filter: &RemedyFilter, limit: u32) -> Result<Vec<Remedy>, StoreError> {
        let filter = filter.clone();
        let mut query = Filter::new("SELECT body FROM remedies");
        query.only("state = {}", filter.state.map(RemedyState::name));
        query.only("incident = {}", filter.incident);
        query.only("plan = {}", filter.plan);
        query.only("state = 'applied' AND (expires IS NULL OR expires > {})", filter.in_force);
        query.only("id < {}", filter.before);
        query.page(self, "id DESC", limit).await
    }

    /// Says that somebody undid a remedy that was in force, or called off one that nobody has begun; lifts its order.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when it is over, cannot be undone, or is just being carried out.
    pub async fn undo_remedy(
        &self,
        id: &str,
        by: &Arc<str>,
        now: i64,
        log: &[LogEntry],
    ) -> Result<Fed<Remedy>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = undo(&mut tx, id, by, now, log).await;
        tx.end(done).await
    }

    /// Says of remedies whose time is over that they are, at most 500 at once; gives those.
    pub async fn expire_remedies(&self, now: i64) -> Result<Fed<Vec<Remedy>>, StoreError> {
        let sql = "SELECT id FROM remedies WHERE state = 'applied' AND expires <= $1 LIMIT 1";
        if self.read().await?.row(sql, values![now]).await?.is_none() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut tx = FeedTx::begin(self).await?;
        let done = expire(&mut tx, now).await;
        tx.end(done).await
    }
}

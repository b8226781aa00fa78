//! Remedies: steps of approved plans, each carried out once, leased by one worker at a time.

use std::sync::Arc;

use super::feed::FeedTx;
use super::{Fed, Filter, MOST_AT_ONCE, bodies, body, conflict, few, incidents, json, plans, tree};
use crate::store::changes::{Changed, touch};
use crate::store::{Backend, Database, StoreError, orders};
use crate::types::Order;
use crate::types::soc::{FeedEntry, FeedKind, LogEntry, Plan, PlanState, Remedy, RemedyState};
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
            "UPDATE remedies SET worker = $2, lease_until = $3 WHERE id = (SELECT id FROM remedies \
             WHERE state = 'pending' AND due <= $1 AND lease_until <= $1 ORDER BY due, id LIMIT 1",
            $lock,
            ") RETURNING body"
        )
    };
}

/// Writes the remedies of a plan that was approved. A step that is there already (by its `once`) is left as it is.
pub(super) async fn insert(tx: &mut FeedTx, plan: &Plan, steps: &[Remedy]) -> Result<(), StoreError> {
    few(steps.len())?;
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
        if tx.session.execute(sql, values).await? > 0 {
            tell(tx, remedy)?;
        }
    }
    // A plan whose steps do nothing is done.
    plans::settle(tx, &plan.id).await
}

fn tell(tx: &mut FeedTx, remedy: &Remedy) -> Result<(), StoreError> {
    tx.tell(FeedKind::Remedy, &remedy.id, tree(remedy)?);
    Ok(())
}

/// Writes where a remedy stands, gives a lease on it back, and tells of it.
async fn store(tx: &mut FeedTx, remedy: &Remedy) -> Result<(), StoreError> {
    let sql = "UPDATE remedies SET state = $2, due = $3, expires = $4, body = $5, worker = NULL, lease_until = 0 \
               WHERE id = $1";
    let values = values![&remedy.id, remedy.state.name(), remedy.due, remedy.expires, json(remedy)?];
    tx.session.execute(sql, values).await?;
    tell(tx, remedy)
}

/// A remedy with its lease: whose it is, and until when.
async fn find(tx: &mut FeedTx, id: &str) -> Result<(Remedy, Option<String>, i64), StoreError> {
    // Locked against a lease being taken in this moment.
    let sql = match tx.session.backend() {
        Backend::Sqlite => "SELECT body, worker, lease_until FROM remedies WHERE id = $1",
        Backend::Postgres => "SELECT body, worker, lease_until FROM remedies WHERE id = $1 FOR UPDATE",
    };
    let row = tx.session.row(sql, values![id.to_owned()]).await?.ok_or(StoreError::Missing("remedy"))?;
    Ok((body(&row)?, row.maybe_text(1)?, row.int(2)?))
}

/// The remedy, if it waits and the worker's lease on it lasts.
async fn held(tx: &mut FeedTx, id: &str, worker: &str, now: i64) -> Result<Remedy, StoreError> {
    let (known, holder, until) = find(tx, id).await?;
    if holder.as_deref() != Some(worker) || until <= now || known.state != RemedyState::Pending {
        return Err(conflict("the lease on the remedy is lost"));
    }
    Ok(known)
}

async fn finish(
    tx: &mut FeedTx,
    remedy: &Remedy,
    worker: &str,
    now: i64,
    log: &[LogEntry],
) -> Result<Remedy, StoreError> {
    let known = held(tx, &remedy.id, worker, now).await?;
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
    store(tx, &remedy).await?;
    if remedy.state == RemedyState::Failed {
        lift(tx, &remedy.id, &Arc::from("gateway"), now).await?;
    }
    plans::settle(tx, &remedy.plan).await?;
    incidents::note(tx, remedy.incident.as_ref(), log).await?;
    Ok(remedy)
}

async fn give(tx: &mut FeedTx, (remedy, worker): (&Arc<str>, &str), order: &Order, now: i64) -> Result<(), StoreError> {
    held(tx, remedy, worker, now).await?;
    orders::insert(&mut tx.session, order).await.map(drop)
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
    store(tx, &remedy).await?;
    lift(tx, &remedy.id, by, now).await?;
    plans::settle(tx, &remedy.plan).await?;
    incidents::note(tx, remedy.incident.as_ref(), log).await?;
    Ok(remedy)
}

/// Lifts the order that a remedy gave, also where it was given and nothing could be written down any more.
async fn lift(tx: &mut FeedTx, remedy: &Arc<str>, by: &Arc<str>, now: i64) -> Result<(), StoreError> {
    let sql = "UPDATE orders SET lifted = $2, lifted_by = $3 WHERE made_by = $1 AND lifted IS NULL \
               AND (expires IS NULL OR expires > $2)";
    if tx.session.execute(sql, values![Arc::clone(remedy), now, Arc::clone(by)]).await? > 0 {
        touch(&mut tx.session, Changed::Orders).await?;
    }
    Ok(())
}

async fn expire(tx: &mut FeedTx, now: i64) -> Result<Vec<Remedy>, StoreError> {
    let sql = "SELECT body FROM remedies WHERE state = 'applied' AND expires <= $1 ORDER BY expires, id LIMIT $2";
    let mut remedies: Vec<Remedy> = bodies(&tx.session.rows(sql, values![now, MOST_AT_ONCE]).await?)?;
    for remedy in &mut remedies {
        remedy.state = RemedyState::Expired;
        store(tx, remedy).await?;
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

    /// Leases the remedy that is due longest and that nobody works on, until `until` (Unix time in microseconds).
    /// `worker` names one task of one process: a name that is used again could take another's lease for its own.
    pub async fn lease_remedy(&self, worker: &str, until: i64, now: i64) -> Result<Option<Remedy>, StoreError> {
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

    /// Writes what came of a try and gives the lease back: `Pending` with another `due` is tried again. A plan none of
    /// whose remedies waits any more is carried out.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when the lease is lost, and nothing is written then.
    pub async fn finish_remedy(
        &self,
        remedy: &Remedy,
        worker: &str,
        now: i64,
        log: &[LogEntry],
    ) -> Result<Fed<Remedy>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = finish(&mut tx, remedy, worker, now, log).await;
        tx.end(done).await
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

    /// Gives the order that a remedy is, if the worker's lease on it lasts: an order that is there has a remedy that says so,
    /// or will. The same order again changes nothing.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when the lease is lost, and nothing is given then.
    pub async fn give_order(&self, remedy: &Arc<str>, worker: &str, order: &Order, now: i64) -> Result<(), StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = give(&mut tx, (remedy, worker), order, now).await;
        tx.end(done).await.map(|((), _)| ())
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

//! Plans: what is proposed, and where it stands.

use sha2::{Digest as _, Sha256};

use super::feed::FeedTx;
use super::{Fed, Filter, MOST_AT_ONCE, MOST_ROWS, bodies, body, conflict, from_json, incidents, json, tree};
use crate::store::{Database, StoreError};
use crate::types::hex;
use crate::types::soc::{FeedKind, LogEntry, Plan, PlanState};
use crate::values;

/// Which plans to list. Absent conditions hold for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanFilter {
    /// In this state.
    pub state: Option<PlanState>,
    /// For this incident.
    pub incident: Option<String>,
    /// Proposed by this account, by its id, or by `analyst`.
    pub proposer: Option<String>,
    /// The id that the last page ended with: they are listed newest first.
    pub before: Option<String>,
}

/// The plan with this id.
pub(super) async fn find(tx: &mut FeedTx, id: &str) -> Result<Plan, StoreError> {
    let sql = "SELECT body FROM plans WHERE id = $1";
    let row = tx.session().await?.row(sql, values![id.to_owned()]).await?;
    row.as_ref().map(body).transpose()?.ok_or(StoreError::Missing("plan"))
}

/// Refuses a plan whose text is not the one with its hash.
pub(super) fn intact(plan: &Plan) -> Result<(), StoreError> {
    if hex(&Sha256::digest(plan.body.as_bytes())) != plan.hash {
        return Err(conflict("the plan's text is not the one with its hash"));
    }
    Ok(())
}

/// Writes a new plan; says whether it was new.
pub(super) async fn insert(tx: &mut FeedTx, plan: &Plan) -> Result<bool, StoreError> {
    intact(plan)?;
    if matches!(plan.state, PlanState::Approved | PlanState::Carried) {
        return Err(conflict("a plan is approved after it was proposed"));
    }
    let sql = "INSERT INTO plans (id, incident, proposer, hash, state, made, expires, body) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = values![
        &plan.id,
        &plan.incident,
        &plan.proposer,
        plan.hash.clone(),
        plan.state.name(),
        plan.made,
        plan.expires,
        json(plan)?,
    ];
    // Whether it is there is known before, so that it goes with what else is to be written.
    let there = "SELECT id FROM plans WHERE id = $1";
    let new = tx.session().await?.row(there, values![&plan.id]).await?.is_none();
    if new {
        tx.put(sql, values);
        tell(tx, plan)?;
    }
    Ok(new)
}

/// Writes where a plan stands, and tells of it. Nothing else of a plan ever changes.
pub(super) fn store(tx: &mut FeedTx, plan: &Plan) -> Result<(), StoreError> {
    let sql = "UPDATE plans SET state = $2, body = $3 WHERE id = $1";
    tx.put(sql, values![&plan.id, plan.state.name(), json(plan)?]);
    tell(tx, plan)
}

/// What the feed shows of a plan: in place of its text the thing itself.
fn tell(tx: &mut FeedTx, plan: &Plan) -> Result<(), StoreError> {
    let mut shown = tree(plan)?;
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("body".to_owned(), from_json(&plan.body)?);
    }
    tx.tell(FeedKind::Plan, &plan.id, shown);
    Ok(())
}

/// A plan that is approved is carried out when none of its remedies waits any more.
pub(super) fn carried(tx: &mut FeedTx, plan: &Plan) -> Result<(), StoreError> {
    store(tx, &Plan { state: PlanState::Carried, ..plan.clone() })
}

/// The same, where what waits is not known.
pub(super) async fn settle(tx: &mut FeedTx, id: &str) -> Result<(), StoreError> {
    // What was put off is done before: a remedy that was just written counts as it is now.
    let sql = "SELECT p.body FROM plans p WHERE p.id = $1 AND p.state = 'approved' \
               AND NOT EXISTS (SELECT 1 FROM remedies r WHERE r.plan = p.id AND r.state = 'pending')";
    let Some(row) = tx.session().await?.row(sql, values![id.to_owned()]).await? else { return Ok(()) };
    carried(tx, &body(&row)?)
}

/// Refuses a plan that waits, because there will be another one.
pub(super) async fn supersede(tx: &mut FeedTx, id: &str) -> Result<(), StoreError> {
    let mut plan = find(tx, id).await?;
    if matches!(plan.state, PlanState::Proposed | PlanState::Waiting) {
        plan.state = PlanState::Refused;
        plan.reasons.push("the incident is analysed again".to_owned());
        store(tx, &plan)?;
    }
    Ok(())
}

async fn change(
    tx: &mut FeedTx,
    id: &str,
    from: &[PlanState],
    to: PlanState,
    reasons: &[String],
    log: &[LogEntry],
) -> Result<Plan, StoreError> {
    let mut plan = find(tx, id).await?;
    if !from.contains(&plan.state) {
        return Err(conflict(format!("the plan is {}", plan.state.name())));
    }
    if to == PlanState::Approved {
        return Err(conflict("a plan is approved by using its approvals"));
    }
    plan.state = to;
    plan.reasons.extend_from_slice(reasons);
    store(tx, &plan)?;
    incidents::note(tx, plan.incident.as_ref(), log).await?;
    Ok(plan)
}

async fn expire(tx: &mut FeedTx, now: i64) -> Result<Vec<Plan>, StoreError> {
    let sql =
        "SELECT body FROM plans WHERE state IN ('proposed', 'waiting') AND expires <= $1 ORDER BY expires LIMIT $2";
    let mut plans: Vec<Plan> = bodies(&tx.session().await?.rows(sql, values![now, MOST_AT_ONCE]).await?)?;
    for plan in &mut plans {
        plan.state = PlanState::Expired;
        store(tx, plan)?;
    }
    Ok(plans)
}

/// Plans.
impl Database {
    /// Writes a new plan; says whether it was new. The same id again changes nothing.
    ///
    /// # Errors
    /// `Conflict` when its hash is not that of its text, or it says that it is approved.
    pub async fn insert_plan(&self, plan: &Plan, log: &[LogEntry]) -> Result<Fed<bool>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = match insert(&mut tx, plan).await {
            Ok(true) => incidents::note(&mut tx, plan.incident.as_ref(), log).await.map(|()| true),
            other => other,
        };
        tx.end(done).await
    }

    /// The plan with this id.
    pub async fn plan(&self, id: &str) -> Result<Option<Plan>, StoreError> {
        let sql = "SELECT body FROM plans WHERE id = $1";
        self.read().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(body).transpose()
    }

    /// The plans that wait and that somebody has said something about, at most 1000.
    pub async fn plans_spoken_of(&self) -> Result<Vec<Plan>, StoreError> {
        let sql = "SELECT body FROM plans WHERE state = 'waiting' AND id IN (SELECT plan FROM approvals WHERE used IS NULL) \
                   ORDER BY id DESC LIMIT $1";
        bodies(&self.read().await?.rows(sql, values![MOST_ROWS]).await?)
    }

    /// At most `limit` (and 1000) plans, newest first by their ids.
    pub async fn plans(&self, filter: &PlanFilter, limit: u32) -> Result<Vec<Plan>, StoreError> {
        let filter = filter.clone();
        let mut query = Filter::new("SELECT body FROM plans");
        query.only("state = {}", filter.state.map(PlanState::name));
        query.only("incident = {}", filter.incident);
        query.only("proposer = {}", filter.proposer);
        query.only("id < {}", filter.before);
        query.page(self, "id DESC", limit).await
    }

    /// Moves a plan that is in one of the states `from`, adds reasons to it and lines to its incident's timeline. To
    /// approve one there is `use_approvals` alone.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when it is in another state.
    pub async fn move_plan(
        &self,
        id: &str,
        from: &[PlanState],
        to: PlanState,
        reasons: &[String],
        log: &[LogEntry],
    ) -> Result<Fed<Plan>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = change(&mut tx, id, from, to, reasons, log).await;
        tx.end(done).await
    }

    /// Ends plans that nobody approved in time, at most 500 at once; gives those.
    pub async fn expire_plans(&self, now: i64) -> Result<Fed<Vec<Plan>>, StoreError> {
        let sql = "SELECT id FROM plans WHERE state IN ('proposed', 'waiting') AND expires <= $1 LIMIT 1";
        if self.read().await?.row(sql, values![now]).await?.is_none() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut tx = FeedTx::begin(self).await?;
        let done = expire(&mut tx, now).await;
        tx.end(done).await
    }
}

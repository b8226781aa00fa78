//! Approvals of plans, used once, and the keys they are signed with.

use std::collections::HashSet;
use std::sync::Arc;

use super::feed::FeedTx;
use super::{Fed, bodies, conflict, incidents, json, plans, remedies};
use crate::store::{Database, StoreError};
use crate::types::soc::{Approval, LogEntry, Plan, PlanState, Remedy, Ruling};
use crate::values;

/// The key that an account's approvals are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApproverKey {
    /// The public half, base64.
    pub public: String,
    /// The private half, sealed by whoever made it, as text.
    pub sealed: String,
}

/// Accounts that may approve one plan are few; more approvals than this are not read.
const MOST: u32 = 100;

/// What has to be true of a plan that people speak about.
fn decidable(plan: &Plan, now: i64) -> Result<(), StoreError> {
    if plan.expires <= now {
        return Err(conflict("the plan has expired"));
    }
    plans::intact(plan)
}

async fn approve(tx: &mut FeedTx, approval: &Approval, now: i64, log: &[LogEntry]) -> Result<Plan, StoreError> {
    let mut plan = plans::find(tx, &approval.plan).await?;
    if plan.state != PlanState::Waiting {
        return Err(conflict(format!("the plan waits for nobody: it is {}", plan.state.name())));
    }
    decidable(&plan, now)?;
    if approval.hash != plan.hash {
        return Err(conflict("the approval is for another text of the plan"));
    }
    if approval.expires <= now {
        return Err(conflict("the approval has expired"));
    }
    if approval.account == plan.proposer {
        return Err(conflict("nobody decides about what they proposed"));
    }
    // The next one of the same account, or with the same id, is refused.
    let sql = "SELECT id FROM approvals WHERE (plan = $1 AND account = $2) OR id = $3 LIMIT 1";
    if tx.session().await?.row(sql, values![&approval.plan, &approval.account, &approval.id]).await?.is_some() {
        return Err(conflict("the account has decided about this plan"));
    }
    let approval = Approval { used: None, ..approval.clone() };
    let sql = "INSERT INTO approvals (id, plan, account, at, body) VALUES ($1, $2, $3, $4, $5)";
    let values = values![&approval.id, &approval.plan, &approval.account, approval.at, json(&approval)?];
    tx.put(sql, values);
    if approval.ruling == Ruling::Deny {
        plan.state = PlanState::Refused;
        plan.reasons.push(format!("denied by {}: {}", approval.name, approval.reason));
    }
    plans::store(tx, &plan)?;
    incidents::note(tx, plan.incident.as_ref(), log).await?;
    Ok(plan)
}

async fn of_plan(tx: &mut FeedTx, plan: &Arc<str>) -> Result<Vec<Approval>, StoreError> {
    let sql = "SELECT body FROM approvals WHERE plan = $1 ORDER BY id LIMIT $2";
    bodies(&tx.session().await?.rows(sql, values![plan, MOST]).await?)
}

async fn use_all(tx: &mut FeedTx, id: &str, now: i64, steps: &[Remedy], log: &[LogEntry]) -> Result<Plan, StoreError> {
    let mut plan = plans::find(tx, id).await?;
    // What needs nobody does not have to wait for anybody first.
    let ready = plan.state == PlanState::Waiting || (plan.needed == 0 && plan.state == PlanState::Proposed);
    if !ready {
        return Err(conflict(format!("the plan cannot be approved: it is {}", plan.state.name())));
    }
    decidable(&plan, now)?;
    let mut approvals = of_plan(tx, &plan.id).await?;
    if approvals.iter().any(|approval| approval.ruling == Ruling::Deny) {
        return Err(conflict("somebody denied the plan"));
    }
    approvals.retain(|one| one.used.is_none() && one.hash == plan.hash && one.expires > now);
    let people: HashSet<&Arc<str>> =
        approvals.iter().map(|one| &one.account).filter(|account| **account != plan.proposer).collect();
    if people.len() < usize::from(plan.needed) {
        return Err(conflict(format!("{} of {} approvals are there", people.len(), plan.needed)));
    }
    for approval in &mut approvals {
        approval.used = Some(now);
        let sql = "UPDATE approvals SET used = $2, body = $3 WHERE id = $1 AND used IS NULL";
        tx.put(sql, values![&approval.id, now, json(approval)?]);
    }
    plan.state = PlanState::Approved;
    plans::store(tx, &plan)?;
    remedies::insert(tx, &plan, steps).await?;
    incidents::note(tx, plan.incident.as_ref(), log).await?;
    Ok(plan)
}

/// Approvals.
impl Database {
    /// Keeps what a person said about a plan. A no refuses the plan at once.
    ///
    /// # Errors
    /// `Missing` when there is no such plan; `Conflict` when it waits for nobody, has expired or has another hash, when
    /// the approval has expired, and when the account proposed the plan or has decided about it before.
    pub async fn approve(&self, approval: &Approval, now: i64, log: &[LogEntry]) -> Result<Fed<Plan>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = approve(&mut tx, approval, now, log).await;
        tx.end(done).await
    }

    /// What people said about a plan, in order.
    pub async fn approvals_of(&self, plan: &str) -> Result<Vec<Approval>, StoreError> {
        let sql = "SELECT body FROM approvals WHERE plan = $1 ORDER BY id LIMIT $2";
        bodies(&self.read().await?.rows(sql, values![plan.to_owned(), MOST]).await?)
    }

    /// Uses the approvals of a plan, once: marks them, approves the plan and makes its remedies, all or nothing. A plan
    /// that needs nobody is approved by this too.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when the plan is in another state (approved before, say), has expired or was edited, or
    /// too few approvals count; `Refused` when a remedy is of another plan.
    pub async fn use_approvals(
        &self,
        plan: &str,
        now: i64,
        remedies: &[Remedy],
        log: &[LogEntry],
    ) -> Result<Fed<Plan>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = use_all(&mut tx, plan, now, remedies, log).await;
        tx.end(done).await
    }

    /// The key of an account, if it has one.
    pub async fn approver_key(&self, account: &str) -> Result<Option<ApproverKey>, StoreError> {
        let sql = "SELECT public_key, sealed_key FROM approvers WHERE account = $1";
        let row = self.read().await?.row(sql, values![account.to_owned()]).await?;
        row.map(|row| Ok(ApproverKey { public: row.text(0)?, sealed: row.text(1)? })).transpose()
    }

    /// Gives an account a key, unless it has one; says which it has now.
    pub async fn put_approver_key(
        &self,
        account: &str,
        key: &ApproverKey,
        now: i64,
    ) -> Result<ApproverKey, StoreError> {
        let sql = "INSERT INTO approvers (account, public_key, sealed_key, made) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (account) DO NOTHING";
        let values = values![account.to_owned(), key.public.clone(), key.sealed.clone(), now];
        self.write().await?.execute(sql, values).await?;
        self.approver_key(account).await?.ok_or(StoreError::Missing("approver key"))
    }
}

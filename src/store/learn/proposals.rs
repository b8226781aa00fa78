//! Proposals: rules that were learned or taken over, and where they stand.

use std::sync::Arc;

use super::reports;
use crate::store::changes::{Changed, touch};
use crate::store::soc::feed::FeedTx;
use crate::store::soc::{Fed, Filter, bodies, body, conflict, json, tree};
use crate::store::{Backend, Database, StoreError};
use crate::types::RuleId;
use crate::types::learn::{Proposal, ProposalState, ReportState};
use crate::types::soc::{FeedEntry, FeedKind};
use crate::values;

/// Rules that are staged at once, whatever is asked for.
const MOST_STAGED: u32 = 10_000;

const DUE: &str = "SELECT id FROM learn_proposals WHERE state = 'working' AND due <= $1 AND lease_until <= $1 ORDER BY due, id LIMIT 1";

macro_rules! lease {
    ($lock:literal) => {
        concat!(
            "UPDATE learn_proposals SET worker = $2, lease_until = $3, attempts = attempts + 1 WHERE id = (SELECT id FROM learn_proposals WHERE \
             state = 'working' AND due <= $1 AND lease_until <= $1 ORDER BY due, id LIMIT 1",
            $lock,
            ") RETURNING body, attempts"
        )
    };
}

/// Which proposals. Absent conditions hold for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProposalFilter {
    /// Where they stand.
    pub state: Option<ProposalState>,
    /// Only those made before the one with this id.
    pub before: Option<String>,
}

/// What the feed shows of a proposal: everything but the words of the report.
fn tell(tx: &mut FeedTx, proposal: &Proposal) -> Result<(), StoreError> {
    let mut shown = tree(proposal)?;
    if let Some(fields) = shown.as_object_mut() {
        for hidden in ["variations", "rules", "figures", "reasons", "problem"] {
            fields.remove(hidden);
        }
    }
    tx.tell(FeedKind::Proposal, &proposal.id, shown);
    Ok(())
}

pub(super) async fn insert(tx: &mut FeedTx, proposal: &Proposal) -> Result<(), StoreError> {
    let sql = "INSERT INTO learn_proposals (id, stem, report, state, due, lease_until, attempts, since, body) \
               VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7)";
    let Proposal { id, stem, report, state, made, since, .. } = proposal;
    tx.session().await?.execute(sql, values![id, stem, report, state.name(), *made, *since, json(proposal)?]).await?;
    if state.is_staged() {
        touch(tx.session().await?, Changed::Learned).await?;
    }
    tell(tx, proposal)
}

async fn find(tx: &mut FeedTx, id: &str) -> Result<Proposal, StoreError> {
    let sql = match tx.backend() {
        Backend::Sqlite => "SELECT body FROM learn_proposals WHERE id = $1",
        Backend::Postgres => "SELECT body FROM learn_proposals WHERE id = $1 FOR UPDATE",
    };
    let row = tx.session().await?.row(sql, values![id.to_owned()]).await?;
    row.as_ref().map(body).transpose()?.ok_or(StoreError::Missing("proposal"))
}

/// Writes a proposal that was `before`, and what follows from where it stands now.
async fn store(tx: &mut FeedTx, before: &Proposal, new: &Proposal, due: i64) -> Result<(), StoreError> {
    let sql = "UPDATE learn_proposals SET state = $2, due = $3, since = $4, body = $5, worker = NULL, lease_until = 0, attempts = 0 \
               WHERE id = $1";
    tx.session().await?.execute(sql, values![&new.id, new.state.name(), due, new.since, json(new)?]).await?;
    if before.stage() != new.stage() {
        touch(tx.session().await?, Changed::Learned).await?;
    }
    if let Some(report) = new.report.as_ref().filter(|_| before.state != new.state) {
        let mut report = match reports::find(tx, report).await {
            Err(StoreError::Missing(_)) => return tell(tx, new),
            found => found?,
        };
        report.state = match new.state {
            ProposalState::Working => ReportState::Learning,
            ProposalState::Shadow | ProposalState::Canary | ProposalState::Live => ReportState::Learned,
            ProposalState::Refused | ProposalState::RolledBack | ProposalState::Rejected => ReportState::Dismissed,
        };
        report.updated = new.updated;
        reports::store(tx, &report).await?;
    }
    tell(tx, new)
}

pub(super) async fn add_authors<'a>(
    tx: &mut FeedTx,
    id: &str,
    authors: impl Iterator<Item = &'a Arc<str>> + Send,
) -> Result<(), StoreError> {
    let mut proposal = match find(tx, id).await {
        Err(StoreError::Missing(_)) => return Ok(()),
        found => found?,
    };
    for author in authors {
        if !proposal.authors.contains(author) {
            proposal.authors.push(Arc::clone(author));
        }
    }
    // Only the authors: whoever works on it may have its lease.
    let sql = "UPDATE learn_proposals SET body = $2 WHERE id = $1";
    tx.session().await?.execute(sql, values![&proposal.id, json(&proposal)?]).await.map(drop)
}

pub(super) async fn forget_variations(tx: &mut FeedTx, id: &str) -> Result<(), StoreError> {
    let before = match find(tx, id).await {
        Err(StoreError::Missing(_)) => return Ok(()),
        found => found?,
    };
    let mut proposal = before.clone();
    proposal.variations.clear();
    // The text is an example of its rules too.
    proposal.rules.clear();
    proposal.figures.clear();
    proposal.title = "erased".into();
    match proposal.state {
        ProposalState::Working => proposal.state = ProposalState::Refused,
        state if state.is_staged() => proposal.state = ProposalState::RolledBack,
        _ => {}
    }
    proposal.reasons.push("the words it is made of were erased".to_owned());
    store(tx, &before, &proposal, proposal.since).await
}

async fn advance(tx: &mut FeedTx, new: &Proposal, (worker, now): (&str, i64), due: i64) -> Result<(), StoreError> {
    let sql = match tx.backend() {
        Backend::Sqlite => "SELECT body, worker, lease_until FROM learn_proposals WHERE id = $1",
        Backend::Postgres => "SELECT body, worker, lease_until FROM learn_proposals WHERE id = $1 FOR UPDATE",
    };
    let row = tx.session().await?.row(sql, values![&new.id]).await?.ok_or(StoreError::Missing("proposal"))?;
    let known: Proposal = body(&row)?;
    let mine = row.maybe_text(1)?.as_deref() == Some(worker);
    if !mine || row.int(2)? <= now || known.state != ProposalState::Working {
        return Err(conflict("the lease on the proposal is lost"));
    }
    // Others who reported the same meanwhile are authors too.
    let new = Proposal { authors: known.authors.clone(), ..new.clone() };
    store(tx, &known, &new, due).await
}

/// Proposals.
impl Database {
    /// Writes a new proposal: rules that are taken over.
    ///
    /// # Errors
    /// `Full` when too many wait to be worked on.
    pub async fn propose(&self, proposal: &Proposal, waiting: u64) -> Result<Vec<FeedEntry>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = async {
            let sql = "SELECT COUNT(*) FROM learn_proposals WHERE state = 'working'";
            let count = tx.session().await?.row(sql, Vec::new()).await?.map_or(Ok(0), |row| row.count(0))?;
            if count >= waiting {
                return Err(StoreError::Full("as many proposals as may wait are waiting to be worked on"));
            }
            insert(&mut tx, proposal).await
        }
        .await;
        tx.end(done).await.map(|((), feed)| feed)
    }

    /// Leases the proposal that is due longest and that nobody works on, until `until` (Unix time in microseconds).
    /// `worker` names one task of one process. Says too how often it was leased since a step of it was last written.
    pub async fn lease_proposal(
        &self,
        worker: &str,
        until: i64,
        now: i64,
    ) -> Result<Option<(Proposal, u32)>, StoreError> {
        // Mostly there is nothing to do, and that takes no lock.
        if self.read().await?.row(DUE, values![now]).await?.is_none() {
            return Ok(None);
        }
        let mut session = self.write().await?;
        let sql = match session.backend() {
            Backend::Sqlite => lease!(""),
            Backend::Postgres => lease!(" FOR UPDATE SKIP LOCKED"),
        };
        let row = session.row(sql, values![now, worker.to_owned(), until]).await?;
        row.map(|row| Ok((body(&row)?, u32::try_from(row.count(1)?).unwrap_or(u32::MAX)))).transpose()
    }

    /// Writes what a step came to and gives the lease back; what is next is due at `due`.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when the lease is lost, and nothing is written then.
    pub async fn advance_proposal(
        &self,
        proposal: &Proposal,
        worker: &str,
        now: i64,
        due: i64,
    ) -> Result<Vec<FeedEntry>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = advance(&mut tx, proposal, (worker, now), due).await;
        tx.end(done).await.map(|((), feed)| feed)
    }

    /// Changes a proposal that nobody works on, with what is read being what is changed.
    ///
    /// # Errors
    /// `Missing`; `Conflict` while it is worked on; whatever `change` says, and then nothing is changed.
    pub async fn change_proposal(
        &self,
        id: &str,
        change: impl FnOnce(&mut Proposal) -> Result<(), StoreError> + Send,
    ) -> Result<Fed<Proposal>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = async {
            let before = find(&mut tx, id).await?;
            let mut new = before.clone();
            change(&mut new)?;
            if before.state == ProposalState::Working && new.state.is_staged() {
                return Err(conflict("the proposal is still worked on"));
            }
            store(&mut tx, &before, &new, new.since).await?;
            Ok(new)
        }
        .await;
        tx.end(done).await
    }

    /// The proposal with this id.
    pub async fn proposal(&self, id: &str) -> Result<Option<Proposal>, StoreError> {
        let sql = "SELECT body FROM learn_proposals WHERE id = $1";
        self.read().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(body).transpose()
    }

    /// At most `limit` (and 1000) proposals, newest first by their ids.
    pub async fn proposals(&self, filter: &ProposalFilter, limit: u32) -> Result<Vec<Proposal>, StoreError> {
        let filter = filter.clone();
        let mut query = Filter::new("SELECT body FROM learn_proposals");
        query.only("state = {}", filter.state.map(ProposalState::name));
        query.only("id < {}", filter.before);
        query.page(self, "id DESC", limit).await
    }

    /// Every proposal whose rules are part of the Snapshot, in the order of their ids.
    pub async fn staged_proposals(&self) -> Result<Vec<Proposal>, StoreError> {
        let sql = "SELECT body FROM learn_proposals WHERE state IN ('shadow', 'canary', 'live') ORDER BY id LIMIT $1";
        bodies(&self.read().await?.rows(sql, values![MOST_STAGED]).await?)
    }

    /// The stems and rule ids of every proposal that is worked on or staged.
    pub async fn learned_ids(&self) -> Result<Vec<(Arc<str>, Vec<RuleId>)>, StoreError> {
        let sql = "SELECT body FROM learn_proposals WHERE state IN ('working', 'shadow', 'canary', 'live') LIMIT $1";
        let found: Vec<Proposal> = bodies(&self.read().await?.rows(sql, values![MOST_STAGED]).await?)?;
        Ok(found.into_iter().map(|one| (one.stem, one.ids)).collect())
    }

    /// How many proposals stand where.
    pub async fn proposal_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT state, COUNT(*) FROM learn_proposals GROUP BY state ORDER BY state";
        let rows = self.read().await?.rows(sql, Vec::new()).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.count(1)?))).collect()
    }
}

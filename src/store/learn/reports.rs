//! Reports: texts that were judged wrongly, as somebody says.

use std::sync::Arc;

use super::proposals;
use crate::store::soc::feed::FeedTx;
use crate::store::soc::{Fed, Filter, bodies, body, json, tree};
use crate::store::{Backend, Database, StoreError};
use crate::types::learn::{Proposal, Report, ReportKind, ReportState, Reporter};
use crate::types::soc::FeedKind;
use crate::values;

/// How much may be reported.
#[derive(Debug, Clone, Copy)]
pub struct ReportBounds {
    /// New reports of one account within an hour.
    pub per_hour: u64,
    /// Proposals that may wait to be worked on.
    pub waiting: u64,
}

/// Accounts that are noted with one report.
const MOST_REPORTERS: usize = 100;

/// Which reports. Absent conditions hold for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportFilter {
    /// Of this kind.
    pub kind: Option<ReportKind>,
    /// Where they stand.
    pub state: Option<ReportState>,
    /// Only those made before the one with this id.
    pub before: Option<String>,
}

/// What the feed shows of a report: everything but its words.
fn tell(tx: &mut FeedTx, report: &Report) -> Result<(), StoreError> {
    let mut shown = tree(report)?;
    if let Some(fields) = shown.as_object_mut() {
        for hidden in ["text", "note", "user", "print", "ruling"] {
            fields.remove(hidden);
        }
    }
    tx.tell(FeedKind::Report, &report.id, shown);
    Ok(())
}

pub(super) async fn find(tx: &mut FeedTx, id: &str) -> Result<Report, StoreError> {
    let sql = match tx.backend() {
        Backend::Sqlite => "SELECT body FROM learn_reports WHERE id = $1",
        Backend::Postgres => "SELECT body FROM learn_reports WHERE id = $1 FOR UPDATE",
    };
    let row = tx.session().await?.row(sql, values![id.to_owned()]).await?;
    row.as_ref().map(body).transpose()?.ok_or(StoreError::Missing("report"))
}

pub(super) async fn store(tx: &mut FeedTx, report: &Report) -> Result<(), StoreError> {
    let sql = "UPDATE learn_reports SET state = $2, proposal = $3, body = $4 WHERE id = $1";
    let values = values![&report.id, report.state.name(), &report.proposal, json(report)?];
    tx.session().await?.execute(sql, values).await?;
    tell(tx, report)
}

/// The report of the same text, with one more who reported it.
async fn joined(tx: &mut FeedTx, known: Report, new: &Report) -> Result<Report, StoreError> {
    let mut report = known;
    if report.user.is_none()
        && let Some(user) = &new.user
    {
        report.user = Some(Arc::clone(user));
        report.request.clone_from(&new.request);
        let sql = "UPDATE learn_reports SET user_ = $2 WHERE id = $1";
        tx.session().await?.execute(sql, values![&report.id, user]).await?;
        store(tx, &report).await?;
    }
    let fresh = new.reporters.iter().filter(|one| report.reporters.iter().all(|known| known.account != one.account));
    let fresh: Vec<Reporter> = fresh.cloned().collect();
    if fresh.is_empty() || report.reporters.len() >= MOST_REPORTERS {
        return Ok(report);
    }
    // Who said the same must not approve what comes of it.
    if let Some(id) = &report.proposal {
        proposals::add_authors(tx, id, fresh.iter().map(|one| &one.account)).await?;
    }
    report.reporters.extend(fresh);
    store(tx, &report).await?;
    Ok(report)
}

async fn report(
    tx: &mut FeedTx,
    new: &Report,
    proposal: Option<&Proposal>,
    bounds: ReportBounds,
) -> Result<(Report, bool), StoreError> {
    let sql = "SELECT body FROM learn_reports WHERE kind = $1 AND print = $2";
    let known = tx.session().await?.row(sql, values![new.kind.name(), &new.print]).await?;
    let known = known.as_ref().map(body::<Report>).transpose()?;
    // What was learned from it is not in force any more: it may be tried again.
    let again = known.as_ref().is_some_and(|known| known.state == ReportState::Dismissed) && proposal.is_some();
    if let Some(known) = known.clone().filter(|_| !again) {
        return Ok((joined(tx, known, new).await?, false));
    }
    let reporter = new.reporters.first().map_or_else(|| Arc::from(""), |one| Arc::clone(&one.account));
    let sql = "SELECT COUNT(*) FROM learn_reports WHERE reporter = $1 AND made > $2";
    let since = new.made.saturating_sub(3_600_000_000);
    let count = tx.session().await?.row(sql, values![&reporter, since]).await?.map_or(Ok(0), |row| row.count(0))?;
    if count >= bounds.per_hour {
        return Err(StoreError::Full("this account has reported as much as it may within an hour"));
    }
    if let Some(proposal) = proposal {
        let sql = "SELECT COUNT(*) FROM learn_proposals WHERE state = 'working'";
        let waiting = tx.session().await?.row(sql, Vec::new()).await?.map_or(Ok(0), |row| row.count(0))?;
        if waiting >= bounds.waiting {
            return Err(StoreError::Full("as many proposals as may wait are waiting to be worked on"));
        }
        let mut proposal = proposal.clone();
        if let Some(known) = &known {
            proposal.report = Some(Arc::clone(&known.id));
            proposal.authors.extend(known.reporters.iter().map(|one| Arc::clone(&one.account)));
            proposal.authors.dedup();
        }
        proposals::insert(tx, &proposal).await?;
    }
    if let Some(known) = known {
        let mut report = joined(tx, known, new).await?;
        report.state = ReportState::Learning;
        report.proposal.clone_from(&new.proposal);
        (report.family, report.role, report.updated) = (new.family, new.role, new.updated);
        store(tx, &report).await?;
        return Ok((report, true));
    }
    let sql = "INSERT INTO learn_reports (id, kind, print, state, reporter, user_, proposal, made, body) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let values = values![
        &new.id,
        new.kind.name(),
        &new.print,
        new.state.name(),
        &reporter,
        &new.user,
        &new.proposal,
        new.made,
        json(new)?
    ];
    tx.session().await?.execute(sql, values).await?;
    tell(tx, new)?;
    Ok((new.clone(), true))
}

/// Reports.
impl Database {
    /// Writes a report and the proposal that is to come of it; says whether it is new. The same text reported again is the
    /// same report with one more who reported it.
    ///
    /// # Errors
    /// `Full` when the account has reported too much, or too many proposals wait.
    pub async fn report(
        &self,
        new: &Report,
        proposal: Option<&Proposal>,
        bounds: ReportBounds,
    ) -> Result<Fed<(Report, bool)>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = report(&mut tx, new, proposal, bounds).await;
        tx.end(done).await
    }

    /// The report with this id.
    pub async fn report_of(&self, id: &str) -> Result<Option<Report>, StoreError> {
        let sql = "SELECT body FROM learn_reports WHERE id = $1";
        self.read().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(body).transpose()
    }

    /// At most `limit` (and 1000) reports, newest first by their ids.
    pub async fn reports(&self, filter: &ReportFilter, limit: u32) -> Result<Vec<Report>, StoreError> {
        let filter = filter.clone();
        let mut query = Filter::new("SELECT body FROM learn_reports");
        query.only("kind = {}", filter.kind.map(ReportKind::name));
        query.only("state = {}", filter.state.map(ReportState::name));
        query.only("id < {}", filter.before);
        query.page(self, "id DESC", limit).await
    }

    /// The false alarms of learned rules that nobody dismissed, the newest: their rules and the accounts that say so.
    pub async fn false_alarms(&self, limit: u32) -> Result<Vec<Report>, StoreError> {
        let sql = "SELECT body FROM learn_reports WHERE kind = 'false_alarm' AND state <> 'dismissed' \
                   AND body LIKE '%LRN-%' ORDER BY id DESC LIMIT $1";
        bodies(&self.read().await?.rows(sql, values![limit]).await?)
    }

    /// Changes a report, with what is read being what is changed.
    ///
    /// # Errors
    /// `Missing`; whatever `change` says, and then nothing is changed.
    pub async fn change_report(
        &self,
        id: &str,
        change: impl FnOnce(&mut Report) -> Result<(), StoreError> + Send,
    ) -> Result<Fed<Report>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = async {
            let mut report = find(&mut tx, id).await?;
            change(&mut report)?;
            store(&mut tx, &report).await?;
            Ok(report)
        }
        .await;
        tx.end(done).await
    }

    /// Forgets what was reported of one person's words, and the rules that came of it, which have the words as an example. Says
    /// how many texts are gone.
    pub(in crate::store) async fn erase_reports(&self, user: &str) -> Result<u64, StoreError> {
        let mut session = self.write().await?;
        let sql = "DELETE FROM learn_texts WHERE user_ = $1";
        let texts = session.execute(sql, values![user.to_owned()]).await?;
        drop(session);
        let sql = "SELECT body FROM learn_reports WHERE user_ = $1";
        let rows = self.read().await?.rows(sql, values![user.to_owned()]).await?;
        let mut count = texts;
        for row in &rows {
            let known: Report = body(row)?;
            let mut tx = FeedTx::begin(self).await?;
            let done = forget(&mut tx, &known.id).await;
            tx.end(done).await?;
            count = count.saturating_add(1);
        }
        Ok(count)
    }
}

/// A report without its words, and its proposal without the variations of them.
async fn forget(tx: &mut FeedTx, id: &str) -> Result<(), StoreError> {
    if let Some(proposal) = find(tx, id).await?.proposal {
        proposals::forget_variations(tx, &proposal).await?;
    }
    let mut report = find(tx, id).await?;
    (report.text, report.note, report.user, report.request) = (String::new(), "".into(), None, None);
    (report.state, report.ruling, report.print) = (ReportState::Dismissed, None, Arc::clone(&report.id));
    let sql = "UPDATE learn_reports SET user_ = NULL, print = id WHERE id = $1";
    tx.session().await?.execute(sql, values![&report.id]).await?;
    store(tx, &report).await
}

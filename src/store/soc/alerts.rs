//! Alerts: writing what the desk made of events, and reading them.

use std::collections::HashMap;
use std::sync::Arc;

use super::feed::FeedTx;
use super::{Filter, MOST_ROWS, anywhere, bodies, body, json, rank, rows_of, severity, tree};
use crate::store::insert::Insert;
use crate::store::{Database, StoreError, Value};
use crate::types::soc::{Alert, AlertState, FeedEntry, FeedKind};
use crate::types::{Family, Severity};
use crate::values;

/// What is to be written of an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum AlertWrite {
    /// It is new. The same id again changes nothing.
    New(Alert),
    /// More was counted in it: figures, verdict, evidence and message are taken over, and nothing that people decide.
    /// One that is not there any more is written anew; one that counts less than what is there changes nothing.
    Folded(Alert),
}

/// Which alerts to list. Absent conditions hold for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertFilter {
    /// In this state.
    pub state: Option<AlertState>,
    /// At least this bad.
    pub severity: Option<Severity>,
    /// Of this family.
    pub family: Option<Family>,
    /// By this rule.
    pub rule: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// Of this session.
    pub session: Option<String>,
    /// With this key, by its id.
    pub key: Option<String>,
    /// From this address, as it is written canonically.
    pub address: Option<String>,
    /// Somebody's, by the name of the account.
    pub assignee: Option<String>,
    /// Evidence of this incident.
    pub incident: Option<String>,
    /// `gateway`, or the name of a system outside.
    pub source: Option<String>,
    /// With these letters in the title, large or small.
    pub text: Option<String>,
    /// That happened at or after this: Unix time in microseconds.
    pub from: Option<i64>,
    /// That happened before this.
    pub to: Option<i64>,
    /// The id that the last page ended with: they are listed newest first.
    pub before: Option<String>,
}

/// How many alerts there are of one state and severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertCount {
    /// The state.
    pub state: AlertState,
    /// The severity.
    pub severity: Severity,
    /// How many.
    pub count: u64,
}

static INSERT: Insert = Insert::new(
    "INSERT INTO alerts (id, first_seen, last_seen, severity, family, rule, tenant, user_, session, key_, address, \
     state, assignee, incident, source, title, body)",
    17,
    "",
);

/// So many go with what else is to be written.
const FEW: usize = 4;
const INSERT_ONE: &str = "INSERT INTO alerts (id, first_seen, last_seen, severity, family, rule, tenant, user_, session, \
                          key_, address, state, assignee, incident, source, title, body) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
const UPDATE: &str = "UPDATE alerts SET first_seen = $2, last_seen = $3, severity = $4, family = $5, rule = $6, \
                      tenant = $7, user_ = $8, session = $9, key_ = $10, address = $11, state = $12, assignee = $13, \
                      incident = $14, source = $15, title = $16, body = $17 WHERE id = $1";

fn columns(alert: &Alert) -> Result<Vec<Value>, StoreError> {
    let caller = &alert.caller;
    Ok(values![
        &alert.id,
        alert.first,
        alert.last,
        rank(alert.severity),
        alert.family.map(Family::name),
        &alert.rule,
        &caller.tenant,
        &caller.user,
        &caller.session,
        &caller.key,
        caller.address.map(|address| address.to_string()),
        alert.state.name(),
        &alert.assignee,
        &alert.incident,
        &alert.source,
        alert.title.to_lowercase(),
        json(alert)?,
    ])
}

/// An alert of a batch: as it is stored, or will be.
struct Draft {
    alert: Alert,
    new: bool,
    changed: bool,
}

impl Draft {
    /// Takes over what was counted and judged. What only grows never shrinks, whichever replica or merging came first; who
    /// it was stays as it is stored, because a person may have been erased since.
    fn fold(&mut self, from: &Alert) {
        if from.count < self.alert.count {
            return;
        }
        let kept = &self.alert;
        let gone = kept.caller.user != from.caller.user;
        let folded = Alert {
            severity: from.severity.max(kept.severity),
            first: from.first.min(kept.first),
            last: from.last.max(kept.last),
            count: from.count,
            retries: from.retries,
            requests: from.requests.clone(),
            verdict: from.verdict.clone(),
            proofs: from.proofs.clone(),
            threats: from.threats.clone(),
            message: if gone { kept.message.clone() } else { from.message.clone() },
            ..kept.clone()
        };
        self.changed |= folded != self.alert;
        self.alert = folded;
    }
}

async fn write(tx: &mut FeedTx, writes: &[AlertWrite]) -> Result<(), StoreError> {
    let ids: Vec<Arc<str>> = writes
        .iter()
        .map(|write| match write {
            AlertWrite::New(alert) | AlertWrite::Folded(alert) => Arc::clone(&alert.id),
        })
        .collect();
    let mut drafts: Vec<Draft> =
        find(tx, &ids).await?.into_iter().map(|alert| Draft { alert, new: false, changed: false }).collect();
    let mut places: HashMap<Arc<str>, usize> =
        drafts.iter().enumerate().map(|(at, draft)| (Arc::clone(&draft.alert.id), at)).collect();
    for write in writes {
        let (AlertWrite::New(alert) | AlertWrite::Folded(alert)) = write;
        match places.get(&alert.id).and_then(|at| drafts.get_mut(*at)) {
            Some(draft) if matches!(write, AlertWrite::Folded(_)) => draft.fold(alert),
            Some(_) => {}
            None => {
                places.insert(Arc::clone(&alert.id), drafts.len());
                drafts.push(Draft { alert: alert.clone(), new: true, changed: true });
            }
        }
    }
    let fresh: Result<Vec<_>, _> = drafts.iter().filter(|draft| draft.new).map(|draft| columns(&draft.alert)).collect();
    let fresh = fresh?;
    if fresh.len() <= FEW {
        fresh.into_iter().for_each(|row| tx.put(INSERT_ONE, row));
    } else {
        INSERT.run(tx.session().await?, fresh).await?;
    }
    for draft in drafts.iter().filter(|draft| draft.changed) {
        if draft.new {
            tell(tx, &draft.alert)?;
        } else {
            store(tx, &draft.alert)?;
        }
    }
    Ok(())
}

/// Those of `ids` that are there, each once.
pub(super) async fn find(tx: &mut FeedTx, ids: &[Arc<str>]) -> Result<Vec<Alert>, StoreError> {
    let sql = "SELECT body FROM alerts WHERE id IN";
    let mut found: Vec<Alert> = bodies(&rows_of(tx.session().await?, sql, ids.iter().map(AsRef::as_ref)).await?)?;
    // An id that was asked for twice may be found in two parts.
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

/// Writes an alert that is there, and tells of it.
pub(super) fn store(tx: &mut FeedTx, alert: &Alert) -> Result<(), StoreError> {
    tx.put(UPDATE, columns(alert)?);
    tell(tx, alert)
}

/// What the feed shows of an alert: without what an outside system sent, which may be long and is nobody's to watch.
pub(super) fn tell(tx: &mut FeedTx, alert: &Alert) -> Result<(), StoreError> {
    let mut body = tree(alert)?;
    if let Some(fields) = body.as_object_mut() {
        fields.remove("raw");
    }
    tx.tell(FeedKind::Alert, &alert.id, body);
    Ok(())
}

/// Alerts.
impl Database {
    /// Writes a batch, all of it or nothing.
    pub async fn write_alerts(&self, writes: &[AlertWrite]) -> Result<Vec<FeedEntry>, StoreError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = FeedTx::begin(self).await?;
        let done = write(&mut tx, writes).await;
        tx.end(done).await.map(|((), feed)| feed)
    }

    /// The alert with this id.
    pub async fn alert(&self, id: &str) -> Result<Option<Alert>, StoreError> {
        let sql = "SELECT body FROM alerts WHERE id = $1";
        self.read().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(body).transpose()
    }

    /// At most `limit` (and 1000) alerts, newest first by their ids.
    pub async fn alerts(&self, filter: &AlertFilter, limit: u32) -> Result<Vec<Alert>, StoreError> {
        let filter = filter.clone();
        let mut query = Filter::new("SELECT body FROM alerts");
        query.only("state = {}", filter.state.map(AlertState::name));
        query.only("severity >= {}", filter.severity.map(rank));
        query.only("family = {}", filter.family.map(Family::name));
        query.only("rule = {}", filter.rule);
        query.only("tenant = {}", filter.tenant);
        query.only("user_ = {}", filter.user);
        query.only("session = {}", filter.session);
        query.only("key_ = {}", filter.key);
        query.only("address = {}", filter.address);
        query.only("assignee = {}", filter.assignee);
        query.only("id IN (SELECT alert FROM incident_alerts WHERE incident = {})", filter.incident);
        query.only("source = {}", filter.source);
        query.only("title LIKE {} ESCAPE '!'", filter.text.as_deref().map(anywhere));
        query.only("last_seen >= {}", filter.from);
        query.only("first_seen < {}", filter.to);
        query.only("id < {}", filter.before);
        query.page(self, "id DESC", limit).await
    }

    /// How many alerts there are of each state and severity; those there are none of are left out.
    pub async fn alert_counts(&self) -> Result<Vec<AlertCount>, StoreError> {
        let sql = "SELECT state, severity, COUNT(*) FROM alerts GROUP BY state, severity ORDER BY state, severity";
        let rows = self.read().await?.rows(sql, Vec::new()).await?;
        let count = |row: &crate::store::Row| {
            let word = row.text(0)?;
            let state = AlertState::ALL.into_iter().find(|state| state.name() == word);
            let state = state.ok_or_else(|| StoreError::Value(format!("`{word}` is no state of an alert")))?;
            Ok(AlertCount { state, severity: severity(row.int(1)?)?, count: row.count(2)? })
        };
        rows.iter().map(count).collect()
    }

    /// What happened at or after `since`, the newest `limit` (at most 100,000), oldest first: what correlation remembers.
    pub async fn recent_alerts(&self, since: i64, limit: u32) -> Result<Vec<Alert>, StoreError> {
        const MOST: u32 = 100_000;
        let mut alerts: Vec<Alert> = Vec::new();
        let (mut last, mut id) = (i64::MAX, String::new());
        // Page by page, each within the time limit.
        while alerts.len() < usize::try_from(limit.min(MOST)).unwrap_or(usize::MAX) {
            let left =
                u32::try_from(alerts.len()).map_or(0, |have| limit.min(MOST).saturating_sub(have)).min(MOST_ROWS);
            let sql = "SELECT body FROM alerts WHERE last_seen >= $1 AND last_seen <= $2 \
                       AND (last_seen < $2 OR id < $3) ORDER BY last_seen DESC, id DESC LIMIT $4";
            let rows = self.read().await?.rows(sql, values![since, last, id.clone(), left]).await?;
            let page: Vec<Alert> = bodies(&rows)?;
            let Some(end) = page.last() else { break };
            (last, id) = (end.last, end.id.to_string());
            let full = page.len() >= usize::try_from(left).unwrap_or(usize::MAX);
            alerts.extend(page);
            if !full {
                break;
            }
        }
        alerts.reverse();
        Ok(alerts)
    }
}

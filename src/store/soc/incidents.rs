//! Incidents: raising them once, what joins them, and reading them.

use std::collections::HashSet;
use std::sync::Arc;

use super::feed::FeedTx;
use super::{
    Fed, Filter, MOST_ROWS, alerts, analyses, anywhere, bodies, body, conflict, few, json, logs, rank, rows_of, tree,
};
use crate::store::{Database, StoreError, Value};
use crate::types::Severity;
use crate::types::soc::{Alert, Analysis, FeedEntry, FeedKind, Incident, IncidentState, LogEntry, LogKind};
use crate::values;

/// What came of raising an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// The new one, or the one that the alerts joined.
    pub incident: Incident,
    /// Whether it is new.
    pub new: bool,
    /// What the feed says of it.
    pub feed: Vec<FeedEntry>,
}

/// Which incidents to list. Absent conditions hold for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IncidentFilter {
    /// In this state.
    pub state: Option<IncidentState>,
    /// Only those that are not closed.
    pub open: bool,
    /// At least this bad.
    pub severity: Option<Severity>,
    /// Raised by this rule.
    pub rule: Option<String>,
    /// About this.
    pub about: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// Somebody's, by the name of the account.
    pub assignee: Option<String>,
    /// With these letters in the title, large or small.
    pub text: Option<String>,
    /// That something was added to at or after this: Unix time in microseconds.
    pub from: Option<i64>,
    /// Raised before this.
    pub to: Option<i64>,
    /// The id that the last page ended with: they are listed newest first.
    pub before: Option<String>,
}

const INSERT: &str = "INSERT INTO incidents (id, rule, about, severity, tenant, user_, opened, updated, state, \
                      assignee, merged_into, title, body) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
const UPDATE: &str = "UPDATE incidents SET rule = $2, about = $3, severity = $4, tenant = $5, user_ = $6, opened = $7, \
                      updated = $8, state = $9, assignee = $10, merged_into = $11, title = $12, body = $13 WHERE id = $1";

fn columns(incident: &Incident) -> Result<Vec<Value>, StoreError> {
    Ok(values![
        &incident.id,
        &incident.rule,
        incident.about.clone(),
        rank(incident.severity),
        &incident.caller.tenant,
        &incident.caller.user,
        incident.opened,
        incident.updated,
        incident.state.name(),
        &incident.assignee,
        &incident.merged_into,
        incident.title.to_lowercase(),
        json(incident)?,
    ])
}

/// The incident with this id.
pub(super) async fn find(tx: &mut FeedTx, id: &str) -> Result<Option<Incident>, StoreError> {
    let sql = "SELECT body FROM incidents WHERE id = $1";
    tx.session().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(body).transpose()
}

/// The incident with this id, which is not closed.
pub(super) async fn open(tx: &mut FeedTx, id: &str) -> Result<Incident, StoreError> {
    let incident = find(tx, id).await?.ok_or(StoreError::Missing("incident"))?;
    if incident.state == IncidentState::Closed {
        return Err(conflict("the incident is closed"));
    }
    Ok(incident)
}

/// The open incident of a rule about something.
pub(super) async fn open_about(tx: &mut FeedTx, rule: &Arc<str>, about: &str) -> Result<Option<Incident>, StoreError> {
    let sql = "SELECT body FROM incidents WHERE rule = $1 AND about = $2 AND state <> 'closed'";
    tx.session().await?.row(sql, values![rule, about.to_owned()]).await?.as_ref().map(body).transpose()
}

/// Writes an incident that is there, and tells of it.
pub(super) fn store(tx: &mut FeedTx, incident: &Incident) -> Result<(), StoreError> {
    tx.put(UPDATE, columns(incident)?);
    tell(tx, incident)
}

fn tell(tx: &mut FeedTx, incident: &Incident) -> Result<(), StoreError> {
    tx.tell(FeedKind::Incident, &incident.id, tree(incident)?);
    Ok(())
}

/// Adds lines to an incident's timeline and tells of it, where there is such an incident.
pub(super) async fn note(tx: &mut FeedTx, id: Option<&Arc<str>>, log: &[LogEntry]) -> Result<(), StoreError> {
    let Some(id) = id.filter(|_| !log.is_empty()) else { return Ok(()) };
    let Some(mut incident) = find(tx, id).await? else { return Ok(()) };
    say(tx, &mut incident, log)
}

/// Adds lines to the timeline of an incident that was just read, and tells of it.
pub(super) fn say(tx: &mut FeedTx, incident: &mut Incident, log: &[LogEntry]) -> Result<(), StoreError> {
    let Some(last) = log.last() else { return Ok(()) };
    logs::add(tx, &incident.id, log)?;
    incident.updated = incident.updated.max(last.time);
    store(tx, incident)
}

/// Makes alerts evidence of the incident and writes it; says how many were not yet. An alert keeps the incident it was
/// put into first as its own. Ids of no alert are passed over.
pub(super) async fn link(
    tx: &mut FeedTx,
    incident: &mut Incident,
    ids: &[Arc<str>],
    time: i64,
) -> Result<usize, StoreError> {
    few(ids.len())?;
    let found = alerts::find(tx, ids).await?;
    let select = "SELECT incident, alert FROM incident_alerts WHERE alert IN";
    let mut known = HashSet::new();
    for row in rows_of(tx.session().await?, select, found.iter().map(|alert| &*alert.id)).await? {
        if row.text(0)? == *incident.id {
            known.insert(row.shared(1)?);
        }
    }
    let fresh: Vec<Alert> = found.into_iter().filter(|alert| !known.contains(&alert.id)).collect();
    if fresh.is_empty() {
        return Ok(0);
    }
    count(tx, incident).await?;
    absorb_all(tx, incident, fresh, time)
}

/// Makes alerts that are not yet evidence of the incident evidence of it, and writes it.
fn absorb_all(tx: &mut FeedTx, incident: &mut Incident, mut fresh: Vec<Alert>, time: i64) -> Result<usize, StoreError> {
    let sql = "INSERT INTO incident_alerts (incident, alert) VALUES ($1, $2)";
    fresh.sort_by_key(|alert| alert.last);
    let joined = fresh.len();
    for mut alert in fresh {
        tx.put(sql, values![&incident.id, &alert.id]);
        absorb(incident, &alert);
        incident.caller = alert.caller.clone();
        if alert.incident.is_none() {
            alert.incident = Some(Arc::clone(&incident.id));
            alerts::store(tx, &alert)?;
        }
    }
    if joined > 0 {
        incident.updated = incident.updated.max(time);
        store(tx, incident)?;
    }
    Ok(joined)
}

async fn count(tx: &mut FeedTx, incident: &mut Incident) -> Result<(), StoreError> {
    let sql = "SELECT COUNT(*) FROM incident_alerts WHERE incident = $1";
    incident.alerts = tx.session().await?.row(sql, values![&incident.id]).await?.map_or(Ok(0), |row| row.count(0))?;
    Ok(())
}

/// What an incident is as bad as: the worst of its alerts.
fn absorb(incident: &mut Incident, alert: &Alert) {
    let first = incident.alerts == 0;
    incident.severity = incident.severity.max(alert.severity);
    incident.risk = incident.risk.max(alert.verdict.risk);
    let likely = alert.verdict.false_positive;
    incident.false_positive = if first { likely } else { incident.false_positive.min(likely) };
    if let Some(family) = alert.family.filter(|family| !incident.families.contains(family)) {
        incident.families.push(family);
    }
    for threat in &alert.threats {
        if !incident.threats.contains(&threat.id) {
            incident.threats.push(Arc::clone(&threat.id));
        }
    }
    incident.updated = incident.updated.max(alert.last);
    incident.alerts = incident.alerts.saturating_add(1);
}

async fn raise(
    tx: &mut FeedTx,
    incident: &Incident,
    ids: &[Arc<str>],
    line: &LogEntry,
) -> Result<(Incident, bool), StoreError> {
    // One with its id was raised before, and nobody heard of it.
    let sql = "SELECT body FROM incidents WHERE id = $1 OR (rule = $2 AND about = $3 AND state <> 'closed')";
    let values = values![&incident.id, &incident.rule, incident.about.clone()];
    let mut there: Vec<Incident> = bodies(&tx.session().await?.rows(sql, values).await?)?;
    there.sort_by_key(|there| there.id != incident.id);
    if let Some(mut there) = there.into_iter().next() {
        if there.state != IncidentState::Closed {
            join(tx, &mut there, ids, &LogEntry { kind: LogKind::Alert, ..line.clone() }).await?;
        }
        return Ok((there, false));
    }
    let mut incident = Incident { alerts: 0, ..incident.clone() };
    few(ids.len())?;
    let found = alerts::find(tx, ids).await?;
    tx.put(INSERT, columns(&incident)?);
    tell(tx, &incident)?;
    absorb_all(tx, &mut incident, found, line.time)?;
    logs::add(tx, &incident.id, std::slice::from_ref(line))?;
    Ok((incident, true))
}

async fn join_open(
    tx: &mut FeedTx,
    (rule, about): (&Arc<str>, &str),
    alert: &Arc<str>,
    line: &LogEntry,
    (analyse, now): (Severity, i64),
) -> Result<bool, StoreError> {
    let Some(mut incident) = open_about(tx, rule, about).await? else { return Ok(false) };
    join(tx, &mut incident, std::slice::from_ref(alert), line).await?;
    if incident.severity >= analyse {
        analyses::begin(tx, &Analysis::of(&incident.id, now))?;
    }
    Ok(true)
}

async fn join(tx: &mut FeedTx, incident: &mut Incident, ids: &[Arc<str>], line: &LogEntry) -> Result<(), StoreError> {
    if link(tx, incident, ids, line.time).await? > 0 {
        logs::add(tx, &incident.id, std::slice::from_ref(line))?;
    }
    Ok(())
}

/// Incidents.
impl Database {
    /// Raises an incident with its evidence. Where one of the same rule is open about the same, the alerts join that one,
    /// and `line` says so; the same id again changes nothing.
    ///
    /// # Errors
    /// `Refused` when there are more than 500 alerts.
    pub async fn raise_incident(
        &self,
        incident: &Incident,
        alerts: &[Arc<str>],
        line: &LogEntry,
    ) -> Result<Raised, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = raise(&mut tx, incident, alerts, line).await;
        let ((incident, new), feed) = tx.end(done).await?;
        Ok(Raised { incident, new, feed })
    }

    /// As `raise_incident`; the analysis of a new incident that is at least so bad begins with it, at `now`.
    ///
    /// # Errors
    /// As `raise_incident`.
    pub async fn raise_to_analyse(
        &self,
        incident: &Incident,
        alerts: &[Arc<str>],
        line: &LogEntry,
        (analyse, now): (Severity, i64),
    ) -> Result<Raised, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let mut done = raise(&mut tx, incident, alerts, line).await;
        // One that another replica opened may have become bad enough by this; it begins once.
        if let Ok((incident, _)) = &done
            && incident.severity >= analyse
            && let Err(error) = analyses::begin(&mut tx, &Analysis::of(&incident.id, now))
        {
            done = Err(error);
        }
        let ((incident, new), feed) = tx.end(done).await?;
        Ok(Raised { incident, new, feed })
    }

    /// Makes an alert evidence of the open incident of a rule about something, if there is one. Where it is at least so bad
    /// by then its analysis begins, at `now`, unless it has one.
    pub async fn join_open(
        &self,
        (rule, about): (&Arc<str>, &str),
        alert: &Arc<str>,
        line: &LogEntry,
        (analyse, now): (Severity, i64),
    ) -> Result<Fed<bool>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = join_open(&mut tx, (rule, about), alert, line, (analyse, now)).await;
        tx.end(done).await
    }

    /// Makes alerts evidence of an open incident; those that are it already change nothing.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when it is closed; `Refused` when there are more than 500 alerts.
    pub async fn join_incident(
        &self,
        id: &str,
        alerts: &[Arc<str>],
        line: &LogEntry,
    ) -> Result<Fed<Incident>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = match open(&mut tx, id).await {
            Ok(mut incident) => join(&mut tx, &mut incident, alerts, line).await.map(|()| incident),
            Err(error) => Err(error),
        };
        tx.end(done).await
    }

    /// The incident with this id.
    pub async fn incident(&self, id: &str) -> Result<Option<Incident>, StoreError> {
        let sql = "SELECT body FROM incidents WHERE id = $1";
        self.read().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(body).transpose()
    }

    /// At most `limit` (and 1000) incidents, newest first by their ids.
    pub async fn incidents(&self, filter: &IncidentFilter, limit: u32) -> Result<Vec<Incident>, StoreError> {
        let filter = filter.clone();
        let mut query = Filter::new("SELECT body FROM incidents");
        query.only("state = {}", filter.state.map(IncidentState::name));
        if filter.open {
            query.also("state <> 'closed'");
        }
        query.only("severity >= {}", filter.severity.map(rank));
        query.only("rule = {}", filter.rule);
        query.only("about = {}", filter.about);
        query.only("tenant = {}", filter.tenant);
        query.only("user_ = {}", filter.user);
        query.only("assignee = {}", filter.assignee);
        query.only("title LIKE {} ESCAPE '!'", filter.text.as_deref().map(anywhere));
        query.only("updated >= {}", filter.from);
        query.only("opened < {}", filter.to);
        query.only("id < {}", filter.before);
        query.page(self, "id DESC", limit).await
    }

    /// The incidents that an alert is evidence of.
    pub async fn incidents_of(&self, alert: &str) -> Result<Vec<Incident>, StoreError> {
        let mut query = Filter::new("SELECT body FROM incidents");
        query.only("id IN (SELECT incident FROM incident_alerts WHERE alert = {})", Some(alert.to_owned()));
        query.page(self, "id DESC", MOST_ROWS).await
    }
}

/// Moves the evidence of incidents to another one.
pub(super) async fn move_links(tx: &mut FeedTx, from: &Incident, into: &mut Incident) -> Result<(), StoreError> {
    let sql = "SELECT alert FROM incident_alerts WHERE incident = $1 ORDER BY alert";
    let rows = tx.session().await?.rows(sql, values![&from.id]).await?;
    let ids: Vec<Arc<str>> = rows.iter().map(|row| row.shared(0)).collect::<Result<_, _>>()?;
    let sql = "INSERT INTO incident_alerts (incident, alert) \
               SELECT $2, alert FROM incident_alerts WHERE incident = $1 ON CONFLICT (incident, alert) DO NOTHING";
    // SQLite needs a condition before the conflict clause to tell it from a join: the `WHERE` above is one.
    tx.put(sql, values![&from.id, &into.id]);
    tx.put("DELETE FROM incident_alerts WHERE incident = $1", values![&from.id]);
    let sql = "SELECT body FROM alerts WHERE id IN";
    for row in rows_of(tx.session().await?, sql, ids.iter().map(AsRef::as_ref)).await? {
        let mut alert: Alert = body(&row)?;
        absorb(into, &alert);
        if alert.incident.as_ref() == Some(&from.id) {
            alert.incident = Some(Arc::clone(&into.id));
            alerts::store(tx, &alert)?;
        }
    }
    count(tx, into).await
}

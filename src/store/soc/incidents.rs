//! Incidents: raising them once, what joins them, and reading them.

use std::sync::Arc;

use super::feed::FeedTx;
use super::{
    Fed, Filter, MOST_ROWS, alerts, anywhere, body, conflict, few, from_json, json, logs, rank, rows_of, tree,
};
use crate::store::{Database, StoreError, Value};
use crate::types::Severity;
use crate::types::soc::{Alert, FeedEntry, FeedKind, Incident, IncidentState, LogEntry, LogKind, Plan};
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

/// An incident that is over, with what there is to learn from it.
#[derive(Debug, Clone, PartialEq)]
pub struct PastIncident {
    /// The incident; `closed` says how it ended.
    pub incident: Incident,
    /// What the analyst found, by the names of its steps.
    pub found: serde_json::Map<String, serde_json::Value>,
    /// The plan the analyst came to.
    pub plan: Option<Plan>,
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
    tx.session.row(sql, values![id.to_owned()]).await?.as_ref().map(body).transpose()
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
    tx.session.row(sql, values![rule, about.to_owned()]).await?.as_ref().map(body).transpose()
}

/// Writes an incident that is there, and tells of it.
pub(super) async fn store(tx: &mut FeedTx, incident: &Incident) -> Result<(), StoreError> {
    tx.session.execute(UPDATE, columns(incident)?).await?;
    tell(tx, incident)
}

fn tell(tx: &mut FeedTx, incident: &Incident) -> Result<(), StoreError> {
    tx.tell(FeedKind::Incident, &incident.id, tree(incident)?);
    Ok(())
}

/// Adds lines to an incident's timeline and tells of it, where there is such an incident.
pub(super) async fn note(tx: &mut FeedTx, id: Option<&Arc<str>>, log: &[LogEntry]) -> Result<(), StoreError> {
    let (Some(id), Some(last)) = (id, log.last()) else { return Ok(()) };
    let Some(mut incident) = find(tx, id).await? else { return Ok(()) };
    logs::add(tx, id, log).await?;
    incident.updated = incident.updated.max(last.time);
    store(tx, &incident).await
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
    let mut joined = 0_usize;
    let mut found = alerts::find(tx, ids).await?;
    found.sort_by_key(|alert| alert.last);
    for mut alert in found {
        let sql =
            "INSERT INTO incident_alerts (incident, alert) VALUES ($1, $2) ON CONFLICT (incident, alert) DO NOTHING";
        if tx.session.execute(sql, values![&incident.id, &alert.id]).await? == 0 {
            continue;
        }
        joined = joined.saturating_add(1);
        absorb(incident, &alert);
        incident.caller = alert.caller.clone();
        if alert.incident.is_none() {
            alert.incident = Some(Arc::clone(&incident.id));
            alerts::store(tx, &alert).await?;
        }
    }
    if joined > 0 {
        count(tx, incident).await?;
        incident.updated = incident.updated.max(time);
        store(tx, incident).await?;
    }
    Ok(joined)
}

async fn count(tx: &mut FeedTx, incident: &mut Incident) -> Result<(), StoreError> {
    let sql = "SELECT COUNT(*) FROM incident_alerts WHERE incident = $1";
    incident.alerts = tx.session.row(sql, values![&incident.id]).await?.map_or(Ok(0), |row| row.count(0))?;
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
    let there = match find(tx, &incident.id).await? {
        // It was raised before, and nobody heard of it.
        Some(known) => Some(known),
        None => open_about(tx, &incident.rule, &incident.about).await?,
    };
    if let Some(mut there) = there {
        if there.state != IncidentState::Closed {
            join(tx, &mut there, ids, &LogEntry { kind: LogKind::Alert, ..line.clone() }).await?;
        }
        return Ok((there, false));
    }
    let mut incident = Incident { alerts: 0, ..incident.clone() };
    tx.session.execute(INSERT, columns(&incident)?).await?;
    tell(tx, &incident)?;
    link(tx, &mut incident, ids, line.time).await?;
    logs::add(tx, &incident.id, std::slice::from_ref(line)).await?;
    Ok((incident, true))
}

async fn join(tx: &mut FeedTx, incident: &mut Incident, ids: &[Arc<str>], line: &LogEntry) -> Result<(), StoreError> {
    if link(tx, incident, ids, line.time).await? > 0 {
        logs::add(tx, &incident.id, std::slice::from_ref(line)).await?;
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

    /// At most `limit` (and 1000) incidents that are over and were not merged into others, the youngest first, with what
    /// was found out and planned.
    pub async fn past_incidents(&self, limit: u32) -> Result<Vec<PastIncident>, StoreError> {
        let sql = "SELECT i.body, a.body, p.body FROM incidents i LEFT JOIN analyses a ON a.incident = i.id \
                   LEFT JOIN plans p ON p.id = a.plan WHERE i.state = 'closed' AND i.merged_into IS NULL \
                   ORDER BY i.updated DESC, i.id DESC LIMIT $1";
        let rows = self.read().await?.rows(sql, values![limit.min(MOST_ROWS)]).await?;
        let past = |row: &crate::store::Row| {
            let analysis =
                row.maybe_text(1)?.map(|text| from_json::<crate::types::soc::Analysis>(&text)).transpose()?;
            Ok(PastIncident {
                incident: body(row)?,
                found: analysis.map(|analysis| analysis.found).unwrap_or_default(),
                plan: row.maybe_text(2)?.map(|text| from_json(&text)).transpose()?,
            })
        };
        rows.iter().map(past).collect()
    }
}

/// Moves the evidence of incidents to another one.
pub(super) async fn move_links(tx: &mut FeedTx, from: &Incident, into: &mut Incident) -> Result<(), StoreError> {
    let sql = "SELECT alert FROM incident_alerts WHERE incident = $1 ORDER BY alert";
    let rows = tx.session.rows(sql, values![&from.id]).await?;
    let ids: Vec<Arc<str>> = rows.iter().map(|row| row.shared(0)).collect::<Result<_, _>>()?;
    let sql = "INSERT INTO incident_alerts (incident, alert) \
               SELECT $2, alert FROM incident_alerts WHERE incident = $1 ON CONFLICT (incident, alert) DO NOTHING";
    // SQLite needs a condition before the conflict clause to tell it from a join: the `WHERE` above is one.
    tx.session.execute(sql, values![&from.id, &into.id]).await?;
    tx.session.execute("DELETE FROM incident_alerts WHERE incident = $1", values![&from.id]).await?;
    let sql = "SELECT body FROM alerts WHERE id IN";
    for row in rows_of(&mut tx.session, sql, ids.iter().map(AsRef::as_ref)).await? {
        let mut alert: Alert = body(&row)?;
        absorb(into, &alert);
        if alert.incident.as_ref() == Some(&from.id) {
            alert.incident = Some(Arc::clone(&into.id));
            alerts::store(tx, &alert).await?;
        }
    }
    count(tx, into).await
}

//! What people decide about incidents: state, severity, assignee, merging.

use std::sync::Arc;

use super::feed::FeedTx;
use super::{Fed, conflict, few, incidents, logs, may_become};
use crate::store::{Database, StoreError};
use crate::types::Severity;
use crate::types::soc::{Closed, Incident, IncidentState, LogEntry};

/// What is to become of an incident; absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentChange {
    /// Its state. To close it takes `closed`; to open it again forgets how it was closed and where it was merged into.
    pub state: Option<IncidentState>,
    /// Whose it is; `Some(None)`: nobody's.
    pub assignee: Option<Option<Arc<str>>>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// What it is called.
    pub title: Option<String>,
    /// How it is closed.
    pub closed: Option<Closed>,
}

async fn change(
    tx: &mut FeedTx,
    id: &str,
    what: &IncidentChange,
    expected: Option<IncidentState>,
    now: i64,
    log: &[LogEntry],
) -> Result<Incident, StoreError> {
    let mut incident = incidents::find(tx, id).await?.ok_or(StoreError::Missing("incident"))?;
    if let Some(expected) = expected.filter(|state| *state != incident.state) {
        let (is, was) = (incident.state.name(), expected.name());
        return Err(conflict(format!("the incident is {is} by now, not {was}")));
    }
    let to = what.state.unwrap_or(incident.state);
    may_become("incident", incident.state.name(), to.name())?;
    if incident.state == IncidentState::Closed
        && incidents::open_about(tx, &incident.rule, &incident.about).await?.is_some()
    {
        return Err(conflict("another incident of this rule is open about the same"));
    }
    match (to, &what.closed) {
        (IncidentState::Closed, None) => return Err(conflict("an incident is closed with a reason")),
        (IncidentState::Closed, Some(closed)) => incident.closed = Some(closed.clone()),
        (IncidentState::Open | IncidentState::Acknowledged | IncidentState::InProgress, _) => {
            incident.closed = None;
            incident.merged_into = None;
        }
    }
    incident.state = to;
    if let Some(assignee) = &what.assignee {
        incident.assignee.clone_from(assignee);
    }
    incident.severity = what.severity.unwrap_or(incident.severity);
    if let Some(title) = &what.title {
        incident.title.clone_from(title);
    }
    incident.updated = incident.updated.max(now);
    incidents::store(tx, &incident)?;
    logs::add(tx, &incident.id, log)?;
    Ok(incident)
}

async fn merge(
    tx: &mut FeedTx,
    into: &Arc<str>,
    ids: &[Arc<str>],
    closed: &Closed,
    line: &LogEntry,
) -> Result<Vec<Incident>, StoreError> {
    few(ids.len())?;
    let mut target = incidents::open(tx, into).await?;
    let mut merged: Vec<Incident> = Vec::with_capacity(ids.len());
    for id in ids {
        if id == into || merged.iter().any(|one| one.id == *id) {
            return Err(conflict("an incident is merged once, and not into itself"));
        }
        merged.push(incidents::open(tx, id).await?);
    }
    for incident in &mut merged {
        incidents::move_links(tx, incident, &mut target).await?;
        incident.state = IncidentState::Closed;
        incident.closed = Some(closed.clone());
        incident.merged_into = Some(Arc::clone(into));
        incident.updated = incident.updated.max(line.time);
        incidents::store(tx, incident)?;
        let about = |id: &Arc<str>| LogEntry { about: Some(Arc::clone(id)), ..line.clone() };
        logs::add(tx, &incident.id, &[about(into)])?;
        logs::add(tx, into, &[about(&incident.id)])?;
    }
    target.updated = target.updated.max(line.time);
    incidents::store(tx, &target)?;
    merged.insert(0, target);
    Ok(merged)
}

/// What people decide about incidents.
impl Database {
    /// Changes an incident, which has to be in state `expected` where that is given, and adds `log` to its timeline.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when its state does not allow it, or opening it again would make two of one rule about the
    /// same.
    pub async fn change_incident(
        &self,
        id: &str,
        what: &IncidentChange,
        expected: Option<IncidentState>,
        now: i64,
        log: &[LogEntry],
    ) -> Result<Fed<Incident>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = change(&mut tx, id, what, expected, now, log).await;
        tx.end(done).await
    }

    /// Closes incidents as parts of another one, which takes over their evidence, all or none; gives that one first,
    /// then the others. Plans and remedies stay with the incident they were made for. `line` goes into the timelines of
    /// both sides, each naming the other.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when one of them is closed, or the same; `Refused` when there are too many.
    pub async fn merge_incidents(
        &self,
        into: &Arc<str>,
        ids: &[Arc<str>],
        closed: &Closed,
        line: &LogEntry,
    ) -> Result<Fed<Vec<Incident>>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = merge(&mut tx, into, ids, closed, line).await;
        tx.end(done).await
    }
}

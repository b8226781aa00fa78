//! What people decide about alerts: state, assignee, merging.

use std::sync::Arc;

use super::alerts::{find, store};
use super::feed::FeedTx;
use super::{Fed, conflict, few, incidents, logs, may_become};
use crate::store::{Database, StoreError};
use crate::types::soc::{Alert, AlertState, Closed, LogEntry};

/// What is to become of an alert; absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertChange {
    /// Its state. To close it takes `closed`; to open it again forgets how it was closed and where it was merged into.
    pub state: Option<AlertState>,
    /// Whose it is; `Some(None)`: nobody's.
    pub assignee: Option<Option<Arc<str>>>,
    /// How it is closed.
    pub closed: Option<Closed>,
    /// The incident it is put into, which has to be open.
    pub incident: Option<Arc<str>>,
}

impl AlertChange {
    fn apply(&self, alert: &mut Alert, expected: Option<AlertState>) -> Result<(), StoreError> {
        if let Some(expected) = expected.filter(|state| *state != alert.state) {
            let (is, was) = (alert.state.name(), expected.name());
            return Err(conflict(format!("the alert is {is} by now, not {was}")));
        }
        let to = self.state.unwrap_or(alert.state);
        may_become("alert", alert.state.name(), to.name())?;
        match (to, &self.closed) {
            (AlertState::Closed, None) => return Err(conflict("an alert is closed with a reason")),
            (AlertState::Closed, Some(closed)) => alert.closed = Some(closed.clone()),
            (AlertState::Open | AlertState::Acknowledged | AlertState::InProgress, _) => {
                alert.closed = None;
                alert.merged_into = None;
            }
        }
        alert.state = to;
        if let Some(assignee) = &self.assignee {
            alert.assignee.clone_from(assignee);
        }
        Ok(())
    }
}

/// Changes one alert; whatever is wrong is found before anything is written.
async fn change(
    tx: &mut FeedTx,
    mut alert: Alert,
    what: &AlertChange,
    expected: Option<AlertState>,
    log: &[LogEntry],
) -> Result<Alert, StoreError> {
    what.apply(&mut alert, expected)?;
    let mut incident = match &what.incident {
        Some(id) => Some(incidents::open(tx, id).await?),
        None => None,
    };
    store(tx, &alert)?;
    if let Some(incident) = &mut incident {
        let time = log.iter().map(|line| line.time).max().unwrap_or(alert.last);
        incidents::link(tx, incident, &[Arc::clone(&alert.id)], time).await?;
        alert = find(tx, &[Arc::clone(&alert.id)]).await?.pop().unwrap_or(alert);
    }
    logs::add(tx, &alert.id, log)?;
    Ok(alert)
}

async fn change_all(
    tx: &mut FeedTx,
    ids: &[Arc<str>],
    what: &AlertChange,
    log: &[LogEntry],
) -> Result<Vec<(Arc<str>, Result<Alert, StoreError>)>, StoreError> {
    few(ids.len())?;
    let mut alerts = find(tx, ids).await?;
    let mut done: Vec<(Arc<str>, Result<Alert, StoreError>)> = Vec::with_capacity(ids.len());
    for id in ids {
        if done.iter().any(|(known, _)| known == id) {
            continue;
        }
        let place = alerts.iter().position(|alert| alert.id == *id);
        let outcome = match place.map(|at| alerts.swap_remove(at)) {
            None => Err(StoreError::Missing("alert")),
            Some(alert) => match change(tx, alert, what, None, log).await {
                Err(refused @ (StoreError::Conflict(_) | StoreError::Missing(_))) => Err(refused),
                Err(error) => return Err(error),
                Ok(alert) => Ok(alert),
            },
        };
        done.push((Arc::clone(id), outcome));
    }
    Ok(done)
}

async fn merge(
    tx: &mut FeedTx,
    into: &Arc<str>,
    ids: &[Arc<str>],
    closed: &Closed,
    line: &LogEntry,
) -> Result<Vec<Alert>, StoreError> {
    few(ids.len())?;
    let mut target = find(tx, std::slice::from_ref(into)).await?.pop().ok_or(StoreError::Missing("alert"))?;
    if target.state == AlertState::Closed {
        return Err(conflict("the alert to merge into is closed"));
    }
    let mut merged = find(tx, ids).await?;
    for id in ids {
        if id == into {
            return Err(conflict("an alert is not merged into itself"));
        }
        let alert = merged.iter().find(|alert| alert.id == *id).ok_or(StoreError::Missing("alert"))?;
        may_become("alert", alert.state.name(), AlertState::Closed.name())?;
    }
    for alert in &mut merged {
        alert.state = AlertState::Closed;
        alert.closed = Some(closed.clone());
        alert.merged_into = Some(Arc::clone(into));
        // What is counted in it stays with it: counts of the other go on from its own.
        target.severity = target.severity.max(alert.severity);
        target.first = target.first.min(alert.first);
        target.last = target.last.max(alert.last);
        store(tx, alert)?;
        let about = |id: &Arc<str>| LogEntry { about: Some(Arc::clone(id)), ..line.clone() };
        logs::add(tx, &alert.id, &[about(into)])?;
        logs::add(tx, into, &[about(&alert.id)])?;
    }
    store(tx, &target)?;
    merged.insert(0, target);
    Ok(merged)
}

/// What people decide about alerts.
impl Database {
    /// Changes an alert, which has to be in state `expected` where that is given, and adds `log` to its timeline.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when its state, or that of the incident, does not allow it.
    pub async fn change_alert(
        &self,
        id: &str,
        what: &AlertChange,
        expected: Option<AlertState>,
        log: &[LogEntry],
    ) -> Result<Fed<Alert>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = match find(&mut tx, &[Arc::from(id)]).await {
            Ok(mut found) => match found.pop() {
                Some(alert) => change(&mut tx, alert, what, expected, log).await,
                None => Err(StoreError::Missing("alert")),
            },
            Err(error) => Err(error),
        };
        tx.end(done).await
    }

    /// Changes up to 500 alerts; says of each what became of it. Those that cannot be changed do not hold up the others.
    ///
    /// # Errors
    /// `Refused` when there are too many.
    pub async fn change_alerts(
        &self,
        ids: &[Arc<str>],
        what: &AlertChange,
        log: &[LogEntry],
    ) -> Result<Fed<Vec<(Arc<str>, Result<Alert, StoreError>)>>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = change_all(&mut tx, ids, what, log).await;
        tx.end(done).await
    }

    /// Closes alerts as parts of another one, all or none; gives that one first, then the others. `line` goes into the
    /// timelines of both sides, each naming the other.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when one of them is closed, or the same; `Refused` when there are too many.
    pub async fn merge_alerts(
        &self,
        into: &Arc<str>,
        ids: &[Arc<str>],
        closed: &Closed,
        line: &LogEntry,
    ) -> Result<Fed<Vec<Alert>>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = merge(&mut tx, into, ids, closed, line).await;
        tx.end(done).await
    }
}

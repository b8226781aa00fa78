//! What waits to be written of alerts and incidents, and the writing of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::feed::Feed;
use crate::soc::{Case, Folded, Raise};
use crate::store::soc::AlertWrite;
use crate::store::{StoreError, now};
use crate::types::Severity;
use crate::types::soc::{LogEntry, LogKind, ToolHold};

/// Alerts of one transaction.
const AT_ONCE: usize = 250;

/// Everything that waits. What is counted in an alert that waits takes its place.
#[derive(Debug, Default)]
pub(super) struct Batch {
    alerts: Vec<AlertWrite>,
    places: HashMap<Arc<str>, usize>,
    raises: Vec<Raise>,
    holds: Vec<ToolHold>,
}

/// What a write did not get done.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// What is still to be written.
    pub(super) batch: Batch,
    /// Incidents (rule, subject) that are not open any more.
    pub(super) gone: Vec<(Arc<str>, String)>,
}

fn id(write: &AlertWrite) -> &Arc<str> {
    match write {
        AlertWrite::New(alert) | AlertWrite::Folded(alert) => &alert.id,
    }
}

impl Batch {
    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.alerts.len().saturating_add(self.raises.len()).saturating_add(self.holds.len())
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.raises.is_empty() && self.holds.is_empty()
    }

    /// An alert, new or with more counted in it.
    pub(super) fn alert(&mut self, folded: Folded) {
        let write = match folded {
            Folded::New(alert) => AlertWrite::New(*alert),
            Folded::Into(alert) => AlertWrite::Folded(*alert),
        };
        match self.places.entry(Arc::clone(id(&write))) {
            Entry::Vacant(place) => {
                place.insert(self.alerts.len());
                self.alerts.push(write);
            }
            // One that is not there yet is written anew as it is now.
            Entry::Occupied(place) => {
                if let Some(waiting) = self.alerts.get_mut(*place.get()) {
                    *waiting = write;
                }
            }
        }
    }

    /// Incidents to raise, and alerts to join them. The same is told once.
    pub(super) fn raise(&mut self, raised: Vec<Raise>) {
        for raise in raised {
            if !(matches!(raise, Raise::Joins { .. }) && self.raises.contains(&raise)) {
                self.raises.push(raise);
            }
        }
    }

    /// A tool call that waits for a person.
    pub(super) fn hold(&mut self, hold: ToolHold) {
        self.holds.push(hold);
    }

    /// What was not written comes before what came meanwhile.
    pub(super) fn put_back(&mut self, left: Self) {
        let newer = std::mem::replace(self, left);
        for write in newer.alerts {
            self.alert(match write {
                AlertWrite::New(alert) => Folded::New(Box::new(alert)),
                AlertWrite::Folded(alert) => Folded::Into(Box::new(alert)),
            });
        }
        self.raise(newer.raises);
        self.holds.extend(newer.holds);
    }

    /// Writes and publishes: held tool calls first, since somebody waits for these, then alerts, then incidents.
    pub(super) async fn write(self, feed: Feed, analyse: Severity) -> (Left, Result<(), StoreError>) {
        let mut gone = Vec::new();
        let Self { alerts, raises, holds, .. } = self;
        let mut left = Self::default();
        let mut outcome = Ok(());
        for hold in holds {
            match &outcome {
                Ok(()) => match feed.database().hold_tool(&hold).await {
                    Ok(entries) => feed.publish(entries).await,
                    Err(error) => {
                        left.holds.push(hold);
                        outcome = Err(error);
                    }
                },
                Err(_) => left.holds.push(hold),
            }
        }
        for part in alerts.chunks(AT_ONCE) {
            if outcome.is_ok() {
                match feed.database().write_alerts(part).await {
                    Ok(entries) => {
                        feed.publish(entries).await;
                        continue;
                    }
                    Err(error) => outcome = Err(error),
                }
            }
            for write in part {
                left.places.insert(Arc::clone(id(write)), left.alerts.len());
                left.alerts.push(write.clone());
            }
        }
        for raise in raises {
            if outcome.is_err() {
                left.raises.push(raise);
                continue;
            }
            match carry(&feed, &raise, analyse).await {
                Ok(true) => {}
                Ok(false) => {
                    if let Raise::Joins { rule, about, .. } = raise {
                        gone.push((rule, about));
                    }
                }
                Err(error) => {
                    left.raises.push(raise);
                    outcome = Err(error);
                }
            }
        }
        (Left { batch: left, gone }, outcome)
    }
}

/// Raises an incident, or makes an alert evidence of one; `false`: there is none to join.
async fn carry(feed: &Feed, raise: &Raise, analyse: Severity) -> Result<bool, StoreError> {
    let database = feed.database();
    let line = |kind, text: String, about| LogEntry { time: now(), kind, actor: Arc::from("gateway"), text, about };
    match raise {
        Raise::Opens(case) => {
            let Case { rule, about, .. } = &**case;
            let text = format!("raised by {rule} about {about}");
            let incident = case.clone().incident(format!("inc_{}", uuid::Uuid::now_v7().simple()).into());
            let line = line(LogKind::Raised, text, None);
            let raised = database.raise_to_analyse(&incident, &case.alerts, &line, (analyse, now())).await?;
            feed.publish(raised.feed).await;
            Ok(true)
        }
        Raise::Joins { rule, about, alert } => {
            let text = "the alert is evidence of it".to_owned();
            let line = line(LogKind::Alert, text, Some(Arc::clone(alert)));
            // It may have become bad enough since.
            let (joined, entries) = database.join_open((rule, about), alert, &line, (analyse, now())).await?;
            feed.publish(entries).await;
            Ok(joined)
        }
    }
}

//! One rule about one subject: what is remembered of its alerts until the rule's condition holds.

use std::collections::VecDeque;
use std::sync::Arc;

use super::filter::Filter;
use super::rules::Condition;
use crate::types::soc::Alert;
use crate::types::{Family, Severity};

/// What an incident takes over from an alert.
#[derive(Debug)]
pub(super) struct Brief {
    pub(super) id: Arc<str>,
    pub(super) severity: Severity,
    pub(super) family: Option<Family>,
    pub(super) risk: f32,
    pub(super) false_positive: u8,
    pub(super) threats: Vec<Arc<str>>,
}

/// What is remembered.
#[derive(Debug)]
pub(super) struct Watch {
    /// Whether there is an open incident.
    pub(super) open: bool,
    /// Events, or values that differ, oldest first: never more than the rule asks for.
    marks: VecDeque<Mark>,
    /// Of a sequence, for each step the chain up to it that began last; of steps in any order, the last of each.
    chains: Vec<Option<Chain>>,
}

#[derive(Debug)]
struct Mark {
    at: i64,
    events: u64,
    /// What is counted apart; empty where events are counted.
    value: Box<str>,
    alert: Arc<Brief>,
}

#[derive(Debug, Clone)]
struct Chain {
    /// When its first step was.
    began: i64,
    alerts: Vec<Arc<Brief>>,
}

impl Brief {
    pub(super) fn of(alert: &Alert) -> Self {
        Self {
            id: Arc::clone(&alert.id),
            severity: alert.severity,
            family: alert.family,
            risk: alert.verdict.risk,
            false_positive: alert.verdict.false_positive,
            threats: alert.threats.iter().map(|threat| Arc::clone(&threat.id)).collect(),
        }
    }
}

impl Watch {
    pub(super) fn new(condition: &Condition) -> Self {
        let steps = match condition {
            Condition::Sequence { steps, .. } | Condition::Together { steps, .. } => steps.len(),
            Condition::Count { .. } | Condition::Distinct { .. } | Condition::AtOnce { .. } => 0,
        };
        Self { open: false, marks: VecDeque::new(), chains: vec![None; steps] }
    }

    /// Forgets everything but whether an incident is open.
    pub(super) fn clear(&mut self) {
        (self.marks, self.chains) = (VecDeque::new(), Vec::new());
    }

    /// `events` more of an alert that the rule looks for; the alerts that make the incident, if they do. `now` does not go
    /// back.
    pub(super) fn take(
        &mut self,
        condition: &Condition,
        alert: &Alert,
        brief: &Arc<Brief>,
        events: u64,
        now: i64,
    ) -> Option<Vec<Arc<Brief>>> {
        match condition {
            Condition::AtOnce { .. } => Some(vec![Arc::clone(brief)]),
            // Only sent again: no attempt of its own.
            _ if events == 0 => None,
            Condition::Count { at_least, within, .. } => self.count(u64::from(*at_least), *within, brief, events, now),
            Condition::Distinct { what, at_least, within, .. } => {
                let value = what.of(alert)?;
                self.distinct(usize::try_from(*at_least).unwrap_or(usize::MAX), *within, value, brief, now)
            }
            Condition::Sequence { within, steps } => self.sequence(*within, steps, alert, brief, now),
            Condition::Together { within, steps } => self.together(*within, steps, alert, brief, now),
        }
    }

    fn count(
        &mut self,
        at_least: u64,
        within: i64,
        brief: &Arc<Brief>,
        events: u64,
        now: i64,
    ) -> Option<Vec<Arc<Brief>>> {
        self.expire(within, now);
        let events = events.min(at_least);
        self.marks.push_back(Mark { at: now, events, value: "".into(), alert: Arc::clone(brief) });
        let sum: u64 = self.marks.iter().map(|mark| mark.events).sum();
        (sum >= at_least).then(|| self.alerts())
    }

    fn distinct(
        &mut self,
        at_least: usize,
        within: i64,
        value: String,
        brief: &Arc<Brief>,
        now: i64,
    ) -> Option<Vec<Arc<Brief>>> {
        self.expire(within, now);
        self.marks.retain(|mark| *mark.value != *value);
        self.marks.push_back(Mark { at: now, events: 1, value: value.into(), alert: Arc::clone(brief) });
        (self.marks.len() >= at_least).then(|| self.alerts())
    }

    fn sequence(
        &mut self,
        within: i64,
        steps: &[Filter],
        alert: &Alert,
        brief: &Arc<Brief>,
        now: i64,
    ) -> Option<Vec<Arc<Brief>>> {
        // From the last step to the first, so that one alert is one step.
        for (step, _) in steps.iter().enumerate().rev().filter(|(_, filter)| filter.fits(alert)) {
            let chain = match step.checked_sub(1) {
                None => Some(Chain { began: now, alerts: vec![Arc::clone(brief)] }),
                Some(before) => {
                    let chain = self.chains.get(before).and_then(Option::as_ref);
                    chain.filter(|chain| now.saturating_sub(chain.began) <= within).map(|chain| {
                        let alerts = chain.alerts.iter().chain([brief]).map(Arc::clone).collect();
                        Chain { began: chain.began, alerts }
                    })
                }
            };
            let Some(chain) = chain else { continue };
            if step + 1 == steps.len() {
                return Some(chain.alerts);
            }
            // The chain that began last lives longest.
            if let Some(known) = self.chains.get_mut(step)
                && known.as_ref().is_none_or(|known| chain.began >= known.began)
            {
                *known = Some(chain);
            }
        }
        None
    }

    fn together(
        &mut self,
        within: i64,
        steps: &[Filter],
        alert: &Alert,
        brief: &Arc<Brief>,
        now: i64,
    ) -> Option<Vec<Arc<Brief>>> {
        for (last, _) in self.chains.iter_mut().zip(steps).filter(|(_, filter)| filter.fits(alert)) {
            *last = Some(Chain { began: now, alerts: vec![Arc::clone(brief)] });
        }
        let alive = |last: &Option<Chain>| last.as_ref().is_some_and(|one| now.saturating_sub(one.began) <= within);
        if !self.chains.iter().all(alive) {
            return None;
        }
        let mut all: Vec<_> = self.chains.iter().flatten().collect();
        all.sort_by_key(|one| one.began);
        Some(all.into_iter().flat_map(|one| one.alerts.iter().map(Arc::clone)).collect())
    }

    /// Forgets what was too long ago.
    fn expire(&mut self, within: i64, now: i64) {
        while self.marks.front().is_some_and(|mark| now.saturating_sub(mark.at) > within) {
            self.marks.pop_front();
        }
    }

    fn alerts(&self) -> Vec<Arc<Brief>> {
        self.marks.iter().map(|mark| Arc::clone(&mark.alert)).collect()
    }
}

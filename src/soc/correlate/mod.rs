//! Alerts that belong together raise an incident.
//!
//! A rule watches one subject (a session, a user, a key, an address, a campaign) and keeps no more than it takes to decide:
//! as many marks as its condition needs. While an incident of a rule about a subject is open, further alerts join it.

mod filter;
mod rules;
mod watch;

use std::sync::Arc;

pub use self::filter::{Filter, Origin};
pub use self::rules::{By, Condition, IncidentRule, IncidentRules, What};
use self::watch::{Brief, Watch};
use super::lru::Lru;
use crate::types::soc::{Alert, AlertState, Incident, IncidentState};
use crate::types::{Caller, Family, Severity};

/// Alerts named in the raising of an incident, at most.
const MAX_ALERTS: usize = 64;
/// Threats of an incident that are kept.
const MAX_THREATS: usize = 64;
/// Marks that an alert makes at most when it is taken in again after a restart.
const MAX_REPLAYED: u64 = 64;

/// How much is kept in mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorrelateOptions {
    /// Subjects of rules, and alerts, each.
    pub tracked: usize,
}

impl Default for CorrelateOptions {
    /// 20,000: some 40 MB at most.
    fn default() -> Self {
        Self { tracked: 20_000 }
    }
}

/// What follows from an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum Raise {
    /// There is an incident. Where one of this rule about this subject is open already (on another replica, or because it was
    /// forgotten here), these alerts join that one.
    Opens(Box<Case>),
    /// The alert belongs to an incident that is open, or made it worse. May be told twice.
    Joins {
        /// The correlation rule.
        rule: Arc<str>,
        /// The subject.
        about: String,
        /// The alert.
        alert: Arc<str>,
    },
}

/// An incident to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The correlation rule.
    pub rule: Arc<str>,
    /// What its alerts have in common: `user:acme/ann`.
    pub about: String,
    /// In a few words.
    pub title: String,
    /// The rule's, or the worst of its alerts.
    pub severity: Severity,
    /// The families of its alerts.
    pub families: Vec<Family>,
    /// The ids of catalogued threats.
    pub threats: Vec<Arc<str>>,
    /// The caller of the newest alert.
    pub caller: Caller,
    /// The lowest likelihood of its alerts that it is a false alarm, in percent.
    pub false_positive: u8,
    /// The highest risk of its alerts, 0 to 1.
    pub risk: f32,
    /// The alerts that raised it, oldest first, at most 64.
    pub alerts: Vec<Arc<str>>,
    /// When: Unix time in microseconds.
    pub at: i64,
}

/// The state of every rule about every subject. Bounded; the time is an argument.
#[derive(Debug)]
pub struct Correlator {
    rules: IncidentRules,
    /// By the rule's place and the subject.
    watches: Lru<(usize, Arc<str>), Watch>,
    /// What is known of alerts, by their ids.
    seen: Lru<Arc<str>, Seen>,
    /// Time does not go back.
    clock: i64,
}

#[derive(Debug, Default)]
struct Seen {
    /// Attempts counted so far: events without those that a library sent again.
    attempts: u64,
    /// The incidents it is part of, by the places of their rules, with how bad it was then.
    joined: Vec<(usize, Severity)>,
}

impl Correlator {
    /// Nothing seen yet.
    pub fn new(rules: IncidentRules, options: CorrelateOptions) -> Self {
        let tracked = options.tracked;
        Self { rules, watches: Lru::new(tracked), seen: Lru::new(tracked), clock: i64::MIN }
    }

    /// Goes by these rules from now on. What was seen for a rule that stays as it is still counts, and an open incident of a
    /// rule with the same id is still joined.
    pub fn adopt(&mut self, rules: IncidentRules) {
        let place = |old: &IncidentRule| {
            let (at, new) = rules.find(&old.id)?;
            Some((at, new.condition == old.condition && new.by == old.by, &new.condition))
        };
        let places: Vec<_> = self.rules.rules().iter().map(place).collect();
        let mut watches = Lru::new(self.watches.most());
        while let Some(((old, about), mut watch)) = self.watches.pop_oldest() {
            let Some((at, same, condition)) = places.get(old).copied().flatten() else { continue };
            if !same {
                let open = watch.open;
                watch = Watch::new(condition);
                watch.open = open;
            }
            watches.insert((at, about), watch);
        }
        self.watches = watches;
        let moved = |old: usize| places.get(old).copied().flatten().map(|(at, ..)| at);
        for seen in self.seen.values_mut() {
            seen.joined = seen.joined.iter().filter_map(|(old, severity)| Some((moved(*old)?, *severity))).collect();
        }
        self.rules = rules;
    }

    /// The rules it goes by.
    pub fn rules(&self) -> &IncidentRules {
        &self.rules
    }

    /// How many subjects and how many alerts are kept in mind, each at most `tracked`.
    pub fn tracked(&self) -> (usize, usize) {
        (self.watches.len(), self.seen.len())
    }

    /// An alert is new, or something was counted in it. `now` is Unix time in microseconds.
    pub fn take(&mut self, alert: &Alert, now: i64) -> Vec<Raise> {
        let attempts = alert.count.saturating_sub(alert.retries);
        let added = match self.seen.get_mut(&alert.id) {
            Some(seen) => {
                let added = attempts.saturating_sub(seen.attempts);
                seen.attempts = seen.attempts.max(attempts);
                added
            }
            // One that was forgotten has had one more, as far as is known.
            None => {
                self.seen.insert(Arc::clone(&alert.id), Seen { attempts, joined: Vec::new() });
                attempts.min(1)
            }
        };
        self.clock = self.clock.max(now);
        self.count(alert, added, self.clock)
    }

    /// Takes the recent alerts of the store in again after a restart, in any order; what is closed or merged counts for
    /// nothing. Tells what should have been raised and perhaps was not. Open incidents are to be told before by `opened`.
    pub fn replay(&mut self, alerts: &[Alert]) -> Vec<Raise> {
        let counts = |alert: &&Alert| alert.state != AlertState::Closed && alert.merged_into.is_none();
        let mut marks: Vec<(i64, &Alert, u64)> = Vec::new();
        for alert in alerts.iter().filter(counts) {
            let attempts = alert.count.saturating_sub(alert.retries).max(1);
            self.seen.insert(Arc::clone(&alert.id), Seen { attempts, joined: Vec::new() });
            // When each event was is not known: evenly between the first and the last.
            let steps = attempts.min(MAX_REPLAYED);
            let (each, rest) = (attempts / steps, attempts % steps);
            let length = alert.last.saturating_sub(alert.first).max(0);
            for step in 0..steps {
                let (done, all) = (i64::try_from(step + 1).unwrap_or(1), i64::try_from(steps).unwrap_or(1));
                let before = if all > 1 { (length / (all - 1)).saturating_mul(all - done) } else { 0 };
                marks.push((alert.last.saturating_sub(before), alert, each + u64::from(step < rest)));
            }
        }
        marks.sort_by_key(|(at, _, _)| *at);
        let mut raised = Vec::new();
        for (at, alert, events) in marks {
            self.clock = self.clock.max(at);
            let known = alert.incident.is_some();
            let told = self.count(alert, events, self.clock);
            raised.extend(told.into_iter().filter(|raise| !known || matches!(raise, Raise::Opens(_))));
        }
        raised
    }

    /// The store has an open incident of this rule about this subject.
    pub fn opened(&mut self, rule: &str, about: &str) {
        if let Some((at, rule)) = self.rules.find(rule) {
            let mut watch = Watch::new(&rule.condition);
            watch.open = true;
            self.watches.insert((at, about.into()), watch);
        }
    }

    /// The incident of this rule about this subject was closed, or merged: what comes now may raise a new one.
    pub fn closed(&mut self, rule: &str, about: &str) {
        if let Some((at, _)) = self.rules.find(rule) {
            self.watches.remove(&(at, about.into()));
        }
    }

    fn count(&mut self, alert: &Alert, events: u64, now: i64) -> Vec<Raise> {
        let mut raised = Vec::new();
        let mut brief = None;
        for (at, rule) in self.rules.rules().iter().enumerate().filter(|(_, rule)| rule.condition.wants(alert)) {
            let Some(about) = rule.subject(alert) else { continue };
            let key: (usize, Arc<str>) = (at, about.as_str().into());
            if self.watches.get_mut(&key).is_none() {
                self.watches.insert(key.clone(), Watch::new(&rule.condition));
            }
            let Some(watch) = self.watches.get_mut(&key) else { continue };
            if watch.open {
                if self.seen.get_mut(&alert.id).is_some_and(|seen| seen.joins(at, alert.severity)) {
                    raised.push(Raise::Joins { rule: Arc::clone(&rule.id), about, alert: Arc::clone(&alert.id) });
                }
                continue;
            }
            let brief = brief.get_or_insert_with(|| Arc::new(Brief::of(alert)));
            let Some(alerts) = watch.take(&rule.condition, alert, brief, events, now) else { continue };
            watch.open = true;
            watch.clear();
            for one in &alerts {
                if let Some(seen) = self.seen.get_mut(&one.id) {
                    seen.joins(at, one.severity);
                }
            }
            raised.push(Raise::Opens(Box::new(case(rule, about, alert, &alerts, now))));
        }
        raised
    }
}

impl Seen {
    /// Notes that it is part of an incident; whether that is news.
    fn joins(&mut self, rule: usize, severity: Severity) -> bool {
        match self.joined.iter_mut().find(|(known, _)| *known == rule) {
            Some((_, before)) if *before >= severity => false,
            Some((_, before)) => {
                *before = severity;
                true
            }
            None => {
                self.joined.push((rule, severity));
                true
            }
        }
    }
}

fn case(rule: &IncidentRule, about: String, newest: &Alert, alerts: &[Arc<Brief>], at: i64) -> Case {
    let mut case = Case {
        rule: Arc::clone(&rule.id),
        about,
        title: rule.title.clone(),
        severity: rule.severity,
        families: Vec::new(),
        threats: rule.threats.clone(),
        caller: newest.caller.clone(),
        false_positive: 100,
        risk: 0.0,
        alerts: Vec::new(),
        at,
    };
    for one in alerts {
        case.severity = case.severity.max(one.severity);
        case.false_positive = case.false_positive.min(one.false_positive);
        case.risk = case.risk.max(one.risk);
        add(&mut case.families, one.family, usize::MAX);
        one.threats.iter().for_each(|id| add(&mut case.threats, Some(Arc::clone(id)), MAX_THREATS));
        add(&mut case.alerts, Some(Arc::clone(&one.id)), MAX_ALERTS);
    }
    case
}

/// Adds what is not there yet, while there is room.
fn add<T: PartialEq>(list: &mut Vec<T>, one: Option<T>, most: usize) {
    if let Some(one) = one
        && list.len() < most
        && !list.contains(&one)
    {
        list.push(one);
    }
}

impl Case {
    /// The incident, with an id.
    pub fn incident(self, id: Arc<str>) -> Incident {
        Incident {
            id,
            rule: self.rule,
            about: self.about,
            title: self.title,
            severity: self.severity,
            families: self.families,
            threats: self.threats,
            caller: self.caller,
            false_positive: self.false_positive,
            risk: self.risk,
            opened: self.at,
            updated: self.at,
            alerts: self.alerts.len() as u64,
            state: IncidentState::Open,
            assignee: None,
            closed: None,
            merged_into: None,
        }
    }
}

/// An alert joins an incident (`new`), or one that is part of it changed.
pub fn absorb(incident: &mut Incident, alert: &Alert, new: bool, now: i64) {
    incident.severity = incident.severity.max(alert.severity);
    incident.false_positive = incident.false_positive.min(alert.verdict.false_positive);
    incident.risk = incident.risk.max(alert.verdict.risk);
    add(&mut incident.families, alert.family, usize::MAX);
    alert.threats.iter().for_each(|threat| add(&mut incident.threats, Some(Arc::clone(&threat.id)), MAX_THREATS));
    incident.caller = alert.caller.clone();
    incident.updated = incident.updated.max(now);
    incident.alerts = incident.alerts.saturating_add(u64::from(new));
}

#[cfg(test)]
mod tests;

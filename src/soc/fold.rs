//! Alerts that say the same are one alert with a count.
//!
//! The same: rule, caller (user of a tenant, else key, else address), session and model, no longer than `within` after the
//! last. Nothing is lost: what cannot be kept in mind becomes an alert of its own.

use std::sync::Arc;

use super::alert::{Draft, MAX_PROOFS, MAX_REQUESTS, MAX_THREATS};
use super::lru::Lru;
use crate::types::soc::Alert;

/// A client library that says it sends something again is believed for so long after the request before, in microseconds.
const RETRY: i64 = 60_000_000;

/// An alert lasts at most so many times `within`, so that what never stops is shown anew now and then.
const LONGEST: i64 = 12;

/// How alerts are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoldOptions {
    /// How long after the last one another is counted in it, in microseconds.
    pub within: i64,
    /// How many events one alert may count before another is made.
    pub most: u64,
    /// How many alerts are kept in mind.
    pub tracked: usize,
}

impl Default for FoldOptions {
    /// Five minutes, a million events, 10,000 alerts (some 40 MB at most).
    fn default() -> Self {
        Self { within: 300_000_000, most: 1_000_000, tracked: 10_000 }
    }
}

/// What became of a draft.
#[derive(Debug, Clone, PartialEq)]
pub enum Folded {
    /// It is a new alert, with the id it was given.
    New(Box<Alert>),
    /// It is counted in this alert. What people change of one (state, assignee, closing, incident, merging) is not known here:
    /// these fields are not to be written.
    Into(Box<Alert>),
}

impl Folded {
    /// The alert, new or not.
    pub fn alert(&self) -> &Alert {
        match self {
            Self::New(alert) | Self::Into(alert) => alert,
        }
    }
}

/// The alerts that others may be counted in. Bounded; the time is an argument.
#[derive(Debug)]
pub struct Folds {
    options: FoldOptions,
    open: Lru<Arc<str>, Open>,
}

#[derive(Debug)]
struct Open {
    alert: Alert,
    /// When the last one came.
    seen: i64,
    /// When the first one came.
    began: i64,
}

impl Folds {
    /// Nothing seen yet.
    pub fn new(options: FoldOptions) -> Self {
        Self { options, open: Lru::new(options.tracked) }
    }

    /// How many alerts are kept in mind, at most `tracked`.
    pub fn tracked(&self) -> usize {
        self.open.len()
    }

    /// Counts a draft in, or makes an alert of it; `id` gives new ones their id. `now` is Unix time in microseconds.
    pub fn take(&mut self, mut draft: Draft, now: i64, id: impl FnOnce() -> Arc<str>) -> Folded {
        if draft.first == 0 {
            // Events without a time of their own happened when they came.
            (draft.first, draft.last) = (now, now);
        }
        self.expire(now);
        let key: Arc<str> = draft.fold.as_str().into();
        let (within, most) = (self.options.within, self.options.most);
        if let Some(open) = self.open.get_mut(&key)
            && open.takes(now, within, most)
        {
            let raw = draft.raw.take();
            open.add(draft, now);
            return Folded::Into(Box::new(Alert { raw, ..open.alert.clone() }));
        }
        draft.id = id();
        // What a library sends again is only known as such together with what it sent before.
        draft.retries = 0;
        let raw = draft.raw.take();
        self.open.insert(key, Open { alert: draft.clone(), seen: now, began: now });
        Folded::New(Box::new(Alert { raw, ..draft }))
    }

    /// Takes an alert of the store in again, after a restart.
    pub fn resume(&mut self, alert: &Alert) {
        let alert = Alert { raw: None, ..alert.clone() };
        let (seen, began) = (alert.last, alert.first);
        self.open.insert(alert.fold.as_str().into(), Open { alert, seen, began });
    }

    /// Somebody closed this alert, or merged it into another: the next one is a new one.
    pub fn forget(&mut self, alert: &Alert) {
        let key: Arc<str> = alert.fold.as_str().into();
        if self.open.get_mut(&key).is_some_and(|open| open.alert.id == alert.id) {
            self.open.remove(&key);
        }
    }

    /// Forgets what nothing can be counted in any more.
    fn expire(&mut self, now: i64) {
        let within = self.options.within;
        while self.open.oldest().is_some_and(|(_, open)| now.saturating_sub(open.seen) > within) {
            self.open.pop_oldest();
        }
    }
}

impl Open {
    fn takes(&self, now: i64, within: i64, most: u64) -> bool {
        now.saturating_sub(self.seen) <= within
            && now.saturating_sub(self.began) <= within.saturating_mul(LONGEST)
            && self.alert.count < most
    }

    fn add(&mut self, draft: Draft, now: i64) {
        let own = &mut self.alert;
        let again = draft.retries > 0 && now.saturating_sub(self.seen) <= RETRY;
        // An outside system that sends an alert of the same id sends the same alert.
        let sent_twice =
            &*own.source != "gateway" && !draft.requests.is_empty() && own.requests.ends_with(&draft.requests);
        own.count = own.count.saturating_add(draft.count);
        if again || sent_twice {
            own.retries = own.retries.saturating_add(draft.count);
        }
        own.first = own.first.min(draft.first);
        own.last = own.last.max(draft.last);
        if draft.severity > own.severity {
            (own.severity, own.family) = (draft.severity, draft.family.or(own.family));
        }
        if draft.verdict.risk > own.verdict.risk {
            (own.verdict, own.message) = (draft.verdict, draft.message);
        }
        own.requests.extend(draft.requests.into_iter().filter(|_| !sent_twice));
        let surplus = own.requests.len().saturating_sub(MAX_REQUESTS);
        own.requests.drain(..surplus);
        for proof in draft.proofs {
            // One proof of each rule: the requests tell the rest.
            if !own.proofs.iter().any(|known| known.rule == proof.rule && known.direction == proof.direction) {
                own.proofs.push(proof);
            }
        }
        own.proofs.sort_by_key(|proof| std::cmp::Reverse(proof.severity));
        own.proofs.truncate(MAX_PROOFS);
        for threat in draft.threats {
            if own.threats.len() < MAX_THREATS && !own.threats.iter().any(|known| known.id == threat.id) {
                own.threats.push(threat);
            }
        }
        own.caller = draft.caller;
        own.path = draft.path.or(own.path.take());
        own.policy = draft.policy.or(own.policy.take());
        self.seen = self.seen.max(now);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::soc::fixture::{SECOND, draft};
    use crate::types::{Family, Severity};

    const OPTIONS: FoldOptions = FoldOptions { within: 60 * SECOND, most: 1_000_000, tracked: 100 };

    /// Gives ids in order and keeps what a store would have.
    struct Store {
        folds: Folds,
        alerts: BTreeMap<Arc<str>, Alert>,
    }

    impl Store {
        fn new(options: FoldOptions) -> Self {
            Self { folds: Folds::new(options), alerts: BTreeMap::new() }
        }

        fn take(&mut self, draft: Draft, now: i64) -> Arc<str> {
            let next = self.alerts.len();
            let alert = match self.folds.take(draft, now, || format!("alt_{next:06}").into()) {
                Folded::New(alert) => {
                    assert!(!self.alerts.contains_key(&alert.id), "an id is given once");
                    alert
                }
                Folded::Into(alert) => {
                    assert!(self.alerts.contains_key(&alert.id), "counted in one that is there");
                    alert
                }
            };
            let id = Arc::clone(&alert.id);
            self.alerts.insert(Arc::clone(&id), *alert);
            id
        }

        fn counted(&self) -> u64 {
            self.alerts.values().map(|alert| alert.count).sum()
        }
    }

    fn attack(user: &str, time: i64) -> Draft {
        draft("SOC-INJ-0001", user, Severity::Medium, Some(Family::PromptInjection), time)
    }

    #[test]
    fn a_flood_of_one_caller_stays_one_alert() {
        let mut store = Store::new(OPTIONS);
        for nth in 0..10_000 {
            let mut own = attack("ann", nth * 1000);
            own.requests = vec![format!("req_{nth}").into()];
            store.take(own, nth * 1000);
        }
        assert_eq!(store.alerts.len(), 1);
        let alert = store.alerts.values().next().unwrap();
        assert_eq!((alert.count, alert.retries, alert.first, alert.last), (10_000, 0, 0, 9_999_000));
        assert_eq!(alert.requests.len(), MAX_REQUESTS);
        assert_eq!(alert.requests.last().unwrap().as_ref(), "req_9999");
    }

    #[test]
    fn a_flood_of_many_callers_loses_nothing_and_keeps_memory_bounded() {
        let mut store = Store::new(OPTIONS);
        for nth in 0..10_000_i64 {
            store.take(attack(&format!("user{nth}"), nth), nth * 1000);
            assert!(store.folds.tracked() <= OPTIONS.tracked);
        }
        // Again: those that were forgotten are new, those that were not are counted in.
        for nth in 0..10_000_i64 {
            store.take(attack(&format!("user{nth}"), nth), 10_000_000 + nth * 1000);
        }
        assert_eq!(store.counted(), 20_000);
        assert!(store.alerts.len() >= 19_000 && store.folds.tracked() <= OPTIONS.tracked);
    }

    #[test]
    fn after_a_pause_or_when_it_is_full_or_never_stops_there_is_a_new_one() {
        let mut store = Store::new(OPTIONS);
        let first = store.take(attack("ann", 0), 0);
        assert_eq!(store.take(attack("ann", 1), 60 * SECOND), first);
        assert_ne!(store.take(attack("ann", 2), 121 * SECOND), first);
        assert_eq!(store.folds.tracked(), 1);
        let mut full = Store::new(FoldOptions { most: 3, ..OPTIONS });
        (0..7).for_each(|nth| drop(full.take(attack("ann", nth), nth)));
        assert_eq!(full.alerts.values().map(|alert| alert.count).collect::<Vec<_>>(), [3, 3, 1]);
        let mut endless = Store::new(OPTIONS);
        (0..100).for_each(|nth| drop(endless.take(attack("ann", nth), nth * 30 * SECOND)));
        assert_eq!((endless.alerts.len(), endless.counted()), (4, 100));
    }

    #[test]
    fn a_retry_of_a_library_is_counted_as_one_only_soon_after_the_first() {
        let retry = |time| Draft { retries: 1, ..attack("ann", time) };
        let mut store = Store::new(FoldOptions { within: 600 * SECOND, ..OPTIONS });
        // A first one that calls itself a retry is none that is known of.
        store.take(retry(0), 0);
        store.take(retry(1), SECOND);
        store.take(retry(2), 62 * SECOND);
        store.take(attack("ann", 3), 63 * SECOND);
        let alert = store.alerts.values().next().unwrap();
        assert_eq!((alert.count, alert.retries), (4, 1));
    }

    #[test]
    fn the_worst_is_kept_and_proofs_and_threats_come_together() {
        use crate::soc::alert::draft as of_event;
        use crate::soc::fixture::{blocked, event, finding};
        let rules = crate::soc::AlertRules::builtin().unwrap();
        let of = |severity, risk, rule: &str| {
            let mut own = blocked(Family::Jailbreak, severity);
            let verdict = own.input.as_mut().unwrap();
            verdict.risk = risk;
            let mut more = finding(Family::Encoding, Severity::Low);
            more.rule.0 = rule.into();
            more.threats = vec![Arc::from(format!("T1{}", rule.len()))].into();
            verdict.findings.push(more);
            of_event(&event(own), &rules, &|_| None).unwrap()
        };
        let mut store = Store::new(OPTIONS);
        store.take(of(Severity::Medium, 0.5, "A"), 1);
        store.take(of(Severity::Critical, 0.9, "BB"), 2);
        store.take(of(Severity::Low, 0.1, "BB"), 3);
        assert_eq!(store.alerts.len(), 1);
        let alert = store.alerts.values().next().unwrap();
        assert_eq!((alert.severity, alert.verdict.risk, alert.count), (Severity::Critical, 0.9, 3));
        assert!(alert.message.contains("risk 90 %"), "{}", alert.message);
        assert_eq!(alert.proofs.iter().map(|proof| &*proof.rule).collect::<Vec<_>>(), ["PC-jailbreak", "A", "BB"]);
        assert_eq!(alert.threats.len(), 4);
    }

    #[test]
    fn what_somebody_closed_is_not_counted_in_and_what_the_store_has_is() {
        let mut store = Store::new(OPTIONS);
        let first = store.take(attack("ann", 0), 0);
        let alert = store.alerts[&first].clone();
        store.folds.forget(&Alert { id: "another".into(), ..alert.clone() });
        assert_eq!(store.folds.tracked(), 1);
        store.folds.forget(&alert);
        assert_ne!(store.take(attack("ann", 1), 1), first);
        let mut again = Folds::new(OPTIONS);
        again.resume(&alert);
        let folded = again.take(attack("ann", 2), 2, || panic!("it is there"));
        assert_eq!((&folded.alert().id, folded.alert().count), (&first, 2));
    }

    #[test]
    fn an_outside_alert_that_is_sent_twice_is_a_retry_and_keeps_the_newest_words() {
        let sent = |id: &str| {
            let mut own = attack("ann", 0);
            (own.source, own.requests) = ("falcon".into(), vec![id.into()]);
            own.raw = Some(serde_json::json!({"id": id}));
            own
        };
        let mut store = Store::new(OPTIONS);
        for id in ["1", "1", "2"] {
            store.take(sent(id), 0);
        }
        let alert = store.alerts.values().next().unwrap();
        assert_eq!((alert.count, alert.retries, alert.requests.len()), (3, 1, 2));
        assert_eq!(alert.raw, Some(serde_json::json!({"id": "2"})));
    }

    #[test]
    fn a_draft_without_a_time_has_that_of_its_coming() {
        let folded = Folds::new(OPTIONS).take(attack("ann", 0), 5 * SECOND, || "a".into());
        assert_eq!((folded.alert().first, folded.alert().last), (5 * SECOND, 5 * SECOND));
    }

    proptest! {
        #[test]
        fn every_event_is_counted_once_whatever_comes(
            tracked in 1..20_usize,
            most in 1..50_u64,
            events in prop::collection::vec((0..30_usize, 0..3_usize, 0..40_i64, any::<bool>()), 1..400),
        ) {
            let mut store = Store::new(FoldOptions { within: 60 * SECOND, most, tracked });
            let mut now = 1;
            let taken = events.len() as u64;
            for (user, rule, pause, retry) in events {
                now += pause * SECOND;
                let mut own = attack(&format!("u{user}"), now);
                own.rule = format!("R{rule}").into();
                own.fold = format!("{rule}|{user}");
                own.retries = u64::from(retry);
                store.take(own, now);
                prop_assert!(store.folds.tracked() <= tracked);
            }
            prop_assert_eq!(store.counted(), taken);
            for alert in store.alerts.values() {
                prop_assert!(alert.count <= most && alert.retries < alert.count && alert.first <= alert.last);
                prop_assert!(alert.last - alert.first <= 13 * 60 * SECOND);
            }
        }
    }
}

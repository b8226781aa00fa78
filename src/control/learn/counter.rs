//! Counts what learned rules find in live traffic, by minute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::control::events::{Reader, Told};
use crate::store::learn::HitRow;
use crate::store::now;
use crate::telemetry::Metrics;
use crate::types::learn::{Hits, LEARNED};
use crate::types::{Action, Event, Record, RuleId};

/// Minutes that are kept until they are written; older ones are given up.
const MINUTES: usize = 30;

/// Rules counted within a minute.
const RULES: usize = 4_096;

/// Callers remembered of one rule in a minute.
const CALLERS: usize = 16;

const MINUTE: i64 = 60_000_000;

/// Says at how many points a prompt is flagged.
pub type FlagAt = Box<dyn Fn() -> f32 + Send>;

/// What was counted and not written yet. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<i64, Minute>>>);

#[derive(Debug, Clone, Default)]
struct Minute {
    rules: BTreeMap<Arc<str>, Hits>,
    seen: u64,
    /// Something was added since it was taken.
    is_fresh: bool,
}

/// The reader of events that counts.
pub struct Counter {
    counts: Counts,
    metrics: Metrics,
    flag_at: FlagAt,
}

impl Counter {
    /// Counts into `counts`.
    pub fn new(counts: Counts, metrics: Metrics, flag_at: FlagAt) -> Self {
        Self { counts, metrics, flag_at }
    }
}

impl Reader for Counter {
    fn read(&mut self, told: &Told<'_>) {
        if let Event::Request(record) = told.event() {
            let learned = |rule: &RuleId| rule.0.starts_with(LEARNED);
            let found = || record.input.iter().flat_map(|verdict| &verdict.findings);
            let flag_at = (self.flag_at)();
            let alone = alone(record, flag_at);
            if record.trial.iter().any(learned) {
                self.metrics.learn().hit(false, alone);
            }
            if found().any(|finding| learned(&finding.rule)) {
                self.metrics.learn().hit(true, alone);
            }
            self.counts.count(record, now(), flag_at);
        }
    }
}

impl Counts {
    /// Counts in the minute in which it is heard of: an answer may take longer than minutes are kept.
    fn count(&self, record: &Record, now: i64, flag_at: f32) {
        // What the client library sends again by itself is the same request.
        let Some(verdict) = record.input.as_ref().filter(|_| record.retry == 0) else { return };
        let found = verdict.findings.iter().map(|finding| &finding.rule).chain(&record.trial);
        let learned: BTreeSet<&Arc<str>> = found.map(|rule| &rule.0).filter(|id| id.starts_with(LEARNED)).collect();
        let alone = alone(record, flag_at);
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = now.div_euclid(MINUTE);
        let minute = minutes.entry(at).or_default();
        minute.is_fresh = true;
        minute.seen = minute.seen.saturating_add(1);
        for rule in learned {
            if minute.rules.len() >= RULES && !minute.rules.contains_key(rule) {
                continue;
            }
            let hits = minute.rules.entry(Arc::clone(rule)).or_default();
            hits.hits = hits.hits.saturating_add(1);
            if alone {
                hits.alone = hits.alone.saturating_add(1);
            }
            // On trial it hits nobody.
            if alone && !record.trial.iter().any(|one| one.0 == *rule) {
                hits.decided = hits.decided.saturating_add(1);
                let caller = caller(record);
                if hits.callers.len() < CALLERS && !hits.callers.contains(&caller) {
                    hits.callers.push(caller);
                }
            }
        }
        while minutes.len() > MINUTES {
            minutes.pop_first();
        }
    }

    /// What changed since the last time, as rows: each minute as it is now.
    pub fn fresh(&self) -> Vec<HitRow> {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Vec::new();
        for (at, minute) in minutes.iter_mut().filter(|(_, minute)| minute.is_fresh) {
            minute.is_fresh = false;
            let all = Hits { seen: minute.seen, ..Hits::default() };
            rows.push(HitRow { rule: String::new(), minute: *at, hits: all });
            let rule =
                |(rule, hits): (&Arc<str>, &Hits)| HitRow { rule: rule.to_string(), minute: *at, hits: hits.clone() };
            rows.extend(minute.rules.iter().map(rule));
        }
        rows
    }

    /// What `fresh` gave could not be written: it is given again.
    pub fn unwritten(&self, rows: &[HitRow]) {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            if let Some(minute) = minutes.get_mut(&row.minute) {
                minute.is_fresh = true;
            }
        }
    }

    /// Forgets minutes that are over and written.
    pub fn forget(&self, before: i64) {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        minutes.retain(|at, minute| *at >= before || minute.is_fresh);
    }
}

/// Whether nothing but learned rules would have flagged a prompt.
fn alone(record: &Record, flag_at: f32) -> bool {
    let (mut points, mut known) = (0.0, BTreeSet::new());
    let findings = record.input.iter().flat_map(|verdict| &verdict.findings);
    for finding in findings.filter(|finding| !finding.rule.0.starts_with(LEARNED)) {
        let (own, action) = finding.counts_for();
        if action > Action::Score {
            return false;
        }
        if known.insert(&finding.rule) {
            points += own;
        }
    }
    points < flag_at
}

/// What tells callers apart: a number, the same on every replica.
fn caller(record: &Record) -> u64 {
    let digest = blake3::hash(record.caller.known_as().as_bytes());
    digest.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soc::fixture::{finding, record, verdict};
    use crate::types::{Caller, Decision, Doubt, Family, Severity};

    fn request(user: &str, found: &[&str], trial: &[&str]) -> Record {
        let mut record = record(user);
        record.caller = Caller { user: Some(user.into()), ..Caller::default() };
        let findings = found.iter().map(|rule| {
            let mut one = finding(Family::Jailbreak, Severity::High);
            one.rule = RuleId((*rule).into());
            // What only adds a few points would have stopped nothing.
            (one.action, one.score) =
                if rule.starts_with("PC-CLS") { (Action::Score, 3.0) } else { (one.action, one.score) };
            one
        });
        record.input = Some(verdict(Decision::Flag, 0.5, findings.collect()));
        record.trial = trial.iter().map(|rule| RuleId((*rule).into())).collect();
        record
    }

    #[test]
    fn what_rules_find_alone_is_told_from_what_others_find_too() {
        let counts = Counts::default();
        let at = 5 * MINUTE + 1;
        for one in [
            request("ann", &[], &["LRN-AAAAAA-1"]),
            request("bob", &["PC-INJ-0001"], &["LRN-AAAAAA-1"]),
            request("bob", &["LRN-BBBBBB-1"], &[]),
            request("cid", &[], &[]),
            request("dan", &["PC-CLS-0001"], &["LRN-CCCCCC-1"]),
        ] {
            counts.count(&one, at, 4.0);
        }
        let rows = counts.fresh();
        let told: Vec<(&str, u64, u64, u64, usize)> = rows
            .iter()
            .map(|row| (row.rule.as_str(), row.hits.seen, row.hits.hits, row.hits.alone, row.hits.callers.len()))
            .collect();
        let expected = [
            ("", 5, 0, 0, 0),
            ("LRN-AAAAAA-1", 0, 2, 1, 0),
            ("LRN-BBBBBB-1", 0, 1, 1, 1),
            ("LRN-CCCCCC-1", 0, 1, 1, 0),
        ];
        assert_eq!(told, expected);
        assert!(counts.fresh().is_empty(), "nothing is new");
        counts.unwritten(&rows);
        assert_eq!(counts.fresh(), rows, "given again");
        counts.forget(6);
        counts.count(&request("ann", &[], &[]), at, 4.0);
        assert_eq!(counts.fresh().len(), 1, "begun anew");
    }

    #[test]
    fn what_the_text_around_excuses_would_have_flagged_nothing() {
        let is_alone = |doubts: Vec<Doubt>| {
            let mut record = request("ann", &["PC-INJ-0001", "LRN-AAAAAA-1"], &[]);
            let first = record.input.as_mut().and_then(|verdict| verdict.findings.first_mut()).unwrap();
            first.doubts = doubts;
            alone(&record, 4.0)
        };
        assert!(!is_alone(Vec::new()) && !is_alone(vec![Doubt::Quoted]));
        assert!(is_alone(vec![Doubt::Discussed]) && is_alone(vec![Doubt::Forbidden]));
    }

    #[test]
    fn a_retry_of_the_library_is_not_counted_again() {
        let counts = Counts::default();
        let again = Record { retry: 1, ..request("ann", &["LRN-AAAAAA-1"], &[]) };
        Counter::new(counts.clone(), Metrics::new("test").unwrap(), Box::new(|| 4.0))
            .read(&Told::new(&Event::Request(Box::new(again))));
        assert!(counts.fresh().is_empty());
    }
}

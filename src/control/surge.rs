//! Alarms about money and behaviour: spending unlike before, programs that run in circles.

use std::sync::Arc;

use super::events::{Reader, Told};
use crate::quota::Usd;
use crate::quota::anomaly::{LoopOptions, LoopWatch, SpendOptions, SpendWatch};
use crate::types::{Alarm, AlarmKind, Event, Record};

/// Raises an alarm.
pub type Raise = Box<dyn Fn(Alarm) + Send + Sync>;

/// Watches what requests cost and how they repeat.
pub struct Surges {
    spend: SpendWatch<Arc<str>>,
    loops: LoopWatch<Arc<str>>,
    raise: Raise,
}

impl Surges {
    /// Nothing seen yet.
    pub fn new(spend: SpendOptions, loops: LoopOptions, raise: Raise) -> Self {
        Self { spend: SpendWatch::new(spend), loops: LoopWatch::new(loops), raise }
    }

    fn request(&mut self, record: &Record) {
        let Some(who) = who(record) else { return };
        let now = record.time / 1_000_000;
        if let Some(surge) = record.cost.and_then(|cost| self.spend.add(&who, cost, now)) {
            let (spent, mean) = (Usd(surge.spent), Usd(surge.mean.max(0.0) as u64));
            let message = format!("spent ${spent} where ${mean} is usual: {:.1} standard deviations above", surge.z);
            (self.raise)(alarm(record, AlarmKind::SpendSurge, message));
        }
        // What a library sends again by itself is no loop of the program.
        let print = record.print.filter(|_| record.retry == 0);
        if let Some(round) = print.and_then(|print| self.loops.add(&who, print, now)) {
            let message = format!("{} nearly identical prompts in {} seconds", round.repeats, round.seconds);
            (self.raise)(alarm(record, AlarmKind::RunawayLoop, message));
        }
    }
}

/// Who is watched as one: a user of a tenant, else a key, else an address.
fn who(record: &Record) -> Option<Arc<str>> {
    let caller = &record.caller;
    let address = || caller.address.map(|address| Arc::from(address.to_string()));
    caller.user_of_tenant().or_else(|| caller.key.clone()).or_else(address)
}

fn alarm(record: &Record, kind: AlarmKind, message: String) -> Alarm {
    Alarm { time: record.time, kind, caller: record.caller.clone(), request: Some(record.id.clone()), message }
}

impl Reader for Surges {
    fn read(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::Request(record) => self.request(record),
            Event::Reload(_) | Event::Alarm(_) | Event::Content(_) | Event::ToolHeld(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::types::{Caller, Generation, RequestId};

    fn record(user: &str, second: i64) -> Record {
        let mut record = Record::new(second * 1_000_000, RequestId("req_1".into()), Generation(1));
        record.caller = Caller { user: Some(user.into()), ..Caller::default() };
        record
    }

    fn watched(records: impl Iterator<Item = Record>) -> Vec<Alarm> {
        let raised: Arc<Mutex<Vec<Alarm>>> = Arc::default();
        let told = Arc::clone(&raised);
        let raise = Box::new(move |alarm| told.lock().unwrap().push(alarm));
        let mut surges = Surges::new(SpendOptions::default(), LoopOptions::default(), raise);
        for record in records {
            surges.read(&Told::new(&Event::Request(Box::new(record))));
        }
        raised.lock().unwrap().clone()
    }

    #[test]
    fn a_program_that_runs_in_circles_is_told_once_and_its_retries_are_not() {
        let round = |second| Record { print: Some(42), ..record("ann", second) };
        let alarms = watched((0..40).map(round));
        assert_eq!(alarms.len(), 1, "{alarms:?}");
        assert_eq!(alarms[0].kind, AlarmKind::RunawayLoop);
        assert!(watched((0..40).map(|second| Record { retry: 1, ..round(second) })).is_empty());
        assert!(
            watched((0..40).map(|second| Record {
                print: Some((second as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                ..record("ann", second)
            }))
            .is_empty()
        );
    }

    #[test]
    fn an_hour_that_costs_far_more_than_the_hours_before_is_told() {
        let dollars = |hour: i64, cost: u64| Record { cost: Some(cost * 1_000_000_000), ..record("ann", hour * 3600) };
        let usual = (0..48).map(|hour| dollars(hour, 1 + hour as u64 % 2));
        let alarms = watched(usual.chain([dollars(48, 500), dollars(49, 1)]));
        assert_eq!(alarms.iter().map(|alarm| alarm.kind).collect::<Vec<_>>(), [AlarmKind::SpendSurge], "{alarms:?}");
    }
}

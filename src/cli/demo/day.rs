//! A made-up day: what was asked, what the real rules say of it, and records as the data path writes them, with times in the
//! past. They go up the door that the data path's own go up: store, ledger, audit trail and operations centre do with them what
//! they do with any.

use std::time::Duration;

use super::dice::Dice;
use super::people::{ATTACKERS, PEOPLE, Person, QUESTIONS, caller};
use crate::app::Insides;
use crate::config::Snapshot;
use crate::config::settings::SecurityMode;
use crate::detect;
use crate::redteam;
use crate::types::{
    Accounted, Decision, Dialect, Durations, Event, FinishReason, Outcome, Record, RequestId, Role, SpanIndex, Usage,
    Verdict,
};

/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;
/// Attacks whose verdicts are made.
const ATTACKS: usize = 60;
/// Waves of attacks in the day, and how many requests each has.
const WAVES: usize = 6;
const WAVE: u64 = 9;
/// Tries to hand an event over, and to see everything stored.
const REST: Duration = Duration::from_millis(20);

/// A text, its length and what the rules say of it.
struct Text {
    bytes: u64,
    verdict: Verdict,
}

/// The records of a day, the oldest first.
pub(super) struct Day {
    records: Vec<Record>,
}

impl Day {
    /// Draws one that ended at `now`.
    pub(super) fn draw(snapshot: &Snapshot, seed: u64, requests: u32, now: i64) -> Self {
        let mut dice = Dice::new(seed);
        let asked: Vec<Text> = QUESTIONS.iter().map(|text| read(snapshot, text)).collect();
        let pack = redteam::read(&redteam::builtin()).unwrap_or_default();
        let trials = redteam::plan(&pack, seed, &[], true);
        let step = (trials.len() / ATTACKS).max(1);
        let attacks = trials.iter().filter(|trial| !trial.is_harmless()).step_by(step).take(ATTACKS);
        let attacks: Vec<Text> = attacks.map(|trial| read(snapshot, &trial.text())).collect();
        let begin = now.saturating_sub(DAY);
        let mut times: Vec<(i64, bool, usize)> = (0..requests)
            .map(|_| (begin.saturating_add(moment(&mut dice)), dice.below(100) == 0, dice.below(1 << 20) as usize))
            .collect();
        for wave in 0..WAVES {
            let start = begin.saturating_add(i64::try_from(dice.below(DAY as u64)).unwrap_or(0)).min(now - 900_000_000);
            for at in 0..WAVE {
                let later =
                    i64::try_from(at.saturating_mul(25_000_000).saturating_add(dice.below(9_000_000))).unwrap_or(0);
                times.push((start.saturating_add(later), true, wave));
            }
        }
        times.sort_unstable();
        let mut records = Vec::with_capacity(times.len());
        for (time, is_attack, who) in times {
            let (people, texts): (&[Person], &[Text]) =
                if is_attack { (&ATTACKERS, &attacks) } else { (&PEOPLE, &asked) };
            let index = who.checked_rem(people.len()).unwrap_or(0);
            let (Some(person), Some(text)) = (people.get(index), dice.one(texts)) else { continue };
            records.push(record(snapshot, &mut dice, time, (*person, index, is_attack), text));
        }
        Self { records }
    }

    /// Writes it into the store as any traffic is, and waits until it is there: requests, and those with findings.
    pub(super) async fn write(self, insides: &Insides, limit: Duration) -> Result<(usize, usize), String> {
        let found = |record: &&Record| record.input.as_ref().is_some_and(|verdict| !verdict.findings.is_empty());
        let (count, attacks) = (self.records.len(), self.records.iter().filter(found).count());
        let before = insides.writer.health().committed;
        let work = async {
            for record in self.records {
                // A place in the ordinary queue, so that nothing is dropped.
                let place = loop {
                    if let Some(place) = insides.events.reserve() {
                        break place;
                    }
                    tokio::time::sleep(REST).await;
                };
                drop(place.send(Event::Request(Box::new(record))));
            }
            let wanted = before.saturating_add(count as u64);
            while insides.writer.health().committed < wanted {
                tokio::time::sleep(REST).await;
            }
            // The operations centre is a little behind: alerts are there when their number stands still.
            let mut known = (0, 0);
            while known.1 < 50 {
                let counts = insides.database.alert_counts().await.map_err(|error| error.to_string())?;
                let alerts: u64 = counts.iter().map(|count| count.count).sum();
                known = if alerts == known.0 { (alerts, known.1 + 1) } else { (alerts, 0) };
                tokio::time::sleep(REST).await;
            }
            Ok(())
        };
        let done: Result<Result<(), String>, _> = tokio::time::timeout(limit, work).await;
        done.map_err(|_| "the store did not take the made-up day in time".to_owned())??;
        Ok((count, attacks))
    }
}

/// When in the day: more in the afternoon than at night.
fn moment(dice: &mut Dice) -> i64 {
    let day = u64::try_from(DAY).unwrap_or(1);
    let at = loop {
        let at = dice.below(day);
        let hour = at / 3_600_000_000;
        let weight = match hour {
            0..6 => 15,
            6..9 | 18..22 => 50,
            9..18 => 100,
            _ => 25,
        };
        if dice.below(100) < weight {
            break at;
        }
    };
    i64::try_from(at).unwrap_or(0)
}

/// What the rules say of a text, without memory.
fn read(snapshot: &Snapshot, text: &str) -> Text {
    let inspect = &snapshot.settings.inspect;
    let thresholds = inspect.thresholds_of((inspect.flag_at, inspect.block_at), SecurityMode::Default);
    let mut findings = Vec::new();
    snapshot.rules.scan(SpanIndex(0), Role::User, text, &mut findings);
    let verdict = detect::judge(findings, &thresholds, snapshot.rules.hash());
    Text { bytes: text.len() as u64, verdict }
}

fn record(snapshot: &Snapshot, dice: &mut Dice, time: i64, who: (Person, usize, bool), text: &Text) -> Record {
    let (person, index, attacks) = who;
    let model = person.2;
    let millis = u64::try_from(time / 1000).unwrap_or(0);
    let mut random = [0_u8; 10];
    for (slot, byte) in random.iter_mut().zip(dice.next().to_le_bytes().into_iter().chain(dice.next().to_le_bytes())) {
        *slot = byte;
    }
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let session = format!("demo-{}-{}", person.0, time / 1_200_000_000);
    let mut record = Record::new(time, RequestId(format!("req_{}", id.simple())), snapshot.generation);
    record.caller = caller(person, index, &session, attacks);
    record.method = "POST".into();
    let is_claude = model.starts_with("claude");
    record.path = if is_claude { "/messages".into() } else { "/chat/completions".into() };
    record.dialect = Some(if is_claude { Dialect::Messages } else { Dialect::Chat });
    record.model = Some(model.to_owned());
    record.stream = dice.below(3) > 0;
    record.policy = Some("default".into());
    record.decision = text.verdict.decision;
    record.input = Some(text.verdict.clone());
    let scan = 150_u64.saturating_add(dice.skewed(0, 900));
    let sent = text.bytes.saturating_add(120);
    record.request_bytes = Accounted { inspected: sent, ..Accounted::default() };
    if text.verdict.decision == Decision::Block {
        record.outcome = Outcome::PromptBlocked;
        record.reason = Some("content_filter");
        record.status = 400;
        record.micros = Durations { total: scan.saturating_add(300), scan, ..Durations::default() };
        return record;
    }
    record.upstream = Some("rehearsal".into());
    record.attempts = 1;
    if dice.below(120) == 0 {
        record.outcome = Outcome::UpstreamFailed;
        record.reason = Some("upstream_timeout");
        record.status = 504;
        record.micros = Durations { total: 30_000_000, upstream: 29_990_000, scan, ..Durations::default() };
        return record;
    }
    served(snapshot, dice, &mut record, scan);
    record
}

/// What is known of an answer that was relayed to its end.
fn served(snapshot: &Snapshot, dice: &mut Dice, record: &mut Record, scan: u64) {
    let first = dice.skewed(180_000, 1_400_000);
    let output = dice.skewed(40, 900);
    let upstream = first.saturating_add(output.saturating_mul(dice.skewed(6_000, 16_000)));
    let usage = Usage { input: dice.skewed(60, 2600), output, ..Usage::default() };
    record.outcome = Outcome::Served;
    record.status = 200;
    record.finish = Some(FinishReason::Stop);
    record.cost = record.model.as_deref().and_then(|model| snapshot.prices.cost(model, &usage));
    record.usage = Some(usage);
    record.response_bytes = Accounted { inspected: output.saturating_mul(5), ..Accounted::default() };
    record.output = Some(detect::judge_answer(Vec::new(), &thresholds(snapshot), snapshot.rules.hash()));
    let scan_output = output.saturating_mul(3);
    record.micros = Durations {
        total: upstream.saturating_add(scan).saturating_add(400),
        upstream,
        scan: scan.saturating_add(scan_output),
        scan_output,
        first_chunk: first,
        ..Durations::default()
    };
}

fn thresholds(snapshot: &Snapshot) -> detect::Thresholds {
    let inspect = &snapshot.settings.inspect;
    inspect.thresholds_of((inspect.flag_at, inspect.block_at), SecurityMode::Default)
}

//! One page on its way: what the receiver takes is done with, what it refuses is buried, and where it is in trouble the rest waits.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::item::{Item, Kind};
use super::sinks::{Fate, Trouble};
use super::source::{Page, place};
use super::{Parts, Target};
use crate::config::export_settings::Overflow;
use crate::control::audit::{Entry as AuditEntry, Kind as AuditKind};
use crate::store::export::{Cursors, DeadLetter, Done};
use crate::store::{ContentMode, StoreError, now};
use crate::telemetry::{ExportFailure, ExportResult};

/// How far is written down at least so often while items go out one by one.
const WRITE_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Dead letters that are tried again at once.
const AGAIN: u32 = 16;

/// Bytes of a text of content that is sent.
const MOST_TEXT: usize = 64 << 10;

/// Requests that one entry of the audit trail names.
const NAMED: usize = 200;

/// Letters of a reason.
const MOST_REASON: usize = 300;

/// Why a page is not done with.
#[derive(Debug)]
pub(super) enum Halt {
    /// The receiver is in trouble, or our own parts are.
    Trouble(Trouble),
    /// Another replica works on it.
    Lost,
    /// The lease is nearly over, or the gateway ends.
    Renew,
}

/// Where everything is at some entry of a page, and what was given up before it.
#[derive(Clone, Copy)]
struct Reached {
    cursors: Cursors,
    /// Too old.
    old: u64,
    /// Not kept any more.
    lost: u64,
}

/// A page on its way.
pub(super) struct Delivery<'a> {
    parts: &'a Parts,
    target: &'a Target,
    worker: &'a str,
    cursors: Cursors,
    done: Done,
    worked: bool,
    written: Instant,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(parts: &'a Parts, target: &'a Target, worker: &'a str, cursors: Cursors) -> Self {
        Self { parts, target, worker, cursors, done: Done::default(), worked: false, written: Instant::now() }
    }

    pub(super) const fn cursors(&self) -> Cursors {
        self.cursors
    }

    pub(super) const fn set(&mut self, cursors: Cursors) {
        self.cursors = cursors;
    }

    pub(super) const fn unwritten(&self) -> Done {
        self.done
    }

    /// Whether the receiver took or refused anything: it lives.
    pub(super) const fn worked(&self) -> bool {
        self.worked
    }

    /// Writes how far it is; whether the sink still is ours.
    pub(super) async fn write(&mut self) -> Result<bool, StoreError> {
        let Self { parts, target, worker, cursors, done, .. } = self;
        let ours = parts.database.export_advance(&target.name, worker, *cursors, *done, now()).await?;
        self.done = Done::default();
        self.written = Instant::now();
        Ok(ours)
    }

    /// Tries dead letters again that somebody wants tried.
    pub(super) async fn again(&mut self) -> Result<Option<Halt>, StoreError> {
        for letter in self.parts.database.export_dead_again(&self.target.name, AGAIN).await? {
            let Ok(item) = serde_json::from_str::<Item>(&letter.body) else {
                self.parts.database.export_forget(&letter.id).await?;
                continue;
            };
            let outcome = match self.send(std::slice::from_ref(&item)).await {
                Ok(fates) => fates.into_iter().next().unwrap_or(Fate::Delivered),
                Err(trouble) if trouble.why == ExportFailure::Refused => Fate::Refused(trouble.what),
                Err(trouble) => return Ok(Some(Halt::Trouble(trouble))),
            };
            match outcome {
                Fate::Delivered => {
                    self.parts.database.export_forget(&letter.id).await?;
                    self.count(ExportResult::Sent, 1);
                }
                Fate::Refused(why) => self.bury(&item, &why).await?,
                Fate::Later(why) => {
                    return Ok(Some(Halt::Trouble(Trouble::new(ExportFailure::Throttled, why))));
                }
            }
            self.worked = true;
        }
        Ok(None)
    }

    /// Sends a page. The sink is ours until `until` (Unix time in microseconds); nothing more is begun after `stop`.
    pub(super) async fn page(
        &mut self,
        page: Page,
        until: i64,
        stop: &CancellationToken,
    ) -> Result<Option<Halt>, StoreError> {
        let (items, ends, reached) = self.laid_out(page);
        let size = if self.target.sink.takes_many() { items.len().max(1) } else { 1 };
        let mut groups: VecDeque<&[Item]> = items.chunks(size).collect();
        let (mut done, mut before) = (0_usize, Reached { cursors: self.cursors, old: 0, lost: 0 });
        while let Some(group) = groups.pop_front() {
            if stop.is_cancelled() || until <= now().saturating_add(self.longest_try()) {
                return self.halted(Halt::Renew).await;
            }
            let taken = match self.send(group).await {
                Ok(fates) => self.settle(group, fates).await?,
                Err(trouble) if trouble.why == ExportFailure::Refused => match group {
                    [one] => {
                        self.bury(one, &trouble.what).await?;
                        (1, None)
                    }
                    // One of them is at fault: halves are tried, in order.
                    _ => {
                        self.worked = true;
                        let (first, second) = group.split_at(group.len() / 2);
                        groups.push_front(second);
                        groups.push_front(first);
                        continue;
                    }
                },
                Err(trouble) => (0, Some(trouble)),
            };
            done = done.saturating_add(taken.0);
            self.worked |= taken.0 > 0;
            if let Some(here) = done.checked_sub(1).and_then(|last| ends.get(last)) {
                self.reach(&mut before, *here);
            }
            if let Some(trouble) = taken.1 {
                return self.halted(Halt::Trouble(trouble)).await;
            }
            if self.written.elapsed() >= WRITE_EVERY && !self.write().await? {
                return Ok(Some(Halt::Lost));
            }
        }
        self.reach(&mut before, reached);
        Ok(None)
    }

    /// Each item of a page with where everything is once it is done with, and where everything is at the end.
    fn laid_out(&self, page: Page) -> (Vec<Item>, Vec<Reached>, Reached) {
        let settings = &self.target.settings;
        let age = i64::try_from(settings.max_age.get().as_micros()).unwrap_or(i64::MAX);
        let bounded = age > 0 && settings.on_overflow == Overflow::DropOldest;
        let too_old = if bounded { now().saturating_sub(age) } else { i64::MIN };
        let (mut items, mut ends) = (Vec::new(), Vec::new());
        let mut reached = Reached { cursors: self.cursors, old: 0, lost: 0 };
        for entry in page.entries {
            if let Some(at) = place(&mut reached.cursors, entry.source) {
                *at = entry.seq;
            }
            reached.lost = reached.lost.saturating_add(entry.lost);
            match entry.item {
                Some(_) if entry.time < too_old => reached.old = reached.old.saturating_add(1),
                Some(item) => {
                    items.push(item);
                    ends.push(reached);
                }
                None => {}
            }
        }
        (items, ends, reached)
    }

    /// Everything up to here is done with; what was given up on the way is counted.
    fn reach(&mut self, before: &mut Reached, here: Reached) {
        let (old, lost) = (here.old.saturating_sub(before.old), here.lost.saturating_sub(before.lost));
        self.cursors = here.cursors;
        self.done.dropped = self.done.dropped.saturating_add(old).saturating_add(lost);
        self.parts.metrics.export().items(&self.target.name, ExportResult::Dropped, old);
        self.parts.metrics.export().items(&self.target.name, ExportResult::Lost, lost);
        if lost > 0 {
            tracing::error!(sink = %self.target.name, entries = lost, "entries were not kept until they were exported");
        }
        *before = here;
    }

    /// A try, with the wait for an acknowledgement.
    fn longest_try(&self) -> i64 {
        i64::try_from(self.target.settings.timeout.get().as_micros()).unwrap_or(i64::MAX).saturating_mul(2)
    }

    /// What was done so far is written down before anything is waited for.
    async fn halted(&mut self, halt: Halt) -> Result<Option<Halt>, StoreError> {
        if self.done != Done::default() && !self.write().await? {
            return Ok(Some(Halt::Lost));
        }
        Ok(Some(halt))
    }

    /// Goes by what became of each item: how many are done with, up to the first that has to wait.
    async fn settle(&mut self, group: &[Item], fates: Vec<Fate>) -> Result<(usize, Option<Trouble>), StoreError> {
        let (mut done, mut sent, mut trouble) = (0_usize, 0_u64, None);
        for (item, fate) in group.iter().zip(fates) {
            match fate {
                Fate::Delivered => sent = sent.saturating_add(1),
                Fate::Refused(why) => self.bury(item, &why).await?,
                // Those after it are sent again with it, under the same ids.
                Fate::Later(why) => {
                    trouble = Some(Trouble::new(ExportFailure::Throttled, why));
                    break;
                }
            }
            done = done.saturating_add(1);
        }
        self.count(ExportResult::Sent, sent);
        Ok((done, trouble))
    }

    fn count(&mut self, result: ExportResult, count: u64) {
        if result == ExportResult::Sent {
            self.done.delivered = self.done.delivered.saturating_add(count);
        }
        self.parts.metrics.export().items(&self.target.name, result, count);
    }

    async fn bury(&mut self, item: &Item, why: &str) -> Result<(), StoreError> {
        let (parts, target) = (self.parts, self.target);
        tracing::warn!(sink = %target.name, item = %item.id, why, "an export was refused: it is a dead letter");
        let letter = DeadLetter {
            id: format!("ded_{}", uuid::Uuid::now_v7().simple()),
            sink: target.name.to_string(),
            source: item.source.name().to_owned(),
            seq: item.seq,
            user: item.user.clone(),
            made: now(),
            tries: 1,
            again: false,
            reason: why.chars().filter(|letter| !letter.is_control()).take(MOST_REASON).collect(),
            body: serde_json::to_string(item).map_err(|error| StoreError::Value(error.to_string()))?,
        };
        let forgotten = parts.database.export_bury(&letter, parts.max_dead).await?;
        self.worked = true;
        self.count(ExportResult::Dead, 1);
        self.parts.metrics.export().failed(&target.name, ExportFailure::Refused);
        if forgotten > 0 {
            tracing::error!(sink = %target.name, forgotten, "there are too many dead letters: the oldest are gone");
            self.parts.metrics.export().items(&target.name, ExportResult::Lost, forgotten);
        }
        Ok(())
    }

    /// Sends a group, with content where it is wished.
    async fn send(&self, group: &[Item]) -> Result<Vec<Fate>, Trouble> {
        send(self.parts, self.target, group).await
    }
}

/// Sends items once, with content where the sink is given any. That content leaves is written down first.
pub(super) async fn send(parts: &Parts, target: &Target, group: &[Item]) -> Result<Vec<Fate>, Trouble> {
    if !target.settings.content || !group.iter().any(has_content) {
        return target.sink.send(group).await;
    }
    let broken = |error: String| Trouble::new(ExportFailure::Store, error);
    let mut told = Vec::with_capacity(group.len());
    let mut requests = Vec::new();
    for item in group {
        let mut item = item.clone();
        if let Some(request) = item.request.clone().filter(|_| has_content(&item)) {
            item.content = content(parts, &request).await.map_err(|error| broken(error.to_string()))?;
            if item.content.is_some() {
                requests.push(request);
            }
        }
        told.push(item);
    }
    // Details that are too big are replaced by their hash: then nobody could say whose words left.
    for some in requests.chunks(NAMED) {
        let entry = AuditEntry::new(AuditKind::ContentReveal, "gateway", format!("export/{}", target.name))
            .detail("action", "export.content")
            .detail("requests", some.to_vec());
        parts.trail.append(entry).await.map_err(|error| broken(error.to_string()))?;
    }
    target.sink.send(&told).await
}

fn has_content(item: &Item) -> bool {
    matches!(item.kind, Kind::Alert | Kind::Record) && item.request.is_some()
}

/// Prompt and answer of a request, as far as their words are kept.
async fn content(parts: &Parts, request: &str) -> Result<Option<serde_json::Value>, StoreError> {
    let mut kept = serde_json::Map::new();
    for content in parts.database.contents(request).await? {
        if content.mode == ContentMode::Hash {
            continue;
        }
        // What cannot be opened any more is no reason to hold everything else back.
        let Ok(text) = parts.vault.open(&content) else { continue };
        let end = text.floor_char_boundary(MOST_TEXT);
        let whole = end == text.len();
        let told = json!({
            "text": text.get(..end).unwrap_or_default(), "mode": content.mode.name(), "whole": whole,
        });
        kept.insert(content.direction.to_string(), told);
    }
    Ok((!kept.is_empty()).then_some(serde_json::Value::Object(kept)))
}

//! What events tell, kept: requests, findings, content, spending and alarms go into the store, what must be provable into the trail.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::audit::{Entry, Kind, Outcome, Trail, entry_for_block};
use super::events::{Reader, Told};
use crate::store::{ContentMode, EventRow, Issued, Item, Overflow, RequestRow, Vault, Writer};
use crate::types::{Alarm, Decision, Event, Kept, Privacy, Record, ReloadOutcome};

/// How long the reader of events rests when a queue behind it is full.
const REST: Duration = Duration::from_millis(2);

/// How often the last entries are tried: two seconds.
const LAST_TRIES: u32 = 1000;

/// Entries for the trail that may wait here; then the reader of events waits.
const BACKLOG: usize = 1024;

/// After how long entries that the trail did not take, because neither database nor disk did, are given to it again.
const AGAIN: Duration = Duration::from_millis(100);

/// Keeps what events tell. Where a queue behind it is full it waits, and with it the queue of events, whose setting
/// says what that means for new requests: nothing is lost without being counted.
pub struct Keeper {
    writer: Writer,
    overflow: Overflow,
    trail: Trail,
    vault: Arc<Vault>,
    backlog: VecDeque<Entry>,
    returned: Arc<Mutex<Vec<Entry>>>,
    again: Instant,
    runtime: Handle,
    ending: Arc<AtomicBool>,
}

impl Keeper {
    /// Keeps in these; `vault` seals content. `runtime` is where they run.
    /// When `ending` is set nothing is waited for any more.
    pub fn new(
        writer: Writer,
        overflow: Overflow,
        trail: Trail,
        vault: Arc<Vault>,
        runtime: Handle,
        ending: Arc<AtomicBool>,
    ) -> Self {
        let (backlog, returned, again) = (VecDeque::new(), Arc::default(), Instant::now());
        Self { writer, overflow, trail, vault, backlog, returned, again, runtime, ending }
    }

    /// A short rest before another attempt; whether there is to be one.
    fn rest(&self) -> bool {
        std::thread::sleep(REST);
        !self.ending.load(Ordering::Relaxed)
    }

    fn request(&mut self, record: &Record, json: &Arc<str>) {
        self.offer(Item::Request(Box::new(RequestRow::of(record, Arc::clone(json)))));
        if let Some((hash, owner)) = &record.issued {
            self.offer(Item::Issued(Issued {
                hash: hash.clone(),
                owner: owner.clone(),
                user: record.caller.user.as_deref().map(str::to_owned),
                kind: "response".to_owned(),
                time: record.time,
            }));
        }
        let refused_by_order = record.order.is_some();
        if record.decision == Decision::Block || refused_by_order {
            self.write_down(entry_for_block(record));
        }
    }

    fn offer(&self, item: Item) {
        while self.overflow == Overflow::Refuse && !self.writer.has_room() && self.rest() {}
        // What finds no room is counted by the writer.
        let _taken: bool = self.writer.offer(item);
    }

    fn content(&self, kept: &Kept) {
        let mode = match kept.mode {
            Privacy::None => return,
            Privacy::HashOnly => ContentMode::Hash,
            Privacy::Masked => ContentMode::Masked,
            Privacy::Full => ContentMode::Full,
        };
        let (id, user) = (kept.request.0.as_str(), kept.user.as_deref());
        match self.vault.seal((id, kept.direction), kept.time, user, mode, &kept.text) {
            Ok(content) => self.offer(Item::Content(Box::new(content.laid_out(kept.layout.as_ref())))),
            // Never in clear instead.
            Err(error) => tracing::error!(%error, request = id, "content was not kept"),
        }
    }

    fn alarm(&self, alarm: &Alarm) {
        let row = EventRow {
            id: format!("evt_{}", uuid::Uuid::now_v7().simple()),
            time: alarm.time,
            kind: alarm.kind.name().into(),
            request: alarm.request.as_ref().map(|id| id.0.clone()),
            user: alarm.caller.user.as_deref().map(str::to_owned),
            body: serde_json::to_string(alarm).unwrap_or_default(),
        };
        let (writer, done) = (self.writer.clone(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&done);
        drop(self.runtime.spawn(async move {
            if let Err(error) = writer.important(Item::Event(row)).await {
                tracing::error!(%error, "an alarm was not kept");
            }
            told.store(true, Ordering::Release);
        }));
        // One at a time: where the writer has no room, the reader of events waits for it.
        while !done.load(Ordering::Acquire) && self.rest() {}
    }

    fn reload(&mut self, outcome: &ReloadOutcome) {
        let went = if outcome.problems.is_empty() { Outcome::Success } else { Outcome::Failure };
        let problems: Vec<&str> = outcome.problems.iter().take(16).map(String::as_str).collect();
        let entry = Entry::new(Kind::ConfigChange, &*outcome.trigger, "configuration")
            .outcome(went)
            .detail("generation", outcome.generation.0)
            .detail("problems", problems);
        self.write_down(entry);
    }

    fn write_down(&mut self, entry: Entry) {
        self.backlog.push_back(entry);
        self.hand_over();
        while self.waiting() >= BACKLOG && self.rest() {
            self.hand_over();
        }
    }

    fn returned(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Entries that are in no chain and no spool, as far as is known.
    fn waiting(&self) -> usize {
        self.backlog.len().saturating_add(self.returned().len())
    }

    /// Entries that came back are tried again, before those that came later.
    fn take_back(&mut self) {
        if self.again.elapsed() < AGAIN {
            return;
        }
        self.again = Instant::now();
        let returned = std::mem::take(&mut *self.returned());
        for entry in returned.into_iter().rev() {
            self.backlog.push_front(entry);
        }
    }

    /// Hands entries to the trail until it is full.
    fn hand_over(&mut self) {
        self.take_back();
        while let Some(entry) = self.backlog.pop_front() {
            let (copy, returned) = (entry.clone(), Arc::clone(&self.returned));
            match self.trail.try_append(entry) {
                Ok(pending) => drop(self.runtime.spawn(async move {
                    if let Err(error) = pending.await {
                        tracing::error!(%error, "an entry of the audit trail is not written yet");
                        returned.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
                    }
                })),
                Err(entry) => return self.backlog.push_front(*entry),
            }
        }
    }
}

impl Reader for Keeper {
    fn read(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::Request(record) => self.request(record, told.record()),
            Event::Reload(outcome) => self.reload(outcome),
            Event::Alarm(alarm) => self.alarm(alarm),
            Event::Content(kept) => self.content(kept),
            // Kept by who rules on it.
            Event::ToolHeld(_) => {}
        }
    }

    fn flush(&mut self) {
        self.hand_over();
    }
}

impl Drop for Keeper {
    /// The last entries: the trail's writer still runs, so there is room soon, or never.
    fn drop(&mut self) {
        for _ in 0..LAST_TRIES {
            self.hand_over();
            if self.waiting() == 0 {
                return;
            }
            std::thread::sleep(REST);
        }
        tracing::error!(entries = self.waiting(), "entries of the audit trail were not written");
    }
}

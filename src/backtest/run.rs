//! The store read page after page, each page judged by all threads and added up in order, the figures saved on the way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use serde::Deserialize;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::compare::{Against, Compared, Outcome};
use super::figures::About;
use super::judge::{Fired, Judge, Side};
use super::terms::{Terms, Treated};
use super::texts::{Texts, Unread};
use crate::store::contents::Body;
use crate::store::{Content, ContentMode, Database, StoreError, StoredRange, StoredRequest, Vault};
use crate::types::{self, Decision, Privacy, Verdict};

/// Bytes of texts in memory at once, about: of the page that is judged and the one that is read.
const PAGES: u64 = 64 << 20;

/// Requests of a page.
const ROWS: (u64, u64) = (16, 512);

/// Judges stored requests, one by one, from any thread.
#[derive(Debug)]
pub struct Runner {
    before: Option<Judge>,
    after: Judge,
    terms: Terms,
    vault: Vault,
    compared: Option<Cache<[u8; 32], Arc<Compared>>>,
    sides: Option<Cache<[u8; 32], Arc<Side>>>,
}

/// How it is run.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where it begins.
    pub start: Checkpoint,
    /// Where its checkpoints go; `None`: nowhere.
    pub file: Option<PathBuf>,
    /// How often one is written.
    pub every: Duration,
    /// Threads that judge.
    pub threads: usize,
    /// The most bytes that are kept of a prompt.
    pub max_content: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Requests read, those before the checkpoint included.
    pub read: u64,
    /// Of so many, where that is known.
    pub total: Option<u64>,
    /// Read in this run, a second.
    pub rate: f64,
    /// Whether it is done.
    pub done: bool,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything was read.
    Done,
    /// It was told to stop; a checkpoint was written.
    Stopped,
}

/// Why it could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A thread ended in the middle of its work.
    #[error("a thread ended in the middle of its work")]
    Thread,
}

impl Runner {
    /// Compares what the rules of `before` (absent: the record) and of `after` come to; so many results are remembered.
    pub fn new(before: Option<Judge>, after: Judge, terms: Terms, vault: Vault, remembered: u64) -> Self {
        let recorded = before.is_none();
        Self {
            compared: (remembered > 0 && !recorded).then(|| Cache::new(remembered)),
            sides: (remembered > 0 && recorded).then(|| Cache::new(remembered)),
            before,
            after,
            terms,
            vault,
        }
    }

    /// What it is compared with.
    pub const fn against(&self) -> Against {
        if self.before.is_some() { Against::Configured } else { Against::Recorded }
    }

    /// What opens stored texts.
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// What comes of one request.
    pub fn outcome(&self, stored: &StoredRequest) -> (About, Outcome) {
        let treated = self.terms.of_request(stored);
        let mut about = About {
            privacy: stored.prompt.as_ref().map_or(treated.privacy, privacy_of),
            masked: false,
            cut: false,
            guessed: false,
            policy_gone: treated.policy_gone,
        };
        let Some(content) = &stored.prompt else { return (about, without_prompt(stored)) };
        let texts = match Texts::of(content, &self.vault) {
            Ok(texts) => texts,
            Err(unread @ (Unread::Hash | Unread::Sealed | Unread::Damaged)) => return (about, Outcome::Unread(unread)),
        };
        (about.masked, about.cut, about.guessed) = (texts.masked, texts.cut, texts.guessed);
        let judged = catch_unwind(AssertUnwindSafe(|| self.compare(stored, content, &texts, &treated)));
        (about, judged.map_or(Outcome::Failed, Outcome::Compared))
    }

    fn compare(&self, stored: &StoredRequest, content: &Content, texts: &Texts, treated: &Treated) -> Arc<Compared> {
        let key = || key(content, texts, treated);
        let Some(before) = &self.before else {
            let judge = || Arc::new(self.after.judge(texts, treated));
            let after = self.sides.as_ref().map_or_else(judge, |sides| sides.get_with(key(), judge));
            return Arc::new(Compared::with_recorded(&recorded(stored), &after));
        };
        let judge = || Arc::new(Compared::of(&before.judge(texts, treated), &self.after.judge(texts, treated)));
        self.compared.as_ref().map_or_else(judge, |known| known.get_with(key(), judge))
    }

    /// What comes of each request of a page, in its order.
    fn page(&self, page: &[StoredRequest], threads: usize) -> Vec<(About, Outcome)> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut own = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(stored) = page.get(at) else { return own };
                own.push((at, self.outcome(stored)));
            }
        };
        let mut all: Vec<(usize, (About, Outcome))> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.clamp(1, page.len().max(1))).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        });
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Runs to the end, or until `stop` is set. `told` hears of every page.
    ///
    /// # Errors
    /// The store or the checkpoint failed. What was done until then is in the last checkpoint.
    pub async fn run(
        self: &Arc<Self>,
        database: &Database,
        job: Job,
        stop: &AtomicBool,
        mut told: impl FnMut(Progress) + Send,
    ) -> Result<(Ended, Checkpoint), Failure> {
        let Job { start: mut at, file, every, threads, max_content } = job;
        let save = |at: &Checkpoint| file.as_ref().map_or(Ok(()), |file| at.save(file));
        let limit = at.asked.limit.unwrap_or(u64::MAX);
        if at.total.is_none() {
            // It is for the progress alone.
            at.total = database.stored_count(at.from, at.until).await.ok().map(|total| total.min(limit));
        }
        save(&at)?;
        let rows = PAGES.checked_div(max_content.max(1)).unwrap_or(ROWS.0).clamp(ROWS.0, ROWS.1);
        let (began, began_at, mut saved) = (Instant::now(), at.figures.read, Instant::now());
        let progress = |at: &Checkpoint, done: bool| {
            let own = at.figures.read.saturating_sub(began_at);
            let rate = own as f64 / began.elapsed().as_secs_f64().max(0.001);
            Progress { read: at.figures.read, total: at.total, rate, done }
        };
        let read = |after: Option<(i64, String)>, read: u64| {
            let records = self.against() == Against::Recorded;
            let range = StoredRange { from: at.from, until: at.until, after, records };
            let rows = u32::try_from(rows.min(limit.saturating_sub(read))).unwrap_or(u32::MAX);
            let database = database.clone();
            tokio::spawn(async move { database.stored_page(&range, rows).await })
        };
        let mut reading = read(at.after.clone(), at.figures.read);
        let ended = loop {
            let page = match reading.await {
                Ok(Ok(page)) => page,
                failed => {
                    save(&at)?;
                    return Err(
                        failed.map_or(Failure::Thread, |page| page.err().map_or(Failure::Thread, Failure::Store))
                    );
                }
            };
            let Some(last) = page.last().map(|last| (last.time, last.id.clone())) else { break Ended::Done };
            let after_page = at.figures.read.saturating_add(page.len() as u64);
            // Read while this one is judged.
            reading = read(Some(last.clone()), after_page);
            let judge = Arc::clone(self);
            let judged = tokio::task::spawn_blocking(move || {
                let outcomes = judge.page(&page, threads);
                (page, outcomes)
            });
            let (page, outcomes) = judged.await.map_err(|_| Failure::Thread)?;
            if outcomes.len() != page.len() {
                return Err(Failure::Thread);
            }
            for (stored, (about, outcome)) in page.iter().zip(&outcomes) {
                at.figures.add(stored, about, outcome, at.asked.samples);
            }
            at.after = Some(last);
            told(progress(&at, false));
            if stop.load(Ordering::Relaxed) {
                break Ended::Stopped;
            }
            if saved.elapsed() >= every {
                save(&at)?;
                saved = Instant::now();
            }
        };
        save(&at)?;
        told(progress(&at, ended == Ended::Done));
        Ok((ended, at))
    }
}

const fn privacy_of(content: &Content) -> Privacy {
    match content.mode {
        ContentMode::Full => Privacy::Full,
        ContentMode::Masked => Privacy::Masked,
        ContentMode::Hash => Privacy::HashOnly,
    }
}

/// Why a request has no text.
fn without_prompt(stored: &StoredRequest) -> Outcome {
    if stored.outcome == types::Outcome::Refused.name() {
        Outcome::NeverInspected
    } else if matches!(stored.method.as_str(), "GET" | "HEAD" | "DELETE") {
        Outcome::NoPrompt
    } else {
        Outcome::NotStored
    }
}

/// What the record says: the decision on the prompt as it was enforced.
fn recorded(stored: &StoredRequest) -> Side {
    #[derive(Deserialize)]
    struct Recorded {
        input: Option<Verdict>,
    }
    let record = stored.record.as_deref().and_then(|record| serde_json::from_str::<Recorded>(record).ok());
    let verdict = record.and_then(|record| record.input);
    let enforced = Decision::ALL.into_iter().find(|one| one.name() == stored.decision).unwrap_or(Decision::Allow);
    let decision = if stored.outcome == types::Outcome::PromptBlocked.name() {
        Decision::Block
    } else {
        // A block that was not carried out was a flag; the enforced decision is that of prompt and answer together.
        let own = verdict.as_ref().map_or(Decision::Allow, |verdict| verdict.decision).min(enforced);
        if own == Decision::Block { Decision::Flag } else { own }
    };
    let mut fired: Vec<Fired> = Vec::new();
    for finding in verdict.map(|verdict| verdict.findings).unwrap_or_default() {
        if !fired.iter().any(|known| known.rule == finding.rule.0) {
            let (score, action, place) = (finding.score, finding.action, finding.evidence);
            fired.push(Fired { rule: finding.rule.0, score, action, place });
        }
    }
    Side { decision, fired }
}

/// The same for the same texts in the same roles under the same treatment.
fn key(content: &Content, texts: &Texts, treated: &Treated) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&treated.number.to_le_bytes());
    match (&content.body, &content.layout) {
        (Body::Plain(page), Some(layout)) => {
            hasher.update(&(layout.len() as u64).to_le_bytes());
            hasher.update(layout.as_bytes());
            hasher.update(page.as_bytes());
        }
        _ => {
            for (span, role, text) in texts.iter() {
                hasher.update(&span.0.to_le_bytes());
                hasher.update(&[role as u8]);
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
    }
    *hasher.finalize().as_bytes()
}

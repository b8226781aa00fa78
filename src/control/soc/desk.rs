//! From events to alerts: the reader of events makes drafts; one task folds them, looks what belongs together, writes and
//! publishes.
//!
//! While a batch is being written the next one gathers, so a storm costs a transaction per batch and not per alert. What is
//! folded into an alert that waits to be written replaces it there: while the database is away, what waits is as much as there
//! are different alerts, and at `Options::waiting` of these the reader of events waits too. Nothing is dropped.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Left};
use super::feed::Feed;
use super::hub::{Hub, News, Subscription};
use crate::config::soc_files::{SocFiles, SocFilesNow};
use crate::control::events::{Reader, Told};
use crate::soc::{CorrelateOptions, Correlator, Draft, FoldOptions, Folds, draft};
use crate::store::soc::IncidentFilter;
use crate::store::{StoreError, now};
use crate::types::soc::{Alert, AlertState, Analysis, FeedEntry, FeedKind, Incident, IncidentState, ToolHold};
use crate::types::{Event, Severity};

/// How long the reader of events rests while the task is full.
const REST: Duration = Duration::from_millis(2);

/// After how long a store that did not answer is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// How often what waits is tried to be written at the end.
const LAST_TRIES: u32 = 4;

/// Jobs taken before the next look at everything else.
const AT_ONCE: usize = 256;

/// Alerts and incidents remembered after a start, each at most.
const RECALLED: u32 = 10_000;

/// What a threat's id means, for people.
pub type Titles = Arc<dyn Fn(&str) -> Option<Arc<str>> + Send + Sync>;

/// How alerts are made.
#[derive(Debug, Clone, Copy)]
pub struct DeskOptions {
    /// Drafts that may wait for the task.
    pub queue: usize,
    /// Different alerts that may wait to be written.
    pub waiting: usize,
    /// Alerts of so long ago are remembered after a start, in microseconds.
    pub recall: i64,
    /// Incidents at least this bad are analysed by themselves.
    pub analyse: Severity,
}

/// What the task is given.
#[derive(Debug)]
enum Job {
    Draft(Box<Draft>),
    Held(Box<ToolHold>),
}

/// Hands events that are alerts to the task.
pub struct Desk {
    files: SocFilesNow,
    titles: Titles,
    jobs: mpsc::Sender<Job>,
    ending: Arc<AtomicBool>,
}

/// Where others hand in alerts: what outside systems send. Clones are the same.
#[derive(Clone)]
pub struct Intake(mpsc::Sender<Job>);

/// The task.
pub struct Watch {
    jobs: mpsc::Receiver<Job>,
    /// Those that the correlator goes by.
    known: Arc<SocFiles>,
    files: SocFilesNow,
    folds: Folds,
    correlator: Correlator,
    batch: Batch,
    feed: Feed,
    options: DeskOptions,
}

/// A desk and the task behind it. When `ending` is set the desk waits for nothing any more.
pub fn desk(
    files: SocFilesNow,
    titles: Titles,
    (folds, correlate): (FoldOptions, CorrelateOptions),
    feed: Feed,
    options: DeskOptions,
    ending: Arc<AtomicBool>,
) -> (Desk, Intake, Watch) {
    let (sender, jobs) = mpsc::channel(options.queue.max(1));
    let known = files();
    let (folds, correlator) = (Folds::new(folds), Correlator::new(known.incidents.clone(), correlate));
    let desk = Desk { files: Arc::clone(&files), titles, jobs: sender.clone(), ending };
    let watch = Watch { jobs, known, files, folds, correlator, batch: Batch::default(), feed, options };
    (desk, Intake(sender), watch)
}

impl Desk {
    fn hand_over(&self, mut job: Job) {
        loop {
            job = match self.jobs.try_send(job) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(job)) => job,
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    return tracing::error!("an alert was not made: its task is gone");
                }
            };
            if self.ending.load(Ordering::Relaxed) {
                return tracing::error!("an alert was not made: the gateway is ending");
            }
            std::thread::sleep(REST);
        }
    }
}

impl Reader for Desk {
    fn read(&mut self, told: &Told<'_>) {
        if let Event::ToolHeld(hold) = told.event() {
            self.hand_over(Job::Held(hold.clone()));
        }
        if let Some(draft) = draft(told.event(), &(self.files)().alerts, &*self.titles) {
            self.hand_over(Job::Draft(Box::new(draft)));
        }
    }
}

impl Intake {
    /// Hands in drafts, all or none: none where there is no room for all. Whether they were taken.
    pub fn offer(&self, drafts: Vec<Draft>) -> bool {
        let Ok(places) = self.0.try_reserve_many(drafts.len()) else { return false };
        for (place, draft) in places.zip(drafts) {
            place.send(Job::Draft(Box::new(draft)));
        }
        true
    }
}

/// A write under way.
type Writing = JoinHandle<(Left, Result<(), StoreError>)>;

/// What a write left, once it has ended; never while there is none.
async fn written(writing: &mut Option<Writing>) -> (Left, Result<(), StoreError>) {
    let Some(task) = writing else { return pending().await };
    let ended = task.await;
    *writing = None;
    ended.unwrap_or_else(|error| (Left::default(), Err(StoreError::Unavailable(error.to_string()))))
}

impl Watch {
    /// Works until every desk is gone, or `stop`; then writes what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let hub = self.feed.hub().clone();
        let mut watching = hub.subscribe(None).ok();
        if !self.recall(&stop).await {
            return;
        }
        let mut writing: Option<Writing> = None;
        let mut not_before = tokio::time::Instant::now();
        let mut away = false;
        loop {
            if writing.is_none() && !self.batch.is_empty() && tokio::time::Instant::now() >= not_before {
                writing =
                    Some(tokio::spawn(std::mem::take(&mut self.batch).write(self.feed.clone(), self.options.analyse)));
            }
            let (room, waits) = (self.batch.len() < self.options.waiting, writing.is_none() && !self.batch.is_empty());
            tokio::select! {
                (left, outcome) = written(&mut writing) => {
                    self.take_back(left);
                    if let Err(error) = &outcome {
                        not_before = tokio::time::Instant::now() + AGAIN;
                        if !away {
                            tracing::error!(%error, "alerts cannot be written: they wait");
                        }
                    }
                    away = outcome.is_err();
                }
                job = self.jobs.recv(), if room => match job {
                    Some(job) => self.take_some(job),
                    None => break,
                },
                news = next(&mut watching, &hub) => self.heed(&news),
                () = tokio::time::sleep_until(not_before), if waits => {}
                () = stop.cancelled() => break,
            }
        }
        self.end(writing).await;
    }

    /// What was handed in so far is written, if the store answers.
    async fn end(mut self, mut writing: Option<Writing>) {
        if writing.is_some() {
            let (left, _) = written(&mut writing).await;
            self.take_back(left);
        }
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            self.take(job);
        }
        for _ in 0..LAST_TRIES {
            if self.batch.is_empty() {
                return;
            }
            let (left, outcome) = std::mem::take(&mut self.batch).write(self.feed.clone(), self.options.analyse).await;
            self.take_back(left);
            if outcome.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
        }
        tracing::error!(alerts = self.batch.len(), "alerts were not written");
    }

    /// Remembers what the store knows. Waits for a store that is away; `false` when told to stop meanwhile.
    async fn recall(&mut self, stop: &CancellationToken) -> bool {
        loop {
            match self.remembered().await {
                Ok(()) => return true,
                Err(error) => tracing::warn!(%error, "alerts of before cannot be read: they are waited for"),
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    async fn remembered(&mut self) -> Result<(), StoreError> {
        let database = self.feed.database();
        let open = IncidentFilter { open: true, ..IncidentFilter::default() };
        let incidents = database.incidents(&open, RECALLED).await?;
        let alerts = database.recent_alerts(now().saturating_sub(self.options.recall), RECALLED).await?;
        for incident in &incidents {
            self.correlator.opened(&incident.rule, &incident.about);
            // Whoever raised it may have ended before it was handed to the analyst.
            if incident.severity >= self.options.analyse {
                database.begin_analysis(&Analysis::of(&incident.id, now())).await?;
            }
        }
        for alert in alerts.iter().filter(|alert| alert.state != AlertState::Closed && alert.merged_into.is_none()) {
            self.folds.resume(alert);
        }
        let raised = self.correlator.replay(&alerts);
        self.batch.raise(raised);
        Ok(())
    }

    fn take_some(&mut self, job: Job) {
        self.take(job);
        for _ in 0..AT_ONCE {
            if self.batch.len() >= self.options.waiting {
                return;
            }
            let Ok(job) = self.jobs.try_recv() else { return };
            self.take(job);
        }
    }

    fn take(&mut self, job: Job) {
        let files = (self.files)();
        if !Arc::ptr_eq(&files, &self.known) {
            self.correlator.adopt(files.incidents.clone());
            self.known = files;
        }
        match job {
            Job::Held(hold) => self.batch.hold(*hold),
            Job::Draft(draft) => {
                let now = now();
                let id = || format!("alt_{}", uuid::Uuid::now_v7().simple()).into();
                let folded = self.folds.take(*draft, now, id);
                let raised = self.correlator.take(folded.alert(), now);
                self.batch.alert(folded);
                self.batch.raise(raised);
            }
        }
    }

    fn take_back(&mut self, left: Left) {
        for (rule, about) in left.gone {
            self.correlator.closed(&rule, &about);
        }
        self.batch.put_back(left.batch);
    }

    /// People closed something: what comes now is new.
    fn heed(&mut self, news: &News) {
        let News::Entry(entry) = news else { return };
        match entry.kind {
            FeedKind::Alert => self.heed_alert(entry),
            FeedKind::Incident => self.heed_incident(entry),
            FeedKind::Plan
            | FeedKind::Remedy
            | FeedKind::ToolHold
            | FeedKind::Monitoring
            | FeedKind::Report
            | FeedKind::Proposal => {}
        }
    }

    fn heed_alert(&mut self, entry: &FeedEntry) {
        if entry.body.get("state").and_then(|state| state.as_str()) == Some(AlertState::Closed.name())
            && let Ok(alert) = serde_json::from_value::<Alert>(entry.body.clone())
        {
            self.folds.forget(&alert);
        }
    }

    fn heed_incident(&mut self, entry: &FeedEntry) {
        if entry.body.get("state").and_then(|state| state.as_str()) == Some(IncidentState::Closed.name())
            && let Ok(incident) = serde_json::from_value::<Incident>(entry.body.clone())
        {
            self.correlator.closed(&incident.rule, &incident.about);
        }
    }
}

/// What is new; never, where nothing can be watched. What was missed is not looked for: it only spares a second incident.
async fn next(watching: &mut Option<Subscription>, hub: &Hub) -> News {
    let Some(subscription) = watching else { return pending().await };
    let news = subscription.next().await;
    match &news {
        News::Behind { after } => subscription.caught_up(hub.last().unwrap_or(*after)),
        News::Closed => *watching = None,
        News::Entry(_) => {}
    }
    news
}

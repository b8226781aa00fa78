//! Reloads: by signal, by request and by watching, one at a time. A bad configuration changes nothing.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::load::{Loaded, Look, Source};
use super::problem::Problem;
use super::read::{Fingerprint, Watched};
use super::snapshot::Handle;
use super::watch::Watch;
use crate::telemetry::Events;
use crate::types::{Event, ReloadOutcome};

/// Requests waiting for a reload; all of them are answered by the same one.
const REQUESTS: usize = 64;

/// Files that never come to rest are looked at after this many times the debounce.
const PATIENCE: u32 = 10;

/// Asks for reloads.
#[derive(Debug, Clone)]
pub struct Reloader {
    requests: mpsc::Sender<oneshot::Sender<ReloadOutcome>>,
    handle: Arc<Handle>,
}

impl Reloader {
    /// The front to ask with, and the task that does the work. `loaded` is what `handle` serves.
    pub fn new(handle: Arc<Handle>, loaded: &Loaded, events: Events) -> (Self, ReloadTask) {
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let task = ReloadTask {
            handle: Arc::clone(&handle),
            source: loaded.source.clone(),
            seen: loaded.fingerprint,
            watched: loaded.watched.clone(),
            events,
            requests: receiver,
        };
        (Self { requests, handle }, task)
    }

    /// Reloads, and says how that went. Requests that come while a reload runs share the next one.
    pub async fn request(&self) -> ReloadOutcome {
        let (reply, outcome) = oneshot::channel();
        if self.requests.send(reply).await.is_ok()
            && let Ok(outcome) = outcome.await
        {
            return outcome;
        }
        ReloadOutcome {
            trigger: "api".into(),
            generation: self.handle.load().generation,
            problems: vec!["the gateway is shutting down".to_owned()],
            warnings: Vec::new(),
        }
    }
}

/// Does the reloads, until it is told to stop.
#[derive(Debug)]
pub struct ReloadTask {
    handle: Arc<Handle>,
    source: Source,
    /// What was looked at last, good or bad: a bad file is reported once, not at every poll.
    seen: Fingerprint,
    watched: Watched,
    events: Events,
    requests: mpsc::Receiver<oneshot::Sender<ReloadOutcome>>,
}

/// What woke the task.
enum Wake {
    Stop,
    Signal,
    Request(oneshot::Sender<ReloadOutcome>),
    Hint,
    Poll,
}

impl ReloadTask {
    /// Reloads on SIGHUP, on `Reloader::request`, and when watched files change, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => Some(hangups),
            Err(error) => {
                tracing::warn!(%error, "SIGHUP cannot be received; reload by request or by changing a file");
                None
            }
        };
        let (hints, mut hinted) = mpsc::channel(1);
        let mut watch = self.start_watch(&hints);
        let mut looked = Instant::now();
        loop {
            let settings = self.handle.load_full();
            let reload = &settings.settings.reload;
            let poll = (reload.watch && !reload.poll.is_zero()).then(|| looked + reload.poll.get());
            let wake = tokio::select! {
                () = stop.cancelled() => Wake::Stop,
                () = hangup(hangups.as_mut()) => Wake::Signal,
                Some(reply) = self.requests.recv() => Wake::Request(reply),
                Some(()) = hinted.recv() => Wake::Hint,
                () = until(poll) => Wake::Poll,
            };
            match wake {
                Wake::Stop => return,
                Wake::Signal => drop(self.reload("signal", true).await),
                Wake::Request(reply) => self.answer(reply).await,
                Wake::Hint => {
                    settle(&mut hinted, reload.debounce.get()).await;
                    drop(self.reload("watch", false).await);
                }
                Wake::Poll => drop(self.reload("watch", false).await),
            }
            looked = Instant::now();
            match (&mut watch, self.handle.load().settings.reload.watch) {
                (Some(watch), true) => watch.follow(&self.watched),
                (None, true) => watch = self.start_watch(&hints),
                (_, false) => watch = None,
            }
        }
    }

    async fn answer(&mut self, first: oneshot::Sender<ReloadOutcome>) {
        let mut waiting = vec![first];
        while let Ok(reply) = self.requests.try_recv() {
            waiting.push(reply);
        }
        let Some(outcome) = self.reload("api", true).await else { return };
        for reply in waiting {
            // Whoever asked may have left.
            if reply.send(outcome.clone()).is_err() {
                tracing::debug!("nobody waits for the reload's outcome any more");
            }
        }
    }

    /// Looks, prepares, publishes. Unless `asked` for, nothing happens when nothing changed.
    async fn reload(&mut self, trigger: &str, asked: bool) -> Option<ReloadOutcome> {
        let source = self.source.clone();
        let handle = Arc::clone(&self.handle);
        let seen = self.seen;
        // Reading and compiling block; only this task publishes, so what was prepared against stays current.
        let work = tokio::task::spawn_blocking(move || {
            let Look { result, fingerprint, watched } = source.look();
            if !asked && fingerprint == seen {
                return None;
            }
            let prepared = result.and_then(|loaded| Ok((handle.prepare(&loaded)?, loaded)));
            Some((prepared, fingerprint, watched))
        });
        let (prepared, fingerprint, watched) = match work.await {
            Ok(None) => return None,
            Ok(Some(done)) => done,
            Err(error) => {
                let problem = Problem::of_file(self.source.name(), format!("could not be prepared: {error}"));
                (Err(vec![problem]), self.seen, self.watched.clone())
            }
        };
        (self.seen, self.watched) = (fingerprint, watched);
        let mut outcome = ReloadOutcome {
            trigger: trigger.into(),
            generation: self.handle.load().generation,
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        match prepared {
            Ok((prepared, loaded)) => {
                self.source = loaded.source;
                outcome.warnings = loaded.warnings.iter().chain(&prepared.warnings).map(ToString::to_string).collect();
                outcome.generation = self.handle.publish(prepared);
            }
            Err(problems) => outcome.problems = problems.iter().map(ToString::to_string).collect(),
        }
        self.tell(&outcome);
        Some(outcome)
    }

    /// Problems are logged by who reads the events.
    fn tell(&self, outcome: &ReloadOutcome) {
        for warning in &outcome.warnings {
            tracing::warn!(trigger = %outcome.trigger, warning, "configuration loaded with a warning");
        }
        self.events.send(Event::Reload(outcome.clone()));
    }

    fn start_watch(&self, hints: &mpsc::Sender<()>) -> Option<Watch> {
        if !self.handle.load().settings.reload.watch {
            return None;
        }
        match Watch::new(&self.watched, hints.clone()) {
            Ok(watch) => {
                // What changed before the watch began is found by looking once. A full queue holds a hint already.
                if hints.try_send(()).is_err() {
                    tracing::trace!("a change is waiting to be looked at already");
                }
                Some(watch)
            }
            Err(error) => {
                tracing::warn!(%error, "files cannot be watched; changes are found by polling");
                None
            }
        }
    }
}

async fn hangup(signals: Option<&mut Signal>) {
    let received = match signals {
        Some(signals) => signals.recv().await,
        None => None,
    };
    if received.is_none() {
        future::pending::<()>().await;
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => future::pending().await,
    }
}

/// Waits until the files have been quiet for `debounce`, but not for ever: a log written beside them never rests.
async fn settle(hints: &mut mpsc::Receiver<()>, debounce: Duration) {
    let latest = Instant::now() + debounce.saturating_mul(PATIENCE);
    loop {
        let quiet = (Instant::now() + debounce).min(latest);
        match timeout_at(quiet, hints.recv()).await {
            Ok(Some(())) if Instant::now() < latest => {}
            Ok(_) | Err(_) => return,
        }
    }
}

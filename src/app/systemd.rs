//! What systemd is told: that the gateway is ready, reloads, stops, and is alive. Without `NOTIFY_SOCKET` nobody listens.

use std::convert::Infallible;
use std::ffi::OsString;
use std::future;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Reloader;
use crate::control::{Reader, Told};
use crate::types::{Event, ReloadOutcome};

/// How long the outcome of a reload is waited for. Two signals that came close together are one reload: then there is
/// none, and one is asked for.
const OUTCOME: Duration = Duration::from_secs(10);

/// How often the workers are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The pings of the watchdog, while the gateway is well.
#[derive(Clone)]
pub(super) struct Watchdog(Arc<AtomicBool>);

/// Tells of reloads that a signal asked for.
pub(super) struct Reloads(watch::Sender<Arc<str>>);

impl Reader for Reloads {
    fn read(&mut self, told: &Told<'_>) {
        if let Event::Reload(outcome) = told.event()
            && &*outcome.trigger == "signal"
        {
            self.0.send_replace(described(outcome));
        }
    }
}

/// In a line, for `systemctl status`; the log has the problems.
fn described(outcome: &ReloadOutcome) -> Arc<str> {
    let generation = outcome.generation.0;
    if outcome.problems.is_empty() {
        Arc::from(format!("serving, configuration {generation}"))
    } else {
        let problems = outcome.problems.len();
        Arc::from(format!("serving, configuration {generation}; the last reload was rejected ({problems} problems)"))
    }
}

/// The reader of events, and what tells systemd of reloads.
pub(super) fn reloads() -> (Reloads, Follower) {
    let (sender, outcomes) = watch::channel(Arc::from("serving"));
    // Heard from here on, although nobody is told before READY=1: a SIGHUP meanwhile is not lost.
    let hangups = signal(SignalKind::hangup()).ok().filter(|_| socket().is_some());
    (Reloads(sender), Follower { outcomes, hangups })
}

/// Where systemd listens, if it does: a path, or a name in the abstract namespace after `@`.
fn socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())
}

fn tell(states: &[NotifyState<'_>]) {
    let Some(socket) = socket() else { return };
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&socket),
    };
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// Tells systemd of reloads.
pub(super) struct Follower {
    outcomes: watch::Receiver<Arc<str>>,
    hangups: Option<Signal>,
}

impl Follower {
    /// The gateway serves: says so, and from now on that it is alive and when it reloads, until `stop`.
    pub(super) fn ready(self, reloader: Reloader, stop: &CancellationToken) -> Watchdog {
        let well = Watchdog(Arc::new(AtomicBool::new(true)));
        tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
        if let Some(limit) = sd_notify::watchdog_enabled() {
            // Until the process ends: a drain may take longer than the watchdog's patience.
            tokio::spawn(well.clone().ping(limit / 2));
        }
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(self.follow(reloader)).await });
        well
    }

    async fn follow(mut self, reloader: Reloader) {
        let Some(mut hangups) = self.hangups else { return };
        while hangups.recv().await.is_some() {
            match NotifyState::monotonic_usec_now() {
                Ok(now) => tell(&[NotifyState::Reloading, now]),
                Err(error) => tracing::warn!(%error, "the monotonic clock cannot be read"),
            }
            let status = match tokio::time::timeout(OUTCOME, self.outcomes.changed()).await {
                Ok(Ok(())) => Arc::clone(&self.outcomes.borrow_and_update()),
                Ok(Err(_)) | Err(_) => described(&reloader.request().await),
            };
            tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        }
    }
}

impl Watchdog {
    /// Watches the workers. One that ended is something that only a restart mends: no more pings.
    pub(super) async fn look_after(&self, workers: &[JoinHandle<()>]) -> Infallible {
        while !workers.iter().any(JoinHandle::is_finished) {
            tokio::time::sleep(LOOK).await;
        }
        tracing::error!("a worker has ended: restart the gateway");
        self.0.store(false, Ordering::Relaxed);
        future::pending().await
    }

    async fn ping(self, every: Duration) {
        let mut ticks = tokio::time::interval(every.max(Duration::from_millis(10)));
        while self.0.load(Ordering::Relaxed) {
            ticks.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// The gateway drains and ends, which may take so long.
pub(super) fn stopping(drain: Duration) {
    let more = u32::try_from(drain.as_micros()).unwrap_or(u32::MAX);
    let status = format!("draining for at most {} s", drain.as_secs());
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(more), NotifyState::Status(&status)]);
}

//! Builds every room once, wires the two doors, drains on shutdown.

mod backing;
mod certificates;
mod doors;
mod effective;
mod error;
mod export;
mod fleet;
mod guest;
mod learn;
mod readers;
mod reports;
pub mod scan;
mod side;
mod soc;
mod spent;
mod standing;
mod systemd;
mod trying;
mod watch;
mod welcome;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::settings::Settings;
use crate::config::{self, Environment, Handle, Loaded, Reloader};
use crate::control::audit;
use crate::control::report::ReportDesk;
use crate::control::{EventLoop, Follower, Health, Reader};
use crate::proxy::listen::{self, Shutdown, TlsState};
use crate::proxy::upstream::TlsConfigs;
use crate::proxy::{Callers, Counting, Gate, History, Holds, PromptCache, Proxy, Recorder, Shared, VerdictCache};
use crate::store;
use crate::telemetry::{self, Events, Metrics};
use crate::types::Secret;
use backing::Backing;
use certificates::{tls_material, tls_state};
pub use error::Error;
pub use guest::{Client, Guest, Insides, Stay};
use readers::readers;
use standing::{Looked, telemetry_options};
use watch::{Watch, raise};
use welcome::{welcome, write_addresses};

/// How long the fleet may take to hear the last.
const LEAVE_FLEET: Duration = Duration::from_secs(2);

/// How long the last may take to be written once everything is drained.
const AFTER_DRAIN: Duration = Duration::from_secs(15);

/// How long workers have to drop what they do at a second signal.
const WORKERS_END: Duration = Duration::from_secs(1);

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what, source }
}

/// Where the store is and how it behaves, for commands that open it alone; `None` where there is none.
///
/// # Errors
/// An environment variable that is named and not set.
pub fn store_of(settings: &Settings) -> Result<(Option<Secret>, store::Options), Error> {
    Ok((backing::url(&settings.store)?, backing::options(&settings.store)?))
}

/// How the audit trail is kept.
pub fn trail_of(settings: &Settings) -> audit::Options {
    backing::trail(&settings.audit)
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// Anything that keeps it from starting.
pub fn serve(loaded: Loaded) -> Result<(), Error> {
    serve_with(loaded, None)
}

/// The same with a guest in the process; the gateway ends when the guest's stay is over.
///
/// # Errors
/// Anything that keeps it from starting, or the guest's own.
pub fn serve_with(loaded: Loaded, guest: Option<Guest>) -> Result<(), Error> {
    let mut telemetry = telemetry::init(&telemetry_options(&loaded.settings))?;
    let prepared = config::prepare(&loaded, None).map_err(Error::Config)?;
    for warning in loaded.warnings.iter().chain(&prepared.warnings) {
        tracing::warn!(%warning, "configuration");
    }
    let handle = Arc::new(Handle::new(prepared));
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io_error("cannot start the control side"))?;
    let backing = control.block_on(Backing::open(&loaded.settings))?;
    let gateway = control.block_on(Gateway::start(loaded, handle, backing, &telemetry))?;
    let ended = control.block_on(gateway.run(guest));
    // A collector that is away is no reason to end badly.
    if let Err(error) = telemetry.shutdown() {
        tracing::warn!(%error, "the last telemetry was not sent");
    }
    ended
}

/// Everything that runs.
struct Gateway {
    handle: Arc<Handle>,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    events: EventLoop,
    shutdown: Shutdown,
    tuning: listen::Tuning,
    tls: Option<Arc<TlsState>>,
    health: Arc<Health>,
    reloader: Reloader,
    stop: CancellationToken,
    ops: Option<tokio::net::TcpListener>,
    metrics: Metrics,
    source: String,
    environment: Environment,
    backing: Option<Backing>,
    follower: Option<Follower>,
    soc: Option<soc::Soc>,
    learning: Option<learn::Learning>,
    exports: Option<export::Exporting>,
    reports: Option<ReportDesk>,
    /// The task that writes alerts: ended after the reader of events.
    alerts: Option<soc::Last>,
    /// The reader of events waits for nobody any more.
    ending: Arc<AtomicBool>,
    systemd: systemd::Follower,
    started: Instant,
    /// How it reaches itself.
    own: trying::Own,
    /// For a guest, who sends events as the data path does. It does not keep the queue open.
    raised: telemetry::WeakEvents,
}

impl Gateway {
    async fn start(
        loaded: Loaded,
        handle: Arc<Handle>,
        backing: Option<Backing>,
        telemetry: &telemetry::Guard,
    ) -> Result<Self, Error> {
        let settings = Arc::clone(&loaded.settings);
        let metrics = telemetry.metrics();
        let bound = listen::bind(&settings)?;
        let ops = side::bind_ops(&settings)?;
        let tls = tls_state(&handle.load_full())?;

        let server = &settings.server;
        let (sender, queues) = Events::new(server.event_queue, server.event_reserve, metrics.clone());
        let ending = Arc::new(AtomicBool::new(false));
        let secret = side::secret(backing.as_ref()).await;
        let shared = Arc::new(Shared {
            recorder: Recorder::new(sender.clone(), metrics.clone()),
            gate: Gate::new(&settings.limits, metrics.clone()),
            cache: VerdictCache::new(settings.inspect.verdict_cache, random_key()),
            prompts: PromptCache::new(settings.inspect.prompt_cache.get(), random_key()),
            history: History::new(&settings.inspect.history),
            callers: Callers::new(&settings.identity, &secret),
            live: Arc::default(),
            holds: Holds::default(),
            counting: Arc::new(Counting::new(fleet::meter(&settings)?)),
            tls: Arc::new(TlsConfigs::default()),
        });
        let cache = Arc::clone(&shared);
        metrics.watch_verdict_cache(move || cache.cache.len());
        let history = Arc::clone(&shared);
        metrics.watch_history(move || history.history.len());
        let config = Arc::clone(&handle);
        metrics.watch_monitoring(move || config.load().monitoring_off(store::now()));

        let catch_up = async {
            match &backing {
                Some(backing) => Some(side::catch_up(backing, &handle, &shared).await),
                None => None,
            }
        };
        let (follower, ()) = tokio::join!(catch_up, side::warm_up(&handle, &shared));
        let soc = match (&backing, &follower) {
            (Some(backing), Some(follower)) => soc::build(&soc::From {
                settings: &settings,
                handle: &handle,
                backing,
                follower,
                metrics: &metrics,
                ending: &ending,
            })?,
            _ => None,
        };
        let (desk, soc) = soc.unzip();
        let learning = match &backing {
            Some(backing) => {
                let feed = soc.as_ref().map(soc::Soc::feed);
                let raise = raise(&sender);
                let from =
                    learn::From { settings: &settings, handle: &handle, backing, metrics: &metrics, feed, raise };
                learn::build(from).await?
            }
            None => None,
        };
        let (counter, learning) = learning.unzip();
        let exports = export::build(&settings, backing.as_ref(), &metrics)?;
        let reports = reports::desk(&handle, backing.as_ref())?;
        let mut readers = readers(&settings, telemetry, backing.as_ref(), &ending, raise(&sender));
        let (reloads_told, systemd) = systemd::reloads();
        readers.push(Box::new(reloads_told));
        readers.extend(desk.map(|desk| Box::new(desk) as Box<dyn Reader>));
        readers.extend(counter.map(|counter| Box::new(counter) as Box<dyn Reader>));
        let events = EventLoop::spawn(queues, readers, settings.record.flush_every.get())
            .map_err(io_error("cannot start the event readers"))?;
        let shutdown = Shutdown::new();
        let tuning = bound.tuning();
        let stop = CancellationToken::new();
        let raised = sender.downgrade();
        let (reloader, reloads) = Reloader::new(Arc::clone(&handle), &loaded, sender);
        // From here on a SIGHUP is heard, before anybody can know this process.
        tokio::spawn(reloads.run(stop.clone()));
        tokio::task::yield_now().await;
        write_addresses(&bound, &settings, ops.as_ref()).map_err(io_error("cannot write the addresses file"))?;
        welcome(&loaded, &bound);
        let (config, data) = (Arc::clone(&handle), Arc::clone(&shared));
        let own = trying::Own::of(&settings, &bound, Arc::clone(&handle));
        let make = move |_| Arc::new(Proxy::new(Arc::clone(&config), Arc::clone(&data)));
        let observer = Arc::new(Watch {
            handle: Arc::clone(&handle),
            recorder: shared.recorder.clone(),
            metrics: metrics.clone(),
        });
        let workers = bound.spawn_workers(make, tls.clone(), observer, &shutdown)?;
        let source = loaded.source.name();
        let environment = loaded.source.environment().clone();
        Ok(Self {
            handle,
            shared,
            workers,
            events,
            shutdown,
            tuning,
            tls,
            health: Arc::default(),
            reloader,
            stop,
            ops,
            metrics,
            source,
            environment,
            backing,
            follower,
            soc,
            learning,
            exports,
            reports,
            alerts: None,
            ending,
            systemd,
            started: Instant::now(),
            own,
            raised,
        })
    }

    /// Until a signal, then until everything is drained.
    async fn run(mut self, guest: Option<Guest>) -> Result<(), Error> {
        let mut terminate = signal(SignalKind::terminate()).map_err(io_error("cannot listen for SIGTERM"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(io_error("cannot listen for SIGINT"))?;
        let stop = self.stop.clone();
        self.keep_up(&stop);
        let admin = self.admin().await?;
        let insides = self.insides();
        self.serve_ops(admin, &stop);
        tokio::spawn(follow(
            Arc::clone(&self.handle),
            Arc::clone(&self.shared),
            self.tuning.clone(),
            self.tls.clone(),
            self.metrics.clone(),
        ));
        tokio::spawn(side::forget(Arc::clone(&self.handle), Arc::clone(&self.shared)));
        let looked = Looked {
            metrics: self.metrics.clone(),
            shared: Arc::clone(&self.shared),
            tls: self.tls.clone(),
            backing: self.backing.clone(),
        };
        tokio::spawn(looked.keep_looking(stop.clone()));
        self.metrics.rules_loaded(self.handle.load().rules.rules().len());
        self.health.set_started();
        let watchdog = self.systemd.ready(self.reloader.clone(), &stop);
        tracing::info!(configuration = %self.source, "ready");

        let mut stayed = Ok(());
        let stay = guest::stay(guest, insides);
        tokio::select! {
            ended = stay => {
                tracing::info!("the guest leaves: draining");
                stayed = ended.map_err(Error::Guest);
            }
            _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = interrupt.recv() => tracing::info!("interrupted: draining"),
            never = watchdog.look_after(&self.workers) => match never {},
        }
        self.health.set_draining();
        let server = self.handle.load().settings.server.clone();
        let delay = server.drain_delay.get();
        systemd::stopping(delay + server.drain_deadline.get() + AFTER_DRAIN);
        let shutdown = self.shutdown.clone();
        let again = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let workers = self.workers;
        let drained = async {
            drop(tokio::time::timeout(delay, shutdown.draining()).await);
            shutdown.drain();
            side::join(workers).await
        };
        tokio::pin!(drained);
        let ended = tokio::select! {
            all_well = &mut drained => Ok(all_well),
            () = again => {
                tracing::warn!("second signal: ending now");
                self.shutdown.now();
                // What the workers drop is still recorded.
                tokio::time::timeout(WORKERS_END, &mut drained).await
            }
        };
        match ended {
            Ok(true) => {}
            Ok(false) => tracing::error!("a worker panicked"),
            Err(_) => tracing::error!("a worker does not end: what it was doing is not recorded"),
        }
        stop.cancel();
        self.ending.store(true, Ordering::Relaxed);
        let events = self.events;
        tokio::task::spawn_blocking(move || events.finish())
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(io_error("events were lost"))?;
        if let Some(alerts) = self.alerts {
            alerts.end().await;
        }
        self.shared.counting.meter().close(LEAVE_FLEET).await;
        export::end(self.exports).await;
        if let Some(backing) = self.backing {
            backing.close().await;
        }
        tracing::info!("ended");
        stayed
    }
}

/// Follows publications: parts that are rebuilt rather than read per request.
async fn follow(
    handle: Arc<Handle>,
    shared: Arc<Shared>,
    tuning: listen::Tuning,
    tls: Option<Arc<TlsState>>,
    metrics: Metrics,
) {
    let mut published = handle.subscribe();
    while published.changed().await.is_ok() {
        let snapshot = handle.load_full();
        tuning.replace(&snapshot.settings);
        shared.cache.clear();
        // It may bring the first limit on tokens.
        drop(side::load_tokenizers(&snapshot));
        metrics.rules_loaded(snapshot.rules.rules().len());
        let Some(tls) = &tls else { continue };
        // The configuration was checked; what can still fail is the development certificate's folder.
        if let Err(error) = tls_material(&snapshot).and_then(|material| tls.replace(material)) {
            tracing::error!(%error, "the old certificate stays in force");
        }
    }
}

/// A key nobody outside knows, for hashes that must not be predictable: two random UUIDs are 244 random bits.
fn random_key() -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(uuid::Uuid::new_v4().as_bytes()).update(uuid::Uuid::new_v4().as_bytes());
    hasher.finalize().into()
}

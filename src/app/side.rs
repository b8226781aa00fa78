//! What runs beside the workers: keys and orders of the store, the admin API, the keys of token issuers, the sweeper.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::backing::Backing;
use super::doors::{self, Running};
use super::{Error, Gateway, fleet, random_key, reports, soc, spent, trying, welcome};
use crate::config::settings::Settings;
use crate::config::{self, Handle, Orders, Snapshot};
use crate::console::Console;
use crate::control::api::Api;
use crate::control::sync::CarryOut;
use crate::control::{Follower, Ops, jwks};
use crate::proxy::Shared;
use crate::quota::{FleetState, Plan, tokens};
use crate::store::{self, Database, State, StoreError};

/// How long the first request waits for the fleet's counters to be joined.
const JOIN_FLEET: Duration = Duration::from_secs(1);

/// How often what callers have used up long ago is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// How long something written may be on its way to the store, in microseconds.
const OVERLAP: i64 = 60_000_000;

/// How often a store that did not say what was spent is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// Keys and orders of the store put in force, and budgets where the ledger says: before the first request comes in.
pub(super) async fn catch_up(backing: &Backing, handle: &Arc<Handle>, shared: &Arc<Shared>) -> Follower {
    let live = Arc::clone(&shared.live);
    let carry_out: CarryOut = Arc::new(move |order| live.carry_out(order));
    let follower = Follower::new(backing.database.clone(), Arc::clone(handle), carry_out);
    if let Err(error) = follower.look().await {
        tracing::warn!(%error, "keys and orders cannot be read yet");
    }
    if let Err(error) = spent::preload(&backing.database, &handle.load_full(), shared.counting.meter()).await {
        tracing::warn!(%error, "what was spent cannot be read yet");
    }
    if let Err(error) = learn(&backing.database, shared, i64::MIN).await {
        tracing::warn!(%error, "owners of ids cannot be read yet");
    }
    follower
}

/// What the first requests would wait for otherwise: in a fleet its counters are joined, or found away, and where tokens
/// are counted the tokenizers are loaded.
pub(super) async fn warm_up(handle: &Handle, shared: &Shared) {
    let tables = load_tokenizers(&handle.load_full());
    if shared.counting.meter().ready(JOIN_FLEET).await == FleetState::Apart {
        tracing::warn!("the fleet's Redis does not answer: starting without it");
    }
    if let Some(tables) = tables
        && let Err(error) = tables.await
    {
        tracing::error!(%error, "the tokenizers could not be loaded");
    }
}

/// Loads the tokenizers where any limit or budget counts what they count, once and off the async threads.
pub(super) fn load_tokenizers(snapshot: &Snapshot) -> Option<JoinHandle<()>> {
    let own = snapshot.policies.iter().map(|policy| &policy.charges);
    let counts = std::iter::once(&*snapshot.charges).chain(own).any(Plan::counts_tokens);
    counts.then(|| tokio::task::spawn_blocking(tokens::load))
}

async fn learn(database: &Database, shared: &Arc<Shared>, since: i64) -> Result<(), StoreError> {
    for row in database.issued_since(since).await? {
        shared.callers.learn_owner(&row.hash, &row.owner);
    }
    Ok(())
}

/// Tells the meter what was spent until the store has said so, and again after each reload: it may bring new budgets.
async fn tell_spent(backing: Backing, handle: Arc<Handle>, shared: Arc<Shared>, stop: CancellationToken) {
    let mut published = handle.subscribe();
    loop {
        let told = spent::preload(&backing.database, &handle.load_full(), shared.counting.meter()).await;
        let again = async {
            match &told {
                Ok(()) => drop(published.changed().await),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = again => {}
        }
    }
}

impl Gateway {
    /// Keeps up with the store, with the other replicas and with token issuers, until `stop`.
    pub(super) fn keep_up(&mut self, stop: &CancellationToken) {
        self.alerts = self.soc.as_mut().and_then(|soc| soc.run(stop));
        if let Some(learning) = self.learning.as_mut() {
            learning.run(stop);
        }
        if let Some(exports) = self.exports.as_mut() {
            exports.run(stop);
        }
        tokio::spawn(jwks::keep_fresh(issuers(&self.handle), stop.clone()));
        let Some((backing, follower)) = self.backing.clone().zip(self.follower.clone()) else { return };
        if let Some(desk) = &self.reports {
            reports::schedule(desk, &self.handle, &backing, stop);
        }
        let settings = Arc::clone(&self.handle.load().settings);
        tokio::spawn(follower.clone().run(settings.store.poll.get(), stop.clone()));
        match fleet::Word::new(&settings.fleet) {
            Ok(word) => drop(tokio::spawn(word.listen(follower, settings.fleet.notices, stop.clone()))),
            Err(error) => tracing::warn!(%error, "other replicas are not heard; changes are found by polling"),
        }
        let (handle, shared) = (Arc::clone(&self.handle), Arc::clone(&self.shared));
        tokio::spawn(tell_spent(backing.clone(), handle, shared, stop.clone()));
        let every = settings.store.poll.get().saturating_mul(4);
        tokio::spawn(learn_owners(backing.database.clone(), Arc::clone(&self.shared), every, stop.clone()));
        let handle = Arc::clone(&self.handle);
        tokio::spawn(backing.sweep(move || {
            let settings = &handle.load().settings;
            (settings.store.retention.clone(), settings.audit.clone())
        }));
    }

    /// The admin API, where there is a store for it.
    pub(super) async fn admin(&self) -> Result<Option<Router>, Error> {
        let settings = self.handle.load().settings.admin.clone();
        let both = self.backing.clone().zip(self.follower.clone());
        let Some((backing, follower)) = both.filter(|_| settings.enabled) else {
            return Ok(None);
        };
        let database = backing.database.clone();
        let trying = trying::doors(&self.own, &self.handle, &follower, &database, &settings.trying);
        let doors = doors::doors(
            Running {
                config: Arc::clone(&self.handle),
                counting: Arc::clone(&self.shared.counting),
                reloader: self.reloader.clone(),
                follower,
                word: fleet::Word::new(&self.handle.load().settings.fleet)?,
                backing,
                environment: self.environment.clone(),
                started: self.started,
            },
            self.soc.as_ref().map(soc::Soc::door),
            self.learning.as_ref().map(super::learn::Learning::desk),
            self.exports.as_ref().map(super::export::Exporting::door),
            trying,
            self.reports.clone(),
        );
        let api = Api::new(settings, database, doors).map_err(|error| Error::Admin(error.to_string()))?;
        match api.setup_token().await {
            Ok(Some(token)) => welcome::setup(&token, self.ops.as_ref()),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "whether there is an administrator cannot be told yet"),
        }
        Ok(Some(api.router()))
    }

    /// Whether the store answers, where `store.ready_without` says that it must for this replica to be ready.
    fn store_counts(&self) -> Option<Arc<dyn Fn() -> bool + Send + Sync>> {
        let backing = self.backing.clone().filter(|_| !self.handle.load().settings.store.ready_without)?;
        Some(Arc::new(move || backing.database.is_ready() && backing.writer.health().state == State::Up))
    }

    /// Metrics, probes and the admin API.
    pub(super) fn serve_ops(&mut self, admin: Option<Router>, stop: &CancellationToken) {
        let Some(listener) = self.ops.take() else { return };
        let reloader = self.reloader.clone();
        let snapshot = self.handle.load_full();
        let (max, files) = (snapshot.settings.ops.max_connections, snapshot.settings.admin.files_at_once as usize);
        let ops = Ops {
            metrics: self.metrics.clone(),
            health: Arc::clone(&self.health),
            reload: Arc::new(move || {
                let reloader = reloader.clone();
                Box::pin(async move { reloader.request().await })
            }),
            header_timeout: snapshot.settings.http.header_timeout.get(),
            store: self.store_counts(),
            console: admin.clone().map(|api| Console::new(api, files).router()),
            admin,
        };
        tokio::spawn(ops.serve(listener, max, stop.clone()));
    }
}

/// How the keys of token issuers are fetched, and put in force.
fn issuers(handle: &Arc<Handle>) -> jwks::Doors {
    let (current, publish) = (Arc::clone(handle), Arc::clone(handle));
    jwks::Doors {
        current: Arc::new(move || {
            let snapshot = current.load_full();
            (Arc::clone(&snapshot.tokens), snapshot.settings.identity.jwks.clone())
        }),
        publish: Arc::new(move |issuer, keys| {
            publish.amend(|snapshot| {
                if let Some(tokens) = snapshot.tokens.with_keys(issuer, keys) {
                    snapshot.tokens = Arc::new(tokens);
                }
            });
        }),
        tls: Arc::new(|ca| config::towards(ca).map_err(|error| error.to_string())),
    }
}

/// Forgets what callers have used up long ago, and orders that are over.
pub(super) async fn forget(handle: Arc<Handle>, shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        shared.gate.forget_idle();
        shared.counting.meter().forget_idle();
        let now = store::now();
        if handle.load().orders.iter().any(|order| !order.in_force(now)) {
            handle.amend(|snapshot| {
                let mut orders = Orders::clone(&snapshot.orders);
                orders.forget_expired(now);
                snapshot.orders = Arc::new(orders);
            });
        }
    }
}

/// What ids of sessions and of providers' objects are hashed with: the store's, so that replicas and restarts agree.
pub(super) async fn secret(backing: Option<&Backing>) -> [u8; 32] {
    let Some(backing) = backing else { return random_key() };
    backing.database.secret("ids").await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the store's secret cannot be read: sessions and ids of providers are this process's own");
        random_key()
    })
}

/// Reads whom objects of providers were issued to, by this and the other replicas, before now and from now on.
async fn learn_owners(database: Database, shared: Arc<Shared>, every: Duration, stop: CancellationToken) {
    let mut since = i64::MIN;
    loop {
        let from = store::now();
        match learn(&database, &shared, since).await {
            // Whoever writes may be behind by as much as the writer's queue.
            Ok(()) => since = from.saturating_sub(OVERLAP),
            Err(error) => tracing::debug!(%error, "owners of ids cannot be read yet"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// The ops listener's socket.
pub(super) fn bind_ops(settings: &Settings) -> Result<Option<tokio::net::TcpListener>, Error> {
    let Some(address) = settings.ops.address else { return Ok(None) };
    let bind = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    };
    bind().map(Some).map_err(|source| Error::Io { what: "cannot open the ops listener", source })
}

/// Waits for the workers, off the control side's thread.
pub(super) async fn join(workers: Vec<thread::JoinHandle<()>>) -> bool {
    let joined = tokio::task::spawn_blocking(move || {
        workers.into_iter().map(thread::JoinHandle::join).filter(|ended| ended.is_err()).count() == 0
    });
    joined.await.unwrap_or(false)
}

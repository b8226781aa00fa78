//! The Snapshot every request sees from start to end, and the one place that swaps it.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use ipnet::IpNet;
use tokio::sync::watch;

use super::issued::IssuedKeys;
use super::keys::KeyTable;
use super::learned::{self, Compiled, Learned};
use super::load::Loaded;
use super::orders::Orders;
use super::policies::Policies;
use super::problem::Problem;
use super::read::Fingerprint;
use super::routes::Routes;
use super::rules::RuleSources;
use super::rulings::Rulings;
use super::settings::Settings;
use super::soc_files::SocFiles;
use super::tls::TlsMaterial;
use super::tokens::TokenKeys;
use super::upstreams::Upstreams;
use crate::detect::{Budget, RuleSet};
use crate::models::{CrossEncoder, Models};
use crate::quota::{Plan, PriceBook};
use crate::types::Generation;
use crate::types::soc::MonitoringOff;

/// Everything that decides how a request is treated. Immutable; parts that a reload did not change are shared.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Counts the Snapshots published; the first is 1.
    pub generation: Generation,
    /// The checked settings.
    pub settings: Arc<Settings>,
    /// The compiled rules.
    pub rules: Arc<RuleSet>,
    /// Other people's models, ready to be asked.
    pub models: Arc<Models>,
    /// Where requests may go.
    pub upstreams: Arc<Upstreams>,
    /// Which request goes where.
    pub routes: Arc<Routes>,
    /// Who gets what treatment.
    pub policies: Arc<Policies>,
    /// Limits and budgets that hold for everybody.
    pub charges: Arc<Plan>,
    /// What tokens cost.
    pub prices: Arc<PriceBook>,
    /// Gateway keys.
    pub keys: Arc<KeyTable>,
    /// Peers whose forwarding headers are believed.
    pub trusted: Arc<[IpNet]>,
    /// Certificates and keys.
    pub tls: Arc<TlsMaterial>,
    /// Rules, responses and playbooks of the security operations centre.
    pub soc: Arc<SocFiles>,
    /// The model that reads claims of plans with their evidence, where one is configured.
    pub cross_encoder: Option<Arc<CrossEncoder>>,
    /// Virtual keys. They come from the store, not from files: a reload leaves them as they are.
    pub issued: Arc<IssuedKeys>,
    /// Issuers of tokens, and their keys, which are fetched.
    pub tokens: Arc<TokenKeys>,
    /// Headers that speak of the caller to this gateway alone: they do not travel on.
    pub identity_headers: Arc<[Box<str>]>,
    /// Standing orders. They come from the store, not from files: a reload leaves them as they are.
    pub orders: Arc<Orders>,
    /// What people said about tool calls that wait. They come from the store: a reload leaves them as they are.
    pub rulings: Arc<Rulings>,
    /// Monitoring was switched off. It comes from the store: a reload leaves it as it is.
    pub monitoring: Option<Arc<MonitoringOff>>,
    /// Learned rules, which `rules` was compiled with. They come from the store: a reload compiles them in again.
    pub learned: Arc<Learned>,
    rule_sources: Arc<RuleSources>,
    rules_fingerprint: Fingerprint,
}

impl Snapshot {
    /// Takes over what does not come from files.
    fn keep_amendments(&mut self, before: &Self) {
        self.orders = Arc::clone(&before.orders);
        self.rulings = Arc::clone(&before.rulings);
        self.monitoring.clone_from(&before.monitoring);
        self.issued = Arc::clone(&before.issued);
        if *self.tokens != *before.tokens {
            self.tokens = Arc::new(self.tokens.following(&before.tokens));
        } else {
            self.tokens = Arc::clone(&before.tokens);
        }
    }

    /// The files that `rules` was compiled from, without those that were learned.
    pub fn rule_sources(&self) -> &RuleSources {
        &self.rule_sources
    }

    /// What rules may cost.
    pub fn rule_budget(&self) -> Budget {
        self.rule_sources.budget()
    }

    /// Whether monitoring is switched off at `now`, Unix time in microseconds.
    pub fn monitoring_off(&self, now: i64) -> bool {
        self.monitoring.as_ref().is_some_and(|off| off.holds(now))
    }

    /// Whether this peer's `X-Forwarded-For`, `Forwarded` and PROXY headers are believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|net| net.contains(&peer))
    }
}

/// A Snapshot that is ready: publishing it cannot fail.
#[derive(Debug)]
pub struct Prepared {
    snapshot: Snapshot,
    /// Changes that need a restart. What is wrong with the files themselves is in `Loaded::warnings`.
    pub warnings: Vec<Problem>,
}

impl Prepared {
    /// What would be published, with the generation it replaces.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// Compiles what was loaded, runs the rules' own cases, and loads models. Parts equal to those of `before` are taken
/// from it.
///
/// Takes as long as the rules take to compile and the models to load: not for an async worker.
///
/// # Errors
/// Every problem of the rules, or of the models.
pub fn prepare(loaded: &Loaded, before: Option<&Snapshot>) -> Result<Prepared, Vec<Problem>> {
    let compiled = before.map(|before| (&before.rules_fingerprint, &before.rules));
    let learned = before.map(|before| Arc::clone(&before.learned)).unwrap_or_default();
    let Compiled { rules, fingerprint, problems } = learned::compile(&loaded.rules, compiled, &learned)?;
    let models = loaded.models.build(before.map(|before| &before.models))?;
    let known = before.and_then(|before| before.cross_encoder.as_ref());
    let cross_encoder = loaded.soc.load_cross_encoder(known)?;
    let mut warnings = problems;
    let mut snapshot = Snapshot {
        generation: Generation::default(),
        settings: Arc::clone(&loaded.settings),
        rules,
        models,
        upstreams: Arc::clone(&loaded.upstreams),
        routes: Arc::clone(&loaded.routes),
        policies: Arc::clone(&loaded.policies),
        charges: Arc::clone(&loaded.charges),
        prices: Arc::clone(&loaded.prices),
        keys: Arc::clone(&loaded.keys),
        trusted: Arc::clone(&loaded.trusted),
        tls: Arc::clone(&loaded.tls),
        soc: Arc::clone(&loaded.soc),
        cross_encoder,
        issued: Arc::default(),
        tokens: Arc::clone(&loaded.tokens),
        identity_headers: loaded.settings.identity.headers().map(Box::from).collect(),
        orders: Arc::default(),
        rulings: Arc::default(),
        monitoring: None,
        learned,
        rule_sources: Arc::clone(&loaded.rules),
        rules_fingerprint: fingerprint,
    };
    if let Some(before) = before {
        snapshot.generation = before.generation;
        if !loaded.settings.soc.enabled {
            // It is switched off at the next start: until then it goes by what it has.
            snapshot.soc = Arc::clone(&before.soc);
            snapshot.cross_encoder.clone_from(&before.cross_encoder);
        }
        share(&mut snapshot, before);
        warnings.extend(loaded.needs_restart(&before.settings));
    }
    Ok(Prepared { snapshot, warnings })
}

fn share(snapshot: &mut Snapshot, before: &Snapshot) {
    fn reuse<T: ?Sized + PartialEq>(part: &mut Arc<T>, before: &Arc<T>) {
        if *part == *before {
            *part = Arc::clone(before);
        }
    }
    reuse(&mut snapshot.settings, &before.settings);
    reuse(&mut snapshot.policies, &before.policies);
    reuse(&mut snapshot.charges, &before.charges);
    reuse(&mut snapshot.prices, &before.prices);
    reuse(&mut snapshot.keys, &before.keys);
    reuse(&mut snapshot.trusted, &before.trusted);
    reuse(&mut snapshot.tls, &before.tls);
    reuse(&mut snapshot.soc, &before.soc);
    reuse(&mut snapshot.upstreams, &before.upstreams);
    reuse(&mut snapshot.routes, &before.routes);
}

/// The door down: readers take the current Snapshot from it, and only `publish` replaces it.
#[derive(Debug)]
pub struct Handle {
    current: ArcSwap<Snapshot>,
    published: watch::Sender<Generation>,
    /// Counts the times that rulings changed.
    ruled: watch::Sender<u64>,
}

impl Handle {
    /// Publishes the first Snapshot, generation 1.
    pub fn new(first: Prepared) -> Self {
        let mut snapshot = first.snapshot;
        snapshot.generation = Generation(1);
        let (published, ruled) = (watch::Sender::new(Generation(1)), watch::Sender::new(0));
        Self { current: ArcSwap::from_pointee(snapshot), published, ruled }
    }

    /// The current Snapshot, to look at briefly: do not keep it across an await.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The current Snapshot, to keep: a request holds one from start to end.
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// `prepare` against the current Snapshot.
    ///
    /// # Errors
    /// Every problem of the rules; the current Snapshot stays.
    pub fn prepare(&self, loaded: &Loaded) -> Result<Prepared, Vec<Problem>> {
        prepare(loaded, Some(&self.load_full()))
    }

    /// Makes a prepared Snapshot the current one and tells who waits for that. Cannot fail.
    pub fn publish(&self, prepared: Prepared) -> Generation {
        let published = AtomicU64::new(0);
        self.current.rcu(|old| {
            let mut next = prepared.snapshot.clone();
            next.keep_amendments(old);
            next.generation = Generation(old.generation.0.saturating_add(1));
            published.store(next.generation.0, Ordering::Relaxed);
            next
        });
        let generation = Generation(published.into_inner());
        self.published.send_replace(generation);
        generation
    }

    /// Changes what does not come from files: standing orders, issued keys, the keys of token issuers, rulings on tool
    /// calls, whether monitoring is off. `change` may run more than once. Nothing is rebuilt, and nobody is woken but who
    /// waits for a ruling.
    pub fn amend(&self, change: impl Fn(&mut Snapshot)) {
        let ruled = Cell::new(false);
        self.current.rcu(|old| {
            let mut next = Snapshot::clone(old);
            change(&mut next);
            ruled.set(!Arc::ptr_eq(&old.rulings, &next.rulings));
            next
        });
        if ruled.get() {
            self.ruled.send_modify(|times| *times = times.wrapping_add(1));
        }
    }

    /// Compiles the rules anew with these that were learned, and puts them in force; gives what is wrong with those that cannot
    /// be used, which are left out. Takes as long as the rules take to compile: not for an async worker.
    ///
    /// # Errors
    /// Every problem of the site's own rules, which compiled before.
    pub fn learn(&self, learned: &Arc<Learned>) -> Result<Vec<Problem>, Vec<Problem>> {
        loop {
            let before = self.load_full();
            let known = Some((&before.rules_fingerprint, &before.rules));
            let Compiled { rules, fingerprint, problems } = learned::compile(&before.rule_sources, known, learned)?;
            let done = Cell::new(false);
            self.amend(|snapshot| {
                // A reload may have brought other files meanwhile.
                done.set(Arc::ptr_eq(&snapshot.rule_sources, &before.rule_sources));
                if done.get() {
                    snapshot.rules = Arc::clone(&rules);
                    snapshot.rules_fingerprint = fingerprint;
                    snapshot.learned = Arc::clone(learned);
                }
            });
            if done.get() {
                return Ok(problems);
            }
        }
    }

    /// Wakes after each amendment that brought other rulings.
    pub fn rulings(&self) -> watch::Receiver<u64> {
        self.ruled.subscribe()
    }

    /// Wakes at each publication; for parts that are rebuilt rather than read per request, such as TLS.
    pub fn subscribe(&self) -> watch::Receiver<Generation> {
        self.published.subscribe()
    }
}

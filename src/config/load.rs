//! Files and environment -> checked settings, or every problem at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use super::check::{self, Check};
use super::env::{self, Environment};
use super::keys::{self, KeyTable};
use super::limits;
use super::models::{self, ModelSources};
use super::policies::{self, Policies};
use super::problem::{KeyPath, Problem};
use super::read::{Fingerprint, Reader, Watched};
use super::routes::{self, Routes};
use super::rules::{self, RuleSources};
use super::settings::{Identity, Settings, Soc, Store, UpstreamKind};
use super::snapshot::{Prepared, prepare};
use super::soc_files::{self, SocFiles};
use super::soc_outside::Analyst;
use super::tls::{self, TlsMaterial};
use super::tokens::{TokenKeys, TokenSources};
use super::tree::{self, Tree, Whole};
use super::upstreams::{self, Upstreams};
use crate::quota::{Plan, PriceBook};

/// Looked for in the working directory when no file is named.
const DEFAULT_FILE: &str = "gateway.toml";

/// Where a configuration comes from. A reload reads the same again.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file that was named, or found; a reload fails when it is gone.
    path: Option<PathBuf>,
    environment: Environment,
}

/// A checked configuration. Rules are read, not compiled: `prepare` does that.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checked settings, default upstreams included.
    pub settings: Arc<Settings>,
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
    /// Issuers of tokens.
    pub tokens: Arc<TokenKeys>,
    /// Peers whose forwarding headers are believed.
    pub trusted: Arc<[IpNet]>,
    /// Certificates and keys.
    pub tls: Arc<TlsMaterial>,
    /// Rules, responses and playbooks of the security operations centre.
    pub soc: Arc<SocFiles>,
    /// What an operator should know; `check` fails on them, `serve` and reloads do not.
    pub warnings: Vec<Problem>,
    /// What to read again at a reload.
    pub source: Source,
    /// A digest over everything that was read.
    pub fingerprint: Fingerprint,
    /// What to watch for changes.
    pub watched: Watched,
    pub(super) rules: Arc<RuleSources>,
    pub(super) models: ModelSources,
    /// The settings as written, without defaults and without secrets.
    written: toml::Table,
}

/// Reads and checks a configuration: the file named, else `PORTCULLIS_CONFIG`, else `./gateway.toml`, else built-in
/// defaults; with `PORTCULLIS__SECTION__KEY` overrides on top.
///
/// # Errors
/// Every problem found, in the order of the file.
pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, Vec<Problem>> {
    Source::new(path, Environment::new(env)).load()
}

/// How far problems are looked for once there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Settings and the files they name.
    Settings,
    /// The rules too: takes as long as compiling them.
    Rules,
}

/// One look at a configuration, whether good or bad.
pub(super) struct Look {
    /// What was found.
    pub(super) result: Result<Loaded, Vec<Problem>>,
    /// A digest over everything that was read, also when something is wrong with it.
    pub(super) fingerprint: Fingerprint,
    /// What to watch for changes.
    pub(super) watched: Watched,
}

impl Source {
    /// A source from the command line and the environment.
    pub fn new(path: Option<&Path>, environment: Environment) -> Self {
        let named = path.map(Path::to_owned).or_else(|| environment.get("PORTCULLIS_CONFIG").map(PathBuf::from));
        Self { path: named, environment }
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// Every problem found, in the order of the file.
    pub fn load(&self) -> Result<Loaded, Vec<Problem>> {
        self.look().result
    }

    /// Where the settings come from, for a log line: the file's name, or `built-in defaults`.
    pub fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "built-in defaults".to_owned(), |path| path.display().to_string())
    }

    /// Reads and checks it, and compiles the rules whatever else is wrong: for `check`, which tells everything at once.
    ///
    /// # Errors
    /// Every problem found, those of the rules last.
    pub fn check(&self) -> Result<(Loaded, Prepared), Vec<Problem>> {
        let loaded = self.read(&mut Reader::default(), Depth::Rules)?;
        let prepared = prepare(&loaded, None)?;
        Ok((loaded, prepared))
    }

    /// The address of the ops listener, `None` where there is none. Read leniently: it must be found when a bad file is
    /// what a reload is to reject.
    ///
    /// # Errors
    /// When it cannot be told; a guess could reach another gateway.
    pub fn ops_address(&self) -> Result<Option<SocketAddr>, Problem> {
        let default = Settings::default().ops.address;
        let (origin, address) = if let Some(address) = self.environment.get("PORTCULLIS__OPS__ADDRESS") {
            ("environment variable PORTCULLIS__OPS__ADDRESS".to_owned(), address.to_owned())
        } else if let Some(path) = self.file() {
            let name = path.display().to_string();
            let text = Reader::default().text(path).map_err(|message| Problem::of_file(&name, message))?;
            match tree::leniently(&text, ["ops", "address"]) {
                (Some(address), _) => (name, address),
                (None, Whole::Yes) => return Ok(default),
                (None, Whole::No) => return Err(Problem::of_file(name, "is damaged, and ops.address cannot be told")),
            }
        } else {
            return Ok(default);
        };
        if address.is_empty() {
            return Ok(None);
        }
        let bad = |_| Problem { path: "ops.address".to_owned(), ..Problem::of_file(origin, "is not an address:port") };
        address.parse().map(Some).map_err(bad)
    }

    /// The environment it is read in.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    fn file(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT_FILE);
        self.path.as_deref().or_else(|| default.exists().then_some(default))
    }

    pub(super) fn look(&self) -> Look {
        let mut reader = Reader::default();
        let result = self.read(&mut reader, Depth::Settings);
        let (fingerprint, watched) = (reader.fingerprint(), reader.watched().clone());
        let result = result.map(|mut loaded| {
            loaded.fingerprint = fingerprint;
            loaded.watched = watched.clone();
            loaded
        });
        Look { result, fingerprint, watched }
    }

    fn read(&self, reader: &mut Reader, depth: Depth) -> Result<Loaded, Vec<Problem>> {
        let path = self.file();
        let mut tree = match path {
            Some(path) => {
                let name = path.display().to_string();
                let text = reader.text(path).map_err(|message| vec![Problem::of_file(&name, message)])?;
                // A file that is being replaced is empty for a moment, and all defaults would open the gateway.
                if text.trim().is_empty() {
                    let message = "is empty; if all defaults are wanted, write a comment into it";
                    return Err(vec![Problem::of_file(&name, message)]);
                }
                Tree::parse(&name, &text)?
            }
            None => {
                reader.absent(Path::new(DEFAULT_FILE));
                Tree::default()
            }
        };
        let mut problems = env::apply(&mut tree, &self.environment);
        let written = redacted(tree.root());
        let (mut settings, origins, misplaced) = tree.decode();
        problems.extend(misplaced);
        upstreams::add_defaults(&mut settings, &self.environment);
        let mut check = Check::new(reader, &origins);
        check::check(&mut check, &settings);
        let tls = tls::check(&mut check, &settings);
        let keys = keys::check(&mut check, &settings.identity);
        let tokens = token_issuers(&mut check, &settings.identity, &self.environment);
        let upstreams = upstreams::check(&mut check, &settings, &self.environment);
        let routes = routes::check(&mut check, &settings, &upstreams);
        let policies = policies::check(&mut check, &settings);
        let charges = limits::charges(&mut check, &settings);
        let prices = limits::prices(&mut check, &settings.prices);
        let models = models::check(&mut check, &settings, &self.environment);
        let soc = soc_files::read(&mut check, &settings.soc);
        let rules = rules::read(&mut check, &settings.rules);
        problems.append(&mut check.problems);
        if !problems.is_empty() {
            problems.sort();
            problems.dedup();
            if depth == Depth::Rules
                && let Err(more) = rules.compile(None, &[])
            {
                problems.extend(more);
            }
            return Err(problems);
        }
        let warnings = check.warnings;
        Ok(Loaded {
            trusted: settings.server.trusted_proxies.clone().into(),
            settings: Arc::new(settings),
            upstreams: Arc::new(upstreams),
            routes: Arc::new(routes),
            policies: Arc::new(policies),
            charges: Arc::new(charges),
            prices: Arc::new(PriceBook::new(prices)),
            keys: Arc::new(keys),
            tokens: Arc::new(tokens),
            tls: Arc::new(tls),
            soc: Arc::new(soc),
            warnings,
            source: Self { path: path.map(Path::to_owned), environment: self.environment.clone() },
            fingerprint: [0; 32],
            watched: Watched::default(),
            rules: Arc::new(rules),
            models,
            written,
        })
    }
}

impl Loaded {
    /// What the rules are compiled from.
    pub fn rules(&self) -> &RuleSources {
        &self.rules
    }

    /// How many rule files were read.
    pub fn rule_files(&self) -> usize {
        self.rules.files()
    }

    /// The names of upstreams that are the built-in rehearsal model.
    pub fn rehearsals(&self) -> impl Iterator<Item = &str> {
        let rehearsals = self.upstreams.iter().filter(|upstream| upstream.kind == UpstreamKind::Rehearsal);
        rehearsals.map(|upstream| &*upstream.name)
    }

    /// The settings as TOML: as written (file and environment), or with `effective` all that are in force. Keys that
    /// are secrets read `[redacted]`.
    ///
    /// # Errors
    /// When the settings cannot be written as TOML.
    pub fn to_toml(&self, effective: bool) -> Result<String, toml::ser::Error> {
        if effective {
            return toml::to_string(&*self.settings);
        }
        toml::to_string(&self.written)
    }

    /// Changes that only a restart brings into force.
    pub(super) fn needs_restart(&self, before: &Settings) -> Vec<Problem> {
        let now = &*self.settings;
        let changed = [
            (now.listeners != before.listeners, "listeners"),
            (now.server.workers != before.server.workers, "server.workers"),
            (now.server.event_queue != before.server.event_queue, "server.event_queue"),
            (now.server.event_reserve != before.server.event_reserve, "server.event_reserve"),
            (now.ops.address != before.ops.address, "ops.address"),
            (now.record.path != before.record.path, "record.path"),
            (now.fleet != before.fleet, "fleet"),
            (Store { retention: before.store.retention.clone(), ..now.store.clone() } != before.store, "store"),
            (now.audit != before.audit, "audit"),
            (now.admin != before.admin, "admin"),
            (soc_needs_restart(&now.soc, &before.soc), "soc"),
            (now.learn != before.learn, "learn"),
            (now.export != before.export, "export"),
            (now.reports != before.reports, "reports"),
            (now.telemetry.otlp_endpoint != before.telemetry.otlp_endpoint, "telemetry.otlp_endpoint"),
        ];
        let restart = |(_, key): (bool, &str)| Problem {
            path: KeyPath::of(&key.split('.').collect::<Vec<_>>()).to_string(),
            ..Problem::of_file(self.source.name(), "changed, but is not reloaded: restart to bring it into force")
        };
        changed.into_iter().filter(|(changed, _)| *changed).map(restart).collect()
    }
}

/// Whether something changed that is not reloaded: anything but guardrails, approvals, the directories of files and the
/// cross-encoder.
fn soc_needs_restart(now: &Soc, before: &Soc) -> bool {
    let Soc { rules, playbooks, guard, automatic, analyst, .. } = before.clone();
    let analyst = Analyst {
        base_url: now.analyst.base_url.clone(),
        model: now.analyst.model.clone(),
        api_key_env: now.analyst.api_key_env.clone(),
        api_key_file: now.analyst.api_key_file.clone(),
        timeout: now.analyst.timeout,
        max_tokens: now.analyst.max_tokens,
        reviewer: now.analyst.reviewer,
        groundedness: now.analyst.groundedness,
        overlap: now.analyst.overlap,
        ..analyst
    };
    Soc { rules, playbooks, guard, automatic, analyst, ..now.clone() } != *before
}

/// The issuers of tokens, with the keys that files and variables hold.
fn token_issuers(check: &mut Check<'_>, identity: &Identity, environment: &Environment) -> TokenKeys {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let read = {
        let mut file = |path: &Path| check.reader.text(path);
        TokenKeys::new(identity, &mut TokenSources { file: &mut file, variable: &variable }, None)
    };
    read.unwrap_or_else(|problems| {
        for (index, key, message) in problems {
            check.problem(&KeyPath::of(&["identity", "tokens"]).index(index).key(key), message);
        }
        TokenKeys::default()
    })
}

/// The settings as written, without the secrets in them.
fn redacted(written: &toml::Table) -> toml::Table {
    let mut written = written.clone();
    for table in ["upstreams", "models"] {
        for (_, one) in written.get_mut(table).and_then(toml::Value::as_table_mut).into_iter().flatten() {
            if let Some(key) = one.get_mut("api_key") {
                *key = toml::Value::String("[redacted]".to_owned());
            }
        }
    }
    written
}

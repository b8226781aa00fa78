//! A running admin API with a store of its own, a clock that tests turn, and a client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use portcullis::app::scan::conclude;
use portcullis::config::admin_settings::Admin;
use portcullis::config::soc_files::SocFilesNow;
use portcullis::config::soc_settings::Soc as SocSettings;
use portcullis::config::{self, Handle, Snapshot};
use portcullis::control::api::door::{
    AuditLog, AuditNote, AuditPage, AuditQuery, AuditSink, DoorError, Doors, Effective, ExplainQuery, FreshKey,
    Gateway, Refresh, Reply, ScanAsked, Scanned, UseQuery, Validation,
};
use portcullis::control::api::soc::Soc;
use portcullis::control::api::soc::ingest::{IngestOptions, IngestSource, IngestSources};
use portcullis::control::api::soc::live::{Live, LiveOptions};
use portcullis::control::api::{Api, secrets};
use portcullis::control::audit::{self, Checks, Trail, Verified};
use portcullis::control::soc::approvals::Approvals;
use portcullis::control::soc::breaker::Limits as BreakerLimits;
use portcullis::control::soc::hub::{Hub, HubLimits};
use portcullis::control::soc::knowledge::{Knowledge, PlanLimits};
use portcullis::control::soc::library::{Library, LibraryLimits};
use portcullis::control::soc::notify::Channels;
use portcullis::control::soc::planner::Planner;
use portcullis::control::soc::remedies::{self, Remedies, RemedyOptions};
use portcullis::control::soc::{DeskOptions, Feed, Station, desk};
use portcullis::soc::remedy::Retry;
use portcullis::soc::{CorrelateOptions, FoldOptions};
use portcullis::store::{Database, Options, Vault};
use portcullis::telemetry::Metrics;
use portcullis::types::{Decision, Generation, ReloadOutcome, Secret, Severity};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub const PASSWORD: &str = "correct horse battery staple";

/// What stands for the running gateway and the audit trail: it remembers what it was asked.
#[derive(Default)]
pub struct Rest {
    pub notes: Mutex<Vec<AuditNote>>,
    pub refreshed: Mutex<Vec<Refresh>>,
    pub audit_fails: AtomicBool,
    pub reload_fails: AtomicBool,
    pub rotation_fails: AtomicBool,
    /// Of the trail that the SOC writes.
    pub checks: Mutex<Option<Checks>>,
    /// What decides instead of every default.
    pub snapshot: Mutex<Option<Arc<Snapshot>>>,
    /// The next text that is judged tells that it is, and waits.
    pub hold: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
}

/// What a configuration puts in force, without a gateway.
pub fn snapshot(toml: &str) -> Arc<Snapshot> {
    handle(toml).load_full()
}

/// The same, to change.
pub fn handle(toml: &str) -> Handle {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, toml).unwrap();
    let loaded = config::load(Some(&path), std::iter::empty()).unwrap();
    Handle::new(config::prepare(&loaded, None).unwrap())
}

/// Compiles what is in force by default: asked for by a request first, that would take longer than a request may.
pub fn warm() {
    LazyLock::force(&DEFAULTS);
}

static DEFAULTS: LazyLock<Arc<Snapshot>> = LazyLock::new(|| snapshot("# every default\n"));

impl AuditSink for Rest {
    fn append(&self, note: AuditNote) -> Reply<'_, ()> {
        Box::pin(async move {
            if self.audit_fails.load(Ordering::Relaxed) {
                return Err(DoorError::Unavailable("disk full".into()));
            }
            self.notes.lock().unwrap().push(note);
            Ok(())
        })
    }
}

impl AuditLog for Rest {
    fn entries(&self, query: AuditQuery) -> Reply<'_, AuditPage> {
        Box::pin(async move {
            let notes = self.notes.lock().unwrap();
            let numbered = notes.iter().enumerate().skip(usize::try_from(query.after).unwrap_or(usize::MAX));
            let kind = |kind: &str| query.kind.as_deref().is_none_or(|asked| asked == kind);
            let entries = numbered.filter(|(_, note)| kind(note.kind)).take(query.limit.try_into().unwrap());
            Ok(AuditPage {
                entries: entries.map(|(at, note)| json!({ "seq": at + 1, "note": note })).collect(),
                next: None,
            })
        })
    }

    fn head(&self) -> Reply<'_, Value> {
        Box::pin(async move { Ok(json!({ "seq": self.notes.lock().unwrap().len() })) })
    }

    fn checkpoints(&self, _: u64, _: u32) -> Reply<'_, AuditPage> {
        Box::pin(async { Ok(AuditPage::default()) })
    }

    fn rotate_key(&self) -> Reply<'_, String> {
        Box::pin(async move {
            if self.rotation_fails.load(Ordering::Relaxed) {
                return Err(DoorError::Unavailable("no store".into()));
            }
            Ok("0123456789abcdef".to_owned())
        })
    }

    fn verify(&self, from: Option<i64>, to: Option<i64>) -> Reply<'_, Option<Verified>> {
        let checks = self.checks.lock().unwrap().clone().unwrap();
        Box::pin(async move { Ok(checks.run((from, to), Duration::from_secs(20)).await) })
    }

    fn verified(&self) -> Verified {
        self.checks.lock().unwrap().as_ref().unwrap().last()
    }
}

impl Gateway for Rest {
    fn status(&self) -> Reply<'_, Value> {
        Box::pin(async { Ok(json!({ "version": "test", "generation": 1 })) })
    }

    fn policies(&self) -> Reply<'_, Vec<Value>> {
        Box::pin(async { Ok(vec![json!({ "name": "default", "mode": "enforce" })]) })
    }

    fn explain(&self, query: ExplainQuery) -> Reply<'_, Value> {
        Box::pin(async move { Ok(json!({ "policy": "default", "model": query.model })) })
    }

    fn config(&self) -> Reply<'_, Effective> {
        let toml = "[admin]\nenabled = true\n".to_owned();
        Box::pin(async { Ok(Effective { generation: 1, toml, ..Effective::default() }) })
    }

    fn validate(&self, text: String) -> Reply<'_, Validation> {
        Box::pin(async move {
            let problems: Vec<String> =
                toml::from_str::<toml::Table>(&text).err().map(|e| e.to_string()).into_iter().collect();
            Ok(Validation { valid: problems.is_empty(), problems, warnings: Vec::new() })
        })
    }

    fn reload(&self) -> Reply<'_, ReloadOutcome> {
        let problems =
            if self.reload_fails.load(Ordering::Relaxed) { vec!["gateway.toml:3: no".to_owned()] } else { vec![] };
        let outcome = ReloadOutcome { trigger: "api".into(), generation: Generation(2), problems, warnings: vec![] };
        Box::pin(async { Ok(outcome) })
    }

    fn limits(&self, _: UseQuery) -> Reply<'_, Vec<Value>> {
        Box::pin(async { Ok(vec![json!({ "scope": "user", "limit": 60, "used": 3 })]) })
    }

    fn budgets(&self, _: UseQuery) -> Reply<'_, Vec<Value>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.lock().unwrap().clone().unwrap_or_else(|| Arc::clone(&DEFAULTS))
    }

    fn scan(&self, asked: ScanAsked) -> Scanned {
        let hold = self.hold.lock().unwrap().take();
        if let Some((told, wait)) = hold {
            told.send(()).unwrap();
            wait.recv().unwrap();
        }
        conclude(&self.snapshot(), asked)
    }

    fn refresh(&self, what: Refresh) -> Reply<'_, ()> {
        self.refreshed.lock().unwrap().push(what);
        Box::pin(async { Ok(()) })
    }
}

/// What the hub of most tests holds.
pub const HUB: HubLimits = HubLimits { entries: 1024, subscribers: 300 };

/// The secret of the source `siem`.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A SOC at work: what is sent in is written by its task.
async fn soc(database: &Database, hub: HubLimits, folder: &Path) -> (Soc, Trail) {
    let metrics = Metrics::new("portcullis").unwrap();
    let feed = Feed::new(database.clone(), Hub::new(hub, metrics.clone()));
    let options = DeskOptions { queue: 64, waiting: 64, recall: 0, analyse: Severity::Critical };
    let judges = (FoldOptions::default(), CorrelateOptions::default());
    let titles = Arc::new(|_: &str| None);
    let files: SocFilesNow = Arc::new(Arc::default);
    let (_, intake, watch) = desk(Arc::clone(&files), titles, judges, feed.clone(), options, Arc::default());
    tokio::spawn(watch.run(CancellationToken::new()));
    let vectorizer = Box::new(|_: &str| Vec::new());
    let library = Arc::new(Library::new(LibraryLimits::default(), vectorizer, None, metrics.clone()).unwrap());
    let channels = Arc::new(Channels::new([], BreakerLimits::default(), metrics));
    let knowledge = Arc::new(Knowledge {
        files,
        library: Arc::clone(&library),
        channels: Arc::clone(&channels),
        model: None,
        reviewer: None,
        guard: Arc::new(|| SocSettings::default().guardrails()),
        inspect: Arc::new(|_| Decision::Allow),
        scorer: Arc::new(|| None),
        limits: PlanLimits { lifetime: 3_600_000_000, most_steps: 8, overlap: 0.5, hours: 24, retrieved: 6 },
    });
    let options = audit::Options { directory: folder.to_owned(), ..audit::Options::default() };
    let trail = Trail::open(database.clone(), options).await.unwrap();
    let retry = Retry { first: 1, longest: 1, tries: 1, give_up_after: 1 };
    let acting = RemedyOptions { every: Duration::from_millis(10), lease: Duration::from_secs(5), retry };
    let refresh: remedies::Refresh = Arc::new(|| Box::pin(async {}));
    let source = IngestSource { name: "siem".to_owned(), secrets: vec![Secret::new(SECRET)] };
    let log = trail.clone();
    let soc = Soc {
        station: Station {
            approvals: Approvals::new(feed.clone(), trail.clone(), None, 3_600_000_000),
            planner: Planner::new(feed.clone(), trail.clone(), knowledge),
            remedies: Remedies::new(feed.clone(), trail, channels, refresh, acting),
            library,
            intake,
            feed,
        },
        live: Live::new(LiveOptions::default()),
        ingest: IngestSources::new(vec![source], IngestOptions::default()).unwrap(),
    };
    (soc, log)
}

/// One running API.
pub struct Home {
    pub api: Api,
    pub address: SocketAddr,
    pub rest: Arc<Rest>,
    pub clock: Arc<AtomicI64>,
    pub database: Database,
    pub soc: Soc,
    _folder: Option<TempDir>,
    log: Trail,
    _trail: TempDir,
}

/// Who asks: what headers go along.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pub headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Cookies that it sets, by name.
    pub fn cookies(&self) -> BTreeMap<String, String> {
        let all = self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        all.filter_map(|text| text.split(';').next()?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

impl Client {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bearer(token: &str) -> Self {
        Self::default().with("authorization", &format!("Bearer {token}"))
    }

    /// The session of an answer to a login.
    pub fn session(answer: &Answer) -> Self {
        let (name, value) = answer.cookies().into_iter().find(|(name, _)| !name.ends_with("oidc")).expect("a cookie");
        let client = Self::default().with("cookie", &format!("{name}={value}"));
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(body) => client.with("x-portcullis-csrf", body["csrf"].as_str().unwrap()),
            Err(_) => client,
        }
    }
}

/// Cheap hashes: what they cost is not what these tests are about.
pub fn settings() -> Admin {
    let mut settings = Admin::default();
    settings.passwords.memory = "8MiB".parse().unwrap();
    settings.passwords.passes = 1;
    settings.passwords.waiting = 100;
    settings.lockout.per_address = 1000;
    settings
}

impl Home {
    pub async fn start() -> Self {
        Self::with(settings()).await
    }

    pub async fn with(settings: Admin) -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("portcullis.db").display());
        Self::on(settings, &url, Some(folder), None).await
    }

    pub async fn on(settings: Admin, url: &str, folder: Option<TempDir>, address: Option<&str>) -> Self {
        Self::built(settings, url, (folder, address), HUB, |_| {}).await
    }

    /// One whose doors are changed before it starts, on SQLite.
    pub async fn tuned(hub: HubLimits, tune: impl FnOnce(&mut Doors)) -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("portcullis.db").display());
        Self::built(settings(), &url, (Some(folder), None), hub, tune).await
    }

    pub async fn built(
        settings: Admin,
        url: &str,
        (folder, address): (Option<TempDir>, Option<&str>),
        hub: HubLimits,
        tune: impl FnOnce(&mut Doors),
    ) -> Self {
        let database = Database::open(&Secret::new(url), &Options::default()).await.unwrap();
        let rest = Arc::new(Rest::default());
        let clock = Arc::new(AtomicI64::new(portcullis::store::now()));
        let number = AtomicU64::new(0);
        let trail = TempDir::new().unwrap();
        let (soc, log) = soc(&database, hub, trail.path()).await;
        let checks = Checks::new(database.clone(), trail.path().to_owned(), Duration::from_secs(60));
        *rest.checks.lock().unwrap() = Some(checks);
        let mut doors = Doors {
            gateway: Arc::clone(&rest) as Arc<dyn Gateway>,
            sink: Arc::clone(&rest) as Arc<dyn AuditSink>,
            trail: Arc::clone(&rest) as Arc<dyn AuditLog>,
            mint: Arc::new(move || {
                let number = number.fetch_add(1, Ordering::Relaxed);
                let secret = Secret::new(format!("pck_test{number:08}"));
                Ok(FreshKey { hash: secrets::hash(secret.expose()), shown: "pck_test".into(), secret })
            }),
            vault: Arc::new(Vault::new(&Options::default()).unwrap()),
            clock: {
                let clock = Arc::clone(&clock);
                Arc::new(move || clock.load(Ordering::Relaxed))
            },
            soc: Some(soc),
            learn: None,
            exports: None,
            trying: None,
            reports: None,
        };
        let soc = doors.soc.clone().unwrap();
        tune(&mut doors);
        let soc = doors.soc.clone().unwrap_or(soc);
        let api = Api::new(settings, database.clone(), doors).unwrap();
        let listener = TcpListener::bind(address.unwrap_or("127.0.0.1:0")).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = api.router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { api, address, rest, clock, database, soc, log, _folder: folder, _trail: trail }
    }

    /// Turns the clock on.
    pub fn later(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    /// So many entries more in the trail that the SOC writes.
    pub async fn audited(&self, many: usize) {
        for number in 0..many {
            let entry = audit::Entry::new(audit::Kind::Action, "acc_1", format!("thing/{number}"));
            self.log.append(entry).await.unwrap();
        }
        self.log.flush().await.unwrap();
    }

    pub fn notes(&self, action: &str) -> Vec<AuditNote> {
        self.rest.notes.lock().unwrap().iter().filter(|note| note.action == action).cloned().collect()
    }

    /// One request on a connection of its own. A `host` header of the client replaces the right one.
    pub async fn ask(&self, who: &Client, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bytes = body.map(|body| serde_json::to_vec(&body).unwrap()).unwrap_or_default();
        let who = if bytes.is_empty() { who.clone() } else { who.clone().with("content-type", "application/json") };
        self.send(&who, method, path, bytes).await
    }

    pub async fn send(&self, who: &Client, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !who.headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in &who.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub async fn login(&self, name: &str, password: &str) -> Answer {
        let body = json!({ "name": name, "password": password });
        self.ask(&Client::default(), "POST", "/api/v1/login", Some(body)).await
    }

    /// The first administrator, signed in.
    pub async fn admin(&self) -> Client {
        let token = self.api.setup_token().await.unwrap().unwrap();
        let body = json!({ "token": token.expose(), "name": "root", "password": PASSWORD });
        let answer = self.ask(&Client::default(), "POST", "/api/v1/setup", Some(body)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        Client::session(&answer)
    }

    /// A local account with these roles: its id.
    pub async fn account(&self, admin: &Client, name: &str, roles: &[&str]) -> String {
        let body = json!({ "name": name, "roles": roles, "password": PASSWORD });
        let answer = self.ask(admin, "POST", "/api/v1/accounts", Some(body)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Signed in as an account made before.
    pub async fn signed_in(&self, name: &str) -> Client {
        let answer = self.login(name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Client::session(&answer)
    }
}

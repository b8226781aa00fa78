//! A running admin API with a store of its own, a clock that tests turn, and a client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use portcullis::config::admin_settings::Admin;
use portcullis::control::api::door::{
    AuditLog, AuditNote, AuditPage, AuditQuery, AuditSink, DoorError, Doors, ExplainQuery, FreshKey, Gateway, Refresh,
    Reply, UseQuery, Validation,
};
use portcullis::control::api::{Api, secrets};
use portcullis::store::{Database, Options, Vault};
use portcullis::types::{Generation, ReloadOutcome, Secret};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

pub const PASSWORD: &str = "correct horse battery staple";

/// What stands for the running gateway and the audit trail: it remembers what it was asked.
#[derive(Default)]
pub struct Rest {
    pub notes: Mutex<Vec<AuditNote>>,
    pub refreshed: Mutex<Vec<Refresh>>,
    pub audit_fails: AtomicBool,
    pub reload_fails: AtomicBool,
    pub rotation_fails: AtomicBool,
}

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

    fn refresh(&self, what: Refresh) -> Reply<'_, ()> {
        self.refreshed.lock().unwrap().push(what);
        Box::pin(async { Ok(()) })
    }
}

/// One running API.
pub struct Home {
    pub api: Api,
    pub address: SocketAddr,
    pub rest: Arc<Rest>,
    pub clock: Arc<AtomicI64>,
    pub database: Database,
    _folder: Option<TempDir>,
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
        let database = Database::open(&Secret::new(url), &Options::default()).await.unwrap();
        let rest = Arc::new(Rest::default());
        let clock = Arc::new(AtomicI64::new(portcullis::store::now()));
        let number = AtomicU64::new(0);
        let doors = Doors {
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
        };
        let api = Api::new(settings, database.clone(), doors).unwrap();
        let listener = TcpListener::bind(address.unwrap_or("127.0.0.1:0")).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = api.router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { api, address, rest, clock, database, _folder: folder }
    }

    /// Turns the clock on.
    pub fn later(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
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

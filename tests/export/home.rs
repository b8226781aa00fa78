//! A store with something to tell, and sinks on it.

use std::sync::Arc;
use std::time::Duration;

use portcullis::config::export_settings::ExportSink;
use portcullis::control::audit::{self, Trail};
use portcullis::control::export::sinks::Sink;
use portcullis::control::export::{Exports, Parts, Target};
use portcullis::control::http::{Http, Options as HttpOptions, Reach};
use portcullis::store::export::SinkState;
use portcullis::store::soc::{AlertChange, AlertWrite};
use portcullis::store::{Backend, Database, Item, Options, Vault, Writer};
use portcullis::telemetry::Metrics;
use portcullis::types::soc::{Alert, AlertState, Closed, Verdicted};
use portcullis::types::{
    Action, Caller, Decision, Evidence, Factors, Family, Finding, Generation, Recommendation, Record, RequestId,
    RuleId, RuleSetHash, Secret, Severity, SpanIndex, Verdict,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backends::place;

/// 2026-11-16 00:00 UTC.
pub const MONDAY: i64 = 1_795_132_800_000_000;

/// Where a store lives; gone when it is dropped.
pub struct Home {
    pub folder: TempDir,
    url: Secret,
    options: Options,
}

impl Home {
    pub fn new(backend: Backend) -> Self {
        let (folder, url) = place(backend);
        let options = Options {
            spool: Some(folder.path().join("spool")),
            flush_every: Duration::from_millis(5),
            retry_every: Duration::from_millis(50),
            ..Options::default()
        };
        Self { folder, url: Secret::new(url), options }
    }

    pub fn sqlite() -> Self {
        Self::new(Backend::Sqlite)
    }

    pub async fn site(&self) -> Site {
        let database = Database::open(&self.url, &self.options).await.unwrap();
        let directory = self.folder.path().join(format!("trail-{}", uuid::Uuid::new_v4().simple()));
        let options = audit::Options { directory, ..audit::Options::default() };
        let trail = Trail::open(database.clone(), options).await.unwrap();
        let vault = Arc::new(Vault::new(&self.options).unwrap());
        let metrics = Metrics::new("portcullis").unwrap();
        Site { database, trail, vault, metrics, lease: Duration::from_secs(5) }
    }

    pub fn writer(&self, database: &Database) -> Writer {
        Writer::start(database.clone(), &self.options, Vec::new()).unwrap()
    }
}

/// One replica.
pub struct Site {
    pub database: Database,
    pub trail: Trail,
    pub vault: Arc<Vault>,
    pub metrics: Metrics,
    pub lease: Duration,
}

/// Sinks at work.
pub struct Running {
    pub exports: Exports,
    pub tasks: Vec<JoinHandle<()>>,
    pub stop: CancellationToken,
}

impl Running {
    /// Ends as the gateway ends.
    pub async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    /// Ends as a crash does.
    pub async fn kill(self) {
        for task in self.tasks {
            task.abort();
            drop(task.await);
        }
    }
}

/// Settings of a sink: these keys, and a patience that suits a test.
pub fn settings(text: &str) -> ExportSink {
    let text = format!("name = \"siem\"\nbackfill = true\nretry_delay = \"10ms\"\nretry_longest = \"40ms\"\n{text}");
    toml::from_str(&text).unwrap()
}

pub fn http(timeout: Duration) -> Http {
    let options =
        HttpOptions { connect: timeout, total: timeout, max_answer: 1 << 20, kept: 1, reach: Reach::Anywhere };
    Http::new(portcullis::config::towards(None).unwrap(), options)
}

impl Site {
    pub fn exports(&self, settings: ExportSink, sink: Sink) -> Exports {
        let parts = Parts {
            database: self.database.clone(),
            trail: self.trail.clone(),
            vault: Arc::clone(&self.vault),
            metrics: self.metrics.clone(),
            every: Duration::from_millis(10),
            lease: self.lease,
            max_dead: 3,
            store: tokio::sync::OnceCell::new(),
        };
        Exports::new(parts, vec![Target { name: Arc::from(settings.name.as_str()), settings, sink }])
    }

    pub fn run(&self, settings: ExportSink, sink: Sink) -> Running {
        let (exports, stop) = (self.exports(settings, sink), CancellationToken::new());
        Running { tasks: exports.run(&stop), exports, stop }
    }

    pub async fn alert(&self, id: &str) {
        self.database.write_alerts(&[AlertWrite::New(alert(id, "ann"))]).await.unwrap();
    }

    pub async fn alerts(&self, ids: impl Iterator<Item = String>) {
        let writes: Vec<_> = ids.map(|id| AlertWrite::New(alert(&id, "ann"))).collect();
        self.database.write_alerts(&writes).await.unwrap();
    }

    pub async fn close(&self, id: &str) {
        let closed = Closed { reason: "resolved".into(), note: "done".to_owned(), by: "eve".into(), at: MONDAY };
        let change = AlertChange { state: Some(AlertState::Closed), closed: Some(closed), ..AlertChange::default() };
        self.database.change_alert(id, &change, None, &[]).await.unwrap();
    }

    pub async fn state(&self) -> Option<SinkState> {
        self.database.export_states().await.unwrap().into_iter().next()
    }

    /// Waits until the sink's state is like this.
    pub async fn until(&self, what: &str, reached: impl Fn(&SinkState) -> bool) -> SinkState {
        let waiting = async {
            loop {
                if let Some(state) = self.state().await.filter(&reached) {
                    return state;
                }
                tick().await;
            }
        };
        let done = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        match done {
            Ok(state) => state,
            Err(_) => panic!("still waiting: {what}: {:?}", self.state().await),
        }
    }

    /// Waits until so many dead letters are there.
    pub async fn until_dead(&self, count: u64) {
        let waiting = async {
            while self.database.export_dead_counts().await.unwrap().get("siem").copied().unwrap_or(0) != count {
                tick().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "not {count} dead letters");
    }
}

async fn tick() {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    ticks.tick().await;
    ticks.tick().await;
}

/// Waits for a condition, at most half a minute.
pub async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let waiting = async {
        while !reached() {
            tick().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "still waiting: {what}");
}

pub fn alert(id: &str, user: &str) -> Alert {
    Alert {
        id: id.into(),
        rule: "injection".into(),
        title: format!("Prompt injection {id}"),
        severity: Severity::High,
        family: Some(Family::PromptInjection),
        first: MONDAY,
        last: MONDAY + 5,
        count: 1,
        retries: 0,
        caller: caller(user),
        requests: vec!["req_1".into()],
        model: Some("gpt-5".into()),
        path: Some("/v1/chat/completions".into()),
        policy: Some("strict".into()),
        verdict: Verdicted { risk: 0.7, ..Verdicted::default() },
        proofs: Vec::new(),
        threats: Vec::new(),
        message: format!("1 attempt of {user}"),
        source: "gateway".into(),
        fold: format!("injection|{id}"),
        raw: Some(serde_json::json!({ "prompt": "SECRET WORDS" })),
        state: AlertState::Open,
        assignee: None,
        closed: None,
        incident: None,
        merged_into: None,
    }
}

pub fn caller(user: &str) -> Caller {
    Caller {
        address: Some("192.0.2.7".parse().unwrap()),
        tenant: Some("acme".into()),
        key: Some("key_1".into()),
        user: Some(user.into()),
        ..Caller::default()
    }
}

/// A request with this decision.
pub fn record(id: &str, decision: Decision) -> Item {
    let mut record = Record::new(MONDAY, RequestId(id.to_owned()), Generation(3));
    record.caller = caller("ann");
    record.method = "POST".into();
    record.path = "/v1/chat/completions".into();
    record.decision = decision;
    if decision != Decision::Allow {
        record.input = Some(Verdict {
            decision,
            risk: 0.9,
            findings: vec![Finding {
                rule: RuleId("PC-PI-0001".into()),
                title: "Override".into(),
                family: Family::PromptInjection,
                severity: Severity::High,
                score: 5.0,
                action: Action::Block,
                threats: Arc::from([]),
                evidence: Evidence { span: SpanIndex(1), start: 4, end: 9 },
                doubts: Vec::new(),
            }],
            false_positive: 0.0,
            recommended: Recommendation::default(),
            factors: Factors::default(),
            steps: Vec::new(),
            rule_set: RuleSetHash("abc".into()),
        });
    }
    Item::from(&record)
}

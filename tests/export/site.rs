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
use portcullis::store::{Backend, Database, Item, Vault};
use portcullis::telemetry::Metrics;
use portcullis::types::soc::{Alert, AlertState};
use portcullis::types::{Decision, Severity, Verdict};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::home::Home;
use crate::rows::{MONDAY, request, verdict};
use crate::soc_things;

impl Home {
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
        let closed = Some(soc_things::closed("resolved"));
        let change = AlertChange { state: Some(AlertState::Closed), closed, ..AlertChange::default() };
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

/// An alert whose words must not leave.
pub fn alert(id: &str, user: &str) -> Alert {
    Alert {
        title: format!("Prompt injection {id}"),
        severity: Severity::High,
        fold: format!("injection|{id}"),
        raw: Some(serde_json::json!({ "prompt": "SECRET WORDS" })),
        ..soc_things::alert(id, user)
    }
}

/// A request with this decision.
pub fn record(id: &str, decision: Decision) -> Item {
    let mut record = request(id, MONDAY, "ann");
    record.decision = decision;
    if decision != Decision::Allow {
        record.input = Some(Verdict { decision, risk: 0.9, ..verdict("PC-PI-0001") });
    }
    Item::from(&record)
}

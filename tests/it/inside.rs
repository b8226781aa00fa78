//! The data path in this process, between its two doors: a test amends the Snapshot itself and reads the events.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use portcullis::config::{self, Handle, Rulings};
use portcullis::proxy::listen::{self, Observer, Shutdown};
use portcullis::proxy::upstream::TlsConfigs;
use portcullis::proxy::{
    Callers, Counting, Gate, History, Holds, Live, PromptCache, Proxy, Recorder, Shared, VerdictCache,
};
use portcullis::quota::{Clock, Meter, MeterOptions};
use portcullis::telemetry::{EventQueues, Events, Metrics};
use portcullis::types::soc::{ToolHold, ToolRuling};
use portcullis::types::{Event, Record};
use tempfile::TempDir;

use crate::support::gateway::RULES;
use crate::support::{until, within};

/// A data path at work.
pub struct Inside {
    pub handle: Arc<Handle>,
    pub shared: Arc<Shared>,
    pub address: SocketAddr,
    pub shutdown: Shutdown,
    queues: Mutex<EventQueues>,
    directory: TempDir,
}

struct Nobody;

impl Observer for Nobody {}

impl Drop for Inside {
    fn drop(&mut self) {
        self.shutdown.now();
    }
}

impl Inside {
    /// In front of this provider, with these further tables of `gateway.toml`. `keys` are further keys of both upstreams.
    pub fn before(upstream: SocketAddr, sections: &str, keys: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("rules")).unwrap();
        std::fs::write(at("rules/test.yaml"), RULES).unwrap();
        let mut text = format!(
            "listeners = [{{ protocol = \"http\", address = \"127.0.0.1:0\" }}]\n[ops]\naddress = \"\"\n[store]\nurl = \"\"\n\
             [rules]\nbuiltin = false\ndirectories = [{:?}]\n[reload]\nwatch = false\n{sections}\n",
            at("rules").display().to_string(),
        );
        if !sections.contains("[server]") {
            text.push_str("[server]\nworkers = 1\n");
        }
        for kind in ["openai", "anthropic"] {
            text.push_str(&format!(
                "[upstreams.{kind}]\nkind = \"{kind}\"\nbase_url = \"http://{upstream}/v1\"\napi_key = \"sk-0123456789\"\n{keys}\n",
            ));
        }
        std::fs::write(at("gateway.toml"), text).unwrap();
        let loaded = config::load(Some(&at("gateway.toml")), std::iter::empty()).unwrap();
        let settings = Arc::clone(&loaded.settings);
        let handle = Arc::new(Handle::new(config::prepare(&loaded, None).unwrap()));
        let metrics = Metrics::new("test").unwrap();
        let (events, queues) = Events::new(1024, 64, metrics.clone());
        let meter = Meter::local(&MeterOptions { max_entries: 1024 }, Clock::system());
        let shared = Arc::new(Shared {
            recorder: Recorder::new(events, metrics.clone()),
            gate: Gate::new(&settings.limits, metrics),
            cache: VerdictCache::new(0, [0; 32]),
            prompts: PromptCache::new(0, [0; 32]),
            history: History::new(&settings.inspect.history),
            callers: Callers::new(&settings.identity, &[0; 32]),
            live: Arc::new(Live::default()),
            holds: Holds::default(),
            counting: Arc::new(Counting::new(meter)),
            tls: Arc::new(TlsConfigs::default()),
        });
        let bound = listen::bind(&settings).unwrap();
        let address = bound.addresses()[0];
        let shutdown = Shutdown::new();
        let (config, data) = (Arc::clone(&handle), Arc::clone(&shared));
        let make = move |_| Arc::new(Proxy::new(Arc::clone(&config), Arc::clone(&data)));
        drop(bound.spawn_workers(make, None, Arc::new(Nobody), &shutdown).unwrap());
        Self { handle, shared, address, shutdown, queues: Mutex::new(queues), directory }
    }

    /// Publishes what its files say, as a reload does.
    pub fn reload(&self) {
        let path = self.directory.path().join("gateway.toml");
        let loaded = config::load(Some(&path), std::iter::empty()).unwrap();
        self.handle.publish(self.handle.prepare(&loaded).unwrap());
    }

    /// The next event that `pick` wants; others are forgotten.
    async fn next<T>(&self, what: &str, pick: impl Fn(Event) -> Option<T>) -> T {
        until(10, what, || {
            let mut queues = self.queues.lock().unwrap();
            while let Ok(event) = queues.ordinary.try_recv() {
                if let Some(found) = pick(event) {
                    return Some(found);
                }
            }
            None
        })
        .await
    }

    /// The next call that waits.
    pub async fn held(&self) -> ToolHold {
        let pick = |event| if let Event::ToolHeld(hold) = event { Some(*hold) } else { None };
        self.next("a call that waits", pick).await
    }

    /// The next record.
    pub async fn record(&self) -> Record {
        let pick = |event| if let Event::Request(record) = event { Some(*record) } else { None };
        self.next("a record", pick).await
    }

    /// Puts a ruling on `hold` in force beside those that are.
    pub fn rule(&self, hold: &ToolHold, granted: bool) {
        self.put(ToolRuling {
            id: Arc::clone(&hold.id),
            tool: Arc::clone(&hold.tool),
            arguments: hold.arguments.clone(),
            granted,
            by: "acc_1".into(),
            at: hold.since,
        });
    }

    /// Puts a ruling in force beside those that are.
    pub fn put(&self, ruling: ToolRuling) {
        self.handle.amend(|snapshot| {
            let mut rulings = Rulings::clone(&snapshot.rulings);
            rulings.give(ruling.clone());
            snapshot.rulings = Arc::new(rulings);
        });
    }

    /// Waits until no call waits any more.
    pub async fn nothing_waits(&self) {
        within(10, async {
            while !self.shared.holds.is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

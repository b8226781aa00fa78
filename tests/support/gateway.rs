//! The real binary as a child process, on free ports, with a configuration of the test's own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::client::{self, Answer};
use super::until;

/// The provider key the gateway injects; long and odd, so that it can be searched for.
pub const PROVIDER_KEY: &str = "sk-provider-0123456789abcdefghijklmnopqrstuv";

/// The rules of the tests: one that blocks a prompt, one that blocks an answer, one that redacts an answer.
pub const RULES: &str = r#"id: PC-TEST-0001
title: A marker that stands for an attack
family: prompt_injection
gain: Nothing, it is a test.
severity: high
score: 10
direction: input
action: block
detection:
  prefilter: [attack-marker]
  sel_marker: 'attack-marker'
examples: { positive: ["an attack-marker here"], negative: ["a marker"] }
---
id: PC-TEST-0002
title: A marker that stands for a leak
family: secrets
gain: Nothing, it is a test.
severity: critical
score: 10
direction: output
action: block
detection:
  sel_leak: 'leak-[0-9]{8}'
examples: { positive: ["a leak-12345678 here"], negative: ["leak-1234"] }
---
id: PC-TEST-0003
title: A marker that stands for something private
family: privacy
gain: Nothing, it is a test.
severity: medium
score: 5
direction: output
action: redact
mark: "[GONE]"
detection:
  sel_private: 'private-[a-z]{8}'
examples: { positive: ["a private-abcdefgh here"], negative: ["private-abc"] }
"#;

/// How a gateway is set up.
pub struct Setup {
    upstream: Option<SocketAddr>,
    sections: String,
    upstream_keys: String,
    rules: String,
    builtin: bool,
    inspect: String,
    server: String,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// In front of this provider, both OpenAI's and Anthropic's API, with the tests' own rules.
    pub fn before(upstream: SocketAddr) -> Self {
        Self {
            upstream: Some(upstream),
            sections: String::new(),
            upstream_keys: String::new(),
            rules: RULES.to_owned(),
            builtin: false,
            inspect: String::new(),
            server: "drain_delay = \"0ms\"\ndrain_deadline = \"10s\"\n".to_owned(),
            environment: Vec::new(),
        }
    }

    /// With no provider: the rehearsal model answers. The built-in rules are on.
    pub fn rehearsal() -> Self {
        Self {
            upstream: None,
            sections: String::new(),
            upstream_keys: String::new(),
            rules: RULES.to_owned(),
            builtin: true,
            inspect: String::new(),
            server: "drain_delay = \"0ms\"\ndrain_deadline = \"10s\"\n".to_owned(),
            environment: Vec::new(),
        }
    }

    /// Whole further tables of `gateway.toml`.
    pub fn section(mut self, text: &str) -> Self {
        self.sections.push_str(text);
        self.sections.push('\n');
        self
    }

    /// Further keys of both upstreams.
    pub fn upstream_keys(mut self, text: &str) -> Self {
        self.upstream_keys.push_str(text);
        self.upstream_keys.push('\n');
        self
    }

    /// Further keys of `[inspect]`.
    pub fn inspect(mut self, text: &str) -> Self {
        self.inspect.push_str(text);
        self.inspect.push('\n');
        self
    }

    /// The keys of `[server]`.
    pub fn server(mut self, text: &str) -> Self {
        text.clone_into(&mut self.server);
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Other rules than the tests' own.
    pub fn rules(mut self, text: &str) -> Self {
        text.clone_into(&mut self.rules);
        self
    }

    /// `gateway.toml` for a gateway that lives in `directory`.
    fn toml(&self, directory: &Path) -> String {
        let at = |name: &str| directory.join(name).display().to_string();
        let mut text = format!(
            "listeners = [{{ protocol = \"http\", address = \"127.0.0.1:0\" }}]\n\
             [server]\nworkers = 2\n{}\n[ops]\naddress = \"127.0.0.1:0\"\n[record]\npath = {:?}\nflush_every = \"5ms\"\n\
             [rules]\nbuiltin = {}\ndirectories = [{:?}]\n[inspect]\n{}\n[reload]\nwatch = false\n[telemetry]\nlog = \"info\"\n{}\n",
            self.server,
            at("records.jsonl"),
            self.builtin,
            at("rules"),
            self.inspect,
            self.sections,
        );
        if let Some(upstream) = self.upstream {
            for kind in ["openai", "anthropic"] {
                text.push_str(&format!(
                    "[upstreams.{kind}]\nkind = \"{kind}\"\nbase_url = \"http://{upstream}/v1\"\n\
                     api_key = \"{PROVIDER_KEY}\"\n{}\n",
                    self.upstream_keys,
                ));
            }
        }
        text
    }

    /// Starts it and waits until it serves.
    pub async fn start(self) -> Gateway {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path();
        fs::create_dir(path.join("rules")).expect("rules directory");
        fs::write(path.join("rules/test.yaml"), &self.rules).expect("rules");
        fs::write(path.join("gateway.toml"), self.toml(path)).expect("gateway.toml");
        let child = spawn(path, &self.environment);
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut gateway = Gateway { child, directory, address: unknown, ops: unknown, setup: self };
        let addresses = until(90, "the gateway's addresses", || gateway.addresses()).await;
        (gateway.address, gateway.ops) = addresses;
        gateway
    }
}

/// The binary, in its directory. What it says is added to its log.
fn spawn(path: &Path, environment: &[(String, String)]) -> Child {
    let log = fs::File::options().append(true).create(true).open(path.join("log")).expect("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("PORTCULLIS")
            || name.ends_with("_API_KEY")
            || name.starts_with("OTEL_")
            || name == "RUST_LOG"
        {
            command.env_remove(name);
        }
    }
    command
        .args(["serve", "--config"])
        .arg(path.join("gateway.toml"))
        .env("PORTCULLIS_ADDRESSES_FILE", path.join("addresses.json"))
        .env("RUST_BACKTRACE", "1")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(path)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("log"))
        .stderr(log)
        .spawn()
        .expect("the gateway starts")
}

/// A running gateway.
pub struct Gateway {
    child: Child,
    directory: TempDir,
    /// The plain HTTP listener.
    pub address: SocketAddr,
    /// The ops listener.
    pub ops: SocketAddr,
    setup: Setup,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            eprintln!("--- the gateway's log ---");
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

impl Gateway {
    fn addresses(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("the gateway ended at once ({status}):\n{}", self.log());
        }
        let text = fs::read_to_string(self.directory.path().join("addresses.json")).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        let listener = value["listeners"].as_array()?.iter().find(|one| one["protocol"] == "http")?;
        Some((listener["address"].as_str()?.parse().ok()?, value["ops"].as_str()?.parse().ok()?))
    }

    /// Sends a request on its own connection.
    pub async fn send(&self, request: hyper::Request<http_body_util::Full<bytes::Bytes>>) -> Answer {
        client::send(self.address, request).await
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// A path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The records written so far.
    pub fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("records.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for exactly `count` records, and that no further one follows.
    pub async fn exactly(&self, count: usize) -> Vec<Value> {
        until(10, &format!("{count} records"), || (self.records().len() >= count).then_some(())).await;
        // Ten flushes later there would be a second one.
        tokio::time::sleep(Duration::from_millis(60)).await;
        let records = self.records();
        assert_eq!(records.len(), count, "{records:#?}");
        records
    }

    /// The only record.
    pub async fn only_record(&self) -> Value {
        self.exactly(1).await.remove(0)
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// Sends a signal (`TERM`, `HUP`).
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill").success());
    }

    /// Kills it (-9) and starts it again with what it left behind.
    pub async fn restart(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        fs::remove_file(self.path("addresses.json")).expect("it had started");
        self.child = spawn(self.directory.path(), &self.setup.environment);
        (self.address, self.ops) = until(90, "the gateway's addresses", || self.addresses()).await;
    }

    /// Waits for the process to end; its exit code.
    pub async fn exit_code(&mut self, seconds: u64) -> Option<i32> {
        until(seconds, "the gateway's end", || self.child.try_wait().expect("a child")).await.code()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Replaces the rules on disk.
    pub fn write_rules(&self, text: &str) {
        let path = self.path("rules/test.yaml");
        fs::write(path.with_extension("new"), text).expect("rules");
        fs::rename(path.with_extension("new"), path).expect("rules");
    }

    /// Writes `gateway.toml` again with these further tables.
    pub fn write_sections(&mut self, sections: &str) {
        sections.clone_into(&mut self.setup.sections);
        let text = self.setup.toml(self.directory.path());
        self.write_config(&text);
    }

    /// Replaces `gateway.toml`.
    pub fn write_config(&self, text: &str) {
        let path = self.path("gateway.toml");
        fs::write(path.with_extension("new"), text).expect("gateway.toml");
        fs::rename(path.with_extension("new"), path).expect("gateway.toml");
    }

    /// `POST /reload` on the ops listener.
    pub async fn reload(&self) -> Answer {
        client::send(self.ops, client::post("/reload", "")).await
    }

    /// The value of a metric: the sum of every line that starts with `name` and contains all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let request = hyper::Request::get("/metrics").header("host", "ops").body(http_body_util::Full::default());
        let text = client::send(self.ops, request.expect("a request")).await.text();
        let ours = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
        };
        text.lines().filter(ours).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

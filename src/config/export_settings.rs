//! The shape of `[export]` and `[[export.sinks]]`: what other systems are sent, and how.

use std::path::PathBuf;

use hyper::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::soc_outside::plain;
use super::units::{Size, Time};
use crate::types::Severity;

/// Sinks at most.
const MOST_SINKS: usize = 64;

/// What other systems are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// `false` stops every sink where it is.
    pub enabled: bool,
    /// How often a sink looks for what is new: so long something waits for others to be sent together with it.
    pub every: Time,
    /// How long a replica has a sink for itself; after that another takes over from one that died.
    pub lease: Time,
    /// Items refused for good that are kept of each sink, for people to look at; the oldest go first, and are counted.
    pub max_dead_letters: u32,
    /// Where to.
    pub sinks: Vec<ExportSink>,
}

/// One receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportSink {
    /// What it is called: letters, digits, `-` and `_`. How far it is belongs to the name.
    pub name: String,
    /// What is spoken.
    pub kind: SinkKind,
    /// What it is sent.
    #[serde(default = "kinds")]
    pub kinds: Vec<ExportKind>,
    /// Only what is at least this bad.
    #[serde(default = "informational")]
    #[schemars(with = "String")]
    pub min_severity: Severity,
    /// Changes too; `false`: only what is new, and what is closed or ended.
    #[serde(default = "yes")]
    pub changes: bool,
    /// Add prompt and answer, as far as the privacy mode keeps them.
    #[serde(default)]
    pub content: bool,
    /// A sink that is new begins with what is stored already.
    #[serde(default)]
    pub backfill: bool,
    /// Where to.
    #[serde(default)]
    pub url: Option<String>,
    /// The environment variable with the address, where that is secret, as Slack's are.
    #[serde(default)]
    pub url_env: Option<String>,
    /// The environment variable with the secret: signing key, routing key, token, API key or password.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// The file with it.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Webhooks: the environment variable with the signing key of before, while receivers change to the new one.
    #[serde(default)]
    pub secret_before_env: Option<String>,
    /// The file with it.
    #[serde(default)]
    pub secret_before_file: Option<PathBuf>,
    /// Elasticsearch and OTLP: the user whose password the secret is; without one it is an API key or bearer token.
    #[serde(default)]
    pub user: Option<String>,
    /// A file of PEM with certificate authorities to trust beside the platform's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Allow http to another machine.
    #[serde(default)]
    pub insecure_http: bool,
    /// One try, from connecting to the whole answer.
    #[serde(default = "ten_seconds")]
    pub timeout: Time,
    /// Items sent together, where the receiver takes several.
    #[serde(default = "hundred")]
    pub batch: u32,
    /// Bytes sent together.
    #[serde(default = "mebibyte")]
    pub batch_bytes: Size,
    /// Entries of each source (feed, audit trail, records) that may wait.
    #[serde(default = "million")]
    pub max_backlog: u64,
    /// How old they may become; `"0"`: as old as they are kept.
    #[serde(default = "zero")]
    pub max_age: Time,
    /// What happens beyond that.
    #[serde(default)]
    pub on_overflow: Overflow,
    /// After a failure it is tried again after so long, then after twice that, and so on.
    #[serde(default = "second")]
    pub retry_delay: Time,
    /// The longest of these.
    #[serde(default = "five_minutes")]
    pub retry_longest: Time,
    /// Syslog: the receiver, `host:port`.
    #[serde(default)]
    pub address: Option<String>,
    /// Syslog: how it is carried.
    #[serde(default)]
    pub protocol: SyslogProtocol,
    /// Syslog: the facility, 0 to 23.
    #[serde(default = "log_audit")]
    pub facility: u8,
    /// Syslog over TLS and TCP: wait until the receiver has closed its side, which it does once it has read everything.
    #[serde(default = "yes")]
    pub confirm: bool,
    /// Splunk: the index; Elasticsearch and OpenSearch: the data stream or index.
    #[serde(default)]
    pub index: Option<String>,
    /// Splunk: wait until the indexer has acknowledged.
    #[serde(default)]
    pub ack: bool,
    /// OCSF files: the directory.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// OCSF files: a new file after so many bytes.
    #[serde(default = "file_bytes")]
    pub max_file: Size,
    /// OCSF files: a new file after so long.
    #[serde(default = "day")]
    pub rotate_every: Time,
    /// OCSF files: full ones that are kept, the oldest are removed; 0: all.
    #[serde(default = "hundred")]
    pub keep_files: u32,
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    /// A signed POST of JSON for each item (Standard Webhooks).
    Webhook,
    /// An incoming webhook of Slack.
    Slack,
    /// PagerDuty's Events API v2.
    Pagerduty,
    /// CEF in syslog (RFC 5424).
    Syslog,
    /// Splunk's HTTP Event Collector.
    Splunk,
    /// `_bulk` of Elasticsearch or OpenSearch.
    Elasticsearch,
    /// Files of OCSF events, one in a line.
    Ocsf,
    /// Log records of OpenTelemetry over HTTP.
    Otlp,
}

/// What there is to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportKind {
    /// Alerts, new and changed.
    Alert,
    /// Incidents, new and changed.
    Incident,
    /// Remedies, new and changed.
    Remedy,
    /// Requests that were not simply let through.
    Record,
    /// Entries of the audit trail.
    Audit,
}

/// What happens when too much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The oldest are given up, and counted.
    #[default]
    DropOldest,
    /// Everything waits for as long as the store keeps it (`store.retention`).
    Keep,
}

/// How syslog is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyslogProtocol {
    /// TLS (RFC 5425).
    #[default]
    Tls,
    /// TCP, in clear.
    Tcp,
    /// UDP, in clear; nobody knows what arrives.
    Udp,
}

impl SinkKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Pagerduty => "pagerduty",
            Self::Syslog => "syslog",
            Self::Splunk => "splunk",
            Self::Elasticsearch => "elasticsearch",
            Self::Ocsf => "ocsf",
            Self::Otlp => "otlp",
        }
    }
}

impl ExportKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Incident => "incident",
            Self::Remedy => "remedy",
            Self::Record => "record",
            Self::Audit => "audit",
        }
    }
}

fn kinds() -> Vec<ExportKind> {
    vec![ExportKind::Alert, ExportKind::Incident]
}

const fn informational() -> Severity {
    Severity::Informational
}

const fn yes() -> bool {
    true
}

const fn zero() -> Time {
    Time::from_secs(0)
}

const fn second() -> Time {
    Time::from_secs(1)
}

const fn ten_seconds() -> Time {
    Time::from_secs(10)
}

const fn five_minutes() -> Time {
    Time::from_secs(300)
}

const fn day() -> Time {
    Time::from_secs(24 * 3600)
}

const fn hundred() -> u32 {
    100
}

const fn million() -> u64 {
    1_000_000
}

const fn log_audit() -> u8 {
    13
}

const fn mebibyte() -> Size {
    Size::bytes(1 << 20)
}

const fn file_bytes() -> Size {
    Size::bytes(64 << 20)
}

impl Default for Export {
    fn default() -> Self {
        Self { enabled: true, every: second(), lease: Time::from_secs(30), max_dead_letters: 10_000, sinks: Vec::new() }
    }
}

impl Export {
    /// What is wrong with it, by key.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut need = |holds: bool, key: &str, told: &str| {
            if !holds {
                found.push((key.to_owned(), told.to_owned()));
            }
        };
        need(!self.every.is_zero(), "every", "must be longer than 0");
        need(self.lease.get().as_secs() >= 5, "lease", "must be 5s or longer");
        need(self.max_dead_letters > 0, "max_dead_letters", "must be at least 1");
        need(self.sinks.len() <= MOST_SINKS, "sinks", "may be 64 at most");
        for (index, sink) in self.sinks.iter().enumerate() {
            let at = |key: &str| format!("sinks.{index}.{key}");
            let fresh = !self.sinks.iter().take(index).any(|other| other.name == sink.name);
            let told = "must be letters, digits, - and _, and no other sink's";
            // A path of the API has this name already.
            let free = sink.name != "dead-letters";
            need(fresh && free && plain(&sink.name), &at("name"), told);
            sink.problems(&mut |holds, key, told| need(holds, &at(key), told));
        }
        found
    }
}

impl ExportSink {
    fn problems(&self, need: &mut impl FnMut(bool, &str, &str)) {
        need(!self.kinds.is_empty(), "kinds", "must name something");
        let bounded = !self.timeout.is_zero() && self.timeout.get().as_secs() <= 300;
        need(bounded, "timeout", "must be longer than 0 and at most 5m");
        need((1..=1000).contains(&self.batch), "batch", "must be 1 to 1000");
        let bytes = (1 << 10..=64 << 20).contains(&self.batch_bytes.get());
        need(bytes, "batch_bytes", "must be between 1KiB and 64MiB");
        need(self.max_backlog > 0, "max_backlog", "must be at least 1");
        need(!self.retry_delay.is_zero(), "retry_delay", "must be longer than 0");
        need(self.retry_delay <= self.retry_longest, "retry_longest", "must not be below retry_delay");
        if let Some(url) = &self.url {
            let told = "must be an https URL without a user (http on this machine only, or with insecure_http)";
            need(safe(url, self.insecure_http), "url", told);
        }
        need(self.secret_env.is_none() || self.secret_file.is_none(), "secret_file", "give the secret in one way");
        let before = self.secret_before_env.is_some() || self.secret_before_file.is_some();
        need(!before || self.kind == SinkKind::Webhook, "secret_before_env", "is for webhooks");
        need(
            self.secret_before_env.is_none() || self.secret_before_file.is_none(),
            "secret_before_file",
            "give the secret in one way",
        );
        let whole = matches!(
            self.kind,
            SinkKind::Webhook | SinkKind::Splunk | SinkKind::Elasticsearch | SinkKind::Ocsf | SinkKind::Otlp
        );
        need(whole || !self.content, "content", "is not for this kind: its messages are read by many");
        self.own(need);
    }

    /// What one kind needs.
    fn own(&self, need: &mut impl FnMut(bool, &str, &str)) {
        let secret = self.secret_env.is_some() || self.secret_file.is_some();
        let given = self.url.is_some() != self.url_env.is_some();
        match self.kind {
            SinkKind::Webhook => {
                need(given, "url", "give either url or url_env");
                need(secret, "secret_env", "is needed: messages are signed with it");
            }
            SinkKind::Slack => need(given, "url_env", "give either url or url_env"),
            SinkKind::Pagerduty => need(secret, "secret_env", "is needed: the routing key"),
            SinkKind::Splunk => {
                need(given, "url", "give either url or url_env");
                need(secret, "secret_env", "is needed: the token");
            }
            SinkKind::Elasticsearch => {
                need(given, "url", "give either url or url_env");
                need(self.index.as_deref().is_some_and(index), "index", "must name a data stream or an index");
                need(self.user.is_none() || secret, "user", "goes with secret_env or secret_file");
            }
            SinkKind::Otlp => {
                need(given, "url", "give either url or url_env");
                need(self.user.is_none() || secret, "user", "goes with secret_env or secret_file");
            }
            SinkKind::Syslog => {
                let place = self.address.as_deref().and_then(|address| address.rsplit_once(':'));
                let good = place
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
                need(good, "address", "must be host:port");
                need(self.facility <= 23, "facility", "must be 0 to 23");
            }
            SinkKind::Ocsf => {
                need(self.directory.is_some(), "directory", "is needed");
                need(self.max_file.get() >= 1 << 16, "max_file", "must be 64KiB or more");
                need(!self.rotate_every.is_zero(), "rotate_every", "must be longer than 0");
            }
        }
    }
}

/// What may stand in a path, and is a name there.
fn index(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(good) && !name.starts_with(['-', '_', '.'])
}

/// `https`, or `http` to this machine or where that is allowed; no user.
pub fn safe(url: &str, insecure: bool) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let local = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    !url.contains('@')
        && uri.host().is_some()
        && (uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && (local || insecure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        let export: Export = toml::from_str(text).unwrap();
        export.problems().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn each_mistake_is_named() {
        assert_eq!(keys(""), [""; 0]);
        for (sink, expected) in [
            ("name = \"a\"\nkind = \"webhook\"\nurl = \"https://x.example/\"\nsecret_env = \"S\"", ""),
            ("name = \"a b\"\nkind = \"webhook\"\nurl = \"http://x.example\"", "name url secret_env"),
            (
                "name = \"a\"\nkind = \"splunk\"\nurl = \"http://x.example\"\ninsecure_http = true\nsecret_env = \"S\"",
                "",
            ),
            ("name = \"a\"\nkind = \"splunk\"\nurl = \"http://127.0.0.1:8088\"\nsecret_env = \"S\"", ""),
            ("name = \"a\"\nkind = \"elasticsearch\"\nurl = \"https://u:p@x.example\"\nindex = \"a/b\"", "url index"),
            ("name = \"a\"\nkind = \"slack\"\nurl_env = \"U\"\ncontent = true", "content"),
            ("name = \"a\"\nkind = \"syslog\"\naddress = \"siem\"\nfacility = 24", "address facility"),
            ("name = \"a\"\nkind = \"ocsf\"\nbatch = 0\nkinds = []", "kinds batch directory"),
            ("name = \"a\"\nkind = \"pagerduty\"\nsecret_before_env = \"B\"", "secret_before_env secret_env"),
        ] {
            let found = keys(&format!("[[sinks]]\n{sink}")).join(" ");
            assert_eq!(found.replace("sinks.0.", ""), expected, "{sink}");
        }
        assert!(toml::from_str::<Export>("[[sinks]]\nname = \"a\"\nkind = \"kafka\"").is_err());
    }
}

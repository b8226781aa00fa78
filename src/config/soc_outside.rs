//! `[soc.analyst]`, `[soc.embeddings]`, `[[soc.notify]]`, `[soc.ingest]`, `[soc.live]`: what the SOC has to do with others.

use std::path::PathBuf;

use hyper::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Size, Time};

/// A language model that is asked beside the rules. It adds words and chooses among what is allowed, no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Analyst {
    /// An OpenAI-compatible API, up to and including the version; absent: rules alone.
    pub base_url: Option<String>,
    /// The model's name there.
    pub model: String,
    /// The environment variable with its key.
    pub api_key_env: Option<String>,
    /// The file with its key.
    pub api_key_file: Option<PathBuf>,
    /// From the question to the answer; without one in time the rules stand alone.
    pub timeout: Time,
    /// Tokens of an answer.
    pub max_tokens: u32,
    /// Ask it once more, about a finished plan: policy, privacy and tone. A no refuses the plan.
    pub reviewer: bool,
    /// The share of a plan's claims that must be supported, 0 to 1.
    pub groundedness: f32,
    /// The share of a claim's words that must stand in the evidence it cites, 0 to 1.
    pub overlap: f32,
    /// A directory with a cross-encoder (`model.onnx`, `tokenizer.json`, `config.json`): it reads each claim with its evidence,
    /// and says in place of that share whether it is supported. Needs a build with the feature `onnx`. Reloaded.
    pub cross_encoder: Option<PathBuf>,
    /// What it has to give a supported claim, 0 to 1. Reloaded.
    pub supported_from: f32,
    /// From its question to its answer; without one in time the share of words stands. Reloaded.
    pub cross_timeout: Time,
    /// Tokens it reads at once, claim and special ones included. Reloaded.
    pub cross_tokens: usize,
    /// Threads of its own. Reloaded.
    pub cross_threads: usize,
}

/// An upstream that makes vectors of texts; absent: hashed n-grams do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Embeddings {
    /// An OpenAI-compatible API, up to and including the version.
    pub base_url: Option<String>,
    /// The model's name there.
    pub model: String,
    /// The environment variable with its key.
    pub api_key_env: Option<String>,
    /// The file with its key.
    pub api_key_file: Option<PathBuf>,
    /// From the question to the answer; without one in time n-grams do.
    pub timeout: Time,
    /// Texts of one question.
    pub batch: usize,
}

/// Somebody who can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// What plans and responses call it: letters, digits, `-` and `_`.
    pub name: String,
    /// How it is told.
    pub kind: ChannelKind,
    /// Where to: a webhook's address.
    #[serde(default)]
    pub url: Option<String>,
    /// The environment variable with the address, where that is secret, as Slack's are.
    #[serde(default)]
    pub url_env: Option<String>,
    /// The environment variable with the secret: a webhook's signing key (HMAC-SHA256), PagerDuty's routing key.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// E-mail: the server, `host:port`; STARTTLS is required except on this machine.
    #[serde(default)]
    pub smtp: Option<String>,
    /// E-mail: the user at the server.
    #[serde(default)]
    pub smtp_user: Option<String>,
    /// E-mail: the environment variable with the user's password.
    #[serde(default)]
    pub smtp_password_env: Option<String>,
    /// E-mail: the sender.
    #[serde(default)]
    pub from: Option<String>,
    /// E-mail: the receivers.
    #[serde(default)]
    pub to: Vec<String>,
    /// One try.
    #[serde(default = "ten_seconds")]
    pub timeout: Time,
}

/// How somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A signed POST of JSON.
    Webhook,
    /// An incoming webhook of Slack.
    Slack,
    /// PagerDuty's Events API v2.
    Pagerduty,
    /// E-mail.
    Email,
}

const fn ten_seconds() -> Time {
    Time::from_secs(10)
}

/// Alerts of other systems, `POST /ingest` on the ops listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// Who may send; without any nothing is taken in.
    pub sources: Vec<IngestSource>,
    /// Requests of one source in a second; further ones are told to come back.
    pub rate: u32,
    /// Bytes of one request.
    pub max_body: Size,
    /// Alerts of one request.
    pub max_alerts: usize,
    /// How far the time of a signature may be from now.
    pub max_skew: Time,
}

/// A system that may send alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestSource {
    /// What its alerts say they come from: letters, digits, `-` and `_`.
    pub name: String,
    /// The environment variable with the key of its signatures (HMAC-SHA256).
    pub secret_env: String,
}

/// The live feed, a WebSocket on the ops listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Live {
    /// Subscribers at once; a further one is refused.
    pub subscribers: usize,
    /// Subscribers of one account at once.
    pub per_account: usize,
    /// Messages that may wait for one subscriber; one that is slower is cut, and resumes from the store.
    pub queue: usize,
    /// How often a subscriber without messages hears something.
    pub heartbeat: Time,
}

impl Default for Analyst {
    fn default() -> Self {
        Self {
            base_url: None,
            model: String::new(),
            api_key_env: None,
            api_key_file: None,
            timeout: Time::from_secs(30),
            max_tokens: 1024,
            reviewer: false,
            groundedness: 0.8,
            overlap: 0.5,
            cross_encoder: None,
            supported_from: 0.5,
            cross_timeout: ten_seconds(),
            cross_tokens: 512,
            cross_threads: 1,
        }
    }
}

impl Default for Embeddings {
    fn default() -> Self {
        Self {
            base_url: None,
            model: String::new(),
            api_key_env: None,
            api_key_file: None,
            timeout: ten_seconds(),
            batch: 64,
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        let (max_body, max_skew) = (Size::bytes(256 << 10), Time::from_secs(300));
        Self { sources: Vec::new(), rate: 50, max_body, max_alerts: 256, max_skew }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self { subscribers: 256, per_account: 32, queue: 1024, heartbeat: Time::from_secs(15) }
    }
}

impl Analyst {
    pub(super) fn problems(&self, need: &mut impl FnMut(bool, &str, &str)) {
        let at = |key: &str| format!("analyst.{key}");
        model(&at, self.base_url.as_deref(), &self.model, need);
        let ways = self.api_key_env.is_none() || self.api_key_file.is_none();
        need(ways, &at("api_key_file"), "give the key in one way");
        need(!self.timeout.is_zero(), &at("timeout"), "must be longer than 0");
        need((64..=32_768).contains(&self.max_tokens), &at("max_tokens"), "must be 64 to 32768");
        need(!self.reviewer || self.base_url.is_some(), &at("reviewer"), "needs soc.analyst.base_url");
        for (key, share) in
            [("groundedness", self.groundedness), ("overlap", self.overlap), ("supported_from", self.supported_from)]
        {
            need((0.0..=1.0).contains(&share), &at(key), "must be between 0 and 1");
        }
        need(!self.cross_timeout.is_zero(), &at("cross_timeout"), "must be longer than 0");
        need((16..=65_536).contains(&self.cross_tokens), &at("cross_tokens"), "must be 16 to 65536");
        need((1..=256).contains(&self.cross_threads), &at("cross_threads"), "must be 1 to 256");
    }
}

impl Embeddings {
    pub(super) fn problems(&self, need: &mut impl FnMut(bool, &str, &str)) {
        let at = |key: &str| format!("embeddings.{key}");
        model(&at, self.base_url.as_deref(), &self.model, need);
        let ways = self.api_key_env.is_none() || self.api_key_file.is_none();
        need(ways, &at("api_key_file"), "give the key in one way");
        need(!self.timeout.is_zero(), &at("timeout"), "must be longer than 0");
        need((1..=2048).contains(&self.batch), &at("batch"), "must be 1 to 2048");
    }
}

/// Where a model is, and that it has a name.
fn model(at: &impl Fn(&str) -> String, url: Option<&str>, name: &str, need: &mut impl FnMut(bool, &str, &str)) {
    if let Some(url) = url {
        let uri = url.parse::<Uri>().ok();
        let good = uri.is_some_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")));
        need(
            good && !url.contains('@'),
            &at("base_url"),
            "must be an address such as http://127.0.0.1:11434/v1, without a user",
        );
        need(!name.trim().is_empty(), &at("model"), "must be given");
    }
}

/// What is wrong with channels.
pub(super) fn channels(channels: &[Channel], need: &mut impl FnMut(bool, &str, &str)) {
    for (index, channel) in channels.iter().enumerate() {
        let at = |key: &str| format!("notify.{index}.{key}");
        let fresh = !channels.iter().take(index).any(|other| other.name == channel.name);
        need(fresh && plain(&channel.name), &at("name"), "must be letters, digits, - and _, and no other channel's");
        if let Some(url) = &channel.url {
            need(safe(url), &at("url"), "must be an https URL (http on this machine only), without a user");
        }
        let given = channel.url.is_some() != channel.url_env.is_some();
        match channel.kind {
            ChannelKind::Webhook => {
                need(given, &at("url"), "give either url or url_env");
                need(channel.secret_env.is_some(), &at("secret_env"), "is needed: messages are signed with it");
            }
            ChannelKind::Slack => need(given, &at("url_env"), "give either url or url_env"),
            ChannelKind::Pagerduty => {
                need(channel.secret_env.is_some(), &at("secret_env"), "is needed: the routing key");
            }
            ChannelKind::Email => {
                let host = |smtp: &String| {
                    smtp.rsplit_once(':')
                        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
                };
                need(channel.smtp.as_ref().is_some_and(host), &at("smtp"), "must be host:port");
                need(
                    channel.from.as_deref().is_some_and(mailbox),
                    &at("from"),
                    "must be an address such as soc@example.com",
                );
                let all = !channel.to.is_empty() && channel.to.len() <= 32 && channel.to.iter().all(|to| mailbox(to));
                need(all, &at("to"), "must be 1 to 32 addresses");
                let both = channel.smtp_user.is_some() == channel.smtp_password_env.is_some();
                need(both, &at("smtp_user"), "goes with smtp_password_env");
            }
        }
        need(!channel.timeout.is_zero(), &at("timeout"), "must be longer than 0");
    }
    need(channels.len() <= 64, "notify", "may have 64 channels at most");
}

pub(super) fn plain(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(good)
}

/// An address of mail that cannot hold a second one, or a line.
fn mailbox(address: &str) -> bool {
    let good = |c: char| c.is_alphanumeric() || "@.+-_".contains(c);
    let halves = address.split_once('@');
    address.len() <= 254
        && address.chars().all(good)
        && halves.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

/// `https`, or `http` to this machine; no user.
fn safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let local = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    !url.contains('@')
        && uri.host().is_some()
        && (uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && local)
}

impl Ingest {
    pub(super) fn problems(&self, need: &mut impl FnMut(bool, &str, &str)) {
        need(self.rate > 0, "ingest.rate", "must be at least 1");
        let body = (1 << 10..=16 << 20).contains(&self.max_body.get());
        need(body, "ingest.max_body", "must be between 1KiB and 16MiB");
        need((1..=4096).contains(&self.max_alerts), "ingest.max_alerts", "must be 1 to 4096");
        need(!self.max_skew.is_zero(), "ingest.max_skew", "must be longer than 0");
        need(self.sources.len() <= 256, "ingest.sources", "may have 256 entries at most");
        for (index, source) in self.sources.iter().enumerate() {
            let at = |key: &str| format!("ingest.sources.{index}.{key}");
            let fresh =
                !self.sources.iter().take(index).any(|other| other.name == source.name) && source.name != "gateway";
            need(
                fresh && plain(&source.name),
                &at("name"),
                "must be letters, digits, - and _, no other source's, and not gateway",
            );
            need(!source.secret_env.trim().is_empty(), &at("secret_env"), "must be given");
        }
    }
}

impl Live {
    pub(super) fn problems(&self, need: &mut impl FnMut(bool, &str, &str)) {
        need((1..=10_000).contains(&self.subscribers), "live.subscribers", "must be 1 to 10000");
        need((1..=10_000).contains(&self.per_account), "live.per_account", "must be 1 to 10000");
        need((16..=1 << 16).contains(&self.queue), "live.queue", "must be 16 to 65536");
        need(!self.heartbeat.is_zero(), "live.heartbeat", "must be longer than 0");
    }
}

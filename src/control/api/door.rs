//! What the admin API needs of the running gateway: narrow doors, each of which the application fills.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::soc::Soc;
use super::trying::Trying;
use crate::config::Snapshot;
use crate::config::settings::SecurityMode;
use crate::control::audit::Verified;
use crate::control::export::Exports;
use crate::control::learn::LearnDesk;
use crate::control::report::ReportDesk;
use crate::quota::ScopeKind;
use crate::store::Vault;
use crate::types::{Direction, ReloadOutcome, Role, Secret, Verdict};

/// An answer that takes a while.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, DoorError>> + Send + 'a>>;

/// Why a part of the gateway did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// There is none.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The request makes no sense to it; the text is shown to the client.
    #[error("{0}")]
    Invalid(String),
    /// It does not answer; the text goes to the log only.
    #[error("{0}")]
    Unavailable(String),
}

/// Who did something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// The id of the account; empty for somebody who is not signed in.
    pub account: String,
    /// The account's name, or the name that was tried.
    pub name: String,
    /// `session`, `token`, `none`.
    pub via: &'static str,
    /// The id of the session or token.
    pub credential: String,
    /// From which address.
    pub address: Option<IpAddr>,
    /// The id of the admin request.
    pub request: String,
}

/// One entry for the audit trail. Carries no secret.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditNote {
    /// `login`, `key_operation`, `order`, `config_change`, `content_reveal`, `account_change`.
    pub kind: &'static str,
    /// What was done, such as `key.issue`.
    pub action: &'static str,
    /// Who did it.
    pub actor: Actor,
    /// To what: its kind and id, such as `key/key_0198...`.
    pub object: String,
    /// `done`, `refused`, `failed`.
    pub outcome: &'static str,
    /// How it was.
    pub before: Option<Value>,
    /// How it is now.
    pub after: Option<Value>,
}

/// Where audit entries go. What cannot be written there is not done.
pub trait AuditSink: Send + Sync {
    /// Returns once the entry is durable.
    fn append(&self, note: AuditNote) -> Reply<'_, ()>;
}

/// Which audit entries are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Entries after this number, oldest first.
    pub after: u64,
    /// Entries before this number, newest first; takes the place of `after`.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
    /// Of this kind.
    pub kind: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// Not before: Unix time in microseconds.
    pub from: Option<i64>,
    /// Before: Unix time in microseconds.
    pub to: Option<i64>,
}

/// A page of audit entries or checkpoints.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The entries, by number.
    pub entries: Vec<Value>,
    /// The number to go on after; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// The audit trail to read, and its signing key.
pub trait AuditLog: Send + Sync {
    /// A page of entries.
    fn entries(&self, query: AuditQuery) -> Reply<'_, AuditPage>;
    /// The newest entry's number and hash, and the newest checkpoint.
    fn head(&self) -> Reply<'_, Value>;
    /// A page of checkpoints after that entry number.
    fn checkpoints(&self, after: u64, limit: u32) -> Reply<'_, AuditPage>;
    /// Has the signing key introduce a new one and signs with that: its id.
    fn rotate_key(&self) -> Reply<'_, String>;
    /// Begins to verify it, all of it or a range of numbers, and says how that stands after a while; `None` while another
    /// verification is under way.
    fn verify(&self, from: Option<i64>, to: Option<i64>) -> Reply<'_, Option<Verified>>;
    /// How the verification under way stands, or how the last one went.
    fn verified(&self) -> Verified;
}

/// What `GET /explain` asks: how the gateway would treat a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExplainQuery {
    /// The id or name of a gateway key.
    pub key: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The route's path.
    pub route: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The team.
    pub team: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The agent.
    pub agent: Option<String>,
}

/// What is wrong with a configuration that was sent for validation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Validation {
    /// Whether it could be used.
    pub valid: bool,
    /// Every problem, with the key it is at.
    pub problems: Vec<String>,
    /// What an operator should know although it can be used.
    pub warnings: Vec<String>,
}

/// The configuration in force, without secrets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Effective {
    /// The generation it belongs to.
    pub generation: u64,
    /// Every setting in force as TOML, defaults included.
    pub toml: String,
    /// The same as JSON.
    #[schema(value_type = Object)]
    pub settings: Value,
    /// The version of the price table.
    pub prices_version: String,
    /// The day its prices were looked up, `yyyy-mm-dd`.
    pub prices_as_of: String,
    /// How many patterns of models have a price in it.
    pub prices: usize,
}

/// What the replicas hold in memory and have to read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Gateway keys.
    Keys,
    /// Standing orders.
    Orders,
    /// Switches: whether monitoring is off.
    Switches,
}

/// A kind of limit or budget state that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UseQuery {
    /// Only of this scope.
    pub scope: Option<ScopeKind>,
    /// The tenant of whom the name is.
    pub tenant: Option<String>,
    /// Only of this name in the scope.
    pub name: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// A text to judge.
#[derive(Debug, Clone)]
pub struct ScanAsked {
    /// Which way it travels.
    pub direction: Direction,
    /// Who is said to have written it.
    pub role: Role,
    /// Under which security mode; the configured one where there is none.
    pub mode: Option<SecurityMode>,
    /// The system prompt that an answer was made under.
    pub system: Option<String>,
    /// The text.
    pub text: String,
}

/// What was concluded.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// Path and text of each span.
    pub texts: Vec<(String, String)>,
    /// The verdict.
    pub verdict: Verdict,
    /// How long it took.
    pub micros: u64,
    /// Models that gave no answer, each with why.
    pub unheard: Vec<String>,
}

/// The running gateway.
pub trait Gateway: Send + Sync {
    /// Version, generation, uptime, health of the parts.
    fn status(&self) -> Reply<'_, Value>;
    /// Every policy in the order in which they are tried; each has a `name`.
    fn policies(&self) -> Reply<'_, Vec<Value>>;
    /// Which policy decides, and with what settings.
    fn explain(&self, query: ExplainQuery) -> Reply<'_, Value>;
    /// The configuration in force, without secrets.
    fn config(&self) -> Reply<'_, Effective>;
    /// Checks a configuration (TOML) without using it.
    fn validate(&self, text: String) -> Reply<'_, Validation>;
    /// Reads the configuration again.
    fn reload(&self) -> Reply<'_, ReloadOutcome>;
    /// The limits and how much of them is used.
    fn limits(&self, query: UseQuery) -> Reply<'_, Vec<Value>>;
    /// The budgets and how much of them is spent.
    fn budgets(&self, query: UseQuery) -> Reply<'_, Vec<Value>>;
    /// What decides requests now: its rules, and what they were read from.
    fn snapshot(&self) -> Arc<Snapshot>;
    /// Judges a text as a request with nothing else in it would be. Takes as long as that takes: not for an async worker.
    fn scan(&self, asked: ScanAsked) -> Scanned;
    /// Makes a change of keys or orders effective here at once; other replicas find it by themselves.
    fn refresh(&self, what: Refresh) -> Reply<'_, ()>;
}

/// A fresh gateway key.
#[derive(Debug)]
pub struct FreshKey {
    /// The key, shown once.
    pub secret: Secret,
    /// SHA-256 in hex, as the store keeps it.
    pub hash: String,
    /// Its first characters.
    pub shown: String,
}

/// Makes a gateway key.
pub type KeyMint = Arc<dyn Fn() -> Result<FreshKey, DoorError> + Send + Sync>;

/// Unix time in microseconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Everything the API asks of the gateway.
#[derive(Clone)]
pub struct Doors {
    /// The running gateway.
    pub gateway: Arc<dyn Gateway>,
    /// Where audit entries go.
    pub sink: Arc<dyn AuditSink>,
    /// The audit trail to read, and its signing key.
    pub trail: Arc<dyn AuditLog>,
    /// Makes gateway keys.
    pub mint: KeyMint,
    /// Opens content that is sealed at rest.
    pub vault: Arc<Vault>,
    /// The time.
    pub clock: Clock,
    /// The security operations centre; `None`: it is switched off.
    pub soc: Option<Soc>,
    /// Learning; `None`: it is switched off.
    pub learn: Option<LearnDesk>,
    /// Exports; `None`: they are switched off, or nobody is sent anything.
    pub exports: Option<Exports>,
    /// The playground and the attack lab; `None`: there is no data listener that the gateway can reach itself.
    pub trying: Option<Trying>,
    /// Reports; `None`: there are none.
    pub reports: Option<ReportDesk>,
}

//! What is known about a gateway when its contribution to the controls of a framework is asked for.

use std::collections::BTreeMap;

use super::data::{Row, Soc};

/// Counts of the period and settings in force.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The audit trail.
    pub audit: Audit,
    /// Accounts of the admin API.
    pub accounts: Accounts,
    /// Gateway keys in force: with an end of their own and without; of these, with an owner.
    pub keys: Vec<Row>,
    /// Gateway keys that stand in the configuration, as hashes.
    pub static_keys: u64,
    /// How people sign in to the admin API.
    pub admin: Admin,
    /// Who is let in, and over what.
    pub entry: Entry,
    /// What is kept of prompts and answers.
    pub content: Content,
    /// How long what is kept, in seconds; 0: for ever.
    pub retention: BTreeMap<String, u64>,
    /// What inspection does.
    pub inspect: Inspect,
    /// Requests by day and decision.
    pub decisions: Vec<Row>,
    /// Findings by family; in so many requests.
    pub families: Vec<Row>,
    /// Findings by action and direction.
    pub actions: Vec<Row>,
    /// Budgets that are configured.
    pub budgets: u64,
    /// Whether any rate or concurrency is limited.
    pub limited: bool,
    /// Whether there is a security operations centre, and channels that it tells.
    pub soc_enabled: bool,
    /// Channels to people.
    pub channels: u64,
    /// Alerts, incidents and remedies.
    pub soc: Soc,
    /// Whether learning is on; reports of what was missed; proposals in force.
    pub learning: (bool, u64, u64),
    /// Policies under which calls of tools wait for a person, and policies in all.
    pub tool_approvals: (u64, u64),
    /// Policies that say which models or tools may be used.
    pub allow_lists: u64,
    /// Tenants, teams and users that requests were attributed to: different users and keys.
    pub who: Row,
    /// How many replicas may share the store: whether there is a fleet.
    pub fleet: bool,
}

/// The audit trail.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Records of the period by kind.
    pub kinds: Vec<Row>,
    /// What verifying the whole of it said.
    pub verified: Verified,
    /// How long its segments are kept, in seconds; 0: for ever.
    pub keep: u64,
}

/// What verifying the audit trail said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Verified {
    /// Every record is what it was: records, checkpoints, records not signed yet.
    Whole(u64, u64, i64),
    /// Something is wrong.
    Broken(String),
    /// It was not verified, and why.
    #[default]
    Unknown,
    /// It could not be verified.
    Failed(String),
}

/// Accounts of the admin API.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// Those that may do something.
    pub active: u64,
    /// Of these, administrators.
    pub admins: u64,
    /// Of these, auditors.
    pub auditors: u64,
    /// Of these, at an identity provider.
    pub oidc: u64,
    /// Of these, with a password of this gateway.
    pub local: u64,
    /// Of these, that have not signed in for 90 days; service accounts do not count.
    pub unused: u64,
    /// Those that are switched off.
    pub disabled: u64,
}

/// How people sign in to the admin API.
#[derive(Debug, Clone, Default)]
pub struct Admin {
    /// Whether there is one.
    pub enabled: bool,
    /// Whether an identity provider is configured.
    pub oidc: bool,
    /// The shortest password.
    pub min_password: u32,
    /// Wrong tries of an account before it waits.
    pub lockout: u32,
    /// Seconds after which an idle session ends.
    pub idle: u64,
}

/// Who is let in, and over what.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Whether a request needs a known caller.
    pub required: bool,
    /// Listeners with TLS, without on this machine only, and without for others.
    pub listeners: (u64, u64, u64),
    /// Whether clients need certificates.
    pub certificates: bool,
    /// Upstreams over TLS, and without.
    pub upstreams: (u64, u64),
    /// Issuers of tokens.
    pub issuers: u64,
    /// How the store is reached: `file`, `tls`, `clear`.
    pub store: String,
    /// What else is served or reached over a network: its name, and whether by TLS or within this machine.
    pub others: Vec<(String, bool)>,
}

/// What is kept of prompts and answers.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// Each policy and what it keeps: `none`, `hash_only`, `masked`, `full`.
    pub policies: Vec<(String, String)>,
    /// Whether content is sealed at rest.
    pub sealed: bool,
    /// What is kept, by how; the time of the oldest.
    pub kept: Vec<Row>,
    /// When this was looked at: Unix time in microseconds.
    pub now: i64,
}

/// What inspection does.
#[derive(Debug, Clone, Default)]
pub struct Inspect {
    /// `off`, `monitor` or `enforce`, and the modes of policies that differ.
    pub mode: String,
    /// Policies under which nothing is enforced, of all.
    pub lax: (u64, u64),
    /// Whether answers are inspected.
    pub answers: bool,
    /// Whether a failure of inspection lets nothing through.
    pub closed: bool,
    /// Whether what cannot be inspected is let through.
    pub uninspected_passes: bool,
    /// Rules in force.
    pub rules: u64,
    /// Of these, for personal, health and financial data; and for secrets.
    pub rules_of: BTreeMap<String, u64>,
}

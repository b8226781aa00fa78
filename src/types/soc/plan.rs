//! Plans: what is proposed to be done about an incident.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{Severity, Subject};

/// A plan as it stands. What is approved is the hash of `body`, byte for byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `pln_` and a time-ordered UUID (version 7).
    pub id: Arc<str>,
    /// The incident; `None` for one that a person proposed by itself.
    pub incident: Option<Arc<str>>,
    /// The JSON of its `PlanBody`.
    pub body: String,
    /// SHA-256 of `body`, in hexadecimal digits.
    pub hash: String,
    /// Who proposed it: the id of an account, or `analyst`.
    pub proposer: Arc<str>,
    /// When: Unix time in microseconds.
    pub made: i64,
    /// After this it cannot be approved any more.
    pub expires: i64,
    /// How many people have to approve it; 0: it may run by itself.
    pub needed: u8,
    /// Where it stands.
    pub state: PlanState,
    /// Why it was refused, or is not run by itself.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// What a plan says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanBody {
    /// The plan's own id, so that no two have the same hash.
    pub plan: Arc<str>,
    /// The incident.
    pub incident: Option<Arc<str>>,
    /// In a sentence.
    pub summary: String,
    /// The severity it answers to.
    pub severity: Severity,
    /// How likely it is a false alarm, in percent.
    pub false_positive: u8,
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// What it rests on.
    pub claims: Vec<Claim>,
    /// The share of claims that are supported, 0 to 1.
    pub groundedness: f32,
    /// The playbooks it follows, by id.
    #[serde(default)]
    pub playbooks: Vec<Arc<str>>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What to do.
    pub action: RemedyAction,
    /// To whom; `None` where it is done to nobody.
    pub target: Option<Subject>,
    /// For how long, in seconds; `None`: until somebody undoes it.
    pub lasts: Option<u64>,
    /// Why.
    pub reason: String,
    /// Whom it would have hit.
    pub blast: Blast,
    /// Whether it can be undone.
    pub reversible: bool,
}

/// What can be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RemedyAction {
    /// Watch: nothing is done, and the incident says so.
    Monitor,
    /// At most so many requests in so many seconds.
    RateLimit {
        /// Requests.
        requests: u32,
        /// Seconds.
        seconds: u32,
    },
    /// Refuse an address or a range.
    BlockAddress,
    /// End a session, and what is running of it.
    TerminateSession,
    /// Refuse a user.
    SuspendUser,
    /// Take a gateway key away. Cannot be undone.
    RevokeKey,
    /// Refuse an agent, and keep judging what it sends.
    IsolateAgent,
    /// Judge a caller by the strict thresholds.
    TightenPolicy,
    /// Tell somebody.
    Notify {
        /// The channel, by its name in the configuration.
        channel: Arc<str>,
    },
}

impl RemedyAction {
    /// Every kind's word.
    pub const NAMES: [&str; 9] = [
        "monitor",
        "rate_limit",
        "block_address",
        "terminate_session",
        "suspend_user",
        "revoke_key",
        "isolate_agent",
        "tighten_policy",
        "notify",
    ];

    /// A low-cardinality label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::RateLimit { .. } => "rate_limit",
            Self::BlockAddress => "block_address",
            Self::TerminateSession => "terminate_session",
            Self::SuspendUser => "suspend_user",
            Self::RevokeKey => "revoke_key",
            Self::IsolateAgent => "isolate_agent",
            Self::TightenPolicy => "tighten_policy",
            Self::Notify { .. } => "notify",
        }
    }

    /// Whether it can be undone.
    pub const fn reversible(&self) -> bool {
        !matches!(self, Self::RevokeKey | Self::Notify { .. })
    }
}

/// Whom a step would have hit, had it been in force before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Blast {
    /// Requests.
    pub requests: u64,
    /// Different callers (users, else keys, else addresses).
    pub callers: u64,
    /// Requests among them that nothing was found in.
    pub clean: u64,
    /// In so many hours.
    pub hours: u32,
}

/// Something a plan takes for true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// In words.
    pub text: String,
    /// The evidence: ids of alerts, requests, playbooks (`playbook/injection#3`); empty where nothing supports it.
    pub support: Vec<Arc<str>>,
}

/// Where a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// Not verified yet.
    Proposed,
    /// Verification or a person said no.
    Refused,
    /// It waits for people.
    Waiting,
    /// It may run: its remedies are made.
    Approved,
    /// Its remedies are done, or some failed.
    Carried,
    /// Nobody approved it in time.
    Expired,
}

impl PlanState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Proposed, Self::Refused, Self::Waiting, Self::Approved, Self::Carried, Self::Expired];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Refused => "refused",
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Carried => "carried",
            Self::Expired => "expired",
        }
    }
}

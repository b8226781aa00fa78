//! Learning from what was missed: reports, and the proposals of rules that come of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Family, Role, RuleId};

/// What ids of learned rules begin with.
pub const LEARNED: &str = "LRN-";

/// How far a rule is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// What it finds is counted and decides nothing.
    Shadow,
    /// It decides for a share of the callers, and is counted for the others.
    Canary {
        /// 0 to 1.
        share: f32,
    },
    /// It decides.
    #[default]
    Live,
}

impl Stage {
    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Canary { .. } => "canary",
            Self::Live => "live",
        }
    }
}

/// What somebody says the gateway got wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// An attack that was let through.
    Missed,
    /// Something harmless that was stopped or flagged.
    FalseAlarm,
}

impl ReportKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::FalseAlarm => "false_alarm",
        }
    }
}

/// Who reported something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reporter {
    /// The account's id.
    pub account: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// When: Unix time in microseconds.
    pub at: i64,
}

/// A text that was judged wrongly, as somebody says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `rpt_` and a sortable id.
    pub id: Arc<str>,
    /// What is wrong.
    pub kind: ReportKind,
    /// The text.
    pub text: String,
    /// What stands for the text, however it is written.
    pub print: Arc<str>,
    /// What kind of attack it is, as the reporter says; of false alarms nothing.
    pub family: Option<Family>,
    /// Whose text it was in the prompt.
    pub role: Role,
    /// The request it was in.
    pub request: Option<Arc<str>>,
    /// The user whose words they are, for erasure.
    pub user: Option<Arc<str>>,
    /// What the reporter says about it.
    pub note: Arc<str>,
    /// Everybody who reported it, the first first.
    pub reporters: Vec<Reporter>,
    /// Where it stands.
    pub state: ReportState,
    /// The rules that found something in it when it was reported.
    pub rules: Vec<RuleId>,
    /// The proposal that came of it.
    pub proposal: Option<Arc<str>>,
    /// Who confirmed or dismissed it, and why.
    pub ruling: Option<Said>,
    /// When: Unix time in microseconds.
    pub made: i64,
    /// When it changed last.
    pub updated: i64,
}

/// Where a report stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportState {
    /// Somebody else has to look at it: of false alarms only.
    Open,
    /// A proposal is made of it.
    Learning,
    /// What can be learned from it has been: a proposal that reached the shadow, a harmless text taken into the corpus.
    Learned,
    /// Nothing was learned from it.
    Dismissed,
}

impl ReportState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Learning => "learning",
            Self::Learned => "learned",
            Self::Dismissed => "dismissed",
        }
    }
}

/// What somebody did, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The account's id; `gateway` where no person did it.
    pub account: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What: `approve`, `promote`, `reject`, `roll_back`, `insist`, `confirm`, `dismiss`.
    pub what: Arc<str>,
    /// Why.
    pub why: Arc<str>,
    /// When: Unix time in microseconds.
    pub at: i64,
}

/// The account name of the gateway itself.
pub const GATEWAY: &str = "gateway";

/// Where a proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    /// Being worked on.
    Working,
    /// It did not pass the gates, or could not be worked on.
    Refused,
    /// Counts, decides nothing.
    Shadow,
    /// Decides for a share of the callers.
    Canary,
    /// Decides.
    Live,
    /// Was in force and is not any more, because it hit harmless traffic or somebody said so.
    RolledBack,
    /// Somebody said no before it was in force.
    Rejected,
}

impl ProposalState {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Working, Self::Refused, Self::Shadow, Self::Canary, Self::Live, Self::RolledBack, Self::Rejected];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Refused => "refused",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Live => "live",
            Self::RolledBack => "rolled_back",
            Self::Rejected => "rejected",
        }
    }

    /// Whether its rules are part of every Snapshot.
    pub const fn is_staged(self) -> bool {
        matches!(self, Self::Shadow | Self::Canary | Self::Live)
    }
}

/// The step of the work on a proposal that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnPhase {
    /// Write variations of the reported text.
    Vary,
    /// Make candidates of some of them, and try each on the others, on harmless texts and on recent traffic.
    Try,
    /// Nothing is left to do.
    Done,
}

impl LearnPhase {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vary => "vary",
            Self::Try => "try",
            Self::Done => "done",
        }
    }
}

/// A variation of a reported text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// How it was made.
    pub kind: Arc<str>,
    /// The text.
    pub text: String,
    /// Kept back: nothing is built from it.
    pub held_back: bool,
}

/// Rules that were learned from a report, or taken over from a file, and how they fared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// `prp_` and a sortable id.
    pub id: Arc<str>,
    /// The stem of its rules' ids: `LRN-7F3A9C`.
    pub stem: Arc<str>,
    /// The report it is made of; nothing for rules that were taken over.
    pub report: Option<Arc<str>>,
    /// What the rules find.
    pub title: Arc<str>,
    /// Where it stands.
    pub state: ProposalState,
    /// The step that is next, while it is worked on.
    pub phase: LearnPhase,
    /// Variations of the reported text.
    pub variations: Vec<Variant>,
    /// The rule file, without a stage; empty before there is one.
    pub rules: String,
    /// Its rules.
    pub ids: Vec<RuleId>,
    /// SHA-256 of `rules` in hex: what is approved.
    pub hash: Arc<str>,
    /// How each candidate did at the gates, the chosen one first.
    pub figures: Vec<serde_json::Value>,
    /// Why it was refused.
    pub reasons: Vec<String>,
    /// What people and the gateway did with it, in order.
    pub said: Vec<Said>,
    /// Accounts that may not approve it: who reported what it is made of, who brought it.
    pub authors: Vec<Arc<str>>,
    /// Somebody who did not report it says that it is an attack, although it reads harmless.
    #[serde(default)]
    pub insisted: bool,
    /// The share of callers it holds for as a canary.
    pub share: f32,
    /// Failures of the step that is next.
    pub failures: u32,
    /// What went wrong last.
    pub problem: Option<String>,
    /// When it was made: Unix time in microseconds.
    pub made: i64,
    /// When it changed last.
    pub updated: i64,
    /// When it came to where it stands.
    pub since: i64,
}

impl Proposal {
    /// Its stage, while its rules are part of every Snapshot.
    pub const fn stage(&self) -> Option<Stage> {
        match self.state {
            ProposalState::Shadow => Some(Stage::Shadow),
            ProposalState::Canary => Some(Stage::Canary { share: self.share }),
            ProposalState::Live => Some(Stage::Live),
            _ => None,
        }
    }
}

/// How often a rule found something, over a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// Requests that were inspected.
    pub seen: u64,
    /// Of those, requests it found something in.
    pub hits: u64,
    /// Of those, requests that nothing else would have flagged.
    pub alone: u64,
    /// Of those, requests about which it decided.
    pub decided: u64,
    /// Prints of the callers of these, at most a few.
    pub callers: Vec<u64>,
}

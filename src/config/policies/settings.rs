//! The shape of a policy as it is written: `[policy]` and `[[policies]]`, in `gateway.toml` or in files beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::settings::{Mode, OnFailure, OnUninspected, SecurityMode};
use crate::quota::{BudgetSpec, LimitSpec};
use crate::types::{Action, Privacy};

/// What holds for everybody, and where further policies stand.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyFiles {
    /// The policy of callers that no other one matches: `development`, `production`, `medical`, `financial`, or one of
    /// your own by name; empty is `[inspect]` as it stands.
    pub default: String,
    /// Files with further `[[policies]]`, and directories of them (`*.toml`), tried after those written here.
    pub files: Vec<PathBuf>,
}

/// A file of policies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyFile {
    /// The policies, tried in order.
    pub policies: Vec<PolicySettings>,
}

/// One policy. What it leaves out it has from the one it extends, and at last from `[inspect]` and `[limits]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicySettings {
    /// What it is called, in records and by others that extend it.
    pub name: String,
    /// The policy it starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Whom it is for; a policy that matches nobody can only be extended or be the default.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<PolicyMatch>,
    /// Whether verdicts have consequences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How hard the gateway leans on the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<SecurityMode>,
    /// Points at which a prompt is flagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag_at: Option<u32>,
    /// Points at which a prompt is blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_at: Option<u32>,
    /// Detector families treated in another way, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub families: BTreeMap<String, FamilySettings>,
    /// The models that may be asked for; `*` stands for anything. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// The tools that may be offered to a model and called by it. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// The tools whose calls wait in the answer until a person rules on them. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve_tools: Option<Vec<String>>,
    /// The hosts of MCP servers that a model may be sent to. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp_hosts: Option<Vec<String>>,
    /// What text that cannot be inspected gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_uninspected: Option<OnUninspected>,
    /// What happens when inspection itself fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// What is kept of prompts and answers: `none`, `hash_only`, `masked` or `full`.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
    /// Limits of those it is for, counted apart from those of `[limits]`: both hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitSpec>,
    /// Budgets of those it is for, counted apart from `[[budgets]]`: both hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetSpec>,
}

/// Whom a policy is for: every list that is given must have a pattern that fits; `*` stands for anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyMatch {
    /// Tenants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenant: Vec<String>,
    /// Teams.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub team: Vec<String>,
    /// Users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<String>,
    /// Groups, one of the caller's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<String>,
    /// Gateway keys, by name or id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Agents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agent: Vec<String>,
    /// Paths without the leading `/v1`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<String>,
    /// Models asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model: Vec<String>,
}

/// How a policy treats a detector family.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FamilySettings {
    /// `false`: what it finds is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What its findings ask for: `score`, `flag`, `redact` or `block`. In answers a rule that only reports keeps to that.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The points of this family alone at which a prompt is blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_at: Option<u32>,
}

impl PolicySettings {
    /// What this leaves out is taken from `base`; for whom it is stays its own.
    pub(super) fn over(mut self, base: &Self) -> Self {
        for (family, treatment) in &base.families {
            self.families.entry(family.clone()).or_insert_with(|| treatment.clone());
        }
        Self {
            mode: self.mode.or(base.mode),
            security: self.security.or(base.security),
            flag_at: self.flag_at.or(base.flag_at),
            block_at: self.block_at.or(base.block_at),
            models: self.models.take().or_else(|| base.models.clone()),
            tools: self.tools.take().or_else(|| base.tools.clone()),
            approve_tools: self.approve_tools.take().or_else(|| base.approve_tools.clone()),
            mcp_hosts: self.mcp_hosts.take().or_else(|| base.mcp_hosts.clone()),
            on_uninspected: self.on_uninspected.or(base.on_uninspected),
            on_failure: self.on_failure.or(base.on_failure),
            privacy: self.privacy.or(base.privacy),
            limits: self.limits.or(base.limits),
            budgets: if self.budgets.is_empty() { base.budgets.clone() } else { self.budgets },
            ..self
        }
    }
}

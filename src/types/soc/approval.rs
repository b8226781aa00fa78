//! Approvals: what a person said about exactly one plan, signed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One person's word on one plan. Used once, for the plan with this hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// `apr_` and a time-ordered UUID (version 7).
    pub id: Arc<str>,
    /// The plan.
    pub plan: Arc<str>,
    /// Its hash when the person saw it.
    pub hash: String,
    /// The person: the id of an account.
    pub account: Arc<str>,
    /// The account's name.
    pub name: Arc<str>,
    /// What they said.
    pub ruling: Ruling,
    /// Why.
    pub reason: String,
    /// When: Unix time in microseconds.
    pub at: i64,
    /// After this it counts for nothing.
    pub expires: i64,
    /// The Ed25519 public key of the account, base64.
    pub key: String,
    /// The signature over the approval's signed text, base64.
    pub signature: String,
    /// When it was used: Unix time in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<i64>,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// Do it.
    Approve,
    /// Do not.
    Deny,
}

impl Ruling {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }
}

//! The stages of an attack that families of threats belong to, after the tactics of MITRE ATLAS and ATT&CK.

use serde::{Deserialize, Serialize};

use crate::types::Family;
use crate::types::soc::Alert;

/// A stage of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Trying what works, and how often.
    Probing,
    /// Getting the model to follow somebody else.
    Access,
    /// Keeping it from being seen.
    Evasion,
    /// Finding out what the model was told and what it can do.
    Discovery,
    /// Getting at data and secrets.
    Collection,
    /// Running something.
    Execution,
    /// Getting data out.
    Exfiltration,
    /// Harm done: money spent, service gone.
    Impact,
}

impl Stage {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probing => "probing",
            Self::Access => "access",
            Self::Evasion => "evasion",
            Self::Discovery => "discovery",
            Self::Collection => "collection",
            Self::Execution => "execution",
            Self::Exfiltration => "exfiltration",
            Self::Impact => "impact",
        }
    }

    /// The stage that a family belongs to.
    pub const fn of(family: Family) -> Self {
        match family {
            Family::Behaviour => Self::Probing,
            Family::PromptInjection
            | Family::IndirectInjection
            | Family::ForgedContext
            | Family::Jailbreak
            | Family::RolePlay
            | Family::MultiStep
            | Family::SocialEngineering => Self::Access,
            Family::Encoding => Self::Evasion,
            Family::PromptExtraction => Self::Discovery,
            Family::SecretExtraction | Family::Privacy | Family::Secrets => Self::Collection,
            Family::SystemManipulation | Family::MaliciousInput | Family::UnsafeOutput => Self::Execution,
            Family::DataExfiltration | Family::Leakage => Self::Exfiltration,
        }
    }
}

/// The stages that were seen, each once, in the order of events. What the gateway reports without a family is about money,
/// which is harm done; what comes from outside without one tells no stage.
pub(super) fn stages(alerts: &[Alert]) -> Vec<Stage> {
    let stage = |alert: &Alert| match alert.family {
        Some(family) => Some(Stage::of(family)),
        None => (&*alert.source == "gateway").then_some(Stage::Impact),
    };
    let mut seen: Vec<(i64, Stage)> = alerts.iter().filter_map(|alert| Some((alert.first, stage(alert)?))).collect();
    seen.sort_unstable();
    let mut stages = Vec::new();
    for (_, stage) in seen {
        if !stages.contains(&stage) {
            stages.push(stage);
        }
    }
    stages
}

//! The analyst's work on an incident, kept step by step.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Where the analyst stands. What each step found is kept with it, so that a crash repeats at most one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// `anl_` and a time-ordered UUID (version 7).
    pub id: Arc<str>,
    /// The incident.
    pub incident: Arc<str>,
    /// The step that is to be done next.
    pub phase: Phase,
    /// What the steps found, by their names: JSON of the step's own shape.
    #[serde(default)]
    pub found: serde_json::Map<String, serde_json::Value>,
    /// The plan it came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Arc<str>>,
    /// Tries of the present step that failed.
    #[serde(default)]
    pub failures: u32,
    /// Why the last one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When it began: Unix time in microseconds.
    pub began: i64,
    /// When it last got on.
    pub updated: i64,
}

impl Analysis {
    /// The analysis of an incident, about to begin at `now` (Unix time in microseconds): one for each, whoever begins it.
    pub fn of(incident: &Arc<str>, now: i64) -> Self {
        Self {
            id: format!("anl_{}", incident.trim_start_matches("inc_")).into(),
            incident: Arc::clone(incident),
            phase: Phase::Retrieve,
            found: serde_json::Map::new(),
            plan: None,
            failures: 0,
            problem: None,
            began: now,
            updated: now,
        }
    }

    /// The one after this, from the start: its id, and with it that of its plan, is another one.
    pub fn again(&self, now: i64) -> Self {
        let (first, number) = self.id.split_once('-').unwrap_or((&self.id, "1"));
        let number = number.parse().unwrap_or(1_u32).saturating_add(1);
        Self { id: format!("{first}-{number}").into(), ..Self::of(&self.incident, now) }
    }
}

/// The steps, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Find playbooks and past incidents that are like it.
    Retrieve,
    /// Say what happened and how bad it is.
    Analyse,
    /// Say what to do.
    Plan,
    /// Look whether that may be done, and whether every claim is supported.
    Verify,
    /// There is a plan, approved, waiting or refused.
    Done,
    /// A step failed too often.
    Failed,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 6] = [Self::Retrieve, Self::Analyse, Self::Plan, Self::Verify, Self::Done, Self::Failed];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retrieve => "retrieve",
            Self::Analyse => "analyse",
            Self::Plan => "plan",
            Self::Verify => "verify",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Whether there is nothing left to do.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_has_an_id_of_its_own() {
        let first = Analysis::of(&"inc_0198".into(), 7);
        let second = Analysis { phase: Phase::Done, ..first.again(8) };
        assert_eq!((&*first.id, &*second.id, &*second.again(9).id), ("anl_0198", "anl_0198-2", "anl_0198-3"));
        assert_eq!((second.again(9).phase, second.again(9).began), (Phase::Retrieve, 9));
    }
}

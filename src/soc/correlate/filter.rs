//! Which alerts an incident rule looks for.

use std::sync::Arc;

use serde::Deserialize;

use crate::types::soc::Alert;
use crate::types::{Family, Severity};

/// Where an alert comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The gateway itself.
    Gateway,
    /// Another system.
    Outside,
}

/// Which alerts: all that is said must hold.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Made by one of these alert rules.
    pub rules: Vec<Arc<str>>,
    /// Of one of these families.
    pub families: Vec<Family>,
    /// At least so bad.
    pub severity: Option<Severity>,
    /// At most so bad.
    pub severity_at_most: Option<Severity>,
    /// At most so likely a false alarm, in percent.
    pub false_positive: Option<u8>,
    /// From here.
    pub origin: Option<Origin>,
}

impl Filter {
    /// Whether an alert is one of these.
    pub fn fits(&self, alert: &Alert) -> bool {
        let origin = if &*alert.source == "gateway" { Origin::Gateway } else { Origin::Outside };
        (self.rules.is_empty() || self.rules.contains(&alert.rule))
            && (self.families.is_empty() || alert.family.is_some_and(|family| self.families.contains(&family)))
            && self.severity.is_none_or(|least| alert.severity >= least)
            && self.severity_at_most.is_none_or(|most| alert.severity <= most)
            && self.false_positive.is_none_or(|most| alert.verdict.false_positive <= most)
            && self.origin.is_none_or(|wanted| wanted == origin)
    }
}

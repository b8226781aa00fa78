//! A harmless text that was hit: by which rules, and what follows for those that were learned.

use serde::Serialize;

use super::figures::Gates;
use super::trial::findings;
use crate::detect::{self, RuleSet, Thresholds};
use crate::types::{Action, Decision, Evidence, Family, Role, RuleId};

/// A rule that hit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    pub rule: RuleId,
    pub family: Family,
    pub action: Action,
    /// Points it adds.
    pub points: f32,
    pub evidence: Evidence,
    /// Whether it was learned from a report.
    pub learned: bool,
    /// Of a learned rule: whether it would still pass its gates with this text in the benign corpus.
    pub would_pass: Option<bool>,
}

/// What hits a harmless text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exoneration {
    /// What becomes of the text at the usual thresholds.
    pub decision: Decision,
    /// Every rule that hits, heaviest first.
    pub hits: Vec<Hit>,
    /// Whether it would be let through if no learned rule had hit.
    pub by_learned_alone: bool,
}

/// Whether a rule was learned from a report.
pub fn is_learned(rule: &RuleId) -> bool {
    rule.0.starts_with("LRN-")
}

/// Which rules hit `text`, and how.
pub fn exonerate(text: &str, role: Role, in_force: &RuleSet, gates: &Gates) -> Exoneration {
    let found = findings(in_force, role, text);
    let mut hits: Vec<Hit> = Vec::new();
    for finding in &found {
        if hits.iter().any(|known| known.rule == finding.rule) {
            continue;
        }
        let learned = is_learned(&finding.rule);
        hits.push(Hit {
            rule: finding.rule.clone(),
            family: finding.family,
            action: finding.action,
            points: finding.score,
            evidence: finding.evidence,
            learned,
            // It passed with no text of the corpus to spare: this one more counts as a hit.
            would_pass: learned.then_some(gates.max_benign_hits > 0),
        });
    }
    hits.sort_by(|a, b| b.points.total_cmp(&a.points).then_with(|| a.rule.cmp(&b.rule)));
    let others = found.iter().filter(|finding| !is_learned(&finding.rule)).cloned().collect();
    let judge = |findings| detect::judge(findings, &Thresholds::default(), in_force.hash()).decision;
    let (without, decision) = (judge(others), judge(found));
    Exoneration { decision, by_learned_alone: decision > Decision::Allow && without == Decision::Allow, hits }
}

//! From findings to a verdict: points, floors, thresholds.
//!
//! Each rule counts once, however often it matched. The points of all rules that matched are added up and compared
//! with the thresholds; an action is a floor below which the decision cannot fall. Risk is
//! `1 - 10^(-p / block_at)` where `p` is the points, or the threshold an action stands for if that is more: 0 without
//! findings, 0.9 at the blocking threshold, always rising, never quite 1.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::types::{Action, Decision, Finding, RuleSetHash, Step, Verdict};

/// Points at which something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Reported from here on.
    pub flag_at: u32,
    /// Refused from here on.
    pub block_at: u32,
}

/// The verdict on a prompt.
pub fn judge(mut findings: Vec<Finding>, thresholds: &Thresholds, rule_set: &RuleSetHash) -> Verdict {
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| (Reverse(finding.severity), Reverse(finding.score));
        let place = |finding: &Finding| (finding.evidence.span, finding.evidence.start, finding.evidence.end);
        key(a).cmp(&key(b)).then_with(|| a.rule.cmp(&b.rule)).then_with(|| place(a).cmp(&place(b)))
    });
    let mut counted = BTreeSet::new();
    let (mut points, mut floor) = (0_u32, Action::Score);
    let mut steps = Vec::new();
    for finding in &findings {
        if counted.insert(&finding.rule) {
            points = points.saturating_add(u32::from(finding.score));
            floor = floor.max(finding.action);
            steps.push(Step { what: Arc::clone(&finding.rule.0), points });
        }
    }
    drop(counted);
    let decision = decide(points, floor, !findings.is_empty(), thresholds);
    if !findings.is_empty() {
        steps.push(Step { what: reason(points, floor, thresholds).into(), points });
    }
    Verdict { decision, risk: risk(points, floor, thresholds), findings, steps, rule_set: rule_set.clone() }
}

fn decide(points: u32, floor: Action, found: bool, thresholds: &Thresholds) -> Decision {
    if !found {
        return Decision::Allow;
    }
    match floor {
        Action::Block => Decision::Block,
        _ if points >= thresholds.block_at => Decision::Block,
        Action::Redact => Decision::Redact,
        Action::Flag => Decision::Flag,
        Action::Score if points >= thresholds.flag_at => Decision::Flag,
        Action::Score => Decision::Allow,
    }
}

/// The last step: what decided.
fn reason(points: u32, floor: Action, thresholds: &Thresholds) -> &'static str {
    match floor {
        Action::Block => "action block",
        _ if points >= thresholds.block_at => "threshold block_at",
        Action::Redact => "action redact",
        Action::Flag => "action flag",
        Action::Score if points >= thresholds.flag_at => "threshold flag_at",
        Action::Score => "below flag_at",
    }
}

fn risk(points: u32, floor: Action, thresholds: &Thresholds) -> f32 {
    let least = match floor {
        Action::Block => thresholds.block_at,
        Action::Flag | Action::Redact => thresholds.flag_at,
        Action::Score => 0,
    };
    let share = points.max(least) as f32 / thresholds.block_at.max(1) as f32;
    1.0 - 10_f32.powf(-share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Evidence, Family, RuleId, Severity, SpanIndex};

    const AT: Thresholds = Thresholds { flag_at: 4, block_at: 8 };

    fn finding(rule: &str, severity: Severity, score: u16, action: Action) -> Finding {
        let evidence = Evidence { span: SpanIndex(0), start: 0, end: 1 };
        let (title, threats) = ("t".into(), Vec::new().into());
        let family = Family::Jailbreak;
        Finding { rule: RuleId(rule.into()), title, family, severity, score, action, threats, evidence }
    }

    fn verdict(findings: Vec<Finding>) -> Verdict {
        judge(findings, &AT, &RuleSetHash("h".into()))
    }

    #[test]
    fn a_rule_counts_once_and_points_add_up() {
        let low = || finding("PC-AAA-0001", Severity::Low, 3, Action::Score);
        assert_eq!(verdict(vec![low(), low(), low()]).decision, Decision::Allow);
        let both = verdict(vec![low(), finding("PC-AAA-0002", Severity::High, 5, Action::Score)]);
        assert_eq!(both.decision, Decision::Block);
        assert_eq!(both.findings[0].severity, Severity::High);
        let points: Vec<u32> = both.steps.iter().map(|step| step.points).collect();
        assert_eq!(points, [5, 8, 8]);
    }

    #[test]
    fn an_action_is_a_floor() {
        let one = |action| verdict(vec![finding("PC-AAA-0001", Severity::Low, 1, action)]).decision;
        assert_eq!(one(Action::Score), Decision::Allow);
        assert_eq!(one(Action::Flag), Decision::Flag);
        assert_eq!(one(Action::Redact), Decision::Redact);
        assert_eq!(one(Action::Block), Decision::Block);
        assert_eq!(verdict(Vec::new()).decision, Decision::Allow);
    }

    #[test]
    fn risk_rises_with_points_and_is_ninety_percent_at_the_threshold() {
        let risk = |score| verdict(vec![finding("PC-AAA-0001", Severity::Low, score, Action::Score)]).risk;
        assert_eq!(verdict(Vec::new()).risk, 0.0);
        assert!((risk(8) - 0.9).abs() < 1e-6);
        assert!((1..20).all(|score| risk(score) < risk(score + 1) && risk(score + 1) < 1.0));
    }
}

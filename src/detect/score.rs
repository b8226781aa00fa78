//! From findings to a verdict: points, floors, thresholds.
//!
//! Each rule counts once, however often it matched. The points of all rules that matched are added up and compared
//! with the thresholds; an action is a floor below which the decision cannot fall. Risk is
//! `1 - 10^(-p / block_at)` where `p` is the points, or the threshold an action against an attack stands for if that is
//! more: 0 without findings, 0.9 at the blocking threshold, always rising, never quite 1.
//!
//! How likely it is that all of it is harmless falls with the points and rises with every [`Doubt`] about the finding
//! that weighs most: about even at the flagging threshold, a few in a hundred at the blocking one.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::types::{Action, Decision, Doubt, Family, Finding, Recommendation, RuleSetHash, Step, Verdict};

/// Odds (as logarithm) that a finding without points is harmless, and how they fall with the share of `block_at`.
const HARMLESS: f32 = 3.0;
const FALL: f32 = 6.0;

/// What is left of the points of a finding that is only talked about.
const DISCUSSED: f32 = 0.4;

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
        let key = |finding: &Finding| Reverse(finding.severity);
        let place = |finding: &Finding| (finding.evidence.span, finding.evidence.start, finding.evidence.end);
        let heavier = b.score.total_cmp(&a.score);
        key(a).cmp(&key(b)).then(heavier).then_with(|| a.rule.cmp(&b.rule)).then_with(|| place(a).cmp(&place(b)))
    });
    let mut counted = BTreeSet::new();
    let (mut points, mut floor, mut attack) = (0.0, Action::Score, Action::Score);
    let mut steps = Vec::new();
    for finding in &findings {
        if counted.insert(&finding.rule) {
            let (score, action) = counted_as(finding);
            points += score;
            floor = floor.max(action);
            if !finding.family.is_data() {
                attack = attack.max(action);
            }
            steps.push(Step { what: Arc::clone(&finding.rule.0), points });
        }
    }
    drop(counted);
    let decision = decide(points, floor, !findings.is_empty(), thresholds);
    if !findings.is_empty() {
        steps.push(Step { what: reason(points, floor, thresholds).into(), points });
    }
    let risk = risk(points, attack, thresholds);
    let (false_positive, recommended) = (false_positive(&findings, points, attack, thresholds), recommended(risk));
    Verdict { decision, risk, false_positive, recommended, findings, steps, rule_set: rule_set.clone() }
}

/// What a finding counts for. What the text around it talks about is not what the text does: it counts less than half
/// and asks for nothing.
fn counted_as(finding: &Finding) -> (f32, Action) {
    let is_content =
        !matches!(finding.family, Family::Privacy | Family::Secrets | Family::UnsafeOutput | Family::Leakage);
    // What only adds points, the classifier above all, has read the text around it.
    let asks = finding.action > Action::Score;
    if is_content && asks && finding.doubts.contains(&Doubt::Discussed) {
        (finding.score * DISCUSSED, Action::Score)
    } else {
        (finding.score, finding.action)
    }
}

fn decide(points: f32, floor: Action, found: bool, thresholds: &Thresholds) -> Decision {
    if !found {
        return Decision::Allow;
    }
    match floor {
        Action::Block => Decision::Block,
        _ if points >= thresholds.block_at as f32 => Decision::Block,
        Action::Redact => Decision::Redact,
        Action::Flag => Decision::Flag,
        Action::Score if points >= thresholds.flag_at as f32 => Decision::Flag,
        Action::Score => Decision::Allow,
    }
}

/// The last step: what decided.
fn reason(points: f32, floor: Action, thresholds: &Thresholds) -> &'static str {
    match floor {
        Action::Block => "action block",
        _ if points >= thresholds.block_at as f32 => "threshold block_at",
        Action::Redact => "action redact",
        Action::Flag => "action flag",
        Action::Score if points >= thresholds.flag_at as f32 => "threshold flag_at",
        Action::Score => "below flag_at",
    }
}

fn risk(points: f32, floor: Action, thresholds: &Thresholds) -> f32 {
    1.0 - 10_f32.powf(-share(points, floor, thresholds))
}

/// Points, or what the action stands for, as a share of those that block.
fn share(points: f32, floor: Action, thresholds: &Thresholds) -> f32 {
    let least = match floor {
        Action::Block => thresholds.block_at,
        Action::Flag | Action::Redact => thresholds.flag_at,
        Action::Score => 0,
    };
    points.max(least as f32) / thresholds.block_at.max(1) as f32
}

fn false_positive(findings: &[Finding], points: f32, floor: Action, thresholds: &Thresholds) -> f32 {
    let heaviest = findings.iter().max_by(|a, b| a.score.total_cmp(&b.score));
    let Some(heaviest) = heaviest else { return 0.0 };
    let doubts: f32 = heaviest.doubts.iter().map(|doubt| weight(*doubt)).sum();
    let odds = HARMLESS - FALL * share(points, floor, thresholds) + doubts;
    1.0 / (1.0 + (-odds).exp())
}

/// What a doubt adds to the odds.
const fn weight(doubt: Doubt) -> f32 {
    match doubt {
        Doubt::Quoted => 1.0,
        Doubt::Discussed => 1.4,
        Doubt::Technical => 0.8,
    }
}

/// Thresholds on the risk: a prompt that is flagged is worth a look, one that is blocked is worth stopping.
fn recommended(risk: f32) -> Recommendation {
    match risk {
        0.9.. => Recommendation::Block,
        0.65.. => Recommendation::Investigate,
        0.3.. => Recommendation::Monitor,
        _ => Recommendation::Ignore,
    }
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
        let score = f32::from(score);
        Finding {
            rule: RuleId(rule.into()),
            title,
            family,
            severity,
            score,
            action,
            threats,
            evidence,
            doubts: Vec::new(),
        }
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
        let points: Vec<f32> = both.steps.iter().map(|step| step.points).collect();
        assert_eq!(points, [5.0, 8.0, 8.0]);
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

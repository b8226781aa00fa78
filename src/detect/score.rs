//! From findings to a verdict: points, floors, thresholds.
//!
//! Each rule counts once, however often it matched. The points of all rules that matched are added up and compared
//! with the thresholds; an action is a floor below which the decision cannot fall. Risk is
//! `1 - 10^(-p / block_at)` where `p` is the points, or the threshold an action stands for if that is more: 0 without
//! findings, 0.9 at the blocking threshold, always rising, never quite 1. Personal data or a key that is reported or
//! replaced is no attack, and no risk beyond its points.
//!
//! An answer is decided by actions alone: a stream cannot take back what was let through before the points added up.
//!
//! How likely it is that all of it is harmless falls with the points and rises where the finding that weighs most is
//! quoted: about even at the flagging threshold, one in six at the blocking one. Fitted to texts that the classifier had
//! not seen, for traffic of which a tenth is attacks and a tenth of the rest is hard to tell from them (decision 0012).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::types::{Action, Decision, Doubt, Factors, Finding, Recommendation, RuleSetHash, Step, Verdict};

/// Odds (as logarithm) that a finding without points is harmless, and how they fall with the share of `block_at`.
pub(super) const HARMLESS: f32 = 1.3;
pub(super) const FALL: f32 = 2.8;

/// Points at which something happens, and risks at which something is recommended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Reported from here on.
    pub flag_at: u32,
    /// Refused from here on.
    pub block_at: u32,
    /// What is recommended.
    pub recommend: Levels,
}

/// Risks, 0 to 1, from which on a [`Recommendation`] holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// To stop it.
    pub block: f32,
    /// To look into it.
    pub investigate: f32,
    /// To watch whether it comes again.
    pub monitor: f32,
    /// To let it be; below, nothing is recommended.
    pub ignore: f32,
}

impl Thresholds {
    /// Of a gateway that is not configured otherwise.
    pub const DEFAULT: Self = Self { flag_at: 4, block_at: 8, recommend: Levels::DEFAULT };
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Levels {
    /// Of a gateway that is not configured otherwise.
    pub const DEFAULT: Self = Self { block: 0.9, investigate: 0.7, monitor: 0.5, ignore: 0.3 };

    pub(super) fn recommended(&self, risk: f32) -> Recommendation {
        let steps = [
            (self.block, Recommendation::Block),
            (self.investigate, Recommendation::Investigate),
            (self.monitor, Recommendation::Monitor),
            (self.ignore, Recommendation::Ignore),
        ];
        steps.into_iter().find(|(from, _)| risk >= *from).map_or(Recommendation::None, |(_, what)| what)
    }
}

/// The verdict on a prompt.
pub fn judge(findings: Vec<Finding>, thresholds: &Thresholds, rule_set: &RuleSetHash) -> Verdict {
    let sum = |points, floor, found| (decide(points, floor, found, thresholds), reason(points, floor, thresholds));
    conclude(findings, thresholds, rule_set, sum)
}

/// The verdict on an answer: what its rules ask for, and at least a flag where anything was found.
pub fn judge_answer(findings: Vec<Finding>, thresholds: &Thresholds, rule_set: &RuleSetHash) -> Verdict {
    let asked = |_, floor, found| match floor {
        Action::Block => (Decision::Block, "action block"),
        Action::Redact => (Decision::Redact, "action redact"),
        Action::Flag | Action::Score if found => (Decision::Flag, "something found"),
        Action::Flag | Action::Score => (Decision::Allow, "nothing found"),
    };
    conclude(findings, thresholds, rule_set, asked)
}

/// Adds up and lets `decided` say what follows from points, floor and whether anything was found, and why.
fn conclude(
    mut findings: Vec<Finding>,
    thresholds: &Thresholds,
    rule_set: &RuleSetHash,
    decided: impl Fn(f32, Action, bool) -> (Decision, &'static str),
) -> Verdict {
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| Reverse(finding.severity);
        let place = |finding: &Finding| (finding.evidence.span, finding.evidence.start, finding.evidence.end);
        let heavier = b.counts_for().0.total_cmp(&a.counts_for().0);
        key(a).cmp(&key(b)).then(heavier).then_with(|| a.rule.cmp(&b.rule)).then_with(|| place(a).cmp(&place(b)))
    });
    let mut counted = BTreeSet::new();
    let (mut points, mut floor, mut attack) = (0.0, Action::Score, Action::Score);
    let mut steps = Vec::new();
    for finding in &findings {
        if counted.insert(&finding.rule) {
            let (score, action) = finding.counts_for();
            points += score;
            floor = floor.max(action);
            if !finding.family.is_data() || action == Action::Block {
                attack = attack.max(action);
            }
            steps.push(Step { what: Arc::clone(&finding.rule.0), points });
        }
    }
    drop(counted);
    let (decision, reason) = decided(points, floor, !findings.is_empty());
    if !findings.is_empty() {
        steps.push(Step { what: reason.into(), points });
    }
    let risk = risk(points, attack, thresholds);
    let false_positive = false_positive(&findings, points, attack, thresholds);
    let recommended = thresholds.recommend.recommended(risk);
    let factors = Factors { content: risk, ..Factors::default() };
    Verdict { decision, risk, false_positive, recommended, factors, findings, steps, rule_set: rule_set.clone() }
}

pub(super) fn decide(points: f32, floor: Action, found: bool, thresholds: &Thresholds) -> Decision {
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
pub(super) fn reason(points: f32, floor: Action, thresholds: &Thresholds) -> &'static str {
    match floor {
        Action::Block => "action block",
        _ if points >= thresholds.block_at as f32 => "threshold block_at",
        Action::Redact => "action redact",
        Action::Flag => "action flag",
        Action::Score if points >= thresholds.flag_at as f32 => "threshold flag_at",
        Action::Score => "below flag_at",
    }
}

pub(super) fn risk(points: f32, floor: Action, thresholds: &Thresholds) -> f32 {
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
    let heaviest = findings.iter().max_by(|a, b| a.counts_for().0.total_cmp(&b.counts_for().0));
    let Some(heaviest) = heaviest else { return 0.0 };
    let doubts: f32 = heaviest.doubts.iter().map(|doubt| weight(*doubt)).sum();
    let odds = HARMLESS - FALL * share(points, floor, thresholds) + doubts;
    1.0 / (1.0 + (-odds).exp())
}

/// What a doubt adds to the odds.
const fn weight(doubt: Doubt) -> f32 {
    match doubt {
        Doubt::Quoted => 2.3,
        // What is talked about or forbidden has fewer points already. Code says nothing by itself: attacks come in it too.
        Doubt::Discussed | Doubt::Forbidden | Doubt::Technical => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Evidence, Family, RuleId, Severity, SpanIndex};

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
        judge(findings, &Thresholds::default(), &RuleSetHash("h".into()))
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

    fn of(family: Family, score: u16, action: Action) -> Finding {
        Finding { family, ..finding("PC-AAA-0001", Severity::High, score, action) }
    }

    #[test]
    fn data_that_is_replaced_is_no_risk_and_data_that_is_refused_is() {
        let replaced = verdict(vec![of(Family::Privacy, 1, Action::Redact)]);
        assert_eq!((replaced.decision, replaced.recommended), (Decision::Redact, Recommendation::None));
        assert!(replaced.risk < 0.3);
        let refused = verdict(vec![of(Family::Secrets, 1, Action::Block)]);
        assert_eq!((refused.decision, refused.recommended), (Decision::Block, Recommendation::Block));
        assert!((refused.risk - 0.9).abs() < 1e-6);
    }

    #[test]
    fn what_is_talked_about_counts_less_and_asks_for_nothing() {
        let talked = |family| Finding { doubts: vec![Doubt::Discussed], ..of(family, 6, Action::Block) };
        let attack = verdict(vec![talked(Family::PromptInjection)]);
        assert_eq!(attack.decision, Decision::Allow);
        assert!((attack.steps[0].points - 6.0 * Doubt::leave(&[Doubt::Discussed])).abs() < 1e-6);
        assert!(attack.false_positive > verdict(vec![of(Family::PromptInjection, 6, Action::Block)]).false_positive);
        assert_eq!(verdict(vec![talked(Family::Secrets)]).decision, Decision::Block);
    }

    #[test]
    fn an_answer_is_decided_by_actions_and_its_risk_is_that_of_a_prompt() {
        let answer = |findings| judge_answer(findings, &Thresholds::default(), &RuleSetHash("h".into()));
        assert_eq!(answer(Vec::new()).decision, Decision::Allow);
        let many: Vec<Finding> =
            (0..9).map(|at| finding(&format!("PC-AAA-000{at}"), Severity::Low, 3, Action::Score)).collect();
        assert_eq!(answer(many).decision, Decision::Flag);
        let cut = answer(vec![of(Family::Leakage, 5, Action::Block)]);
        assert_eq!((cut.decision, cut.recommended), (Decision::Block, Recommendation::Block));
    }

    #[test]
    fn the_levels_of_a_site_decide_what_is_recommended() {
        let of = |levels: Levels, risk| levels.recommended(risk);
        let all = [0.95, 0.9, 0.8, 0.6, 0.4, 0.1].map(|risk| of(Levels::default(), risk).name());
        assert_eq!(all, ["block", "block", "investigate", "monitor", "ignore", "none"]);
        assert_eq!(of(Levels { block: 0.99, ..Levels::default() }, 0.95), Recommendation::Investigate);
    }

    #[test]
    fn what_is_forbidden_counts_for_a_tenth_and_asks_for_nothing() {
        let forbidden =
            |action| Finding { doubts: vec![Doubt::Quoted, Doubt::Forbidden], ..of(Family::Jailbreak, 6, action) };
        for action in [Action::Block, Action::Score] {
            let verdict = judge(vec![forbidden(action)], &Thresholds::DEFAULT, &RuleSetHash("h".into()));
            assert_eq!(verdict.decision, Decision::Allow);
            assert!((verdict.steps[0].points - 0.6).abs() < 1e-4, "{:?}", verdict.steps);
        }
        // The finding that counts, and not the one beside it, says how likely a false alarm is.
        let meant = Finding { rule: RuleId("PC-TST-0009".into()), ..of(Family::Jailbreak, 6, Action::Block) };
        let alone = judge(vec![meant.clone()], &Thresholds::DEFAULT, &RuleSetHash("h".into()));
        let both = judge(vec![forbidden(Action::Block), meant], &Thresholds::DEFAULT, &RuleSetHash("h".into()));
        assert!(both.false_positive <= alone.false_positive && both.decision == Decision::Block, "{both:?}");
        let private = Finding { doubts: vec![Doubt::Forbidden], ..of(Family::Secrets, 6, Action::Block) };
        assert_eq!(judge(vec![private], &Thresholds::DEFAULT, &RuleSetHash("h".into())).decision, Decision::Block);
    }
}

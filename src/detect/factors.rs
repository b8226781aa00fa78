//! What surrounds a text counts beside the text: how its caller behaves, where it stands, what came before.
//!
//! Each factor is 0 to 1, and the risk is `1 - (1 - content)(1 - behaviour)(1 - context)(1 - history)`: with nothing but
//! content it is the risk of the content. In points the same is a sum: a factor of `1 - 10^(-p / block_at)` is `p` points.
//! What surrounds a text is bounded, and it makes no block of a text that by itself would not even be flagged. A rule that
//! means more says so by its action, which is a floor here as it is in the content.

use std::cmp::Reverse;

use super::score::{FALL, HARMLESS, Thresholds, decide, judge, reason, risk};
use crate::types::{Action, Decision, Finding, RuleSetHash, Step, Verdict};

/// The most each can count, as a share of the points that block: all behaviour, a conversation so far, an attack in what
/// a tool says, a caller's history.
const BEHAVIOUR: f32 = 0.25;
const CONVERSATION: f32 = 0.1;
const UNTRUSTED: f32 = 0.05;
const HISTORY: f32 = 0.15;
/// And all of it together, correlations included: most of what is flagged must not become a block by its surroundings.
const TOGETHER: f32 = 0.35;

/// What surrounds a text.
#[derive(Debug, Default)]
pub struct Circumstances {
    /// Found about how the caller behaves.
    pub behaviour: Vec<Finding>,
    /// Correlations that the request completes.
    pub correlated: Vec<Finding>,
    /// Whether an attack stands in what nobody vouches for: counts if the text is flagged without it.
    pub is_untrusted: bool,
    /// How much was found earlier in the conversation, 0 to 1.
    pub conversation: f32,
    /// How much of a history of attacks the caller has, 0 to 1.
    pub history: f32,
}

/// The verdict on a prompt in its circumstances.
pub fn judge_in(
    content: Vec<Finding>,
    around: Circumstances,
    thresholds: &Thresholds,
    rule_set: &RuleSetHash,
) -> Verdict {
    let mut verdict = judge(content, thresholds, rule_set);
    around.apply(&mut verdict, thresholds);
    verdict
}

impl Circumstances {
    /// Adds what surrounds a text to the verdict on it.
    pub(super) fn apply(self, verdict: &mut Verdict, thresholds: &Thresholds) {
        let block_at = thresholds.block_at.max(1) as f32;
        let flagged = verdict.factors.content >= risk(0.0, Action::Flag, thresholds);
        let points = |findings: &[Finding]| findings.iter().map(|finding| finding.score).sum::<f32>() / block_at;
        let mut behaviour = points(&self.behaviour).min(BEHAVIOUR);
        let mut context = CONVERSATION * self.conversation + if flagged && self.is_untrusted { UNTRUSTED } else { 0.0 };
        let mut history = HISTORY * self.history + points(&self.correlated);
        let scale = (TOGETHER / (behaviour + context + history).max(TOGETHER)).min(1.0);
        (behaviour, context, history) = (behaviour * scale, context * scale, history * scale);
        // An action stands for a threshold, as it does in the content.
        let so_far = share(verdict.risk);
        let floor = |findings: &[Finding]| findings.iter().map(|finding| finding.action).max().unwrap_or(Action::Score);
        for (own, findings) in [(&mut behaviour, &self.behaviour), (&mut history, &self.correlated)] {
            let least = share(risk(0.0, floor(findings), thresholds));
            *own = own.max(least - so_far);
        }
        let extra = behaviour + context + history;
        if extra <= 0.0 {
            return;
        }
        let Verdict { factors, .. } = verdict;
        for (factor, more) in
            [(&mut factors.behaviour, behaviour), (&mut factors.context, context), (&mut factors.history, history)]
        {
            *factor = joined(*factor, more);
        }
        verdict.risk = joined(verdict.risk, extra);
        verdict.recommended = thresholds.recommend.recommended(verdict.risk);
        let floor = floor(&self.behaviour).max(floor(&self.correlated));
        verdict.findings.extend(self.behaviour);
        verdict.findings.extend(self.correlated);
        verdict.findings.sort_by_key(|finding| Reverse(finding.severity));
        if verdict.findings.is_empty() {
            return;
        }
        let odds = if verdict.steps.is_empty() {
            HARMLESS
        } else {
            (verdict.false_positive.max(f32::MIN_POSITIVE) / (1.0 - verdict.false_positive)).ln()
        };
        verdict.false_positive = 1.0 / (1.0 + (FALL * extra - odds).exp());
        let mut total = verdict.steps.pop().map_or(0.0, |step| step.points);
        for (what, more) in [("behaviour", behaviour), ("context", context), ("history", history)] {
            if more > 0.0 {
                total += more * block_at;
                verdict.steps.push(Step { what: what.into(), points: total });
            }
        }
        let mut decision = decide(total, floor, true, thresholds);
        if decision == Decision::Block && floor < Action::Block && !flagged {
            decision = Decision::Flag;
        }
        let what = if decision > verdict.decision { reason(total, floor, thresholds) } else { "unchanged" };
        verdict.decision = verdict.decision.max(decision);
        verdict.steps.push(Step { what: what.into(), points: total });
    }
}

/// A risk as a share of the points that block.
fn share(risk: f32) -> f32 {
    -(1.0 - risk).max(f32::MIN_POSITIVE).log10()
}

/// A risk with so much more, as a share of the points that block.
fn joined(risk: f32, more: f32) -> f32 {
    1.0 - (1.0 - risk) * 10_f32.powf(-more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Evidence, Family, Recommendation, RuleId, Severity, SpanIndex};

    const AT: Thresholds = Thresholds::DEFAULT;

    fn finding(rule: &str, family: Family, score: f32, action: Action) -> Finding {
        Finding {
            rule: RuleId(rule.into()),
            title: "t".into(),
            family,
            severity: Severity::Medium,
            score,
            action,
            threats: Vec::new().into(),
            evidence: Evidence { span: SpanIndex(0), start: 0, end: 1 },
            doubts: Vec::new(),
        }
    }

    fn content(points: f32) -> Vec<Finding> {
        vec![finding("PC-TEST-0001", Family::Jailbreak, points, Action::Score)]
    }

    fn worst() -> Circumstances {
        Circumstances {
            behaviour: vec![finding("PC-TEST-0002", Family::Behaviour, 10.0, Action::Score)],
            correlated: Vec::new(),
            is_untrusted: true,
            conversation: 1.0,
            history: 1.0,
        }
    }

    fn verdict(content: Vec<Finding>, around: Circumstances) -> Verdict {
        judge_in(content, around, &AT, &RuleSetHash("h".into()))
    }

    #[test]
    fn without_circumstances_a_verdict_is_that_of_the_content() {
        for findings in [Vec::new(), content(3.0), content(9.0)] {
            let alone = judge(findings.clone(), &AT, &RuleSetHash("h".into()));
            let same = verdict(findings, Circumstances::default());
            assert_eq!(alone, same);
            assert_eq!(alone.factors.content, alone.risk);
        }
    }

    #[test]
    fn the_risk_is_what_the_factors_say_and_never_falls() {
        let product = |verdict: &Verdict| {
            let f = verdict.factors;
            1.0 - (1.0 - f.content) * (1.0 - f.behaviour) * (1.0 - f.context) * (1.0 - f.history)
        };
        for points in 0..12_u8 {
            let alone = verdict(content(f32::from(points)), Circumstances::default());
            let with = verdict(content(f32::from(points)), worst());
            assert!((with.risk - product(&with)).abs() < 1e-5, "{with:?}");
            assert!(with.risk > alone.risk && with.decision >= alone.decision);
            assert!(with.false_positive < alone.false_positive);
        }
    }

    #[test]
    fn circumstances_alone_report_and_never_block() {
        let around = verdict(Vec::new(), worst());
        assert_eq!(around.decision, Decision::Allow, "{:?}", around.steps);
        assert!(around.risk < 0.6 && around.recommended == Recommendation::Monitor, "{}", around.risk);
        let history = Circumstances { history: 1.0, ..Circumstances::default() };
        let quiet = verdict(Vec::new(), history);
        assert_eq!((quiet.decision, quiet.recommended), (Decision::Allow, Recommendation::None));
        assert!(quiet.findings.is_empty() && quiet.factors.history > 0.2);
        // Three points pass, and the worst of circumstances makes a flag of them; five stay one, and six become a block.
        assert_eq!(verdict(content(3.0), worst()).decision, Decision::Flag);
        assert_eq!(verdict(content(3.9), worst()).decision, Decision::Flag);
        assert_eq!(verdict(content(5.0), worst()).decision, Decision::Flag);
        assert_eq!(verdict(content(6.0), worst()).decision, Decision::Block);
    }

    #[test]
    fn the_action_of_a_rule_is_a_floor_here_too() {
        let around = |action| Circumstances {
            correlated: vec![finding("PC-TEST-0003", Family::Jailbreak, 2.0, action)],
            ..Circumstances::default()
        };
        let flagged = verdict(content(2.0), around(Action::Flag));
        assert_eq!(flagged.decision, Decision::Flag);
        assert!(flagged.factors.history > 0.0 && flagged.risk >= 0.68, "{flagged:?}");
        assert_eq!(verdict(Vec::new(), around(Action::Block)).decision, Decision::Block);
        assert_eq!(verdict(content(2.0), around(Action::Score)).decision, Decision::Flag, "four points together");
        let words: Vec<String> = flagged.steps.iter().map(|step| step.what.to_string()).collect();
        assert_eq!(words, ["PC-TEST-0001", "history", "action flag"]);
    }
}

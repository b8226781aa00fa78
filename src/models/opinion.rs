//! What a model thinks of a text, and what that is worth among the findings of the rules.

use std::sync::Arc;

use super::{Model, Policy, Text, When};
use crate::types::{Action, Evidence, Finding, Role, Severity, SpanIndex};

/// What a model thinks of one text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Opinion {
    /// That it is an attack: 0 to 1.
    pub probability: f32,
    /// Bytes of the text it is about, at the worst place.
    pub start: usize,
    /// One past the last of them.
    pub end: usize,
    /// The model's own word for it.
    pub label: Option<Arc<str>>,
}

/// The points that flag and block: the scale probabilities are put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// What `flag_at` of a model is worth.
    pub flag_at: u32,
    /// What `block_at` of a model is worth.
    pub block_at: u32,
}

impl Policy {
    /// The points of a probability; `None` below `flag_at`.
    fn points(&self, probability: f32, scale: Scale) -> Option<f32> {
        let (flag, block) = (scale.flag_at as f32, scale.block_at as f32);
        let points = if probability < self.flag_at {
            return None;
        } else if probability >= self.block_at {
            block
        } else {
            flag + (block - flag) * (probability - self.flag_at) / (self.block_at - self.flag_at)
        };
        Some(match self.most {
            Action::Score => points.min((flag - 1.0).max(0.0)),
            Action::Flag => points.min(flag),
            Action::Redact | Action::Block => points,
        })
    }
}

impl Model {
    /// The finding an opinion is, if it is one.
    pub fn finding(&self, span: SpanIndex, opinion: &Opinion, scale: Scale) -> Option<Finding> {
        let score = self.policy().points(opinion.probability, scale)?;
        let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let title = match &opinion.label {
            Some(label) => format!("{}: {label}", self.title).into(),
            None => Arc::clone(&self.title),
        };
        Some(Finding {
            rule: self.rule.clone(),
            title,
            family: self.policy().family,
            severity: if score >= scale.block_at as f32 { Severity::High } else { Severity::Medium },
            score,
            // It has read the text around: what it says is in the points.
            action: Action::Score,
            threats: Arc::clone(&self.policy().threats),
            evidence: Evidence { span, start: short(opinion.start), end: short(opinion.end) },
            doubts: Vec::new(),
        })
    }
}

/// The spans that a model is to be asked about, after all of them were scanned and not blocked. Findings of data (an
/// address, a key) leave nothing undecided.
pub fn in_question<'t>(
    policy: &Policy,
    spans: impl Iterator<Item = (Role, &'t str)>,
    findings: &[Finding],
) -> Vec<(SpanIndex, Text<'t>)> {
    let mut found: Vec<&Finding> = findings.iter().filter(|finding| !finding.family.is_data()).collect();
    found.sort_by_key(|finding| finding.evidence.span);
    let mut asked = Vec::new();
    for (index, (role, text)) in (0..).map(SpanIndex).zip(spans) {
        if text.is_empty() || !policy.roles.contains(&role) {
            continue;
        }
        let first = found.partition_point(|finding| finding.evidence.span < index);
        let here = found.iter().skip(first).take_while(|finding| finding.evidence.span == index);
        let points: f32 = here.clone().map(|finding| finding.score).sum();
        let wanted = match policy.when {
            When::Always => true,
            When::Undecided => here.clone().next().is_some() && points >= policy.undecided_from as f32,
        };
        if wanted {
            let focus = here.map(|finding| finding.evidence.start as usize..finding.evidence.end as usize).collect();
            asked.push((index, Text { role, text, focus }));
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Family, RuleId};

    fn policy(when: When, most: Action) -> Policy {
        Policy {
            roles: vec![Role::User],
            when,
            undecided_from: 2,
            flag_at: 0.5,
            block_at: 0.9,
            family: Family::PromptInjection,
            threats: Arc::from([]),
            most,
            fails_open: false,
        }
    }

    fn finding(span: u32, family: Family, score: f32) -> Finding {
        Finding {
            rule: RuleId("PC-AAA-0001".into()),
            title: "t".into(),
            family,
            severity: Severity::Low,
            score,
            action: Action::Score,
            threats: Arc::from([]),
            evidence: Evidence { span: SpanIndex(span), start: 1, end: 3 },
            doubts: Vec::new(),
        }
    }

    const SCALE: Scale = Scale { flag_at: 4, block_at: 8 };

    #[test]
    fn probabilities_become_points_between_the_thresholds() {
        let points = |probability| policy(When::Always, Action::Block).points(probability, SCALE);
        assert_eq!(points(0.49), None);
        assert_eq!((points(0.5), points(0.9), points(1.0)), (Some(4.0), Some(8.0), Some(8.0)));
        assert!((points(0.7).unwrap() - 6.0).abs() < 1e-5);
        let steep = Policy { flag_at: 0.8, block_at: 0.8, ..policy(When::Always, Action::Block) };
        assert_eq!((steep.points(0.79, SCALE), steep.points(0.8, SCALE)), (None, Some(8.0)));
    }

    #[test]
    fn an_action_caps_the_points() {
        assert_eq!(policy(When::Always, Action::Flag).points(1.0, SCALE), Some(4.0));
        assert_eq!(policy(When::Always, Action::Score).points(1.0, SCALE), Some(3.0));
    }

    #[test]
    fn what_is_undecided_is_asked_about_and_what_is_clean_or_data_is_not() {
        let texts = [(Role::User, "aaaa"), (Role::System, "bbbb"), (Role::User, "cccc"), (Role::User, "dddd")];
        let findings = [
            finding(2, Family::Jailbreak, 1.0),
            finding(1, Family::Jailbreak, 5.0),
            finding(2, Family::Jailbreak, 1.5),
            finding(0, Family::Privacy, 5.0),
            finding(3, Family::Jailbreak, 1.5),
        ];
        let asked = |when| {
            let asked = in_question(&policy(when, Action::Block), texts.into_iter(), &findings);
            asked.into_iter().map(|(index, text)| (index.0, text.focus.len())).collect::<Vec<_>>()
        };
        assert_eq!(asked(When::Undecided), [(2, 2)]);
        assert_eq!(asked(When::Always), [(0, 0), (2, 2), (3, 1)]);
    }
}

//! How a policy treats the findings of each detector family: not at all, with another action, or with another weight.

use crate::types::{Action, Family, Finding};

/// The treatment of every family. By default each is left as its rules have it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Treatments([Treatment; Family::ALL.len()]);

/// The treatment of one family.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Treatment {
    /// Its findings are dropped.
    pub off: bool,
    /// What its findings ask for, whatever their rules say.
    pub action: Option<Action>,
    /// The points of this family alone that block a prompt: its points weigh as much more, or less, as this is below, or
    /// above, the general threshold.
    pub block_at: Option<u32>,
}

impl Treatments {
    /// Treats a family in this way from now on.
    pub fn set(&mut self, family: Family, treatment: Treatment) {
        if let Some(place) = Family::ALL.iter().position(|known| *known == family).and_then(|at| self.0.get_mut(at)) {
            *place = treatment;
        }
    }

    /// How a family is treated.
    pub fn of(&self, family: Family) -> Treatment {
        let at = Family::ALL.iter().position(|known| *known == family);
        at.and_then(|at| self.0.get(at)).copied().unwrap_or_default()
    }

    /// Whether every family is left as it is.
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|treatment| *treatment == Treatment::default())
    }

    /// Treats what was found in a prompt that is blocked from `block_at` points on; the first `treated` findings were
    /// treated before.
    pub fn apply(&self, findings: &mut Vec<Finding>, treated: usize, block_at: u32) {
        if self.is_plain() {
            return;
        }
        let mut index = 0_usize;
        findings.retain_mut(|finding| {
            index = index.saturating_add(1);
            if index <= treated {
                return true;
            }
            let treatment = self.of(finding.family);
            finding.action = treatment.action.unwrap_or(finding.action);
            if let Some(own) = treatment.block_at {
                finding.score *= block_at as f32 / own.max(1) as f32;
            }
            !treatment.off
        });
    }

    /// What a rule that matched in an answer asks for, `None` where nothing. A rule that only reports keeps to that: what it
    /// matches was not held back.
    pub(super) fn in_answer(&self, family: Family, own: Action) -> Option<Action> {
        let treatment = self.of(family);
        let holds = matches!(own, Action::Redact | Action::Block);
        (!treatment.off).then(|| treatment.action.filter(|_| holds).unwrap_or(own))
    }
}

/// A finding in an answer as the policy has it.
pub(super) fn treated(treatments: Option<&Treatments>, mut finding: Finding) -> Finding {
    if let Some(treatments) = treatments {
        finding.action = treatments.in_answer(finding.family, finding.action).unwrap_or(Action::Score);
    }
    finding
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::{Evidence, RuleId, Severity, SpanIndex};

    fn finding(family: Family, action: Action) -> Finding {
        Finding {
            rule: RuleId("PC-TST-0001".into()),
            title: "".into(),
            family,
            severity: Severity::Low,
            score: 4.0,
            action,
            threats: Arc::default(),
            evidence: Evidence { span: SpanIndex(0), start: 0, end: 1 },
            doubts: Vec::new(),
        }
    }

    #[test]
    fn a_family_is_dropped_weighed_or_given_another_action_and_others_stay() {
        let mut treatments = Treatments::default();
        assert!(treatments.is_plain());
        treatments.set(Family::RolePlay, Treatment { off: true, ..Treatment::default() });
        treatments.set(Family::Jailbreak, Treatment { block_at: Some(4), ..Treatment::default() });
        treatments.set(Family::Secrets, Treatment { action: Some(Action::Block), ..Treatment::default() });
        let mut findings = vec![
            finding(Family::RolePlay, Action::Block),
            finding(Family::Jailbreak, Action::Score),
            finding(Family::Secrets, Action::Redact),
            finding(Family::Privacy, Action::Redact),
        ];
        treatments.apply(&mut findings, 0, 8);
        let after: Vec<(Family, f32, Action)> =
            findings.iter().map(|finding| (finding.family, finding.score, finding.action)).collect();
        let expected = [
            (Family::Jailbreak, 8.0, Action::Score),
            (Family::Secrets, 4.0, Action::Block),
            (Family::Privacy, 4.0, Action::Redact),
        ];
        assert_eq!(after, expected);
    }

    #[test]
    fn in_answers_only_what_was_held_back_can_be_treated_harder() {
        let mut treatments = Treatments::default();
        treatments.set(Family::Secrets, Treatment { action: Some(Action::Block), ..Treatment::default() });
        treatments.set(Family::Privacy, Treatment { off: true, ..Treatment::default() });
        assert_eq!(treatments.in_answer(Family::Secrets, Action::Redact), Some(Action::Block));
        assert_eq!(treatments.in_answer(Family::Secrets, Action::Flag), Some(Action::Flag));
        assert_eq!(treatments.in_answer(Family::Privacy, Action::Redact), None);
        assert_eq!(treatments.in_answer(Family::Leakage, Action::Redact), Some(Action::Redact));
    }
}

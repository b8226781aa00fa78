//! Rules on trial: what they find is told, and decides nothing, or only for a share of the callers.

use std::collections::BTreeMap;

use super::RuleSet;
use super::rule::Rule;
use crate::types::learn::Stage;
use crate::types::{Finding, RuleId};

/// The rules that are not simply in force.
#[derive(Debug, Clone, Default)]
pub(super) struct Trials(BTreeMap<RuleId, Stage>);

impl Trials {
    pub(super) fn of(rules: &[Rule]) -> Self {
        Self(rules.iter().filter(|rule| rule.stage != Stage::Live).map(|rule| (rule.id.clone(), rule.stage)).collect())
    }
}

impl RuleSet {
    /// Takes out what rules on trial found: what is left may decide. Gives the rules that found something and were taken
    /// out, each once, in the order of their ids.
    ///
    /// `lot`, 0 to below 1, says whether this caller is of the share that a canary holds for; 1 is of none. It is asked
    /// for only where it matters.
    pub fn on_trial(&self, findings: &mut Vec<Finding>, lot: impl FnOnce() -> f32) -> Vec<RuleId> {
        if self.trials.0.is_empty() || findings.is_empty() {
            return Vec::new();
        }
        let lot = lot();
        let mut out: Vec<RuleId> = Vec::new();
        findings.retain(|finding| {
            let decides = match self.trials.0.get(&finding.rule) {
                None | Some(Stage::Live) => true,
                Some(Stage::Canary { share }) => lot < *share,
                Some(Stage::Shadow) => false,
            };
            if !decides {
                out.push(finding.rule.clone());
            }
            decides
        });
        out.sort_unstable();
        out.dedup();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{Budget, Source};
    use crate::types::{Role, SpanIndex};

    fn rules(extra: &str) -> Result<RuleSet, Vec<crate::detect::Problem>> {
        let text = format!(
            "id: LRN-7F3A9C-1\ntitle: T\nfamily: jailbreak\ngain: G\nseverity: high\nscore: 8\ndirection: input\n\
             action: block\n{extra}detection:\n  prefilter: [gribble]\n  sel_a: 'gribble'\nexamples:\n  positive: \
             [gribble]\n  negative: [other]\n"
        );
        let budget = Budget { max_rule: 1 << 24, max_total: 1 << 26, max_hold: 4096 };
        RuleSet::compile(&[Source { name: "l.yaml".into(), text }], None, &BTreeMap::new(), &budget)
    }

    fn left(extra: &str, lot: f32) -> (usize, usize) {
        let rules = rules(extra).unwrap();
        let mut findings = Vec::new();
        rules.scan(SpanIndex(0), Role::User, "a gribble and a gribble", &mut findings);
        let told = rules.on_trial(&mut findings, || lot);
        (findings.len(), told.len())
    }

    #[test]
    fn a_shadow_decides_nothing_a_canary_for_its_share_and_a_live_rule_always() {
        let (live, _) = left("", 0.0);
        assert!(live > 0);
        assert_eq!(left("stage: live\n", 1.0), (live, 0));
        assert_eq!(left("stage: shadow\n", 0.0), (0, 1));
        assert_eq!(left("stage: canary\nshare: 0.25\n", 0.2), (live, 0));
        assert_eq!(left("stage: canary\nshare: 0.25\n", 0.3), (0, 1));
        assert_eq!(left("stage: canary\nshare: 1.0\n", 1.0), (0, 1));
    }

    #[test]
    fn a_stage_is_checked() {
        for (extra, at) in [
            ("stage: canary\n", "share"),
            ("stage: canary\nshare: 1.5\n", "share"),
            ("share: 0.5\n", "share"),
            ("stage: soon\n", ""),
        ] {
            let problems = rules(extra).unwrap_err();
            assert!(problems.iter().any(|problem| problem.path.ends_with(at)), "{extra}: {problems:?}");
        }
    }
}

//! One rule set over the texts of a prompt: the gateway's judgement, without what it remembers. Identical texts and
//! identical prompts are judged once, through bounded caches.

use std::sync::Arc;

use moka::sync::Cache;

use super::terms::Treated;
use super::texts::Texts;
use crate::config::settings::Mode;
use crate::detect::RuleSet;
use crate::detect::history::{Asked, Moment, judge_request};
use crate::types::{Action, Decision, Evidence, Finding, Role, SpanIndex};

/// Texts shorter than this are scanned again rather than remembered.
const WORTH: usize = 48;

/// What is remembered of a text: its findings, as if it were the first span.
type Scanned = Arc<[Finding]>;

/// A rule that fired on a prompt, with the most it asked for there.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// Its id.
    pub rule: Arc<str>,
    /// The points it added.
    pub score: f32,
    /// What it asked for.
    pub action: Action,
    /// Where.
    pub place: Evidence,
}

/// What one rule set comes to on one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// As it would be enforced.
    pub decision: Decision,
    /// Each rule once, by id.
    pub fired: Vec<Fired>,
}

/// A rule set at work.
#[derive(Debug)]
pub struct Judge {
    rules: Arc<RuleSet>,
    texts: Option<Cache<[u8; 32], Scanned>>,
}

impl Judge {
    /// With these rules; the findings of so many texts are remembered.
    pub fn new(rules: Arc<RuleSet>, remembered: u64) -> Self {
        Self { rules, texts: (remembered > 0).then(|| Cache::new(remembered)) }
    }

    /// Its rules.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// What it comes to on these texts.
    pub fn judge(&self, texts: &Texts, treated: &Treated) -> Side {
        if treated.mode == Mode::Off {
            return Side { decision: Decision::Allow, fired: Vec::new() };
        }
        let turns: Vec<(SpanIndex, Role, &str)> = texts.iter().collect();
        let mut findings = Vec::new();
        for (span, role, text) in &turns {
            self.scan(*span, *role, text, &mut findings);
        }
        self.rules.scan_conversation(&turns, &mut findings);
        // What is on trial decides nothing, or only for some callers.
        self.rules.on_trial(&mut findings, || 1.0);
        if let Some(treatments) = &treated.treatments {
            treatments.apply(&mut findings, 0, treated.thresholds.block_at);
        }
        let role = |span: SpanIndex| {
            let known = turns.iter().find(|(own, _, _)| *own == span);
            (known.map_or(Role::Parameter, |(_, role, _)| *role), true)
        };
        let spoken = Evidence { span: SpanIndex(0), start: 0, end: 0 };
        let asked = Asked { now: Moment::default(), print: None, spoken, is_retry: false, span: &role };
        // Nothing is remembered of anybody: what is left of the circumstances is where the words stand.
        let verdict = judge_request(&self.rules, None, None, &asked, findings, &treated.thresholds);
        let decision = match treated.mode {
            Mode::Enforce => verdict.decision,
            Mode::Monitor if verdict.findings.is_empty() => Decision::Allow,
            Mode::Monitor => verdict.decision.min(Decision::Flag),
            Mode::Off => Decision::Allow,
        };
        Side { decision, fired: fired(verdict.findings) }
    }

    fn scan(&self, span: SpanIndex, role: Role, text: &str, out: &mut Vec<Finding>) {
        let Some(texts) = self.texts.as_ref().filter(|_| text.len() >= WORTH) else {
            return self.rules.scan(span, role, text, out);
        };
        let scanned = texts.get_with(key(role, text), || {
            let mut found = Vec::new();
            self.rules.scan(SpanIndex(0), role, text, &mut found);
            found.into()
        });
        out.extend(scanned.iter().cloned().map(|mut finding| {
            finding.evidence.span = span;
            finding
        }));
    }
}

fn key(role: Role, text: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[role as u8]);
    hasher.update(text.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Each rule once: what it asked for at most, where it weighs most.
fn fired(findings: Vec<Finding>) -> Vec<Fired> {
    let mut fired: Vec<Fired> = Vec::new();
    for finding in findings {
        let Finding { rule, score, action, evidence: place, .. } = finding;
        match fired.iter_mut().find(|known| known.rule == rule.0) {
            Some(known) => {
                if score > known.score {
                    (known.score, known.place) = (score, place);
                }
                known.action = known.action.max(action);
            }
            None => fired.push(Fired { rule: rule.0, score, action, place }),
        }
    }
    fired.sort_by(|a, b| a.rule.cmp(&b.rule));
    fired
}

//! The detectors over one answer: a window per channel, everything found, and what it comes to.

use std::sync::Arc;

use super::content::{Collected, Keeping};
use super::keys::{self, Scrub, Scrubber};
use super::route::Plan;
use crate::config::settings::Mode;
use crate::config::{Policy, Snapshot};
use crate::detect::leak::Known;
use crate::detect::{self, Released, RuleSet, Thresholds, Window};
use crate::types::{Action, Channel, Decision, Evidence, Family, Finding, RuleId, Severity, SpanIndex, Verdict};

/// Inspects the texts of one answer.
pub(super) struct Inspector {
    rules: Arc<RuleSet>,
    thresholds: Thresholds,
    enforce: bool,
    /// The prompt the answer was made under.
    known: Option<Arc<Known>>,
    policy: Arc<Policy>,
    keys: Scrubber,
    lanes: Vec<Lane>,
    next_span: u32,
    findings: Vec<Finding>,
    scratch: Released,
    redacted: bool,
    /// What went on, where it is kept.
    collected: Option<Box<Collected>>,
}

/// The text of one channel.
struct Lane {
    channel: Channel,
    window: Window,
    scrub: Scrub,
}

/// What may go on of a text that was fed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// All of it, as it is.
    Unchanged,
    /// This instead, now; something may be held back.
    Instead(String),
    /// This, which stands before what is blocked, and nothing after it.
    Blocked(String),
}

impl Fed {
    /// What goes on of `text`.
    pub(super) fn or<'t>(&'t self, text: &'t str) -> &'t str {
        match self {
            Self::Unchanged => text,
            Self::Instead(text) | Self::Blocked(text) => text,
        }
    }

    /// The same with `clean` going on in its place, if it differs.
    fn with(self, clean: Option<String>) -> Self {
        match (self, clean) {
            (fed, None) => fed,
            (Self::Blocked(_), Some(clean)) => Self::Blocked(clean),
            (Self::Unchanged | Self::Instead(_), Some(clean)) => Self::Instead(clean),
        }
    }
}

impl Inspector {
    /// Nothing seen yet. Where `plan` does not enforce, everything is reported and nothing held or changed, but for what `keys`
    /// takes out.
    pub(super) fn new(snapshot: &Snapshot, plan: &Plan, known: Option<Arc<Known>>, keys: Scrubber) -> Self {
        Self {
            rules: Arc::clone(&snapshot.rules),
            thresholds: plan.thresholds(snapshot),
            enforce: plan.mode == Mode::Enforce,
            known,
            policy: Arc::clone(&plan.policy),
            keys,
            lanes: Vec::new(),
            next_span: 0,
            findings: Vec::new(),
            scratch: Released::default(),
            redacted: false,
            collected: None,
        }
    }

    /// The same, and what goes on is kept like this.
    pub(super) fn keeping(mut self, keeping: Option<&Keeping>) -> Self {
        self.collected = keeping.map(|keeping| Box::new(Collected::new(*keeping)));
        self
    }

    /// Whether what goes on is kept.
    pub(super) fn keeps(&self) -> bool {
        self.collected.is_some()
    }

    /// These words of a channel went on.
    pub(super) fn went_on(&mut self, channel: Channel, text: &str) {
        if let Some(collected) = &mut self.collected {
            collected.add(channel, text);
        }
    }

    /// These went on, complete in themselves.
    pub(super) fn line_went_on(&mut self, channel: Channel, text: &str) {
        if let Some(collected) = &mut self.collected {
            collected.add_line(channel, text);
        }
    }

    /// What is kept of all that went on.
    pub(super) fn kept(&mut self) -> Option<String> {
        self.collected.take().and_then(|collected| collected.close(&self.rules))
    }

    /// The next piece of a channel's text.
    pub(super) fn feed(&mut self, channel: Channel, text: &str) -> Fed {
        let index = match self.lanes.iter().position(|lane| lane.channel == channel) {
            Some(index) => index,
            None => {
                let span = self.span();
                let window = Window::new(Arc::clone(&self.rules), span, self.enforce)
                    .knowing(self.known.as_ref())
                    .treating(self.policy.treatments.clone());
                self.lanes.push(Lane { channel, window, scrub: self.keys.of_text() });
                self.lanes.len() - 1
            }
        };
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.window.feed(text, &mut self.scratch);
        }
        let fed = self.taken();
        let Some(lane) = self.lanes.get_mut(index) else { return fed };
        let clean = lane.scrub.text(fed.or(text));
        self.redacted |= clean.as_ref().is_some_and(|clean| clean.contains(keys::MARK));
        fed.with(clean)
    }

    /// A channel ends: what it still held, or nothing.
    pub(super) fn finish(&mut self, channel: Channel) -> Fed {
        let Some(index) = self.lanes.iter().position(|lane| lane.channel == channel) else { return Fed::Unchanged };
        let mut lane = self.lanes.swap_remove(index);
        lane.window.finish(&mut self.scratch);
        let fed = self.taken();
        let rest = fed.or("");
        let mut rest = lane.scrub.text(rest).unwrap_or_else(|| rest.to_owned());
        rest.push_str(&lane.scrub.finish_text());
        self.redacted |= rest.contains(keys::MARK);
        match fed {
            Fed::Blocked(_) => Fed::Blocked(rest),
            Fed::Unchanged | Fed::Instead(_) if rest.is_empty() => fed,
            Fed::Unchanged | Fed::Instead(_) => Fed::Instead(rest),
        }
    }

    /// A text that is complete in itself.
    pub(super) fn whole(&mut self, text: &str) -> Fed {
        let span = self.span();
        self.scratch = detect::inspect_output_under(
            &self.rules,
            self.known.as_ref(),
            self.policy.treatments.as_ref(),
            span,
            text,
            self.enforce,
        );
        let fed = self.taken();
        if !self.keys.finds(fed.or(text).as_bytes()) {
            return fed;
        }
        self.redacted = true;
        let clean = self.keys.whole_text(fed.or(text));
        fed.with(Some(clean))
    }

    /// Whether a tool call of this name may go on; one that the policy does not allow is a finding.
    pub(super) fn allows(&mut self, tool: &str) -> bool {
        if self.policy.tools.as_ref().is_none_or(|tools| tools.fit(tool)) {
            return true;
        }
        self.call_found("PC-POL-0001", "A tool call that the policy does not allow", tool);
        !self.enforce
    }

    /// Whether a tool call of this name may only go on when a person says so.
    pub(super) fn awaits(&self, tool: &str) -> bool {
        self.enforce && self.policy.approve_tools.as_ref().is_some_and(|tools| tools.fit(tool))
    }

    /// No person said that this call may go on: that is a finding.
    pub(super) fn unapproved(&mut self, tool: &str) {
        self.call_found("PC-POL-0002", "A tool call that nobody approved", tool);
    }

    fn call_found(&mut self, rule: &str, title: &str, tool: &str) {
        let span = self.span();
        let end = u32::try_from(tool.len()).unwrap_or(u32::MAX);
        self.findings.push(Finding {
            rule: RuleId(rule.into()),
            title: title.into(),
            family: Family::SystemManipulation,
            severity: Severity::High,
            score: self.thresholds.block_at as f32,
            action: Action::Block,
            threats: Arc::from(["LLM06:2025", "AML.T0053"].map(Arc::from)),
            evidence: Evidence { span, start: 0, end },
            doubts: Vec::new(),
        });
    }

    /// Bytes held back now, all channels together.
    pub(super) fn held(&self) -> usize {
        self.lanes.iter().map(|lane| lane.window.held() + lane.scrub.held()).sum()
    }

    /// The verdict on everything seen, and what of it was carried out.
    pub(super) fn verdict(&mut self) -> Option<(Verdict, Decision)> {
        let findings = std::mem::take(&mut self.findings);
        if findings.is_empty() {
            return None;
        }
        let verdict = detect::judge_answer(findings, &self.thresholds, self.rules.hash());
        let enforced = if self.enforce { verdict.decision } else { verdict.decision.min(Decision::Flag) };
        Some((verdict, enforced))
    }

    /// Whether anything was replaced so far.
    pub(super) fn redacted(&self) -> bool {
        self.redacted
    }

    fn span(&mut self) -> SpanIndex {
        let span = SpanIndex(self.next_span);
        self.next_span += 1;
        span
    }

    fn taken(&mut self) -> Fed {
        let released = &mut self.scratch;
        self.redacted |= self.enforce && released.findings.iter().any(|finding| finding.action == Action::Redact);
        self.findings.append(&mut released.findings);
        if released.blocked {
            Fed::Blocked(std::mem::take(&mut released.text))
        } else if released.unchanged {
            Fed::Unchanged
        } else {
            Fed::Instead(std::mem::take(&mut released.text))
        }
    }
}

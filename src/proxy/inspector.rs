//! The detectors over one answer: a window per channel, everything found, and what it comes to.

use std::sync::Arc;

use crate::detect::{self, Released, RuleSet, Thresholds, Window};
use crate::types::{Action, Channel, Decision, Finding, SpanIndex, Verdict};

/// Inspects the texts of one answer.
pub(super) struct Inspector {
    rules: Arc<RuleSet>,
    enforce: bool,
    windows: Vec<(Channel, Window)>,
    next_span: u32,
    findings: Vec<Finding>,
    scratch: Released,
    redacted: bool,
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

impl Inspector {
    /// Nothing seen yet. Without `enforce` everything is reported and nothing held or changed.
    pub(super) fn new(rules: Arc<RuleSet>, enforce: bool) -> Self {
        Self {
            rules,
            enforce,
            windows: Vec::new(),
            next_span: 0,
            findings: Vec::new(),
            scratch: Released::default(),
            redacted: false,
        }
    }

    /// The next piece of a channel's text.
    pub(super) fn feed(&mut self, channel: Channel, text: &str) -> Fed {
        let index = match self.windows.iter().position(|(known, _)| *known == channel) {
            Some(index) => index,
            None => {
                let span = self.span();
                self.windows.push((channel, Window::new(Arc::clone(&self.rules), span, self.enforce)));
                self.windows.len() - 1
            }
        };
        if let Some((_, window)) = self.windows.get_mut(index) {
            window.feed(text, &mut self.scratch);
        }
        self.taken()
    }

    /// A channel ends: what it still held, or nothing.
    pub(super) fn finish(&mut self, channel: Channel) -> Fed {
        let Some(index) = self.windows.iter().position(|(known, _)| *known == channel) else { return Fed::Unchanged };
        let (_, mut window) = self.windows.swap_remove(index);
        window.finish(&mut self.scratch);
        self.taken()
    }

    /// A text that is complete in itself.
    pub(super) fn whole(&mut self, text: &str) -> Fed {
        let span = self.span();
        self.scratch = detect::inspect_output(&self.rules, span, text, self.enforce);
        self.taken()
    }

    /// Bytes held back now, all channels together.
    pub(super) fn held(&self) -> usize {
        self.windows.iter().map(|(_, window)| window.held()).sum()
    }

    /// The verdict on everything seen, and what of it was carried out.
    pub(super) fn verdict(&mut self) -> Option<(Verdict, Decision)> {
        let findings = std::mem::take(&mut self.findings);
        if findings.is_empty() {
            return None;
        }
        // An answer is judged by what its rules ask for, not by a sum of points: a stream cannot take words back.
        let thresholds = Thresholds { flag_at: 1, block_at: u32::MAX };
        let verdict = detect::judge(findings, &thresholds, self.rules.hash());
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

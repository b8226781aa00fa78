//! A whole text of an answer through one window.

use std::sync::Arc;

use super::RuleSet;
use super::leak::Known;
use super::released::Released;
use super::treatment::Treatments;
use super::window::Flow;
use crate::types::SpanIndex;

/// Inspects a whole text: one feed and the end.
pub fn inspect_output(rules: &RuleSet, span: SpanIndex, text: &str, enforce: bool) -> Released {
    inspect_output_knowing(rules, None, span, text, enforce)
}

/// The same, where the prompt the text was made under is known.
pub fn inspect_output_knowing(
    rules: &RuleSet,
    prompt: Option<&Arc<Known>>,
    span: SpanIndex,
    text: &str,
    enforce: bool,
) -> Released {
    inspect_output_under(rules, prompt, None, span, text, enforce)
}

/// The same under a policy that treats some families in another way.
pub fn inspect_output_under(
    rules: &RuleSet,
    prompt: Option<&Arc<Known>>,
    treatments: Option<&Arc<Treatments>>,
    span: SpanIndex,
    text: &str,
    enforce: bool,
) -> Released {
    let mut flow = Flow::new(span, enforce).knowing(rules, prompt);
    flow.treatments = treatments.cloned();
    let (mut all, mut end) = (Released::default(), Released::default());
    flow.feed(rules, text, &mut all);
    if !all.blocked {
        flow.finish(rules, &mut end);
        if all.unchanged && !end.unchanged {
            all.text.push_str(text);
        }
        all.unchanged &= end.unchanged;
        all.text.push_str(&end.text);
        all.blocked = end.blocked;
        all.findings.append(&mut end.findings);
    }
    all
}

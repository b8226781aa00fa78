//! A verdict for a person: what was found, where, why it counts.

use crate::types::{Evidence, Factors, Verdict};

/// Characters shown on either side of a match.
const CONTEXT: usize = 40;
/// Longest part of a match shown.
const LONGEST: usize = 200;

/// Renders `verdict`; `texts` are the texts of its spans in order, each with the path to show for it.
/// The matched text stands between `»` and `«`; control and invisible characters are shown as escapes.
pub fn explain(verdict: &Verdict, texts: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let points = verdict.steps.last().map_or(0.0, |step| step.points);
    let mut line = |text: std::fmt::Arguments<'_>| {
        out.push_str(&text.to_string());
        out.push('\n');
    };
    line(format_args!(
        "{} · risk {:.2} · {} points · {:.0} % likely harmless · {}",
        verdict.decision.name(),
        verdict.risk,
        tenths(points),
        verdict.false_positive * 100.0,
        verdict.recommended.name()
    ));
    let Factors { content, behaviour, context, history } = verdict.factors;
    if behaviour + context + history > 0.0 {
        line(format_args!(
            "  content {content:.2}, behaviour {behaviour:.2}, context {context:.2}, history {history:.2}"
        ));
    }
    if verdict.findings.is_empty() {
        line(format_args!("  nothing found"));
    }
    for finding in &verdict.findings {
        let severity = format!("{:?}", finding.severity).to_lowercase();
        let action = format!("{:?}", finding.action).to_lowercase();
        line(format_args!("\n{} {} ({}, {severity})", finding.rule, finding.title, finding.family.name()));
        let Evidence { span, start, end } = finding.evidence;
        let shown = usize::try_from(span.0).ok().and_then(|at| texts.get(at));
        let path = shown.map_or("?", |(path, _)| path);
        line(format_args!("  at   {path}, bytes {start} to {end}"));
        if let Some((_, text)) = shown {
            line(format_args!("  text {}", excerpt(text, start as usize, end as usize)));
        }
        match finding.counts_for() {
            (points, _) if points < finding.score => line(format_args!(
                "  adds {} points instead of {}, does not ask for {action}",
                tenths(points),
                tenths(finding.score)
            )),
            (points, _) => line(format_args!("  adds {} points, asks for {action}", tenths(points))),
        }
        for doubt in &finding.doubts {
            line(format_args!("  but  {}", doubt.words()));
        }
        if !finding.threats.is_empty() {
            line(format_args!("  ids  {}", finding.threats.join(", ")));
        }
    }
    if !verdict.steps.is_empty() {
        line(format_args!("\nscore"));
    }
    for step in &verdict.steps {
        line(format_args!("  {:>4}  {}", tenths(step.points), step.what));
    }
    line(format_args!("rules {}", verdict.rule_set));
    out
}

/// To one tenth: more would look more exact than it is.
fn tenths(points: f32) -> f32 {
    (points * 10.0).round() / 10.0
}

/// A match in its surroundings, on one line.
fn excerpt(text: &str, start: usize, end: usize) -> String {
    let (Some(before), Some(matched), Some(after)) = (text.get(..start), text.get(start..end), text.get(end..)) else {
        return "(not in this text)".into();
    };
    let head: Vec<char> = before.chars().rev().take(CONTEXT).collect();
    let head: String = head.into_iter().rev().collect();
    let tail: String = after.chars().take(CONTEXT).collect();
    let inner: String = matched.chars().take(LONGEST).collect();
    let more = if inner.len() < matched.len() { "…" } else { "" };
    let (left, right) =
        (if head.len() < before.len() { "…" } else { "" }, if tail.len() < after.len() { "…" } else { "" });
    format!("{left}{}»{}{more}«{}{right}", visible(&head), visible(&inner), visible(&tail))
}

/// Control characters, and those that show as nothing, as escapes.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || super::normalize::is_hidden(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{Thresholds, judge};
    use crate::types::{Action, Doubt, Family, Finding, RuleId, RuleSetHash, Severity, SpanIndex};

    #[test]
    fn what_doubts_take_from_a_finding_is_told() {
        let shown = |doubts: &[Doubt]| {
            let finding = Finding {
                rule: RuleId("PC-TST-0001".into()),
                title: "t".into(),
                family: Family::PromptInjection,
                severity: Severity::High,
                score: 8.0,
                action: Action::Block,
                threats: Vec::new().into(),
                evidence: Evidence { span: SpanIndex(0), start: 0, end: 2 },
                doubts: doubts.to_vec(),
            };
            explain(&judge(vec![finding], &Thresholds::DEFAULT, &RuleSetHash("h".into())), &[("text", "as it is")])
        };
        assert!(shown(&[]).contains("  adds 8 points, asks for block\n"), "{}", shown(&[]));
        let told = shown(&[Doubt::Forbidden]);
        assert!(told.contains("  adds 0.8 points instead of 8, does not ask for block\n"), "{told}");
    }

    #[test]
    fn a_match_is_shown_in_its_surroundings_without_control_characters() {
        let text = format!("{}say\n\u{1b}[31m secret now", "x".repeat(100));
        let start = text.find("secret").unwrap();
        let shown = excerpt(&text, start, start + 6);
        assert!(shown.contains("»secret« now"), "{shown}");
        assert!(shown.starts_with('…') && !shown.contains('\n') && !shown.contains('\u{1b}'), "{shown}");
    }
}

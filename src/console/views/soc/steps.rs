//! A verdict explained step by step, and where the time of a request went.

use maud::{Markup, html};

use super::words::{bars, family, rule};
use crate::console::parts::number::micros;
use crate::console::parts::table::table;
use crate::console::parts::{badge, name};
use crate::types::{Durations, Recommendation, Verdict};

/// The findings, the steps of the score, what the risk is made of.
pub(super) fn verdict(verdict: &Verdict) -> Markup {
    let percent = (verdict.false_positive * 100.0).round().clamp(0.0, 100.0) as u8;
    let rows: Vec<Markup> = verdict.findings.iter().map(finding).collect();
    html! {
        p.row { (badge::state(verdict.decision.name())) span { "risk " b { (format!("{:.2}", verdict.risk)) } }
            @if !rows.is_empty() { (badge::likelihood(percent)) }
            @if verdict.recommended != Recommendation::None { span.quiet { "recommended: " (verdict.recommended.name()) } }
        }
        @if rows.is_empty() { p.quiet { "Nothing was found." } }
        @else { (table("Findings", &["Rule", "Severity", "Asks to", "#Points", "#Text, bytes", "Doubts"], &rows)) }
        @if verdict.risk > 0.0 {
            h3 { "What the risk is made of" }
            (factors(verdict))
        }
        @if !verdict.steps.is_empty() {
            h3 { "How the points added up" }
            (points(verdict))
        }
        p.quiet { "Rule set " code { (name(verdict.rule_set.0.get(..12).unwrap_or(&verdict.rule_set.0))) } }
    }
}

fn finding(finding: &crate::types::Finding) -> Markup {
    html! { tr {
        td { (rule(&finding.rule.0)) br; (name(&finding.title)) " " span.quiet { (family(Some(finding.family))) } }
        td { (badge::severity(finding.severity)) }
        td { (finding.action.name()) }
        td.n { (format!("{:.1}", finding.score)) }
        td.n { (finding.evidence.span.0) ", " (finding.evidence.start) "–" (finding.evidence.end) }
        td { @for doubt in &finding.doubts { (doubt.words()) " " } @if finding.doubts.is_empty() { "–" } }
    } }
}

fn factors(verdict: &Verdict) -> Markup {
    let factors = &verdict.factors;
    let all = [
        ("content", factors.content),
        ("behaviour", factors.behaviour),
        ("context", factors.context),
        ("history", factors.history),
    ];
    let all: Vec<_> = all.into_iter().map(|(what, value)| (what.to_owned(), value, String::new())).collect();
    bars(&all)
}

fn points(verdict: &Verdict) -> Markup {
    let most = verdict.steps.iter().map(|step| step.points).fold(1.0, f32::max);
    html! {
        table.bars { caption.hidden { "Points after each step" }
            thead.hidden { tr { th scope="col" { "Step" } th scope="col" { "Bar" } th.n scope="col" { "Points" } } }
            tbody { @for step in &verdict.steps { tr {
                td { (name(&step.what)) }
                td.bar { progress max=(most) value=(step.points) aria-hidden="true" {} }
                td.n { (format!("{:.2}", step.points)) }
            } } }
        }
    }
}

/// Pieces of time in order: name, when it begins, how long it is.
fn pieces(micros: &Durations) -> Vec<(&'static str, u64, u64)> {
    let input = micros.scan.saturating_sub(micros.scan_output);
    let mut at = 0_u64;
    let mut all = Vec::new();
    let mut next = |all: &mut Vec<_>, name: &'static str, length: u64| {
        all.push((name, at, length));
        at = at.saturating_add(length);
    };
    next(&mut all, "Receiving the request", micros.receive);
    next(&mut all, "Inspecting the prompt", input);
    next(&mut all, "Waiting for the provider", micros.upstream);
    next(&mut all, "Inspecting the answer", micros.scan_output);
    next(&mut all, "Waiting for people", micros.waited);
    let rest = micros.total.saturating_sub(at_end(&all));
    next(&mut all, "Everything else", rest);
    all.retain(|(_, _, length)| *length > 0);
    all
}

fn at_end(all: &[(&'static str, u64, u64)]) -> u64 {
    all.iter().map(|(_, _, length)| *length).fold(0, u64::saturating_add)
}

/// The waterfall. Of a stream the parts take turns: it shows how much each took, in the order they begin.
pub(super) fn waterfall(times: &Durations) -> Markup {
    let all = pieces(times);
    let whole = times.total.max(at_end(&all)).max(1);
    let share = |value: u64| format!("{:.3}", value as f64 * 600.0 / whole as f64);
    html! {
        p { "Took " b { (micros(times.total)) }
            @if times.first_chunk > 0 { ", first byte of the answer after " (micros(times.first_chunk)) " at the provider" } }
        table.waterfall { caption.hidden { "Where the time went" }
            thead.hidden { tr { th scope="col" { "Part" } th scope="col" { "When" } th.n scope="col" { "Took" } } }
            tbody { @for (at, (part, begin, length)) in all.iter().enumerate() { tr {
                td { (part) }
                td.bar { svg viewBox="0 0 600 12" preserveAspectRatio="none" aria-hidden="true" {
                    rect class={ "s" (at % 6) } x=(share(*begin)) y="1" width=(share((*length).max(whole / 300))) height="10" {}
                } }
                td.n { (micros(*length)) }
            } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_time_follow_each_other_and_add_up() {
        let times = Durations {
            total: 1000,
            upstream: 600,
            receive: 50,
            scan: 200,
            scan_output: 80,
            first_chunk: 1,
            hold: 5,
            waited: 0,
        };
        let all = pieces(&times);
        assert_eq!(at_end(&all), 1000);
        assert_eq!(all[1], ("Inspecting the prompt", 50, 120));
        assert_eq!(all.last(), Some(&("Everything else", 850, 150)));
        assert_eq!(pieces(&Durations::default()), []);
        let shown = waterfall(&times).into_string();
        assert!(shown.contains("width=\"360.000\"") && !shown.contains("style"), "{shown}");
    }

    #[test]
    fn hostile_titles_in_a_verdict_are_text() {
        let nasty = "<script>x</script>\u{202e}";
        let one: Verdict = serde_json::from_value(serde_json::json!({
            "decision": "block", "risk": 0.9, "false_positive": 0.2, "rule_set": "ääääääääääääääääää", "steps": [{ "what": nasty, "points": 4.5 }],
            "findings": [{ "rule": nasty, "title": nasty, "family": "jailbreak", "severity": "high", "score": 4.5, "action": "block",
                "threats": [], "evidence": { "span": 0, "start": 0, "end": 3 }, "doubts": ["quoted"] }],
        }))
        .unwrap();
        let shown = verdict(&one).into_string();
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("it is quoted") && shown.contains("20 % false alarm"), "{shown}");
    }
}

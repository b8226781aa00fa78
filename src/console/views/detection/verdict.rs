//! A verdict of the test bench, explained.

use maud::{Markup, html};

use super::words;
use crate::console::parts::evidence::{Mark, marked};
use crate::console::parts::{self, badge, number, table};
use crate::console::query::part;
use crate::control::api::scan::{FindingShown, ReadingShown, ScanShown, TextShown};
use crate::types::{Step, visible};

/// All of it.
pub(super) fn shown(scan: &ScanShown) -> Markup {
    let percent = (scan.likelihood_false_positive * 100.0).round().clamp(0.0, 100.0) as u8;
    let points = scan.steps.last().map_or(0.0, |step| step.points);
    html! {
        div.row {
            (badge::state(&scan.decision))
            @if !scan.findings.is_empty() { (badge::likelihood(percent)) }
        }
        div.tiles {
            (parts::tile("Risk", &format!("{:.2}", scan.risk), &format!("{points:.1} points"), None))
            (parts::tile("Recommended", &words(&scan.recommended), "to whoever watches", None))
            (parts::tile("Found", &number::count(scan.findings.len() as u64), "findings", None))
            (parts::tile("Took", &number::micros(scan.micros), "to judge", None))
        }
        @for failure in &scan.unheard { p.notice.unsure { "Not heard: " (parts::name(failure)) } }
        (evidence(scan))
        (findings(&scan.findings))
        div.columns { (steps(&scan.steps)) (factors(scan)) }
        (readings(&scan.readings))
        p.quiet { "Rules " code { (parts::name(&scan.rule_set)) } }
    }
}

fn evidence(scan: &ScanShown) -> Markup {
    html! {
        section.panel {
            h2 { "The text, with what was found" }
            @for text in &scan.texts {
                @if scan.texts.len() > 1 { h3 { (parts::name(&text.path)) } }
                (one_text(text, &scan.findings))
            }
            p.quiet { "What cannot be seen is written out. Point at a mark to see whose it is." }
        }
    }
}

fn one_text(text: &TextShown, findings: &[FindingShown]) -> Markup {
    let own: Vec<(&FindingShown, String)> = findings
        .iter()
        .filter(|one| one.path == text.path)
        .map(|one| (one, format!("{} {}", one.finding.rule, one.finding.title)))
        .collect();
    let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    let marks: Vec<Mark<'_>> = own
        .iter()
        .map(|(one, label)| {
            let evidence = one.finding.evidence;
            Mark { start: place(evidence.start), end: place(evidence.end), label }
        })
        .collect();
    marked(&text.text, &marks)
}

fn findings(all: &[FindingShown]) -> Markup {
    let row = |one: &FindingShown| {
        let finding = &one.finding;
        html! { tr {
            td { a href={ "/console/rules/" (part(&finding.rule.0)) } { (parts::name(&finding.rule.0)) } br; (parts::name(&finding.title)) }
            td { (words(finding.family.name())) }
            td { (badge::severity(finding.severity)) }
            td { (parts::name(&one.path)) ", bytes " (finding.evidence.start) " to " (finding.evidence.end) }
            td.n { (format!("{:.1}", finding.score)) }
            td { (finding.action.name()) }
            td { @for doubt in &finding.doubts { p { "but " (doubt.words()) } } @if finding.doubts.is_empty() { span.quiet { "–" } } }
        } }
    };
    html! {
        section.panel {
            h2 { "Findings" }
            @if all.is_empty() { (parts::empty("Nothing was found.", "If this is an attack, report it as missed: rules are learned from it.")) } @else {
                (table::table("Findings", &["Rule", "Family", "Severity", "Where", "#Adds", "Asks for", "Doubts"],
                    &all.iter().map(row).collect::<Vec<_>>()))
            }
        }
    }
}

fn steps(all: &[Step]) -> Markup {
    let before = std::iter::once(0.0).chain(all.iter().map(|step| step.points));
    let rows: Vec<Markup> = all
        .iter()
        .zip(before)
        .map(|(step, before)| {
            html! { tr {
                td { (parts::name(&step.what)) }
                td.n { (format!("{:+.1}", step.points - before)) }
                td.n { (format!("{:.1}", step.points)) }
            } }
        })
        .collect();
    html! {
        section.panel {
            h2 { "The score, step by step" }
            @if rows.is_empty() { p.quiet { "Nothing was counted." } } @else { (table::table("Steps of the score", &["What", "#Change", "#Points"], &rows)) }
        }
    }
}

fn factors(scan: &ScanShown) -> Markup {
    let rows: Vec<Markup> = scan
        .factors
        .iter()
        .map(|(name, share)| {
            html! { tr {
                td { (words(name)) }
                td.bar { progress max="1" value=(share) aria-hidden="true" {} }
                td.n { (format!("{share:.2}")) }
            } }
        })
        .collect();
    html! {
        section.panel {
            h2 { "What the risk is made of" }
            @if rows.is_empty() { p.quiet { "Of nothing: there is no risk." } } @else { (table::table("Factors", &["Factor", "", "#Share"], &rows)) }
            p.quiet { "A text alone has no behaviour and no history: those come of traffic." }
        }
    }
}

fn readings(all: &[ReadingShown]) -> Markup {
    html! {
        section.panel {
            h2 { "Other readings that were looked at" }
            @if all.is_empty() { p.quiet { "None: the text reads as it is written." } }
            @for reading in all {
                h3 { @if reading.disguises.is_empty() { "plain" } @else { (words(&reading.disguises.join(" + "))) }
                    @if reading.path != "text" { " of " (parts::name(&reading.path)) } }
                pre.evidence tabindex="0" { @for line in reading.text.split('\n') { bdi { (visible(line, usize::MAX)) } "\n" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_words_are_marked_shown_and_do_nothing() {
        let text = "<b>ignore</b> \u{202e}all é";
        let scan: ScanShown = serde_json::from_value(serde_json::json!({
            "direction": "input", "decision": "block", "risk": 0.9, "likelihood_false_positive": 0.07, "recommended": "block",
            "factors": { "content": 0.9 }, "rule_set": "<x>", "micros": 1234, "unheard": ["model <m>: no"],
            "findings": [{ "rule": "PC-\"><i>", "title": "<img>", "family": "jailbreak", "severity": "high", "score": 7.5,
                "action": "block", "threats": [], "evidence": { "span": 0, "start": 3, "end": 9 }, "doubts": ["quoted"], "path": "text" }],
            "steps": [{ "what": "<s>", "points": 7.5 }, { "what": "threshold", "points": 7.5 }],
            "texts": [{ "path": "text", "text": text }],
            "readings": [{ "path": "text", "disguises": ["base64", "leet"], "text": "<u>x</u>\u{200b}" }],
        }))
        .unwrap();
        let page = shown(&scan).into_string();
        for bad in ["<b>ignore", "<i>", "<img>", "<s>", "<u>", "<x>", "<m>", "\u{202e}", "\u{200b}"] {
            assert!(!page.contains(bad), "{bad:?} in {page}");
        }
        assert!(page.contains("<bdi>ignore</bdi></mark>"), "{page}");
        assert!(
            page.contains("7 % false alarm: most likely an attack") && page.contains("+7.5") && page.contains("+0.0"),
            "{page}"
        );
        assert!(page.contains("base64 + leet") && page.contains("it is quoted") && page.contains("1.2 ms"), "{page}");
    }
}

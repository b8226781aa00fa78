//! One rule: what it looks for, what it found, what this site changes of it.

use maud::{Markup, html};

use super::rules::{direction, over, state};
use super::{cut, try_out, words};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::chart::{OverTime, Series, counts};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::time::Range;
use crate::console::parts::{self, badge, number, table};
use crate::console::query::{Query, part};
use crate::console::visit::Visit;
use crate::control::api::rules::{ChangeShown, PartShown, Reads, RuleDetail, RuleShown, ThreatShown};
use crate::types::visible;

/// Pieces of the chart.
const PIECES: u32 = 48;
/// Characters of a pattern or an example that are shown.
const MOST: usize = 4000;

/// The page.
pub(super) async fn page(visit: Visit) -> Answer {
    let range = Range::of(visit.query(), "24h");
    let path = format!("/api/v1/rules/{}", visit.name("id"));
    let one: RuleDetail = visit.get(&over(&path, &range, PIECES)).await?;
    let rule = &one.rule;
    let body = html! {
        div.row { (badge::severity(rule.severity)) (state(rule)) a href="/console/rules" { "All rules" } }
        (facts(&one))
        section.panel { h2 { "What an attacker gains" } (parts::lines(&one.gain)) }
        (looks_for(&one))
        (examples(&visit, &one))
        section { h2 { "Found over time" } (filters(&visit, &[Filter::Range])) (cut(one.hits.since)) (chart(&one)) (leads(rule)) }
        (references(&one.references))
        (overrides(rule))
    };
    Ok(Page::new("/rules", format!("{} {}", visible(&rule.id, 80), visible(&rule.title, 200)), body))
}

fn facts(one: &RuleDetail) -> Markup {
    let rule = &one.rule;
    let mut all = vec![
        ("Family", html! { (words(rule.family.name())) }),
        ("Points", html! { (rule.score) }),
        ("Does", html! { (rule.action.name()) }),
        ("Looks at", html! { (direction(rule)) }),
        ("Of prompts, texts of", html! { (one.roles.join(", ")) }),
        ("File", html! { (parts::name(&format!("{}:{}", one.file, one.line))) }),
    ];
    if let Some(cost) = &one.cost {
        let held = format!(", holds back {} bytes of an answer at most", cost.longest_hold);
        let held = if rule.direction == Reads::Input { "" } else { held.as_str() };
        all.push(("Costs", html! { (cost.bytes.div_ceil(1024)) " KiB compiled, " (cost.patterns) " patterns" (held) }));
    }
    for (name, value) in &one.provenance {
        all.push((
            if name == "proposal" { "Proposal" } else { "Comes of" },
            if name == "proposal" {
                html! { a href={ "/console/learning/" (part(value)) } { (parts::name(value)) } }
            } else {
                html! { (parts::name(name)) " " (parts::name(value)) }
            },
        ));
    }
    parts::facts(&all)
}

fn looks_for(one: &RuleDetail) -> Markup {
    html! {
        section.panel {
            h2 { "What it looks for" }
            @if one.withheld {
                p { "These are words that somebody reported: they stand with the proposal, and who reads them is on record." }
            }
            @for entry in &one.looks_for { (pattern(entry)) }
            @if !one.checks.is_empty() { h3 { "What matched has to pass" } p { (one.checks.join(", ")) } }
        }
    }
}

fn pattern(entry: &PartShown) -> Markup {
    html! {
        h3 { code { (parts::name(&entry.name)) } }
        (code(&entry.written))
        @if !entry.expanded.is_empty() { (parts::fold("With lists and macros put in place", &code(&entry.expanded))) }
    }
}

fn code(lines: &[String]) -> Markup {
    html! { pre.json tabindex="0" { code { @for line in lines { (visible(line, MOST)) "\n" } } } }
}

fn examples(visit: &Visit, one: &RuleDetail) -> Markup {
    let way = if one.rule.direction == Reads::Output { "output" } else { "input" };
    let role = if one.roles.iter().any(|role| role == "user") {
        "user"
    } else {
        one.roles.first().map_or("user", String::as_str)
    };
    let list = |title: &str, texts: &[String]| {
        html! { @if !texts.is_empty() {
            section.panel {
                h2 { (title) }
                ul.texts { @for text in texts { li {
                    pre.evidence tabindex="0" { @for line in text.split('\n') { bdi { (visible(line, MOST)) } "\n" } }
                    @if visit.may_work() { (try_out(visit, text, way, role, "Try it on the bench")) }
                } } }
            }
        } }
    };
    html! {
        div.columns {
            (list("Matches", &one.examples))
            (list("Does not match", &one.negative_examples))
            (list("May match in innocence", &one.false_positives))
        }
    }
}

fn chart(one: &RuleDetail) -> Markup {
    let pieces = usize::try_from(one.hits.pieces).unwrap_or(0);
    let found = one.hits.rules.first().map(|own| own.series.as_slice()).unwrap_or_default();
    let values = (0..pieces).map(|at| found.get(at).copied().unwrap_or(0) as f64).collect();
    OverTime {
        title: "Requests it found something in",
        from: one.hits.from,
        step: one.hits.step,
        series: &[Series { name: one.rule.id.clone(), values }],
        shown: counts,
        brush: false,
    }
    .show()
}

fn leads(rule: &RuleShown) -> Markup {
    let alerts = Query::default().with("rule", &rule.id).on("/console/alerts");
    html! { p { a href=(alerts) { "Alerts by this rule" } } }
}

fn references(all: &[ThreatShown]) -> Markup {
    let row = |one: &ThreatShown| {
        html! { tr {
            td { a href=(Query::default().with("threat", &one.id).on("/console/rules")) { (parts::name(&one.id)) } }
            td { (parts::name(&one.title)) }
            td { (parts::name(&one.catalogue)) }
        } }
    };
    html! {
        section.panel {
            h2 { "References" }
            @if all.is_empty() { p.quiet { "None." } } @else {
                (table::table("Threats it is about", &["Id", "Threat", "Catalogue"], &all.iter().map(row).collect::<Vec<_>>()))
            }
        }
    }
}

fn overrides(rule: &RuleShown) -> Markup {
    html! {
        section.panel {
            h2 { "What this site changes" }
            @if rule.overrides.is_empty() { p { "Nothing: the rule is in force as its file says." } }
            @for change in &rule.overrides { p { code { (parts::name(&change.of)) } ": " (told(change)) } }
            p { "Rules change by files. To change this one, put this into " code { "gateway.toml" } ", keep the lines you want, and reload: "
                "the gateway checks it first, and a mistake changes nothing." }
            pre.json tabindex="0" { code { (snippet(rule)) } }
            p.quiet { "What is said of one rule counts more than what is said of its family: " code { "[rules.overrides." (rule.family.name()) "]" } "." }
        }
    }
}

fn told(change: &ChangeShown) -> String {
    let parts = [
        change.enabled.map(|on| if on { "switched on".to_owned() } else { "switched off".to_owned() }),
        change.action.map(|action| format!("action {}", action.name())),
        change.score.map(|score| format!("{} points", number::count(score.into()))),
        change.severity.map(|severity| format!("severity {}", severity.name())),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing changed".to_owned() } else { parts.join(", ") }
}

/// The lines of `gateway.toml` that say what holds now.
fn snippet(rule: &RuleShown) -> String {
    format!(
        "[rules.overrides.{}]\nenabled = {}\naction = \"{}\"\nscore = {}\nseverity = \"{}\"\n",
        rule.id,
        rule.enabled,
        rule.action.name(),
        rule.score,
        rule.severity.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snippet_says_what_holds_and_patterns_show_what_cannot_be_seen() {
        let rule: RuleShown = serde_json::from_value(serde_json::json!({
            "id": "PC-INJ-0001", "title": "t", "family": "jailbreak", "severity": "low", "score": 3, "action": "flag",
            "direction": "input", "threats": [], "stage": "live", "origin": "shipped", "enabled": false,
            "overrides": [{ "of": "PC-INJ-0001", "enabled": false, "score": 3 }],
        }))
        .unwrap();
        let text = snippet(&rule);
        let read: toml::Table = text.parse().unwrap();
        assert_eq!(read["rules"]["overrides"]["PC-INJ-0001"]["enabled"].as_bool(), Some(false), "{text}");
        assert_eq!(told(&rule.overrides[0]), "switched off, 3 points");
        let entry =
            PartShown { name: "sel_a".into(), written: vec!["</pre><b>\u{200b}x".into()], expanded: Vec::new() };
        let shown = pattern(&entry).into_string();
        assert!(!shown.contains("<b>") && !shown.contains('\u{200b}') && shown.contains("\\u{200b}"), "{shown}");
    }
}

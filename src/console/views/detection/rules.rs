//! The rules in force.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{SEVERITIES, cut, families, spark, words};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::table::List;
use crate::console::parts::time::Range;
use crate::console::parts::{self, badge, number};
use crate::console::query::{Query, part};
use crate::console::visit::Visit;
use crate::control::api::rule_hits::{RuleHits, RuleSeries};
use crate::control::api::rules::{Reads, RuleList, RuleShown};

/// Pieces of a small picture.
const PIECES: u32 = 24;

const ORIGINS: [(&str, &str); 3] = [("shipped", "shipped"), ("site", "this site"), ("learned", "learned")];

/// The catalogue.
pub(super) async fn page(visit: Visit) -> Answer {
    let asked = visit.query().only(&["text", "family", "severity", "origin", "threat"]);
    let list: RuleList = visit.get(&asked.on("/api/v1/rules")).await?;
    let range = Range::of(visit.query(), "7d");
    let hits: Option<RuleHits> = visit.maybe(&over("/api/v1/rules/hits", &range, PIECES)).await?;
    let body = html! {
        (filter(&visit))
        @if let Some(threat) = visit.query().get("threat") {
            p { "Rules about " b { (parts::name(threat)) } ". " a href=(visit.query().with("threat", "").on(visit.path())) { "All rules" } }
        }
        (cut(hits.as_ref().and_then(|hits| hits.since)))
        p.quiet { (number::count(list.items.len() as u64)) " of " (number::count(list.all as u64)) " rules. "
            a href=(asked.on("/api/v1/rules")) { "As JSON" } }
        (table(&visit, &list.items, hits.as_ref()))
    };
    Ok(Page::new("/rules", "Rules", body))
}

/// A path of the API with a period.
pub(super) fn over(path: &str, range: &Range, pieces: u32) -> String {
    let query = Query::default().with("from", &range.from.to_string()).with("to", &range.to.to_string());
    query.with("pieces", &pieces.to_string()).on(path)
}

fn filter(visit: &Visit) -> Markup {
    let families = families();
    let families: Vec<(&str, &str)> = families.iter().map(|(word, name)| (*word, name.as_str())).collect();
    let range = visit.query().get("range").unwrap_or("7d");
    let all = [
        Filter::Text("text", "Words"),
        Filter::One("family", "Family", &families),
        Filter::One("severity", "Severity", &SEVERITIES),
        Filter::One("origin", "From", &ORIGINS),
    ];
    html! {
        (filters(visit, &all))
        p.quiet { "Hits of the last "
            @for (word, name, _) in parts::time::RANGES {
                @if word == range { b { (name) } } @else { a href=(visit.query().with("range", word).on(visit.path())) { (name) } } " "
            }
        }
    }
}

fn table(visit: &Visit, items: &[RuleShown], hits: Option<&RuleHits>) -> Markup {
    let found: BTreeMap<&str, &RuleSeries> =
        hits.iter().flat_map(|hits| &hits.rules).map(|one| (one.rule.as_str(), one)).collect();
    List {
        part: "rules",
        caption: "Rules",
        heads: &["Rule", "Family", "Severity", "#Points", "Does", "On", "State", "#Hits", "Over time"],
        rows: items.iter().map(|rule| row(rule, hits.map(|_| found.get(rule.id.as_str()).copied()))).collect(),
        next: None,
        none: ("No rule is like that.", "Take a filter out."),
    }
    .show(visit)
}

/// `hits` is `None` where whoever looks does not read them.
fn row(rule: &RuleShown, hits: Option<Option<&RuleSeries>>) -> Markup {
    let requests = hits.map(|found| number::count(found.map_or(0, |found| found.requests)));
    html! {
        tr data-id=(rule.id) {
            td { a href={ "/console/rules/" (part(&rule.id)) } { (parts::name(&rule.id)) } br; (parts::name(&rule.title)) }
            td { (words(rule.family.name())) }
            td { (badge::severity(rule.severity)) }
            td.n { (rule.score) }
            td { (rule.action.name()) }
            td { (direction(rule)) }
            td { (state(rule)) }
            td.n { (requests.as_deref().unwrap_or("–")) }
            td { (spark(hits.flatten().map(|found| found.series.as_slice()).unwrap_or_default())) }
        }
    }
}

/// Which texts a rule looks at.
pub(super) fn direction(rule: &RuleShown) -> &'static str {
    match rule.direction {
        Reads::Input => "prompts",
        Reads::Output => "answers",
        Reads::Both => "prompts and answers",
    }
}

/// How far it is trusted, where it comes from, what the site changes.
pub(super) fn state(rule: &RuleShown) -> Markup {
    html! {
        @if rule.enabled { (badge::state(&rule.stage)) } @else { span.badge.off { "off" } }
        @if let Some(share) = rule.share { " " (format!("{:.0} % of callers", share * 100.0)) }
        " " span.quiet { (rule.origin.name()) @if !rule.overrides.is_empty() { ", changed here" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_with_hostile_words_is_shown_and_does_nothing() {
        let rule: RuleShown = serde_json::from_value(serde_json::json!({
            "id": "SITE-EVIL-0001", "title": "<script>alert(1)</script>\u{202e}", "family": "jailbreak", "severity": "high",
            "score": 8, "action": "block", "direction": "both", "threats": ["\"><img src=x>"], "stage": "canary", "share": 0.25,
            "origin": "site", "enabled": true, "overrides": [{ "of": "jailbreak", "score": 3 }],
        }))
        .unwrap();
        let hits = RuleSeries { rule: rule.id.clone(), requests: 12_345, series: vec![1, 2] };
        let shown = row(&rule, Some(Some(&hits))).into_string();
        assert!(
            !shown.contains("<script") && !shown.contains('\u{202e}') && shown.contains("25 % of callers"),
            "{shown}"
        );
        assert!(
            shown.contains("changed here") && shown.contains("12\u{202f}345") && shown.contains("polyline"),
            "{shown}"
        );
        let off = RuleShown { enabled: false, ..rule };
        assert!(row(&off, None).into_string().contains("off"));
    }
}

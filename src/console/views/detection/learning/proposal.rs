//! One proposal: how its rules did at the gates, what they found since, and who decides about them.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::super::words;
use super::{Proposed, ids, origin, reason, reveal, stands, timeline, ways};
use crate::console::Answer;
use crate::console::forms::Form;
use crate::console::layout::Page;
use crate::console::parts::form::Act;
use crate::console::parts::{self, badge, number, table};
use crate::console::query::part;
use crate::console::visit::Visit;
use crate::control::api::learn::proposals::{GatesShown, LearnStatus, ProposalDetail, ProposedRules, Variations};
use crate::control::api::learn::words::{HitsShown, VariationShown};
use crate::types::learn::ProposalState;
use crate::types::visible;

/// How many of how many.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Caught {
    hit: u64,
    all: u64,
}

/// Before, and with the candidate.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct OfKind {
    before: Caught,
    after: Caught,
}

/// What a trial found.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Figures {
    reported: bool,
    built: Caught,
    held_back_before: Caught,
    held_back_after: Caught,
    held_back_alone: Caught,
    benign: Caught,
    traffic: Caught,
    bytes: u64,
    literal_rate: f64,
    kinds: BTreeMap<String, OfKind>,
    needs_review: Option<String>,
    passed: bool,
    reasons: Vec<String>,
}

/// A candidate with what its trial found.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Candidate {
    rules: Vec<String>,
    figures: Figures,
}

/// What was read of the words, which is on record.
struct Read {
    rules: ProposedRules,
    variations: Vec<VariationShown>,
}

/// The page.
pub(in crate::console::views::detection) async fn page(visit: Visit, asked: Option<Form>) -> Answer {
    let path = format!("/api/v1/learn/proposals/{}", visit.name("id"));
    let detail: ProposalDetail = visit.get(&path).await?;
    let one: Proposed = serde_json::from_value(detail.proposal.0.clone())
        .map_err(|error| crate::console::trouble::Trouble::unreadable(&error))?;
    let status: LearnStatus = visit.get("/api/v1/learn").await?;
    let read = match asked {
        Some(_) => {
            let variations: Variations = visit.get(&format!("{path}/variations")).await?;
            Some(Read { rules: visit.get(&format!("{path}/rules")).await?, variations: variations.items })
        }
        None => None,
    };
    let candidates: Vec<Candidate> =
        one.figures.iter().filter_map(|value: &Value| Candidate::deserialize(value).ok()).collect();
    let body = html! {
        (ways(""))
        (facts(&one))
        @if !one.reasons.is_empty() { div.notice.bad { h2 { "Why it was refused" } ul { @for why in &one.reasons { li { (parts::name(why)) } } } } }
        @if let Some(problem) = &one.problem { p.notice.unsure { "The last step failed (" (one.failures) " times): " (parts::name(problem)) } }
        @if one.state.is_staged() { (traffic(&detail)) }
        @for (at, candidate) in candidates.iter().enumerate() {
            @if at == 0 { (trial(candidate, &status.gates)) } @else {
                (parts::fold(&format!("Candidate {} that was not chosen", at.saturating_add(1)), &trial(candidate, &status.gates)))
            }
        }
        (words_of(&visit, &one, read.as_ref()))
        (decide(&visit, &one, &path, read.as_ref()))
        section.panel { h2 { "What was decided" } (timeline(&one.said)) }
    };
    Ok(Page::new("/learning", visible(&one.title, 200), body))
}

fn facts(one: &Proposed) -> Markup {
    parts::facts(&[
        ("State", stands(one)),
        ("Rules", ids(one)),
        ("Comes of", origin(one)),
        ("Made", parts::time::at(one.made)),
        ("There since", parts::time::at(one.since)),
        (
            "Somebody insisted",
            html! { @if one.insisted { "yes: it is an attack although it reads harmless" } @else { "no" } },
        ),
    ])
}

/// What its rules found in traffic since it came where it stands.
fn traffic(detail: &ProposalDetail) -> Markup {
    let figure = |hits: &HitsShown, name: &str| hits.0.get(name).and_then(Value::as_u64).unwrap_or(0);
    let rows: Vec<Markup> = detail
        .hits
        .iter()
        .map(|(id, hits)| {
            html! { tr {
                td { a href={ "/console/rules/" (part(id)) } { (parts::name(id)) } }
                td.n { (number::count(figure(hits, "hits"))) }
                td.n { (number::share(figure(hits, "hits"), detail.seen)) }
                td.n { (number::count(figure(hits, "alone"))) }
                td.n { (number::count(figure(hits, "decided"))) }
                td.n { (number::count(figure(hits, "callers"))) }
            } }
        })
        .collect();
    html! { @if !rows.is_empty() {
        section.panel {
            h2 { "In traffic since then" }
            p { (number::count(detail.seen)) " requests were inspected." }
            (table::table("Hits", &["Rule", "#Hits", "#Share", "#It alone", "#Decided", "#Callers it decided about"], &rows))
        }
    } }
}

/// How a candidate did at the gates.
fn trial(candidate: &Candidate, gates: &GatesShown) -> Markup {
    let figures = &candidate.figures;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let share = |caught: Caught| if caught.all == 0 { 0.0 } else { caught.hit as f64 / caught.all as f64 };
    let caught =
        |caught: Caught| format!("{} of {} ({})", caught.hit, caught.all, number::share(caught.hit, caught.all));
    let all = [
        (
            "The reported text is hit",
            if figures.reported { "yes" } else { "no" }.to_owned(),
            "yes".to_owned(),
            figures.reported,
        ),
        (
            "Variations kept back are caught",
            caught(figures.held_back_after),
            format!("{} at least", percent(gates.held_back)),
            figures.held_back_after.all == 0 || share(figures.held_back_after) >= gates.held_back,
        ),
        (
            "Harmless texts are hit",
            caught(figures.benign),
            format!("{} at most", gates.harmless_hits),
            figures.benign.hit <= gates.harmless_hits,
        ),
        (
            "Recent traffic is newly hit",
            caught(figures.traffic),
            format!("{} at most", percent(gates.traffic_rate)),
            share(figures.traffic) <= gates.traffic_rate,
        ),
        (
            "Bytes compiled",
            number::count(figures.bytes),
            format!("{} at most", number::count(gates.max_bytes)),
            figures.bytes <= gates.max_bytes,
        ),
        (
            "Harmless texts have its literals",
            percent(figures.literal_rate),
            format!("{} at most", percent(gates.literal_rate)),
            figures.literal_rate <= gates.literal_rate,
        ),
    ];
    let rows: Vec<Markup> = all
        .iter()
        .map(|(name, found, asked, met)| {
            html! { tr {
                td { (name) } td { (found) } td { (asked) }
                td { @if *met { (badge::state("met")) } @else { span.badge.bad { "not met" } } }
            } }
        })
        .collect();
    html! {
        section.panel {
            h2 { "At the gates" @if !candidate.rules.is_empty() { ": " (parts::name(&candidate.rules.join(", "))) } }
            p { @if figures.passed { (badge::state("met")) " Every gate was passed." } @else { span.badge.bad { "not met" } " Not every gate was passed." } }
            @for why in &figures.reasons { p { (parts::name(why)) } }
            @if let Some(why) = &figures.needs_review { p.notice.unsure { (parts::name(why)) } }
            (table::table("Gates", &["Gate", "Found", "Asked for", ""], &rows))
            (detection(figures))
        }
    }
}

/// What was found before, and with the candidate.
fn detection(figures: &Figures) -> Markup {
    let shown = |caught: Caught| html! { (caught.hit) " of " (caught.all) " " span.quiet { (number::share(caught.hit, caught.all)) } };
    let rows: Vec<Markup> = figures
        .kinds
        .iter()
        .map(|(kind, of)| html! { tr { td { (words(kind)) } td.n { (shown(of.before)) } td.n { (shown(of.after)) } } })
        .collect();
    html! {
        h3 { "Detection before and after" }
        (parts::facts(&[
            ("Texts it was made from", shown(figures.built)),
            ("Kept back, before", shown(figures.held_back_before)),
            ("Kept back, with it", shown(figures.held_back_after)),
            ("Kept back, by it alone", shown(figures.held_back_alone)),
        ]))
        @if !rows.is_empty() { (table::table("Detection by kind of variation", &["Variation", "#Before", "#After"], &rows)) }
    }
}

fn words_of(visit: &Visit, one: &Proposed, read: Option<&Read>) -> Markup {
    html! {
        section.panel id="words" {
            h2 { "Rules and variations" }
            @match read {
                _ if one.state == ProposalState::Working => p.quiet { "They are being made." },
                Some(read) => {
                    p { "Hash " code { (parts::name(&read.rules.hash)) } }
                    pre.json tabindex="0" { code { @for line in read.rules.rules.lines() { (visible(line, 4000)) "\n" } } }
                    (parts::fold(&made(&read.variations), &variations(&read.variations)))
                }
                None if visit.may_work() => {
                    p { "They hold words that somebody reported: who reads them stands in the audit trail." }
                    (reveal(visit, "Read the rules and variations"))
                }
                None => p.quiet { "They hold words that somebody reported, which your role does not read." },
            }
        }
    }
}

fn made(all: &[VariationShown]) -> String {
    let kept = all.iter().filter(|one| one.0.get("held_back").and_then(Value::as_bool) == Some(true)).count();
    format!("{} variations, {kept} of them kept back to try the rules on", all.len())
}

fn variations(all: &[VariationShown]) -> Markup {
    let text =
        |one: &VariationShown, name: &str| one.0.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let row = |one: &VariationShown| {
        let kept = one.0.get("held_back").and_then(Value::as_bool) == Some(true);
        html! { tr {
            td { (words(&text(one, "kind"))) }
            td { @if kept { "kept back" } @else { "built from" } }
            td { (parts::lines(&text(one, "text"))) }
        } }
    };
    table::table("Variations", &["How", "Use", "Text"], &all.iter().map(row).collect::<Vec<_>>())
}

/// What whoever looks can do about it.
fn decide(visit: &Visit, one: &Proposed, path: &str, read: Option<&Read>) -> Markup {
    if !visit.may_decide() {
        return html! {};
    }
    let mine = one.authors.contains(&visit.me().account);
    let hash = read.map(|read| read.rules.hash.as_str());
    let act = |verb: &str, label: &str, hash: Option<&str>, question: &str, class: &str| {
        let fields = html! {
            @if let Some(hash) = hash { input type="hidden" name="hash" value=(hash); }
            (reason("Why")) button class=(class) type="submit" { (label) }
        };
        Act::post(&format!("{path}/{verb}")).sure(question).form(visit, "inline", &fields)
    };
    let lets = |verb: &str, label: &str, question: &str| {
        html! {
            @if mine { p.notice.unsure { "You reported or brought this: somebody else lets it decide." } }
            @else if hash.is_none() { p { "Read the rules above first: what is approved is bound to exactly them." } }
            @else { (act(verb, label, hash, question, "main")) }
        }
    };
    let forms = match one.state {
        ProposalState::Shadow => html! {
            (lets("approve", "Approve", "Let these rules decide, for some callers first?"))
            (act("reject", "Reject", None, "Never let these rules decide?", "danger"))
        },
        ProposalState::Canary => html! {
            (lets("promote", "Promote to all callers", "Let these rules decide for all callers?"))
            (act("rollback", "Roll back", None, "Take these rules out of force?", "danger"))
        },
        ProposalState::Live => act("rollback", "Roll back", None, "Take these rules out of force?", "danger"),
        ProposalState::Refused if one.report.is_some() && !one.insisted => html! {
            p { "If the text is an attack although it reads harmless, somebody who did not report it says so, and it is tried once more." }
            @if mine { p.notice.unsure { "You reported this: somebody else insists." } }
            @else { (act("insist", "Insist that it is an attack", None, "Try it once more?", "main")) }
        },
        ProposalState::Refused | ProposalState::Working | ProposalState::RolledBack | ProposalState::Rejected => {
            html! { p.quiet { "There is nothing to decide now." } }
        }
    };
    html! { section.panel { h2 { "Decide" } (forms) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_say_whether_they_are_met_and_hostile_reasons_do_nothing() {
        let candidate: Candidate = serde_json::from_value(serde_json::json!({
            "rules": ["LRN-<b>"],
            "figures": {
                "reported": true, "built": { "hit": 3, "all": 3 }, "held_back_before": { "hit": 0, "all": 10 },
                "held_back_after": { "hit": 7, "all": 10 }, "held_back_alone": { "hit": 7, "all": 10 },
                "benign": { "hit": 0, "all": 300 }, "benign_hits": [], "traffic": { "hit": 1, "all": 10 }, "bytes": 10,
                "literal_rate": 0.1, "kinds": { "leet": { "before": { "hit": 0, "all": 1 }, "after": { "hit": 1, "all": 1 } } },
                "reading": {}, "needs_review": "<i>x</i>", "passed": false, "reasons": ["<script>"],
            },
        }))
        .unwrap();
        let gates =
            GatesShown { held_back: 0.8, harmless_hits: 0, traffic_rate: 0.001, max_bytes: 100, literal_rate: 0.25 };
        let shown = trial(&candidate, &gates).into_string();
        assert!(!shown.contains("<script") && !shown.contains("<i>") && !shown.contains("<b>"), "{shown}");
        assert_eq!((shown.matches(">met<").count(), shown.matches(">not met<").count()), (4, 3), "{shown}");
        assert!(shown.contains("7 of 10 (70.0 %)") && shown.contains("80.0 % at least"), "{shown}");
    }

    #[test]
    fn variations_of_hostile_words_are_listed_by_their_use() {
        let one = |held_back: bool| {
            VariationShown(serde_json::json!({ "kind": "leet", "text": "<b>\u{202e}", "held_back": held_back }))
        };
        let all = [one(true), one(false), one(true)];
        let shown = variations(&all).into_string();
        assert!(!shown.contains("<b>") && !shown.contains('\u{202e}') && shown.contains("built from"), "{shown}");
        assert_eq!(made(&all), "3 variations, 2 of them kept back to try the rules on");
    }
}

//! Learning: what was missed becomes rules that are tried, approved and taken back.

pub(super) mod exchange;
pub(super) mod harmless;
pub(super) mod proposal;
pub(super) mod reports;

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::words;
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::table::List;
use crate::console::parts::{self, badge, number};
use crate::console::query::{Query, part};
use crate::console::visit::Visit;
use crate::control::api::learn::proposals::LearnStatus;
use crate::control::api::words::Page as Listed;
use crate::types::learn::{ProposalState, Report, Said};

/// Entries of a page.
const LIMIT: &str = "50";

/// A proposal, as far as it was asked for.
#[derive(Debug, Deserialize)]
struct Proposed {
    id: String,
    stem: String,
    report: Option<String>,
    title: String,
    state: ProposalState,
    phase: String,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    figures: Vec<Value>,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    said: Vec<Said>,
    #[serde(default)]
    authors: Vec<String>,
    #[serde(default)]
    insisted: bool,
    share: f32,
    failures: u32,
    problem: Option<String>,
    made: i64,
    since: i64,
}

/// A report without its words.
#[derive(Debug, Deserialize)]
struct Reported {
    id: String,
    kind: crate::types::learn::ReportKind,
    family: Option<crate::types::Family>,
    request: Option<String>,
    #[serde(default)]
    reporters: Vec<crate::types::learn::Reporter>,
    state: crate::types::learn::ReportState,
    #[serde(default)]
    rules: Vec<String>,
    proposal: Option<String>,
    made: i64,
}

/// The proposals, and what waits.
pub(super) async fn page(visit: Visit) -> Answer {
    let status: LearnStatus = visit.get("/api/v1/learn").await?;
    if !status.enabled {
        let hint = "Set learn.enabled to true in gateway.toml and start the gateway again.";
        return Ok(Page::new("/learning", "Learning", parts::empty("Learning is switched off.", hint)));
    }
    let asked = visit.query().only(&["state", "before"]).with_limit();
    let list: Listed<Proposed> = visit.get(&asked.on("/api/v1/learn/proposals")).await?;
    let open = Query::default().with("kind", "false_alarm").with("state", "open").with("limit", "500");
    let open: Listed<Reported> = visit.get(&open.on("/api/v1/learn/reports")).await?;
    let states: Vec<(&str, String)> =
        ProposalState::ALL.into_iter().map(|state| (state.name(), words(state.name()))).collect();
    let states: Vec<(&str, &str)> = states.iter().map(|(word, name)| (*word, name.as_str())).collect();
    let body = html! {
        (ways("proposals"))
        (tiles(&status.proposals, open.items.len(), open.next.is_some()))
        (filters(&visit, &[Filter::One("state", "State", &states)]))
        (proposals(&visit, &list))
        (reports::form(&visit))
    };
    Ok(Page::new("/learning", "Learning", body).live(&["proposal", "report"]))
}

/// Between the pages of learning.
fn ways(here: &str) -> Markup {
    let all = [
        ("proposals", "/console/learning", "Proposals"),
        ("reports", "/console/learning/reports", "Reports"),
        ("harmless", "/console/learning/harmless", "Harmless texts"),
        ("exchange", "/console/learning/exchange", "Export and import"),
    ];
    html! { nav.row aria-label="Learning" { @for (name, path, label) in all {
        a.button href=(path) aria-current=[(name == here).then_some("page")] { (label) }
    } } }
}

fn tiles(counts: &BTreeMap<String, u64>, open: usize, more: bool) -> Markup {
    let of = |state: ProposalState| number::count(counts.get(state.name()).copied().unwrap_or(0));
    let link = |state: ProposalState| Query::default().with("state", state.name()).on("/console/learning");
    let tile = |state: ProposalState, label: &str, hint: &str| parts::tile(label, &of(state), hint, Some(&link(state)));
    let open = format!("{}{}", number::count(open as u64), if more { " or more" } else { "" });
    html! {
        div.tiles data-part="learn-tiles" id="part-learn-tiles" {
            (tile(ProposalState::Working, "Being worked on", "variations, candidates, trials"))
            (tile(ProposalState::Shadow, "In the shadow", "they count and wait for an approval"))
            (tile(ProposalState::Canary, "Canaries", "they decide for some callers"))
            (tile(ProposalState::Live, "Live", "they decide"))
            (tile(ProposalState::Refused, "Refused", "a gate was not met"))
            (tile(ProposalState::RolledBack, "Rolled back", "taken out of force"))
            (parts::tile("False alarms to judge", &open, "somebody else confirms them",
                Some("/console/learning/reports?kind=false_alarm&state=open")))
        }
    }
}

fn proposals(visit: &Visit, list: &Listed<Proposed>) -> Markup {
    List {
        part: "proposals",
        caption: "Proposals",
        heads: &["Proposal", "State", "Rules", "Comes of", "Made", "There since"],
        rows: list.items.iter().map(row).collect(),
        next: list.next.clone().map(|next| ("before", next)),
        none: ("There are no proposals.", "Report an attack that was let through: rules are made of it."),
    }
    .show(visit)
}

fn row(one: &Proposed) -> Markup {
    html! {
        tr data-id=(one.id) {
            td { a href={ "/console/learning/" (part(&one.id)) } { (parts::name(&one.title)) } br; span.quiet { (parts::name(&one.stem)) } }
            td { (stands(one)) }
            td { (ids(one)) }
            td { (origin(one)) }
            td { (parts::time::ago(one.made)) }
            td { (parts::time::ago(one.since)) }
        }
    }
}

fn stands(one: &Proposed) -> Markup {
    html! {
        (badge::state(one.state.name()))
        @if one.state == ProposalState::Working { " " span.quiet { "next: " (parts::name(&one.phase)) } }
        @if one.state == ProposalState::Canary { " " span.quiet { (format!("{:.0} % of callers", one.share * 100.0)) } }
    }
}

/// Its rules; those that are part of what is in force lead there.
fn ids(one: &Proposed) -> Markup {
    html! {
        @for id in &one.ids {
            @if one.state.is_staged() { a href={ "/console/rules/" (part(id)) } { (parts::name(id)) } } @else { (parts::name(id)) } " "
        }
        @if one.ids.is_empty() { span.quiet { "none yet" } }
    }
}

fn origin(one: &Proposed) -> Markup {
    html! { @match &one.report {
        Some(report) => a href={ "/console/learning/reports/" (part(report)) } { "a report" },
        None => "a file that was taken over",
    } }
}

/// What somebody did, and why.
fn timeline(all: &[Said]) -> Markup {
    html! {
        @if all.is_empty() { p.quiet { "Nobody decided anything yet." } }
        ol.timeline { @for one in all { li {
            b { (words(&one.what)) } " by " (parts::name(&one.name)) ", " (parts::time::at(one.at)) (parts::lines(&one.why))
        } } }
    }
}

/// The button that shows words, which stands in the audit trail. An address alone shows none: anybody can make one of those.
fn reveal(visit: &Visit, label: &str) -> Markup {
    html! { form.inline method="post" action=(visit.path()) { (parts::form::csrf(visit)) button type="submit" { (label) } } }
}

/// Why, in a sentence, as decisions ask for it.
fn reason(label: &str) -> Markup {
    html! { label { (label) input name="reason" required maxlength="1000"; } }
}

impl Query {
    /// A page of the usual length.
    fn with_limit(self) -> Self {
        let before: Vec<(String, String)> = self
            .pairs()
            .filter(|(name, _)| matches!(*name, "before" | "after"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        before.into_iter().fold(self.with("limit", LIMIT), |query, (name, value)| query.with(&name, &value))
    }
}

/// A report with its words.
type WithWords = Report;

#[cfg(test)]
mod tests {
    use super::*;

    fn proposed() -> Proposed {
        serde_json::from_value(serde_json::json!({
            "id": "prp_1", "stem": "LRN-AAAAAA", "report": "rpt_\"1", "title": "<script>x</script>\u{202e}", "state": "canary",
            "phase": "done", "ids": ["LRN-AAAAAA-1"], "hash": "ab", "share": 0.25, "failures": 0, "problem": null, "made": 0,
            "updated": 0, "since": 0,
            "said": [{ "account": "acc", "name": "<b>", "what": "roll_back", "why": "<i>why</i>", "at": 0 }],
        }))
        .unwrap()
    }

    #[test]
    fn a_proposal_of_hostile_words_is_listed_and_does_nothing() {
        let one = proposed();
        let shown = row(&one).into_string();
        assert!(
            !shown.contains("<script") && !shown.contains('\u{202e}') && shown.contains("25 % of callers"),
            "{shown}"
        );
        let told = timeline(&one.said).into_string();
        assert!(!told.contains("<b>&") && !told.contains("<i>") && told.contains("roll back"), "{told}");
    }

    #[test]
    fn the_place_in_a_list_stays_when_its_length_is_said() {
        let query = Query::parse("state=shadow&before=prp_1").with_limit();
        assert_eq!(query.on("/x"), "/x?state=shadow&limit=50&before=prp_1");
    }
}

//! One run of the attack lab: what had to come of each trial, and what did.

use maud::{Markup, html};

use super::lab::{family, figures, progress, share, short};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::form::Act;
use crate::console::parts::table::List;
use crate::console::parts::{badge, facts, name, number, tile, time};
use crate::console::visit::Visit;
use crate::control::api::trying::lab::{LabDetail, LabResult, LabRun, Seen};

/// The page.
pub(super) async fn page(visit: Visit) -> Answer {
    let path = format!("/api/v1/lab/runs/{}", visit.name("id"));
    let found: LabDetail = visit.get(&path).await?;
    let run = &found.run;
    let is_running = run.state == "running";
    let body = html! {
        div data-part="lab-run" data-running=[is_running.then_some("")] {
            (head(run))
            @if is_running { (progress(run)) }
        }
        div.row data-part="lab-doings" {
            a.button href="/console/lab" { "All runs" }
            @if is_running && visit.may_work() { (Act::delete(&path).button(&visit, "Cancel", &[])) }
            @if visit.may_work() && !is_running { (again(&visit, run)) }
            @if !is_running {
                a.button href={ (path) "/report?format=json" } download="" { "JSON" }
                a.button href={ (path) "/report?format=junit" } download="" { "JUnit" }
                a.button href={ (path) "/report?format=html" } download="" { "HTML" }
            }
        }
        (families(run))
        div.columns data-part="lab-seen" {
            (seen("Alerts these trials raised", &run.run.alerts, "/console/alerts/"))
            (seen("Remedies seen happening", &run.run.remedies, "/console/remedies/"))
        }
        h2 { "Trials" }
        (results(&visit, &found.results))
    };
    let title = format!("Run of {}", time::at(run.started).into_string().split(['<', '>']).nth(2).unwrap_or_default());
    Ok(Page::new("/lab", title, body).script("lab.js"))
}

fn head(run: &LabRun) -> Markup {
    let tally = run.run.tally;
    let judged = tally.passed.saturating_add(tally.failed);
    let took = run.ended.map_or_else(|| "it goes on".to_owned(), |end| time::lasting(end.saturating_sub(run.started)));
    html! {
        @if let Some(problem) = &run.run.problem { div.notice.bad { p { (name(problem)) } } }
        @if run.state == "lost" { div.notice.unsure { p { "The gateway that ran it ended before it did." } } }
        div.tiles {
            (tile("Passed", &share(tally), &format!("{} of {judged} judged", tally.passed), None))
            (tile("Failed", &tally.failed.to_string(), "attacks that got through, or harmless that did not", Some("?outcome=failed")))
            (tile("Inconclusive", &tally.inconclusive.to_string(), "the model did not put it to the test", Some("?outcome=inconclusive")))
            (tile("Errors", &tally.error.to_string(), "no answer to judge", Some("?outcome=error")))
        }
        (facts(&[
            ("State", badge::state(&run.state)),
            ("Begun by", name(&run.by)),
            ("Took", html! { (took) }),
            ("Rules", html! { code { (short(&run.rule_set)) } }),
            ("Model", html! { (name(&run.run.model)) @if run.run.rehearsal { " (rehearsal)" } }),
            ("Seed", html! { (run.run.seed) }),
        ]))
    }
}

fn again(visit: &Visit, run: &LabRun) -> Markup {
    let seed = run.run.seed.to_string();
    let families = run.run.families.iter().map(|word| ("families[]", word.as_str()));
    let cases = run.run.cases.iter().map(|id| ("cases[]", id.as_str()));
    let fixed = [("seed:number", seed.as_str()), ("model", run.run.model.as_str())];
    let fields: Vec<(&str, &str)> = families.chain(cases).chain(fixed).collect();
    Act::post("/api/v1/lab/runs").back("/console/lab").sure("Send these attacks again?").button(
        visit,
        "Run it again",
        &fields,
    )
}

fn families(run: &LabRun) -> Markup {
    let rows: Vec<Markup> = run
        .run
        .by_family
        .iter()
        .map(|(word, tally)| {
            html! { tr { td { a href={ "?family=" (word) } { (family(word)) } } td.n { (share(*tally)) } td { (figures(*tally)) } } }
        })
        .collect();
    html! {
        section.panel data-part="lab-families" { h2 { "By family" }
            (crate::console::parts::table::table("Families", &["Family", "#Passed", "Outcome"], &rows)) }
    }
}

fn seen(title: &str, all: &[Seen], place: &str) -> Markup {
    let link = |one: &Seen| {
        if place.ends_with("remedies/") { "/console/remedies".to_owned() } else { format!("{place}{}", one.id) }
    };
    html! {
        section.panel {
            h2 { (title) " (" (all.len()) ")" }
            @if all.is_empty() { p.quiet { "None." } }
            ul.cases { @for one in all.iter().take(30) { li { (badge::state(&one.word)) " " a href=(link(one)) { (name(&one.title)) } } } }
            @if all.len() > 30 { p.quiet { "and " (all.len() - 30) " more" } }
        }
    }
}

fn results(visit: &Visit, all: &[LabResult]) -> Markup {
    let query = visit.query();
    let fits = |one: &&LabResult| {
        query.get("outcome").is_none_or(|word| one.outcome == word)
            && query.get("family").is_none_or(|word| one.family == word)
    };
    let outcomes = [("passed", "passed"), ("failed", "failed"), ("inconclusive", "inconclusive"), ("error", "error")];
    let mut words: Vec<&str> = all.iter().map(|one| one.family.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    let words: Vec<(&str, &str)> = words.into_iter().map(|word| (word, family(word))).collect();
    let list = List {
        part: "lab-results",
        caption: "Trials",
        heads: &["Trial", "Family", "Severity", "Expected", "Actual", "Outcome", "#Took", "Requests"],
        rows: all.iter().filter(fits).map(row).collect(),
        next: None,
        none: ("No trials.", "They appear as they are judged; a filter may leave them out."),
    };
    html! {
        (filters(visit, &[Filter::One("outcome", "Outcome", &outcomes), Filter::One("family", "Family", &words)]))
        (list.show(visit))
    }
}

fn row(one: &LabResult) -> Markup {
    let (sign, class) = match one.outcome.as_str() {
        "passed" => ("✓", "good"),
        "failed" => ("▲", "failed"),
        "inconclusive" => ("◐", ""),
        _ => ("○", "unsure"),
    };
    html! {
        tr data-id=(one.id) {
            td { code { (name(&one.id)) } br; (name(&one.title)) }
            td { (family(&one.family)) }
            td { (one.severity) }
            td { (one.expected) }
            td { (name(&one.actual)) @if let Some(status) = one.status.filter(|status| !one.actual.contains(&status.to_string())) { " " span.quiet { (status) } } }
            td { span class={ "badge " (class) } { span aria-hidden="true" { (sign) " " } (one.outcome) } }
            td.n { (number::micros(one.micros)) }
            td { @for (at, id) in one.requests.iter().enumerate() { a href={ "/console/requests/" (id) } { (at + 1) } " " } }
        }
    }
}

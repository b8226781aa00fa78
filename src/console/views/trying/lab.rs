//! The attack lab: the red team's cases by family, and the runs there were.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::form::Act;
use crate::console::parts::table::List;
use crate::console::parts::{badge, chart, name, number, time};
use crate::console::visit::Visit;
use crate::control::api::trying::LabCase;
use crate::control::api::trying::lab::{LabRun, LabTally};

/// Families in words, in the order in which they are shown.
const FAMILIES: [(&str, &str, &str); 15] = [
    ("prompt_injection", "Prompt injection", "Overriding the operator's instructions."),
    ("indirect_injection", "Indirect injection", "Orders planted in documents and results of tools."),
    ("forged_turns", "Forged turns", "Text that poses as another role."),
    ("jailbreak", "Jailbreak", "Personas and modes without limits."),
    ("prompt_extraction", "Prompt extraction", "Getting at the hidden instructions."),
    ("data_exfiltration", "Data exfiltration", "Getting data out."),
    ("system_manipulation", "System manipulation", "Shell, files, code execution."),
    ("malicious_input", "Malicious input", "Script, SQL and template injection."),
    ("social_engineering", "Social engineering", "Pressure, false authority, emotion."),
    ("disguised", "Encodings and disguises", "Attacks encoded, respelled, hidden."),
    ("other_languages", "Other languages", "The same in other languages."),
    ("multi_turn", "Multi-turn", "Attacks spread over a conversation."),
    ("secrets_in_prompts", "Secrets in prompts", "Keys and personal data on their way out."),
    ("completion_leaks", "Leaks in completions", "Secrets in what the model says."),
    ("harmless", "Harmless", "What only looks like an attack: it has to be answered."),
];

/// Runs that are listed.
const LISTED: usize = 50;

/// The page.
pub(super) async fn page(visit: Visit) -> Answer {
    let cases: Vec<LabCase> = visit.get("/api/v1/lab/scenarios").await?;
    let runs: Vec<LabRun> = visit.get("/api/v1/lab/runs").await?;
    let body = html! {
        p.quiet {
            "Attacks on purpose, sent to this gateway's own listener. Every trial is a user of its own whose name begins with "
            code { "attack-lab" } ", of the team " code { "attack-lab" } ": reports can leave them out, and what is done about one of \
             them does not end the others."
        }
        div data-part="lab-now" { (now(&visit, &runs)) }
        div data-part="lab-trend" { (trend(&runs)) }
        div data-part="lab-cases" { (scenarios(&visit, &cases, &runs)) }
        h2 { "Runs" }
        (history(&visit, &runs))
    };
    Ok(Page::new("/lab", "Attack lab", body).script("lab.js"))
}

/// How a family is called.
pub(super) fn family(word: &str) -> &str {
    FAMILIES.iter().find(|(known, _, _)| *known == word).map_or(word, |(_, title, _)| title)
}

/// Trials that are judged, and the share of those that passed.
pub(super) fn share(tally: LabTally) -> String {
    let judged = tally.passed.saturating_add(tally.failed);
    number::share(tally.passed.into(), judged.into())
}

/// The run that goes on.
fn now(visit: &Visit, runs: &[LabRun]) -> Markup {
    let Some(run) = runs.iter().find(|run| run.state == "running") else { return html! {} };
    let path = format!("/api/v1/lab/runs/{}", run.id);
    html! {
        section.panel data-running="" {
            h2 { "A run goes on" }
            (progress(run))
            div.row {
                a.button href={ "/console/lab/" (run.id) } { "Look at it" }
                @if visit.may_work() { (Act::delete(&path).button(visit, "Cancel", &[])) }
            }
        }
    }
}

/// How far a run is.
pub(super) fn progress(run: &LabRun) -> Markup {
    let tally = run.run.tally;
    let done =
        [tally.passed, tally.failed, tally.inconclusive, tally.error].into_iter().fold(0_u32, u32::saturating_add);
    html! {
        @if run.run.planned > 0 {
            progress max=(run.run.planned) value=(done) aria-label="Trials done" {}
        }
        p { (done) " of " (run.run.planned) " trials: " (figures(tally)) }
    }
}

/// Figures in words with colours.
pub(super) fn figures(tally: LabTally) -> Markup {
    html! {
        span.badge.good { (tally.passed) " passed" } " "
        span.badge.failed[tally.failed > 0] { (tally.failed) " failed" } " "
        span.badge { (tally.inconclusive) " inconclusive" } " "
        span.badge.unsure[tally.error > 0] { (tally.error) " errors" }
    }
}

/// The share that passed, run by run: the oldest first.
fn trend(runs: &[LabRun]) -> Markup {
    let whole = |run: &&LabRun| run.state == "done" && run.run.families.is_empty() && run.run.cases.is_empty();
    let mut all: Vec<&LabRun> = runs.iter().filter(whole).collect();
    all.reverse();
    if all.len() < 2 {
        return html! {};
    }
    let mut before = "";
    let rows: Vec<chart::Bar> = all
        .iter()
        .map(|run| {
            let changed = before != run.rule_set && !before.is_empty();
            before = &run.rule_set;
            let judged = run.run.tally.passed.saturating_add(run.run.tally.failed).max(1);
            chart::Bar {
                name: html! {
                    a href={ "/console/lab/" (run.id) } { (time::at(run.started)) } " rules " code { (short(&run.rule_set)) }
                    @if changed { " " span.badge { "rules changed" } }
                },
                value: f64::from(run.run.tally.passed) / f64::from(judged),
                shown: share(run.run.tally),
            }
        })
        .collect();
    chart::bars("Whole runs, oldest first", "share that passed", &rows)
}

/// The beginning of a hash.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..10).unwrap_or(hash)
}

fn scenarios(visit: &Visit, cases: &[LabCase], runs: &[LabRun]) -> Markup {
    let mut by_family: BTreeMap<&str, Vec<&LabCase>> = BTreeMap::new();
    for case in cases {
        by_family.entry(&case.family).or_default().push(case);
    }
    let known = FAMILIES.iter().map(|(word, _, _)| *word);
    let others = by_family.keys().copied().filter(|word| !FAMILIES.iter().any(|(known, _, _)| known == word));
    let order: Vec<&str> = known.chain(others).collect();
    let busy = runs.iter().any(|run| run.state == "running");
    let may = visit.may_work() && !busy;
    html! {
        div.row {
            h2 { "Scenarios" }
            @if may {
                (Act::post("/api/v1/lab/runs").sure("Send every attack of the lab to this gateway?").button(visit, "Run all", &[]))
            }
        }
        div.columns.lab { @for word in order {
            @if let Some(cases) = by_family.get(word) { (one(visit, word, cases, runs, may)) }
        } }
    }
}

fn one(visit: &Visit, word: &str, cases: &[&LabCase], runs: &[LabRun], may: bool) -> Markup {
    let about = FAMILIES.iter().find(|(known, _, _)| *known == word).map_or("", |(_, _, about)| about);
    let ways: u32 = cases.iter().map(|case| case.ways).sum();
    let last = runs.iter().filter(|run| run.state == "done").find_map(|run| run.run.by_family.get(word).copied());
    html! {
        section.panel {
            div.row {
                h3 { (family(word)) }
                span.quiet { (ways) " trials" }
                @if let Some(last) = last { span class={ "badge " (if last.failed == 0 { "good" } else { "failed" }) } { "last " (share(last)) } }
                @if may {
                    (Act::post("/api/v1/lab/runs").button(visit, "Run", &[("families[]", word)]))
                }
            }
            p.quiet { (about) }
            details.fold {
                summary { (cases.len()) " cases" }
                ul.cases { @for case in cases { li {
                    code { (case.id) } " " (name(&case.title)) " " span.quiet { "has to be " (case.expect)
                        @if case.ways > 1 { ", in " (case.ways) " ways" } }
                    @if may { " " (Act::post("/api/v1/lab/runs").button(visit, "Run", &[("cases[]", &case.id)])) }
                } } }
            }
        }
    }
}

fn history(visit: &Visit, runs: &[LabRun]) -> Markup {
    let rows = runs.iter().take(LISTED).map(row).collect();
    let list = List {
        part: "lab-runs",
        caption: "Runs of the attack lab",
        heads: &["Begun", "State", "What", "By", "Rules", "#Passed", "Outcome", "#Remedies seen"],
        rows,
        next: None,
        none: ("No runs yet.", "Run a family above, or all of them."),
    };
    list.show(visit)
}

fn row(run: &LabRun) -> Markup {
    let asked: Vec<&str> =
        run.run.families.iter().map(|word| family(word)).chain(run.run.cases.iter().map(String::as_str)).collect();
    let what = if asked.is_empty() { "everything".to_owned() } else { asked.join(", ") };
    html! {
        tr data-id=(run.id) {
            td { a href={ "/console/lab/" (run.id) } { (time::at(run.started)) } }
            td { (badge::state(&run.state)) }
            td { (name(&what)) }
            td { (name(&run.by)) }
            td { code { (short(&run.rule_set)) } }
            td.n { (share(run.run.tally)) }
            td { (figures(run.run.tally)) }
            td.n { (run.run.remedies.len()) }
        }
    }
}

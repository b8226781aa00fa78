//! What the rules cover of the catalogues of threats.

use maud::{Markup, html};

use super::cut;
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::time::Range;
use crate::console::parts::{self, number, table};
use crate::console::query::Query;
use crate::console::visit::Visit;
use crate::control::api::coverage::{CatalogueShown, Coverage, Covered};

/// The page.
pub(super) async fn page(visit: Visit) -> Answer {
    let range = Range::of(visit.query(), "24h");
    let asked = Query::default().with("from", &range.from.to_string()).with("to", &range.to.to_string());
    let coverage: Coverage = visit.get(&asked.on("/api/v1/coverage")).await?;
    let body = html! {
        (filters(&visit, &[Filter::Range]))
        (cut(coverage.since))
        p { "Each cell says how many rules in force are about a threat, and how often these found something from "
            (parts::time::at(coverage.from)) " to " (parts::time::at(coverage.to)) ". The stronger its colour, the more rules." }
        (legend())
        @for catalogue in &coverage.catalogues { (one(catalogue)) }
    };
    Ok(Page::new("/coverage", "Coverage", body))
}

fn legend() -> Markup {
    html! { ul.heats aria-label="Shades" {
        @for (rules, words) in [(0, "not covered"), (1, "1 or 2 rules"), (3, "3 to 9"), (10, "10 to 29"), (30, "30 and more")] {
            li class={ "heat " (shade(rules)) } { (words) }
        }
    } }
}

/// How dark a cell is, by rules.
const fn shade(rules: u64) -> &'static str {
    match rules {
        0 => "h0",
        1..=2 => "h1",
        3..=9 => "h2",
        10..=29 => "h3",
        _ => "h4",
    }
}

fn one(catalogue: &CatalogueShown) -> Markup {
    let open: Vec<&Covered> = catalogue.threats.iter().filter(|threat| threat.rules == 0).collect();
    let covered = catalogue.threats.len().saturating_sub(open.len());
    html! {
        section.panel {
            h2 { (parts::name(&catalogue.name)) " " (parts::name(&catalogue.version)) }
            p { (covered) " of " (catalogue.threats.len()) " are covered by rules. "
                @if !open.is_empty() { b { "Not covered: " } (listed(&open)) "." } }
            @if catalogue.name.starts_with("MITRE") {
                p.quiet { "Only techniques that rules refer to are listed, not the whole matrix: one that is not here is not covered." }
            }
            @if catalogue.tactics.is_empty() { (grid(catalogue)) } @else { (matrix(catalogue)) }
        }
    }
}

fn listed(all: &[&Covered]) -> Markup {
    html! { @for (at, threat) in all.iter().enumerate() { @if at > 0 { ", " } (parts::name(&threat.id)) " " (parts::name(&threat.title)) } }
}

fn cell(threat: &Covered) -> Markup {
    html! {
        div class={ "heat " (shade(threat.rules)) } {
            @if threat.rules == 0 { b { (parts::name(&threat.id)) } } @else {
                a href=(Query::default().with("threat", &threat.id).on("/console/rules")) { b { (parts::name(&threat.id)) } }
            }
            p { (parts::name(&threat.title)) }
            p.figures { @if threat.rules == 0 { "not covered" } @else {
                (plural(threat.rules, "rule")) ", " (plural(threat.hits, "hit")) } }
        }
    }
}

fn plural(number: u64, what: &str) -> String {
    format!("{} {what}{}", number::count(number), if number == 1 { "" } else { "s" })
}

fn grid(catalogue: &CatalogueShown) -> Markup {
    html! { ul.heatmap { @for threat in &catalogue.threats { li { (cell(threat)) } } } }
}

/// Tactics as columns, as the matrix has them; a technique stands under each of its tactics.
fn matrix(catalogue: &CatalogueShown) -> Markup {
    let of = |tactic: &String| -> Vec<&Covered> {
        catalogue.threats.iter().filter(|threat| threat.tactics.contains(tactic)).collect()
    };
    let columns: Vec<Vec<&Covered>> = catalogue.tactics.iter().map(of).collect();
    let deepest = columns.iter().map(Vec::len).max().unwrap_or(0);
    let rows: Vec<Markup> = (0..deepest)
        .map(|at| html! { tr { @for column in &columns { td {
            @match column.get(at) { Some(threat) => (cell(threat)), None => @if at == 0 { span.quiet { "no rule" } } }
        } } } })
        .collect();
    let heads: Vec<&str> = catalogue.tactics.iter().map(String::as_str).collect();
    let loose: Vec<&Covered> = catalogue.threats.iter().filter(|threat| threat.tactics.is_empty()).collect();
    html! {
        div.matrix { (table::table(&catalogue.name, &heads, &rows)) }
        @if !loose.is_empty() { h3 { "Without a tactic" } ul.heatmap { @for threat in loose { li { (cell(threat)) } } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_covered_is_said_and_techniques_stand_under_each_of_their_tactics() {
        let threat = |id: &str, tactics: &[&str], rules| Covered {
            id: id.into(),
            title: "<b>t</b>".into(),
            tactics: tactics.iter().map(|name| (*name).to_owned()).collect(),
            rules,
            hits: 1,
        };
        let catalogue = CatalogueShown {
            name: "MITRE <i>".into(),
            version: "5".into(),
            tactics: vec!["A".into(), "B".into()],
            threats: vec![threat("T1", &["A", "B"], 12), threat("T2", &["B"], 0), threat("T3", &[], 1)],
        };
        let shown = one(&catalogue).into_string();
        assert!(!shown.contains("<b>t") && !shown.contains("<i>"), "{shown}");
        assert_eq!(shown.matches("/console/rules?threat=T1").count(), 2, "{shown}");
        assert!(
            shown.contains("2 of 3 are covered") && shown.contains("Not covered: ") && !shown.contains("threat=T2"),
            "{shown}"
        );
        assert!(
            shown.contains("12 rules, 1 hit") && shown.contains("Without a tactic") && shown.contains("heat h3"),
            "{shown}"
        );
    }
}

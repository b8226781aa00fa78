//! Incidents: alerts that belong together.

use axum::response::Response;
use maud::{Markup, html};

use super::words::{STATES, asked, chips, family, keeping, periods};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::export::{self, Columns, Format};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::number::count;
use crate::console::parts::table::List;
use crate::console::parts::time::{ago, lasting, now};
use crate::console::parts::{badge, name, name_or_dash, tile};
use crate::console::query::{Query, part};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::words::Page as Listed;
use crate::types::soc::{Incident, IncidentState};

const FACETS: [&str; 9] = ["state", "open", "severity", "rule", "about", "tenant", "user", "assignee", "text"];

const COLUMNS: &Columns = &[
    ("id", "/id"),
    ("title", "/title"),
    ("severity", "/severity"),
    ("state", "/state"),
    ("about", "/about"),
    ("rule", "/rule"),
    ("opened", "/opened"),
    ("updated", "/updated"),
    ("alerts", "/alerts"),
    ("risk", "/risk"),
    ("false_positive", "/false_positive"),
    ("tenant", "/caller/tenant"),
    ("user", "/caller/user"),
    ("assignee", "/assignee"),
    ("closed", "/closed/reason"),
    ("closed_at", "/closed/at"),
    ("closed_by", "/closed/by"),
];

/// What is asked of the API: those that are not closed unless the address says otherwise.
fn wanted(visit: &Visit) -> Query {
    let query = asked(visit, &FACETS, None);
    match visit.query().get("state") {
        None => keeping(&query, "open", "true"),
        Some("any") => keeping(&query, "state", ""),
        Some(_) => query,
    }
}

/// The list as a file.
pub(super) async fn file(visit: Visit, format: Format) -> Result<Response, Trouble> {
    export::file(&visit, format, "incidents", ("/api/v1/incidents", &wanted(&visit)), COLUMNS).await
}

/// The list.
pub(super) async fn list(visit: Visit) -> Answer {
    let found: Listed<Incident> = visit.get(&keeping(&wanted(&visit), "limit", "100").on("/api/v1/incidents")).await?;
    let severities = [
        ("critical", "critical"),
        ("high", "high and worse"),
        ("medium", "medium and worse"),
        ("low", "low and worse"),
    ];
    let shown = clocks(&found.items);
    let list = List {
        part: "incidents",
        caption: "Incidents, newest first",
        heads: &["Severity", "Incident", "State", "About", "#Alerts", "#False alarm", "Age", "Clock", "Assignee"],
        rows: found.items.iter().map(row).collect(),
        next: found.next.map(|next| ("before", next)),
        none: (
            "There is no such incident.",
            "Incidents are raised when alerts belong together. Look at another state or period.",
        ),
    };
    let body = html! {
        (tabs(&visit))
        div data-part="clocks" { (shown) }
        (filters(&visit, &[
            Filter::Text("text", "In the title"),
            Filter::One("severity", "Severity", &severities),
            Filter::One("range", "Period", &periods()),
            Filter::Text("about", "About"),
            Filter::Text("user", "User"),
            Filter::Text("assignee", "Assignee"),
            Filter::Text("rule", "Rule"),
        ]))
        (chips(&visit, &FACETS.map(|name| if name == "state" { "" } else { name })))
        (export::links(&visit))
        div.incidents data-waits="" { (list.show(&visit)) }
    };
    Ok(Page::new("/incidents", "Incidents", body).live(&["incident"]))
}

fn tabs(visit: &Visit) -> Markup {
    let chosen = visit.query().get("state").unwrap_or_default();
    let link = |state: &str| visit.query().with("state", state).on(visit.path());
    html! {
        nav.states aria-label="State" {
            a href=(link("")) aria-current=[chosen.is_empty().then_some("true")] { "Not closed" }
            @for (state, shown) in STATES { a href=(link(state)) aria-current=[(chosen == state).then_some("true")] { (shown) } }
            a href=(link("any")) aria-current=[(chosen == "any").then_some("true")] { "All" }
        }
    }
}

/// The mean of some times, in words.
fn mean(times: &[i64]) -> String {
    let number = i64::try_from(times.len()).unwrap_or(i64::MAX);
    let sum = times.iter().fold(0_i64, |sum, time| sum.saturating_add(*time));
    sum.checked_div(number).map_or_else(|| "–".to_owned(), lasting)
}

/// How those on this page do.
fn clocks(all: &[Incident]) -> Markup {
    let now = now();
    let waiting: Vec<i64> =
        all.iter().filter(|one| one.state == IncidentState::Open).map(|one| now.saturating_sub(one.opened)).collect();
    let closed: Vec<i64> =
        all.iter().filter_map(|one| Some(one.closed.as_ref()?.at.saturating_sub(one.opened))).collect();
    let nobodys = all.iter().filter(|one| one.assignee.is_none() && one.state != IncidentState::Closed).count() as u64;
    html! {
        div.tiles {
            (tile("Nobody has looked at", &count(waiting.len() as u64), "of those on this page", None))
            (tile("Longest wait", &waiting.iter().max().map_or_else(|| "–".to_owned(), |most| lasting(*most)), "not acknowledged for", None))
            (tile("Nobody’s", &count(nobodys), "not closed and not assigned", None))
            (tile("Time to resolve", &mean(&closed), &format!("mean of {} closed on this page", closed.len()), None))
        }
    }
}

fn row(incident: &Incident) -> Markup {
    let clock = match (&incident.closed, incident.state) {
        (Some(closed), _) => html! { "closed after " (lasting(closed.at.saturating_sub(incident.opened))) },
        (None, IncidentState::Open) => html! { b { "waits " (lasting(now().saturating_sub(incident.opened))) } },
        (None, IncidentState::Acknowledged | IncidentState::InProgress | IncidentState::Closed) => {
            html! { "open for " (lasting(now().saturating_sub(incident.opened))) }
        }
    };
    html! { tr data-id=(incident.id) {
        td { (badge::severity(incident.severity)) }
        td { a href={ "/console/incidents/" (part(&incident.id)) } { (name(&incident.title)) } br;
            span.quiet { @for one in &incident.families { (family(Some(*one))) " " } } }
        td { (badge::state(incident.state.name())) }
        td { (name(&incident.about)) }
        td.n { (count(incident.alerts)) }
        td.n { (badge::likelihood_short(incident.false_positive)) }
        td { (ago(incident.opened)) }
        td { (clock) }
        td { (name_or_dash(incident.assignee.as_deref())) }
    } }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// An incident whose every text is hostile.
    pub(in crate::console::views::soc) fn hostile(closed: bool) -> Incident {
        let nasty = "<script>alert(1)</script>\u{202e}";
        let state = if closed { "closed" } else { "open" };
        let mut incident = json!({
            "id": "inc_1", "rule": nasty, "about": nasty, "title": nasty, "severity": "critical", "families": ["jailbreak"],
            "threats": [nasty], "caller": { "user": nasty, "kind": "key" }, "false_positive": 5, "risk": 0.9, "opened": 1_000_000,
            "updated": 2_000_000, "alerts": 3, "state": state, "assignee": nasty });
        if closed {
            incident["closed"] = json!({ "reason": "resolved", "note": nasty, "by": nasty, "at": 121_000_000 });
        }
        serde_json::from_value(incident).unwrap()
    }

    #[test]
    fn rows_have_clocks_and_hostile_names_are_text() {
        let shown = html! { (row(&hostile(false))) (row(&hostile(true))) (clocks(&[hostile(true), hostile(false)])) }
            .into_string();
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("closed after 2 min") && shown.contains("waits "), "{shown}");
        assert!(shown.contains("mean of 1 closed"), "{shown}");
        assert_eq!(mean(&[]), "–");
        assert_eq!(mean(&[60_000_000, 180_000_000]), "2 min");
    }
}

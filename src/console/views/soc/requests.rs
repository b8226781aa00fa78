//! Decision records: one for each request.

use axum::response::Response;
use maud::{Markup, html};

use super::reading::Seen;
use super::words::{asked, chips, decided, session_link, who};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::export::{self, Columns, Format};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::number::{dollars, micros};
use crate::console::parts::table::List;
use crate::console::parts::time::at;
use crate::console::parts::{name, name_or_dash};
use crate::console::query::part;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::events::EventView;
use crate::control::api::words::Page as Listed;
use crate::types::{Decision, Outcome};

const FACETS: [&str; 8] = ["tenant", "team", "user", "key", "session", "model", "outcome", "decision"];

const COLUMNS: &Columns = &[
    ("id", "/id"),
    ("time", "/time"),
    ("decision", "/record/decision"),
    ("outcome", "/record/outcome"),
    ("reason", "/record/reason"),
    ("status", "/record/status"),
    ("method", "/record/method"),
    ("path", "/record/path"),
    ("model", "/record/model"),
    ("upstream", "/record/upstream"),
    ("tenant", "/record/caller/tenant"),
    ("team", "/record/caller/team"),
    ("user", "/record/caller/user"),
    ("key", "/record/caller/key"),
    ("session", "/record/caller/session"),
    ("address", "/record/caller/address"),
    ("policy", "/record/policy"),
    ("input_risk", "/record/input/risk"),
    ("output_risk", "/record/output/risk"),
    ("input_tokens", "/record/usage/input"),
    ("output_tokens", "/record/usage/output"),
    ("cost_nano_usd", "/record/cost"),
    ("micros", "/record/micros/total"),
];

/// The list as a file.
pub(super) async fn file(visit: Visit, format: Format) -> Result<Response, Trouble> {
    let query = asked(&visit, &FACETS, Some("24h"));
    export::file(&visit, format, "requests", ("/api/v1/events", &query), COLUMNS).await
}

/// The list.
pub(super) async fn list(visit: Visit) -> Answer {
    let query = asked(&visit, &FACETS, Some("24h"));
    let found: Listed<EventView> = visit.get(&and(&query.on("/api/v1/events"), "limit=100")).await?;
    let decisions: Vec<(&str, &str)> = Decision::ALL.iter().map(|one| (one.name(), one.name())).collect();
    let outcomes: Vec<(&str, String)> =
        Outcome::ALL.iter().map(|one| (one.name(), one.name().replace('_', " "))).collect();
    let outcomes: Vec<(&str, &str)> = outcomes.iter().map(|(word, shown)| (*word, shown.as_str())).collect();
    let list = List {
        part: "requests",
        caption: "Requests, newest first",
        heads: &["Time", "Decision", "Outcome", "Model", "Who", "Session", "#Risk", "#Tokens", "#Cost", "#Took"],
        rows: found.items.into_iter().map(row).collect(),
        next: found.next.map(|next| ("before", next)),
        none: ("There is no such request in this period.", "Choose a longer period, or take a filter away."),
    };
    let body = html! {
        (filters(&visit, &[
            Filter::One("decision", "Decision", &decisions),
            Filter::One("outcome", "Outcome", &outcomes),
            Filter::Range,
            Filter::Text("model", "Model"),
            Filter::Text("user", "User"),
            Filter::Text("team", "Team"),
            Filter::Text("tenant", "Tenant"),
            Filter::Text("key", "Key"),
            Filter::Text("session", "Session"),
        ]))
        (chips(&visit, &FACETS))
        (export::links(&visit))
        div.requests { (list.show(&visit)) }
    };
    Ok(Page::new("/requests", "Requests", body))
}

/// An address with one more parameter.
pub(super) fn and(address: &str, more: &str) -> String {
    let joint = if address.contains('?') { '&' } else { '?' };
    format!("{address}{joint}{more}")
}

fn row(event: EventView) -> Markup {
    let (id, time) = (event.id, event.time);
    let seen = Seen::of(event.record);
    html! {
        tr data-id=(id) {
            td { a href={ "/console/requests/" (part(&id)) } { (at(time)) } }
            td { (decided(&seen.decision)) }
            td { (name(&seen.outcome.replace('_', " "))) }
            td { (name_or_dash(seen.model.as_deref())) }
            td { (who(&seen.caller)) }
            td { @match &seen.caller.session { Some(session) => (session_link(session)), None => "–" } }
            td.n { (format!("{:.2}", seen.risk())) }
            td.n { @if let Some(usage) = seen.usage { (usage.input.saturating_add(usage.output)) } @else { "–" } }
            td.n { @if let Some(cost) = seen.cost() { (dollars(cost)) } @else { "–" } }
            td.n { (micros(seen.micros.total)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_a_hostile_record_is_text() {
        let nasty = "<img src=x onerror=alert(1)>\u{200b}";
        let record = serde_json::json!({
            "decision": nasty, "outcome": nasty, "model": nasty, "caller": { "user": nasty, "session": nasty, "kind": "key" },
        });
        let shown = row(EventView { id: "req_\"><x".into(), time: 1, record }).into_string();
        assert!(!shown.contains("<img") && !shown.contains("\"><x") && !shown.contains('\u{200b}'), "{shown}");
        assert_eq!((and("/x", "a=1"), and("/x?b", "a=1")), ("/x?a=1".to_owned(), "/x?b&a=1".to_owned()));
    }
}

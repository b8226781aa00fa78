//! The alert queue.

use axum::response::Response;
use maud::{Markup, html};

use super::groups;
use super::words::{STATES, asked, chips, family, keeping, periods, session_link, who};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::export::{self, Columns, Format};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::form::{Act, csrf};
use crate::console::parts::number::count;
use crate::console::parts::table::List;
use crate::console::parts::time::ago;
use crate::console::parts::{badge, name, name_or_dash, tile};
use crate::console::query::Query;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::soc::alerts::AlertCounts;
use crate::control::api::words::Page as Listed;
use crate::types::Family;
use crate::types::soc::Alert;

/// The filters that the API knows.
const FACETS: [&str; 13] = [
    "state", "severity", "family", "rule", "tenant", "user", "session", "key", "address", "assignee", "incident",
    "source", "text",
];

const COLUMNS: &Columns = &[
    ("id", "/id"),
    ("title", "/title"),
    ("severity", "/severity"),
    ("state", "/state"),
    ("count", "/count"),
    ("first", "/first"),
    ("last", "/last"),
    ("rule", "/rule"),
    ("family", "/family"),
    ("tenant", "/caller/tenant"),
    ("user", "/caller/user"),
    ("session", "/caller/session"),
    ("key", "/caller/key"),
    ("address", "/caller/address"),
    ("risk", "/verdict/risk"),
    ("false_positive", "/verdict/false_positive"),
    ("decision", "/verdict/enforced"),
    ("assignee", "/assignee"),
    ("closed", "/closed/reason"),
    ("incident", "/incident"),
    ("source", "/source"),
];

/// What is asked of the API: open alerts unless the address says otherwise.
pub(super) fn wanted(visit: &Visit) -> Query {
    let query = asked(visit, &FACETS, None);
    match visit.query().get("state") {
        None => keeping(&query, "state", "open"),
        Some("any") => keeping(&query, "state", ""),
        Some(_) => query,
    }
}

/// The list as a file.
pub(super) async fn file(visit: Visit, format: Format) -> Result<Response, Trouble> {
    export::file(&visit, format, "alerts", ("/api/v1/alerts", &wanted(&visit)), COLUMNS).await
}

/// The queue.
pub(super) async fn list(visit: Visit) -> Answer {
    let by = visit.query().get("group").and_then(groups::By::of);
    let limit = if by.is_some() { "500" } else { "100" };
    let query = keeping(&wanted(&visit), "limit", limit);
    let found: Listed<Alert> = visit.get(&query.on("/api/v1/alerts")).await?;
    let counts: AlertCounts = visit.get("/api/v1/alerts/counts").await?;
    let body = html! {
        (tabs(&visit, &counts))
        (facets(&visit))
        (chips(&visit, &FACETS.map(|name| if name == "state" { "" } else { name })))
        div.row {
            div.views data-views="alerts" data-path=(visit.path()) {
                (built_in(&visit))
                // Those of the reader's own are put here by a module.
            }
            (grouping(&visit))
            (export::links(&visit))
        }
        @match by {
            Some(by) => (groups::table(&visit, by, &found)),
            None => (queue(&visit, found)),
        }
    };
    Ok(Page::new("/alerts", "Alerts", body).live(&["alert"]).script("alerts.js").script("views.js"))
}

fn tabs(visit: &Visit, counts: &AlertCounts) -> Markup {
    let query = visit.query();
    let chosen = query.get("state").unwrap_or("open");
    let of = |state: &str| counts.states.get(state).map_or(0, |all| all.values().sum::<u64>());
    let link = |state: &str| query.with("state", state).on(visit.path());
    let bad = |at_least: &[&str]| -> u64 {
        let all = counts.states.iter().filter(|(state, _)| chosen == "any" || *state == chosen);
        all.flat_map(|(_, by)| by.iter())
            .filter(|(severity, _)| at_least.contains(&severity.as_str()))
            .map(|(_, n)| n)
            .sum()
    };
    let severe = |label: &str, severity: &str, at_least: &[&str]| {
        let hint = if query.is("severity", severity) { "shown now" } else { "show these" };
        tile(label, &count(bad(at_least)), hint, Some(&query.with("severity", severity).on(visit.path())))
    };
    html! {
        div data-part="alert-counts" {
            nav.states aria-label="State" {
                @for (state, shown) in STATES {
                    a href=(link(state)) aria-current=[(chosen == state).then_some("true")] { (shown) " " span.n { (count(of(state))) } }
                }
                a href=(link("any")) aria-current=[(chosen == "any").then_some("true")] { "All " span.n { (count(counts.total)) } }
            }
            div.tiles {
                (severe("Critical", "critical", &["critical"]))
                (severe("High and worse", "high", &["critical", "high"]))
                (severe("Medium and worse", "medium", &["critical", "high", "medium"]))
                (severe("All severities", "", &["critical", "high", "medium", "low", "informational"]))
            }
        }
    }
}

fn facets(visit: &Visit) -> Markup {
    let families: Vec<(&str, String)> = Family::ALL.iter().map(|one| (one.name(), family(Some(*one)))).collect();
    let families: Vec<(&str, &str)> = families.iter().map(|(word, shown)| (*word, shown.as_str())).collect();
    let severities = [
        ("critical", "critical"),
        ("high", "high and worse"),
        ("medium", "medium and worse"),
        ("low", "low and worse"),
        ("informational", "all"),
    ];
    filters(
        visit,
        &[
            Filter::Text("text", "In the title"),
            Filter::One("severity", "Severity", &severities),
            Filter::One("family", "Family", &families),
            Filter::One("range", "Period", &periods()),
            Filter::Text("rule", "Rule"),
            Filter::Text("user", "User"),
            Filter::Text("session", "Session"),
            Filter::Text("key", "Key"),
            Filter::Text("address", "Address"),
            Filter::Text("assignee", "Assignee"),
        ],
    )
}

fn built_in(visit: &Visit) -> Markup {
    let on = |pairs: &[(&str, &str)]| {
        pairs.iter().fold(Query::default(), |query, (name, value)| query.with(name, value)).on(visit.path())
    };
    html! {
        span.quiet { "Views " }
        a href=(on(&[])) { "Open" } " "
        a href=(on(&[("state", "any"), ("assignee", &visit.me().name)])) { "Mine" } " "
        a href=(on(&[("severity", "high")])) { "Open and high" } " "
        a href=(on(&[("state", "any"), ("range", "24h")])) { "Last 24 hours" }
    }
}

fn grouping(visit: &Visit) -> Markup {
    let query = visit.query();
    let chosen = query.get("group").unwrap_or_default();
    html! {
        nav.grouping aria-label="Group by" { span.quiet { "Group by " }
            @for (by, shown) in [("", "nothing"), ("rule", "rule"), ("user", "user"), ("session", "session")] {
                a href=(query.with("group", by).on(visit.path())) aria-current=[(chosen == by).then_some("true")] { (shown) } " "
            }
        }
    }
}

fn queue(visit: &Visit, found: Listed<Alert>) -> Markup {
    let heads = ["Mark", "Severity", "Alert", "#Count", "#False alarm", "State", "Who", "Session", "Last", "Assignee"];
    let may = visit.may_work();
    let list = List {
        part: "alerts",
        caption: "Alerts, newest first",
        heads: &heads,
        rows: found.items.iter().map(|alert| row(alert, may)).collect(),
        next: found.next.map(|next| ("before", next)),
        none: ("There is no such alert.", "Take a filter away, or look at another state."),
    };
    html! {
        @if may {
            form.bulk method="post" action="/console/do" data-waits="" {
                (Act::post("/api/v1/alerts/bulk").hidden(visit))
                (bulk(visit))
                (list.show(visit))
            }
        } @else {
            div data-waits="" { (csrf(visit)) (list.show(visit)) }
        }
    }
}

/// What can be done to those that are marked. The change stands before the note, which is put into it.
fn bulk(visit: &Visit) -> Markup {
    html! {
        div.bar role="group" aria-label="With those marked" {
            span.marked data-marked="" aria-live="polite" { "With those marked:" }
            button type="button" data-mark-all="" hidden { "Mark all" }
            // First of the buttons that send: the one that Enter in a field presses.
            label { "Assign to" input name="change.assignee" maxlength="64" pattern="[A-Za-z0-9._@\\-]{1,64}" autocomplete="off"; }
            button type="submit" data-assign="" { "Assign" }
            button type="submit" name="change:json" value=r#"{"state":"acknowledged"}"# data-key="a" title="Acknowledge (a)" { "Acknowledge" }
            button type="submit" name="change:json" value=(assign(&visit.me().name)) data-key="m" title="Assign to me (m)" { "Assign to me" }
            details.closing {
                summary.button data-key="e" title="Close (e)" { "Close as …" }
                div.row {
                    @for (reason, shown) in [("resolved", "Resolved"), ("false_positive", "False alarm"), ("duplicate", "Duplicate"), ("accepted", "Accepted")] {
                        button type="submit" name="change:json" value={ r#"{"state":"closed","reason":""# (reason) r#""}"# } { (shown) }
                    }
                }
            }
            button type="submit" name="change:json" value=r#"{"state":"open"}"# { "Open again" }
            label { "Note" input name="change.note" maxlength="1000"; }
        }
    }
}

fn assign(name: &str) -> String {
    serde_json::json!({ "assignee": name }).to_string()
}

/// A row; there may be thousands on a page, so it is small. Roles are said: some browsers forget them where a table is laid out
/// as a grid.
fn row(alert: &Alert, may: bool) -> Markup {
    let id = &*alert.id;
    html! {
        tr role="row" data-id=(id) {
            td role="cell" { @if may { input type="checkbox" name="ids[]" value=(id) aria-label="Mark"; } }
            td role="cell" { (badge::severity(alert.severity)) }
            td role="cell" { a href={ "/console/alerts/" (id) } { (name(&alert.title)) } }
            td.n role="cell" { @if alert.count > 1 { "×" (alert.count) } }
            td.n role="cell" { (badge::likelihood_short(alert.verdict.false_positive)) }
            td role="cell" { (badge::state(alert.state.name())) }
            td role="cell" { (who(&alert.caller)) }
            td role="cell" { @match &alert.caller.session { Some(session) => (session_link(session)), None => "–" } }
            td role="cell" { (ago(alert.last)) }
            td role="cell" { (name_or_dash(alert.assignee.as_deref())) }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// An alert whose every text is hostile.
    pub(in crate::console::views::soc) fn hostile() -> Alert {
        let nasty = "</td><script>alert(1)</script>\u{202e}\"'";
        serde_json::from_value(json!({
            "id": "alt_1", "rule": nasty, "title": nasty, "severity": "high", "family": "prompt_injection",
            "first": 1, "last": 2, "count": 37, "message": nasty, "source": nasty, "fold": "x", "state": "open",
            "caller": { "address": "192.0.2.7", "key": nasty, "user": nasty, "session": nasty, "kind": "key" },
            "requests": ["req_1"], "assignee": nasty, "threats": [{ "id": nasty, "title": nasty }],
            "proofs": [{ "rule": nasty, "title": nasty, "severity": "high", "direction": "input", "span": 1, "start": 2, "end": 9 }],
            "verdict": { "risk": 0.9, "false_positive": 10, "reasons": [nasty], "recommended": "block",
                "factors": { "content": 0.9 }, "enforced": "block" },
        }))
        .unwrap()
    }

    #[test]
    fn a_row_shows_hostile_names_as_text_and_is_small() {
        let shown = row(&hostile(), true).into_string();
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("×37") && shown.contains("data-id=\"alt_1\""), "{shown}");
        let mut plain = hostile();
        plain.title = "Prompt injection".to_owned();
        plain.caller = crate::types::Caller { user: Some("ann".into()), ..crate::types::Caller::default() };
        plain.assignee = None;
        let small = row(&plain, true).into_string();
        assert!(small.len() < 1000, "{} bytes: {small}", small.len());
    }

    #[test]
    fn whoever_is_given_alerts_is_named_in_json() {
        assert_eq!(assign("a\"b"), r#"{"assignee":"a\"b"}"#);
    }
}

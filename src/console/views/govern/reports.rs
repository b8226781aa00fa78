//! Reports: made, kept, downloaded.

use maud::{Markup, html};
use serde_json::Value;

use super::document;
use super::words::{entries, number, tabs, text};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::form::{Act, select};
use crate::console::parts::table::{List, table};
use crate::console::parts::time;
use crate::console::query::part;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::door::Effective;

const DAY: i64 = 86_400_000_000;
/// What a report can be downloaded as.
const FORMATS: [&str; 5] = ["pdf", "html", "md", "csv", "json"];
const KINDS: [(&str, &str); 5] = [
    ("security", "Security: traffic, threats, alerts, incidents"),
    ("threats", "Threats: families, catalogues, trends"),
    ("compliance", "Compliance: controls of a framework with evidence"),
    ("spend", "Spend: by whom, against which budgets"),
    ("learning", "Learning: what was missed and learned"),
];

/// The pages about what is answered for.
pub(super) fn ways(visit: &Visit) -> Markup {
    tabs(visit, "Compliance and reports", &[("/console/compliance", "Compliance"), ("/console/reports", "Reports")])
}

/// The list.
pub(super) async fn page(visit: Visit) -> Answer {
    let after = visit.query().get("after").map(|after| format!("&after={}", part(after))).unwrap_or_default();
    let found: Option<Value> = visit.maybe(&format!("/api/v1/reports?limit=50{after}")).await?;
    let Some(found) = found else {
        let body = html! { (ways(&visit)) (parts::empty("Reports are switched off here.", "They need the store; see [reports] in gateway.toml.")) };
        return Ok(Page::new("/reports", "Reports", body));
    };
    let frameworks: Option<Value> = visit.maybe("/api/v1/reports/frameworks").await?;
    let body = html! {
        (ways(&visit))
        @if visit.may_work() || visit.may_audit() { section.panel { h2 { "Make a report" } (make(&visit, frameworks.as_ref(), None)) } }
        (List {
            part: "reports",
            caption: "Reports",
            heads: &["Report", "Period", "Made", "Download", ""],
            rows: entries(&found, "items").iter().map(|one| row(&visit, one)).collect(),
            next: (!text(&found, "next").is_empty()).then(|| ("after", text(&found, "next").to_owned())),
            none: ("No report was made yet.", "Make one above, or have some made by themselves: [[reports.schedules]] in gateway.toml."),
        }.show(&visit))
        h2 { "Made by themselves" }
        (schedules(&visit).await?)
    };
    Ok(Page::new("/reports", "Reports", body))
}

/// One report, on a page.
pub(super) async fn one(visit: Visit) -> Answer {
    let id = visit.name("id");
    let report: Value = visit.get(&format!("/api/v1/reports/{id}?format=json")).await?;
    let body = html! {
        (ways(&visit))
        p { (document::period(&report)) " · made " (time::ago(number(&report, "made").unwrap_or(0))) " by " (parts::name(text(&report, "by"))) }
        p.row { (downloads(visit.raw("id"))) }
        (document::sections(&report))
    };
    Ok(Page::new("/reports", crate::types::visible(text(&report, "title"), 120), body))
}

/// The form for a new one.
pub(super) fn make(visit: &Visit, frameworks: Option<&Value>, framework: Option<&str>) -> Markup {
    let names: Vec<(&str, &str)> = frameworks
        .into_iter()
        .flat_map(|all| entries(all, "items"))
        .map(|one| (text(one, "name"), text(one, "title")))
        .collect();
    let none_or: Vec<(&str, &str)> = std::iter::once(("", "none")).chain(names).collect();
    let now = time::now();
    let since: Vec<(String, &str)> = [(7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year")]
        .map(|(days, words)| (now.saturating_sub(days * DAY).to_string(), words))
        .to_vec();
    let since: Vec<(&str, &str)> = since.iter().map(|(at, words)| (at.as_str(), *words)).collect();
    let chosen = since.get(1).map(|(at, _)| *at).unwrap_or_default();
    let fields = html! {
        @match framework {
            Some(name) => {
                input type="hidden" name="kind" value="compliance";
                input type="hidden" name="framework" value=(name);
            },
            None => {
                (select("kind", "Which", &KINDS, "security"))
                (select("framework", "Framework (of compliance reports)", &none_or, ""))
            },
        }
        (select("since:number", "About the last", &since, chosen))
        label { "Only of this tenant" input name="tenant" maxlength="256"; }
        button.main type="submit" { "Make report" }
    };
    Act::post("/api/v1/reports").form(visit, "filters", &fields)
}

/// The ways to a report as a file.
pub(super) fn downloads(id: &str) -> Markup {
    html! { @for format in FORMATS {
        a href={ "/api/v1/reports/" (part(id)) "?format=" (format) } download { (format.to_uppercase()) } " "
    } }
}

fn row(visit: &Visit, one: &Value) -> Markup {
    let id = text(one, "id");
    html! { tr data-id=(id) {
        td {
            a href={ "/console/reports/" (part(id)) } { (parts::name(text(one, "title"))) }
            @if !text(one, "tenant").is_empty() { div.quiet { "tenant " (parts::name(text(one, "tenant"))) } }
        }
        td { (document::period(one)) }
        td { (time::ago(number(one, "made").unwrap_or(0))) " by " (parts::name(text(one, "by"))) }
        td { (downloads(id)) }
        td { @if visit.may_manage() {
            (Act::delete(&format!("/api/v1/reports/{}", part(id))).sure("Remove this report?").button(visit, "Remove", &[]))
        } }
    } }
}

async fn schedules(visit: &Visit) -> Result<Markup, Trouble> {
    let config: Option<Effective> = visit.maybe("/api/v1/config").await?;
    let Some(config) = config else {
        return Ok(html! { p.quiet { "Only administrators and auditors see the settings." } });
    };
    let all = config.settings.pointer("/reports/schedules").cloned().unwrap_or_default();
    let rows: Vec<Markup> = entries(&all, "schedules")
        .iter()
        .map(|one| {
            html! { tr {
                td { (parts::name(text(one, "kind"))) " " (parts::name(text(one, "framework"))) }
                td { (parts::name_or_dash(one.get("tenant").and_then(Value::as_str))) }
                td { "every " (parts::name(text(one, "every"))) ", " (parts::name(text(one, "at"))) " UTC" }
                td { @for format in entries(one, "formats") { (parts::name(format.as_str().unwrap_or_default())) " " } }
            } }
        })
        .collect();
    Ok(html! {
        @if rows.is_empty() { (parts::empty("No report is made by itself.", "[[reports.schedules]] in gateway.toml has one made every day, week or month.")) }
        @else { (table("Schedules", &["Report", "Tenant", "When", "Formats"], &rows)) }
    })
}

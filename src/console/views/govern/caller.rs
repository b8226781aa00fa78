//! One caller: what it does, what is usual for it, what holds for it.

use std::net::IpAddr;

use maud::{Markup, html};
use serde_json::Value;

use super::callers::{KINDS, against, ways};
use super::orders::{give, list};
use super::words::{entries, number, text};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::badge;
use crate::console::parts::chart::{OverTime, Series, counts};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::number::{count, dollars, share};
use crate::console::parts::table::table;
use crate::console::parts::time::{self, Range};
use crate::console::query::{Query, part};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::callers::ActivityView;
use crate::control::api::orders::OrderView;
use crate::control::api::words;
use crate::types::Severity;

/// The page.
pub(super) async fn page(visit: Visit) -> Answer {
    let (kind, name) = (visit.raw("kind").to_owned(), visit.raw("name").to_owned());
    let Some((_, plural)) = KINDS.iter().find(|(word, _)| *word == kind) else { return Err(Trouble::nowhere()) };
    let range = Range::of(visit.query(), "24h");
    let path = format!("/api/v1/callers/activity?kind={kind}&name={}&from={}&to={}", part(&name), range.from, range.to);
    let activity: Option<ActivityView> = visit.maybe(&path).await?;
    let orders = orders(&visit, &kind, &name).await?;
    let body = html! {
        (ways(&visit))
        p { "One of the " (plural.to_lowercase()) ": " b { (parts::name(&name)) } " · "
            a href=(at("/console/requests", &kind, &name)) { "requests" } " · "
            a href=(at("/console/alerts", &kind, &name)) { "alerts" } }
        (filters(&visit, &[Filter::Range]))
        @match &activity {
            Some(activity) => (seen(activity)),
            None => (parts::empty("Nothing from this caller in this period.", "Choose a longer one.")),
        }
        div.columns {
            section.panel { h2 { "Alerts" } (alerts(&visit, &kind, &name, &range).await?) }
            section.panel { h2 { "Limits and budgets" } (limits(&visit, (&kind, &name), activity.as_ref()).await?) }
        }
        h2 { "Standing orders" }
        (list(&visit, &orders, None))
        @if visit.may_decide() { section.panel { h2 { "Give an order about this caller" } (give(&visit, Some((&kind, &name)))) } }
    };
    Ok(Page::new("/callers", format!("Caller {}", crate::types::visible(&name, 80)), body).live(&["alert"]))
}

/// A list of another page with this caller as its filter.
fn at(path: &str, kind: &str, name: &str) -> String {
    Query::default().with(kind, name).on(path)
}

/// Orders about this caller, newest first.
async fn orders(visit: &Visit, kind: &str, name: &str) -> Result<Vec<OrderView>, Trouble> {
    let about = match kind {
        "address" if name.parse::<IpAddr>().is_err() => return Ok(Vec::new()),
        "address" => "network",
        kind => kind,
    };
    let path = format!("/api/v1/orders?kind={about}&name={}&limit=100", part(name));
    visit.get::<words::Page<OrderView>>(&path).await.map(|page| page.items)
}

fn seen(activity: &ActivityView) -> Markup {
    let caller = &activity.caller;
    let series = |name: &str, value: &dyn Fn(&crate::control::api::callers::PieceView) -> f64| Series {
        name: name.to_owned(),
        values: activity.pieces.iter().map(value).collect(),
    };
    let requests = [
        series("let through", &|piece| piece.requests.saturating_sub(piece.blocked) as f64),
        series("blocked", &|piece| piece.blocked as f64),
    ];
    let spend = [series("spend", &|piece| piece.cost_nano_usd as f64 / 1e9)];
    let chart = |title, series, shown| {
        OverTime { title, from: activity.from, step: activity.step, series, shown, brush: false }.show()
    };
    let cost = i64::try_from(caller.cost_nano_usd).unwrap_or(i64::MAX);
    html! {
        div data-part="figures" {
            div.tiles {
                (parts::tile("Requests", &count(caller.requests), if activity.at_least { "at least" } else { "" }, None))
                (parts::tile("Blocked", &count(caller.blocked), &share(caller.blocked, caller.requests), None))
                (parts::tile("Alerts", &caller.alerts.map_or_else(|| "–".to_owned(), count), "", None))
                (parts::tile("Spend", &dollars(cost), "", None))
                (parts::tile("Highest risk", &format!("{:.2}", caller.risk_most), &format!("mean {:.2}", caller.risk_mean), None))
            }
            (usual(activity))
            (chart("Requests", &requests, counts as fn(f64) -> String))
            (chart("Spend in dollars", &spend, money))
        }
    }
}

fn money(dollars: f64) -> String {
    if dollars >= 100.0 { format!("${dollars:.0}") } else { format!("${dollars:.2}") }
}

fn usual(activity: &ActivityView) -> Markup {
    let usual = activity.caller.usual.as_ref();
    html! { section.panel {
        h2 { "Against what is usual" }
        p { (against(usual)) }
        @if let Some(usual) = usual {
            @let unit = time::lasting(i64::try_from(usual.unit_seconds).unwrap_or(0).saturating_mul(1_000_000));
            (parts::facts(&[
                ("Now, requests in each piece", html! { (format!("{:.1}", usual.now)) }),
                ("Usual mean", html! { (format!("{:.1}", usual.mean)) }),
                ("Standard deviation", html! { (format!("{:.1}", usual.deviation)) }),
                ("Told from", html! { (usual.pieces) " pieces of " (unit) " before this period" }),
            ]))
        } @else { p.quiet { "This caller was seen in fewer than three pieces of the time before this period." } }
    } }
}

async fn alerts(visit: &Visit, kind: &str, name: &str, range: &Range) -> Result<Markup, Trouble> {
    if matches!(kind, "team" | "agent") {
        return Ok(html! { p.quiet { "Alerts do not say which " (kind) " they are about: look at its users." } });
    }
    let path = format!("/api/v1/alerts?{kind}={}&from={}&to={}&limit=20", part(name), range.from, range.to);
    let found: Option<Value> = visit.maybe(&path).await?;
    let rows: Vec<Markup> = found.iter().flat_map(|found| entries(found, "items")).map(alert).collect();
    Ok(html! {
        @if rows.is_empty() { (parts::empty("No alerts in this period.", "")) }
        @else { (table("Alerts", &["Alert", "Severity", "State", "#Count", "Last"], &rows)) }
    })
}

fn alert(alert: &Value) -> Markup {
    let severity = alert.get("severity").and_then(|severity| serde_json::from_value::<Severity>(severity.clone()).ok());
    html! { tr data-id=(text(alert, "id")) {
        td { a href={ "/console/alerts/" (part(text(alert, "id"))) } { (parts::name(text(alert, "title"))) } }
        td { @if let Some(severity) = severity { (badge::severity(severity)) } }
        td { (badge::state(text(alert, "state"))) }
        td.n { (number(alert, "count").unwrap_or(1)) }
        td { (time::ago(number(alert, "last").unwrap_or(0))) }
    } }
}

async fn limits(visit: &Visit, (kind, name): (&str, &str), activity: Option<&ActivityView>) -> Result<Markup, Trouble> {
    // Those of a tenant are counted within it.
    let tenant = activity.and_then(|activity| activity.caller.tenant.as_deref()).filter(|tenant| !tenant.is_empty());
    let asked = Query::default().with("scope", kind).with("name", name).with("limit", "50");
    let asked = tenant.into_iter().fold(asked, |asked, tenant| asked.with("tenant", tenant));
    let mut rows = Vec::new();
    for what in ["limits", "budgets"] {
        let found: Option<Value> = visit.maybe(&asked.on(&format!("/api/v1/{what}"))).await?;
        rows.extend(
            found.iter().flat_map(|found| entries(found, "items")).map(|one| limit(one, None)).collect::<Vec<_>>(),
        );
    }
    Ok(html! {
        @if rows.is_empty() { (parts::empty("No limit or budget is counted per caller like this.", "[limits] and [[budgets]] in gateway.toml, or of a policy.")) }
        @else { (table("Limits and budgets", &["Limit", "Used", "#", "#Of", "Anew in"], &rows)) }
    })
}

/// A limit or budget with what is used of it, and a cell more.
pub(super) fn limit(one: &Value, more: Option<Markup>) -> Markup {
    let unit = text(one, "unit");
    let amount =
        |value: i64| if unit == "nano_usd" { dollars(value) } else { count(u64::try_from(value).unwrap_or(0)) };
    let most = number(one, "limit").unwrap_or(0);
    let used = number(one, "used");
    html! { tr {
        td { (parts::name(text(one, "name"))) @if !text(one, "policy").is_empty() { div.quiet { "policy " (parts::name(text(one, "policy"))) } } }
        td.bar { @if let Some(used) = used { progress max=(most.max(1)) value=(used) aria-hidden="true" {} } }
        td.n { @match used { Some(used) => (amount(used)), None => "–" } }
        td.n { (amount(most)) @if unit != "nano_usd" { " " (unit.replace('_', " ")) } }
        td { @match number(one, "reset_seconds") { Some(left) => (time::lasting(left.saturating_mul(1_000_000))), None => "–" } }
        @if let Some(more) = more { td { (more) } }
    } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn alerts_and_limits_of_hostile_names_are_words() {
        let shown = alert(
            &json!({ "id": "alt_1/../x", "title": "<svg onload=x>\u{200b}", "severity": "high", "state": "open", "count": 3, "last": 5 }),
        );
        let shown = shown.into_string();
        assert!(!shown.contains("<svg") && shown.contains("alt_1%2F..%2Fx") && shown.contains("high"), "{shown}");
        let shown = limit(
            &json!({ "name": "<b>", "unit": "nano_usd", "limit": 10_000_000_000_i64, "used": 2_500_000_000_i64, "reset_seconds": 7200 }),
            None,
        );
        let shown = shown.into_string();
        assert!(
            !shown.contains("<b>") && shown.contains("$2.50") && shown.contains("$10.00") && shown.contains("2 h"),
            "{shown}"
        );
        assert!(!limit(&json!({}), None).into_string().is_empty());
    }
}

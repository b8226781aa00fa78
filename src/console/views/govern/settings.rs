//! Settings: how the gateway does, monitoring, what is sent elsewhere, what this is.

use maud::{Markup, html};
use serde_json::Value;

use super::words::{entries, number, shown, tabs, text};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::badge;
use crate::console::parts::form::{Act, select};
use crate::console::parts::number::count;
use crate::console::parts::table::table;
use crate::console::parts::time;
use crate::console::visit::Visit;
use crate::control::api::soc::monitoring::MonitoringView;

/// The pages about settings.
pub(super) fn ways(visit: &Visit) -> Markup {
    let mut all = vec![("/console/settings", "Status")];
    if visit.may_audit() {
        all.push(("/console/settings/configuration", "Configuration"));
    }
    all.push(("/console/settings/policies", "Policies"));
    if visit.may_audit() {
        all.push(("/console/accounts", "Accounts"));
        all.push(("/console/tokens", "API tokens"));
    }
    all.push(("/console/account", "Your account"));
    tabs(visit, "Settings", &all)
}

/// The page.
pub(super) async fn page(visit: Visit) -> Answer {
    let status: Value = visit.get("/api/v1/status").await?;
    let soc: Option<Value> = visit.maybe("/api/v1/soc/status").await?;
    let learn: Option<Value> = visit.maybe("/api/v1/learn").await?;
    let exports: Option<Value> = visit.maybe("/api/v1/exports").await?;
    let now: MonitoringView = visit.get("/api/v1/monitoring").await?;
    let body = html! {
        (ways(&visit))
        section.panel { h2 { "Monitoring" } (monitoring(&visit, &now)) }
        div data-part="status" {
            (tiles(&status))
            div.columns {
                (part_of("Store", status.get("store")))
                (part_of("Audit trail", status.get("audit")))
                (part_of("Limits", status.get("limits")))
                (part_of("Security operations", soc.as_ref()))
                (part_of("Learning", learn.as_ref()))
            }
        }
        @if let Some(exports) = &exports { section.panel { h2 { "What is sent elsewhere" } (sinks(exports)) } }
        (about(&status))
    };
    Ok(Page::new("/settings", "Settings", body).live(&["monitoring"]))
}

fn tiles(status: &Value) -> Markup {
    let figure = |name: &str| {
        number(status, name).and_then(|figure| u64::try_from(figure).ok()).map_or_else(|| "–".to_owned(), count)
    };
    let uptime = number(status, "uptime_seconds").unwrap_or(0).saturating_mul(1_000_000);
    html! { div.tiles {
        (parts::tile("Version", text(status, "version"), "", None))
        (parts::tile("Up for", &time::lasting(uptime), "", None))
        (parts::tile("Configuration", &figure("generation"), "generation in force", None))
        (parts::tile("Rules", &figure("rules"), "compiled", Some("/console/rules")))
        (parts::tile("Gateway keys", &figure("keys"), "in force", Some("/console/keys")))
        (parts::tile("Standing orders", &figure("orders"), "in force", Some("/console/orders")))
    } }
}

/// One part of the gateway, as the API tells of it.
fn part_of(title: &str, of: Option<&Value>) -> Markup {
    html! { section.panel { h2 { (title) }
        @match of.and_then(Value::as_object) {
            Some(fields) => {
                dl.facts { @for (name, value) in fields { div {
                    dt { (parts::name(&name.replace('_', " "))) }
                    dd { @if name == "state" { (badge::state(value.as_str().unwrap_or_default())) } @else { (shown(value)) } }
                } } }
            },
            None => p.quiet { "Switched off." },
        }
    } }
}

fn monitoring(visit: &Visit, now: &MonitoringView) -> Markup {
    let lives = [("15", "15 minutes"), ("60", "1 hour"), ("240", "4 hours"), ("1440", "1 day")];
    html! {
        @if now.off {
            div.notice.bad { p { b { "Monitoring is off: requests pass uninspected." } }
                p { "It comes on again by itself " @if let Some(until) = now.until { "in " (time::until(until)) } "."
                    @if let Some(since) = now.since { " Off since " (time::at(since)) "." }
                    @if let Some(by) = &now.by { " Switched off by account " code { (parts::name(by)) } "." } } }
            @if visit.may_manage() { (Act::post("/api/v1/monitoring/on").button(visit, "Switch monitoring on now", &[])) }
        } @else {
            p { (badge::state("live")) " Requests and answers are inspected as the policies say." }
            @if visit.may_manage() {
                (Act::post("/api/v1/monitoring/off").sure("Switch monitoring off? Until it comes on again nothing is inspected.").form(visit, "filters", &html! {
                    (select("minutes:number", "Off for", &lives, "15"))
                    label { "Why (it stands in the audit trail)" input name="reason" required maxlength="1000" size="40"; }
                    button.danger type="submit" { "Switch monitoring off" }
                }))
            }
        }
    }
}

fn sinks(exports: &Value) -> Markup {
    let rows: Vec<Markup> = entries(exports, "sinks")
        .iter()
        .map(|one| {
            let figure = |name: &str| number(one, name).map_or_else(|| "–".to_owned(), |figure| count(u64::try_from(figure).unwrap_or(0)));
            html! { tr {
                td { (parts::name(text(one, "name"))) div.quiet { (parts::name(text(one, "kind"))) } }
                td { (badge::state(text(one, "state"))) @if !text(one, "last_error").is_empty() { div.quiet { (parts::name(text(one, "last_error"))) } } }
                td.n { (figure("backlog")) }
                td.n { (figure("delivered")) }
                td.n { (figure("dropped")) }
                td.n { (figure("dead_letters")) }
                td { @match number(one, "delivered_at") { Some(at) => (time::ago(at)), None => "–" } }
            } }
        })
        .collect();
    html! {
        @if rows.is_empty() { (parts::empty("Nothing is sent elsewhere.", "A SIEM, a webhook or syslog can be told of alerts, audit entries and records: see gateway.toml.")) }
        @else { (table("Exports", &["Where to", "State", "#Backlog", "#Delivered", "#Dropped", "#Dead letters", "Last delivered"], &rows)) }
    }
}

fn about(status: &Value) -> Markup {
    html! { section.panel { h2 { "About" }
        p { "Portcullis " (parts::name(text(status, "version"))) ": a security gateway for LLM APIs, under the Apache License 2.0." }
        (parts::facts(&[
            ("Rule set", html! { code { (parts::name(text(status, "rule_set"))) } }),
            ("API", html! { a href="/api/v1/openapi.json" { "OpenAPI document" } }),
        ]))
    } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_parts_and_sinks_say_is_only_words() {
        let part =
            part_of("Store", Some(&json!({ "state": "up", "problem": "<script>x</script>\u{202e}" }))).into_string();
        assert!(!part.contains("<script") && !part.contains('\u{202e}') && part.contains("up"), "{part}");
        assert!(part_of("Learning", None).into_string().contains("Switched off"));
        let shown =
            sinks(&json!({ "sinks": [{ "name": "<b>", "state": "failing", "last_error": "<i>", "backlog": 3 }] }))
                .into_string();
        assert!(!shown.contains("<b>") && !shown.contains("<i>") && shown.contains("failing"), "{shown}");
        assert!(sinks(&Value::Null).into_string().contains("Nothing is sent elsewhere"));
        assert!(tiles(&Value::Null).into_string().contains("Version"));
    }
}

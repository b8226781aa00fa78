//! Policies, and which of them decides about a request.

use maud::{Markup, html};
use serde_json::Value;

use super::caller::limit;
use super::settings::ways;
use super::words::{entries, text};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::badge;
use crate::console::parts::table::table;
use crate::console::query::part;
use crate::console::visit::Visit;

/// What a request is told by.
const ASKED: [(&str, &str); 7] = [
    ("key", "Gateway key (id or name)"),
    ("model", "Model"),
    ("route", "Route"),
    ("tenant", "Tenant"),
    ("team", "Team"),
    ("user", "User"),
    ("agent", "Agent"),
];

/// The page.
pub(super) async fn page(visit: Visit) -> Answer {
    let policies: Value = visit.get("/api/v1/policies").await?;
    let asked: Vec<String> =
        ASKED.iter().filter_map(|(name, _)| Some(format!("{name}={}", part(visit.query().get(name)?)))).collect();
    let explained: Option<Value> =
        if asked.is_empty() { None } else { visit.maybe(&format!("/api/v1/explain?{}", asked.join("&"))).await? };
    let limits: Value = visit.get("/api/v1/limits?limit=200").await?;
    let budgets: Value = visit.get("/api/v1/budgets?limit=200").await?;
    let body = html! {
        (ways(&visit))
        section.panel { h2 { "Which policy decides?" }
            form.filters method="get" action=(visit.path()) role="search" {
                @for (name, label) in ASKED {
                    label { (label) input name=(name) maxlength="256" value=(visit.query().get(name).unwrap_or_default()); }
                }
                button.main type="submit" { "Explain" }
            }
            @if let Some(explained) = &explained { (told(explained)) }
        }
        h2 { "Policies, in the order in which they are tried" }
        @for policy in entries(&policies, "items") { (one(policy)) }
        h2 { "Limits and budgets" }
        (uses(&[entries(&limits, "items"), entries(&budgets, "items")].concat()))
    };
    Ok(Page::new("/settings", "Policies", body))
}

fn one(policy: &Value) -> Markup {
    let bases: Vec<&str> = entries(policy, "extends").iter().filter_map(Value::as_str).collect();
    html! { details.fold {
        summary { (parts::name(text(policy, "name")))
            @if !text(policy, "mode").is_empty() { " " (badge::state(text(policy, "mode"))) }
            @if !bases.is_empty() { span.quiet { " extends " @for base in &bases { (parts::name(base)) " " } } } }
        (parts::json(policy))
    } }
}

/// What decides, and why the others do not.
fn told(explained: &Value) -> Markup {
    let holds = explained.get("policy").filter(|policy| !policy.is_null());
    let name = holds.map(|policy| policy.as_str().unwrap_or_else(|| text(policy, "name")));
    let rows: Vec<Markup> = entries(explained, "tried")
        .iter()
        .map(|tried| {
            let differs = tried.get("differs").filter(|differs| !differs.is_null());
            html! { tr {
                td { (parts::name(text(tried, "policy"))) }
                td { @match differs { None => (badge::state("met")), Some(differs) => (super::words::shown(differs)) } }
            } }
        })
        .collect();
    html! {
        div.notice.good role="status" { p { @match name { Some(name) => { "Policy " b { (parts::name(name)) } " decides." }, None => "No policy matches: the defaults hold." } } }
        @if !rows.is_empty() { (table("Policies that were tried", &["Policy", "Why not"], &rows)) }
        @if let Some(policy) = holds.filter(|policy| policy.is_object()) { (parts::fold("Its settings", &parts::json(policy))) }
        @if let Some(caller) = explained.get("caller") { (parts::fold("The caller as it is understood", &parts::json(caller))) }
    }
}

fn uses(all: &[Value]) -> Markup {
    let rows: Vec<Markup> =
        all.iter().map(|one| limit(one, Some(html! { "each " (parts::name(text(one, "scope"))) }))).collect();
    html! {
        @if rows.is_empty() { (parts::empty("There are no limits and no budgets.", "[limits] and [[budgets]] in gateway.toml, or of a policy.")) }
        @else {
            (table("Limits and budgets", &["Limit", "Used", "#", "#Of", "Anew in", "For"], &rows))
            p.quiet { "What single callers have used stands on their pages." }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_decides_is_told_with_why_the_others_do_not() {
        let explained = json!({ "caller": { "user": "<u>" }, "policy": { "name": "<strict>" },
            "tried": [{ "policy": "other", "differs": "team is <red>" }, { "policy": "<strict>", "differs": null }] });
        let shown = told(&explained).into_string();
        assert!(!shown.contains("<strict>") && !shown.contains("<red>") && !shown.contains("<u>"), "{shown}");
        assert!(shown.contains("decides") && shown.contains("team is"), "{shown}");
        assert!(told(&json!({})).into_string().contains("No policy matches"));
        assert!(one(&json!({ "name": "p", "extends": ["base"], "mode": "enforce" })).into_string().contains("extends"));
    }
}

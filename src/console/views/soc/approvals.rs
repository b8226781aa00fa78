//! The inbox of those who decide: plans and tool calls that wait, and what was decided.

use maud::{Markup, html};
use serde::Deserialize;

use super::plan::{self, Shown};
use super::words::{action, caller, read, subject, thing};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::form::Act;
use crate::console::parts::number::count;
use crate::console::parts::table::List;
use crate::console::parts::time::{ago, now, until};
use crate::console::parts::{badge, empty, facts, fold, name};
use crate::console::query::{Query, part};
use crate::console::visit::Visit;
use crate::control::api::soc::approvals::Inbox;
use crate::control::api::words::Page as Listed;
use crate::types::soc::{PlanState, ToolHold, ToolRuling};

/// A tool call with what was said about it.
#[derive(Debug, Deserialize)]
struct Held {
    #[serde(flatten)]
    hold: ToolHold,
    ruling: Option<ToolRuling>,
}

/// The page.
pub(super) async fn inbox(visit: Visit) -> Answer {
    let inbox: Inbox = visit.get("/api/v1/approvals?limit=100").await?;
    let plans: Vec<Shown> = inbox.plans.into_iter().map(|plan| read(plan.0)).collect::<Result<_, _>>()?;
    let holds: Vec<Held> = inbox.tool_holds.into_iter().map(|hold| read(hold.0)).collect::<Result<_, _>>()?;
    let before = visit.query().get("before").unwrap_or_default();
    let state = visit.query().get("state").unwrap_or_default();
    let query = Query::default().with("limit", "50").with("state", state).with("before", before);
    let past: Listed<Shown> = visit.get(&query.on("/api/v1/plans")).await?;
    let calls: Listed<Held> = visit.get("/api/v1/tool-holds?limit=20").await?;
    let nothing = plans.is_empty() && holds.is_empty();
    let body = html! {
        div data-part="inbox" {
            @if nothing { (empty("Nothing waits for you.", "Plans that need approval and tool calls that are held come here, and expire if nobody rules on them.")) }
            @for hold in &holds { (call(&visit, hold)) }
            @for one in &plans { (card(&visit, one)) }
        }
        (history(&visit, past, &calls.items))
    };
    Ok(Page::new("/approvals", "Approvals", body).live(&["plan", "tool_hold"]))
}

fn card(visit: &Visit, plan: &Shown) -> Markup {
    let said = plan.says();
    html! {
        article.panel {
            h2 { a href={ "/console/plans/" (part(&plan.id)) } { @match &said { Some(body) => (name(&body.summary)), None => "A plan" } } }
            p.row {
                @if let Some(body) = &said { (badge::severity(body.severity)) (badge::likelihood(body.false_positive)) }
                span { "expires in " (until(plan.expires)) }
                span.quiet { "proposed by " (name(&plan.proposer)) " " (ago(plan.made)) ", needs " (plan.needed) @if plan.needed == 1 { " approval" } @else { " approvals" } }
                @if let Some(incident) = &plan.incident { span { "for " (thing(incident)) } }
            }
            @if let Some(body) = &said { (plan::steps(&body.steps)) (fold("What it rests on", &plan::claims(body))) }
            @if !plan.reasons.is_empty() { ul { @for reason in &plan.reasons { li.quiet { (name(reason)) } } } }
            (plan::rule(visit, plan))
        }
    }
}

fn call(visit: &Visit, held: &Held) -> Markup {
    let hold = &held.hold;
    let form = |what: &str, label: &str, class: &str| {
        Act::post(&format!("/api/v1/tool-holds/{}/{what}", part(&hold.id))).form(
            visit,
            "inline",
            &html! {
                label { "Why" input name="reason" required maxlength="1000" autocomplete="off"; }
                button class=(class) type="submit" { (label) }
            },
        )
    };
    html! {
        article.panel {
            h2 { "Tool call: " (name(&hold.tool)) }
            p.row { span { "refused in " (until(hold.expires)) } span.quiet { "waits since " (ago(hold.since)) ": a client waits for this answer" } }
            p { "An answer to " (thing(&hold.request.0)) " wants this tool called with " (count(hold.bytes)) " bytes of arguments. "
                "What is granted is this call with exactly these arguments (SHA-256 " code { (hold.arguments.get(..16).unwrap_or_default()) "…" } ")." }
            (facts(&caller(&hold.caller)))
            @if hold.expires > now() && visit.may_decide() { div.row.ruling { (form("grant", "Let it leave", "main")) (form("deny", "Refuse", "danger")) } }
        }
    }
}

fn history(visit: &Visit, past: Listed<Shown>, calls: &[Held]) -> Markup {
    let chosen = visit.query().get("state").unwrap_or_default();
    let list = List {
        part: "plans",
        caption: "Plans, newest first",
        heads: &["Plan", "State", "Steps", "Incident", "Proposed by", "Made"],
        rows: past.items.iter().map(row).collect(),
        next: past.next.map(|next| ("before", next)),
        none: ("There is no plan.", "The analyst makes them for incidents; people propose them over the API."),
    };
    html! {
        section { h2 { "All plans" }
            nav.grouping aria-label="State" {
                a href=(visit.query().with("state", "").on(visit.path())) aria-current=[chosen.is_empty().then_some("true")] { "all" } " "
                @for state in PlanState::ALL {
                    a href=(visit.query().with("state", state.name()).on(visit.path())) aria-current=[(chosen == state.name()).then_some("true")] { (state.name()) } " "
                }
            }
            (list.show(visit))
        }
        @if !calls.is_empty() { section { h2 { "Tool calls that waited" } (ruled(calls)) } }
    }
}

fn row(plan: &Shown) -> Markup {
    let said = plan.says();
    html! { tr data-id=(plan.id) {
        td { a href={ "/console/plans/" (part(&plan.id)) } { @match &said { Some(body) => (name(&body.summary)), None => (name(&plan.id)) } } }
        td { (badge::state(plan.state.name())) }
        td { @if let Some(body) = &said { @for step in &body.steps { (action(&step.action)) ": " (subject(step.target.as_ref())) br; } } }
        td { @match &plan.incident { Some(incident) => (thing(incident)), None => "–" } }
        td { (name(&plan.proposer)) }
        td { (ago(plan.made)) }
    } }
}

fn ruled(calls: &[Held]) -> Markup {
    let rows: Vec<Markup> = calls
        .iter()
        .map(|held| {
            html! { tr {
                td { (name(&held.hold.tool)) }
                td { (thing(&held.hold.request.0)) }
                td { @match &held.ruling {
                    Some(ruling) if ruling.granted => { span.badge.good { "let through" } " by " (name(&ruling.by)) },
                    Some(ruling) => { span.badge.bad { "refused" } " by " (name(&ruling.by)) },
                    None if held.hold.expires > now() => "waits",
                    None => "refused: nobody ruled on it in time",
                } }
                td { (ago(held.hold.since)) }
            } }
        })
        .collect();
    crate::console::parts::table::table("Tool calls that waited", &["Tool", "Request", "Ruling", "Since"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_plans_and_calls_in_lists_are_text() {
        let held = |ruling: serde_json::Value| -> Held {
            serde_json::from_value(serde_json::json!({
                "id": "tch_1", "request": "req_1", "caller": { "kind": "key" }, "tool": "<script>\u{202e}", "arguments": "a".repeat(64),
                "bytes": 12, "since": 1, "expires": 2, "ruling": ruling }))
            .unwrap()
        };
        let granted =
            serde_json::json!({ "id": "tch_1", "tool": "x", "arguments": "", "granted": true, "by": "<b>", "at": 1 });
        let shown = html! { (row(&plan::tests::hostile())) (ruled(&[held(granted), held(serde_json::Value::Null)])) }
            .into_string();
        assert!(!shown.contains("<script") && !shown.contains("<b>") && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("let through") && shown.contains("in time"), "{shown}");
    }
}

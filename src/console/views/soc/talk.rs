//! One conversation: its turns, what was decided on each, and its end.

use maud::{Markup, html};

use super::reading::Seen;
use super::reveal;
use super::words::{caller, decided, filtered, rule, thing};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::form::{Act, select};
use crate::console::parts::number::{count, dollars, micros};
use crate::console::parts::time::{ago, at, lasting};
use crate::console::parts::{badge, empty, facts, name, name_or_dash, tile};
use crate::console::query::{Query, part};
use crate::console::visit::Visit;
use crate::control::api::events::EventView;
use crate::control::api::orders::OrderView;
use crate::control::api::words::Page as Listed;
use crate::types::soc::ToolHold;

/// One request of the conversation.
struct Turn {
    id: String,
    time: i64,
    seen: Seen,
}

/// The page.
pub(super) async fn one(visit: Visit) -> Answer {
    let session = visit.raw("session").to_owned();
    let query = Query::default().with("session", &session).with("limit", "100");
    let query = visit.query().get("before").map_or_else(|| query.clone(), |before| query.with("before", before));
    let found: Listed<EventView> = visit.get(&query.on("/api/v1/events")).await?;
    let read = |event: EventView| Turn { id: event.id, time: event.time, seen: Seen::of(event.record) };
    let mut turns: Vec<Turn> = found.items.into_iter().map(read).collect();
    turns.reverse();
    let holds: Option<Listed<ToolHold>> = visit.maybe("/api/v1/tool-holds?limit=200").await?;
    let holds = holds.map_or_else(Vec::new, |holds| holds.items);
    let about = Query::default().with("kind", "session").with("name", &session).with("in_force", "true");
    let over: Listed<OrderView> = visit.get(&about.on("/api/v1/orders")).await?;
    let over = over.items;
    let body = html! {
        @if turns.is_empty() { (empty("Nothing is known of this session.", "Its requests may be past their time.")) }
        (ended(&visit, &over))
        (sums(&turns))
        div.columns {
            section { h2 { "Turns" }
                @if let Some(next) = &found.next {
                    p { a.button href=(visit.query().with("before", next).on(visit.path())) { "Earlier turns" } }
                }
                ol.turns data-part="turns" { @for one in &turns { (turn(one, &holds)) } }
            }
            div {
                @if let Some(last) = turns.last() { section.panel { h2 { "Who" } (facts(&caller(&last.seen.caller))) } }
                section.panel { h2 { "See also" }
                    ul.plain {
                        li { a href=(filtered("/console/alerts", "session", &session)) { "Alerts of this session" } }
                        li { a href=(filtered("/console/requests", "session", &session)) { "Requests of this session" } }
                    }
                }
                section.panel { h2 { "Words" }
                    p.quiet { "What is kept depends on the policy’s privacy mode. Who reads it, and why, stands in the audit trail." }
                    @let ids: Vec<std::sync::Arc<str>> = turns.iter().map(|turn| turn.id.as_str().into()).collect();
                    @if !ids.is_empty() { (reveal::form(&visit, &ids)) }
                }
                @if over.is_empty() { (end(&visit, &session)) }
            }
        }
    };
    let title = format!("Session {}", crate::types::visible(&session, 80));
    Ok(Page::new("/sessions", title, body).live(&["alert", "tool_hold"]).script("reveal.js"))
}

fn ended(visit: &Visit, orders: &[OrderView]) -> Markup {
    html! { @for order in orders { div.notice.bad {
        p { "A standing order is in force for this session: " (name(&order.reason)) " (" (name(&order.made_by)) ", " (ago(order.made)) ")"
            @if let Some(expires) = order.expires { ", ends " (ago(expires)) } "." }
        @if visit.may_decide() {
            (Act::delete(&format!("/api/v1/orders/{}", part(&order.id))).sure("The session can go on then.").button(visit, "Lift it", &[]))
        }
    } } }
}

fn sums(turns: &[Turn]) -> Markup {
    let sum = |of: &dyn Fn(&Seen) -> u64| turns.iter().map(|turn| of(&turn.seen)).fold(0, u64::saturating_add);
    let cost = turns.iter().filter_map(|turn| turn.seen.cost()).fold(0, i64::saturating_add);
    let span = turns.last().zip(turns.first()).map_or(0, |(last, first)| last.time.saturating_sub(first.time));
    let blocked = turns.iter().filter(|turn| turn.seen.decision == "block").count() as u64;
    let tokens = sum(&|seen| seen.usage.map_or(0, |usage| usage.input.saturating_add(usage.output)));
    html! {
        div.tiles {
            (tile("Turns shown", &count(turns.len() as u64), &format!("within {}", lasting(span)), None))
            (tile("Blocked", &count(blocked), "of these turns", None))
            (tile("Tokens", &count(tokens), "prompts and answers", None))
            (tile("Cost", &dollars(cost), "as far as models have prices", None))
            (tile("Time", &micros(sum(&|seen| seen.micros.total)), "of the requests together", None))
        }
    }
}

fn turn(turn: &Turn, holds: &[ToolHold]) -> Markup {
    let seen = &turn.seen;
    let findings = [&seen.input, &seen.output].into_iter().flatten().flat_map(|verdict| &verdict.findings);
    let own: Vec<&ToolHold> = holds.iter().filter(|hold| hold.request.0 == turn.id).collect();
    html! {
        li.panel.turn data-id=(turn.id) {
            p.row {
                a href={ "/console/requests/" (part(&turn.id)) } { (at(turn.time)) }
                (decided(&seen.decision)) span { (name(&seen.outcome.replace('_', " "))) }
                span.quiet { (name_or_dash(seen.model.as_deref())) }
            }
            p.quiet {
                "risk " (format!("{:.2}", seen.risk())) " · "
                @if let Some(usage) = seen.usage { (count(usage.input)) " + " (count(usage.output)) " tokens · " }
                @if let Some(cost) = seen.cost() { (dollars(cost)) " · " }
                (micros(seen.micros.total))
                @if seen.finish.as_deref() == Some("tool_calls") { " · asked for tools" }
            }
            @let found: Vec<_> = findings.take(8).collect();
            @if !found.is_empty() { ul.plain { @for one in found { li { (badge::severity(one.severity)) " " (rule(&one.rule.0)) " " (name(&one.title)) } } } }
            @for hold in own { p { "Tool call " b { (name(&hold.tool)) } " waited for a person, " (count(hold.bytes)) " bytes of arguments " (thing(&hold.id)) } }
        }
    }
}

/// The ways to end it: at once by an order, or by a plan that somebody else approves.
fn end(visit: &Visit, session: &str) -> Markup {
    let lives = [("3600", "1 hour"), ("86400", "1 day"), ("604800", "7 days"), ("", "until it is lifted")];
    html! {
        @if visit.may_decide() {
            section.panel { h2 { "End this session" }
                p.quiet { "A standing order, at once: what is running is cut, what comes is refused." }
                (Act::post("/api/v1/orders").sure("What is running of this session is cut, and what comes is refused.").form(visit, "stack", &html! {
                    input type="hidden" name="subject.kind" value="session";
                    input type="hidden" name="subject.name" value=(session);
                    input type="hidden" name="measure.kind" value="block";
                    (select("expires_in:number", "For", &lives, "3600"))
                    label { "Why" input name="reason" required maxlength="1000"; }
                    button.danger type="submit" { "End it" }
                }))
            }
        } @else if visit.may_work() {
            section.panel { h2 { "Propose to end this session" }
                p.quiet { "A plan: somebody else approves it." }
                (Act::post("/api/v1/plans").back("/console/approvals").form(visit, "stack", &html! {
                    input type="hidden" name="steps:json" value=(step(session));
                    label { "Why" input name="summary" required maxlength="1000"; }
                    button type="submit" { "Propose" }
                }))
            }
        }
    }
}

fn step(session: &str) -> String {
    serde_json::json!([{
        "action": { "kind": "terminate_session" }, "target": { "kind": "session", "name": session }, "lasts": 3600,
        "reason": "Proposed from the session's page.",
    }])
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_of_a_hostile_record_is_text() {
        let nasty = "<a href=javascript:x>\u{202e}";
        let record = serde_json::json!({ "decision": nasty, "outcome": nasty, "model": nasty, "cost": 5 });
        let one = Turn { id: "req_1".into(), time: 1, seen: Seen::of(record) };
        let shown = html! { (turn(&one, &[])) (sums(&[one])) }.into_string();
        assert!(!shown.contains("<a href=javascript") && !shown.contains('\u{202e}'), "{shown}");
    }

    #[test]
    fn a_session_is_ended_by_its_name_whatever_it_is() {
        let steps: serde_json::Value = serde_json::from_str(&step("a\"}]")).unwrap();
        assert_eq!(steps[0]["target"]["name"], "a\"}]");
    }
}

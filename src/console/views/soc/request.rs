//! One decision record: what was decided and why, where the time went, what it cost.

use maud::{Markup, html};

use super::alert::curl;
use super::reading::Seen;
use super::steps::{verdict, waterfall};
use super::words::{caller, thing};
use super::{reveal, words};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::number::{count, dollars, micros};
use crate::console::parts::time::{ago, at};
use crate::console::parts::{facts, fold, json, name, name_or_dash};
use crate::console::query::Query;
use crate::console::visit::Visit;
use crate::control::api::events::EventView;
use crate::types::Accounted;

/// The page.
pub(super) async fn one(visit: Visit) -> Answer {
    let path = format!("/api/v1/events/{}", visit.name("id"));
    let event: EventView = visit.get(&path).await?;
    let seen = Seen::of(event.record.clone());
    let body = html! {
        @if seen.is_unreadable { div.notice.unsure { p { "This record was written by another version: below is what it says." } } }
        (head(&event.id, event.time, &seen))
        div.columns {
            div {
                section.panel { h2 { "Verdict on the prompt" } @match &seen.input { Some(input) => (verdict(input)), None => p.quiet { "The prompt was not judged." } } }
                section.panel { h2 { "Verdict on the answer" } @match &seen.output { Some(output) => (verdict(output)), None => p.quiet { "No answer was judged." } } }
                section.panel { h2 { "Words" }
                    p.quiet { "What is kept depends on the policy’s privacy mode. Who reads it, and why, stands in the audit trail." }
                    (reveal::form(&visit, &[event.id.as_str().into()]))
                }
            }
            div {
                section.panel { h2 { "Where the time went" } (waterfall(&seen.micros)) }
                section.panel { h2 { "Who" } (facts(&caller(&seen.caller))) }
                (usage(&seen))
                (bytes(&seen))
                section.panel { h2 { "For machines" } (curl(&path)) (fold("The whole record", &json(&event.record))) }
            }
        }
    };
    Ok(Page::new("/requests", "Request", body).script("copy.js").script("reveal.js"))
}

fn head(id: &str, time: i64, seen: &Seen) -> Markup {
    let more = Query::default().with("from", &time.saturating_sub(300_000_000).to_string());
    let around = more.with("to", &time.saturating_add(300_000_000).to_string()).on("/console/requests");
    html! {
        p.row {
            (words::decided(&seen.decision)) span { (name(&seen.outcome.replace('_', " "))) }
            @if let Some(reason) = &seen.reason { code { (name(reason)) } }
            @if seen.monitoring_off { span.badge.unsure { "monitoring was off" } }
        }
        (facts(&[
            ("Id", html! { code { (name(id)) } }),
            ("When", html! { (at(time)) " " span.quiet { (ago(time)) } " " a href=(around) { "10 minutes around it" } }),
            ("Status", html! { @if seen.status == 0 { "none was sent" } @else { (seen.status) } }),
            ("Request", html! { (name(&seen.method)) " " code { (name(&seen.path)) } }),
            ("Model", name_or_dash(seen.model.as_deref())),
            ("Dialect", html! { (name_or_dash(seen.dialect.as_deref())) @if seen.stream { ", streamed" } }),
            ("Upstream", html! { (name_or_dash(seen.upstream.as_deref())) @if seen.attempts > 1 { ", " (seen.attempts) " attempts" } }),
            ("Policy", name_or_dash(seen.policy.as_deref())),
            ("Standing order", html! { @match &seen.order { Some(order) => (thing(order)), None => "–" } }),
            ("Answer ended", html! { @match &seen.finish { Some(finish) => (name(&finish.replace('_', " "))), None => "–" } }),
            ("Sent again", html! { @if seen.retry > 0 { "try " (seen.retry) " of the client library" } @else { "no" } }),
            ("Snapshot", html! { (seen.generation) }),
            ("Trace", name_or_dash(seen.traceparent.as_deref())),
            ("Rules on trial", html! { @for id in &seen.trial { (words::rule(id)) " " } @if seen.trial.is_empty() { "–" } }),
        ]))
    }
}

fn usage(seen: &Seen) -> Markup {
    html! {
        section.panel { h2 { "Tokens and cost" }
            @match seen.usage {
                None => p.quiet { "The provider counted none." },
                Some(usage) => (facts(&[
                    ("Prompt", html! { (count(usage.input)) @if usage.cached > 0 { " (" (count(usage.cached)) " from the cache)" } }),
                    ("Answer", html! { (count(usage.output)) @if usage.reasoning > 0 { " (" (count(usage.reasoning)) " of reasoning)" } }),
                    ("Counted by", html! { @if seen.estimated { "the gateway" } @else { "the provider" } }),
                    ("Cost", html! { @match seen.cost() { Some(cost) => (dollars(cost)), None => "the model has no price" } }),
                ])),
            }
        }
    }
}

fn bytes(seen: &Seen) -> Markup {
    let told = |one: &Accounted| {
        html! { (count(one.inspected)) " inspected, " (count(one.exempt)) " exempt, " (count(one.uninspected)) " uninspected" }
    };
    html! {
        section.panel { h2 { "Bytes" }
            (facts(&[
                ("To the model", told(&seen.request_bytes)),
                ("To the client", told(&seen.response_bytes)),
                ("Held back at most", html! { (count(seen.held_max)) }),
                ("Longest hold", html! { (micros(seen.micros.hold)) }),
            ]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_record_is_text() {
        let nasty = "'\"><svg onload=alert(1)>\u{2066}";
        let seen = Seen::of(serde_json::json!({
            "decision": nasty, "outcome": nasty, "reason": nasty, "method": nasty, "path": nasty, "model": nasty,
            "policy": nasty, "order": nasty, "trial": [nasty], "traceparent": nasty, "finish": nasty,
        }));
        assert!(!seen.is_unreadable);
        let shown = html! { (head(nasty, 1, &seen)) (usage(&seen)) (bytes(&seen)) }.into_string();
        assert!(!shown.contains("<svg") && !shown.contains('\u{2066}'), "{shown}");
    }
}

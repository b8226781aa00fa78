//! Words of requests: who reads them gives a reason, which stands in the audit trail before they are shown.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use super::alert_work::report;
use super::reading::Seen;
use super::texts;
use super::words::thing;
use crate::console::forms::Form;
use crate::console::layout::Page;
use crate::console::parts::form::csrf;
use crate::console::query::part;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::console::{Answer, Console};
use crate::control::api::events::{EventView, Revealed};

/// The form that asks for the words of one of these requests, the newest first.
pub(super) fn form(visit: &Visit, requests: &[Arc<str>]) -> Markup {
    html! {
        form.reveal.inline method="post" action="/console/texts" data-reveal="" {
            (csrf(visit))
            @match requests {
                [only] => input type="hidden" name="request" value=(only);,
                _ => label { "Request" select name="request" { @for id in requests.iter().rev() { option value=(id) { (id) } } } },
            }
            label { "Why you read them" input name="reason" required maxlength="1000" autocomplete="off"; }
            button type="submit" data-key="r" title="Show the words (r)" { "Show the words" }
        }
        div data-revealed="" aria-live="polite" {}
    }
}

/// The page that asks, for those without scripts and those who come back.
pub(super) async fn asked(visit: Visit) -> Answer {
    let request = visit.query().get("request").unwrap_or_default().to_owned();
    if request.is_empty() {
        return Err(Trouble::bad("Say of which request."));
    }
    let body = html! { p { "Of " (thing(&request)) } (form(&visit, &[request.as_str().into()])) };
    Ok(Page::new("/requests", "Words of a request", body).script("reveal.js"))
}

/// The words.
pub(super) async fn shown(State(console): State<Console>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let visit = match Visit::begin(&console, Request::from_parts(head.clone(), axum::body::Body::empty())).await {
        Ok(visit) => visit,
        Err(answer) => return answer,
    };
    let made = match Form::read(Request::from_parts(head, body)).await {
        Ok(form) => page(&visit, &form).await,
        Err(trouble) => Err(trouble),
    };
    made.map_or_else(|trouble| visit.tell(&trouble), |page| visit.render(page))
}

async fn page(visit: &Visit, form: &Form) -> Answer {
    if !bool::from(form.get("_csrf").as_bytes().ct_eq(visit.csrf().as_bytes())) {
        return Err(Trouble::forbidden(
            "This form is not from a page of your session: go back and load the page again.",
        ));
    }
    let id = form.get("request");
    let path = format!("/api/v1/events/{}", part(id));
    let event: EventView = visit.get(&path).await?;
    let kept: Revealed = visit.post(&format!("{path}/reveal"), &json!({ "reason": form.get("reason") })).await?;
    let seen = Seen::of(event.record);
    let body = html! {
        p { "Of " (thing(id)) ". That you read this stands in the audit trail." }
        div data-texts="" {
            (texts::all(&kept, seen.input.as_ref(), seen.output.as_ref(), seen.policy.as_deref()))
            @if visit.may_work() { (wrong(visit, id, &kept, &seen)) }
        }
    };
    Ok(Page::new("/requests", "Words of a request", body))
}

/// Reports for learning, with the words in place.
fn wrong(visit: &Visit, id: &str, kept: &Revealed, seen: &Seen) -> Markup {
    let Some(prompt) = kept.contents.iter().find(|one| one.direction == "input") else { return html! {} };
    let pieces = texts::pieces(prompt, seen.input.as_ref());
    // What something was found in, else what the user said last.
    let piece =
        pieces.iter().find(|one| !one.found.is_empty()).or_else(|| pieces.iter().rev().find(|one| one.role == "user"));
    let Some(piece) = piece.filter(|_| !prompt.places.is_empty()) else { return html! {} };
    let family = piece.found.first().map(|finding| finding.family.name()).unwrap_or_default();
    let back = format!("/console/requests/{}", part(id));
    let kind = if piece.found.is_empty() { "missed" } else { "false_alarm" };
    html! {
        details.fold { summary { "Judged wrongly? Report it to learning" } (report(visit, &back, kind, (id, family), (piece.text, piece.role))) }
    }
}

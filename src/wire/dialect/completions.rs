//! OpenAI completions (legacy).

use serde_json::json;

use super::answers::{first_finish, inner_field, no_calls, openai_usage, top_field, usage_json};
use super::choices::{self, end_error};
use super::parts::{self, harden_nothing, require_common};
use super::{Answer, Event, Request, Signs, Streaming, Template};
use crate::types::{Channel, ChannelKind, Role, Usage};
use crate::wire::answer::{Spot, Zone as Place};
use crate::wire::collect::Reading;
use crate::wire::json::{BadBody, Document, Kind};
use crate::wire::prompt::{At, Zone};
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At { zone: Zone::Top, role: Role::Parameter }, enter, require, harden: harden_nothing };

pub(super) static ANSWER: Answer =
    Answer { enter: answer_enter, usage: openai_usage, finish: first_finish, calls: no_calls, blocked };

pub(super) static STREAMING: Streaming = Streaming { sequential: false, note, flush, end_blocked, end_error };

fn enter(_: &Document<'_, '_>, at: At, visit: Visit<'_>) -> At {
    match (at.zone, visit.key) {
        (Zone::Top, "prompt") => At::value(Reading::Tokens, Role::User),
        (Zone::Top, "suffix") => At::value(Reading::Text, Role::User),
        (Zone::Top, _) => At::value(Reading::Field, Role::Parameter),
        (Zone::Turns | Zone::Turn | Zone::Value(_), _) => at,
    }
}

fn require(doc: &Document<'_, '_>) -> Result<(), BadBody> {
    require_common(doc, true)?;
    parts::require(doc, "prompt", true, &[Kind::String, Kind::Array, Kind::Null], "a string or an array")
}

fn answer_enter(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    match (at.zone, visit.key) {
        (Place::Top, "choices") => at.inside(Place::List),
        (Place::List, _) => at.choice(doc.get_u64(visit.value, "index"), visit.index).inside(Place::Entry),
        (Place::Entry, "text") => at.text(0, ChannelKind::Content, at.kind),
        (Place::Entry, "logprobs") => at.inside(Place::Tokens),
        (Place::Value(_), _) => inner_field(at, visit),
        _ => top_field(doc, at, visit),
    }
}

fn blocked(id: &str, model: &str, notice: &str, usage: Usage) -> Vec<u8> {
    let body = json!({
        "id": format!("cmpl-{id}"),
        "object": "text_completion",
        "created": 0,
        "model": model,
        "choices": [{ "index": 0, "text": notice, "logprobs": null, "finish_reason": "content_filter" }],
        "usage": usage_json(usage),
    });
    body.to_string().into_bytes()
}

fn note(doc: &Document<'_, '_>, signs: &mut Signs, template: &mut Template) {
    choices::note(doc, signs, template, |_, _, _, _| {});
}

fn flush(template: &Template, channel: Channel, text: &str, _: u64) -> Option<Event> {
    if channel.kind != ChannelKind::Content {
        return None;
    }
    let choice = json!({ "index": channel.choice, "text": text, "logprobs": null, "finish_reason": null });
    Some((None, choices::chunk(template, "text_completion", choice)))
}

fn end_blocked(template: &Template, _: &str, _: u64, _: Usage) -> Vec<u8> {
    choices::end_blocked(
        template,
        "text_completion",
        |index| json!({ "index": index, "text": "", "logprobs": null, "finish_reason": "content_filter" }),
    )
}

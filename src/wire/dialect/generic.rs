//! Any other JSON: every leaf is text of the user.

use serde_json::json;

use super::answers::{inner_field, no_calls, no_finish, openai_usage};
use super::choices::end_error;
use super::parts::{harden_nothing, require_nothing};
use super::{Answer, Event, Request, Signs, Streaming, Template};
use crate::types::{Channel, Role, Usage};
use crate::wire::answer::{Spot, Zone as Place};
use crate::wire::collect::Reading;
use crate::wire::json::Document;
use crate::wire::prompt::At;
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At::value(Reading::Text, Role::User), enter, require: require_nothing, harden: harden_nothing };

pub(super) static ANSWER: Answer =
    Answer { enter: answer_enter, usage: openai_usage, finish: no_finish, calls: no_calls, blocked };

pub(super) static STREAMING: Streaming = Streaming { sequential: false, note, flush, end_blocked, end_error };

fn enter(_: &Document<'_, '_>, at: At, _: Visit<'_>) -> At {
    at
}

fn answer_enter(_: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    match at.zone {
        Place::Value(_) => inner_field(at, visit),
        _ => at.other(Reading::Text),
    }
}

fn blocked(_: &str, _: &str, notice: &str, _: Usage) -> Vec<u8> {
    let error = json!({ "message": notice, "type": "content_filter", "param": null, "code": "content_filter" });
    json!({ "error": error }).to_string().into_bytes()
}

fn note(doc: &Document<'_, '_>, signs: &mut Signs, _: &mut Template) {
    signs.usage = openai_usage(doc, 0);
}

fn flush(_: &Template, _: Channel, _: &str, _: u64) -> Option<Event> {
    None
}

fn end_blocked(_: &Template, notice: &str, number: u64, _: Usage) -> Vec<u8> {
    end_error("content_filter", notice, number)
}

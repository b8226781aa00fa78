//! The lists of models of OpenAI and Anthropic. Requests have no body; one that has is read as text.

use serde_json::json;

use super::answers::{inner_field, no_calls, no_finish, no_usage, top_field};
use super::parts::{harden_nothing, require_nothing};
use super::{Answer, Request};
use crate::types::{Role, Usage};
use crate::wire::answer::{Spot, Zone as Place};
use crate::wire::collect::Reading;
use crate::wire::json::Document;
use crate::wire::prompt::At;
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request = Request {
    root: At::value(Reading::Text, Role::Parameter),
    enter,
    require: require_nothing,
    harden: harden_nothing,
};

pub(super) static ANSWER: Answer =
    Answer { enter: answer_enter, usage: no_usage, finish: no_finish, calls: no_calls, blocked };

fn enter(_: &Document<'_, '_>, at: At, _: Visit<'_>) -> At {
    at
}

fn answer_enter(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    match (at.zone, visit.key) {
        (Place::Top, "data") => at.inside(Place::List),
        (Place::List, _) => at.inside(Place::Entry),
        (Place::Value(_), _) => inner_field(at, visit),
        _ => top_field(doc, at, visit),
    }
}

fn blocked(_: &str, _: &str, _: &str, _: Usage) -> Vec<u8> {
    json!({ "object": "list", "data": [] }).to_string().into_bytes()
}

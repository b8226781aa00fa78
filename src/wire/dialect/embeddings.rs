//! OpenAI embeddings.

use serde_json::json;

use super::answers::{inner_field, no_calls, no_finish, openai_usage, top_field};
use super::parts::{self, harden_nothing, require_common};
use super::{Answer, Request};
use crate::types::{Role, Usage};
use crate::wire::answer::{Spot, Zone as Place};
use crate::wire::collect::Reading;
use crate::wire::json::{BadBody, Document, Kind};
use crate::wire::prompt::{At, Zone};
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At { zone: Zone::Top, role: Role::Parameter }, enter, require, harden: harden_nothing };

pub(super) static ANSWER: Answer =
    Answer { enter: answer_enter, usage: openai_usage, finish: no_finish, calls: no_calls, blocked };

fn enter(_: &Document<'_, '_>, at: At, visit: Visit<'_>) -> At {
    match (at.zone, visit.key) {
        (Zone::Top, "input") => At::value(Reading::Tokens, Role::User),
        (Zone::Top, _) => At::value(Reading::Field, Role::Parameter),
        (Zone::Turns | Zone::Turn | Zone::Value(_), _) => at,
    }
}

fn require(doc: &Document<'_, '_>) -> Result<(), BadBody> {
    require_common(doc, true)?;
    parts::require(doc, "input", true, &[Kind::String, Kind::Array], "a string or an array")
}

fn answer_enter(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    match (at.zone, visit.key) {
        (Place::Top, "data") => at.inside(Place::List),
        (Place::List, _) => at.inside(Place::Entry),
        (Place::Entry, "embedding") => at.other(Reading::Vector),
        (Place::Value(_), _) => inner_field(at, visit),
        _ => top_field(doc, at, visit),
    }
}

fn blocked(_: &str, model: &str, _: &str, usage: Usage) -> Vec<u8> {
    let usage = json!({ "prompt_tokens": usage.input, "total_tokens": usage.input });
    json!({ "object": "list", "data": [], "model": model, "usage": usage }).to_string().into_bytes()
}

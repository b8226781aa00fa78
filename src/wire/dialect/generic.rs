//! Any other JSON: every leaf is text of the user.

use serde_json::json;

use super::answers::{inner_field, no_finish, openai_usage};
use super::parts::{harden_nothing, require_nothing};
use super::{Answer, Request};
use crate::types::{Role, Usage};
use crate::wire::answer::{Spot, Zone as Place};
use crate::wire::collect::Reading;
use crate::wire::json::Document;
use crate::wire::prompt::At;
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At::value(Reading::Text, Role::User), enter, require: require_nothing, harden: harden_nothing };

pub(super) static ANSWER: Answer =
    Answer { enter: answer_enter, usage: openai_usage, finish: no_finish, blocked };

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

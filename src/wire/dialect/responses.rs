//! OpenAI responses: items in, items and typed events out.

use super::Request;
use super::parts::{self, part_role, prefix_field, require_common, turn_member, turn_role};
use crate::types::Role;
use crate::wire::collect::Reading;
use crate::wire::edit::Splice;
use crate::wire::json::{BadBody, Document, Kind};
use crate::wire::prompt::{At, Zone};
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At { zone: Zone::Top, role: Role::Parameter }, enter, require, harden };

fn enter(doc: &Document<'_, '_>, at: At, visit: Visit<'_>) -> At {
    match at.zone {
        Zone::Top => match visit.key {
            "input" => At { zone: Zone::Turns, role: Role::User },
            "instructions" => At { zone: Zone::Turn, role: Role::System },
            "tools" | "text" => At::value(Reading::Text, Role::Definition),
            "previous_response_id" | "conversation" => At::value(Reading::StateId, Role::Parameter),
            "prompt" => At::value(Reading::Text, Role::Parameter),
            _ => At::value(Reading::Field, Role::Parameter),
        },
        Zone::Turns => {
            let role = if doc.get(visit.value, "role").is_some() {
                turn_role(doc, visit.value)
            } else {
                part_role(doc, visit.value, Role::User)
            };
            At { zone: Zone::Turn, role }
        }
        Zone::Turn => turn_member(doc, at, visit),
        Zone::Value(_) => at,
    }
}

fn require(doc: &Document<'_, '_>) -> Result<(), BadBody> {
    require_common(doc, doc.get(0, "prompt").is_none())?;
    parts::require(doc, "input", false, &[Kind::String, Kind::Array, Kind::Null], "a string or an array of items")?;
    parts::require(doc, "instructions", false, &[Kind::String, Kind::Array, Kind::Null], "a string")
}

fn harden(doc: &Document<'_, '_>, message: &str) -> Option<Splice> {
    if let Some(list) = doc.get(0, "instructions").filter(|&value| doc.node(value).kind == Kind::Array) {
        let mut turn = br#"{"role":"system","content":"#.to_vec();
        turn.extend_from_slice(&crate::wire::json::text::quoted(message));
        turn.push(b'}');
        return Some(parts::prepend(doc, list, turn));
    }
    Some(prefix_field(doc, "instructions", message))
}

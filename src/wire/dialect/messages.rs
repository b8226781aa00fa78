//! Anthropic messages: content blocks, in requests and answers.

use super::Request;
use super::parts::{self, prefix_field, prepend, require_common, require_messages, turn_member};
use crate::types::Role;
use crate::wire::collect::Reading;
use crate::wire::edit::Splice;
use crate::wire::json::text::quoted;
use crate::wire::json::{BadBody, Document, Kind};
use crate::wire::prompt::{At, Zone};
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At { zone: Zone::Top, role: Role::Parameter }, enter, require, harden };

fn enter(doc: &Document<'_, '_>, at: At, visit: Visit<'_>) -> At {
    match at.zone {
        Zone::Top => match visit.key {
            "messages" => At { zone: Zone::Turns, role: Role::User },
            "system" => At { zone: Zone::Turn, role: Role::System },
            "tools" | "output_format" | "output_config" => At::value(Reading::Text, Role::Definition),
            _ => At::value(Reading::Field, Role::Parameter),
        },
        // Only two roles speak here; anything else a client invents is believed no more than a user.
        Zone::Turns => {
            let assistant = doc.get(visit.value, "role").is_some_and(|role| doc.is(role, "assistant"));
            At { zone: Zone::Turn, role: if assistant { Role::Assistant } else { Role::User } }
        }
        Zone::Turn => turn_member(doc, at, visit),
        Zone::Value(_) => at,
    }
}

fn require(doc: &Document<'_, '_>) -> Result<(), BadBody> {
    require_common(doc, true)?;
    parts::require(doc, "system", false, &[Kind::String, Kind::Array, Kind::Null], "a string or an array of blocks")?;
    require_messages(doc)
}

fn harden(doc: &Document<'_, '_>, message: &str) -> Option<Splice> {
    if let Some(blocks) = doc.get(0, "system").filter(|&value| doc.node(value).kind == Kind::Array) {
        let mut block = br#"{"type":"text","text":"#.to_vec();
        block.extend_from_slice(&quoted(message));
        block.push(b'}');
        return Some(prepend(doc, blocks, block));
    }
    Some(prefix_field(doc, "system", message))
}

//! OpenAI chat completions.

use super::Request;
use super::parts::{prepend, require_common, require_messages, turn_member, turn_role};
use crate::types::Role;
use crate::wire::collect::Reading;
use crate::wire::edit::Splice;
use crate::wire::json::text::quoted;
use crate::wire::json::{BadBody, Document};
use crate::wire::prompt::{At, Zone};
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At { zone: Zone::Top, role: Role::Parameter }, enter, require, harden };

fn enter(doc: &Document<'_, '_>, at: At, visit: Visit<'_>) -> At {
    match at.zone {
        Zone::Top => match visit.key {
            "messages" => At { zone: Zone::Turns, role: Role::User },
            "tools" | "functions" | "response_format" => At::value(Reading::Text, Role::Definition),
            "prediction" => At { zone: Zone::Turn, role: Role::Assistant },
            _ => At::value(Reading::Field, Role::Parameter),
        },
        Zone::Turns => At { zone: Zone::Turn, role: turn_role(doc, visit.value) },
        Zone::Turn => turn_member(doc, at, visit),
        Zone::Value(_) => at,
    }
}

fn require(doc: &Document<'_, '_>) -> Result<(), BadBody> {
    require_common(doc, true)?;
    require_messages(doc)
}

fn harden(doc: &Document<'_, '_>, message: &str) -> Option<Splice> {
    let mut turn = br#"{"role":"system","content":"#.to_vec();
    turn.extend_from_slice(&quoted(message));
    turn.push(b'}');
    Some(prepend(doc, doc.get(0, "messages")?, turn))
}

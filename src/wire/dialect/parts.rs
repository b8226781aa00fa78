//! What messages, items and content parts have in common in every dialect, and the checks of required fields.

use crate::types::Role;
use crate::wire::collect::Reading;
use crate::wire::edit::Splice;
use crate::wire::json::text::{escape_into, quoted};
use crate::wire::json::{BadBody, BadBodyKind, Document, Kind};
use crate::wire::prompt::{At, Zone};
use crate::wire::walk::Visit;

/// The role a message's `role` field names. Unknown ones are nobody's word.
pub(crate) fn turn_role(doc: &Document<'_, '_>, turn: u32) -> Role {
    match doc.get_str(turn, "role").as_deref() {
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some("assistant") => Role::Assistant,
        Some("tool" | "function") => Role::Tool,
        _ => Role::User,
    }
}

/// The role of an item or content part by its `type`, where that says more than the message it is in.
pub(crate) fn part_role(doc: &Document<'_, '_>, part: u32, role: Role) -> Role {
    let Some(kind) = doc.get_str(part, "type") else { return role };
    match kind.as_ref() {
        "search_result" | "document" | "mcp_list_tools" | "tool_reference" | "program_output" => Role::Tool,
        "tool_use" | "server_tool_use" | "mcp_tool_use" | "thinking" | "redacted_thinking" => Role::Assistant,
        "reasoning" | "compaction" | "program" | "output_text" => Role::Assistant,
        // A system-privileged block inside a user turn: whoever sends it, it is believed no more than a user.
        "mid_conv_system" => Role::User,
        kind if kind.ends_with("tool_result") || kind.ends_with("_output") => Role::Tool,
        kind if kind.ends_with("_call") || kind.ends_with("_request") => Role::Assistant,
        _ => role,
    }
}

/// The meaning of a member of a message, item or content part, or of an element of a list of those.
pub(crate) fn turn_member(doc: &Document<'_, '_>, at: At, visit: Visit<'_>) -> At {
    if visit.key.is_empty() {
        return At { zone: Zone::Turn, role: part_role(doc, visit.value, at.role) };
    }
    let kind = doc.node(visit.value).kind;
    let object = kind == Kind::Object;
    let turn = |role| At { zone: Zone::Turn, role };
    match visit.key {
        "content" | "text" | "refusal" | "thinking" | "reasoning" | "reasoning_content" | "summary" | "name"
        | "title" | "context" | "query" | "queries" | "code" | "operation" | "diff" | "transcript" | "tool_calls"
        | "function" | "custom" | "function_call" | "file" | "source" | "input_audio" | "audio" | "filename"
        | "role" | "type" | "status" | "detail" | "commands" | "instructions" | "prefix" | "cited_text"
        | "citations" | "annotations" | "sources" | "pattern" | "caller" => turn(at.role),
        // Content that names its own role is a nested message's; a user's part cannot raise itself.
        "output" | "results" | "outputs" | "logs" | "stdout" | "stderr" | "error" => turn(Role::Tool),
        "action" => turn(at.role),
        "arguments" if object => At::value(Reading::Text, at.role),
        "arguments" => At::value(Reading::Json, at.role),
        "input" if kind == Kind::Array => turn(at.role),
        "input" => At::value(Reading::Text, at.role),
        "image_url" if object => turn(at.role),
        "image_url" | "url" | "file_url" => At::value(Reading::Url, at.role),
        "file_data" => At::value(Reading::Media, at.role),
        "data" if doc.get(visit.parent, "type").is_some_and(|t| doc.is(t, "redacted_thinking")) => {
            At::value(Reading::Encrypted, at.role)
        }
        "data" if doc.get(visit.parent, "type").is_some_and(|t| doc.is(t, "text")) => At::value(Reading::Text, at.role),
        "data" => At::value(Reading::Media, at.role),
        "result" if doc.get(visit.parent, "type").is_some_and(|t| doc.is(t, "image_generation_call")) => {
            At::value(Reading::Media, at.role)
        }
        "encrypted_content" | "signature" | "encrypted_index" => At::value(Reading::Encrypted, Role::Parameter),
        "file_id" => At::value(Reading::StateId, Role::Parameter),
        "id" if doc.get(visit.parent, "type").is_some_and(|t| doc.is(t, "item_reference")) => {
            At::value(Reading::StateId, Role::Parameter)
        }
        "tools" => At::value(Reading::Text, at.role),
        _ => At::value(Reading::Text, if at.role == Role::Tool { Role::Tool } else { Role::Parameter }),
    }
}

/// Requires `model` to be a string and `stream`, if there, a boolean.
pub(crate) fn require_common(doc: &Document<'_, '_>, model_required: bool) -> Result<(), BadBody> {
    if model_required || doc.get(0, "model").is_some_and(|value| doc.node(value).kind != Kind::Null) {
        require(doc, "model", true, &[Kind::String], "a string")?;
    }
    require(doc, "stream", false, &[Kind::True, Kind::False, Kind::Null], "a boolean")
}

/// Requires a top-level field to be of one of some kinds.
pub(crate) fn require(
    doc: &Document<'_, '_>,
    field: &str,
    required: bool,
    kinds: &[Kind],
    expected: &str,
) -> Result<(), BadBody> {
    match doc.get(0, field) {
        None if required => {
            Err(BadBody::field(BadBodyKind::Missing, 0, field, format!("missing required parameter: '{field}'")))
        }
        Some(value) if !kinds.contains(&doc.node(value).kind) => {
            let message = format!("invalid type for '{field}': expected {expected}");
            Err(BadBody::field(BadBodyKind::WrongType, doc.node(value).start, field, message))
        }
        _ => Ok(()),
    }
}

/// Requires `messages` to be an array of objects.
pub(crate) fn require_messages(doc: &Document<'_, '_>) -> Result<(), BadBody> {
    require(doc, "messages", true, &[Kind::Array], "an array of messages")?;
    let Some(messages) = doc.get(0, "messages") else { return Ok(()) };
    match doc.elements(messages).enumerate().find(|&(_, message)| doc.node(message).kind != Kind::Object) {
        None => Ok(()),
        Some((position, message)) => {
            let field = format!("messages[{position}]");
            let message_text = format!("invalid type for '{field}': expected an object");
            Err(BadBody::field(BadBodyKind::WrongType, doc.node(message).start, &field, message_text))
        }
    }
}

/// Nothing is required.
pub(crate) fn require_nothing(_: &Document<'_, '_>) -> Result<(), BadBody> {
    Ok(())
}

/// The dialect has no place for a system message.
pub(crate) fn harden_nothing(_: &Document<'_, '_>, _: &str) -> Option<Splice> {
    None
}

/// Adds an element before the first one of an array.
pub(crate) fn prepend(doc: &Document<'_, '_>, array: u32, mut element: Vec<u8>) -> Splice {
    if doc.elements(array).next().is_some() {
        element.push(b',');
    }
    let at = doc.node(array).start.saturating_add(1);
    Splice { start: at, end: at, bytes: element }
}

/// Puts text before a string field's own, replaces its `null`, or adds the field to the body.
pub(crate) fn prefix_field(doc: &Document<'_, '_>, field: &str, message: &str) -> Splice {
    let Some(value) = doc.get(0, field) else {
        let mut bytes = quoted(field);
        bytes.push(b':');
        bytes.extend_from_slice(&quoted(message));
        if doc.members(0).next().is_some() {
            bytes.push(b',');
        }
        let at = doc.node(0).start.saturating_add(1);
        return Splice { start: at, end: at, bytes };
    };
    let node = doc.node(value);
    if node.kind != Kind::String {
        return Splice { start: node.start, end: node.end, bytes: quoted(message) };
    }
    let mut bytes = Vec::with_capacity(message.len());
    escape_into(message, &mut bytes);
    bytes.extend_from_slice(b"\\n\\n");
    Splice { start: node.start, end: node.start, bytes }
}

//! Anthropic messages: content blocks, in requests and answers.

use serde_json::json;

use super::answers::{anthropic_usage, inner_field, top_field};
use super::parts::{self, prefix_field, prepend, require_common, require_messages, turn_member};
use super::{Answer, Request};
use crate::types::{Channel, ChannelKind, FinishReason, Role, Usage};
use crate::wire::answer::{PieceKind, Spot, Zone as Place};
use crate::wire::collect::Reading;
use crate::wire::edit::Splice;
use crate::wire::json::text::quoted;
use crate::wire::json::{BadBody, Document, Kind};
use crate::wire::prompt::{At, Zone};
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At { zone: Zone::Top, role: Role::Parameter }, enter, require, harden };

pub(super) static ANSWER: Answer = Answer { enter: answer_enter, usage: anthropic_usage, finish, blocked };

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

fn answer_enter(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    match at.zone {
        Place::Top => {
            let index = || doc.get_u64(visit.parent, "index").and_then(|i| u32::try_from(i).ok()).unwrap_or(0);
            match visit.key {
                "content" => at.inside(Place::List),
                "message" => Spot { kind: PieceKind::Copy, ..at },
                "content_block" => at.block(doc, visit.value, index()),
                "delta" => Spot { channel: Channel { part: index(), ..at.channel }, ..at }.inside(Place::Inside),
                _ => top_field(doc, at, visit),
            }
        }
        Place::List => at.block(doc, visit.value, visit.index),
        Place::Entry => block_member(doc, at, visit),
        Place::Inside => delta_member(doc, at, visit),
        Place::Parts | Place::Call | Place::Tokens => at,
        Place::Value(_) => inner_field(at, visit),
    }
}

/// A member of a content block.
fn block_member(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    let copy = Spot { zone: Place::Value(Reading::Text), kind: PieceKind::Copy, ..at };
    let is = |kind: &str| doc.get(visit.parent, "type").is_some_and(|t| doc.is(t, kind));
    match visit.key {
        "text" | "thinking" => at.inside(Place::Value(Reading::Text)),
        "signature" => at.other(Reading::Encrypted),
        "data" if is("redacted_thinking") => at.other(Reading::Encrypted),
        "name" | "input" => copy,
        _ => top_field(doc, at, visit),
    }
}

/// A member of an event's `delta`.
fn delta_member(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    let part = at.channel.part;
    match visit.key {
        "text" => at.text(part, ChannelKind::Content, PieceKind::Delta),
        "thinking" => at.text(part, ChannelKind::Reasoning, PieceKind::Delta),
        "partial_json" => at.text(part, ChannelKind::ToolCall, PieceKind::Delta),
        "signature" => at.other(Reading::Encrypted),
        unknown if doc.node(visit.value).kind == Kind::String && !matches!(unknown, "type" | "stop_reason" | "stop_sequence") => {
            at.text(super::answers::part_of_name(unknown), ChannelKind::Other, PieceKind::Delta)
        }
        _ => top_field(doc, at, visit),
    }
}

impl Spot {
    /// A content block: its channel by its type.
    fn block(self, doc: &Document<'_, '_>, block: u32, part: u32) -> Self {
        let kind = match doc.get_str(block, "type").as_deref() {
            Some("text") => ChannelKind::Content,
            Some("thinking" | "redacted_thinking") => ChannelKind::Reasoning,
            Some("tool_use" | "server_tool_use" | "mcp_tool_use") => ChannelKind::ToolCall,
            _ => ChannelKind::Other,
        };
        Self { zone: Place::Entry, channel: Channel { choice: 0, part, kind }, kind: self.kind }
    }
}

/// A `stop_reason` in neutral words.
pub(crate) fn stop_reason(word: &str) -> FinishReason {
    match word {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

fn finish(doc: &Document<'_, '_>) -> Option<FinishReason> {
    doc.get_str(0, "stop_reason").map(|word| stop_reason(&word))
}

fn blocked(id: &str, model: &str, notice: &str, usage: Usage) -> Vec<u8> {
    let body = json!({
        "id": format!("msg_{id}"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": "refusal",
        "stop_sequence": null,
        "stop_details": { "type": "refusal", "category": null, "explanation": notice },
        "usage": { "input_tokens": usage.input, "output_tokens": usage.output },
    });
    body.to_string().into_bytes()
}

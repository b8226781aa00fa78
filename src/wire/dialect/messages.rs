//! Anthropic messages: content blocks, in requests and answers.

use serde_json::json;

use super::answers::{anthropic_usage, inner_field, top_field};
use super::parts::{self, prefix_field, prepend, require_common, require_messages, turn_member};
use super::{Answer, Event, Request, Said, Select, Signs, Streaming, Template};
use crate::types::{Channel, ChannelKind, FinishReason, Role, Usage};
use crate::wire::answer::{PieceKind, Spot, Zone as Place};
use crate::wire::calls::WholeCall;
use crate::wire::collect::Reading;
use crate::wire::edit::Splice;
use crate::wire::json::text::quoted;
use crate::wire::json::{BadBody, Document, Kind};
use crate::wire::prompt::{At, Zone};
use crate::wire::sse::SseEvent;
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At { zone: Zone::Top, role: Role::Parameter }, enter, require, harden };

pub(super) static ANSWER: Answer = Answer { enter: answer_enter, usage: anthropic_usage, finish, calls, blocked };

pub(super) static STREAMING: Streaming = Streaming { sequential: true, note, flush, end_blocked, end_error };

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
        unknown
            if doc.node(visit.value).kind == Kind::String
                && !matches!(unknown, "type" | "stop_reason" | "stop_sequence") =>
        {
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

fn calls(doc: &Document<'_, '_>) -> Vec<WholeCall> {
    let blocks = doc.get(0, "content").into_iter().flat_map(|content| doc.elements(content));
    let is_call = |block: &u32| Spot::TOP.block(doc, *block, 0).channel.kind == ChannelKind::ToolCall;
    blocks.filter(is_call).map(|block| WholeCall::of(doc, block, &["input"])).collect()
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

fn note(doc: &Document<'_, '_>, signs: &mut Signs, template: &mut Template) {
    let index = doc.get_u64(0, "index").and_then(|i| u32::try_from(i).ok()).unwrap_or(0);
    match doc.get_str(0, "type").unwrap_or_default().as_ref() {
        "message_start" => {
            if let Some(message) = doc.get(0, "message") {
                template.started = true;
                template.id = doc.get_str(message, "id").unwrap_or_default().into_owned();
                template.model = doc.get_str(message, "model").unwrap_or_default().into_owned();
                signs.usage = anthropic_usage(doc, message);
            }
        }
        "content_block_start" => {
            template.opens(index);
            if let Some(block) = doc.get(0, "content_block") {
                let spot = Spot::TOP.block(doc, block, index);
                if spot.channel.kind == ChannelKind::ToolCall {
                    signs.begins.push((spot.channel, String::new()));
                    // An empty object where the arguments come in fragments.
                    let input = doc.get(block, "input").filter(|&input| doc.members(input).next().is_some());
                    signs.says.extend(input.map(|input| (spot.channel, Said::Arguments(doc.said(input)))));
                }
            }
        }
        "content_block_delta" => {
            let Some(delta) = doc.get(0, "delta") else { return };
            for (key, value) in doc.members(delta) {
                let name = doc.string(key);
                if doc.node(value).kind == Kind::String
                    && !matches!(name.as_ref(), "type" | "text" | "thinking" | "partial_json")
                {
                    let part = super::answers::part_of_name(&name);
                    template.name(Channel { choice: 0, part, kind: ChannelKind::Other }, &name, index);
                }
            }
        }
        "content_block_stop" => {
            signs.ends.push(Select::Part(index));
            template.ends(index);
        }
        "message_delta" => {
            let reason = doc.get(0, "delta").and_then(|delta| doc.get_str(delta, "stop_reason"));
            signs.finish = reason.map(|word| stop_reason(&word));
            signs.usage = anthropic_usage(doc, 0);
        }
        "message_stop" | "error" => {
            signs.terminal = true;
            signs.ends.push(Select::All);
        }
        _ => {}
    }
}

fn flush(template: &Template, channel: Channel, text: &str, _: u64) -> Option<Event> {
    let (index, delta) = match channel.kind {
        ChannelKind::Content => (channel.part, json!({ "type": "text_delta", "text": text })),
        ChannelKind::Reasoning => (channel.part, json!({ "type": "thinking_delta", "thinking": text })),
        ChannelKind::Other => {
            let (name, index) = template.name_of(channel)?;
            (index, serde_json::Value::Object([(name.to_owned(), json!(text))].into_iter().collect()))
        }
        ChannelKind::Refusal | ChannelKind::ToolCall => return None,
    };
    let data = json!({ "type": "content_block_delta", "index": index, "delta": delta });
    Some((Some("content_block_delta".to_owned()), data))
}

fn end_blocked(template: &Template, notice: &str, _: u64, usage: Usage) -> Vec<u8> {
    let mut out = Vec::new();
    let mut event = |name: &str, data: serde_json::Value| {
        SseEvent::write(Some(name.as_bytes()), data.to_string().as_bytes(), &mut out);
    };
    if !template.started {
        let message = json!({
            "id": "msg_portcullis", "type": "message", "role": "assistant", "model": "", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": usage.input, "output_tokens": 0 },
        });
        event("message_start", json!({ "type": "message_start", "message": message }));
    }
    for index in &template.open {
        event("content_block_stop", json!({ "type": "content_block_stop", "index": index }));
    }
    let details = json!({ "type": "refusal", "category": null, "explanation": notice });
    let delta = json!({ "stop_reason": "refusal", "stop_sequence": null, "stop_details": details });
    let usage = json!({ "output_tokens": usage.output });
    event("message_delta", json!({ "type": "message_delta", "delta": delta, "usage": usage }));
    event("message_stop", json!({ "type": "message_stop" }));
    out
}

fn end_error(code: &str, message: &str, _: u64) -> Vec<u8> {
    let error = json!({ "type": "api_error", "message": message, "code": code });
    let mut out = Vec::new();
    SseEvent::write(Some(b"error"), json!({ "type": "error", "error": error }).to_string().as_bytes(), &mut out);
    out
}

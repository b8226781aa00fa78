//! OpenAI chat completions.

use serde_json::json;

use super::answers::{first_finish, inner_field, openai_usage, part_of_name, top_field, usage_json};
use super::choices::{self, end_error};
use super::parts::{prepend, require_common, require_messages, turn_member, turn_role};
use super::{Answer, Event, Request, Signs, Streaming, Template};
use crate::types::{Channel, ChannelKind, Role, Usage};
use crate::wire::answer::{PieceKind, Spot, Zone as Place};
use crate::wire::calls::WholeCall;
use crate::wire::collect::Reading;
use crate::wire::edit::Splice;
use crate::wire::json::text::quoted;
use crate::wire::json::{BadBody, Document, Kind};
use crate::wire::prompt::{At, Zone};
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At { zone: Zone::Top, role: Role::Parameter }, enter, require, harden };

pub(super) static ANSWER: Answer =
    Answer { enter: answer_enter, usage: openai_usage, finish: first_finish, calls, blocked };

pub(super) static STREAMING: Streaming = Streaming { sequential: false, note, flush, end_blocked, end_error };

/// The part of a choice that is a legacy `function_call`; `tool_calls` have their index.
pub(crate) const FUNCTION_CALL: u32 = u32::MAX;
/// The part of a choice's audio transcript.
pub(crate) const TRANSCRIPT: u32 = 1;

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

fn answer_enter(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    match at.zone {
        Place::Top => match visit.key {
            "choices" => at.inside(Place::List),
            _ => top_field(doc, at, visit),
        },
        Place::List => at.choice(doc.get_u64(visit.value, "index"), visit.index).inside(Place::Entry),
        Place::Entry => match visit.key {
            "message" | "delta" => at.inside(Place::Inside),
            "logprobs" => at.inside(Place::Tokens),
            _ => top_field(doc, at, visit),
        },
        Place::Inside => inside(doc, at, visit),
        Place::Parts => {
            let part = doc.get_u64(visit.value, "index").and_then(|index| u32::try_from(index).ok());
            at.call(part.unwrap_or(visit.index))
        }
        Place::Call => match visit.key {
            "function" | "custom" => at,
            "arguments" => Spot { zone: Place::Value(Reading::Json), kind: PieceKind::Copy, ..at },
            "name" | "input" => Spot { zone: Place::Value(Reading::Text), kind: PieceKind::Copy, ..at },
            _ => top_field(doc, at, visit),
        },
        Place::Tokens => at,
        Place::Value(_) => inner_field(at, visit),
    }
}

/// A member of a message or delta.
fn inside(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    let text = |part, kind| at.text(part, kind, at.kind);
    let kind = doc.node(visit.value).kind;
    match visit.key {
        "content" => text(0, ChannelKind::Content),
        "refusal" => text(0, ChannelKind::Refusal),
        "reasoning_content" => text(0, ChannelKind::Reasoning),
        "reasoning" if kind == Kind::String => text(1, ChannelKind::Reasoning),
        "tool_calls" => at.inside(Place::Parts),
        "function_call" => at.call(FUNCTION_CALL),
        "audio" => at.inside(Place::Inside),
        "transcript" => text(TRANSCRIPT, ChannelKind::Other),
        "data" => at.other(Reading::Media),
        "role" | "id" | "name" => at.other(Reading::Field),
        // A field nobody defines may still carry a text in parts.
        unknown if kind == Kind::String => text(part_of_name(unknown), ChannelKind::Other),
        _ => top_field(doc, at, visit),
    }
}

fn calls(doc: &Document<'_, '_>) -> Vec<WholeCall> {
    let mut found = Vec::new();
    for choice in doc.get(0, "choices").into_iter().flat_map(|choices| doc.elements(choices)) {
        for message in ["message", "delta"].iter().filter_map(|key| doc.get(choice, key)) {
            for call in doc.get(message, "tool_calls").into_iter().flat_map(|calls| doc.elements(calls)) {
                let inside = doc.get(call, "function").or_else(|| doc.get(call, "custom")).unwrap_or(call);
                found.push(WholeCall::of(doc, inside, &["arguments", "input"]));
            }
            let legacy = doc.get(message, "function_call").filter(|&call| doc.node(call).kind == Kind::Object);
            found.extend(legacy.map(|call| WholeCall::of(doc, call, &["arguments"])));
        }
    }
    found
}

fn blocked(id: &str, model: &str, notice: &str, usage: Usage) -> Vec<u8> {
    let body = json!({
        "id": format!("chatcmpl-{id}"),
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": null, "refusal": notice },
            "logprobs": null,
            "finish_reason": "content_filter",
        }],
        "usage": usage_json(usage),
    });
    body.to_string().into_bytes()
}

fn note(doc: &Document<'_, '_>, signs: &mut Signs, template: &mut Template) {
    choices::note(doc, signs, template, |choice, index, signs, template| {
        let Some(delta) = doc.get(choice, "delta") else { return };
        for (key, value) in doc.members(delta) {
            match (doc.string(key).as_ref(), doc.node(value).kind) {
                ("tool_calls", Kind::Array) => {
                    for (position, call) in doc.elements(value).enumerate() {
                        let part = doc.get_u64(call, "index").unwrap_or(position as u64);
                        let part = u32::try_from(part).unwrap_or_else(|_| u32::try_from(position).unwrap_or(0));
                        signs
                            .begins
                            .push((Channel { choice: index, part, kind: ChannelKind::ToolCall }, String::new()));
                    }
                }
                ("function_call", Kind::Object) => {
                    let channel = Channel { choice: index, part: FUNCTION_CALL, kind: ChannelKind::ToolCall };
                    signs.begins.push((channel, String::new()));
                }
                ("content" | "refusal" | "reasoning_content" | "reasoning" | "role" | "id" | "name", _) => {}
                (name, Kind::String) => {
                    let channel = Channel { choice: index, part: part_of_name(name), kind: ChannelKind::Other };
                    template.name(channel, name, 0);
                }
                _ => {}
            }
        }
    });
}

fn flush(template: &Template, channel: Channel, text: &str, _: u64) -> Option<Event> {
    let delta = match (channel.kind, channel.part) {
        (ChannelKind::Content, _) => json!({ "content": text }),
        (ChannelKind::Refusal, _) => json!({ "refusal": text }),
        (ChannelKind::Reasoning, 0) => json!({ "reasoning_content": text }),
        (ChannelKind::Reasoning, _) => json!({ "reasoning": text }),
        (ChannelKind::Other, TRANSCRIPT) => json!({ "audio": { "transcript": text } }),
        (ChannelKind::Other, _) => {
            let (name, _) = template.name_of(channel)?;
            serde_json::Value::Object([(name.to_owned(), json!(text))].into_iter().collect())
        }
        (ChannelKind::ToolCall, _) => return None,
    };
    let choice = json!({ "index": channel.choice, "delta": delta, "logprobs": null, "finish_reason": null });
    Some((None, choices::chunk(template, "chat.completion.chunk", choice)))
}

fn end_blocked(template: &Template, notice: &str, _: u64, _: Usage) -> Vec<u8> {
    choices::end_blocked(template, "chat.completion.chunk", |index| {
        let delta = if notice.is_empty() { json!({}) } else { json!({ "refusal": notice }) };
        json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": "content_filter" })
    })
}

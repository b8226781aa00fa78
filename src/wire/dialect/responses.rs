//! OpenAI responses: items in, items and typed events out.

use serde_json::json;

use super::answers::{inner_field, openai_usage, part_of_name, top_field};
use super::parts::{self, part_role, prefix_field, require_common, turn_member, turn_role};
use super::{Answer, Event, Request, Said, Select, Signs, Streaming, Template};
use crate::types::{Channel, ChannelKind, FinishReason, Role, Usage};
use crate::wire::answer::{PieceKind, Spot, Zone as Place};
use crate::wire::calls::WholeCall;
use crate::wire::collect::Reading;
use crate::wire::edit::Splice;
use crate::wire::json::{BadBody, Document, Kind};
use crate::wire::prompt::{At, Zone};
use crate::wire::sse::SseEvent;
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At { zone: Zone::Top, role: Role::Parameter }, enter, require, harden };

pub(super) static ANSWER: Answer = Answer { enter: answer_enter, usage: openai_usage, finish, calls, blocked };

pub(super) static STREAMING: Streaming = Streaming { sequential: true, note, flush, end_blocked, end_error };

/// Summaries of reasoning are parts of their item from this number on; its contents count from 0.
pub(crate) const SUMMARY: u32 = 1 << 16;

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

/// The channel that an event's `type` and indices name.
pub(crate) fn event_channel(doc: &Document<'_, '_>, event: u32) -> Channel {
    let index = |field| doc.get_u64(event, field).and_then(|i| u32::try_from(i).ok()).unwrap_or(0);
    let name = doc.get_str(event, "type").unwrap_or_default();
    let (part, kind) = match name.strip_prefix("response.").and_then(|rest| rest.rsplit_once('.')) {
        Some(("output_text", _)) => (index("content_index"), ChannelKind::Content),
        Some(("refusal", _)) => (index("content_index"), ChannelKind::Refusal),
        Some(("reasoning_text", _)) => (index("content_index"), ChannelKind::Reasoning),
        Some(("reasoning_summary_text", _)) => (index("summary_index").saturating_add(SUMMARY), ChannelKind::Reasoning),
        Some((
            "function_call_arguments"
            | "custom_tool_call_input"
            | "mcp_call_arguments"
            | "code_interpreter_call_code"
            | "shell_call_command"
            | "apply_patch_call_operation_diff",
            _,
        )) => (0, ChannelKind::ToolCall),
        Some((other, _)) => (part_of_name(other), ChannelKind::Other),
        None => (0, ChannelKind::Other),
    };
    Channel { choice: index("output_index"), part, kind }
}

fn answer_enter(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    let copy = Spot { kind: PieceKind::Copy, ..at };
    match at.zone {
        Place::Top => top(doc, at, visit),
        Place::List => at.choice(None, visit.index).item(doc, visit.value),
        Place::Entry => match visit.key {
            "content" => at.inside(Place::Parts),
            "summary" => {
                let channel = Channel { part: SUMMARY, kind: ChannelKind::Reasoning, ..at.channel };
                Spot { zone: Place::Parts, channel, kind: at.kind }
            }
            "arguments" => Spot { zone: Place::Value(Reading::Json), ..copy },
            "name" | "input" | "code" | "action" | "operation" => Spot { zone: Place::Value(Reading::Text), ..copy },
            "encrypted_content" => at.other(Reading::Encrypted),
            "result" => at.other(Reading::Media),
            _ => top_field(doc, at, visit),
        },
        Place::Parts => {
            let part = at.channel.part.saturating_add(visit.index);
            Spot { zone: Place::Inside, channel: Channel { part, ..at.channel }, kind: at.kind }
        }
        Place::Inside => match visit.key {
            "text" => at.inside(Place::Value(Reading::Text)),
            "refusal" => at.text(at.channel.part, ChannelKind::Refusal, at.kind),
            "logprobs" => at.inside(Place::Tokens),
            "data" => at.other(Reading::Media),
            _ => top_field(doc, at, visit),
        },
        Place::Call | Place::Tokens => at,
        Place::Value(_) => inner_field(at, visit),
    }
}

/// A member of a response, or of an event.
fn top(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    let string = doc.node(visit.value).kind == Kind::String;
    let event =
        || Spot { zone: Place::Value(Reading::Text), channel: event_channel(doc, visit.parent), kind: PieceKind::Copy };
    match visit.key {
        "output" => at.inside(Place::List),
        "response" => Spot { kind: PieceKind::Copy, ..at },
        "item" => Spot { channel: event().channel, kind: PieceKind::Copy, ..at }.item(doc, visit.value),
        "part" => {
            let index = |field| doc.get_u64(visit.parent, field).and_then(|i| u32::try_from(i).ok());
            let summary = index("summary_index").map(|i| i.saturating_add(SUMMARY));
            let part = index("content_index").or(summary).unwrap_or(0);
            let thinks = doc
                .get_str(visit.value, "type")
                .is_some_and(|t| t.starts_with("reasoning") || t.starts_with("summary"));
            let kind = if thinks { ChannelKind::Reasoning } else { ChannelKind::Content };
            let channel = Channel { choice: event().channel.choice, part, kind };
            Spot { zone: Place::Inside, channel, kind: PieceKind::Copy }
        }
        "delta" if doc.get(visit.parent, "type").is_some_and(|t| doc.is(t, "response.audio.delta")) => {
            at.other(Reading::Media)
        }
        "delta" => Spot { kind: PieceKind::Delta, ..event() },
        "text" | "refusal" | "input" | "code" | "transcript" | "command" | "diff"
            if string && is_event(doc, visit.parent) =>
        {
            event()
        }
        "arguments" if string => Spot { zone: Place::Value(Reading::Json), ..event() },
        "logprobs" => event().inside(Place::Tokens),
        "partial_image_b64" => at.other(Reading::Media),
        "previous_response_id" => at.other(Reading::StateId),
        _ => top_field(doc, at, visit),
    }
}

fn is_event(doc: &Document<'_, '_>, object: u32) -> bool {
    doc.get(object, "sequence_number").is_some() || doc.get(object, "type").is_some()
}

impl Spot {
    /// An output item: whose text its parts are, by its type.
    fn item(self, doc: &Document<'_, '_>, item: u32) -> Self {
        let kind = match doc.get_str(item, "type").as_deref() {
            Some("message") => ChannelKind::Content,
            Some("reasoning") => ChannelKind::Reasoning,
            Some(kind) if kind.ends_with("_call") => ChannelKind::ToolCall,
            Some("mcp_approval_request" | "program") => ChannelKind::ToolCall,
            _ => ChannelKind::Other,
        };
        Self { zone: Place::Entry, channel: Channel { choice: self.channel.choice, part: 0, kind }, kind: self.kind }
    }
}

/// Why the response in an object ended.
pub(crate) fn finish_of(doc: &Document<'_, '_>, response: u32) -> Option<FinishReason> {
    match doc.get_str(response, "status")?.as_ref() {
        "completed" => {
            let is_call =
                |item| doc.get_str(item, "type").is_some_and(|t| t == "function_call" || t == "custom_tool_call");
            let calls = doc.get(response, "output").is_some_and(|output| doc.elements(output).any(is_call));
            Some(if calls { FinishReason::ToolCalls } else { FinishReason::Stop })
        }
        "incomplete" => {
            let details = doc.get(response, "incomplete_details");
            Some(match details.and_then(|details| doc.get_str(details, "reason")).as_deref() {
                Some("content_filter") => FinishReason::ContentFilter,
                Some("max_output_tokens") => FinishReason::Length,
                _ => FinishReason::Other,
            })
        }
        "failed" | "cancelled" => Some(FinishReason::Other),
        _ => None,
    }
}

fn finish(doc: &Document<'_, '_>) -> Option<FinishReason> {
    finish_of(doc, 0)
}

fn calls(doc: &Document<'_, '_>) -> Vec<WholeCall> {
    let items = doc.get(0, "output").into_iter().flat_map(|output| doc.elements(output));
    let is_call = |item: &u32| Spot::TOP.item(doc, *item).channel.kind == ChannelKind::ToolCall;
    items.filter(is_call).map(|item| WholeCall::of(doc, item, &[&FRAGMENTED[..], &WHOLE[..]].concat())).collect()
}

/// What a call's arguments are called where they also come in fragments, and where these do not tell all.
const FRAGMENTED: [&str; 3] = ["arguments", "input", "code"];
const WHOLE: [&str; 2] = ["action", "operation"];

/// What an item, or an event that ends its fragments, says that all arguments of a call are.
fn said(doc: &Document<'_, '_>, object: u32) -> Option<Said> {
    let of = |keys: &[&str]| keys.iter().find_map(|key| doc.get(object, key)).map(|value| doc.said(value));
    let arguments = of(&FRAGMENTED).filter(|said| !said.is_empty()).map(Said::Arguments);
    arguments.or_else(|| of(&WHOLE).map(Said::Whole))
}

/// A response object that a filter ended.
pub(crate) fn blocked_response(id: &str, model: &str, usage: Usage) -> serde_json::Value {
    json!({
        "id": id,
        "object": "response",
        "created_at": 0,
        "status": "incomplete",
        "error": null,
        "incomplete_details": { "reason": "content_filter" },
        "instructions": null,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": true,
        "temperature": null,
        "tool_choice": "auto",
        "tools": [],
        "top_p": null,
        "usage": {
            "input_tokens": usage.input,
            "input_tokens_details": { "cached_tokens": usage.cached },
            "output_tokens": usage.output,
            "output_tokens_details": { "reasoning_tokens": usage.reasoning },
            "total_tokens": usage.input.saturating_add(usage.output),
        },
    })
}

fn blocked(id: &str, model: &str, _: &str, usage: Usage) -> Vec<u8> {
    blocked_response(&format!("resp_{id}"), model, usage).to_string().into_bytes()
}

fn note(doc: &Document<'_, '_>, signs: &mut Signs, template: &mut Template) {
    let name = doc.get_str(0, "type").unwrap_or_default();
    let channel = event_channel(doc, 0);
    if let Some(response) = doc.get(0, "response") {
        template.started = true;
        if template.id.is_empty() {
            template.id = doc.get_str(response, "id").unwrap_or_default().into_owned();
            template.model = doc.get_str(response, "model").unwrap_or_default().into_owned();
            template.created = doc.get_u64(response, "created_at").unwrap_or(0);
        }
        signs.usage = openai_usage(doc, response);
        signs.finish = finish_of(doc, response);
    }
    let ends = name.ends_with(".done");
    let item = doc.get(0, "item").filter(|_| name.starts_with("response.output_item."));
    if let Some(spot) = item.map(|item| Spot { channel, ..Spot::TOP }.item(doc, item)) {
        let said = item.and_then(|item| said(doc, item)).filter(|_| spot.channel.kind == ChannelKind::ToolCall);
        signs.says.extend(said.map(|said| (spot.channel, said)));
    } else if ends && channel.kind == ChannelKind::ToolCall {
        signs.says.extend(said(doc, 0).map(|said| (channel, said)));
    }
    match name.as_ref() {
        "response.output_item.added" => {
            if let Some(item) = doc.get(0, "item") {
                template.item(channel.choice, &doc.get_str(item, "id").unwrap_or_default());
                let spot = Spot { channel, ..Spot::TOP }.item(doc, item);
                if spot.channel.kind == ChannelKind::ToolCall {
                    signs.begins.push((spot.channel, doc.get_str(item, "name").unwrap_or_default().into_owned()));
                }
            }
        }
        "response.output_item.done" => signs.ends.push(Select::Choice(channel.choice)),
        "response.completed" | "response.incomplete" | "response.failed" | "error" => {
            signs.terminal = true;
            signs.ends.push(Select::All);
        }
        _ if ends => signs.ends.push(Select::One(channel)),
        name if name.ends_with(".delta") => {
            template.item(channel.choice, &doc.get_str(0, "item_id").unwrap_or_default());
            if channel.kind == ChannelKind::Other {
                template.name(channel, name, 0);
            }
        }
        _ => {}
    }
}

fn flush(template: &Template, channel: Channel, text: &str, number: u64) -> Option<Event> {
    let (name, index) = match channel.kind {
        ChannelKind::Content => ("response.output_text.delta", "content_index"),
        ChannelKind::Refusal => ("response.refusal.delta", "content_index"),
        ChannelKind::Reasoning if channel.part >= SUMMARY => ("response.reasoning_summary_text.delta", "summary_index"),
        ChannelKind::Reasoning => ("response.reasoning_text.delta", "content_index"),
        ChannelKind::Other => (template.name_of(channel)?.0, ""),
        ChannelKind::ToolCall => return None,
    };
    let item = template.items.iter().find(|(item, _)| *item == channel.choice).map_or("", |(_, id)| id.as_str());
    let mut data = serde_json::Map::new();
    data.insert("type".to_owned(), json!(name));
    data.insert("sequence_number".to_owned(), json!(number));
    data.insert("item_id".to_owned(), json!(item));
    data.insert("output_index".to_owned(), json!(channel.choice));
    if !index.is_empty() {
        let part = if index == "summary_index" { channel.part.saturating_sub(SUMMARY) } else { channel.part };
        data.insert(index.to_owned(), json!(part));
    }
    data.insert("delta".to_owned(), json!(text));
    if channel.kind == ChannelKind::Content {
        data.insert("logprobs".to_owned(), json!([]));
    }
    Some((Some(name.to_owned()), serde_json::Value::Object(data)))
}

fn end_blocked(template: &Template, _: &str, number: u64, usage: Usage) -> Vec<u8> {
    let mut response = blocked_response(template.id_or("resp_portcullis"), &template.model, usage);
    if let Some(created) = response.get_mut("created_at") {
        *created = json!(template.created);
    }
    let mut out = Vec::new();
    let mut number = number;
    if !template.started {
        let mut created = response.clone();
        if let Some(status) = created.get_mut("status") {
            *status = json!("in_progress");
        }
        let event = json!({ "type": "response.created", "sequence_number": number, "response": created });
        SseEvent::write(Some(b"response.created"), event.to_string().as_bytes(), &mut out);
        number = number.saturating_add(1);
    }
    let event = json!({ "type": "response.incomplete", "sequence_number": number, "response": response });
    SseEvent::write(Some(b"response.incomplete"), event.to_string().as_bytes(), &mut out);
    out
}

fn end_error(code: &str, message: &str, number: u64) -> Vec<u8> {
    let event = json!({
        "type": "error", "code": code, "message": message, "param": null, "sequence_number": number,
    });
    let mut out = Vec::new();
    SseEvent::write(Some(b"error"), event.to_string().as_bytes(), &mut out);
    out
}

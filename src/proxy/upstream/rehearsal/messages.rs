//! Anthropic `POST /messages`.

use serde_json::{Value, json};

use super::ask::{Ask, Choice, Turn, Who, format, strings, text_of, tool};
use super::sse::{Events, pieces, words};
use super::think::{Finish, Said, think};
use super::{Context, Failure, MODEL, Made};

pub(super) fn answer(request: &Value, stream: bool, context: &mut Context) -> Made {
    let Some(mut ask) = read(request, context) else { return Made::Failed(Failure::missing("messages")) };
    let said = match think(&mut ask) {
        Ok(said) => said.into_iter().next(),
        Err(failure) => return Made::Failed(failure),
    };
    let Some(said) = said else { return Made::Failed(Failure::missing("messages")) };
    let blocks = blocks(&said, context);
    let (reason, sequence) = stop(&said);
    let whole = json!({
        "id": context.dice.id("msg_"), "type": "message", "role": "assistant", "model": MODEL, "content": blocks,
        "stop_reason": reason, "stop_sequence": sequence,
        "usage": {
            "input_tokens": ask.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": said.tokens(), "service_tier": "standard",
        },
    });
    if stream { Made::Events(events(&whole, &blocks)) } else { Made::Json(whole) }
}

/// `POST /messages/count_tokens`.
pub(super) fn count(request: &Value, context: &mut Context) -> Made {
    match read(request, context) {
        Some(ask) => Made::Json(json!({"input_tokens": ask.input_tokens})),
        None => Made::Failed(Failure::missing("messages")),
    }
}

fn read(request: &Value, context: &mut Context) -> Option<Ask> {
    let mut turns = vec![Turn { who: Who::System, text: text_of(request.get("system")) }];
    turns.retain(|turn| !turn.text.is_empty());
    let messages = request.get("messages")?.as_array()?;
    turns.extend(messages.iter().flat_map(message_turns));
    let mut ask = Ask::new(turns, context.dice.split());
    let tools = request.get("tools").and_then(Value::as_array).into_iter().flatten();
    ask.tools = tools.filter_map(|declared| tool(declared, "input_schema")).collect();
    let name = request.pointer("/tool_choice/name").and_then(Value::as_str);
    ask.choice = match request.pointer("/tool_choice/type").and_then(Value::as_str) {
        Some("none") => Choice::None,
        Some("any") => Choice::Required,
        Some("tool") => name.map_or(Choice::Required, |name| Choice::Named(name.to_owned())),
        _ => Choice::Auto,
    };
    ask.format = format(request.pointer("/output_config/format").or_else(|| request.get("output_format")));
    ask.stop = strings(request.get("stop_sequences"));
    ask.max_tokens = request.get("max_tokens").and_then(Value::as_u64);
    Some(ask)
}

/// A message is one turn, but tool results in a user message are turns of the tool.
fn message_turns(message: &Value) -> Vec<Turn> {
    let who = Who::of(message.get("role").and_then(Value::as_str));
    let is_result = |part: &&Value| part.get("type").and_then(Value::as_str) == Some("tool_result");
    let Some(parts) = message.get("content").and_then(Value::as_array) else {
        return vec![Turn { who, text: text_of(message.get("content")) }];
    };
    let plain: Vec<Value> = parts.iter().filter(|part| !is_result(part)).cloned().collect();
    let mut turns = vec![Turn { who, text: text_of(Some(&Value::Array(plain))) }];
    turns.retain(|turn| !turn.text.is_empty());
    let results = parts.iter().filter(is_result);
    turns.extend(results.map(|part| Turn { who: Who::Tool, text: text_of(part.get("content")) }));
    turns
}

fn blocks(said: &Said, context: &mut Context) -> Vec<Value> {
    let mut blocks = Vec::new();
    if !said.text.is_empty() || said.calls.is_empty() {
        blocks.push(json!({"type": "text", "text": said.text}));
    }
    for call in &said.calls {
        let id = context.dice.id("toolu_");
        blocks.push(json!({"type": "tool_use", "id": id, "name": call.name, "input": call.arguments}));
    }
    blocks
}

fn stop(said: &Said) -> (&'static str, Value) {
    match &said.finish {
        Finish::Stop if said.refused => ("refusal", Value::Null),
        Finish::Stop => ("end_turn", Value::Null),
        Finish::StopText(text) => ("stop_sequence", Value::from(text.as_str())),
        Finish::Length => ("max_tokens", Value::Null),
        Finish::ToolCalls => ("tool_use", Value::Null),
    }
}

fn events(whole: &Value, blocks: &[Value]) -> Vec<(std::time::Duration, bytes::Bytes)> {
    let mut events = Events::default();
    let mut opening = whole.clone();
    if let Some(fields) = opening.as_object_mut() {
        fields.insert("content".into(), json!([]));
        fields.insert("stop_reason".into(), Value::Null);
        fields.insert("stop_sequence".into(), Value::Null);
    }
    if let Some(output) = opening.pointer_mut("/usage/output_tokens") {
        *output = 1.into();
    }
    events.typed(&json!({"type": "message_start", "message": opening}));
    for (index, block) in blocks.iter().enumerate() {
        block_events(&mut events, index, block);
    }
    events.typed(&json!({
        "type": "message_delta",
        "delta": {"stop_reason": whole.get("stop_reason"), "stop_sequence": whole.get("stop_sequence")},
        "usage": {"output_tokens": whole.pointer("/usage/output_tokens")},
    }));
    events.typed(&json!({"type": "message_stop"}));
    events.finish()
}

fn block_events(events: &mut Events, index: usize, block: &Value) {
    let start = |block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    if let Some(text) = block.get("text").and_then(Value::as_str) {
        events.typed(&start(json!({"type": "text", "text": ""})));
        if index == 0 {
            events.typed(&json!({"type": "ping"}));
        }
        for word in words(text) {
            events.typed(&delta(json!({"type": "text_delta", "text": word})));
        }
    } else {
        let (id, name) = (block.get("id"), block.get("name"));
        events.typed(&start(json!({"type": "tool_use", "id": id, "name": name, "input": {}})));
        events.typed(&delta(json!({"type": "input_json_delta", "partial_json": ""})));
        let input = block.get("input").map(Value::to_string).unwrap_or_default();
        for piece in pieces(&input) {
            events.typed(&delta(json!({"type": "input_json_delta", "partial_json": piece})));
        }
    }
    events.typed(&json!({"type": "content_block_stop", "index": index}));
}

//! `POST /responses`.

use serde_json::{Map, Value, json};

use super::ask::{Ask, Choice, Tool, Turn, Who, format, openai_choice, text_of, tool};
use super::sse::{Events, pieces, words};
use super::think::{Call, Finish, Said, think};
use super::{Context, Failure, MODEL, Made};

pub(super) fn answer(request: &Value, stream: bool, context: &mut Context) -> Made {
    let Some(mut ask) = read(request, context) else { return Made::Failed(Failure::missing("input")) };
    let said = match think(&mut ask) {
        Ok(said) => said.into_iter().next(),
        Err(failure) => return Made::Failed(failure),
    };
    let Some(said) = said else { return Made::Failed(Failure::missing("input")) };
    let items: Vec<Value> = items(&said, context);
    let whole = response(request, &ask, &said, context);
    if stream { Made::Events(events(&whole, &items)) } else { Made::Json(with(&whole.closing, "output", items.into())) }
}

fn read(request: &Value, context: &mut Context) -> Option<Ask> {
    let mut turns = Vec::new();
    if let Some(instructions) = request.get("instructions").and_then(Value::as_str) {
        turns.push(Turn { who: Who::System, text: instructions.to_owned() });
    }
    match request.get("input") {
        Some(Value::String(text)) => turns.push(Turn { who: Who::User, text: text.clone() }),
        Some(Value::Array(items)) => turns.extend(items.iter().filter_map(item_turn)),
        None if request.get("previous_response_id").is_some() || request.get("prompt").is_some() => {}
        _ => return None,
    }
    let mut ask = Ask::new(turns, context.dice.split());
    ask.tools = request.get("tools").and_then(Value::as_array).into_iter().flatten().filter_map(read_tool).collect();
    ask.choice = openai_choice(request.get("tool_choice"));
    ask.format = format(request.pointer("/text/format"));
    ask.max_tokens = request.get("max_output_tokens").and_then(Value::as_u64);
    if let Choice::Named(name) = &ask.choice
        && !ask.tools.iter().any(|tool| tool.name == *name)
    {
        ask.choice = Choice::Auto;
    }
    Some(ask)
}

fn item_turn(item: &Value) -> Option<Turn> {
    match item.get("type").and_then(Value::as_str) {
        Some("function_call_output" | "custom_tool_call_output") => {
            Some(Turn { who: Who::Tool, text: text_of(item.get("output")) })
        }
        Some("message") | None => {
            let who = Who::of(item.get("role").and_then(Value::as_str));
            Some(Turn { who, text: text_of(item.get("content")) })
        }
        Some(_) => None,
    }
}

fn read_tool(declared: &Value) -> Option<Tool> {
    match declared.get("type").and_then(Value::as_str) {
        Some("function") => tool(declared, "parameters"),
        Some("custom") => Some(Tool { name: declared.get("name")?.as_str()?.to_owned(), schema: None }),
        _ => None,
    }
}

/// The output items, complete.
fn items(said: &Said, context: &mut Context) -> Vec<Value> {
    if said.calls.is_empty() {
        let part = if said.refused {
            json!({"type": "refusal", "refusal": said.text})
        } else {
            json!({"type": "output_text", "annotations": [], "logprobs": [], "text": said.text})
        };
        let status = if said.finish == Finish::Length { "incomplete" } else { "completed" };
        let id = context.dice.id("msg_");
        return vec![json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": [part]})];
    }
    said.calls.iter().map(|call| call_item(call, context)).collect()
}

fn call_item(call: &Call, context: &mut Context) -> Value {
    let call_id = context.dice.id("call_");
    if call.custom {
        let id = context.dice.id("ctc_");
        json!({"id": id, "type": "custom_tool_call", "status": "completed", "call_id": call_id,
               "name": call.name, "input": call.arguments_text()})
    } else {
        let id = context.dice.id("fc_");
        json!({"id": id, "type": "function_call", "status": "completed", "arguments": call.arguments_text(),
               "call_id": call_id, "name": call.name})
    }
}

/// The response object as it opens and as it closes, without its output.
struct Frame {
    opening: Value,
    closing: Value,
}

fn response(request: &Value, ask: &Ask, said: &Said, context: &mut Context) -> Frame {
    let echoed = |key: &str, default: Value| request.get(key).cloned().unwrap_or(default);
    let opening = json!({
        "id": context.dice.id("resp_"), "object": "response", "created_at": context.created, "status": "in_progress",
        "background": false, "error": null, "incomplete_details": null,
        "instructions": echoed("instructions", Value::Null),
        "max_output_tokens": echoed("max_output_tokens", Value::Null),
        "model": MODEL, "output": [], "parallel_tool_calls": echoed("parallel_tool_calls", Value::Bool(true)),
        "previous_response_id": echoed("previous_response_id", Value::Null),
        "reasoning": {"effort": null, "summary": null}, "store": false,
        "temperature": echoed("temperature", json!(1.0)), "text": echoed("text", json!({"format": {"type": "text"}})),
        "tool_choice": echoed("tool_choice", json!("auto")), "tools": echoed("tools", json!([])),
        "top_p": echoed("top_p", json!(1.0)), "truncation": "disabled", "usage": null,
        "metadata": echoed("metadata", json!({})),
    });
    let output = said.tokens();
    let mut closing = opening.clone();
    if let Some(fields) = closing.as_object_mut() {
        let cut = said.finish == Finish::Length;
        fields.insert("status".into(), if cut { "incomplete" } else { "completed" }.into());
        if cut {
            fields.insert("incomplete_details".into(), json!({"reason": "max_output_tokens"}));
        }
        fields.insert(
            "usage".into(),
            json!({
                "input_tokens": ask.input_tokens, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": ask.input_tokens.saturating_add(output),
            }),
        );
    }
    Frame { opening, closing }
}

fn with(base: &Value, key: &str, value: Value) -> Value {
    let mut fields = base.as_object().cloned().unwrap_or_default();
    fields.insert(key.into(), value);
    Value::Object(fields)
}

/// Events with their running `sequence_number`.
#[derive(Default)]
struct Numbered {
    events: Events,
    next: u64,
}

impl Numbered {
    fn push(&mut self, kind: &str, fields: Value) {
        let mut event = Map::new();
        event.insert("type".into(), kind.into());
        event.insert("sequence_number".into(), self.next.into());
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        self.next = self.next.saturating_add(1);
        self.events.typed(&Value::Object(event));
    }
}

fn events(end: &Frame, items: &[Value]) -> Vec<(std::time::Duration, bytes::Bytes)> {
    let mut out = Numbered::default();
    out.push("response.created", json!({"response": end.opening}));
    out.push("response.in_progress", json!({"response": end.opening}));
    for (index, item) in items.iter().enumerate() {
        match item.get("type").and_then(Value::as_str) {
            Some("message") => message_events(&mut out, index, item),
            _ => call_events(&mut out, index, item),
        }
        out.push("response.output_item.done", json!({"output_index": index, "item": item}));
    }
    let closing = with(&end.closing, "output", Value::from(items.to_vec()));
    let kind = match closing.get("status").and_then(Value::as_str) {
        Some("incomplete") => "response.incomplete",
        _ => "response.completed",
    };
    out.push(kind, json!({"response": closing}));
    out.events.finish()
}

fn message_events(out: &mut Numbered, index: usize, item: &Value) {
    let open = with(&with(item, "status", "in_progress".into()), "content", json!([]));
    out.push("response.output_item.added", json!({"output_index": index, "item": open}));
    let Some(part) = item.pointer("/content/0") else { return };
    let refused = part.get("type").and_then(Value::as_str) == Some("refusal");
    let key = if refused { "refusal" } else { "text" };
    let text = part.get(key).and_then(Value::as_str).unwrap_or_default();
    let place = json!({"item_id": item.get("id"), "output_index": index, "content_index": 0});
    out.push("response.content_part.added", with(&place, "part", with(part, key, "".into())));
    let kind = if refused { "response.refusal" } else { "response.output_text" };
    let probed = |fields: Value| if refused { fields } else { with(&fields, "logprobs", json!([])) };
    for word in words(text) {
        out.push(&format!("{kind}.delta"), probed(with(&place, "delta", word.into())));
    }
    out.push(&format!("{kind}.done"), probed(with(&place, key, text.into())));
    out.push("response.content_part.done", with(&place, "part", part.clone()));
}

fn call_events(out: &mut Numbered, index: usize, item: &Value) {
    let custom = item.get("type").and_then(Value::as_str) == Some("custom_tool_call");
    let (key, kind) = if custom {
        ("input", "response.custom_tool_call_input")
    } else {
        ("arguments", "response.function_call_arguments")
    };
    let text = item.get(key).and_then(Value::as_str).unwrap_or_default();
    let open = with(&with(item, "status", "in_progress".into()), key, "".into());
    out.push("response.output_item.added", json!({"output_index": index, "item": open}));
    let place = json!({"item_id": item.get("id"), "output_index": index});
    for piece in pieces(text) {
        out.push(&format!("{kind}.delta"), with(&place, "delta", piece.into()));
    }
    let mut done = with(&place, key, text.into());
    if !custom && let Some(name) = item.get("name") {
        done = with(&done, "name", name.clone());
    }
    out.push(&format!("{kind}.done"), done);
}

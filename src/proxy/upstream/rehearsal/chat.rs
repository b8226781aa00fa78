//! `POST /chat/completions`.

use serde_json::{Value, json};

use super::ask::{Ask, Tool, Turn, Who, format, openai_choice, strings, text_of, tool};
use super::sse::{Events, pieces, words};
use super::think::{Call, Finish, Said, think};
use super::{Context, Failure, MODEL, Made};

/// The most choices a request gets.
const MAX_CHOICES: u64 = 16;

pub(super) fn answer(request: &Value, stream: bool, context: &mut Context) -> Made {
    let Some(mut ask) = read(request, context) else { return Made::Failed(Failure::missing("messages")) };
    let said = match think(&mut ask) {
        Ok(said) => said,
        Err(failure) => return Made::Failed(failure),
    };
    let id = context.dice.id("chatcmpl-");
    let logprobs = request.get("logprobs").and_then(Value::as_bool).unwrap_or(false);
    if stream {
        let usage = request.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false);
        return Made::Events(events(&said, &ask, &Head { id, created: context.created, usage, logprobs }, context));
    }
    let choices: Vec<Value> = said.iter().enumerate().map(|(at, said)| choice(at, said, logprobs, context)).collect();
    Made::Json(json!({
        "id": id, "object": "chat.completion", "created": context.created, "model": MODEL, "choices": choices,
        "usage": usage(&said, &ask), "service_tier": "default", "system_fingerprint": MODEL,
    }))
}

fn read(request: &Value, context: &mut Context) -> Option<Ask> {
    let messages = request.get("messages")?.as_array()?;
    let turn = |message: &Value| Turn {
        who: Who::of(message.get("role").and_then(Value::as_str)),
        text: text_of(message.get("content")),
    };
    let mut ask = Ask::new(messages.iter().map(turn).collect(), context.dice.split());
    let tools = request.get("tools").and_then(Value::as_array).into_iter().flatten().filter_map(read_tool);
    let functions = request.get("functions").and_then(Value::as_array).into_iter().flatten();
    ask.tools = tools.chain(functions.filter_map(|function| tool(function, "parameters"))).collect();
    ask.choice = openai_choice(request.get("tool_choice").or_else(|| request.get("function_call")));
    ask.format = format(request.get("response_format"));
    ask.stop = strings(request.get("stop"));
    ask.max_tokens = ["max_completion_tokens", "max_tokens"].iter().find_map(|key| request.get(key)?.as_u64());
    let n = request.get("n").and_then(Value::as_u64).unwrap_or(1).clamp(1, MAX_CHOICES);
    ask.n = u32::try_from(n).unwrap_or(1);
    Some(ask)
}

fn read_tool(declared: &Value) -> Option<Tool> {
    if let Some(function) = declared.get("function") {
        return tool(function, "parameters");
    }
    let name = declared.pointer("/custom/name")?.as_str()?.to_owned();
    Some(Tool { name, schema: None })
}

fn usage(said: &[Said], ask: &Ask) -> Value {
    let output: u64 = said.iter().map(Said::tokens).sum();
    json!({
        "prompt_tokens": ask.input_tokens, "completion_tokens": output,
        "total_tokens": ask.input_tokens.saturating_add(output),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

fn finish(said: &Said) -> &'static str {
    match said.finish {
        Finish::Stop | Finish::StopText(_) => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
    }
}

fn choice(index: usize, said: &Said, logprobs: bool, context: &mut Context) -> Value {
    let mut message = json!({"role": "assistant", "content": said.text, "refusal": null, "annotations": []});
    if let Some(fields) = message.as_object_mut() {
        if said.refused {
            fields.insert("content".into(), Value::Null);
            fields.insert("refusal".into(), said.text.clone().into());
        }
        if !said.calls.is_empty() {
            fields.insert("content".into(), Value::Null);
            let calls =
                said.calls.iter().map(|call| call_value(call, &call.arguments_text(), context.dice.id("call_")));
            fields.insert("tool_calls".into(), calls.collect());
        }
    }
    let probabilities = if logprobs && !said.text.is_empty() { probabilities(&said.text) } else { Value::Null };
    json!({"index": index, "message": message, "logprobs": probabilities, "finish_reason": finish(said)})
}

fn call_value(call: &Call, arguments: &str, id: String) -> Value {
    if call.custom {
        json!({"id": id, "type": "custom", "custom": {"name": call.name, "input": arguments}})
    } else {
        json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
    }
}

/// Every word with probability one: it could have said nothing else.
fn probabilities(text: &str) -> Value {
    let each =
        words(text).map(|word| json!({"token": word, "logprob": 0.0, "bytes": word.as_bytes(), "top_logprobs": []}));
    json!({"content": each.collect::<Vec<_>>(), "refusal": null})
}

struct Head {
    id: String,
    created: u64,
    usage: bool,
    logprobs: bool,
}

impl Head {
    fn chunk(&self, choices: &Value) -> Value {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": MODEL,
            "service_tier": "default", "system_fingerprint": MODEL, "choices": choices,
        });
        if self.usage
            && let Some(fields) = chunk.as_object_mut()
        {
            fields.insert("usage".into(), Value::Null);
        }
        chunk
    }

    fn delta(&self, index: usize, delta: &Value, finish: Option<&str>) -> Value {
        self.chunk(&json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": finish}]))
    }
}

fn events(said: &[Said], ask: &Ask, head: &Head, context: &mut Context) -> Vec<(std::time::Duration, bytes::Bytes)> {
    let mut events = Events::default();
    for index in 0..said.len() {
        events.data(&head.delta(index, &json!({"role": "assistant", "content": "", "refusal": null}), None));
    }
    let mut texts: Vec<_> = said.iter().map(|said| words(&said.text)).collect();
    loop {
        let mut spoke = false;
        for (index, (text, said)) in texts.iter_mut().zip(said).enumerate() {
            let Some(word) = text.next() else { continue };
            spoke = true;
            let key = if said.refused { "refusal" } else { "content" };
            let mut chunk = head.delta(index, &json!({key: word}), None);
            if head.logprobs
                && let Some(slot) = chunk.pointer_mut("/choices/0/logprobs")
            {
                *slot = probabilities(word);
            }
            events.word(&chunk);
        }
        if !spoke {
            break;
        }
    }
    for (index, said) in said.iter().enumerate() {
        for (at, call) in said.calls.iter().enumerate() {
            stream_call(&mut events, head, index, at, call, context);
        }
        events.data(&head.delta(index, &json!({}), Some(finish(said))));
    }
    if head.usage {
        let mut last = head.chunk(&json!([]));
        if let Some(fields) = last.as_object_mut() {
            fields.insert("usage".into(), usage(said, ask));
        }
        events.data(&last);
    }
    events.done();
    events.finish()
}

fn stream_call(events: &mut Events, head: &Head, index: usize, at: usize, call: &Call, context: &mut Context) {
    let mut opening = call_value(call, "", context.dice.id("call_"));
    if let Some(fields) = opening.as_object_mut() {
        fields.insert("index".into(), at.into());
    }
    events.word(&head.delta(index, &json!({"tool_calls": [opening]}), None));
    for piece in pieces(&call.arguments_text()) {
        let part = if call.custom {
            json!({"index": at, "custom": {"input": piece}})
        } else {
            json!({"index": at, "function": {"arguments": piece}})
        };
        events.word(&head.delta(index, &json!({"tool_calls": [part]}), None));
    }
}

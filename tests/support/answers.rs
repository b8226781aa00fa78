//! Canned provider answers, as the bytes a mock sends.

use serde_json::{Value, json};

use super::mock::Act;

/// A whole answer with `content-length` on a connection that stays open.
pub fn with_body(status: u16, headers: &str, body: &[u8]) -> Vec<Act> {
    let mut bytes = format!(
        "HTTP/1.1 {status} Whatever\r\nconnection: keep-alive\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    vec![Act::Send(bytes)]
}

/// A JSON answer.
pub fn json_body(status: u16, value: &Value) -> Vec<Act> {
    with_body(status, "content-type: application/json\r\n", value.to_string().as_bytes())
}

/// The head of a chunked event stream.
pub fn stream_head() -> Act {
    Act::Send(
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec(),
    )
}

/// One HTTP chunk.
pub fn chunk(bytes: &[u8]) -> Act {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    Act::Send(framed)
}

/// The last HTTP chunk.
pub fn last_chunk() -> Act {
    Act::Send(b"0\r\n\r\n".to_vec())
}

/// A whole event stream, one HTTP chunk for each `size` bytes.
pub fn stream(body: &[u8], size: usize) -> Vec<Act> {
    let mut acts = vec![stream_head()];
    acts.extend(body.chunks(size.max(1)).map(chunk));
    acts.push(last_chunk());
    acts
}

/// `data:` events and the end mark.
pub fn events(values: &[Value]) -> String {
    let mut text: String = values.iter().map(|value| format!("data: {value}\n\n")).collect();
    text.push_str("data: [DONE]\n\n");
    text
}

/// Events that name their type twice, as Responses and Anthropic do.
pub fn typed_events(values: &[Value]) -> String {
    values.iter().map(|value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap())).collect()
}

/// A chat answer with this text.
pub fn chat(text: &str) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "vendor_extra": {"kept": [1, 2.50]},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null}, "logprobs": null,
            "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}})
}

/// One chat chunk.
pub fn chat_chunk(index: u32, delta: Value, finish: Option<&str>) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})
}

/// A streamed chat answer in these pieces.
pub fn chat_stream(pieces: &[&str]) -> String {
    let mut all = vec![chat_chunk(0, json!({"role": "assistant", "content": ""}), None)];
    all.extend(pieces.iter().map(|piece| chat_chunk(0, json!({"content": piece}), None)));
    all.push(chat_chunk(0, json!({}), Some("stop")));
    events(&all)
}

/// A Messages answer with this text.
pub fn message(text: &str) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 9, "output_tokens": 12}})
}

/// A streamed Messages answer in these pieces.
pub fn message_stream(pieces: &[&str]) -> String {
    let mut all = vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ];
    let delta = |piece: &&str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}});
    all.extend(pieces.iter().map(delta));
    all.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": 12}}),
        json!({"type": "message_stop"}),
    ]);
    typed_events(&all)
}

/// A Responses answer with this text.
pub fn response(text: &str, status: &str) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "m", "error": null,
        "incomplete_details": null, "output": [{"id": "msg_1", "type": "message", "status": status, "role": "assistant",
            "content": [{"type": "output_text", "annotations": [], "text": text}]}],
        "usage": {"input_tokens": 9, "output_tokens": 12, "total_tokens": 21}})
}

/// A streamed Responses answer in these pieces: the text comes four times.
pub fn response_stream(pieces: &[&str]) -> String {
    let text = pieces.concat();
    let place = |mut fields: Value| {
        fields["item_id"] = "msg_1".into();
        fields["output_index"] = 0.into();
        fields["content_index"] = 0.into();
        fields
    };
    let mut open = response("", "in_progress");
    open["output"] = json!([]);
    let item = |status: &str, content: Value| json!({"id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": content});
    let part = |text: &str| json!({"type": "output_text", "annotations": [], "text": text});
    let mut all = vec![
        json!({"type": "response.created", "response": open}),
        json!({"type": "response.in_progress", "response": open}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item("in_progress", json!([]))}),
        place(json!({"type": "response.content_part.added", "part": part("")})),
    ];
    all.extend(pieces.iter().map(|piece| place(json!({"type": "response.output_text.delta", "delta": piece}))));
    all.extend([
        place(json!({"type": "response.output_text.done", "text": text})),
        place(json!({"type": "response.content_part.done", "part": part(&text)})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item("completed", json!([part(&text)]))}),
        json!({"type": "response.completed", "response": response(&text, "completed")}),
    ]);
    for (number, event) in all.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
    }
    typed_events(&all)
}

/// A streamed legacy completion in these pieces.
pub fn completion_stream(pieces: &[&str]) -> String {
    let one = |text: &str, finish: Option<&str>| {
        json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}]})
    };
    let mut all: Vec<Value> = pieces.iter().map(|piece| one(piece, None)).collect();
    all.push(one("", Some("stop")));
    events(&all)
}

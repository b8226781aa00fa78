//! Streams of every dialect through a small relay: whatever the cuts, clean text arrives as it was and a secret never does.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "a failing test panics")]

use std::collections::BTreeMap;

use bytes::Bytes;
use portcullis::types::{Channel, ChannelKind, Dialect, FinishReason};
use portcullis::wire::{Chunk, Limits, PieceKind, Splitter, SseEvent, Stream};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECRET: &str = "SECRET";
const MARK: &str = "[X]";

/// Holds what may be the beginning of a secret, replaces a whole one.
#[derive(Default)]
struct Window {
    held: String,
}

impl Window {
    fn feed(&mut self, text: &str) -> String {
        self.held.push_str(text);
        let clean = self.held.replace(SECRET, MARK);
        let keep = (1..SECRET.len()).rev().find(|&n| clean.ends_with(&SECRET[..n])).unwrap_or(0);
        let (out, held) = clean.split_at(clean.len() - keep);
        let out = out.to_owned();
        self.held = held.to_owned();
        out
    }

    fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// What a caller of `Stream` does, in small.
struct Relay {
    stream: Stream,
    windows: BTreeMap<Channel, Window>,
    out: Vec<u8>,
}

impl Relay {
    fn new(dialect: Dialect) -> Self {
        Self { stream: Stream::new(dialect, Limits::default()), windows: BTreeMap::new(), out: Vec::new() }
    }

    fn event(&mut self, event: &SseEvent) {
        let chunk = self.stream.read(event).unwrap();
        let mut edits: Vec<(usize, String)> = Vec::new();
        for (index, piece) in chunk.pieces.iter().enumerate() {
            let released = match piece.kind {
                PieceKind::Copy => piece.text.replace(SECRET, MARK),
                PieceKind::Delta | PieceKind::Token => self.windows.entry(piece.channel).or_default().feed(&piece.text),
            };
            if released != piece.text {
                edits.push((index, released));
            }
        }
        self.close(&chunk, &mut edits);
        if chunk.tool.part {
            self.stream.hold(event, &chunk, &edits);
        }
        self.release(&chunk);
        if !chunk.tool.part {
            self.out.extend_from_slice(&self.stream.rewrite(event, &chunk, &edits));
        }
    }

    fn close(&mut self, chunk: &Chunk<'_>, edits: &mut Vec<(usize, String)>) {
        for channel in &chunk.closes {
            let rest = self.windows.entry(*channel).or_default().finish();
            let last = chunk.pieces.iter().rposition(|p| p.channel == *channel && p.kind == PieceKind::Delta);
            match last {
                Some(index) if !rest.is_empty() => match edits.iter_mut().find(|(edited, _)| *edited == index) {
                    Some((_, text)) => text.push_str(&rest),
                    None => edits.push((index, format!("{}{rest}", chunk.pieces[index].text))),
                },
                Some(_) => {}
                None => self.out.extend_from_slice(&self.stream.flush(*channel, &rest)),
            }
        }
        // A finished window that gave everything back leaves the piece as it was.
        edits.retain(|(index, text)| chunk.pieces[*index].text != *text);
    }

    fn release(&mut self, chunk: &Chunk<'_>) {
        let mut edits = Vec::new();
        for channel in &chunk.tool.done {
            let call = self.stream.call(*channel).unwrap();
            for (index, piece) in call.pieces.iter().enumerate() {
                if piece.text.contains(SECRET) {
                    edits.push((*channel, index, piece.text.replace(SECRET, MARK)));
                }
            }
        }
        if !chunk.tool.done.is_empty() {
            self.out.extend_from_slice(&self.stream.release(&edits));
        }
    }

    fn run(dialect: Dialect, input: &[u8], size: usize) -> Vec<u8> {
        let mut relay = Self::new(dialect);
        for event in split(input, size) {
            relay.event(&event);
        }
        assert_eq!(relay.stream.held(), 0);
        relay.out
    }
}

fn split(input: &[u8], size: usize) -> Vec<SseEvent> {
    let mut splitter = Splitter::new(1 << 20);
    let mut events = Vec::new();
    for chunk in input.chunks(size) {
        splitter.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = splitter.next_event() {
            events.push(event.unwrap());
        }
    }
    events.extend(splitter.finish());
    events
}

/// What an SDK makes of a stream: the texts by name, and all JSON events.
fn accumulate(dialect: Dialect, bytes: &[u8]) -> (BTreeMap<String, String>, Vec<Value>) {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut events = Vec::new();
    for event in split(bytes, usize::MAX) {
        let Some(data) = event.data else { continue };
        if &data[..] == b"[DONE]" {
            continue;
        }
        let value: Value = serde_json::from_slice(&data).unwrap();
        let mut add = |name: String, text: &Value| texts.entry(name).or_default().push_str(text.as_str().unwrap());
        match dialect {
            Dialect::Chat => chat_texts(&value, &mut add),
            Dialect::Completions => value["choices"]
                .as_array()
                .unwrap()
                .iter()
                .for_each(|choice| add(format!("text{}", choice["index"]), &choice["text"])),
            Dialect::Responses => {
                if let Some(delta) = value.get("delta") {
                    add(format!("{} {}", value["type"], value["output_index"]), delta);
                }
            }
            Dialect::Messages => {
                let delta = &value["delta"];
                for field in ["text", "thinking", "partial_json"] {
                    if let Some(text) = delta.get(field) {
                        add(format!("{field} {}", value["index"]), text);
                    }
                }
                if let Some(text) = value["content_block"].get("text") {
                    add(format!("text {}", value["index"]), text);
                }
            }
            Dialect::Embeddings | Dialect::Models | Dialect::Generic => {}
        }
        events.push(value);
    }
    (texts, events)
}

fn chat_texts(value: &Value, add: &mut impl FnMut(String, &Value)) {
    for choice in value["choices"].as_array().unwrap() {
        let index = &choice["index"];
        for (name, field) in choice["delta"].as_object().unwrap() {
            if field.is_string() && name != "role" {
                add(format!("{name}{index}"), field);
            }
        }
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            for field in ["name", "arguments"] {
                if call["function"][field].is_string() {
                    add(format!("call{}.{}.{field}", index, call["index"]), &call["function"][field]);
                }
            }
        }
    }
}

fn sse(events: &[Value], named: bool, done: bool) -> Vec<u8> {
    let mut out = String::new();
    for event in events {
        if named {
            out.push_str(&format!("event: {}\n", event["type"].as_str().unwrap()));
        }
        out.push_str(&format!("data: {event}\n\n"));
    }
    if done {
        out.push_str("data: [DONE]\n\n");
    }
    out.into_bytes()
}

fn chat(deltas: &[Value]) -> Vec<u8> {
    let chunk = |choices: Value| json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m", "choices": choices});
    let mut events: Vec<Value> =
        deltas.iter().map(|delta| chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]))).collect();
    events.push(chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}])));
    events.push(json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m", "choices": [],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}}));
    sse(&events, false, true)
}

/// A stream in a dialect whose text (in the channel's own field) comes in these parts.
fn stream_of(dialect: Dialect, channel: &str, parts: &[String]) -> Vec<u8> {
    let whole = parts.concat();
    match dialect {
        Dialect::Chat if channel == "tool" => {
            let first = json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]});
            let rest = parts.iter().map(|part| json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}));
            chat(&std::iter::once(first).chain(rest).collect::<Vec<_>>())
        }
        Dialect::Chat => chat(&parts.iter().map(|part| json!({ channel: part })).collect::<Vec<_>>()),
        Dialect::Completions => {
            let chunk = |text: &str, end: Value| {
                json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
                "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": end}]})
            };
            let mut events: Vec<_> = parts.iter().map(|part| chunk(part, Value::Null)).collect();
            events.push(chunk("", json!("stop")));
            sse(&events, false, true)
        }
        Dialect::Responses => responses(channel, parts, &whole),
        Dialect::Messages => {
            let (block, field, kind) = match channel {
                "thinking" => (json!({"type": "thinking", "thinking": ""}), "thinking", "thinking_delta"),
                "tool" => (
                    json!({"type": "tool_use", "id": "t", "name": "f", "input": {}}),
                    "partial_json",
                    "input_json_delta",
                ),
                _ => (json!({"type": "text", "text": ""}), "text", "text_delta"),
            };
            let mut events = vec![
                json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                    "content": [], "stop_reason": null, "usage": {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": block}),
                json!({"type": "ping"}),
            ];
            events.extend(
                parts
                    .iter()
                    .map(|p| json!({"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: p}})),
            );
            events.push(json!({"type": "content_block_stop", "index": 0}));
            events.push(
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
            );
            events.push(json!({"type": "message_stop"}));
            sse(&events, true, false)
        }
        Dialect::Embeddings | Dialect::Models | Dialect::Generic => Vec::new(),
    }
}

fn responses(channel: &str, parts: &[String], whole: &str) -> Vec<u8> {
    let response = |status: &str, output: Value| json!({"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": status, "output": output});
    let (item, empty, delta, done) = if channel == "tool" {
        let item =
            |args: &str| json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": args});
        (
            item(whole),
            item(""),
            "response.function_call_arguments.delta",
            json!({"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 0, "arguments": whole}),
        )
    } else {
        let item = |content: Value| json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content});
        let part = json!([{"type": "output_text", "text": whole, "annotations": []}]);
        (
            item(part),
            item(json!([])),
            "response.output_text.delta",
            json!({"type": "response.output_text.done", "item_id": "msg_1", "output_index": 0, "content_index": 0, "text": whole}),
        )
    };
    let mut events = vec![
        json!({"type": "response.created", "response": response("in_progress", json!([]))}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": empty}),
    ];
    events.extend(
        parts.iter().map(|p| json!({"type": delta, "item_id": "i", "output_index": 0, "content_index": 0, "delta": p})),
    );
    events.push(done);
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item.clone()}));
    events.push(json!({"type": "response.completed", "response": response("completed", json!([item]))}));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    sse(&events, true, false)
}

const CHANNELS: [(Dialect, &str); 10] = [
    (Dialect::Chat, "content"),
    (Dialect::Chat, "refusal"),
    (Dialect::Chat, "reasoning_content"),
    (Dialect::Chat, "some_new_field"),
    (Dialect::Chat, "tool"),
    (Dialect::Completions, "text"),
    (Dialect::Responses, "text"),
    (Dialect::Responses, "tool"),
    (Dialect::Messages, "thinking"),
    (Dialect::Messages, "tool"),
];

fn cut(text: &str, sizes: &[usize]) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let tail = rest.split_off((*size).clamp(1, rest.len()));
        parts.push(rest.into_iter().collect());
        rest = tail;
    }
    parts
}

fn check(dialect: Dialect, channel: &str, text: &str, parts: &[String], size: usize) {
    let input = stream_of(dialect, channel, parts);
    let output = Relay::run(dialect, &input, size);
    let shown = String::from_utf8_lossy(&output);
    assert!(!shown.contains(SECRET), "{dialect:?} {channel}: {shown}");
    let (before, _) = accumulate(dialect, &input);
    let (after, events) = accumulate(dialect, &output);
    if !text.contains(SECRET) && channel == "tool" {
        assert_eq!(output, input, "{dialect:?} {channel}");
    }
    let expected: BTreeMap<_, _> =
        before.iter().map(|(name, text)| (name.clone(), text.replace(SECRET, MARK))).collect();
    assert_eq!(after, expected, "{dialect:?} {channel}");
    if dialect == Dialect::Responses {
        let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
    }
}

#[test]
fn a_secret_cut_anywhere_never_leaves_and_everything_else_does() {
    for (dialect, channel) in CHANNELS {
        let text =
            if channel == "tool" { r#"{"a":"x SECRET y","b":["SECRETS"]}"# } else { "a SECRET b SECRE SECRETS SEC" };
        for size in 1..text.len() {
            check(dialect, channel, text, &cut(text, &[size]), usize::MAX);
        }
    }
}

#[test]
fn an_unedited_stream_leaves_byte_for_byte() {
    for (dialect, channel) in CHANNELS {
        let text = if channel == "tool" { r#"{"a":"clean"}"# } else { "nothing to see here, é\u{1f600} \"q\"" };
        for size in [1, 3, 100] {
            let input = stream_of(dialect, channel, &cut(text, &[size]));
            for chunk in [1, 7, 64, usize::MAX] {
                assert_eq!(Relay::run(dialect, &input, chunk), input, "{dialect:?} {channel}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_in_any_parts_and_chunks(
        words in prop::collection::vec(prop_oneof![Just("SECRET"), Just("SEC"), Just("RET"), Just("S"), Just(" é\"\n"), Just("x")], 0..12),
        sizes in prop::collection::vec(1..9_usize, 1..5),
        size in 1..200_usize,
        which in 0..CHANNELS.len(),
    ) {
        let (dialect, channel) = CHANNELS[which];
        let text = if channel == "tool" { json!({"k": words.concat(), "n": 1}).to_string() } else { words.concat() };
        check(dialect, channel, &text, &cut(&text, &sizes), size);
    }
}

fn read_all(stream: &mut Stream, input: &[u8]) {
    for event in split(input, usize::MAX) {
        stream.read(&event).unwrap();
    }
}

fn events_of(bytes: &Bytes) -> Vec<Value> {
    split(bytes, usize::MAX)
        .into_iter()
        .filter_map(|e| e.data)
        .filter_map(|data| serde_json::from_slice(&data).ok())
        .collect()
}

#[test]
fn a_block_ends_a_stream_in_its_dialect() {
    let two = json!({"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "m",
        "choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]});
    let mut stream = Stream::new(Dialect::Chat, Limits::default());
    read_all(&mut stream, format!("data: {two}\n\ndata: {two}\n\n").as_bytes());
    let end = stream.end_blocked("no");
    let events = events_of(&end);
    assert!(end.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(events.len(), 2);
    assert_eq!(
        events[1]["choices"][0],
        json!({"index": 1, "delta": {"refusal": "no"}, "logprobs": null, "finish_reason": "content_filter"})
    );
    assert_eq!((events[0]["id"].as_str(), events[0]["created"].as_u64()), (Some("c1"), Some(5)));

    let mut stream = Stream::new(Dialect::Responses, Limits::default());
    let input = stream_of(Dialect::Responses, "text", &["a".to_owned(), "b".to_owned()]);
    let first: Vec<_> = split(&input, usize::MAX).into_iter().take(4).collect();
    first.iter().for_each(|event| drop(stream.read(event).unwrap()));
    let events = events_of(&stream.end_blocked("no"));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["type"], "response.incomplete");
    assert_eq!(events[0]["sequence_number"], 3);
    assert_eq!(events[0]["response"]["id"], "resp_1");
    assert_eq!(events[0]["response"]["incomplete_details"]["reason"], "content_filter");

    let mut stream = Stream::new(Dialect::Messages, Limits::default());
    let input = stream_of(Dialect::Messages, "text", &["a".to_owned(), "b".to_owned()]);
    split(&input, usize::MAX).iter().take(5).for_each(|event| drop(stream.read(event).unwrap()));
    let kinds: Vec<_> =
        events_of(&stream.end_blocked("no")).iter().map(|e| e["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["content_block_stop", "message_delta", "message_stop"]);

    let mut stream = Stream::new(Dialect::Messages, Limits::default());
    let kinds: Vec<_> =
        events_of(&stream.end_blocked("no")).iter().map(|e| e["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["message_start", "message_delta", "message_stop"]);
}

#[test]
fn a_blocked_first_event_leaks_nothing_of_itself_into_the_end() {
    for dialect in [Dialect::Chat, Dialect::Completions, Dialect::Responses, Dialect::Messages] {
        let mut stream = Stream::new(dialect, Limits::default());
        let first = json!({"type": "message_start", "id": SECRET, "model": SECRET, "choices": [],
            "message": {"id": SECRET, "model": SECRET}, "response": {"id": SECRET, "model": SECRET}});
        read_all(&mut stream, format!("data: {first}\n\n").as_bytes());
        assert!(!String::from_utf8_lossy(&stream.end_blocked("no")).contains(SECRET), "{dialect:?}");
    }
}

#[test]
fn an_error_event_is_one_that_sdks_raise() {
    let event =
        |dialect| events_of(&Stream::new(dialect, Limits::default()).end_error("upstream_failed", "gone")).remove(0);
    assert_eq!(event(Dialect::Chat)["error"]["code"], "upstream_failed");
    assert_eq!(event(Dialect::Responses)["type"], "error");
    assert_eq!(event(Dialect::Messages)["error"]["message"], "gone");
}

#[test]
fn parallel_calls_of_several_choices_wait_each_for_their_own_end() {
    let call = |choice: u32, index: u32, arguments: &str| {
        json!({"id": "c", "choices": [{"index": choice, "delta": {"tool_calls":
        [{"index": index, "function": {"name": "f", "arguments": arguments}}]}, "finish_reason": null}]})
    };
    let end =
        |choice: u32| json!({"id": "c", "choices": [{"index": choice, "delta": {}, "finish_reason": "tool_calls"}]});
    let events = [call(0, 0, "{\"a\":"), call(1, 0, "{}"), call(0, 1, "[1]"), call(0, 0, "2}"), end(1), end(0)];
    let input = sse(&events, false, true);
    let mut stream = Stream::new(Dialect::Chat, Limits::default());
    let mut order = Vec::new();
    for event in split(&input, usize::MAX) {
        let chunk = stream.read(&event).unwrap();
        if chunk.tool.part {
            stream.hold(&event, &chunk, &[]);
        }
        for channel in &chunk.tool.done {
            let call = stream.call(*channel).unwrap();
            order.push((channel.choice, channel.part, call.arguments.to_owned()));
        }
        if !chunk.tool.done.is_empty() {
            let released = stream.release(&[]);
            order.push((99, u32::try_from(events_of(&released).len()).unwrap(), String::new()));
            assert_eq!(chunk.finish, Some(FinishReason::ToolCalls));
        }
    }
    let expected = [(1, 0, "{}"), (99, 1, ""), (0, 0, "{\"a\":2}"), (0, 1, "[1]"), (99, 3, "")];
    assert_eq!(order, expected.map(|(choice, part, text)| (choice, part, text.to_owned())));
    assert_eq!(stream.held(), 0);
}

#[test]
fn a_call_and_its_end_in_one_event() {
    let event = json!({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function":
        {"name": "f", "arguments": "{\"k\":\"SECRET\"}"}}]}, "finish_reason": "tool_calls"}]});
    let output = Relay::run(Dialect::Chat, &sse(&[event], false, true), usize::MAX);
    let (texts, _) = accumulate(Dialect::Chat, &output);
    assert_eq!(texts["call0.0.arguments"], r#"{"k":"[X]"}"#);
    assert_eq!(texts["call0.0.name"], "f");
}

#[test]
fn comments_ids_and_odd_names_are_inspected() {
    let input = b": SECRET\n\nid: SECRET\nevent: SECRET\ndata: {\"choices\":[]}\n\n: ping\n\ndata: [DONE]\n\n";
    let output = Relay::run(Dialect::Chat, input, usize::MAX);
    assert_eq!(String::from_utf8(output).unwrap(), "data: {\"choices\":[]}\n\n: ping\n\ndata: [DONE]\n\n");
}

#[test]
fn tokens_that_spell_the_text_go_with_it_and_others_are_inspected() {
    let chunk = |content: &str, tokens: &[&str]| {
        let tokens: Vec<_> = tokens.iter().map(|t| json!({"token": t, "bytes": t.bytes().collect::<Vec<_>>(), "logprob": -0.123_456_789, "top_logprobs": []})).collect();
        json!({"id": "c", "choices": [{"index": 0, "delta": {"content": content}, "logprobs": {"content": tokens}, "finish_reason": null}]})
    };
    let honest = sse(&[chunk("a b", &["a", " b"])], false, true);
    assert_eq!(Relay::run(Dialect::Chat, &honest, usize::MAX), honest);
    let held = sse(&[chunk("a SECRET", &["a", " SEC", "RET"])], false, true);
    let (_, events) = accumulate(Dialect::Chat, &Relay::run(Dialect::Chat, &held, usize::MAX));
    assert_eq!(events[0]["choices"][0]["logprobs"], Value::Null);
    let lying = sse(&[chunk("a", &["SEC", "RET"]), chunk("b", &["SE"]), chunk("c", &["CRET"])], false, true);
    let (texts, events) = accumulate(Dialect::Chat, &Relay::run(Dialect::Chat, &lying, usize::MAX));
    assert_eq!(texts["content0"], "abc");
    assert!(events.iter().all(|event| event["choices"][0]["logprobs"].is_null()), "{events:?}");
}

#[test]
fn repeated_fields_are_pieces_once() {
    let input = chat(&[json!({"content": "a"}), json!({"content": "b"})]);
    let mut stream = Stream::new(Dialect::Chat, Limits::default());
    let counts: Vec<_> =
        split(&input, usize::MAX).iter().map(|event| stream.read(event).unwrap().pieces.len()).collect();
    assert_eq!(counts, [3, 1, 0, 0, 0]);
}

#[test]
fn usage_and_ends_are_neutral() {
    let input = stream_of(Dialect::Messages, "text", &["a".to_owned()]);
    let mut stream = Stream::new(Dialect::Messages, Limits::default());
    let mut usage = None;
    let mut finish = None;
    let mut terminal = false;
    for event in split(&input, usize::MAX) {
        let chunk = stream.read(&event).unwrap();
        usage = chunk.usage.or(usage);
        finish = chunk.finish.or(finish);
        terminal |= chunk.terminal;
    }
    let usage = usage.unwrap();
    assert_eq!((usage.input, usage.cached, usage.output), (5, 2, 9));
    assert_eq!(finish, Some(FinishReason::Stop));
    assert!(terminal);
}

#[test]
fn an_upstream_that_just_stops_closes_what_is_open() {
    let mut stream = Stream::new(Dialect::Chat, Limits::default());
    let input = chat(&[json!({"content": "SEC"})]);
    let first = split(&input, usize::MAX).remove(0);
    stream.read(&first).unwrap();
    let last = stream.finish();
    assert!(last.terminal);
    assert_eq!(last.closes, [Channel { choice: 0, part: 0, kind: ChannelKind::Content }]);
    let flushed = stream.flush(last.closes[0], "SEC");
    assert_eq!(events_of(&flushed)[0]["choices"][0]["delta"]["content"], "SEC");
}

//! Law 1 and law 2 on bodies nobody thought of: no text escapes, nothing but edits changes, no bytes panic.

use bytes::Bytes;
use portcullis::types::{Dialect, SpanIndex};
use portcullis::wire::{Limits, Splitter, Stream, read_answer, read_prompt};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Every string and key below a value.
fn texts(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|element| texts(element, out)),
        Value::Object(members) => members.iter().for_each(|(key, member)| {
            out.push(key.clone());
            texts(member, out);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Strings with something to find in them, so that none is a known word, an id or base64.
fn marked() -> impl Strategy<Value = String> {
    "[a-z ]{0,6}\u{a7}[a-zA-Z \"\\\\\n{}\\[\\]:,0-9é]{0,12}"
}

const KEYS: [&str; 44] = [
    "role",
    "content",
    "text",
    "type",
    "name",
    "arguments",
    "input",
    "output",
    "tool_calls",
    "function",
    "custom",
    "function_call",
    "image_url",
    "url",
    "file",
    "file_data",
    "data",
    "source",
    "encrypted_content",
    "signature",
    "thinking",
    "refusal",
    "logprobs",
    "token",
    "tokens",
    "bytes",
    "top_logprobs",
    "choices",
    "message",
    "delta",
    "index",
    "summary",
    "item",
    "part",
    "response",
    "content_block",
    "results",
    "id",
    "usage",
    "metadata",
    "annotations",
    "audio",
    "transcript",
    "reasoning",
];

const TYPES: [&str; 16] = [
    "text",
    "image_url",
    "input_audio",
    "file",
    "tool_use",
    "tool_result",
    "redacted_thinking",
    "function_call",
    "message",
    "reasoning",
    "item_reference",
    "image_generation_call",
    "output_text",
    "content_block_delta",
    "response.output_text.delta",
    "response.output_item.added",
];

fn arbitrary() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => marked().prop_map(Value::String),
        1 => Just(Value::Null),
        1 => Just(json!(true)),
        1 => any::<u16>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 8, |inner| {
        let key = prop_oneof![6 => prop::sample::select(&KEYS[..]).prop_map(str::to_owned), 1 => marked()];
        let object =
            (prop::collection::vec((key, inner.clone()), 0..8), prop::option::of(prop::sample::select(&TYPES[..])));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::Array),
            object.prop_map(|(members, kind)| {
                let mut object: Map<String, Value> = members.into_iter().collect();
                if let Some(kind) = kind {
                    object.insert("type".to_owned(), json!(kind));
                }
                Value::Object(object)
            }),
        ]
    })
}

/// A body of a dialect with something odd where its texts are.
fn body_of(dialect: Dialect, odd: &Value) -> Value {
    match dialect {
        Dialect::Chat => {
            json!({"model": "m", "messages": [{"role": "user", "content": odd}, {"role": "tool", "x": odd}], "tools": odd})
        }
        Dialect::Responses => {
            json!({"model": "m", "input": [odd, {"type": "message", "role": "user", "content": odd}], "text": odd})
        }
        Dialect::Completions => json!({"model": "m", "prompt": [odd], "suffix": odd}),
        Dialect::Embeddings => json!({"model": "m", "input": [odd], "user": odd}),
        Dialect::Messages => json!({"model": "m", "system": [odd], "messages": [{"role": "user", "content": odd}]}),
        Dialect::Models => json!({ "x": odd }),
        Dialect::Generic => odd.clone(),
    }
}

/// The texts with a mark that are in none of those found.
fn missed(body: &Value, found: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    texts(body, &mut all);
    all.retain(|text| text.contains('\u{a7}') && !found.contains(text));
    // JSON inside a string is found leaf by leaf.
    all.retain(|text| {
        let Ok(inner) = serde_json::from_str::<Value>(text) else { return true };
        let mut leaves = Vec::new();
        texts(&inner, &mut leaves);
        leaves.iter().any(|leaf| leaf.contains('\u{a7}') && !found.contains(leaf))
    });
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_text_of_a_request_is_a_span(odd in arbitrary(), which in 0..Dialect::ALL.len()) {
        let dialect = *Dialect::ALL.get(which).unwrap();
        let body = body_of(dialect, &odd);
        let bytes = serde_json::to_vec(&body).unwrap();
        let prompt = read_prompt(dialect, &bytes, &Limits::default()).unwrap();
        let found: Vec<String> = prompt.spans.iter().map(|span| span.text.clone().into_owned()).collect();
        prop_assert_eq!(missed(&body, &found), Vec::<String>::new());
        let (read, unread) = prompt.accounted();
        prop_assert_eq!(read + unread, bytes.len() as u64);
        prop_assert_eq!(prompt.rebuild(&[], None), bytes);
    }

    #[test]
    fn an_edit_changes_its_span_and_no_other(odd in arbitrary(), which in 0..Dialect::ALL.len(), at in any::<prop::sample::Index>(), text in "\u{a7}[a-z \"\\\\\n]{0,9}") {
        let dialect = *Dialect::ALL.get(which).unwrap();
        let bytes = serde_json::to_vec(&body_of(dialect, &odd)).unwrap();
        let prompt = read_prompt(dialect, &bytes, &Limits::default()).unwrap();
        prop_assume!(!prompt.spans.is_empty());
        let at = at.index(prompt.spans.len());
        let original = prompt.spans.get(at).unwrap();
        // Editing a key can make it one the object already has; a type or role decides how its neighbours are read.
        let path = prompt.path_of(SpanIndex(u32::try_from(at).unwrap()));
        prop_assume!(!path.ends_with("(key)") && !path.ends_with("type") && !path.ends_with("role") && !path.contains("->"));
        prop_assume!(!original.text.starts_with("data:"));
        let edited = prompt.rebuild(&[(SpanIndex(u32::try_from(at).unwrap()), text.clone())], None);
        let again = read_prompt(dialect, &edited, &Limits::default()).unwrap();
        let mut expected: Vec<String> = prompt.spans.iter().map(|span| span.text.clone().into_owned()).collect();
        *expected.get_mut(at).unwrap() = text;
        let found: Vec<String> = again.spans.iter().map(|span| span.text.clone().into_owned()).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn every_text_of_an_answer_is_a_piece(odd in arbitrary(), which in 0..Dialect::ALL.len()) {
        let dialect = *Dialect::ALL.get(which).unwrap();
        let body = json!({"choices": [{"index": 0, "message": odd}, odd], "output": [odd], "content": [odd], "data": [odd], "odd": odd});
        let bytes = serde_json::to_vec(&body).unwrap();
        let answer = read_answer(dialect, &bytes, &Limits::default()).unwrap();
        let found: Vec<String> = answer.pieces.iter().map(|piece| piece.text.clone().into_owned()).collect();
        prop_assert_eq!(missed(&body, &found), Vec::<String>::new());
        prop_assert_eq!(answer.rebuild(&[]), bytes);
    }

    #[test]
    fn every_text_of_an_event_is_a_piece_or_in_a_call(odd in arbitrary(), which in 0..Dialect::ALL.len(), kind in prop::sample::select(&TYPES[..])) {
        let dialect = *Dialect::ALL.get(which).unwrap();
        let body = json!({"type": kind, "choices": [{"index": 0, "delta": odd}], "delta": odd, "content_block": odd, "item": odd, "part": odd,
            "response": {"output": [odd]}, "message": odd});
        let mut splitter = Splitter::new(1 << 20);
        splitter.push(Bytes::from(format!("data: {body}\n\n")));
        let event = splitter.next_event().unwrap().unwrap();
        let mut stream = Stream::new(dialect, Limits::default());
        let chunk = stream.read(&event).unwrap();
        let mut found: Vec<String> = chunk.pieces.iter().map(|piece| piece.text.clone().into_owned()).collect();
        if chunk.tool.part {
            stream.hold(&event, &chunk, &[]);
        }
        let mut calls = String::new();
        for channel in stream.finish().tool.done.into_iter().chain(chunk.tool.done.iter().copied()) {
            let call = stream.call(channel).unwrap();
            calls.push_str(call.name);
            calls.push_str(call.arguments);
            found.extend(call.pieces.iter().map(|piece| piece.text.clone().into_owned()));
        }
        let left: Vec<_> = missed(&body, &found).into_iter().filter(|text| {
            // A fragment is inside its call, as it is or, from a JSON value, escaped.
            let escaped = serde_json::to_string(text).unwrap();
            !calls.contains(text.as_str()) && !calls.contains(&escaped)
        }).collect();
        prop_assert_eq!(left, Vec::<String>::new());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in r#"[\[\]{}",:a-z0-9\\ \n]{0,120}"#, cut in 0..60_usize) {
        for dialect in Dialect::ALL {
            for input in [&bytes[..], text.as_bytes()] {
                let limits = Limits::default();
                drop(read_prompt(dialect, input, &limits).map(|prompt| prompt.rebuild(&[(SpanIndex(0), "x".to_owned())], Some("s"))));
                drop(read_answer(dialect, input, &limits).map(|answer| answer.rebuild(&[(0, "x".to_owned())])));
                let mut splitter = Splitter::new(1 << 16);
                let mut stream = Stream::new(dialect, limits);
                let data = [b"data: ", input, b"\n\n"].concat();
                let (head, tail) = data.split_at(cut.min(data.len()));
                for chunk in [head, tail] {
                    splitter.push(Bytes::copy_from_slice(chunk));
                    while let Some(Ok(event)) = splitter.next_event() {
                        if let Ok(chunk) = stream.read(&event) {
                            stream.rewrite(&event, &chunk, &[(0, "x".to_owned())]);
                        }
                    }
                }
                stream.end_blocked("n");
                stream.end_error("c", "m");
            }
        }
    }
}

#[test]
fn hostile_sizes_cost_no_more_than_their_length() {
    let limits = Limits::default();
    let started = std::time::Instant::now();
    // 60,000 keys, 60,000 strings of JSON, one object with 60,000 members; every one of them edited.
    let list = |element: &dyn Fn(u32) -> String| (0..60_000).map(element).collect::<Vec<_>>().join(",");
    let bodies = [
        format!(r#"{{"model":"m","messages":[],"x":{{{}}}}}"#, list(&|i| format!("\"k {i}\":0"))),
        format!(
            r#"{{"model":"m","messages":[{{"role":"assistant","tool_calls":[{}]}}]}}"#,
            list(&|_| r#"{"arguments":"[\"a b\"]"}"#.to_owned())
        ),
        format!(r#"{{"model":"m","messages":[{{{},"role":"user"}}]}}"#, list(&|i| format!("\"k {i}\":\"v\""))),
    ];
    for body in &bodies {
        let prompt = read_prompt(Dialect::Chat, body.as_bytes(), &limits).unwrap();
        let edits: Vec<_> =
            (0..u32::try_from(prompt.spans.len()).unwrap()).map(|i| (SpanIndex(i), "[X]".to_owned())).collect();
        assert!(edits.len() > 50_000);
        let edited = prompt.rebuild(&edits, None);
        assert!(read_prompt(Dialect::Generic, &edited, &limits).is_ok());
    }
    // Unoptimised and on a busy machine; what is quadratic here takes minutes.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

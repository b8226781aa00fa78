//! Law 3 end to end: no part of a match leaves, no other byte waits, and a blocked stream ends as its dialect ends.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::support::answers::{self, chat_chunk};
use crate::support::client::{Answer, ask_streamed, events, joined, open, post};
use crate::support::gateway::{Gateway, Setup};
use crate::support::mock::{Act, Mock};
use crate::support::within;

/// A dialect: where to ask, what to ask, how the provider streams, where the text is.
struct Speech {
    path: &'static str,
    request: Value,
    stream: fn(&[&str]) -> String,
    text: &'static str,
}

fn speeches() -> Vec<Speech> {
    let user = json!([{"role": "user", "content": "hello"}]);
    vec![
        Speech {
            path: "/v1/chat/completions",
            request: json!({"model": "m", "stream": true, "messages": user}),
            stream: answers::chat_stream,
            text: "/choices/0/delta/content",
        },
        Speech {
            path: "/v1/completions",
            request: json!({"model": "m", "stream": true, "prompt": "hello"}),
            stream: answers::completion_stream,
            text: "/choices/0/text",
        },
        Speech {
            path: "/v1/messages",
            request: json!({"model": "m", "max_tokens": 99, "stream": true, "messages": user}),
            stream: answers::message_stream,
            text: "/delta/text",
        },
        Speech {
            path: "/v1/responses",
            request: json!({"model": "m", "stream": true, "input": "hello"}),
            stream: answers::response_stream,
            text: "/delta",
        },
    ]
}

async fn ask(gateway: &Gateway, speech: &Speech) -> Answer {
    gateway.send(post(speech.path, speech.request.to_string())).await
}

/// How a blocked stream of this dialect says so, or what it said instead.
fn blocked_properly(path: &str, answer: &Answer) -> Result<(), String> {
    let events = answer.events();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    let fine = answer.complete
        && match path {
            "/v1/messages" => {
                joined(&events, "/delta/stop_reason") == "refusal" && kinds.last() == Some(&"message_stop")
            }
            "/v1/responses" => {
                let last = events.last();
                kinds.last() == Some(&"response.incomplete")
                    && last.is_some_and(|last| last["response"]["incomplete_details"]["reason"] == "content_filter")
            }
            _ => {
                joined(&events, "/choices/0/finish_reason") == "content_filter"
                    && events.last().is_some_and(|last| last == "[DONE]")
            }
        };
    if fine { Ok(()) } else { Err(answer.text()) }
}

#[tokio::test]
async fn a_leak_is_cut_in_the_middle_of_every_dialects_stream() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let mut asked = 0;
    for speech in speeches() {
        for pieces in [
            &["The code is ", "leak-1", "2345678", " and more"][..],
            &["The code is leak-12345678 and more"],
            &["The code is ", "l", "e", "a", "k", "-", "1", "2", "3", "4", "5", "6", "7", "8", " and", " more"],
        ] {
            for size in [1, 7, 100_000] {
                let body = (speech.stream)(pieces);
                mock.play(answers::stream(body.as_bytes(), size));
                let got = ask(&gateway, &speech).await;
                asked += 1;
                let said = joined(&got.events(), speech.text);
                assert_eq!(said.trim_end(), "The code is", "{} {pieces:?} in chunks of {size}", speech.path);
                blocked_properly(speech.path, &got).unwrap_or_else(|text| panic!("{}: {text}", speech.path));
                assert!(!got.text().contains("and more"), "nothing follows a block: {}", got.text());
            }
        }
    }
    for record in gateway.exactly(asked).await {
        assert_eq!((&record["outcome"], &record["decision"]), (&json!("answer_blocked"), &json!("block")), "{record}");
    }
}

#[tokio::test]
async fn private_text_is_replaced_the_same_way_in_every_copy() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    for speech in speeches() {
        for pieces in [&["He is priv", "ate-abc", "defgh today", "."][..], &["He is private-abcdefgh today."]] {
            let body = (speech.stream)(pieces);
            mock.play(answers::stream(body.as_bytes(), 61));
            let got = ask(&gateway, &speech).await;
            assert!(!got.text().contains("private-a") && !got.text().contains("defgh"), "{}", got.text());
            let said: Vec<Value> =
                got.events().into_iter().filter(|event| event["type"] != "response.completed").collect();
            assert_eq!(joined(&said, speech.text), "He is [GONE] today.", "{}", speech.path);
            if speech.path == "/v1/responses" {
                copies_agree(&got.events(), "He is [GONE] today.");
            }
        }
    }
}

fn copies_agree(events: &[Value], text: &str) {
    let of = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    assert_eq!(of("response.output_text.done")["text"], text);
    assert_eq!(of("response.content_part.done")["part"]["text"], text);
    assert_eq!(of("response.output_item.done")["item"]["content"][0]["text"], text);
    assert_eq!(of("response.completed")["response"]["output"][0]["content"][0]["text"], text);
}

#[tokio::test]
async fn clean_text_arrives_unchanged_however_it_is_cut() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let pieces =
        ["Prives lea", "k- leak-1234567", "x \u{e9}\u{1f600}\u{4e2d}", " \"quoted\\\" \n new", " private-abcdefg!"];
    for speech in speeches() {
        let body = (speech.stream)(&pieces);
        for size in [1, 2, 3, 5, 64, 100_000] {
            mock.play(answers::stream(body.as_bytes(), size));
            let got = ask(&gateway, &speech).await;
            assert!(got.complete);
            let sent: Vec<Value> = events(&body);
            assert_eq!(joined(&got.events(), speech.text), joined(&sent, speech.text), "{} by {size}", speech.path);
            let kinds = |events: &[Value]| -> Vec<Value> { events.iter().map(|event| event["type"].clone()).collect() };
            let mut kept = kinds(&got.events());
            kept.dedup();
            let mut wanted = kinds(&sent);
            wanted.dedup();
            assert_eq!(kept, wanted, "{} by {size}", speech.path);
        }
    }
}

#[tokio::test]
async fn line_ends_comments_and_split_data_are_understood() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let plain = answers::chat_stream(&["The code is ", "leak-12", "345678", " more"]);
    let variants = [
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        plain.replace("data: ", "data:"),
        format!(": hello\n\n{}", plain.replace("data: {", ": ping\nid: 7\nretry: 10\ndata: {")),
        plain.replace("data: {\"id\":\"chatcmpl-1\",", "data: {\"id\":\"chatcmpl-1\",\ndata: "),
        format!("\u{feff}{plain}"),
    ];
    for (number, body) in variants.iter().enumerate() {
        for size in [1, 9, 4096] {
            mock.play(answers::stream(body.as_bytes(), size));
            let got = gateway.send(ask_streamed("hello")).await;
            assert!(
                !got.text().contains("345678") && !got.text().contains("leak-1"),
                "variant {number}: {}",
                got.text()
            );
        }
    }
}

#[tokio::test]
async fn every_choice_has_its_own_channel() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    // The pieces of one match on two choices are no match; those of one choice are.
    let part = |index: u32, text: &str| chat_chunk(index, json!({"content": text}), None);
    let mixed = [
        part(0, "a leak-1234"),
        part(1, "5678 b"),
        part(0, " c"),
        part(1, " d"),
        chat_chunk(0, json!({}), Some("stop")),
        chat_chunk(1, json!({}), Some("stop")),
    ];
    mock.play(answers::stream(answers::events(&mixed).as_bytes(), 33));
    let got = gateway.send(ask_streamed("hello")).await;
    let of = |index: u64| -> Vec<Value> {
        got.events().into_iter().filter(|event| event["choices"][0]["index"] == index).collect()
    };
    assert_eq!(joined(&of(0), "/choices/0/delta/content"), "a leak-1234 c");
    assert_eq!(joined(&of(1), "/choices/0/delta/content"), "5678 b d");
    let leaking = [part(0, "fine"), part(1, "x leak-12"), part(0, " still"), part(1, "345678 y"), part(0, " fine")];
    mock.play(answers::stream(answers::events(&leaking).as_bytes(), 33));
    let got = gateway.send(ask_streamed("hello")).await;
    assert!(!got.text().contains("leak-") && !got.text().contains("345678"), "{}", got.text());
    assert!(got.text().contains("content_filter"));
}

fn tool_stream(arguments: &[&str]) -> String {
    let call = |part: Value| chat_chunk(0, json!({"tool_calls": [part]}), None);
    let mut all = vec![call(json!({"index": 0, "id": "call_1", "type": "function",
        "function": {"name": "run", "arguments": ""}}))];
    all.extend(arguments.iter().map(|part| call(json!({"index": 0, "function": {"arguments": part}}))));
    all.push(chat_chunk(0, json!({}), Some("tool_calls")));
    answers::events(&all)
}

#[tokio::test]
async fn a_tool_call_leaves_only_after_the_verdict_on_the_whole_of_it() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let clean = tool_stream(&["{\"q\": \"wea", "ther in O", "slo\"}"]);
    mock.play(answers::stream(clean.as_bytes(), 50));
    let got = gateway.send(ask_streamed("hello")).await;
    assert_eq!(
        joined(&got.events(), "/choices/0/delta/tool_calls/0/function/arguments"),
        "{\"q\": \"weather in Oslo\"}"
    );
    assert_eq!(joined(&got.events(), "/choices/0/delta/tool_calls/0/function/name"), "run");
    assert_eq!(joined(&got.events(), "/choices/0/finish_reason"), "tool_calls");
    let leaking = tool_stream(&["{\"first\": \"harmless\", ", "\"q\": \"leak-12", "345678\"}"]);
    mock.play(answers::stream(leaking.as_bytes(), 50));
    let got = gateway.send(ask_streamed("hello")).await;
    assert!(!got.text().contains("harmless") && !got.text().contains("\"run\""), "{}", got.text());
    assert_eq!(joined(&got.events(), "/choices/0/finish_reason"), "content_filter");
    // Escaped so that the arguments only leak once they are decoded.
    let escaped = tool_stream(&["{\"q\": \"leak\\u002d", "1234", "5678\"}"]);
    mock.play(answers::stream(escaped.as_bytes(), 50));
    let got = gateway.send(ask_streamed("hello")).await;
    assert!(!got.text().contains("1234"), "{}", got.text());
}

#[tokio::test]
async fn a_tool_call_is_held_while_prose_streams_on() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let call = |part: Value| format!("data: {}\n\n", chat_chunk(0, json!({"tool_calls": [part]}), None));
    let prose = |text: &str| format!("data: {}\n\n", chat_chunk(0, json!({"content": text}), None));
    let open_call =
        json!({"index": 0, "id": "c", "type": "function", "function": {"name": "run", "arguments": "{\"a\""}});
    mock.play(vec![
        answers::stream_head(),
        answers::chunk(prose("Let me look. ").as_bytes()),
        answers::chunk(call(open_call).as_bytes()),
        Act::Wait,
        answers::chunk(call(json!({"index": 0, "function": {"arguments": ": 1}"}})).as_bytes()),
        answers::chunk(
            format!("data: {}\n\ndata: [DONE]\n\n", chat_chunk(0, json!({}), Some("tool_calls"))).as_bytes(),
        ),
        answers::last_chunk(),
    ]);
    let mut response = open(gateway.address, ask_streamed("hello")).await.unwrap();
    let mut text = String::new();
    let early = within(5, async {
        while !text.contains("Let me look.") {
            let frame = response.body_mut().frame().await.expect("more").expect("no error");
            text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        }
        // Nothing more may come while the call is incomplete.
        tokio::time::timeout(Duration::from_millis(300), response.body_mut().frame()).await
    })
    .await;
    assert!(early.is_err(), "the call left before it was complete: {early:?}");
    assert!(!text.contains("run"), "{text}");
    mock.go_on();
    let rest = within(5, crate::support::client::collect(response)).await;
    assert_eq!(joined(&rest.events(), "/choices/0/delta/tool_calls/0/function/arguments"), "{\"a\": 1}");
}

#[tokio::test]
async fn text_that_no_match_needs_never_waits() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let prose = |text: &str| format!("data: {}\n\n", chat_chunk(0, json!({"content": text}), None));
    mock.play(vec![
        answers::stream_head(),
        answers::chunk(prose("All of this is fine lea").as_bytes()),
        Act::Wait,
        answers::chunk(prose("ves on the line.").as_bytes()),
        answers::chunk(b"data: [DONE]\n\n"),
        answers::last_chunk(),
    ]);
    let mut response = open(gateway.address, ask_streamed("hello")).await.unwrap();
    let mut text = String::new();
    within(5, async {
        while !text.contains("fine ") {
            let frame = response.body_mut().frame().await.expect("more").expect("no error");
            text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        }
    })
    .await;
    let said = joined(&events(&text), "/choices/0/delta/content");
    assert_eq!(said, "All of this is fine ", "only the start of a possible match is held");
    mock.go_on();
    let rest = within(5, crate::support::client::collect(response)).await;
    assert_eq!(joined(&rest.events(), "/choices/0/delta/content"), "leaves on the line.");
}

#[tokio::test]
async fn a_pause_in_the_middle_of_a_secret_does_not_let_it_out() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let prose = |text: &str| format!("data: {}\n\n", chat_chunk(0, json!({"content": text}), None));
    mock.play(vec![
        answers::stream_head(),
        answers::chunk(prose("x leak-1234").as_bytes()),
        Act::Pause(Duration::from_millis(1500)),
        answers::chunk(b": ping\n\n"),
        answers::chunk(prose("5678 y").as_bytes()),
        answers::chunk(b"data: [DONE]\n\n"),
        answers::last_chunk(),
    ]);
    let got = gateway.send(ask_streamed("hello")).await;
    assert!(!got.text().contains("leak-1"), "{}", got.text());
    assert_eq!(joined(&got.events(), "/choices/0/finish_reason"), "content_filter");
}

#[tokio::test]
async fn text_in_every_other_place_of_a_stream_is_inspected() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let leak = "leak-12345678";
    let chat = |delta: Value| answers::events(&[chat_chunk(0, delta, None), chat_chunk(0, json!({}), Some("stop"))]);
    let mut with_logprobs = chat_chunk(0, json!({"content": "x"}), None);
    with_logprobs["choices"][0]["logprobs"] = json!({"content": [{"token": leak, "logprob": 0.0}]});
    let bodies = [
        chat(json!({"reasoning_content": leak})),
        chat(json!({"refusal": leak})),
        chat(json!({"content": "x", "brand_new_field": {"deep": [leak]}})),
        answers::events(&[with_logprobs]),
        format!("data: {}\n\n", json!({"choices": [], "note": leak})),
        format!("data: {}", chat_chunk(0, json!({"content": leak}), None)),
        format!("{}data: {}\n\n", chat(json!({"content": "x"})), chat_chunk(0, json!({"content": leak}), None)),
    ];
    for body in &bodies {
        for size in [1, 100_000] {
            mock.play(answers::stream(body.as_bytes(), size));
            let got = gateway.send(ask_streamed("hello")).await;
            assert!(!got.text().contains("12345678"), "{body}\n-> {}", got.text());
        }
    }
}

#[tokio::test]
async fn usage_asked_for_by_the_gateway_alone_is_not_shown_to_the_client() {
    let mock = Mock::start(vec![]).await;
    mock.play_with(|seen| {
        let mut body = answers::chat_stream(&["hi"]).replace("data: [DONE]\n\n", "");
        if seen.json()["stream_options"]["include_usage"] == true {
            body.push_str(&format!(
                "data: {}\n\n",
                json!({"id": "chatcmpl-1", "object": "chat.completion.chunk",
                "created": 1, "model": "m", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2,
                "total_tokens": 7}})
            ));
        }
        body.push_str("data: [DONE]\n\n");
        answers::stream(body.as_bytes(), 4096)
    });
    let gateway = Setup::before(mock.address).start().await;
    let body = json!({"model": "m", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "hello"}]});
    let got = gateway.send(post("/v1/chat/completions", body.to_string())).await;
    assert!(got.text().contains("\"usage\""), "a client that asks gets it");
    assert_eq!(gateway.only_record().await["usage"]["input"], 5);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream_and_is_recorded() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let first = format!("data: {}\n\n", chat_chunk(0, json!({"content": "hi"}), None));
    mock.play(vec![answers::stream_head(), answers::chunk(first.as_bytes()), Act::Hang]);
    let mut response = open(gateway.address, ask_streamed("hello")).await.unwrap();
    within(5, response.body_mut().frame()).await.expect("a first event").expect("no error");
    drop(response);
    crate::support::until(3, "the upstream to be cancelled", || mock.last().cancelled.then_some(())).await;
    assert_eq!(gateway.only_record().await["outcome"], "abandoned");
}

#[tokio::test]
async fn a_slow_reader_slows_the_upstream_down_and_not_the_memory_up() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let event = format!("data: {}\n\n", chat_chunk(0, json!({"content": "word ".repeat(800)}), None));
    let chunked = format!("{:x}\r\n{event}\r\n", event.len());
    mock.play(vec![answers::stream_head(), Act::Repeat(chunked.into_bytes(), 50_000), answers::last_chunk()]);
    // Its start takes memory of its own, for a moment.
    crate::support::until(10, "the gateway's start", || gateway.log().contains("\"ready\"").then_some(())).await;
    let before = gateway.memory();
    let response = open(gateway.address, ask_streamed("hello")).await.unwrap();
    // The client reads nothing; two hundred megabytes wait behind it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "grew by {} KiB", grown >> 10);
    drop(response);
    gateway.only_record().await;
}

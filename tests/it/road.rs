//! The road of a request: forwarded as it is, refused in the caller's dialect, recorded once.

use serde_json::{Value, json};

use crate::support::answers;
use crate::support::client::{ask, ask_streamed, joined, post};
use crate::support::gateway::{PROVIDER_KEY, Setup};
use crate::support::mock::Mock;

#[tokio::test]
async fn a_clean_answer_arrives_byte_for_byte_and_is_recorded_once() {
    let answer = answers::chat("Paris is the capital of France.");
    let mock = Mock::start(answers::json_body(200, &answer)).await;
    let gateway = Setup::before(mock.address).start().await;
    let got = gateway.send(ask("What is the capital of France?")).await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.text(), answer.to_string());
    assert!(got.header("x-request-id").is_some());
    let record = gateway.only_record().await;
    assert_eq!(record["outcome"], "served");
    assert_eq!(record["id"], got.header("x-request-id").unwrap());
    assert_eq!((&record["dialect"], &record["model"]), (&json!("chat"), &json!("m")));
    assert_eq!((&record["usage"]["input"], &record["usage"]["output"]), (&json!(9), &json!(12)));
}

#[tokio::test]
async fn an_unedited_body_is_forwarded_byte_for_byte_unknown_fields_and_all() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    let odd = "{ \"model\" : \"m\",\n\t\"x_new_field\": {\"a\": [1.50, 1e3, \"\\u00e9\\/\"]}, \"temperature\":0.10,\
               \"messages\":[ {\"role\":\"user\",\"content\":\"h\\u0065llo \u{e9}\", \"vendor\": null} ] }\n";
    assert_eq!(gateway.send(post("/v1/chat/completions", odd)).await.status, 200);
    assert_eq!(String::from_utf8_lossy(&mock.last().body), odd);
}

#[tokio::test]
async fn the_provider_sees_its_own_key_and_nothing_of_the_clients() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    let mut request = ask("hello");
    request.headers_mut().insert("x-forwarded-for", "192.0.2.7".parse().unwrap());
    request.headers_mut().insert("openai-organization", "org-1".parse().unwrap());
    request.headers_mut().insert("connection", "x-drop-me".parse().unwrap());
    request.headers_mut().insert("x-drop-me", "1".parse().unwrap());
    assert_eq!(gateway.send(request).await.status, 200);
    let seen = mock.last();
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {PROVIDER_KEY}")));
    assert_eq!((&*seen.method, &*seen.target), ("POST", "/v1/chat/completions"));
    assert_eq!(seen.header("x-forwarded-for"), None);
    assert_eq!(seen.header("openai-organization"), Some("org-1"));
    assert_eq!(seen.header("host"), Some(&*mock.address.to_string()));
    let request = post("/v1/messages", json!({"model": "m", "max_tokens": 5, "messages": []}).to_string());
    gateway.send(request).await;
    let seen = mock.last();
    assert_eq!(seen.header("x-api-key"), Some(PROVIDER_KEY));
    assert!(!seen.headers.iter().any(|(_, value)| value.contains("client-key")), "{:?}", seen.headers);
}

#[tokio::test]
async fn paths_work_with_and_without_the_version() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).to_string();
    for path in ["/v1/chat/completions", "/chat/completions"] {
        assert_eq!(gateway.send(post(path, body.clone())).await.status, 200, "{path}");
        assert_eq!(mock.last().target, "/v1/chat/completions");
    }
}

#[tokio::test]
async fn an_attack_is_refused_in_openais_form_never_forwarded_and_not_to_be_retried() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    for request in [ask("please, attack-marker now"), ask_streamed("please, attack-marker now")] {
        let got = gateway.send(request).await;
        got.assert_error(400, "content_filter");
        assert_eq!(got.header("x-should-retry"), Some("false"));
        assert!(!got.text().contains("attack-marker"), "the answer never quotes the match");
    }
    assert_eq!(mock.count(), 0);
    for record in gateway.exactly(2).await {
        assert_eq!((&record["outcome"], &record["decision"]), (&json!("prompt_blocked"), &json!("block")));
        assert_eq!(record["input"]["findings"][0]["rule"], "PC-TEST-0001");
        assert!(!record.to_string().contains("attack-marker"), "the record never quotes the match: {record}");
    }
}

#[tokio::test]
async fn an_attack_is_refused_in_anthropics_form() {
    let mock = Mock::start(answers::json_body(200, &answers::message("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "hello"}, {"type": "tool_result", "tool_use_id": "t", "content": "attack-marker"}]}]});
    let got = gateway.send(post("/v1/messages", body.to_string())).await;
    assert_eq!(got.status, 400, "{}", got.text());
    assert_eq!(got.header("x-should-retry"), Some("false"));
    let error = got.json();
    assert_eq!(error["type"], "error");
    assert!(error["error"]["type"].is_string() && error["error"]["message"].is_string(), "{error}");
    assert_eq!(mock.count(), 0);
    assert_eq!(gateway.only_record().await["outcome"], "prompt_blocked");
}

/// Wherever the model could read it.
#[tokio::test]
async fn an_attack_is_found_wherever_text_lives() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    let user = |content: Value| json!([{"role": "user", "content": content}]);
    let chat = |mut fields: Value| {
        fields["model"] = "m".into();
        if fields.get("messages").is_none() {
            fields["messages"] = user("hello".into());
        }
        ("/v1/chat/completions", fields)
    };
    let cases = [
        chat(
            json!({"messages": user(json!([{"type": "text", "text": "x"}, {"type": "text", "text": "attack-marker"}]))}),
        ),
        chat(json!({"messages": user("\u{61}ttack\u{2d}marker".into())})),
        chat(json!({"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
            "function": {"name": "f", "arguments": "{\"deep\": {\"a\": \"attack\\u002dmarker\"}}"}}]}]})),
        chat(json!({"messages": [{"role": "tool", "tool_call_id": "c", "content": "attack-marker"}]})),
        chat(json!({"messages": user(json!([{"type": "new_kind", "payload": {"inner": ["attack-marker"]}}]))})),
        chat(json!({"metadata": {"note": "attack-marker"}})),
        chat(json!({"x_unknown": {"list": [{"deep": "attack-marker"}]}})),
        chat(json!({"prediction": {"type": "content", "content": "attack-marker"}})),
        ("/v1/responses", json!({"model": "m", "input": "attack-marker"})),
        (
            "/v1/responses",
            json!({"model": "m", "input": [{"role": "user", "content": [
            {"type": "input_text", "text": "attack-marker"}]}]}),
        ),
        (
            "/v1/responses",
            json!({"model": "m", "input": [
            {"type": "function_call_output", "call_id": "c", "output": "attack-marker"}]}),
        ),
        ("/v1/completions", json!({"model": "m", "prompt": ["fine", "attack-marker"]})),
        ("/v1/completions", json!({"model": "m", "prompt": "fine", "suffix": "attack-marker"})),
        ("/v1/embeddings", json!({"model": "m", "input": ["fine", "attack-marker"]})),
    ];
    for (path, body) in &cases {
        let got = gateway.send(post(path, body.to_string())).await;
        assert_eq!(got.status, 400, "{path} {body}: {}", got.text());
    }
    assert_eq!(mock.count(), 0);
    gateway.exactly(cases.len()).await;
}

#[tokio::test]
async fn a_leak_in_a_whole_answer_is_blocked_and_a_private_text_replaced() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("the code is leak-12345678, sir"))).await;
    let gateway = Setup::before(mock.address).start().await;
    let got = gateway.send(ask("hello")).await;
    got.assert_error(400, "content_filter");
    assert!(!got.text().contains("leak-1234"));
    mock.play(answers::json_body(200, &answers::chat("he is private-abcdefgh, sir")));
    let got = gateway.send(ask("hello")).await;
    let expected = answers::chat("he is [GONE], sir").to_string();
    assert_eq!(got.text(), expected, "everything but the match stays byte for byte");
    assert_eq!(got.header("content-length"), Some(&*expected.len().to_string()));
    let records = gateway.exactly(2).await;
    assert_eq!(records[0]["outcome"], "answer_blocked");
    assert_eq!((&records[1]["outcome"], &records[1]["decision"]), (&json!("served"), &json!("redact")));
    assert!(!format!("{records:?}").contains("private-abcdefgh"));
}

#[tokio::test]
async fn a_leak_in_any_part_of_a_whole_answer_is_found() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let leak = "leak-12345678";
    let message = |message: Value| {
        json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"},
                {"index": 1, "message": message, "finish_reason": "stop"}]})
    };
    let cases = [
        message(json!({"role": "assistant", "content": leak})),
        message(json!({"role": "assistant", "content": null, "refusal": leak})),
        message(json!({"role": "assistant", "content": "x", "reasoning_content": leak})),
        message(json!({"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
            "function": {"name": "f", "arguments": json!({"q": leak}).to_string()}}]})),
        message(json!({"role": "assistant", "content": "x", "annotations": [
            {"type": "url_citation", "url_citation": {"url": "https://x.example/", "title": leak}}]})),
        message(json!({"role": "assistant", "content": "x", "brand_new": [leak]})),
    ];
    for answer in &cases {
        mock.play(answers::json_body(200, answer));
        let got = gateway.send(ask("hello")).await;
        assert!(!got.text().contains(leak), "{answer}\n-> {}", got.text());
        assert_eq!(got.status, 400, "{answer}");
    }
    gateway.exactly(cases.len()).await;
}

#[tokio::test]
async fn a_clean_stream_arrives_byte_for_byte() {
    let body = answers::chat_stream(&["Hel", "lo, ", "wor", "ld: \u{1f600} ", "le", "ak-12 is short"]);
    let mock = Mock::start(answers::stream(body.as_bytes(), 37)).await;
    let gateway = Setup::before(mock.address).start().await;
    let got = gateway.send(ask_streamed("hello")).await;
    assert!(got.complete);
    assert_eq!(got.header("content-type"), Some("text/event-stream"));
    assert_eq!(joined(&got.events(), "/choices/0/delta/content"), "Hello, world: \u{1f600} leak-12 is short");
    assert_eq!(got.events().last().unwrap(), "[DONE]");
    let record = gateway.only_record().await;
    assert_eq!((&record["outcome"], &record["stream"]), (&json!("served"), &json!(true)));
}

#[tokio::test]
async fn monitor_reports_and_lets_through_and_off_does_not_even_look() {
    let body = answers::chat("the code is leak-12345678, sir");
    let mock = Mock::start(answers::json_body(200, &body)).await;
    for (mode, decision) in [("monitor", "block"), ("off", "allow")] {
        let gateway = Setup::before(mock.address).inspect(&format!("mode = {mode:?}")).start().await;
        let got = gateway.send(ask("attack-marker")).await;
        assert_eq!((got.status, got.text()), (200, body.to_string()), "{mode}");
        let record = gateway.only_record().await;
        assert_eq!(record["outcome"], "served", "{mode}");
        let found = record["input"]["decision"].as_str().unwrap_or("allow");
        assert_eq!(found, decision, "{mode}: {record}");
        if mode == "off" {
            assert!(record["request_bytes"]["exempt"].as_u64().unwrap() > 0, "{record}");
        }
    }
}

#[tokio::test]
async fn every_relayed_byte_is_accounted_for() {
    let answer = answers::chat("ok").to_string();
    let mock = Mock::start(answers::with_body(200, "content-type: application/json\r\n", answer.as_bytes())).await;
    let gateway = Setup::before(mock.address).start().await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="}}]}]});
    assert_eq!(gateway.send(post("/v1/chat/completions", body.to_string())).await.status, 200);
    let record = gateway.only_record().await;
    let sum = |key: &str| -> u64 {
        ["inspected", "exempt", "uninspected"].iter().map(|kind| record[key][kind].as_u64().unwrap()).sum()
    };
    assert_eq!(sum("request_bytes"), mock.last().body.len() as u64);
    assert_eq!(sum("response_bytes"), answer.len() as u64);
    assert!(record["request_bytes"]["uninspected"].as_u64().unwrap() >= 20, "the image: {record}");
}

#[tokio::test]
async fn unknown_endpoints_are_refused_unless_a_route_says_otherwise() {
    let mock = Mock::start(answers::json_body(200, &json!({"fine": true}))).await;
    let gateway = Setup::before(mock.address).start().await;
    for path in ["/v1/files", "/v1/fine_tuning/jobs", "/v1/messages/batches", "/", "/v2/chat/completions"] {
        let got = gateway.send(post(path, "{}")).await;
        assert_eq!(got.status, 403, "{path}: {}", got.text());
        assert_eq!(got.header("x-should-retry"), Some("false"), "{path}");
    }
    assert_eq!(mock.count(), 0);
    drop(gateway);
    let routes = "[[routes]]\npath = \"/moderations\"\naction = \"inspect\"\nupstream = \"openai\"\n\
                  [[routes]]\npath = \"/raw/*\"\naction = \"pass\"\nupstream = \"openai\"";
    let gateway = Setup::before(mock.address).section(routes).start().await;
    assert_eq!(gateway.send(post("/v1/moderations", r#"{"input": "fine"}"#)).await.status, 200);
    assert_eq!(gateway.send(post("/v1/moderations", r#"{"input": "attack-marker"}"#)).await.status, 400);
    assert_eq!(mock.count(), 1);
    assert_eq!(gateway.send(post("/v1/raw/thing", "attack-marker")).await.status, 200);
    assert_eq!(mock.last().body, b"attack-marker");
}

#[tokio::test]
async fn gateway_keys_are_asked_for_when_configured() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let digest = sha256_hex(b"client-key");
    let identity = format!("[identity]\nrequire_key = true\nkeys = [{{ name = \"team-a\", sha256 = \"{digest}\" }}]");
    let gateway = Setup::before(mock.address).section(&identity).start().await;
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
    let mut wrong = ask("hello");
    wrong.headers_mut().insert("authorization", "Bearer client-kez".parse().unwrap());
    gateway.send(wrong).await.assert_error(401, "missing_api_key");
    let mut none = ask("hello");
    none.headers_mut().remove("authorization");
    gateway.send(none).await.assert_error(401, "missing_api_key");
    assert_eq!(mock.count(), 1);
    let records = gateway.exactly(3).await;
    assert_eq!(records[0]["caller"]["key"], "team-a");
    assert!(!gateway.log().contains("client-kez") && !format!("{records:?}").contains("client-ke"));
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Law 2 in the metrics: the three accounts sum to the bytes relayed, per direction.
#[tokio::test]
async fn metrics_tell_what_happened() {
    let answer = answers::chat("ok").to_string();
    let mock = Mock::start(answers::with_body(200, "content-type: application/json\r\n", answer.as_bytes())).await;
    let gateway = Setup::before(mock.address).start().await;
    for _ in 0..3 {
        assert_eq!(gateway.send(ask("hello")).await.status, 200);
    }
    assert_eq!(gateway.send(ask("attack-marker")).await.status, 400);
    gateway.exactly(4).await;
    let sent = mock.last().body.len() * 3;
    assert_eq!(gateway.metric("portcullis_bytes_total", &["direction=\"input\""]).await, sent as f64);
    assert_eq!(gateway.metric("portcullis_bytes_total", &["direction=\"output\""]).await, (answer.len() * 3) as f64);
    assert_eq!(gateway.metric("portcullis_rule_hits_total", &["rule=\"PC-TEST-0001\""]).await, 1.0);
    assert_eq!(gateway.metric("portcullis_refusals_total", &["code=\"content_filter\""]).await, 1.0);
    assert_eq!(gateway.metric("portcullis_decisions_total", &["direction=\"input\"", "decision=\"block\""]).await, 1.0);
    assert_eq!(gateway.metric("portcullis_in_flight", &[]).await, 0.0);
    assert_eq!(gateway.metric("portcullis_events_dropped_total", &[]).await, 0.0);
}

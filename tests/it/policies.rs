//! Policies: who gets what treatment, by who asks and what for.

use serde_json::{Value, json};

use crate::support::answers;
use crate::support::client::{ask, ask_streamed, post};
use crate::support::gateway::Setup;
use crate::support::mock::Mock;

/// SHA-256 of `key-of-research` and `key-of-sales`.
fn keys() -> String {
    use sha2::{Digest, Sha256};
    let one = |name: &str| {
        let digest = Sha256::digest(format!("key-of-{name}"));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{ name = \"{name}\", sha256 = \"{hex}\" }}")
    };
    format!("[identity]\nkeys = [{}, {}]\n", one("research"), one("sales"))
}

fn with_key(
    mut request: hyper::Request<http_body_util::Full<bytes::Bytes>>,
    name: &str,
) -> hyper::Request<http_body_util::Full<bytes::Bytes>> {
    request.headers_mut().insert("authorization", format!("Bearer key-of-{name}").parse().unwrap());
    request
}

fn chat(more: Value) -> String {
    let mut body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test]
async fn the_first_policy_that_matches_decides_and_the_record_names_it() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let sections = format!(
        "{}[[policies]]\nname = \"research\"\nmatch = {{ key = [\"research\"] }}\nmode = \"monitor\"\n\
         [[policies]]\nname = \"everyone\"\nmatch = {{}}\nmodels = [\"gpt-4o*\", \"m\"]\n",
        keys()
    );
    let gateway = Setup::before(mock.address).section(&sections).start().await;
    assert_eq!(gateway.send(with_key(ask("attack-marker"), "research")).await.status, 200);
    gateway.send(with_key(ask("attack-marker"), "sales")).await.assert_error(400, "content_filter");
    let other = post("/v1/chat/completions", chat(json!({"model": "o9"})));
    gateway.send(with_key(other, "sales")).await.assert_error(403, "model_not_allowed");
    assert_eq!(gateway.send(post("/v1/chat/completions", chat(json!({})))).await.status, 200);
    let policies: Vec<Value> = gateway.exactly(4).await.iter().map(|record| record["policy"].clone()).collect();
    assert_eq!(policies, ["research", "everyone", "everyone", "everyone"]);
    assert_eq!(mock.count(), 2);
}

#[tokio::test]
async fn a_family_is_treated_as_the_policy_says_in_prompts_and_in_answers() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("a private-abcdefgh here"))).await;
    let sections = format!(
        "{}[[policies]]\nname = \"research\"\nmatch = {{ key = [\"research\"] }}\n\
         families = {{ prompt_injection = {{ enabled = false }}, privacy = {{ action = \"block\" }} }}\n\
         [[policies]]\nname = \"sales\"\nmatch = {{ key = [\"sales\"] }}\nfamilies = {{ privacy = {{ enabled = false }} }}\n",
        keys()
    );
    let gateway = Setup::before(mock.address).section(&sections).start().await;
    let got = gateway.send(with_key(ask("attack-marker"), "research")).await;
    got.assert_error(400, "content_filter");
    assert!(got.text().contains("answer"), "the prompt passed, its answer did not: {}", got.text());
    gateway.send(with_key(ask("attack-marker"), "sales")).await.assert_error(400, "content_filter");
    let got = gateway.send(with_key(ask("hi"), "sales")).await;
    assert!(got.text().contains("private-abcdefgh"), "{}", got.text());
    let got = gateway.send(ask("hi")).await;
    assert!(got.text().contains("[GONE]") && !got.text().contains("private-"), "{}", got.text());
}

#[tokio::test]
async fn tools_and_servers_that_the_policy_does_not_allow_are_neither_offered_nor_called() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let sections = "[[policies]]\nname = \"all\"\nmatch = {}\ntools = [\"get_*\"]\nmcp_hosts = [\"*.example.com\"]\n";
    let gateway = Setup::before(mock.address).section(sections).start().await;
    let offer = |tool: Value| post("/v1/chat/completions", chat(json!({"tools": [tool]})));
    let function = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {}}});
    assert_eq!(gateway.send(offer(function("get_weather"))).await.status, 200);
    gateway.send(offer(function("send_mail"))).await.assert_error(403, "tool_not_allowed");
    let server = |url: &str| json!({"type": "mcp", "server_label": "x", "server_url": url});
    assert_eq!(gateway.send(offer(server("https://mcp.example.com/sse"))).await.status, 200);
    for url in ["https://evil.test/mcp.example.com", "https://mcp.example.com@evil.test/", "nonsense"] {
        gateway.send(offer(server(url))).await.assert_error(403, "tool_not_allowed");
    }
    let call = |name: &str| {
        json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0,
            "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}}]}}]})
    };
    mock.play(answers::json_body(200, &call("send_mail")));
    let got = gateway.send(ask("hi")).await;
    got.assert_error(400, "content_filter");
    assert!(!got.text().contains("send_mail"), "{}", got.text());
    mock.play(answers::json_body(200, &call("get_weather")));
    assert!(gateway.send(ask("hi")).await.text().contains("get_weather"));
    let records = gateway.exactly(8).await;
    assert_eq!(records[6]["output"]["findings"][0]["rule"], "PC-POL-0001", "{}", records[6]);
}

#[tokio::test]
async fn a_stream_is_asked_what_it_used_and_only_a_client_that_asked_is_told() {
    let chunk =
        |rest: &str| format!("data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",{rest}}}\n\n");
    let stream = [
        chunk(r#""choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]"#),
        chunk(r#""choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}"#),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let mock = Mock::start(answers::stream(stream.as_bytes(), 4096)).await;
    let gateway = Setup::before(mock.address).start().await;
    let got = gateway.send(ask_streamed("hi")).await;
    assert!(got.text().contains("hello") && got.text().contains("[DONE]"), "{}", got.text());
    assert!(!got.text().contains("usage"), "{}", got.text());
    assert_eq!(mock.last().json()["stream_options"]["include_usage"], true);
    let asked = chat(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let got = gateway.send(post("/v1/chat/completions", asked.clone())).await;
    assert!(got.text().contains("usage"), "{}", got.text());
    assert_eq!(mock.last().body, asked.into_bytes(), "nothing to change");
    for record in gateway.exactly(2).await {
        assert_eq!(record["usage"]["input"], 7, "{record}");
        assert_eq!(record["usage"]["output"], 3, "{record}");
    }
}

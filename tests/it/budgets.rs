//! Tokens and money: set aside before the call, put right after it, cut when they run out.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::access::Admin;
use crate::support::client::{ask, open, post};
use crate::support::gateway::Setup;
use crate::support::mock::{Act, Mock};
use crate::support::{answers, within};

fn used(input: u64, output: u64) -> Value {
    let mut answer = answers::chat("ok");
    answer["usage"] = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    answer
}

fn asking(most: u64) -> hyper::Request<http_body_util::Full<bytes::Bytes>> {
    let body = json!({"model": "gpt-4o", "max_tokens": most, "messages": [{"role": "user", "content": "hi"}]});
    post("/v1/chat/completions", body.to_string())
}

#[tokio::test]
async fn tokens_are_set_aside_before_the_call_and_given_back_when_it_used_fewer() {
    let mock = Mock::start(answers::json_body(200, &used(8, 12))).await;
    let gateway = Setup::before(mock.address).section("[limits.per_address]\ntokens_per_day = 1000").start().await;
    let got = gateway.send(asking(900)).await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.header("x-ratelimit-limit-tokens"), Some("1000"));
    // 980 are free again: less would not let the same request in.
    assert_eq!(gateway.send(asking(900)).await.status, 200);
    let got = gateway.send(asking(970)).await;
    got.assert_error(429, "rate_limit_exceeded");
    assert!(got.header("retry-after").is_some(), "{:?}", got.headers);
    let got = gateway.send(asking(5000)).await;
    got.assert_error(429, "rate_limit_exceeded");
    assert_eq!(got.header("x-should-retry"), Some("false"), "it will never fit");
    assert_eq!(mock.count(), 2);
}

#[tokio::test]
async fn a_spent_budget_refuses_at_once_and_warns_before() {
    // 250 dollars per million tokens of input would be dear; gpt-4o is in the built-in table.
    let mock = Mock::start(answers::json_body(200, &used(200_000, 0))).await;
    let budget = "[[budgets]]\nname = \"all\"\nusd = 1.0\nperiod = \"day\"\nwarn_at = [0.4]";
    let gateway = Setup::before(mock.address).section(budget).start().await;
    let first = gateway.send(asking(10)).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(gateway.send(asking(10)).await.status, 200);
    let got = gateway.send(asking(10)).await;
    got.assert_error(429, "insufficient_quota");
    assert_eq!(got.header("x-should-retry"), Some("false"));
    let records = gateway.exactly(3).await;
    // gpt-4o: 2.50 dollars per million tokens of input.
    assert_eq!(records[0]["cost"], 500_000_000, "{}", records[0]);
    assert!((gateway.metric("portcullis_alarms_total", &["budget_warning"]).await - 1.0).abs() < 1e-9);
    let body = json!({"model": "a-model-without-price", "messages": [{"role": "user", "content": "hi"}]});
    let got = gateway.send(post("/v1/chat/completions", body.to_string())).await;
    got.assert_error(403, "model_without_price");
}

#[tokio::test]
async fn what_an_agent_of_a_tenant_used_can_be_asked_for() {
    let mock = Mock::start(answers::json_body(200, &used(400_000, 0))).await;
    let gateway = Setup::before(mock.address)
        .server("trusted_proxies = [\"127.0.0.1/32\"]\n")
        .section("[identity]\nagent_header = \"x-agent\"\ntenant_header = \"x-tenant\"")
        .section("[[budgets]]\nname = \"of-agents\"\nscope = \"agent\"\nusd = 10.0\nperiod = \"day\"")
        .section("[[budgets]]\nname = \"together\"\nusd = 10.0\nperiod = \"day\"")
        .start()
        .await;
    let admin = Admin::first(&gateway).await;
    let mut request = asking(10);
    request.headers_mut().insert("x-agent", "bot".parse().unwrap());
    request.headers_mut().insert("x-tenant", "acme".parse().unwrap());
    assert_eq!(gateway.send(request).await.status, 200);
    gateway.exactly(1).await;
    // gpt-4o: 2.50 dollars per million tokens of input.
    for (query, name, of, used) in [
        ("scope=agent&name=bot&tenant=acme", "of-agents", json!("bot"), json!(1_000_000_000)),
        ("scope=agent&name=bot", "of-agents", json!("bot"), json!(0)),
        ("scope=agent", "of-agents", Value::Null, Value::Null),
        ("scope=all&name=bot", "together", json!(""), json!(1_000_000_000)),
    ] {
        let found = admin.get(&format!("/budgets?{query}")).await;
        let found = found["items"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        assert_eq!((&found[0]["name"], &found[0]["of"], &found[0]["used"]), (&json!(name), &of, &used), "{query}");
    }
}

#[tokio::test]
async fn what_fails_costs_nothing() {
    let mock = Mock::start(answers::json_body(500, &json!({"error": {"message": "no"}}))).await;
    let budget = "[[budgets]]\nname = \"all\"\nusd = 0.02\nperiod = \"day\"";
    let gateway = Setup::before(mock.address).section(budget).start().await;
    // Each sets aside 0.01 dollars.
    for _ in 0..5 {
        assert_eq!(gateway.send(asking(1000)).await.status, 500);
    }
    gateway.send(ask("attack-marker")).await.assert_error(403, "model_without_price");
    mock.play(answers::json_body(200, &used(8, 1)));
    assert_eq!(gateway.send(asking(1000)).await.status, 200);
}

#[tokio::test]
async fn a_stream_that_says_not_how_long_it_may_be_is_cut_at_the_limit() {
    let mut acts = vec![answers::stream_head()];
    for _ in 0..400 {
        let event = format!("data: {}\n\n", answers::chat_chunk(0, json!({"content": "word "}), None));
        acts.push(answers::chunk(event.as_bytes()));
    }
    acts.push(Act::Hang);
    let mock = Mock::start(acts).await;
    let limits = "[limits]\ndefault_max_output = 100\n[limits.per_address]\ntokens_per_day = 200";
    let gateway = Setup::before(mock.address).section(limits).start().await;
    let body = json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let got = gateway.send(post("/v1/chat/completions", body.to_string())).await;
    let words = got.text().matches("word ").count();
    assert!((80..=200).contains(&words), "{words}");
    assert!(got.text().contains("rate_limit_exceeded"), "{}", got.text());
    let record = gateway.only_record().await;
    assert_eq!(record["outcome"], "cut", "{record}");
    assert_eq!(record["reason"], "limit_reached");
    assert_eq!(record["estimated"], true);
    assert!(record["usage"]["output"].as_u64().unwrap() >= words as u64);
}

/// A stream of Claude's that breaks off before it says what it used.
fn unfinished_message(words: usize) -> Vec<Act> {
    let whole = answers::message_stream(&vec!["word "; words]);
    let (before, _) = whole.split_once("event: message_delta").unwrap();
    let mut acts = vec![answers::stream_head()];
    for event in before.split_inclusive("\n\n") {
        acts.push(answers::chunk(event.as_bytes()));
    }
    acts.push(Act::Hang);
    acts
}

fn message(most: u64) -> hyper::Request<http_body_util::Full<bytes::Bytes>> {
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": most, "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    post("/v1/messages", body.to_string())
}

#[tokio::test]
async fn a_stream_that_is_cut_is_charged_for_what_it_gave_whatever_it_said_at_its_beginning() {
    let mock = Mock::start(unfinished_message(400)).await;
    let limits = "[limits.per_address]\ntokens_per_day = 200";
    let gateway = Setup::before(mock.address).section(limits).start().await;
    let got = gateway.send(message(100)).await;
    let words = got.text().matches("word ").count();
    assert!((60..=250).contains(&words), "{words}");
    let record = gateway.only_record().await;
    assert!(record["usage"]["output"].as_u64().unwrap() >= words as u64, "{record}");
    assert_eq!(record["estimated"], true, "{record}");
    let got = gateway.send(message(150)).await;
    assert_eq!(got.status, 429, "the limit is used up, not refilled: {}", got.text());
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_pays_for_what_it_got() {
    let mock = Mock::start(unfinished_message(50)).await;
    let gateway = Setup::before(mock.address).section("[limits.per_address]\ntokens_per_day = 100000").start().await;
    let mut stream = open(gateway.address, message(1000)).await.unwrap();
    let mut text = String::new();
    while text.matches("word ").count() < 50 {
        let frame = within(5, stream.body_mut().frame()).await.unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    drop(stream);
    let record = gateway.only_record().await;
    assert_eq!(record["outcome"], "abandoned", "{record}");
    assert!(record["usage"]["output"].as_u64().unwrap() >= 50, "{record}");
    assert!(record["cost"].as_u64().unwrap() > 0, "{record}");
}

#[tokio::test]
async fn what_is_not_inspected_is_counted_all_the_same() {
    let mut acts = vec![answers::stream_head()];
    for _ in 0..400 {
        let event = format!("data: {}\n\n", answers::chat_chunk(0, json!({"content": "word "}), None));
        acts.push(answers::chunk(event.as_bytes()));
    }
    acts.push(Act::Hang);
    let mock = Mock::start(acts).await;
    let limits = "[limits]\ndefault_max_output = 1000\n[limits.per_address]\ntokens_per_day = 2000";
    let gateway = Setup::before(mock.address).inspect("mode = \"off\"").section(limits).start().await;
    let body = json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "hi"}]}).to_string();
    // It is cut as a stream is that nobody reads: it breaks off, at once where all of it comes at once.
    let mut text = String::new();
    if let Ok(mut stream) = open(gateway.address, post("/v1/chat/completions", body.clone())).await {
        while let Some(Ok(frame)) = within(10, stream.body_mut().frame()).await {
            text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        }
    }
    assert!(text.matches("word ").count() < 400, "it is cut somewhere");
    let record = gateway.only_record().await;
    assert_eq!((&record["outcome"], &record["reason"]), (&json!("cut"), &json!("limit_reached")), "{record}");
    assert_eq!(mock.last().body, body.into_bytes(), "what is not inspected is not changed");
}

#[tokio::test]
async fn a_request_that_leaves_its_model_to_others_is_held_to_no_list_and_no_price() {
    let mock = Mock::start(answers::json_body(200, &answers::response("ok", "completed"))).await;
    let sections = "[[policies]]\nname = \"all\"\nmatch = {}\nmodels = [\"gpt-4o*\"]";
    let gateway = Setup::before(mock.address).section(sections).start().await;
    let body = json!({"prompt": {"id": "pmpt_1"}, "input": "hi"}).to_string();
    gateway.send(post("/v1/responses", body)).await.assert_error(403, "model_not_allowed");
    assert_eq!(mock.count(), 0);
}

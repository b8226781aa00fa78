//! Tokens and money: set aside before the call, put right after it, cut when they run out.

use serde_json::{Value, json};

use crate::support::answers;
use crate::support::client::{ask, post};
use crate::support::gateway::Setup;
use crate::support::mock::{Act, Mock};

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

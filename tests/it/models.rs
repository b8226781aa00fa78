//! A second opinion from a service over HTTP: what it is asked, what its answers do, and what its failures do.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::answers;
use crate::support::client::{ask, post};
use crate::support::gateway::{Gateway, Setup};
use crate::support::mock::{Act, Mock, Seen};

/// A rule that leaves a text undecided, one that blocks, and one that finds data.
const RULES: &str = r#"id: PC-TEST-0001
title: A marker that stands for something odd
family: prompt_injection
gain: Nothing, it is a test.
severity: low
score: 1
direction: input
action: score
detection:
  prefilter: [odd-marker]
  sel_marker: 'odd-marker'
examples: { positive: ["an odd-marker here"], negative: ["a marker"] }
---
id: PC-TEST-0002
title: A marker that stands for an attack
family: prompt_injection
gain: Nothing, it is a test.
severity: high
score: 10
direction: input
action: block
detection:
  prefilter: [attack-marker]
  sel_marker: 'attack-marker'
examples: { positive: ["an attack-marker here"], negative: ["a marker"] }
---
id: PC-TEST-0003
title: A marker that stands for data
family: privacy
gain: Nothing, it is a test.
severity: low
score: 3
direction: input
action: score
detection:
  prefilter: [data-marker]
  sel_marker: 'data-marker'
examples: { positive: ["a data-marker here"], negative: ["a marker"] }
"#;

/// Scores each text by the word in it: `evil` 0.97 where it stands, `maybe` 0.7, anything else 0.02.
fn judge(seen: &Seen) -> Vec<Act> {
    let results: Vec<Value> = seen.json()["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = one["text"].as_str().unwrap();
            match (text.find("evil"), text.contains("maybe")) {
                (Some(at), _) => {
                    json!({"index": one["index"], "score": 0.97, "label": "wicked", "start": at, "end": at + 4, "more": 1})
                }
                (None, true) => json!({"index": one["index"], "score": 0.7, "label": "not a plain word"}),
                (None, false) => json!({"index": one["index"], "score": 0.02}),
            }
        })
        .collect();
    answers::json_body(200, &json!({"results": results, "took": 3}))
}

async fn provider() -> Mock {
    Mock::start(answers::json_body(200, &answers::chat("fine"))).await
}

async fn detector() -> Mock {
    let detector = Mock::start(vec![]).await;
    detector.play_with(judge);
    detector
}

/// A table for a service at this place, with further keys.
fn table(detector: &Mock, keys: &str) -> String {
    format!("[models.guard]\nurl = \"http://{}/judge\"\n{keys}\n", detector.address)
}

async fn gateway(provider: &Mock, detector: &Mock, keys: &str) -> Gateway {
    Setup::before(provider.address).rules(RULES).section(&table(detector, keys)).start().await
}

#[tokio::test]
async fn what_it_finds_is_a_finding_among_the_others() {
    let (provider, detector) = (provider().await, detector().await);
    let gateway = gateway(&provider, &detector, "when = \"always\"\napi_key = \"detector-key\"\n").await;
    gateway.send(ask("something evil here")).await.assert_error(400, "content_filter");
    let asked = detector.last();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/judge"));
    assert_eq!(asked.header("authorization"), Some("Bearer detector-key"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    let body = asked.json();
    assert_eq!(body["version"], 1);
    assert_eq!(body["texts"], json!([{"index": 0, "role": "user", "text": "something evil here"}]));
    assert_eq!(body["caller"], Value::Null);
    assert_eq!(asked.header("x-request-id"), body["id"].as_str());
    let record = gateway.only_record().await;
    assert_eq!(record["id"], body["id"]);
    let finding = &record["input"]["findings"][0];
    assert_eq!((&finding["rule"], &finding["family"]), (&json!("PC-MDL-GUARD"), &json!("prompt_injection")));
    assert_eq!((finding["score"].as_f64(), &finding["severity"]), (Some(8.0), &json!("high")));
    assert_eq!((&finding["evidence"]["start"], &finding["evidence"]["end"]), (&json!(10), &json!(14)));
    assert!(finding["title"].as_str().unwrap().ends_with(": wicked"), "{finding}");

    assert_eq!(gateway.send(ask("maybe not")).await.status, 200);
    let record = gateway.exactly(2).await.remove(1);
    assert_eq!(record["decision"], "flag");
    let finding = &record["input"]["findings"][0];
    assert!((finding["score"].as_f64().unwrap() - 6.0).abs() < 1e-3, "{finding}");
    assert!(!finding["title"].as_str().unwrap().contains("plain"), "a label that is no word stays out: {finding}");
    assert_eq!(finding["evidence"]["end"], 9);

    assert_eq!(gateway.send(ask("nothing at all")).await.status, 200);
    assert_eq!(gateway.exactly(3).await.remove(2)["decision"], "allow");
    assert_eq!(gateway.metric("portcullis_model_calls_total", &["model=\"guard\"", "result=\"ok\""]).await, 3.0);
    assert_eq!(gateway.metric("portcullis_model_duration_seconds_count", &["model=\"guard\""]).await, 3.0);
}

#[tokio::test]
async fn it_is_asked_about_what_is_undecided_only_and_not_twice() {
    let (provider, detector) = (provider().await, detector().await);
    let gateway = gateway(&provider, &detector, "").await;
    assert_eq!(gateway.send(ask("something evil here")).await.status, 200);
    assert_eq!(gateway.send(ask("evil with a data-marker")).await.status, 200);
    gateway.send(ask("evil attack-marker")).await.assert_error(400, "content_filter");
    assert_eq!(detector.count(), 0, "clean, data, or blocked already");
    let talk = json!({"model": "m", "messages": [
        {"role": "system", "content": "odd-marker evil"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "odd-marker evil"},
        {"role": "user", "content": "an odd-marker"},
        {"role": "tool", "tool_call_id": "1", "content": "another odd-marker"}]});
    assert_eq!(gateway.send(post("/v1/chat/completions", talk.to_string())).await.status, 200);
    let texts = detector.last().json()["texts"].clone();
    assert_eq!(
        texts,
        json!([{"index": 0, "role": "user", "text": "an odd-marker"}, {"index": 1, "role": "tool", "text": "another odd-marker"}])
    );
    assert_eq!(gateway.send(post("/v1/chat/completions", talk.to_string())).await.status, 200);
    assert_eq!(detector.count(), 1, "known texts are not asked about again");
    for _ in 0..2 {
        gateway.send(ask("evil with an odd-marker")).await.assert_error(400, "content_filter");
    }
    assert_eq!(detector.count(), 2, "and neither are known attacks");
    assert_eq!(gateway.metric("portcullis_model_calls_total", &["result=\"ok\""]).await, 2.0);
}

#[tokio::test]
async fn a_long_text_is_sent_in_passages_around_what_was_found() {
    let (provider, detector) = (provider().await, detector().await);
    let gateway = gateway(&provider, &detector, "max_passage = \"1KiB\"\nmax_windows = 3\n").await;
    let text = format!("{}an odd-marker evil{}", "first ".repeat(3000), " last".repeat(3000));
    gateway.send(ask(&text)).await.assert_error(400, "content_filter");
    let texts = detector.last().json()["texts"].as_array().unwrap().clone();
    assert_eq!(texts.len(), 3);
    assert!(texts.iter().all(|one| one["text"].as_str().unwrap().len() <= 1024));
    let place = &gateway.only_record().await["input"]["findings"][0]["evidence"];
    let (start, end) = (place["start"].as_u64().unwrap() as usize, place["end"].as_u64().unwrap() as usize);
    assert_eq!(text.get(start..end), Some("evil"));
}

#[tokio::test]
async fn every_failure_closes_or_opens_as_configured() {
    let provider = provider().await;
    let broken: Vec<(&str, &str, Vec<Act>)> = vec![
        ("status", "", answers::json_body(500, &json!({"results": []}))),
        ("status", "", answers::json_body(204, &json!({}))),
        ("bad_answer", "", answers::with_body(200, "", b"<html>all is well</html>")),
        ("bad_answer", "", answers::json_body(200, &json!({"results": []}))),
        ("bad_answer", "", answers::json_body(200, &json!({"results": [{"index": 0, "score": 7}]}))),
        ("bad_answer", "", answers::json_body(200, &json!({"results": [{"index": 0, "score": 0.1, "end": 9999}]}))),
        (
            "bad_answer",
            "max_answer = \"1KiB\"",
            answers::json_body(200, &json!({"results": [], "pad": "x".repeat(5000)})),
        ),
        ("timeout", "timeout = \"200ms\"", vec![Act::Hang]),
        (
            "timeout",
            "timeout = \"200ms\"",
            vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec()), Act::Hang],
        ),
        ("unreachable", "", vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec()), Act::Reset]),
        ("unreachable", "", vec![Act::Send(b"SSH-2.0-what\r\n".to_vec())]),
        ("too_much", "max_bytes = \"1KiB\"", vec![]),
    ];
    let detector = Mock::start(vec![]).await;
    let mut gateway = gateway(&provider, &detector, "").await;
    let mut served = 0;
    for (result, keys, acts) in broken {
        detector.play(acts);
        for mode in ["closed", "open"] {
            let usual = "when = \"always\"\nremember = 0\nbreaker_failures = 1000\n";
            let section = table(&detector, &format!("{usual}on_failure = \"{mode}\"\n{keys}\n"));
            gateway.write_sections(&section);
            assert_eq!(gateway.reload().await.status, 200);
            let labels = ["model=\"guard\"", &format!("result=\"{result}\"")];
            let failed = gateway.metric("portcullis_model_calls_total", &labels).await;
            let opened = gateway.metric("portcullis_fail_open_total", &["part=\"models\""]).await;
            let answer = gateway.send(ask(&"harmless ".repeat(200))).await;
            assert_eq!(gateway.metric("portcullis_model_calls_total", &labels).await, failed + 1.0, "{result} {mode}");
            let now_opened = gateway.metric("portcullis_fail_open_total", &["part=\"models\""]).await;
            if mode == "closed" {
                answer.assert_error(503, "guardrail_unavailable");
                assert_eq!(now_opened, opened);
            } else {
                assert_eq!((answer.status, now_opened), (200, opened + 1.0), "{result}");
                served += 1;
            }
        }
    }
    assert_eq!(provider.count(), served, "nothing reaches the provider unjudged");
    let log = gateway.log();
    assert!(
        log.contains("a model gave no answer") && !log.contains("harmless") && !log.contains("all is well"),
        "{log}"
    );
}

#[tokio::test]
async fn to_monitor_is_to_refuse_nothing() {
    let (provider, detector) = (provider().await, Mock::start(vec![Act::Reset]).await);
    let setup = Setup::before(provider.address).rules(RULES).inspect("mode = \"monitor\"");
    let gateway = setup.section(&table(&detector, "when = \"always\"\n")).start().await;
    assert_eq!(gateway.send(ask("harmless")).await.status, 200);
    assert_eq!(gateway.metric("portcullis_fail_open_total", &["part=\"models\""]).await, 1.0);
    detector.play_with(judge);
    assert_eq!(gateway.send(ask("something evil here")).await.status, 200);
    assert_eq!(gateway.exactly(2).await[1]["input"]["decision"], "block");
}

#[tokio::test]
async fn texts_that_a_service_refuses_do_not_take_it_from_others() {
    let (provider, detector) = (provider().await, Mock::start(vec![]).await);
    let keys = "when = \"always\"\nremember = 0\nbreaker_failures = 2\nbreaker_pause = \"1h\"\n";
    let gateway = gateway(&provider, &detector, keys).await;
    detector.play(answers::json_body(422, &json!({})));
    for _ in 0..5 {
        gateway.send(ask("harmless")).await.assert_error(503, "guardrail_unavailable");
    }
    assert_eq!(gateway.metric("portcullis_model_calls_total", &["result=\"refused\""]).await, 5.0);
    detector.play_with(judge);
    assert_eq!(gateway.send(ask("harmless")).await.status, 200);
}

#[tokio::test]
async fn a_service_that_goes_on_failing_is_left_alone_and_tried_again() {
    let (provider, detector) = (provider().await, Mock::start(vec![Act::Reset]).await);
    let keys = "when = \"always\"\nremember = 0\nbreaker_failures = 3\nbreaker_pause = \"700ms\"\n";
    let gateway = gateway(&provider, &detector, keys).await;
    for _ in 0..3 {
        gateway.send(ask("harmless")).await.assert_error(503, "guardrail_unavailable");
    }
    let asked = detector.count();
    assert_eq!(asked, 3);
    for _ in 0..5 {
        gateway.send(ask("harmless")).await.assert_error(503, "guardrail_unavailable");
    }
    assert_eq!(detector.count(), asked, "it is not asked while the breaker is open");
    assert_eq!(gateway.metric("portcullis_model_calls_total", &["result=\"breaker_open\""]).await, 5.0);
    detector.play_with(judge);
    tokio::time::sleep(Duration::from_millis(800)).await;
    for _ in 0..3 {
        assert_eq!(gateway.send(ask("harmless")).await.status, 200);
    }
    assert_eq!(detector.count(), asked + 3);
}

#[tokio::test]
async fn so_many_at_once_and_so_many_waiting_and_no_more() {
    let (provider, detector) = (provider().await, detector().await);
    detector.play(vec![Act::Wait]);
    let keys = "when = \"always\"\nmax_concurrent = 1\nqueue = 1\ntimeout = \"10s\"\non_failure = \"open\"\n";
    let gateway = gateway(&provider, &detector, keys).await;
    let address = gateway.address;
    let send = |text: String| tokio::spawn(async move { crate::support::client::send(address, ask(&text)).await });
    // One under way, one taken out of the queue and waiting for its turn, one in the queue.
    let mut waiting = Vec::new();
    for number in 0..3 {
        waiting.push(send(format!("question {number}")));
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(gateway.send(ask("one too many")).await.status, 200);
    assert_eq!(gateway.metric("portcullis_model_calls_total", &["result=\"busy\""]).await, 1.0);
    assert_eq!(detector.count(), 1);
    detector.play_with(judge);
    detector.go_on();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(detector.most_at_once(), 1);
}

#[tokio::test]
async fn the_user_is_told_where_that_is_wanted() {
    let (provider, detector) = (provider().await, detector().await);
    // What the tests' client sends.
    let digest = portcullis::types::hex(&portcullis::config::digest(b"client-key"));
    let key = format!("[[identity.keys]]\nname = \"shop\"\nsha256 = \"{digest}\"\n");
    let section = format!("{}{key}", table(&detector, "when = \"always\"\nsend_caller = true\n"));
    let gateway = Setup::before(provider.address).rules(RULES).section(&section).start().await;
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
    assert_eq!(detector.last().json()["caller"], json!({"user": "shop"}));
}

#[tokio::test]
async fn a_reload_brings_another_service_or_changes_nothing() {
    let (provider, first, second) = (provider().await, detector().await, detector().await);
    let mut gateway = gateway(&provider, &first, "when = \"always\"\n").await;
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
    gateway.write_sections(&table(&first, "when = \"always\"\nblock_at = 0.99\nflag_at = 0.98\n"));
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
    assert_eq!(first.count(), 1, "what answers is what it was, and so is what it said");
    assert_eq!(gateway.send(ask("something evil here")).await.status, 200, "and its answers are worth less");
    gateway.write_sections(&table(&second, "when = \"always\"\n"));
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
    assert_eq!((first.count(), second.count()), (2, 1));
    gateway.write_sections("[models.guard]\nwhen = \"always\"\n");
    let refused = gateway.reload().await;
    assert!(refused.status >= 400 && refused.text().contains("give a directory"), "{}", refused.text());
    gateway.send(ask("something evil here")).await.assert_error(400, "content_filter");
    assert_eq!(second.count(), 2);
}

#[cfg(not(feature = "onnx"))]
#[tokio::test]
async fn a_build_without_onnx_says_so() {
    let (provider, detector) = (provider().await, detector().await);
    let mut gateway = gateway(&provider, &detector, "").await;
    gateway.write_sections("[models.guard]\ndirectory = \"models/guard\"\n");
    let refused = gateway.reload().await;
    assert!(refused.status >= 400 && refused.text().contains("--features onnx"), "{}", refused.text());
}

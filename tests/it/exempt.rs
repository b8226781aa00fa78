//! Routes that are let pass: what has no body is served all the same, and the provider's key leaves by no way.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::json;

use crate::support::answers;
use crate::support::client::{ask_streamed, joined, post};
use crate::support::gateway::{Gateway, PROVIDER_KEY, Setup};
use crate::support::mock::{Act, Mock};

const ROUTE: &str = "[[routes]]\npath = \"/raw/*\"\naction = \"pass\"\nupstream = \"openai\"\n\
                     methods = [\"GET\", \"HEAD\", \"POST\"]\n\
                     [[routes]]\npath = \"/read/*\"\naction = \"inspect\"\nupstream = \"openai\"\n\
                     methods = [\"GET\", \"HEAD\", \"POST\"]";

async fn before(mock: &Mock) -> Gateway {
    Setup::before(mock.address).section(ROUTE).start().await
}

#[tokio::test]
async fn an_answer_without_a_body_is_recorded_as_served() {
    let head = |status: &str, more: &str| {
        vec![Act::Send(format!("HTTP/1.1 {status}\r\nconnection: keep-alive\r\n{more}\r\n").into_bytes())]
    };
    let mock = Mock::start(vec![]).await;
    let gateway = before(&mock).await;
    let cases = [
        (Method::HEAD, "200 OK", "content-length: 12\r\ncontent-type: text/plain\r\n", 200),
        (Method::HEAD, "404 Not Found", "content-length: 12\r\n", 404),
        (Method::GET, "204 No Content", "", 204),
        (Method::GET, "304 Not Modified", "etag: \"a\"\r\n", 304),
    ];
    let mut count = 0;
    for path in ["/v1/raw/thing", "/v1/read/thing"] {
        for (method, line, more, status) in &cases {
            mock.play(head(line, more));
            let request = Request::builder().method(method).uri(path).header("host", "gateway.test");
            let got = gateway.send(request.body(Full::new(Bytes::new())).unwrap()).await;
            assert_eq!((got.status, got.body.len()), (*status, 0), "{method} {path}");
            assert_ne!(got.header("content-length"), Some("0"), "{method} {path}: {:?}", got.headers);
            count += 1;
            let record = gateway.exactly(count).await.remove(count - 1);
            assert_eq!(record["outcome"], "served", "{method} {path}: {record}");
            assert_eq!(record["status"], *status, "{record}");
        }
    }
}

#[tokio::test]
async fn the_providers_key_is_taken_out_of_a_passing_body_however_it_is_cut() {
    let mock = Mock::start(vec![]).await;
    let gateway = before(&mock).await;
    let body =
        format!("sk-sk-provider-0 {PROVIDER_KEY}{PROVIDER_KEY} and sk-prov, then {PROVIDER_KEY}. sk-provider-012");
    let clean = body.replace(PROVIDER_KEY, "[REDACTED]");
    for size in [1, 3, 7, 20, 45, 1000] {
        mock.play(answers::stream(body.as_bytes(), size));
        let got = gateway.send(post("/v1/raw/thing", "{}")).await;
        assert_eq!((got.status, got.text()), (200, clean.clone()), "pieces of {size}");
        assert!(got.complete);
    }
    let record = gateway.exactly(6).await.remove(5);
    assert_eq!(record["response_bytes"]["exempt"], clean.len(), "{record}");
}

#[tokio::test]
async fn only_what_may_begin_the_key_waits_and_it_leaves_when_it_does_not() {
    let mock = Mock::start(vec![]).await;
    let gateway = before(&mock).await;
    let bytes: Vec<u8> = (0..=255).collect();
    let (before_it, after_it) = ([&bytes[..], b"an sk-prov"].concat(), [b"ance", &bytes[..]].concat());
    mock.play(vec![
        answers::stream_head(),
        answers::chunk(&before_it),
        Act::Wait,
        answers::chunk(&after_it),
        answers::last_chunk(),
    ]);
    let response = crate::support::client::open(gateway.address, post("/v1/raw/thing", "{}")).await.unwrap();
    let mut body = response.into_body();
    let mut got = Vec::new();
    crate::support::within(10, async {
        use http_body_util::BodyExt;
        while got.len() < before_it.len() - "sk-prov".len() {
            got.extend_from_slice(body.frame().await.unwrap().unwrap().data_ref().unwrap());
        }
        assert_eq!(got, before_it[..before_it.len() - "sk-prov".len()], "the rest waits");
        tokio::time::sleep(Duration::from_millis(50)).await;
        mock.go_on();
        while let Some(frame) = body.frame().await {
            got.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
    })
    .await;
    assert_eq!(got, [before_it, after_it].concat());
}

#[tokio::test]
async fn the_providers_key_is_taken_out_of_events_wherever_it_stands() {
    let mock = Mock::start(vec![]).await;
    let gateway = before(&mock).await;
    let with = |key: &str| {
        answers::events(&[
            json!({"id": key, "object": "chat.completion.chunk", "created": 1, "model": "m", "vendor": {"key": key},
                "choices": [{"index": 0, "delta": {"role": "assistant", "content": format!("it is {key}.")}, "finish_reason": null}]}),
            answers::chat_chunk(0, json!({}), Some("stop")),
        ])
    };
    for size in [1, 13, 10_000] {
        mock.play(answers::stream(with(PROVIDER_KEY).as_bytes(), size));
        let got = gateway.send(ask_streamed("hello")).await;
        assert!(!got.text().contains(PROVIDER_KEY), "{}", got.text());
        assert_eq!(got.text(), with("[REDACTED]"), "pieces of {size}");
    }
    // Without it, the bytes are the upstream's own.
    let plain = with("sk-provider-nobody's keys");
    mock.play(answers::stream(plain.as_bytes(), 17));
    assert_eq!(gateway.send(ask_streamed("hello")).await.text(), plain);
}

#[tokio::test]
async fn the_providers_key_is_taken_out_of_a_text_that_comes_in_deltas() {
    let mock = Mock::start(vec![]).await;
    let gateway = before(&mock).await;
    for cut in 1..PROVIDER_KEY.len() {
        let (one, two) = PROVIDER_KEY.split_at(cut);
        let pieces = [&format!("it is {one}") as &str, two, " and no more"];
        mock.play(answers::stream(answers::chat_stream(&pieces).as_bytes(), 10_000));
        let got = gateway.send(ask_streamed("hello")).await;
        let text = joined(&got.events(), "/choices/0/delta/content");
        assert!(text.starts_with("it is ") && text.ends_with("[REDACTED] and no more"), "cut at {cut}: {text}");
        assert!(!text.contains("sk-p"), "cut at {cut}: {text}");
    }
}

//! A broken provider: a correct error or end each time, exactly one record, memory bounded.

use std::time::Duration;

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::answers::{self, chat_chunk};
use crate::support::client::{Answer, ask, ask_streamed, joined, open, post};
use crate::support::gateway::{Gateway, PROVIDER_KEY, Setup};
use crate::support::mock::{Act, Mock};
use crate::support::{until, within};

const TIMEOUTS: &str = "connect_timeout = \"1s\"\nfirst_byte_timeout = \"1s\"\nidle_timeout = \"1s\"\ntotal_timeout = \"8s\"\nretry_delay = \"10ms\"";
/// What one fault may cost.
const MEMORY: u64 = 64 << 20;

async fn gateway(mock: &Mock) -> Gateway {
    Setup::before(mock.address).upstream_keys(TIMEOUTS).start().await
}

fn raw(text: &str) -> Vec<Act> {
    vec![Act::Send(text.as_bytes().to_vec())]
}

fn prose(text: &str) -> String {
    format!("data: {}\n\n", chat_chunk(0, json!({"content": text}), None))
}

/// Ends as an error: never as a finished answer.
fn ended_as_error(got: &Answer) -> bool {
    let text = got.text();
    let finished = joined(&got.events(), "/choices/0/finish_reason") == "stop";
    !finished && (!got.complete || text.contains("\"error\"")) && !text.contains("[DONE]")
}

/// Faults before or in the head, and of whole answers: all become an error of this status.
#[tokio::test]
async fn a_provider_that_does_not_answer_properly_is_an_error_in_the_callers_dialect() {
    let mock = Mock::start(vec![]).await;
    let gateway = gateway(&mock).await;
    let json_head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let cases: Vec<(&str, Vec<Act>, &[u16])> = vec![
        ("closes at once", vec![], &[502]),
        ("resets", vec![Act::Reset], &[502]),
        ("hangs before the head", vec![Act::Hang], &[504]),
        ("half a head", vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec())], &[502]),
        ("half a head, then silence", vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec()), Act::Hang], &[504]),
        ("garbage", raw("\u{0}\u{1}\u{2}garbage garbage\r\n\r\n"), &[502]),
        ("HTTP/0.9", raw("<html>hello</html>"), &[502]),
        ("a bad status", raw("HTTP/1.1 20x OK\r\ncontent-length: 2\r\n\r\n{}"), &[502]),
        (
            "a huge head",
            vec![Act::Send(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(2 << 20)).into_bytes())],
            &[502],
        ),
        (
            "many headers",
            vec![Act::Send(format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(20_000)).into_bytes())],
            &[502],
        ),
        ("two lengths", raw(&format!("{json_head}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}} ")), &[502]),
        ("a short body", raw(&format!("{json_head}content-length: 500\r\n\r\n{{\"choices\": []")), &[502]),
        (
            "a stalled body",
            vec![Act::Send(format!("{json_head}content-length: 500\r\n\r\n{{").into_bytes()), Act::Hang],
            &[504],
        ),
        ("a bad chunk", raw(&format!("{json_head}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n")), &[502]),
        ("not JSON", raw(&format!("{json_head}content-length: 9\r\n\r\nnot json!")), &[502]),
        ("two documents", raw(&format!("{json_head}content-length: 5\r\n\r\n{{}}{{}}")), &[502]),
        ("duplicate keys", raw(&format!("{json_head}content-length: 15\r\n\r\n{{\"a\":1,\"a\":222}}")), &[502]),
        ("HTML at 200", answers::with_body(200, "content-type: text/html\r\n", b"<html>Sign in</html>"), &[502]),
        ("no content type", answers::with_body(200, "", b"leak-12345678"), &[502]),
        (
            "bad gzip",
            answers::with_body(200, "content-type: application/json\r\ncontent-encoding: gzip\r\n", b"\x1f\x8bnope"),
            &[502],
        ),
        (
            "unknown coding",
            answers::with_body(200, "content-type: application/json\r\ncontent-encoding: rot13\r\n", b"{}"),
            &[502],
        ),
        ("a redirect", answers::with_body(302, "location: http://169.254.169.254/latest\r\n", b""), &[502]),
        (
            "101 unasked",
            raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
            &[502],
        ),
    ];
    let before = gateway.memory();
    for (number, (name, acts, statuses)) in cases.iter().enumerate() {
        mock.play(acts.clone());
        for messages in [false, true] {
            let asked = mock.count();
            let request = if messages {
                post("/v1/messages", r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}"#)
            } else {
                ask("hello")
            };
            let got = gateway.send(request).await;
            assert!(statuses.contains(&got.status), "{name}: {} {}", got.status, got.text());
            let error = got.json();
            assert!(error["error"]["message"].is_string(), "{name}: {error}");
            assert_eq!(error["type"] == "error", messages, "{name}: {error}");
            assert!(!got.text().contains("169.254") && got.header("location").is_none(), "{name}");
            // What was sent once is not sent again: nobody knows what the provider did with it.
            assert_eq!(mock.count(), asked + 1, "{name}");
        }
        let records = gateway.exactly(2 * number + 2).await;
        assert!(records.iter().all(|record| record["outcome"] == "upstream_failed"), "{name}: {:?}", records.last());
    }
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < MEMORY, "grew by {} MiB", grown >> 20);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_an_error_and_is_found_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gateway = Setup::before(address).upstream_keys(TIMEOUTS).start().await;
    gateway.send(ask("hello")).await.assert_error(502, "upstream_unreachable");
    let record = gateway.only_record().await;
    assert_eq!(record["outcome"], "upstream_failed");
    assert_eq!(record["attempts"], 3, "nothing was sent, so it may try again: {record}");
}

/// Faults in the middle of a stream: what came before is relayed, and the end is an error, never a clean end.
#[tokio::test]
async fn a_stream_that_breaks_never_ends_as_if_it_were_whole() {
    let mock = Mock::start(vec![]).await;
    let gateway = gateway(&mock).await;
    let start = || vec![answers::stream_head(), answers::chunk(prose("It begins. ").as_bytes())];
    let with = |more: Vec<Act>| {
        let mut acts = start();
        acts.extend(more);
        acts
    };
    let half_letter = {
        let text = prose("caf\u{e9}").into_bytes();
        let cut = text.iter().position(|byte| *byte == 0xc3).unwrap() + 1;
        text[..cut].to_vec()
    };
    let bad_utf8 = {
        let mut text = prose("caf\u{e9}").into_bytes();
        let at = text.iter().position(|byte| *byte == 0xa9).unwrap();
        text[at] = b'(';
        text
    };
    let cases: Vec<(&str, Vec<Act>)> = vec![
        ("is cut between events", with(vec![])),
        ("is cut in an event", with(vec![answers::chunk(b"data: {\"choices\": [{\"ind")])),
        ("is cut in a chunk", with(vec![Act::Send(b"ff\r\ndata: {".to_vec())])),
        ("resets", with(vec![Act::Reset])),
        ("stalls", with(vec![Act::Hang])),
        ("has a bad chunk", with(vec![Act::Send(b"zz\r\n".to_vec())])),
        ("ends in half a letter", with(vec![answers::chunk(&half_letter), answers::last_chunk()])),
        ("is not UTF-8", with(vec![answers::chunk(&bad_utf8), answers::last_chunk()])),
        ("is not JSON", with(vec![answers::chunk(b"data: {oops leak-12345678\n\n"), answers::last_chunk()])),
        ("ends in half an event", with(vec![answers::chunk(b"data: {\"choices\": [{\"ind"), answers::last_chunk()])),
    ];
    for (number, (name, acts)) in cases.iter().enumerate() {
        mock.play(acts.clone());
        let got = gateway.send(ask_streamed("hello")).await;
        assert_eq!(got.status, 200, "{name}");
        assert!(ended_as_error(&got), "{name}: complete={} {}", got.complete, got.text());
        assert_eq!(joined(&got.events(), "/choices/0/delta/content"), "It begins. ", "{name}");
        assert!(!got.text().contains("leak-1"), "{name}");
        let records = gateway.exactly(number + 1).await;
        assert_eq!(records.last().unwrap()["outcome"], "upstream_failed", "{name}");
    }
}

#[tokio::test]
async fn huge_lines_and_endless_streams_cost_no_memory() {
    let mock = Mock::start(vec![]).await;
    let gateway = gateway(&mock).await;
    let piece = |bytes: &[u8]| {
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        framed
    };
    let before = gateway.memory();
    mock.play(vec![
        answers::stream_head(),
        answers::chunk(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\""),
        Act::Repeat(piece(&vec![b'a'; 64 << 10]), 1024),
        answers::last_chunk(),
    ]);
    let got = gateway.send(ask_streamed("hello")).await;
    assert!(ended_as_error(&got), "a line of 64 MB: complete={} {} bytes", got.complete, got.body.len());
    gateway.only_record().await;
    // Without end: the total time of the exchange ends it.
    let event = prose(&"word ".repeat(100));
    mock.play(vec![answers::stream_head(), Act::Repeat(piece(event.as_bytes()), u64::MAX)]);
    let response = open(gateway.address, ask_streamed("hello")).await.unwrap();
    let (_, mut body) = response.into_parts();
    let broke = within(20, async {
        use http_body_util::BodyExt;
        let mut tail = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => tail = frame.data_ref().map(|data| data.to_vec()).unwrap_or_default(),
                Err(_) => return true,
            }
        }
        String::from_utf8_lossy(&tail).contains("\"error\"")
    })
    .await;
    assert!(broke, "it ends as an error");
    gateway.exactly(2).await;
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < MEMORY, "grew by {} MiB", grown >> 20);
}

async fn encoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    macro_rules! through {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(bytes).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }};
    }
    match coding {
        "gzip" => through!(GzipEncoder),
        "br" => through!(BrotliEncoder),
        "zstd" => through!(ZstdEncoder),
        _ => through!(ZlibEncoder),
    }
}

#[tokio::test]
async fn encoded_answers_are_read_and_inspected_and_bombs_are_not_unpacked() {
    let mock = Mock::start(vec![]).await;
    let gateway = gateway(&mock).await;
    let mut asked = 0;
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let head = format!("content-type: application/json\r\ncontent-encoding: {coding}\r\n");
        let clean = answers::chat("Paris").to_string();
        mock.play(answers::with_body(200, &head, &encoded(coding, clean.as_bytes()).await));
        let got = gateway.send(ask("hello")).await;
        assert_eq!((got.status, got.text()), (200, clean), "{coding}");
        assert_eq!(got.header("content-encoding"), None, "{coding}");
        let leak = answers::chat("leak-12345678").to_string();
        mock.play(answers::with_body(200, &head, &encoded(coding, leak.as_bytes()).await));
        gateway.send(ask("hello")).await.assert_error(400, "content_filter");
        let stream = encoded(coding, answers::chat_stream(&["x leak-1234", "5678 y"]).as_bytes()).await;
        let mut acts = vec![Act::Send(
            format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\
            content-encoding: {coding}\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            .into_bytes(),
        )];
        acts.extend(stream.chunks(5).map(answers::chunk));
        acts.push(answers::last_chunk());
        mock.play(acts);
        let got = gateway.send(ask_streamed("hello")).await;
        assert!(!got.text().contains("leak-1") && !got.text().contains("5678"), "{coding}: {}", got.text());
        assert_eq!(joined(&got.events(), "/choices/0/finish_reason"), "content_filter", "{coding}");
        asked += 3;
    }
    let before = gateway.memory();
    let mut text = b"{\"choices\":[],\"x\":\"".to_vec();
    text.resize(300 << 20, b'a');
    text.extend_from_slice(b"\"}");
    let bomb = encoded("gzip", &text).await;
    drop(text);
    mock.play(answers::with_body(200, "content-type: application/json\r\ncontent-encoding: gzip\r\n", &bomb));
    let got = gateway.send(ask("hello")).await;
    assert_eq!(got.status, 502, "{}", got.text());
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < MEMORY, "a bomb of 300 MB: grew by {} MiB", grown >> 20);
    gateway.exactly(asked + 1).await;
}

#[tokio::test]
async fn a_huge_whole_answer_is_refused_in_bounded_memory() {
    let mock = Mock::start(vec![]).await;
    let gateway = gateway(&mock).await;
    let before = gateway.memory();
    mock.play(vec![
        Act::Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"a\":\"".to_vec()),
        Act::Repeat(vec![b'a'; 1 << 20], 300),
    ]);
    let got = gateway.send(ask("hello")).await;
    assert_eq!(got.status, 502, "{}", got.text());
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < MEMORY, "grew by {} MiB", grown >> 20);
    gateway.only_record().await;
}

#[tokio::test]
async fn a_providers_own_error_passes_on_minus_secrets() {
    let mock = Mock::start(vec![]).await;
    let gateway = gateway(&mock).await;
    let error = |message: &str| json!({"error": {"message": message, "type": "t", "param": null, "code": "c"}});
    mock.play(answers::with_body(
        429,
        "content-type: application/json\r\nretry-after: 7\r\n",
        error("Slow down").to_string().as_bytes(),
    ));
    let got = gateway.send(ask("hello")).await;
    assert_eq!((got.status, got.header("retry-after")), (429, Some("7")));
    assert_eq!(got.json()["error"]["message"], "Slow down");
    for status in [400, 401, 500, 529] {
        mock.play(answers::json_body(status, &error(&format!("Bad key {PROVIDER_KEY} in request"))));
        let got = gateway.send(ask("hello")).await;
        assert_eq!(got.status, status);
        assert!(!got.text().contains("0123456789abcdef"), "{}", got.text());
    }
    mock.play(answers::with_body(500, "content-type: text/html\r\n", format!("<p>{PROVIDER_KEY}</p>").as_bytes()));
    let got = gateway.send(ask("hello")).await;
    assert_eq!(got.status, 500);
    assert!(!got.text().contains("0123456789abcdef") && got.json()["error"].is_object(), "{}", got.text());
    assert!(!gateway.log().contains(PROVIDER_KEY));
    gateway.exactly(6).await;
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_provider_stay_behind() {
    let body = answers::chat("ok").to_string();
    let mock = Mock::start(vec![Act::Send(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close, x-internal\r\nx-internal: 1\r\n\
            keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\ntrailer: x-t\r\nset-cookie: a=b\r\nx-kept: yes\r\n\
            content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )])
    .await;
    let gateway = gateway(&mock).await;
    let got = gateway.send(ask("hello")).await;
    assert_eq!(got.status, 200);
    for name in ["x-internal", "keep-alive", "proxy-authenticate", "trailer"] {
        assert_eq!(got.header(name), None, "{name}");
    }
    assert_eq!(got.header("x-kept"), Some("yes"));
}

#[tokio::test]
async fn a_provider_that_comes_back_is_used_again() {
    let mock = Mock::start(vec![Act::Reset]).await;
    let gateway = gateway(&mock).await;
    for _ in 0..10 {
        assert_eq!(gateway.send(ask("hello")).await.status, 502);
    }
    mock.play(answers::json_body(200, &answers::chat("ok")));
    let address = gateway.address;
    let started = tokio::time::Instant::now();
    while crate::support::client::send(address, ask("hello")).await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(5), "served again within five seconds");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until(5, "its records", || (gateway.records().len() >= 11).then_some(())).await;
}

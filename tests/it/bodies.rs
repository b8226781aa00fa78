//! Request bodies: every coding is read, and what cannot be read in exactly one way is refused.

use std::time::{Duration, Instant};

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::answers;
use crate::support::client::{ask, post};
use crate::support::gateway::Setup;
use crate::support::mock::Mock;

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

fn post_as(coding: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    let mut request = post("/v1/chat/completions", body);
    request.headers_mut().insert("content-encoding", coding.parse().unwrap());
    request
}

fn chat(text: &str) -> String {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string()
}

#[tokio::test]
async fn encoded_requests_are_decoded_inspected_and_forwarded_plain() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let clean = chat("hello");
        let got = gateway.send(post_as(coding, encoded(coding, clean.as_bytes()).await)).await;
        assert_eq!(got.status, 200, "{coding}: {}", got.text());
        assert_eq!(String::from_utf8_lossy(&mock.last().body), clean, "{coding}");
        assert_eq!(mock.last().header("content-encoding"), None, "{coding}");
        let attack = encoded(coding, chat("attack-marker").as_bytes()).await;
        gateway.send(post_as(coding, attack)).await.assert_error(400, "content_filter");
    }
    let twice = encoded("br", &encoded("gzip", chat("attack-marker").as_bytes()).await).await;
    let got = gateway.send(post_as("gzip, br", twice)).await;
    assert!([400, 415].contains(&got.status), "coded twice: {} {}", got.status, got.text());
    // Several gzip members are one body.
    let whole = chat("attack-marker");
    let (front, back) = whole.split_at(whole.find("marker").unwrap());
    let mut members = encoded("gzip", front.as_bytes()).await;
    members.extend(encoded("gzip", back.as_bytes()).await);
    assert_eq!(gateway.send(post_as("gzip", members)).await.status, 400);
    assert_eq!(mock.count(), 4);
}

#[tokio::test]
async fn bombs_and_broken_codings_are_refused_in_bounded_memory() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    let before = gateway.memory();
    let text = chat(&"a".repeat(200 << 20));
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let bomb = encoded(coding, text.as_bytes()).await;
        let got = gateway.send(post_as(coding, bomb)).await;
        assert!([400, 413].contains(&got.status), "{coding}: {} {}", got.status, got.text());
    }
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {} MiB", grown >> 20);
    let good = encoded("gzip", chat("hello").as_bytes()).await;
    for (name, coding, body, status) in [
        ("cut short", "gzip", good[..good.len() - 6].to_vec(), 400),
        ("not gzip", "gzip", chat("hello").into_bytes(), 400),
        (
            "wrong checksum",
            "gzip",
            good.iter().enumerate().map(|(at, b)| if at == good.len() - 6 { !b } else { *b }).collect(),
            400,
        ),
        ("another coding", "br", good.clone(), 400),
        ("unknown", "compress", good.clone(), 415),
        ("empty", "gzip", Vec::new(), 400),
        ("plain with a coded name", "zstd", chat("hello").into_bytes(), 400),
    ] {
        let got = gateway.send(post_as(coding, body)).await;
        assert_eq!(got.status, status, "{name}: {}", got.text());
    }
    assert_eq!(mock.count(), 0);
}

#[tokio::test]
async fn what_reads_two_ways_is_refused() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    let user = r#"[{"role":"user","content":"hi"}]"#;
    let with = |more: &str| format!(r#"{{"model":"m","messages":{user}{more}}}"#).into_bytes();
    let deep = |depth: usize| with(&format!(r#","x":{}{}"#, "[".repeat(depth), "]".repeat(depth)));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("duplicate keys", with(r#","model":"n""#)),
        ("duplicate keys, escaped", with(r#","mod\u0065l":"n""#)),
        ("keys that differ in case from a known one", with(r#","Model":"n""#)),
        ("duplicate keys, deep", with(r#","x":{"a":{"b":1,"b":2}}"#)),
        ("a lone surrogate", with(r#","x":"\ud800""#)),
        ("a reversed pair", with(r#","x":"\udc00\ud800""#)),
        ("a raw control byte", with(",\"x\":\"a\u{1}b\"")),
        ("a raw line break in a string", with(",\"x\":\"a\nb\"")),
        ("invalid UTF-8", [&with("")[..20], b"\xff\xfe", &with("")[20..]].concat()),
        ("overlong UTF-8", [&with(",\"x\":\"")[..], b"\xc0\xaf\"}"].concat()),
        ("a byte order mark", [b"\xef\xbb\xbf", &with("")[..]].concat()),
        ("UTF-16", String::from_utf8(with("")).unwrap().encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a comment", with(r#"/* hello */"#)),
        ("a trailing comma", with(",")),
        ("NaN", with(r#","x":NaN"#)),
        ("single quotes", with(r#","x":'a'"#)),
        ("two documents", [with(""), with("")].concat()),
        ("garbage after", [&with("")[..], b"x"].concat()),
        ("depth 1,000", deep(1_000)),
        ("depth 200,000", deep(200_000)),
        ("cut short", with("")[..30].to_vec()),
        ("nothing", Vec::new()),
        ("an array", b"[]".to_vec()),
        ("a string", b"\"hello\"".to_vec()),
        ("null", b"null".to_vec()),
        ("no messages", br#"{"model":"m"}"#.to_vec()),
        ("messages of the wrong type", br#"{"model":"m","messages":"hi"}"#.to_vec()),
        ("a leading zero", with(r#","x":01"#)),
        ("a number out of range", with(r#","x":1e400"#)),
        ("a number of 5,000 digits", with(&format!(r#","x":{}"#, "7".repeat(5_000)))),
    ];
    for (name, body) in &cases {
        let started = Instant::now();
        let got = gateway.send(post("/v1/chat/completions", body.clone())).await;
        assert_eq!(got.status, 400, "{name}: {}", got.text());
        let error = got.json();
        assert_eq!(error["error"]["type"], "invalid_request_error", "{name}: {error}");
        assert!(started.elapsed() < Duration::from_secs(1), "{name} took {:?}", started.elapsed());
    }
    assert_eq!(mock.count(), 0);
    gateway.exactly(cases.len()).await;
    let missing = gateway.send(post("/v1/chat/completions", r#"{"model":"m"}"#)).await.json();
    assert_eq!(missing["error"]["param"], "messages", "{missing}");
}

#[tokio::test]
async fn odd_but_unambiguous_bodies_pass_untouched() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    let user = r#"[{"role":"user","content":"hi"}]"#;
    for more in [
        r#","n1":1e300,"n2":-0,"n3":123456789012345678901234567890"#,
        r#","emoji":"\ud83d\ude00","nul":"\u0000","del":"\u007f""#,
        ",\r\n\t \"spaces\" : [ 1 , 2 ]\n",
        r#","":"an empty key","x":{"":{}}"#,
    ] {
        let body = format!(r#"{{"model":"m","messages":{user}{more}}}"#);
        let got = gateway.send(post("/v1/chat/completions", body.clone())).await;
        assert_eq!(got.status, 200, "{more}: {}", got.text());
        assert_eq!(String::from_utf8_lossy(&mock.last().body), body);
    }
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/x-ndjson",
        "application/json5",
        "application/json; charset=utf-16",
        "application/json, text/plain",
        "",
    ] {
        let mut request = ask("hello");
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        let got = gateway.send(request).await;
        assert_eq!(got.status, 415, "{kind:?}: {}", got.text());
    }
    assert_eq!(mock.count(), 0);
    // Without one it is read as what it should be, or not at all.
    let mut none = ask("attack-marker");
    none.headers_mut().remove("content-type");
    let got = gateway.send(none).await;
    assert!([400, 415].contains(&got.status), "{}", got.text());
    assert_eq!(mock.count(), 0);
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=\"UTF-8\""] {
        let mut request = ask("hello");
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        assert_eq!(gateway.send(request).await.status, 200, "{kind:?}");
    }
}

#[tokio::test]
async fn oversize_bodies_are_refused_early() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).section("[body]\nmax_request = \"1MiB\"").start().await;
    let before = gateway.memory();
    let started = Instant::now();
    let got = gateway.send(post("/v1/chat/completions", chat(&"a".repeat(1 << 20)))).await;
    got.assert_error(413, "request_too_large");
    assert!(started.elapsed() < Duration::from_secs(1));
    // Announced and never sent: refused from the head alone.
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10737418240\r\n\r\n{";
    let (said, closed) = crate::support::client::raw(gateway.address, head.as_bytes(), 3).await;
    assert!(said.starts_with("HTTP/1.1 413") && closed, "{said}");
    let fits = chat(&"a ".repeat(400 << 10));
    assert_eq!(gateway.send(post("/v1/chat/completions", fits)).await.status, 200);
    assert_eq!(mock.count(), 1);
    assert!(gateway.memory().saturating_sub(before) < 64 << 20);
}

#[tokio::test]
async fn too_many_values_are_refused() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    let many = vec![r#"{"role":"user","content":""}"#; 300_000].join(",");
    let body = format!(r#"{{"model":"m","messages":[{many}]}}"#);
    let got = gateway.send(post("/v1/chat/completions", body)).await;
    assert_eq!(got.status, 400, "{}", got.text());
    assert_eq!(mock.count(), 0);
}

#[tokio::test]
async fn what_is_remembered_of_a_text_is_replaced_wherever_it_stands() {
    const RULE: &str = "id: PC-TEST-0320\ntitle: t\nfamily: privacy\ngain: g\nseverity: low\nscore: 1\ndirection: input\n\
        action: redact\nmark: \"[MINE]\"\ndetection:\n  prefilter: [own-]\n  sel_own: 'own-[0-9]{4}'\n\
        examples: { positive: [own-1234], negative: [own] }\n";
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).rules(RULE).start().await;
    let text = format!("{} own-1234 {}", "one word and another ".repeat(40), "and the rest");
    for before in [vec![], vec!["first"], vec!["first", "second own-9999"]] {
        mock.play(answers::json_body(200, &answers::chat("fine")));
        let said = before.iter().copied().chain([text.as_str()]);
        let messages: Vec<_> = said.map(|text| json!({"role": "user", "content": text})).collect();
        let asked = json!({"model": "m", "messages": messages});
        assert_eq!(gateway.send(post("/v1/chat/completions", asked.to_string())).await.status, 200);
        let clean = asked.to_string().replace("own-1234", "[MINE]").replace("own-9999", "[MINE]");
        assert_eq!(String::from_utf8_lossy(&mock.last().body), clean);
    }
}

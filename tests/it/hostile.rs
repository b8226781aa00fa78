//! Hostile HTTP from raw sockets: refused or cut, never forwarded, and everyone else is served meanwhile.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::answers;
use crate::support::client::{ask, raw};
use crate::support::gateway::{Gateway, Setup};
use crate::support::mock::Mock;
use crate::support::within;

const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
const ATTACK: &str = r#"{"model":"m","messages":[{"role":"user","content":"attack-marker"}]}"#;

/// A request with these further header lines (each with its own line end) and this body.
fn request(lines: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: gw.test\r\nContent-Type: application/json\r\n{lines}\r\n{body}"
    )
}

/// The same with a right length.
fn sized(lines: &str, body: &str) -> String {
    request(&format!("Content-Length: {}\r\n{lines}", body.len()), body)
}

fn statuses(said: &str) -> Vec<u16> {
    said.match_indices("HTTP/1.1 ").filter_map(|(at, _)| said.get(at + 9..at + 12)?.parse().ok()).collect()
}

async fn gateway(mock: &Mock) -> Gateway {
    let http = "[http]\nheader_timeout = \"1s\"\nbody_timeout = \"2s\"\nidle_timeout = \"3s\"";
    Setup::before(mock.address).section(http).start().await
}

/// Refused with 4xx or 5xx, or cut without a word; the connection is over; nothing went upstream; others are served.
async fn refused(gateway: &Gateway, mock: &Mock, name: &str, bytes: &[u8]) {
    let asked = mock.count();
    let (said, closed) = raw(gateway.address, bytes, 6).await;
    assert_eq!(mock.count(), asked, "{name}: it was forwarded. {said}");
    let got = statuses(&said);
    assert!(got.len() <= 1, "{name}: more than one answer: {said}");
    assert!(got.iter().all(|status| (400..600).contains(status)), "{name}: {said}");
    assert!(closed, "{name}: the connection stays open after {said:?}");
    if !got.is_empty() {
        assert!(said.contains("\"error\""), "{name}: an error without its body: {said}");
        assert!(said.to_ascii_lowercase().contains("\r\nx-request-id:"), "{name}: no request id: {said}");
    }
}

#[tokio::test]
async fn a_message_with_two_lengths_is_nobodys() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = gateway(&mock).await;
    let length = BODY.len();
    let chunked = format!("{length:x}\r\n{BODY}\r\n0\r\n\r\n");
    let smuggled = sized("", ATTACK);
    let mut cases: Vec<(String, String)> = vec![
        (
            "both lengths".into(),
            request(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), &chunked),
        ),
        (
            "both lengths, other order".into(),
            request(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"), &chunked),
        ),
        (
            "a second request in the gap".into(),
            request(
                &format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", 5 + smuggled.len()),
                &format!("0\r\n\r\n{smuggled}"),
            ),
        ),
        ("two lengths".into(), request(&format!("Content-Length: {length}\r\nContent-Length: 0\r\n"), BODY)),
        (
            "two equal lengths".into(),
            request(&format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"), BODY),
        ),
    ];
    for value in [
        "-1",
        "+5",
        "0x10",
        "1e2",
        "5 5",
        "",
        " ",
        "5,5",
        "5, 5",
        "99999999999999999999999",
        "5;",
        "\"5\"",
        "5.0",
        "٥",
        "1_0",
    ] {
        cases.push((format!("Content-Length: {value:?}"), request(&format!("Content-Length: {value}\r\n"), BODY)));
    }
    for value in [
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "identity",
        "gzip, chunked",
        "xchunked",
        "chunkedx",
        "\"chunked\"",
        "chunked;q=1",
        "chunk\u{212a}ed",
        "chunked identity",
        "identity, chunked",
        "",
        "chunked\t,",
        "\u{b}chunked",
        "cow",
    ] {
        cases.push((
            format!("Transfer-Encoding: {value:?}"),
            request(&format!("Transfer-Encoding: {value}\r\n"), &chunked),
        ));
    }
    for line in [
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "Transfer\u{0}-Encoding: chunked",
        "Transfer-Encoding: chun\r\n ked",
        "Content-Length : 5",
        "Content-Length:\r\n 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ] {
        cases.push((format!("the line {line:?}"), request(&format!("{line}\r\n"), &chunked)));
    }
    for (name, bytes) in &cases {
        refused(&gateway, &mock, name, bytes.as_bytes()).await;
    }
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
}

#[tokio::test]
async fn malformed_chunks_are_refused() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = gateway(&mock).await;
    let size = format!("{:x}", BODY.len());
    let with = |chunks: String| request("Transfer-Encoding: chunked\r\n", &chunks);
    let end = "\r\n0\r\n\r\n";
    let cases = [
        ("0x size", with(format!("0x{size}\r\n{BODY}{end}"))),
        ("plus size", with(format!("+{size}\r\n{BODY}{end}"))),
        ("negative size", with(format!("-{size}\r\n{BODY}{end}"))),
        ("underscore", with(format!("0_{size}\r\n{BODY}{end}"))),
        ("65 bits", with(format!("1{}{size}\r\n{BODY}{end}", "0".repeat(16)))),
        ("empty size", with(format!("\r\n{BODY}{end}"))),
        ("a space before", with(format!(" {size}\r\n{BODY}{end}"))),
        ("LF only after size", with(format!("{size}\n{BODY}{end}"))),
        ("LF only after data", with(format!("{size}\r\n{BODY}\n0\r\n\r\n"))),
        ("no line end after data", with(format!("{size}\r\n{BODY}0\r\n\r\n"))),
        ("surplus data", with(format!("{size}\r\n{BODY}xx{end}"))),
        ("a huge extension", with(format!("{size};x={}\r\n{BODY}{end}", "y".repeat(64 << 10)))),
        ("a bare CR in an extension", with(format!("{size};a\rb\r\n{BODY}{end}"))),
        ("20,000 trailers", with(format!("{size}\r\n{BODY}\r\n0\r\n{}\r\n", "x-t: 1\r\n".repeat(20_000)))),
        ("a megabyte of trailer", with(format!("{size}\r\n{BODY}\r\n0\r\nx-t: {}\r\n\r\n", "y".repeat(1 << 20)))),
        ("a length as trailer", with(format!("{size}\r\n{BODY}\r\n0\r\nContent-Length: 5\r\n\r\n"))),
    ];
    for (name, bytes) in &cases {
        refused(&gateway, &mock, name, bytes.as_bytes()).await;
    }
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
}

#[tokio::test]
async fn malformed_heads_are_refused() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = gateway(&mock).await;
    let line = |first: &str| {
        format!(
            "{first}\r\nHost: gw.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
            BODY.len()
        )
    };
    let path = "/v1/chat/completions";
    let cases: Vec<(String, String)> = vec![
        ("HTTP/0.9".into(), format!("POST {path}\r\n\r\n")),
        ("HTTP/1.2".into(), line(&format!("POST {path} HTTP/1.2"))),
        ("HTTP/2.0 in text".into(), line(&format!("POST {path} HTTP/2.0"))),
        ("a tab".into(), line(&format!("POST\t{path} HTTP/1.1"))),
        ("two spaces".into(), line(&format!("POST  {path} HTTP/1.1"))),
        ("a NUL in the target".into(), line(&format!("POST {path}\u{0} HTTP/1.1"))),
        ("a lower-case method".into(), line(&format!("post {path} HTTP/1.1"))),
        ("an unknown method".into(), line(&format!("BREW {path} HTTP/1.1"))),
        ("TRACE".into(), format!("TRACE {path} HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n")),
        ("CONNECT".into(), "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n".into()),
        ("POST *".into(), line("POST * HTTP/1.1")),
        ("another authority".into(), line(&format!("POST http://evil.example{path} HTTP/1.1"))),
        ("a file".into(), line("POST file:///etc/passwd HTTP/1.1")),
        ("the metadata address".into(), line("POST http://169.254.169.254/latest HTTP/1.1")),
        ("no Host".into(), sized("", BODY).replace("Host: gw.test\r\n", "")),
        ("two Hosts".into(), sized("Host: other.test\r\n", BODY)),
        ("an odd Host".into(), sized("", BODY).replace("Host: gw.test", "Host: a@b/c?d")),
        ("two credentials".into(), sized("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", BODY)),
        ("a bare CR".into(), sized("x-a: b\rx-c: d\r\n", BODY)),
        ("a bare LF".into(), sized("x-a: b\nx-c: d\r\n", BODY)),
        ("a NUL in a value".into(), sized("x-a: b\u{0}c\r\n", BODY)),
        ("an empty name".into(), sized(": b\r\n", BODY)),
        ("a space before the colon".into(), sized("x-a : b\r\n", BODY)),
        ("a folded header".into(), sized("x-a: b\r\n c\r\n", BODY)),
        ("no colon".into(), sized("x-a\r\n", BODY)),
        ("5,000 headers".into(), sized(&"x-a: b\r\n".repeat(5_000), BODY)),
        ("a header of a megabyte".into(), sized(&format!("x-a: {}\r\n", "b".repeat(1 << 20)), BODY)),
        (
            "eight megabytes of headers".into(),
            sized(&format!("x-a: {}\r\n", "b".repeat(1 << 10)).repeat(8 << 10), BODY),
        ),
        ("a target of 100 KB".into(), line(&format!("POST {path}?{} HTTP/1.1", "a".repeat(100 << 10)))),
        ("TLS".into(), "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}".into()),
        ("a body cut short".into(), request("Content-Length: 500\r\n", BODY)),
    ];
    let before = gateway.memory();
    for (name, bytes) in &cases {
        refused(&gateway, &mock, name, bytes.as_bytes()).await;
    }
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 32 << 20, "grew by {} KiB", grown >> 10);
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
}

#[tokio::test]
async fn path_tricks_never_reach_the_provider() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = gateway(&mock).await;
    for path in [
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/chat%2fcompletions",
        "/v1/%2e%2e/v1/chat/completions",
        "/v1/chat/completions%00",
        "/v1\\chat\\completions",
        "/v1/chat/completions;x=1",
        "/V1/Chat/Completions",
        "/v1/chat/completions/",
        "/v1/files/../chat/completions",
        "/v1/ch%61t/completions",
        "/v1/chat/completions/../../admin",
    ] {
        let bytes = sized("Connection: close\r\n", ATTACK).replace("/v1/chat/completions", path);
        let (said, _) = raw(gateway.address, bytes.as_bytes(), 5).await;
        let got = statuses(&said);
        assert!(got.iter().all(|status| (400..500).contains(status)), "{path}: {said}");
        assert_eq!(mock.count(), 0, "{path}: an attack was forwarded");
    }
}

#[tokio::test]
async fn every_request_on_a_connection_is_inspected_on_its_own() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = gateway(&mock).await;
    for lines in [
        "",
        "Upgrade: foo\r\nConnection: upgrade\r\n",
        "Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\n",
    ] {
        let asked = mock.count();
        let pipelined = format!("{}{}", sized(lines, BODY), sized("Connection: close\r\n", ATTACK));
        let (said, _) = raw(gateway.address, pipelined.as_bytes(), 5).await;
        let got = statuses(&said);
        assert!(!got.contains(&101), "{lines:?}: {said}");
        assert!(got == [200, 400] || got == [400] || got == [501], "{lines:?}: {got:?} {said}");
        assert!(mock.count() <= asked + 1, "{lines:?}: the attack was forwarded");
        if mock.count() > asked {
            assert_eq!(mock.last().header("upgrade"), None, "{lines:?}");
        }
    }
}

#[tokio::test]
async fn a_client_cannot_have_headers_removed_as_hop_by_hop() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = gateway(&mock).await;
    let lines = "Connection: authorization, host, content-length, content-type, close\r\nAuthorization: Bearer x\r\n";
    let (said, _) = raw(gateway.address, sized(lines, BODY).as_bytes(), 5).await;
    if statuses(&said) == [200] {
        let seen = mock.last();
        assert!(seen.header("authorization").is_some() && seen.header("host").is_some());
        assert_eq!(seen.body, BODY.as_bytes());
    } else {
        assert_eq!(mock.count(), 0, "{said}");
    }
}

#[tokio::test]
async fn slow_and_silent_clients_are_cut_and_others_are_served() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = gateway(&mock).await;
    let head = request("Content-Length: 500\r\n", "");
    let chunked = request("Transfer-Encoding: chunked\r\n", "");
    let kinds: [(&'static str, String, &'static str); 5] = [
        ("silent", String::new(), ""),
        ("slow head", "POST /v1/chat/completions HTTP/1.1\r\n".into(), "x"),
        ("slow body", head.clone(), "a"),
        ("stalled body", head, ""),
        ("slow chunks", chunked, "1\r\na\r\n"),
    ];
    let mut slow = Vec::new();
    for (name, first, drop) in kinds {
        for _ in 0..50 {
            let (address, first) = (gateway.address, first.clone());
            slow.push(tokio::spawn(async move {
                let mut socket = TcpStream::connect(address).await.expect("accepted");
                socket.write_all(first.as_bytes()).await.expect("written");
                let started = Instant::now();
                let mut ticks = tokio::time::interval(Duration::from_millis(200));
                let mut buffer = [0; 4096];
                loop {
                    tokio::select! {
                        _ = ticks.tick() => if !drop.is_empty() && socket.write_all(drop.as_bytes()).await.is_err() { break },
                        read = socket.read(&mut buffer) => if matches!(read, Ok(0) | Err(_)) { break },
                    }
                    assert!(started.elapsed() < Duration::from_secs(8), "{name}: still open after {:?}", started.elapsed());
                }
            }));
        }
    }
    for _ in 0..20 {
        let started = Instant::now();
        assert_eq!(gateway.send(ask("hello")).await.status, 200);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    for client in slow {
        within(20, client).await.expect("cut in time");
    }
    assert_eq!(mock.count(), 20);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// HPACK: POST /v1/chat/completions, https, authority, all indexed or literal without indexing.
fn headers_block() -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x04, 0x14];
    block.extend_from_slice(b"/v1/chat/completions");
    block.extend_from_slice(&[0x01, 0x07]);
    block.extend_from_slice(b"gw.test");
    block
}

#[tokio::test]
async fn http2_floods_are_bounded_and_others_are_served() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = gateway(&mock).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let begin = |more: Vec<u8>| [preface.clone(), frame(4, 0, 0, &[]), more].concat();
    let block = headers_block();
    let resets: Vec<u8> = (0..20_000_u32)
        .flat_map(|n| [frame(1, 4, 2 * n + 1, &block), frame(3, 0, 2 * n + 1, &8_u32.to_be_bytes())].concat())
        .collect();
    let continuations: Vec<u8> =
        std::iter::once(frame(1, 0, 1, &block))
            .chain((0..20_000).map(|_| {
                frame(9, 0, 1, b"\x00\x01x\x40yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")
            }))
            .flatten()
            .collect();
    let floods = [
        ("rapid reset", begin(resets)),
        ("CONTINUATION", begin(continuations)),
        ("SETTINGS", begin(frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(50_000))),
        ("PING", begin(frame(6, 0, 0, &[0; 8]).repeat(50_000))),
        ("PRIORITY", begin(frame(2, 0, 1, &[0, 0, 0, 0, 1]).repeat(50_000))),
        ("empty DATA", begin([frame(1, 4, 1, &block), frame(0, 0, 1, &[]).repeat(50_000)].concat())),
        ("WINDOW_UPDATE overflow", begin(frame(8, 0, 0, &0x7fff_ffff_u32.to_be_bytes()).repeat(10))),
        ("a frame of 16 MB", begin(vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])),
        ("garbage", begin(vec![0xa5; 100_000])),
        ("a stream of even number", begin(frame(1, 4, 2, &block))),
        ("bad HPACK", begin(frame(1, 4, 1, &[0xff, 0xff, 0xff, 0xff, 0xff]))),
    ];
    let before = gateway.memory();
    for (name, bytes) in floods {
        let address = gateway.address;
        let flood = tokio::spawn(async move { raw(address, &bytes, 4).await });
        for _ in 0..5 {
            let started = Instant::now();
            assert_eq!(gateway.send(ask("hello")).await.status, 200, "{name}");
            assert!(started.elapsed() < Duration::from_secs(1), "{name}: {:?}", started.elapsed());
        }
        within(10, flood).await.expect("no panic");
    }
    assert_eq!(mock.count(), 55, "nothing of the floods was forwarded");
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {} MiB", grown >> 20);
}

/// Fields that other gateways have taken for an order to go elsewhere.
#[tokio::test]
async fn nothing_in_a_request_chooses_the_upstream() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let other = Mock::start(answers::json_body(200, &answers::chat("stolen"))).await;
    let gateway = gateway(&mock).await;
    let elsewhere = format!("http://{}", other.address);
    let body = serde_json::json!({"model": "m", "api_base": elsewhere, "base_url": elsewhere, "custom_host": elsewhere,
        "messages": [{"role": "user", "content": "hi"}]})
    .to_string();
    let lines = format!(
        "x-portkey-custom-host: {elsewhere}\r\nx-upstream: {elsewhere}\r\nx-forwarded-host: {}\r\nConnection: close\r\n",
        other.address
    );
    let (said, _) = raw(gateway.address, sized(&lines, &body).as_bytes(), 5).await;
    assert!(statuses(&said).iter().all(|status| [200, 400].contains(status)), "{said}");
    assert_eq!(other.count(), 0);
}

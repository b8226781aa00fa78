//! Raw bytes that other servers read in two ways: each gets one answer, in the error form, and no handler sees it.

use std::io::{Read, Write};

use super::support::{answers, connect, exchange, read_to_end, settings, start};

/// What a client sends, the status it gets, and how many requests a handler serves.
struct Case {
    name: String,
    bytes: Vec<u8>,
    status: u16,
    served: usize,
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn refused(&mut self, status: u16, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push(Case { name: name.into(), bytes: bytes.into(), status, served: 0 });
    }

    fn served(&mut self, served: usize, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push(Case { name: name.into(), bytes: bytes.into(), status: 200, served });
    }

    fn header(&mut self, status: u16, name: &str, line: &[u8]) {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n\r\n");
        self.refused(status, name, bytes);
    }

    fn post(&mut self, name: String, framing: &[u8], body: &[u8]) {
        let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\n".to_vec();
        bytes.extend_from_slice(framing);
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(SECOND);
        self.refused(400, name, bytes);
    }

    fn chunked(&mut self, name: impl Into<String>, body: impl Into<Vec<u8>>) {
        let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        bytes.extend(body.into());
        self.refused(400, name, bytes);
    }
}

const SECOND: &[u8] = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n";

fn lengths(cases: &mut Cases) {
    for value in [
        "",
        " ",
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "0x5",
        "5 5",
        "5;",
        "05",
        "00",
        "1e1",
        "5.0",
        "99999999999999999999",
        "\t5",
        "5 ",
        "5\t",
        "five",
        "\"5\"",
        "5\u{b2}",
        "'5'",
        "_5",
        "5_0",
        "18446744073709551616",
        "9223372036854775808000",
    ] {
        cases.post(format!("Content-Length {value:?}"), format!("Content-Length: {value}").as_bytes(), b"hello");
    }
    for (name, framing) in [
        ("two equal Content-Length", "Content-Length: 5\r\nContent-Length: 5"),
        ("two Content-Length", "Content-Length: 5\r\nContent-Length: 6"),
        ("two Content-Length, one zero", "Content-Length: 0\r\nContent-Length: 5"),
        ("Content-Length and Transfer-Encoding", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("Transfer-Encoding and Content-Length", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ("two Transfer-Encoding", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("chunked and identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        ("folded Transfer-Encoding", "Transfer-Encoding:\r\n chunked"),
        ("Transfer-Encoding folded after", "Transfer-Encoding: chunked\r\n x"),
    ] {
        cases.post(name.into(), framing.as_bytes(), b"0\r\n\r\n");
    }
}

fn encodings(cases: &mut Cases) {
    for value in [
        "",
        "Chunked",
        "CHUNKED",
        "chunKed",
        "chunked, chunked",
        "identity",
        "gzip, chunked",
        "chunked, identity",
        "chunked;q=1",
        "\"chunked\"",
        "xchunked",
        "chunkedx",
        "chunked ",
        "chunked,",
        ",chunked",
        ", chunked",
        "chunked\t",
        "\tchunked",
        "chunk",
        "identity, chunked",
        "gzip",
        "chunked chunked",
    ] {
        cases.post(
            format!("Transfer-Encoding {value:?}"),
            format!("Transfer-Encoding: {value}").as_bytes(),
            b"0\r\n\r\n",
        );
    }
    for byte in [0x00, 0x01, 0x08, 0x09, 0x0b, 0x0c, 0x0d, 0x1f, 0x20, 0x7f, 0x80, 0x85, 0xa0, 0xff] {
        for (place, before, after) in [
            ("before the name", &b""[..], &b"Transfer-Encoding: chunked"[..]),
            ("after the name", b"Transfer-Encoding", b": chunked"),
            ("in the name", b"Transfer", b"-Encoding: chunked"),
            ("before the value", b"Transfer-Encoding:", b"chunked"),
            ("after the value", b"Transfer-Encoding: chunked", b""),
        ] {
            if byte == b' ' && place == "before the value" {
                continue;
            }
            let line = [before, &[byte], after].concat();
            cases.post(format!("byte {byte:#04x} {place}"), &line, b"0\r\n\r\n");
        }
    }
    cases.refused(
        400,
        "Transfer-Encoding in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
}

fn chunks(cases: &mut Cases) {
    for size in [
        "0x5",
        "+5",
        "-5",
        "5_",
        "_5",
        "5 ",
        " 5",
        "\t5",
        "5\t",
        "",
        "g",
        "5h",
        "10000000000000000",
        "00000000000000005",
        "FFFFFFFFFFFFFFFF",
        "5\u{0}",
        "5,",
    ] {
        cases.chunked(format!("chunk size {size:?}"), format!("{size}\r\nhello\r\n0\r\n\r\n"));
    }
    for (name, body) in [
        ("LF after the size", "5\nhello\r\n0\r\n\r\n"),
        ("CR after the size", "5\rhello\r\n0\r\n\r\n"),
        ("LF after the data", "5\r\nhello\n0\r\n\r\n"),
        ("CR after the data", "5\r\nhello\r0\r\n\r\n"),
        ("nothing after the data", "5\r\nhello0\r\n\r\n"),
        ("surplus data", "5\r\nhelloworld\r\n0\r\n\r\n"),
        ("LF at the end", "5\r\nhello\r\n0\n\n"),
        ("LF after the last size", "5\r\nhello\r\n0\n\r\n"),
        ("LF as the last line", "5\r\nhello\r\n0\r\n\n"),
        ("junk after the last chunk", "0\r\nX\r\n\r\n"),
        ("control in an extension", "5;a=\u{1}\r\nhello\r\n0\r\n\r\n"),
        ("LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("bad name in a trailer", "0\r\nx y: z\r\n\r\n"),
        ("empty name in a trailer", "0\r\n: z\r\n\r\n"),
        ("fold in a trailer", "0\r\nx: z\r\n y\r\n\r\n"),
        ("LF in a trailer", "0\r\nx: z\ny: z\r\n\r\n"),
        ("NUL in a trailer", "0\r\nx: \u{0}\r\n\r\n"),
    ] {
        cases.chunked(name, body);
    }
    for name in [
        "Content-Length",
        "transfer-encoding",
        "Host",
        "AUTHORIZATION",
        "x-api-key",
        "Connection",
        "Cookie",
        "Content-Type",
    ] {
        cases.chunked(format!("trailer {name}"), format!("5\r\nhello\r\n0\r\n{name}: 5\r\n\r\n"));
    }
    cases.chunked("an extension of 64 KiB", format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(64 << 10)));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    cases.refused(431, "20,000 trailers", format!("{head}{}\r\n", "x: y\r\n".repeat(20_000)));
    cases.refused(431, "a trailer of 1 MB", format!("{head}x: {}\r\n\r\n", "y".repeat(1 << 20)));
    cases.refused(431, "a long trailer name", format!("{head}{}: y\r\n\r\n", "x".repeat(4 << 10)));
}

fn request_lines(cases: &mut Cases) {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET / HTTP/1.1\t",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.10",
        "GET / HTTP/ 1.1",
        "GET / HTTP/01.1",
        "GET / HTTP/1,1",
        "GET /",
        "GET",
        "/ HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\u{0} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "get / HTTP/1.1",
        "Get / HTTP/1.1",
        "G<T / HTTP/1.1",
        "GET\u{0} / HTTP/1.1",
        "GET /#x HTTP/1.1",
        "GET /\" HTTP/1.1",
        "GET /<x> HTTP/1.1",
        "GET /\\x HTTP/1.1",
        "GET x HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "GET * HTTP/1.1",
        "POST * HTTP/1.1",
        "GET file:///etc/passwd HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET javascript:x HTTP/1.1",
        "GET  HTTP/1.1",
        "GET HTTP/1.1",
        "PRI * HTTP/2.0x",
        "ICY / XTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http://a b/ HTTP/1.1",
        "GET http://user:pw@a/ HTTP/1.1",
        "\u{16}\u{3}\u{1}",
        "{\"a\": 1}",
    ] {
        cases.refused(400, format!("request line {line:?}"), format!("{line}\r\nHost: a\r\n\r\n"));
    }
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"] {
        cases.refused(505, version, format!("GET / {version}\r\nHost: a\r\n\r\n"));
    }
    for method in ["CONNECT", "TRACE"] {
        cases.refused(405, method, format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    cases.refused(405, "CONNECT a:80", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    for method in ["FOO", "PROPFIND", "M-SEARCH"] {
        cases.refused(501, method, format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    }
    for (name, bytes) in [
        ("LF lines", "GET / HTTP/1.1\nHost: a\n\n"),
        ("one LF line", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
        ("LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        ("CR lines", "GET / HTTP/1.1\rHost: a\r\rx"),
        ("HTTP/0.9", "GET /\r\n"),
        ("two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a bare LF before", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("CRCRLF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
        ("a space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}"),
    ] {
        cases.refused(400, name, bytes);
    }
}

fn fields(cases: &mut Cases) {
    for (name, line) in [
        ("space before the colon", &b"X : y"[..]),
        ("tab before the colon", b"X\t: y"),
        ("empty name", b": y"),
        ("no colon", b"Xy"),
        ("fold", b"X: y\r\n z"),
        ("fold with a tab", b"X: y\r\n\tz"),
        ("NUL in a value", b"X: a\0b"),
        ("bare CR in a value", b"X: a\rb"),
        ("escape in a value", b"X: a\x1bb"),
        ("DEL in a value", b"X: a\x7fb"),
        ("NUL in a name", b"X\0: y"),
        ("a name of high bytes", b"X\xe9: y"),
        ("a slash in a name", b"X/Y: z"),
        ("brackets in a name", b"X(): z"),
        ("a name in quotes", b"\"X\": z"),
        ("two Host", b"Host: a"),
        ("another Host", b"Host: b"),
        ("two Authorization", b"Authorization: Bearer a\r\nAuthorization: Bearer b"),
        ("two x-api-key", b"x-api-key: a\r\nX-Api-Key: a"),
    ] {
        let line = [line, b"\r\nConnection: close"].concat();
        cases.header(400, name, &line);
    }
    cases.header(417, "another expectation", b"Expect: 200-ok\r\nConnection: close");
    for host in [
        "", " ", "a b", "a,b", "a/b", "user@a", "a:b", "a:99999", ":80", "[::1", "http://a", "a?b", "a#b", "a\\b",
        "a\tb",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        cases.refused(400, format!("Host {host:?}"), request);
    }
    cases.refused(400, "no Host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    for target in ["http://b/", "http://169.254.169.254/latest", "https://a:444/"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        cases.refused(421, format!("target {target}"), request);
    }
}

fn sizes(cases: &mut Cases) {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n";
    cases.refused(431, "5,000 fields", format!("{get}{}\r\n", "x: y\r\n".repeat(5000)));
    cases.refused(431, "101 fields", format!("{get}{}\r\n", "x: y\r\n".repeat(100)));
    cases.refused(431, "a field of 1 MB", format!("{get}x: {}\r\n\r\n", "y".repeat(1 << 20)));
    cases.refused(431, "a name of 1 MB", format!("{get}{}: y\r\n\r\n", "x".repeat(1 << 20)));
    cases.refused(
        431,
        "8 MB of fields",
        format!("{get}{}\r\n", format!("x: {}\r\n", "y".repeat(8 << 10)).repeat(1024)),
    );
    cases.refused(414, "a target of 9 KB", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9 << 10)));
    cases.refused(414, "a target of 8 KB and one", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8 << 10)));
    cases.refused(414, "a target of 1 MB", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1 << 20)));
}

fn sound(cases: &mut Cases) {
    let close = "Connection: close\r\n\r\n";
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET /v1/models?x=[1]&y=%20 HTTP/1.1\r\nHost: a:8080\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
        "GET http://a/x HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\nX:\r\nY: \u{e9}\ta \r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n",
    ] {
        cases.served(1, format!("{head:?}"), format!("{head}{close}"));
    }
    for (name, rest) in [
        ("a length", "Content-Length: 5\r\nConnection: close\r\n\r\nhello"),
        ("a length after spaces", "Content-Length:   5\r\nConnection: close\r\n\r\nhello"),
        ("chunks", "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        ("zeros before a size", "transfer-encoding: chunked\r\nConnection: close\r\n\r\n0005\r\nhello\r\n000\r\n\r\n"),
        ("an extension", "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5;a=\"b c\"\r\nhello\r\n0;x\r\n\r\n"),
        (
            "a trailer",
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nA\r\nhellohello\r\n0\r\nX-Sum: 5\r\n\r\n",
        ),
        ("an expectation", "Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"),
    ] {
        cases.served(1, name, format!("POST /x HTTP/1.1\r\nHost: a\r\n{rest}"));
    }
    cases.served(1, "99 more fields", format!("GET / HTTP/1.1\r\nHost: a\r\n{}{close}", "x: y\r\n".repeat(98)));
    cases.served(1, "a head of 60 KB", format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n{close}", "y".repeat(60 << 10)));
    let target = "x".repeat((8 << 10) - 1);
    cases.served(1, "a target of 8 KB", format!("GET /{target} HTTP/1.1\r\nHost: a\r\n{close}"));
}

fn all() -> Vec<Case> {
    let mut cases = Cases::default();
    lengths(&mut cases);
    encodings(&mut cases);
    chunks(&mut cases);
    request_lines(&mut cases);
    fields(&mut cases);
    sizes(&mut cases);
    sound(&mut cases);
    cases.0
}

#[test]
fn every_ambiguous_request_gets_one_error_and_reaches_no_handler() {
    let cases = all();
    assert!(cases.len() >= 250, "{}", cases.len());
    let server = start(&settings(), None);
    let mut wrong = Vec::new();
    for case in &cases {
        let before = server.served().len();
        let answer = exchange(server.address(), &case.bytes);
        let answers = if case.name.contains("HEAD") { Vec::new() } else { answers(&answer) };
        let served = server.served().len() - before;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        let as_expected = case.name.contains("HEAD") || statuses == [case.status];
        if !as_expected || served != case.served {
            wrong.push(format!("{}: {statuses:?}, {served} served, not {}", case.name, case.status));
        } else if case.status >= 400 && !answers[0].error_code().is_empty() && answers[0].body.contains("second") {
            wrong.push(format!("{}: quotes the request", case.name));
        }
    }
    eprintln!("{} cases", cases.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn one_byte_at_a_time_changes_nothing() {
    let server = start(&settings(), None);
    for case in all().iter().filter(|case| case.bytes.len() < 180).step_by(9) {
        let before = server.served().len();
        let mut socket = connect(server.address());
        for byte in &case.bytes {
            if socket.write_all(&[*byte]).is_err() {
                break;
            }
        }
        let answer = read_to_end(&mut socket);
        if case.name.contains("HEAD") {
            continue;
        }
        let statuses: Vec<u16> = answers(&answer).iter().map(|answer| answer.status).collect();
        assert_eq!((statuses, server.served().len() - before), (vec![case.status], case.served), "{}", case.name);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_and_each_is_judged() {
    let server = start(&settings(), None);
    let ok = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n";
    let bad = "GET /4 HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n";
    let answer = exchange(server.address(), format!("{ok}{body}{chunked}{bad}{ok}").as_bytes());
    let answers = answers(&answer);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 400]);
    assert_eq!(answers[3].error_code(), "invalid_http");
    assert_eq!(server.served(), ["GET /1 ", "POST /2 hello", "POST /3 world"]);
    assert_eq!(server.log.refuses.lock().unwrap().len(), 1);
}

#[test]
fn many_pipelined_requests_are_all_answered() {
    let server = start(&settings(), None);
    let request = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(server.address(), format!("{}{last}", request.repeat(500)).as_bytes());
    assert_eq!(answers(&answer).len(), 501);
    assert_eq!(server.served().len(), 501);
}

#[test]
fn a_body_that_looks_like_a_request_is_a_body() {
    let server = start(&settings(), None);
    let inner = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = format!(
        "POST /outer HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        inner.len()
    );
    let answer = exchange(server.address(), request.as_bytes());
    assert_eq!(answers(&answer).len(), 2);
    assert_eq!(server.served(), [format!("POST /outer {inner}"), "GET /next ".to_owned()]);
}

#[test]
fn an_upgrade_is_not_made_and_what_follows_is_judged() {
    let server = start(&settings(), None);
    let upgrade = "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n";
    let answer = exchange(server.address(), format!("{upgrade}GET /2 HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n").as_bytes());
    assert_eq!(answers(&answer).iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 400]);
    assert_eq!(server.served(), ["GET /1 "]);
}

#[test]
fn an_error_waits_for_the_answer_before_it() {
    let server = start(&settings(), None);
    let mut socket = connect(server.address());
    socket.write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\nX\0\r\n\r\n").unwrap();
    let mut space = [0; 256];
    let count = socket.read(&mut space).unwrap();
    let text = String::from_utf8_lossy(&space[..count]).into_owned();
    assert!(text.starts_with("HTTP/1.1 200") && !text.contains("invalid_http"), "{text}");
}

#[test]
fn a_handlers_panic_is_one_500() {
    let server = start(&settings(), None);
    let answer = exchange(
        server.address(),
        b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    let answers = answers(&answer);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [500, 200]);
    assert_eq!(answers[0].error_code(), "internal_error");
}

#[test]
fn an_answer_that_came_early_survives_the_rest_of_the_body() {
    let server = start(&settings(), None);
    let mut request = b"POST / HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n".to_vec();
    request.resize(request.len() + 8_000_000, b'x');
    let answer = exchange(server.address(), &request);
    assert_eq!(answers(&answer).first().map(|answer| answer.status), Some(400));
}

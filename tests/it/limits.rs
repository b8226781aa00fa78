//! Rates and concurrency: told in the headers, refused with a time to come back.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::answers;
use crate::support::client::{Answer, ask, collect, open, post};
use crate::support::gateway::Setup;
use crate::support::mock::{Act, Mock};
use crate::support::{until, within};

#[tokio::test]
async fn a_caller_over_its_rate_is_told_when_to_come_back() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let limits = "[limits.per_address]\nrequests_per_minute = 6\nburst = 3";
    let gateway = Setup::before(mock.address).section(limits).start().await;
    for left in ["2", "1", "0"] {
        let got = gateway.send(ask("hello")).await;
        assert_eq!(got.status, 200);
        assert!(got.header("x-ratelimit-limit-requests").is_some(), "{:?}", got.headers);
        assert_eq!(got.header("x-ratelimit-remaining-requests"), Some(left), "{:?}", got.headers);
        assert!(got.header("x-ratelimit-reset-requests").is_some());
    }
    let got = gateway.send(ask("hello")).await;
    got.assert_error(429, "rate_limit_exceeded");
    let seconds: u64 = got.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((1..=10).contains(&seconds), "one request each ten seconds: {seconds}");
    let millis: u64 = got.header("retry-after-ms").expect("retry-after-ms").parse().unwrap();
    assert!((1..=10_000).contains(&millis), "{millis}");
    assert_eq!(mock.count(), 3);
    let records = gateway.exactly(4).await;
    assert_eq!(records[3]["outcome"], "refused");
    assert_eq!(records[3]["reason"], "rate_limit_exceeded");
}

#[tokio::test]
async fn requests_at_once_are_capped_and_a_place_comes_free_again() {
    let mut acts = vec![Act::Wait];
    acts.extend(answers::json_body(200, &answers::chat("ok")));
    let mock = Mock::start(acts).await;
    let gateway = Setup::before(mock.address).section("[limits.per_address]\nconcurrent = 2").start().await;
    let address = gateway.address;
    let running: Vec<_> =
        (0..2).map(|_| tokio::spawn(async move { open(address, ask("hello")).await.unwrap() })).collect();
    until(5, "both at the upstream", || (mock.count() == 2).then_some(())).await;
    let got = gateway.send(ask("hello")).await;
    assert_eq!(got.status, 429, "{}", got.text());
    assert!(got.header("retry-after").is_some());
    mock.go_on();
    for answer in running {
        let answer = within(5, answer).await.unwrap();
        assert_eq!(answer.status(), 200);
        collect(answer).await;
    }
    mock.play(answers::json_body(200, &answers::chat("ok")));
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
    assert_eq!(mock.most_at_once(), 2);
    gateway.exactly(4).await;
}

#[tokio::test]
async fn a_refused_request_costs_no_place() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).section("[limits]\nmax_in_flight = 1").start().await;
    for _ in 0..20 {
        assert_eq!(gateway.send(ask("attack-marker")).await.status, 400);
    }
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
    gateway.exactly(21).await;
}

#[tokio::test]
async fn spoofed_addresses_do_not_buy_a_new_rate() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let limits = "[limits.per_address]\nrequests_per_minute = 1\nburst = 1";
    let gateway = Setup::before(mock.address).section(limits).start().await;
    let from = |spoof: &str| {
        let mut request = ask("hello");
        request.headers_mut().insert("x-forwarded-for", spoof.parse().unwrap());
        request.headers_mut().insert("x-real-ip", spoof.parse().unwrap());
        request.headers_mut().insert("forwarded", format!("for={spoof}").parse().unwrap());
        request
    };
    assert_eq!(gateway.send(from("192.0.2.1")).await.status, 200);
    assert_eq!(gateway.send(from("192.0.2.2")).await.status, 429);
    assert_eq!(gateway.exactly(2).await[1]["caller"]["address"], "127.0.0.1");
}

#[tokio::test]
async fn guessing_keys_and_paths_uses_up_the_rate_of_the_address() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let sections = format!(
        "[limits.per_address]\nrequests_per_minute = 1\nburst = 3\n\
         [identity]\nrequire_key = true\nkeys = [{{ name = \"team-a\", sha256 = \"{}\" }}]",
        "0".repeat(64)
    );
    let gateway = Setup::before(mock.address).section(&sections).start().await;
    gateway.send(ask("hello")).await.assert_error(401, "missing_api_key");
    gateway.send(post("/v1/files", "{}")).await.assert_error(403, "endpoint_not_allowed");
    gateway.send(post("/v1//chat/../completions", "{}")).await.assert_error(400, "invalid_path");
    let got = gateway.send(ask("hello")).await;
    got.assert_error(429, "rate_limit_exceeded");
    assert!(got.header("retry-after").is_some());
    for record in gateway.exactly(4).await {
        assert_eq!(record["caller"]["address"], "127.0.0.1", "{record}");
    }
}

/// Sends one request over HTTP/2 in clear.
async fn over_http2(address: std::net::SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    within(20, async {
        let socket = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        collect(sender.send_request(request).await.unwrap()).await
    })
    .await
}

#[tokio::test]
async fn http2_has_the_same_limits_on_heads_as_http1() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).section("[http]\nmax_headers = 20\nmax_target = \"1KiB\"").start().await;
    let request = |path: &str, fields: usize| {
        let mut request =
            Request::post(format!("http://gateway.test{path}")).header("content-type", "application/json");
        // With its type and its length.
        for number in 2..fields {
            request = request.header(format!("x-field-{number}"), "1");
        }
        request.body(Full::new(Bytes::from_static(br#"{"model":"m","messages":[]}"#))).unwrap()
    };
    let long = "a".repeat(1024);
    assert_eq!(over_http2(gateway.address, request("/v1/chat/completions", 20)).await.status, 200);
    over_http2(gateway.address, request("/v1/chat/completions", 21)).await.assert_error(431, "too_many_headers");
    over_http2(gateway.address, request(&format!("/v1/chat/completions?{long}"), 2))
        .await
        .assert_error(414, "target_too_long");
    for (path, fields, status) in [("/v1/messages".to_owned(), 21, 431), (format!("/v1/messages?{long}"), 2, 414)] {
        let got = over_http2(gateway.address, request(&path, fields)).await;
        assert_eq!((got.status, &got.json()["type"]), (status, &"error".into()), "{path}: {}", got.text());
    }
    assert_eq!(mock.count(), 1);
    gateway.exactly(5).await;
}

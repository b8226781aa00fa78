//! Access handed out and taken back at run time: the admin API, virtual keys, standing orders, the ledger, the trail.

use std::process::Command;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use serde_json::{Value, json};

use crate::support::answers;
use crate::support::client::{self, Answer, ask, open, post};
use crate::support::gateway::{Gateway, Setup};
use crate::support::mock::{Act, Mock};
use crate::support::{until, within};

/// An administrator of a running gateway, with an API token.
pub(crate) struct Admin<'g> {
    gateway: &'g Gateway,
    token: String,
}

impl<'g> Admin<'g> {
    /// Uses the one-time token that the gateway printed at its first start.
    pub(crate) async fn first(gateway: &'g Gateway) -> Self {
        let setup = until(10, "the setup token", || {
            let log = gateway.log();
            log.split_whitespace().find(|word| word.starts_with("pcs_")).map(str::to_owned)
        })
        .await;
        let body = json!({"token": setup, "name": "root", "password": "a long pass phrase"});
        let made = call(gateway, "POST", "/setup", None, &[], Some(body.clone())).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let again = call(gateway, "POST", "/setup", None, &[], Some(body)).await;
        assert!(again.status >= 400, "it works once: {}", again.text());
        let cookie = made.header("set-cookie").unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
        let csrf = made.json()["csrf"].as_str().unwrap_or_default().to_owned();
        let headers = [("cookie", cookie.as_str()), ("x-portcullis-csrf", csrf.as_str())];
        let token = json!({"name": "test", "roles": ["admin", "auditor"]});
        let made = call(gateway, "POST", "/tokens", None, &headers, Some(token)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        Self { gateway, token: made.json()["token"].as_str().unwrap().to_owned() }
    }

    /// Its token, for after a start.
    pub(crate) fn token(&self) -> String {
        self.token.clone()
    }

    /// The administrator with this token.
    pub(crate) fn with(gateway: &'g Gateway, token: String) -> Self {
        Self { gateway, token }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let got = call(self.gateway, "GET", path, Some(&self.token), &[], None).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        got.json()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let got = call(self.gateway, method, path, Some(&self.token), &[], body).await;
        assert!(got.status < 300, "{method} {path}: {} {}", got.status, got.text());
        got
    }

    /// A fresh virtual key: its text and its id.
    async fn key(&self, more: Value) -> (String, String) {
        let mut body = json!({"name": "app"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.send("POST", "/keys", Some(body)).await.json();
        let id = made["details"]["id"].as_str().unwrap_or_default().to_owned();
        (made["key"].as_str().unwrap().to_owned(), id)
    }
}

async fn call(
    gateway: &Gateway,
    method: &str,
    path: &str,
    token: Option<&str>,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("/api/v1{path}")).header("host", "127.0.0.1");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = match body {
        None => Full::default(),
        Some(body) => {
            request = request.header("content-type", "application/json");
            Full::new(Bytes::from(body.to_string()))
        }
    };
    client::send(gateway.ops, request.body(body).unwrap()).await
}

fn with(key: &str, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

fn setup(mock: &Mock) -> Setup {
    Setup::before(mock.address).section("[admin]\ninsecure_loopback_cookie = true\n[identity]\nrequire_key = true\n")
}

#[tokio::test]
async fn a_key_works_from_the_moment_it_is_issued_until_it_is_revoked() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = setup(&mock).start().await;
    let admin = Admin::first(&gateway).await;
    gateway.send(ask("hello")).await.assert_error(401, "missing_api_key");
    let (key, id) = admin.key(json!({"tenant": "acme", "team": "web", "models": ["m"]})).await;
    assert_eq!(gateway.send(with(&key, ask("hello"))).await.status, 200);
    assert_eq!(mock.last().header("authorization").map(|sent| sent.contains("pck_")), Some(false));
    let other = json!({"model": "dear", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    gateway.send(with(&key, post("/v1/chat/completions", other))).await.assert_error(403, "model_not_allowed");
    // Another key overlaps with the one it replaces.
    let rotated = admin.send("POST", &format!("/keys/{id}/rotate"), Some(json!({"overlap": 3600}))).await.json();
    let second = rotated["key"].as_str().unwrap().to_owned();
    for key in [&key, &second] {
        assert_eq!(gateway.send(with(key, ask("hello"))).await.status, 200);
    }
    admin.send("DELETE", &format!("/keys/{id}"), None).await;
    let got = gateway.send(with(&key, ask("hello"))).await;
    assert_eq!(got.status, 401, "{}", got.text());
    assert_eq!(gateway.send(with(&second, ask("hello"))).await.status, 200);
    let mut typo = key.clone();
    typo.pop();
    gateway.send(with(&typo, ask("hello"))).await.assert_error(401, "invalid_api_key");
    assert!(!gateway.log().contains(&key), "a key is never logged");
    let records = gateway.records();
    let caller = &records[1]["caller"];
    assert_eq!((&caller["tenant"], &caller["team"], &caller["kind"]), (&json!("acme"), &json!("web"), &json!("key")));
}

#[tokio::test]
async fn an_order_cuts_a_live_stream_and_keeps_its_subject_out_until_it_is_lifted_also_over_a_restart() {
    let event = format!("data: {}\n\n", answers::chat_chunk(0, json!({"content": "word "}), None));
    let mock = Mock::start(vec![answers::stream_head(), answers::chunk(event.as_bytes()), Act::Hang]).await;
    let mut gateway = setup(&mock).start().await;
    let (key, order) = {
        let admin = Admin::first(&gateway).await;
        let (key, _) = admin.key(json!({"user": "mallory"})).await;
        let (honest, _) = admin.key(json!({"user": "ann"})).await;
        let streamed = |key: &str| with(key, client::ask_streamed("hi"));
        let mut stream = open(gateway.address, streamed(&key)).await.unwrap();
        let mut other = open(gateway.address, streamed(&honest)).await.unwrap();
        for body in [&mut stream, &mut other] {
            let first = within(5, body.body_mut().frame()).await.unwrap().unwrap();
            assert!(String::from_utf8_lossy(first.data_ref().unwrap()).contains("word"));
        }
        let block = json!({"subject": {"kind": "user", "name": "mallory"}, "measure": {"kind": "block"},
            "reason": "test", "expires_in": 3600});
        let order = admin.send("POST", "/orders", Some(block)).await.json();
        let rest = within(2, client::collect(stream)).await.text();
        assert!(rest.contains("blocked_by_order"), "{rest}");
        gateway.send(with(&key, ask("hello"))).await.assert_error(403, "blocked_by_order");
        assert!(tokio::time::timeout(std::time::Duration::from_millis(200), other.body_mut().frame()).await.is_err());
        (key, order["id"].as_str().unwrap().to_owned())
    };
    gateway.restart().await;
    mock.play(answers::json_body(200, &answers::chat("ok")));
    gateway.send(with(&key, ask("hello"))).await.assert_error(403, "blocked_by_order");
    let portcullis = |arguments: &[&str]| gateway.run(arguments);
    let (code, text) = portcullis(&["audit", "verify"]);
    assert_eq!(code, 0, "{text}");
    assert!(order.starts_with("ord_"));
}

#[tokio::test]
async fn a_quarantined_caller_is_read_and_judged_and_gets_nothing() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = setup(&mock).start().await;
    let admin = Admin::first(&gateway).await;
    let (key, _) = admin.key(json!({"user": "mallory"})).await;
    let order =
        json!({"subject": {"kind": "user", "name": "mallory"}, "measure": {"kind": "quarantine"}, "reason": "test"});
    let order = admin.send("POST", "/orders", Some(order)).await.json();
    gateway.send(with(&key, ask("hello"))).await.assert_error(403, "quarantined");
    gateway.send(with(&key, ask("attack-marker"))).await.assert_error(400, "content_filter");
    assert_eq!(mock.count(), 0);
    admin.send("DELETE", &format!("/orders/{}", order["id"].as_str().unwrap()), None).await;
    assert_eq!(gateway.send(with(&key, ask("hello"))).await.status, 200);
    let records = gateway.exactly(3).await;
    assert_eq!(records[0]["order"], order["id"]);
    assert_eq!(records[1]["input"]["decision"], "block", "it was read all the same");
}

#[tokio::test]
async fn an_order_that_limits_lets_so_many_requests_through() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = setup(&mock).start().await;
    let admin = Admin::first(&gateway).await;
    let (key, _) = admin.key(json!({})).await;
    let limit = json!({"kind": "limit", "requests": 2, "seconds": 600});
    let order = json!({"subject": {"kind": "network", "network": "127.0.0.0/8"}, "measure": limit, "reason": "test"});
    admin.send("POST", "/orders", Some(order)).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(gateway.send(with(&key, ask("hello"))).await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn what_was_asked_blocked_and_spent_can_be_looked_up_and_the_trail_verifies() {
    let mut answer = answers::chat("ok");
    answer["usage"] = json!({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100});
    let mock = Mock::start(answers::json_body(200, &answer)).await;
    let gateway = setup(&mock).start().await;
    let admin = Admin::first(&gateway).await;
    let (key, _) = admin.key(json!({"tenant": "acme", "team": "web"})).await;
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    assert_eq!(gateway.send(with(&key, post("/v1/chat/completions", body))).await.status, 200);
    gateway.send(with(&key, ask("attack-marker"))).await.assert_error(400, "content_filter");
    gateway.exactly(2).await;
    let events = loop {
        let events = admin.get("/events").await;
        if events["items"].as_array().is_some_and(|items| items.len() >= 2) {
            break events;
        }
        tokio::task::yield_now().await;
    };
    assert!(events.to_string().contains("prompt_blocked"), "{events}");
    let spend = admin.get("/spend?by=team&bucket=total").await;
    // gpt-4o: 2.50 and 10 dollars per million tokens.
    assert!(spend.to_string().contains("3500000"), "{spend}");
    let audit = loop {
        let audit = admin.get("/audit").await;
        if audit.to_string().contains("\"kind\":\"block\"") {
            break audit;
        }
        tokio::task::yield_now().await;
    };
    assert!(audit.to_string().contains("key.issue"), "{audit}");
    assert!(!audit.to_string().contains(&key) && !events.to_string().contains(&key));
    let status = admin.get("/status").await;
    assert_eq!(status["store"]["state"], "up", "{status}");
    let (code, text) = gateway.run(&["audit", "verify"]);
    assert_eq!(code, 0, "{text}");
}

#[tokio::test]
async fn an_id_that_a_provider_issued_is_honoured_for_its_caller_only_also_after_a_restart() {
    let mock = Mock::start(answers::json_body(200, &answers::response("ok", "completed"))).await;
    let mut gateway = setup(&mock).start().await;
    let (ann, bob) = {
        let admin = Admin::first(&gateway).await;
        let (ann, _) = admin.key(json!({"user": "ann"})).await;
        let (bob, _) = admin.key(json!({"user": "bob"})).await;
        (ann, bob)
    };
    let asking = |more: Value| {
        let mut body = json!({"model": "m", "input": "hi"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post("/v1/responses", body.to_string())
    };
    let first = gateway.send(with(&ann, asking(json!({})))).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let id = first.json()["id"].as_str().unwrap().to_owned();
    gateway.exactly(1).await;
    let on = || asking(json!({"previous_response_id": id}));
    gateway.send(with(&bob, on())).await.assert_error(404, "not_found");
    assert_eq!(gateway.send(with(&ann, on())).await.status, 200);
    gateway.terminate_and_restart().await;
    gateway.send(with(&bob, on())).await.assert_error(404, "not_found");
    assert_eq!(gateway.send(with(&ann, on())).await.status, 200);
}

#[tokio::test]
async fn a_person_is_erased_and_the_trail_still_verifies() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = setup(&mock).start().await;
    let admin = Admin::first(&gateway).await;
    let (key, _) = admin.key(json!({"user": "carol.person"})).await;
    gateway.send(with(&key, ask("attack-marker"))).await.assert_error(400, "content_filter");
    gateway.exactly(1).await;
    loop {
        if admin.get("/audit?kind=block").await.to_string().contains("carol.person") {
            break;
        }
        tokio::task::yield_now().await;
    }
    let erased = admin.send("POST", "/erasures", Some(json!({"user": "carol.person"}))).await.json();
    assert_eq!(erased["audit"], 1, "{erased}");
    assert!(!admin.get("/audit?kind=block").await.to_string().contains("carol.person"));
    assert!(!admin.get("/events").await.to_string().contains("carol.person"));
    let (code, text) = gateway.run(&["audit", "verify"]);
    assert_eq!(code, 0, "{text}");
}

impl Gateway {
    /// Ends it in peace and starts it again.
    async fn terminate_and_restart(&mut self) {
        self.signal("TERM");
        assert_eq!(self.exit_code(20).await, Some(0));
        self.restart().await;
    }

    /// Runs a command of the binary in its directory, with its configuration.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(arguments)
            .arg("--config")
            .arg(self.path("gateway.toml"))
            .current_dir(self.path(""))
            .output()
            .unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }
}

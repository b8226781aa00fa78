//! Answers by the contract and against it, and TLS with a CA of one's own.

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::types::{Role, Secret};

fn passages() -> Vec<Passage> {
    ["hello", "h\u{e9}llo"].iter().map(|text| Passage { role: Role::User, text: (*text).to_owned() }).collect()
}

#[test]
fn an_answer_by_the_contract_is_read() {
    let body = br#"{"model": "x", "results": [
        {"index": 1, "score": 1, "label": "attack", "start": 0, "end": 3, "why": "because"},
        {"index": 0, "score": 0.25, "label": "ignore all of this"}]}"#;
    let scores = read(&passages(), body).unwrap();
    assert_eq!(scores[0], Score { probability: 0.25, start: 0, end: 5, label: None });
    assert_eq!(scores[1], Score { probability: 1.0, start: 0, end: 3, label: Some("attack".into()) });
}

#[test]
fn an_answer_against_the_contract_is_a_failure() {
    let of = |results: &str| format!("{{\"results\": [{results}]}}");
    let good = "{\"index\": 0, \"score\": 0.5}";
    for (body, told) in [
        ("".to_owned(), "line 1"),
        ("<html>".to_owned(), "line 1"),
        ("{}".to_owned(), "line 1"),
        (of(good), "a text has no result"),
        (of(&format!("{good}, {good}")), "two results"),
        (of("{\"index\": 7, \"score\": 0.5}"), "no text 7"),
        (of("{\"index\": 0, \"score\": 1.5}"), "not between"),
        (of("{\"index\": 0, \"score\": -0.1}"), "not between"),
        (of("{\"index\": 0, \"score\": \"0.5\"}"), "line 1"),
        (of("{\"index\": 1, \"score\": 0.5, \"start\": 0, \"end\": 2}"), "place"),
        (of("{\"index\": 0, \"score\": 0.5, \"start\": 4, \"end\": 2}"), "place"),
        (of("{\"index\": 0, \"score\": 0.5, \"start\": 4, \"end\": 99}"), "place"),
    ] {
        let failure = read(&passages(), body.as_bytes()).unwrap_err();
        assert_eq!(failure.call, ModelCall::BadAnswer);
        assert!(failure.detail.contains(told), "{body}: {failure}");
    }
}

/// A CA, and what a server of `localhost` needs to serve with a certificate of it.
fn authority() -> (String, ServerConfig) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .unwrap();
    (pem, config)
}

/// Answers one request with a score, over TLS; what was asked.
async fn one_answer(listener: TcpListener, config: ServerConfig) -> String {
    let (socket, _) = listener.accept().await.unwrap();
    let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(socket).await else { return String::new() };
    let mut seen = Vec::new();
    while !seen.ends_with(b"]}") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
    }
    let body = br#"{"results": [{"index": 0, "score": 0.5}]}"#;
    stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream.flush().await.unwrap();
    String::from_utf8(seen).unwrap()
}

/// What a service at this port says, trusted by way of this CA.
async fn ask(port: u16, ca: Option<&str>) -> Answer {
    let spec = HttpSpec {
        url: format!("https://localhost:{port}/judge").parse().unwrap(),
        api_key: Some(Secret::new("key")),
        ca_pem: ca.map(Arc::from),
        max_concurrent: 1,
        max_passage: 1024,
        max_answer: 1024,
        breaker_failures: 5,
        breaker_pause: Duration::from_secs(1),
        send_caller: false,
    };
    let (desk, jobs) = mpsc::channel(1);
    start(&spec, "guard", jobs, &crate::config::towards).unwrap();
    let (reply, answer) = oneshot::channel();
    let passages = vec![Passage { role: Role::User, text: "hello".to_owned() }];
    let deadline = Instant::now() + Duration::from_secs(20);
    desk.send(Job { request: "req_1".to_owned(), caller: None, passages, deadline, reply }).await.unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn a_service_is_trusted_by_its_ca_and_not_without() {
    for known in [true, false] {
        let (pem, config) = authority();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = tokio::spawn(one_answer(listener, config));
        let other = authority().0;
        let answer = ask(port, Some(if known { &pem } else { &other })).await;
        let seen = asked.await.unwrap();
        if known {
            assert_eq!(answer.unwrap()[0].probability, 0.5);
            assert!(seen.contains("authorization: Bearer key") && seen.contains("\"hello\""), "{seen}");
        } else {
            assert_eq!((answer.unwrap_err().call, seen.as_str()), (ModelCall::Unreachable, ""));
        }
    }
}

proptest! {
    /// Whatever a service says, it is a score of a place that is there, or a failure.
    #[test]
    fn no_answer_breaks_anything(
        results in prop::collection::vec((0..3_u32, -0.5..1.5_f32, prop::option::of(0..9_u32), prop::option::of(0..9_u32)), 0..4),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        prop_assert!(read(&passages(), &noise).is_err());
        let results: Vec<_> = results.into_iter().map(|(index, score, start, end)| {
            serde_json::json!({"index": index, "score": score, "start": start, "end": end})
        }).collect();
        let body = serde_json::json!({ "results": results }).to_string();
        if let Ok(scores) = read(&passages(), body.as_bytes()) {
            for (score, passage) in scores.iter().zip(&passages()) {
                prop_assert!((0.0..=1.0).contains(&score.probability));
                prop_assert!(passage.text.get(score.start..score.end).is_some());
            }
        }
    }
}

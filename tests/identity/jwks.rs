//! Fetching issuers' keys from a server of ours that rotates, fails and misbehaves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jsonwebtoken::Algorithm;
use portcullis::config::identity_settings::{Identity, JwksFetching};
use portcullis::config::tokens::{TokenError, TokenKeys};
use portcullis::config::units::{Size, Time};
use portcullis::control::jwks::{Doors, keep_fresh};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::support::{NOW, Signer, claims, jwks, prepare, settings};

/// What a server answers: path, status, body, `Cache-Control`.
type Answers = Arc<Mutex<Vec<(String, u16, String, &'static str)>>>;

/// A server of keys: what it answers to each path, and how often it was asked.
struct Server {
    address: SocketAddr,
    answers: Answers,
    asked: watch::Sender<Vec<String>>,
}

impl Server {
    async fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Answers = Arc::default();
        let asked = watch::Sender::new(Vec::new());
        let (served, told) = (Arc::clone(&answers), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (served, told) = (Arc::clone(&served), told.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let path = request.uri().path().to_owned();
                    let found = served.lock().unwrap().iter().find(|(known, ..)| *known == path).cloned();
                    told.send_modify(|asked| asked.push(path));
                    let (_, status, body, cache) = found.unwrap_or(("".to_owned(), 404, "".to_owned(), ""));
                    let mut answer = Response::builder().status(status);
                    if !cache.is_empty() {
                        answer = answer.header("cache-control", cache);
                    }
                    if status == 302 {
                        answer = answer.header("location", "/jwks");
                    }
                    async move { Ok::<_, Infallible>(answer.body(Full::new(Bytes::from(body))).unwrap()) }
                });
                let tls = tls.clone().map(TlsAcceptor::from);
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    match tls {
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            http.serve_connection(TokioIo::new(stream), service).await.ok();
                        }
                        None => {
                            http.serve_connection(TokioIo::new(stream), service).await.ok();
                        }
                    }
                });
            }
        });
        Self { address, answers, asked }
    }

    fn answer(&self, path: &str, status: u16, body: String, cache: &'static str) {
        let mut answers = self.answers.lock().unwrap();
        answers.retain(|(known, ..)| known != path);
        answers.push((path.to_owned(), status, body, cache));
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn was_asked(&self, times: usize) {
        let mut asked = self.asked.subscribe();
        tokio::time::timeout(Duration::from_secs(20), asked.wait_for(|asked| asked.len() >= times))
            .await
            .unwrap()
            .unwrap();
    }
}

/// A gateway that keeps its keys fresh.
struct Fresh {
    keys: watch::Sender<Arc<TokenKeys>>,
    stop: CancellationToken,
}

fn quick() -> JwksFetching {
    JwksFetching {
        min_refresh: Time::from_millis(20),
        max_refresh: Time::from_secs(3600),
        unknown_key_cooldown: Time::from_secs(3600),
        timeout: Time::from_secs(5),
        retries: 2,
        retry_delay: Time::from_millis(5),
        max_body: Size::bytes(64 << 10),
    }
}

fn tls(ca: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(ca.unwrap_or_default().as_bytes()) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Fresh {
    fn start(keys: TokenKeys, fetching: JwksFetching) -> Self {
        let keys = watch::Sender::new(Arc::new(keys));
        let (current, publish) = (keys.clone(), keys.clone());
        let doors = Doors {
            current: Arc::new(move || (Arc::clone(&current.borrow()), fetching.clone())),
            publish: Arc::new(move |issuer, set| {
                publish.send_if_modified(|keys| match keys.with_keys(issuer, set) {
                    Some(newer) => {
                        *keys = Arc::new(newer);
                        true
                    }
                    None => false,
                });
            }),
            tls: Arc::new(tls),
        };
        let stop = CancellationToken::new();
        tokio::spawn(keep_fresh(doors, stop.clone()));
        Self { keys, stop }
    }

    /// Waits until a token is believed, or until `Err` is the wanted one.
    async fn until(&self, token: &str, is_wanted: impl Fn(&Result<String, TokenError>) -> bool) {
        let mut keys = self.keys.subscribe();
        let wanted = keys.wait_for(|keys| is_wanted(&outcome(keys, token)));
        tokio::time::timeout(Duration::from_secs(20), wanted).await.unwrap().unwrap();
    }

    fn outcome(&self, token: &str) -> Result<String, TokenError> {
        outcome(&self.keys.borrow(), token)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn outcome(keys: &TokenKeys, token: &str) -> Result<String, TokenError> {
    keys.verify(token.as_bytes(), NOW).unwrap().map(|token| token.user.to_string())
}

fn from_url(url: &str) -> Identity {
    settings(json!({"jwks_file": null, "jwks_url": url}))
}

#[tokio::test]
async fn keys_are_fetched_at_start_and_rotated_by_cache_control() {
    let server = Server::start(None).await;
    let (old, new) = (Signer::new("old", Algorithm::ES256), Signer::new("new", Algorithm::ES256));
    server.answer("/jwks", 200, jwks([&old]), "public, max-age=0");
    let keys = prepare(&from_url(&server.url("/jwks")), "").unwrap();
    let (first, second) = (old.token(&claims(json!({}))), new.token(&claims(json!({}))));
    assert!(matches!(outcome(&keys, &first), Err(TokenError::NoKeys { .. })) && !keys.is_ready());
    let fresh = Fresh::start(keys, quick());
    fresh.until(&first, Result::is_ok).await;
    assert!(matches!(fresh.outcome(&second), Err(TokenError::UnknownKey { .. })));
    server.answer("/jwks", 200, jwks([&old, &new]), "max-age=0");
    fresh.until(&second, Result::is_ok).await;
    assert!(fresh.outcome(&first).is_ok());
    server.answer("/jwks", 200, jwks([&new]), "max-age=0");
    fresh.until(&first, Result::is_err).await;
    assert!(fresh.keys.borrow().is_ready());
}

#[tokio::test]
async fn an_unknown_key_is_fetched_at_once_and_not_again_for_a_while() {
    let server = Server::start(None).await;
    let (old, new) = (Signer::new("old", Algorithm::ES256), Signer::new("new", Algorithm::ES256));
    server.answer("/jwks", 200, jwks([&old]), "max-age=3600");
    let fresh = Fresh::start(prepare(&from_url(&server.url("/jwks")), "").unwrap(), quick());
    fresh.until(&old.token(&claims(json!({}))), Result::is_ok).await;
    server.answer("/jwks", 200, jwks([&new]), "max-age=3600");
    let token = new.token(&claims(json!({})));
    let Err(TokenError::UnknownKey { issuer }) = fresh.outcome(&token) else { panic!("the key is known already") };
    let wish = Arc::clone(fresh.keys.borrow().wish());
    let patience = Duration::from_secs(20);
    let (one, two) = tokio::join!(wish.ask(&issuer, patience), wish.ask(&issuer, patience));
    assert!(one && two, "both requests wait for the one fetch");
    assert_eq!(fresh.outcome(&token), Ok("alice".to_owned()));
    // Anybody can make up ids of keys: they cost no more fetches, and no waiting.
    for _ in 0..100 {
        assert!(!wish.ask(&issuer, patience).await);
    }
    assert_eq!(server.asked.borrow().len(), 2);
}

#[tokio::test]
async fn nobody_waits_when_nobody_fetches() {
    let keys = prepare(&from_url("https://keys.example/"), "").unwrap();
    assert!(!keys.wish().ask(&"https://login.example.com/".into(), Duration::from_secs(3600)).await);
}

#[tokio::test]
async fn keys_stay_when_fetching_fails_in_any_way_and_come_back_after() {
    let server = Server::start(None).await;
    let signer = Signer::new("a", Algorithm::ES256);
    server.answer("/jwks", 200, jwks([&signer]), "no-store");
    let fresh = Fresh::start(prepare(&from_url(&server.url("/jwks")), "").unwrap(), quick());
    let token = signer.token(&claims(json!({})));
    fresh.until(&token, Result::is_ok).await;
    let failures = [
        (500, "{}".to_owned()),
        (302, jwks([&signer])),
        (200, "<html>".to_owned()),
        (200, json!({"keys": []}).to_string()),
        (200, format!("{}{}", jwks([&signer]), " ".repeat(65 << 10))),
    ];
    for (status, body) in failures {
        server.answer("/jwks", status, body, "no-store");
        let before = server.asked.borrow().len();
        // The fetch that is under way, and one whole round of this failure with its retries.
        server.was_asked(before + 5).await;
        assert!(fresh.outcome(&token).is_ok());
    }
    let next = Signer::new("b", Algorithm::ES256);
    server.answer("/jwks", 200, jwks([&next]), "no-store");
    fresh.until(&next.token(&claims(json!({}))), Result::is_ok).await;
    assert!(!server.asked.borrow().iter().any(|path| path != "/jwks"));
}

#[tokio::test]
async fn discovery_says_where_the_keys_are_and_must_be_the_issuers_own() {
    let server = Server::start(None).await;
    let signer = Signer::new("a", Algorithm::ES256);
    let issuer = server.url("");
    let document = |issuer: &str, uri: String| json!({"issuer": issuer, "jwks_uri": uri}).to_string();
    let path = "/.well-known/openid-configuration";
    server.answer("/jwks", 200, jwks([&signer]), "");
    server.answer(path, 200, document("https://evil.example", server.url("/jwks")), "");
    let settings = settings(json!({"jwks_file": null, "issuer": issuer, "discovery": true}));
    let fresh = Fresh::start(prepare(&settings, "").unwrap(), quick());
    let token = signer.token(&claims(json!({"iss": issuer})));
    server.was_asked(4).await;
    assert!(matches!(fresh.outcome(&token), Err(TokenError::NoKeys { .. })));
    server.answer(path, 200, document(&issuer, "http://169.254.169.254/keys".to_owned()), "");
    let before = server.asked.borrow().len();
    server.was_asked(before + 4).await;
    assert!(matches!(fresh.outcome(&token), Err(TokenError::NoKeys { .. })));
    assert!(!server.asked.borrow().iter().any(|path| path == "/jwks"));
    server.answer(path, 200, document(&issuer, server.url("/jwks")), "");
    fresh.until(&token, Result::is_ok).await;
}

#[tokio::test]
async fn keys_come_over_tls_from_a_server_of_a_trusted_authority_only() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let server = Server::start(Some(Arc::new(config))).await;
    let signer = Signer::new("a", Algorithm::ES256);
    server.answer("/jwks", 200, jwks([&signer]), "");
    let token = signer.token(&claims(json!({})));
    let issuer = |ca: Value| {
        let url = format!("https://localhost:{}/jwks", server.address.port());
        prepare(&settings(json!({"jwks_file": null, "jwks_url": url, "ca": ca})), &certificate.pem()).unwrap()
    };
    let trusting = Fresh::start(issuer(json!("ca.pem")), quick());
    let doubting = Fresh::start(issuer(json!(null)), quick());
    trusting.until(&token, Result::is_ok).await;
    let wish = Arc::clone(doubting.keys.borrow().wish());
    assert!(wish.ask(&"https://login.example.com/".into(), Duration::from_secs(20)).await, "an attempt was made");
    assert!(matches!(doubting.outcome(&token), Err(TokenError::NoKeys { .. })));
}

#[tokio::test]
async fn a_reload_keeps_fetched_keys_of_the_same_place_and_drops_those_of_another() {
    let server = Server::start(None).await;
    let signer = Signer::new("a", Algorithm::ES256);
    server.answer("/jwks", 200, jwks([&signer]), "");
    let settings = from_url(&server.url("/jwks"));
    let fresh = Fresh::start(prepare(&settings, "").unwrap(), quick());
    let token = signer.token(&claims(json!({})));
    fresh.until(&token, Result::is_ok).await;
    let before = Arc::clone(&fresh.keys.borrow());
    let again = |settings: &Identity| {
        let mut file = |_: &std::path::Path| Err("none".to_owned());
        let mut sources = portcullis::config::tokens::TokenSources { file: &mut file, variable: &|_| None };
        TokenKeys::new(settings, &mut sources, Some(&before)).unwrap()
    };
    let same = again(&settings);
    assert!(outcome(&same, &token).is_ok() && same == *before && Arc::ptr_eq(same.wish(), before.wish()));
    let moved = again(&from_url(&server.url("/other")));
    assert!(matches!(outcome(&moved, &token), Err(TokenError::NoKeys { .. })));
}

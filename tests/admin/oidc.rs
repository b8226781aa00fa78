//! Signing in at an identity provider: one of our own, over real HTTP, with real keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis::config::admin_settings::Oidc;
use portcullis::types::AccessRole;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use crate::home::{Answer, Client, Home, settings};

enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl Key {
    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
        }
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let key = pair.public_key();
                let n = base64(key.modulus().big_endian_without_leading_zero());
                let e = base64(key.exponent().big_endian_without_leading_zero());
                json!({ "kty": "RSA", "use": "sig", "kid": id, "alg": "RS256", "n": n, "e": e })
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (base64(&point[1..33]), base64(&point[33..65]));
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "alg": "ES256", "x": x, "y": y })
            }
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&random, text).unwrap().as_ref().to_vec(),
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The provider: what it signs with and what it says.
struct Provider {
    issuer: String,
    key: Mutex<(String, Key)>,
    claims: Mutex<Value>,
    /// The header that a forger would send.
    header: Mutex<Option<Value>>,
    /// What each code was asked for with: nonce and PKCE challenge.
    asked: Mutex<BTreeMap<String, (String, String)>>,
}

impl Provider {
    async fn start(key: Key) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let claims = json!({ "sub": "person-1", "preferred_username": "Ann", "groups": ["soc"] });
        let provider = Arc::new(Self {
            issuer,
            key: Mutex::new(("k1".into(), key)),
            claims: Mutex::new(claims),
            header: Mutex::default(),
            asked: Mutex::default(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .with_state(Arc::clone(&provider));
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    fn settings(&self) -> Oidc {
        Oidc {
            issuer: self.issuer.clone(),
            client_id: "portcullis".into(),
            redirect_url: "http://localhost/api/v1/oidc/callback".into(),
            scopes: vec!["profile".into()],
            role_map: BTreeMap::from([
                ("soc".into(), vec![AccessRole::Responder]),
                ("boss".into(), vec![AccessRole::Admin]),
            ]),
            ..Oidc::default()
        }
    }

    /// What a person does at the provider: a code for the browser that was sent there.
    fn approve(&self, url: &str) -> (String, String) {
        let (_, query) = url.split_once('?').unwrap();
        let asked: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        assert_eq!((asked["response_type"], asked["code_challenge_method"]), ("code", "S256"));
        assert!(asked["scope"].contains("openid"));
        let code = format!("code-{}", self.asked.lock().unwrap().len());
        let kept = (asked["nonce"].to_owned(), asked["code_challenge"].to_owned());
        self.asked.lock().unwrap().insert(code.clone(), kept);
        (code, asked["state"].to_owned())
    }
}

async fn discovery(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let issuer = &provider.issuer;
    Json(json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"), "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"] }))
}

async fn jwks(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let (id, key) = &*provider.key.lock().unwrap();
    Json(json!({ "keys": [key.jwk(id)] }))
}

async fn token(
    State(provider): State<Arc<Provider>>,
    _: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let refused = || (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" })));
    let (nonce, challenge) = provider.asked.lock().unwrap().remove(&form["code"]).ok_or_else(refused)?;
    if base64(&Sha256::digest(form["code_verifier"].as_bytes())) != challenge {
        return Err(refused());
    }
    let now = portcullis::store::now() / 1_000_000;
    let mut claims =
        json!({ "iss": provider.issuer, "aud": "portcullis", "iat": now, "exp": now + 300, "nonce": nonce });
    for (name, value) in provider.claims.lock().unwrap().as_object().unwrap() {
        claims[name] = value.clone();
    }
    let (id, key) = &*provider.key.lock().unwrap();
    let header = provider.header.lock().unwrap().clone();
    let header = header.unwrap_or_else(|| json!({ "alg": key.algorithm(), "kid": id, "typ": "JWT" }));
    let text = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let signature = if header["alg"] == "none" { String::new() } else { base64(&key.sign(text.as_bytes())) };
    Ok(Json(json!({ "access_token": "at", "token_type": "Bearer", "id_token": format!("{text}.{signature}") })))
}

async fn home(provider: &Provider) -> Home {
    let mut settings = settings();
    settings.oidc = Some(provider.settings());
    Home::with(settings).await
}

/// To the provider and back again.
async fn sign_in(home: &Home, provider: &Provider) -> Answer {
    let (browser, code, state) = begin(home, provider).await;
    finish(home, &browser, &code, &state).await
}

async fn begin(home: &Home, provider: &Provider) -> (Client, String, String) {
    let sent = home.ask(&Client::default(), "GET", "/api/v1/oidc/login", None).await;
    assert_eq!(sent.status, 302, "{sent:?}");
    let cookie = sent.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("Secure") && cookie.contains("SameSite=Lax"), "{cookie}");
    let browser = Client::default().with("cookie", cookie.split(';').next().unwrap());
    let (code, state) = provider.approve(sent.headers["location"].to_str().unwrap());
    (browser, code, state)
}

async fn finish(home: &Home, browser: &Client, code: &str, state: &str) -> Answer {
    home.ask(browser, "GET", &format!("/api/v1/oidc/callback?code={code}&state={state}&iss=x"), None).await
}

#[tokio::test]
async fn a_person_signs_in_with_the_roles_of_the_provider() {
    for key in [Key::rsa(), Key::ec()] {
        let provider = Provider::start(key).await;
        let home = home(&provider).await;
        let answer = sign_in(&home, &provider).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/html"));
        let ann = Client::session(&answer);
        let me = home.ask(&ann, "GET", "/api/v1/me", None).await.json();
        assert_eq!((&me["name"], &me["roles"]), (&json!("oidc/ann"), &json!(["responder"])));
        // Other groups at the next sign-in, same account; another person of that name, another account.
        provider.claims.lock().unwrap()["groups"] = json!(["boss", "unknown"]);
        let again = Client::session(&sign_in(&home, &provider).await);
        let now = home.ask(&again, "GET", "/api/v1/me", None).await.json();
        assert_eq!((&now["account"], &now["roles"]), (&me["account"], &json!(["admin"])));
        provider.claims.lock().unwrap()["sub"] = json!("person-2");
        let other = Client::session(&sign_in(&home, &provider).await);
        let other = home.ask(&other, "GET", "/api/v1/me", None).await.json();
        assert_ne!(other["account"], me["account"]);
        assert!(other["name"].as_str().unwrap().starts_with("oidc/ann#"), "{other}");
    }
}

#[tokio::test]
async fn nobody_without_a_known_role_and_no_disabled_account_gets_in() {
    let provider = Provider::start(Key::ec()).await;
    let home = home(&provider).await;
    provider.claims.lock().unwrap()["groups"] = json!(["kitchen"]);
    assert_eq!(sign_in(&home, &provider).await.code(), "no_roles");
    provider.claims.lock().unwrap()["groups"] = json!(["soc"]);
    let ann = Client::session(&sign_in(&home, &provider).await);
    let id = home.ask(&ann, "GET", "/api/v1/me", None).await.json()["account"].as_str().unwrap().to_owned();
    let root = home.admin().await;
    home.ask(&root, "PATCH", &format!("/api/v1/accounts/{id}"), Some(json!({ "disabled": true }))).await;
    assert_eq!(sign_in(&home, &provider).await.code(), "disabled");
    assert_eq!(home.login("oidc/ann", "x").await.status, 401);
}

#[tokio::test]
async fn a_forged_replayed_or_foreign_answer_is_refused() {
    let provider = Provider::start(Key::rsa()).await;
    let home = home(&provider).await;
    let refused = |answer: &Answer, told: &str| {
        assert_eq!((answer.status, answer.code().as_str()), (401, "oidc_refused"), "{told}: {answer:?}");
        assert!(answer.cookies().is_empty(), "{told}");
    };
    // Another browser, another state, no state, another verifier, the same code twice, too late.
    let (browser, code, state) = begin(&home, &provider).await;
    refused(&finish(&home, &Client::default(), &code, &state).await, "without the cookie");
    refused(&finish(&home, &browser, &code, "x").await, "wrong state");
    refused(&finish(&home, &browser, &code, "").await, "no state");
    let (mine, _, own) = begin(&home, &provider).await;
    refused(&finish(&home, &mine, &code, &own).await, "a code of another sign-in");
    assert_eq!(sign_in(&home, &provider).await.status, 200);
    let (browser, code, state) = begin(&home, &provider).await;
    assert_eq!(finish(&home, &browser, &code, &state).await.status, 200);
    refused(&finish(&home, &browser, &code, &state).await, "a code twice");
    let (browser, code, state) = begin(&home, &provider).await;
    home.later(601);
    refused(&finish(&home, &browser, &code, &state).await, "too late");
    home.later(-601);

    for header in [json!({ "alg": "none" }), json!({ "alg": "HS256" }), json!({ "alg": "RS256", "kid": "other" })] {
        *provider.header.lock().unwrap() = Some(header.clone());
        refused(&sign_in(&home, &provider).await, &header.to_string());
    }
    *provider.header.lock().unwrap() = None;
    let past = portcullis::store::now() / 1_000_000 - 10;
    for (claim, value) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("another client")),
        ("nonce", json!("another nonce")),
        ("exp", json!(past)),
    ] {
        let good = provider.claims.lock().unwrap().clone();
        provider.claims.lock().unwrap()[claim] = value;
        refused(&sign_in(&home, &provider).await, claim);
        *provider.claims.lock().unwrap() = good;
    }
    assert_eq!(sign_in(&home, &provider).await.status, 200);
}

#[tokio::test]
async fn without_a_provider_there_is_no_such_way_in_and_a_dead_one_is_a_503() {
    let home = Home::start().await;
    assert_eq!(home.ask(&Client::default(), "GET", "/api/v1/oidc/login", None).await.status, 404);
    assert_eq!(home.ask(&Client::default(), "GET", "/api/v1/oidc/callback?code=x&state=y", None).await.status, 404);
    let mut settings = settings();
    settings.oidc = Some(Oidc {
        issuer: "http://127.0.0.1:9".into(),
        client_id: "x".into(),
        redirect_url: "http://localhost/api/v1/oidc/callback".into(),
        ..Oidc::default()
    });
    let home = Home::with(settings).await;
    assert_eq!(home.ask(&Client::default(), "GET", "/api/v1/oidc/login", None).await.code(), "identity_provider");
}

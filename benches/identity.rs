//! What knowing who asks costs: keys among 100,000, tokens new and known, sessions, owners of ids.
#![expect(clippy::unwrap_used, reason = "a benchmark whose parts are missing has nothing to measure")]
#![expect(clippy::print_stdout, reason = "the memory of the table is a figure too")]

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue, USER_AGENT};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use portcullis::config::identity_settings::Identity;
use portcullis::config::issued::{IssuedKey, IssuedKeys, KeyHash, generate_key, is_well_formed};
use portcullis::config::tokens::{TokenKeys, TokenSources};
use portcullis::proxy::identify::{Arrival, Known, Memory, OwnerIndex, Scope, identify};
use portcullis::proxy::session::{Opening, SessionKey, Signs, session};
use portcullis::types::Caller;
use serde_json::json;

const KEYS: usize = 100_000;
const SECONDS: i64 = 1_800_000_000;
const NOW: i64 = SECONDS * 1_000_000;
const ISSUER: &str = "https://login.example.com/";

fn main() {
    let before = resident();
    let (keys, _) = keys();
    println!("{} keys: {} MiB", keys.len(), (resident() - before) >> 20);
    drop(keys);
    divan::main();
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// As many keys as a large company has: 100 tenants, 2,000 teams, each key with its own user and name.
fn keys() -> (IssuedKeys, String) {
    let mut last = String::new();
    let keys = (0..KEYS).map(|number| {
        let made = generate_key().unwrap();
        last = made.secret.expose().to_owned();
        let id: Arc<str> = format!("key_0199c0de-0000-7000-8000-{number:012}").into();
        let key = IssuedKey {
            family: Arc::clone(&id),
            id,
            name: format!("application {number}").into(),
            tenant: Some(format!("tenant {}", number % 100).into()),
            team: Some(format!("team {}", number % 2000).into()),
            user: Some(format!("user{number}@example.com").into()),
            agent: Some("assistant".into()),
            models: Some(vec!["gpt-4o*".into(), "claude-*".into()].into()),
            expires: Some(NOW + 1_000_000),
            ..IssuedKey::default()
        };
        (made.hash, key)
    });
    let keys = keys.collect();
    (keys, last)
}

fn token_keys(algorithm: Algorithm) -> (TokenKeys, String) {
    let kind = match algorithm {
        Algorithm::RS256 => &rcgen::PKCS_RSA_SHA256,
        _ => &rcgen::PKCS_ECDSA_P256_SHA256,
    };
    let pem = rcgen::KeyPair::generate_for(kind).unwrap().serialize_pem();
    let key = match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        _ => EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
    };
    let jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
    let set = json!({"keys": [jwk]}).to_string();
    let settings: Identity = serde_json::from_value(json!({
        "tokens": [{"issuer": ISSUER, "audience": ["portcullis"], "jwks_file": "keys"}],
    }))
    .unwrap();
    let mut file = |_: &std::path::Path| Ok(set.clone());
    let keys = TokenKeys::new(&settings, &mut TokenSources { file: &mut file, variable: &|_| None }, None).unwrap();
    let claims = json!({"iss": ISSUER, "aud": "portcullis", "sub": "alice", "exp": SECONDS + 60, "iat": SECONDS,
        "email": "alice@example.com", "groups": ["staff", "research", "llm-users"], "scope": "openid profile email"});
    let header = jsonwebtoken::Header::new(algorithm);
    (keys, jsonwebtoken::encode(&header, &claims, &key).unwrap())
}

/// Identifies one request after another that presents `credential`.
fn identified(bencher: Bencher<'_, '_>, issued: &IssuedKeys, tokens: &TokenKeys, credential: &str, cache: usize) {
    let settings = Identity { token_cache: cache, ..Identity::default() };
    let memory = Memory::new(&settings);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {credential}")).unwrap());
    headers.insert(USER_AGENT, HeaderValue::from_static("OpenAI/Python 1.99.1"));
    let known = Known { settings: &settings, configured: &|_| None, issued, tokens };
    bencher.bench_local(|| {
        let arrival =
            Arrival { headers: &headers, address: None, is_trusted: false, certificate: None, now: black_box(NOW) };
        identify(&arrival, &known, &memory).unwrap()
    });
}

#[divan::bench]
fn key_among_100_000_found(bencher: Bencher<'_, '_>) {
    let (keys, last) = keys();
    let hash = KeyHash::of(last.as_bytes());
    bencher.bench_local(|| keys.find(black_box(&hash)).is_some());
}

#[divan::bench]
fn key_checked_and_hashed(bencher: Bencher<'_, '_>) {
    let key = generate_key().unwrap();
    let text = key.secret.expose().as_bytes();
    bencher.bench_local(|| is_well_formed(black_box(text)).then(|| KeyHash::of(black_box(text))));
}

#[divan::bench]
fn key_among_100_000_revoked(bencher: Bencher<'_, '_>) {
    let (keys, last) = keys();
    let id = Arc::clone(&keys.find(&KeyHash::of(last.as_bytes())).unwrap().id);
    bencher.bench_local(|| {
        let mut copy = keys.clone();
        copy.revoke(black_box(&id), NOW);
        copy
    });
}

#[divan::bench]
fn request_with_key(bencher: Bencher<'_, '_>) {
    let (keys, last) = keys();
    identified(bencher, &keys, &TokenKeys::default(), &last, 0);
}

#[divan::bench(args = ["ES256", "RS256"])]
fn request_with_known_token(bencher: Bencher<'_, '_>, algorithm: &str) {
    let (tokens, token) = token_keys(algorithm.parse().unwrap());
    identified(bencher, &IssuedKeys::default(), &tokens, &token, 1000);
}

#[divan::bench(args = ["ES256", "RS256"])]
fn request_with_new_token(bencher: Bencher<'_, '_>, algorithm: &str) {
    let (tokens, token) = token_keys(algorithm.parse().unwrap());
    identified(bencher, &IssuedKeys::default(), &tokens, &token, 0);
}

#[divan::bench]
fn request_with_a_providers_key(bencher: Bencher<'_, '_>) {
    let (tokens, _) = token_keys(Algorithm::ES256);
    identified(bencher, &IssuedKeys::default(), &tokens, "sk-proj-0123456789abcdef0123456789abcdef", 1000);
}

#[divan::bench]
fn session_of_an_opening_of_4_kib(bencher: Bencher<'_, '_>) {
    let caller = Caller { user: Some("alice".into()), ..Caller::default() };
    let (system, user) = ("s".repeat(3072), "u".repeat(1024));
    let signs = Signs { opening: Some(Opening { system: &system, user: &user }), ..Signs::default() };
    let key = SessionKey::default();
    bencher.bench_local(|| session(&key, black_box(&caller), &signs));
}

#[divan::bench]
fn owner_of_an_id_found(bencher: Bencher<'_, '_>) {
    let index = OwnerIndex::new(200_000, [7; 32]);
    let scope = Scope::of(&Caller { user: Some("alice".into()), ..Caller::default() });
    for number in 0..100_000 {
        index.issued(&format!("resp_{number}"), scope, None);
    }
    bencher.bench_local(|| index.check(black_box("resp_4711"), scope));
}

//! Signers, issuers and requests for the tests.

use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use portcullis::config::identity_settings::Identity;
use portcullis::config::issued::IssuedKeys;
use portcullis::config::tokens::{TokenKeys, TokenSources};
use portcullis::proxy::identify::{Arrival, Identified, IdentityError, Known, Memory, identify};
use rcgen::{KeyPair, SignatureAlgorithm};
use serde_json::{Value, json};

/// The time of the tests: Unix time in seconds, and in microseconds.
pub(crate) const SECONDS: i64 = 1_800_000_000;
pub(crate) const NOW: i64 = SECONDS * 1_000_000;

pub(crate) const ISSUER: &str = "https://login.example.com/";

/// A key that signs tokens.
pub(crate) struct Signer {
    pub(crate) key: EncodingKey,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: String,
    pub(crate) jwk: Value,
    pub(crate) public_pem: String,
}

impl Signer {
    pub(crate) fn new(kid: &str, algorithm: Algorithm) -> Self {
        let kind: &SignatureAlgorithm = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => &rcgen::PKCS_RSA_SHA256,
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::ES384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Algorithm::EdDSA => &rcgen::PKCS_ED25519,
            other => panic!("no key for {other:?}"),
        };
        let pair = KeyPair::generate_for(kind).unwrap();
        let pem = pair.serialize_pem();
        let key = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
            _ => EncodingKey::from_ed_pem(pem.as_bytes()),
        };
        let key = key.unwrap();
        let jwk = if algorithm == Algorithm::EdDSA {
            json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64url(pair.public_key_raw())})
        } else {
            let mut jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
            jwk.common.key_id = Some(kid.to_owned());
            serde_json::to_value(jwk).unwrap()
        };
        Self { key, algorithm, kid: kid.to_owned(), jwk, public_pem: pair.public_key_pem() }
    }

    pub(crate) fn header(&self) -> Value {
        let algorithm = format!("{:?}", self.algorithm);
        json!({"alg": algorithm, "typ": "JWT", "kid": self.kid})
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.with_header(&self.header(), claims)
    }

    pub(crate) fn with_header(&self, header: &Value, claims: &Value) -> String {
        let signed =
            format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

pub(crate) fn jwks<'a>(signers: impl IntoIterator<Item = &'a Signer>) -> String {
    json!({"keys": signers.into_iter().map(|signer| signer.jwk.clone()).collect::<Vec<_>>()}).to_string()
}

/// The claims of an ordinary token, with changes: `null` takes one away.
pub(crate) fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "portcullis", "sub": "alice", "iat": SECONDS - 10, "exp": SECONDS + 600,
        "groups": ["staff", "ml"], "org": {"tenant": "acme", "team": "research"},
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// `[identity]` with one issuer whose keys come from a file, with changes to that issuer.
pub(crate) fn settings(changes: Value) -> Identity {
    let mut issuer = json!({
        "issuer": ISSUER, "audience": ["portcullis"], "jwks_file": "jwks.json",
        "claims": {"tenant": "org.tenant", "team": "org.team", "groups": "groups"},
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            issuer.as_object_mut().unwrap().remove(name);
        } else {
            issuer[name] = value.clone();
        }
    }
    serde_json::from_value(json!({"tokens": [issuer]})).unwrap()
}

pub(crate) fn prepare(settings: &Identity, file: &str) -> Result<TokenKeys, Vec<(usize, &'static str, String)>> {
    let mut read = |_: &std::path::Path| Ok(file.to_owned());
    let variable = |name: &str| (name == "SHARED").then(|| "a shared secret of more than 32 bytes".to_owned());
    TokenKeys::new(settings, &mut TokenSources { file: &mut read, variable: &variable }, None)
}

/// A gateway for identification alone.
pub(crate) struct Gateway {
    pub(crate) settings: Identity,
    pub(crate) issued: IssuedKeys,
    pub(crate) tokens: TokenKeys,
    pub(crate) memory: Memory,
}

impl Gateway {
    pub(crate) fn new(settings: Identity) -> Self {
        let memory = Memory::new(&settings);
        Self { settings, issued: IssuedKeys::default(), tokens: TokenKeys::default(), memory }
    }

    pub(crate) fn ask(&self, headers: &[(&str, &str)]) -> Result<Identified, IdentityError> {
        self.ask_at(headers, NOW)
    }

    pub(crate) fn ask_at(&self, headers: &[(&str, &str)], now: i64) -> Result<Identified, IdentityError> {
        let headers = map(headers);
        self.arrive(&Arrival { headers: &headers, address: None, is_trusted: false, certificate: None, now })
    }

    pub(crate) fn arrive(&self, arrival: &Arrival<'_>) -> Result<Identified, IdentityError> {
        let configured = |digest: &[u8; 32]| {
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            self.settings.keys.iter().find(|key| key.sha256 == digest).map(|key| Arc::from(key.name.as_str()))
        };
        let known =
            Known { settings: &self.settings, configured: &configured, issued: &self.issued, tokens: &self.tokens };
        identify(arrival, &known, &self.memory)
    }

    /// The error's code, or who it is.
    pub(crate) fn code(&self, headers: &[(&str, &str)]) -> String {
        match self.ask(headers) {
            Ok(found) => found.caller.user.map_or("anonymous".to_owned(), |user| user.to_string()),
            Err(error) => error.code().to_owned(),
        }
    }
}

pub(crate) fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

//! Bearer tokens.

use jsonwebtoken::{Algorithm, EncodingKey};
use portcullis::config::token_keys::{KeyError, KeySet};
use portcullis::config::tokens::{TokenError, TokenKeys};
use portcullis::proxy::identify::TokenCache;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Gateway, ISSUER, NOW, SECONDS, Signer, base64url, claims, jwks, prepare, settings};

fn outcome(keys: &TokenKeys, token: &str) -> Option<Result<String, TokenError>> {
    keys.verify(token.as_bytes(), NOW).map(|outcome| outcome.map(|token| token.user.to_string()))
}

fn refused(keys: &TokenKeys, token: &str) -> TokenError {
    outcome(keys, token).unwrap().unwrap_err()
}

#[test]
fn a_genuine_token_says_who_asks_in_every_algorithm() {
    use Algorithm::{ES256, ES384, EdDSA, PS256, RS256};
    let signers: Vec<Signer> =
        [RS256, PS256, ES256, ES384, EdDSA].map(|kind| Signer::new(&format!("{kind:?}"), kind)).into();
    let settings = settings(json!({"algorithms": ["RS256", "PS256", "ES256", "ES384", "EdDSA"]}));
    let keys = prepare(&settings, &jwks(&signers)).unwrap();
    for signer in &signers {
        let token = keys.verify(signer.token(&claims(json!({}))).as_bytes(), NOW).unwrap().unwrap();
        assert_eq!((&*token.user, &*token.issuer), ("alice", ISSUER));
        assert_eq!((token.tenant.as_deref(), token.team.as_deref()), (Some("acme"), Some("research")));
        let groups: Vec<&str> = token.groups.iter().map(|group| &**group).collect();
        assert_eq!(groups, ["staff", "ml"]);
        assert_eq!(token.until, (SECONDS + 600 + 60) * 1_000_000);
    }
}

#[test]
fn tokens_of_others_say_nothing_and_are_no_error() {
    let signer = Signer::new("a", Algorithm::ES256);
    let keys = prepare(&settings(json!({})), &jwks([&signer])).unwrap();
    let foreign = signer.token(&claims(json!({"iss": "https://elsewhere.example/"})));
    for token in [foreign.as_str(), "sk-proj-abc", "a.b.c", "eyJ.eyJ.", "", "..", "e.e.e.e", "pck_"] {
        assert_eq!(outcome(&keys, token), None, "{token}");
    }
    assert_eq!(outcome(&TokenKeys::default(), &signer.token(&claims(json!({})))), None);
}

#[test]
fn a_token_without_a_signature_or_signed_with_the_public_key_is_refused() {
    let signer = Signer::new("a", Algorithm::RS256);
    let keys = prepare(&settings(json!({})), &jwks([&signer])).unwrap();
    let body = base64url(claims(json!({})).to_string().as_bytes());
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS256", "ES512"] {
        let head = base64url(json!({"alg": algorithm, "typ": "JWT", "kid": "a"}).to_string().as_bytes());
        assert_eq!(refused(&keys, &format!("{head}.{body}.")), TokenError::Algorithm, "{algorithm}");
    }
    for secret in [signer.public_pem.as_bytes(), signer.jwk["n"].as_str().unwrap().as_bytes(), b""] {
        for (name, algorithm) in [("HS256", Algorithm::HS256), ("HS512", Algorithm::HS512)] {
            let head = base64url(json!({"alg": name, "typ": "JWT", "kid": "a"}).to_string().as_bytes());
            let signed = format!("{head}.{body}");
            let key = EncodingKey::from_secret(secret);
            let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
            assert_eq!(refused(&keys, &format!("{signed}.{signature}")), TokenError::Algorithm);
        }
    }
}

#[test]
fn a_shared_secret_signs_hs_tokens_only_and_public_keys_never_do() {
    let shared = settings(json!({"jwks_file": null, "secret_env": "SHARED"}));
    let keys = prepare(&shared, "").unwrap();
    let secret = EncodingKey::from_secret(b"a shared secret of more than 32 bytes");
    let signer = Signer { key: secret, algorithm: Algorithm::HS256, ..Signer::new("any", Algorithm::ES256) };
    assert_eq!(outcome(&keys, &signer.token(&claims(json!({})))), Some(Ok("alice".to_owned())));
    let other = Signer::new("any", Algorithm::ES256);
    assert_eq!(refused(&keys, &other.token(&claims(json!({})))), TokenError::Algorithm);

    let problem = |changes| prepare(&settings(changes), "{\"keys\":[]}").unwrap_err();
    assert_eq!(problem(json!({"algorithms": ["HS256"]}))[0].1, "algorithms");
    assert_eq!(problem(json!({"jwks_file": null, "secret_env": "SHARED", "algorithms": ["RS256"]}))[0].1, "algorithms");
    assert_eq!(problem(json!({"secret_env": "SHARED"}))[0].1, "issuer");
    assert_eq!(problem(json!({"jwks_file": null, "secret_env": "MISSING"}))[0].1, "secret_env");
    assert_eq!(problem(json!({"jwks_file": null}))[0].1, "issuer");
    assert_eq!(problem(json!({"audience": []}))[0].1, "audience");
    for url in ["http://keys.example.com/", "ftp://x/", "https://user@host/", "keys", "http://127.0.0.1.nip.io/"] {
        assert_eq!(problem(json!({"jwks_file": null, "jwks_url": url}))[0].1, "jwks_url", "{url}");
    }
}

#[test]
fn times_are_held_with_leeway_and_a_token_needs_an_end() {
    let signer = Signer::new("a", Algorithm::ES256);
    let keys = prepare(&settings(json!({"max_age": "1h"})), &jwks([&signer])).unwrap();
    let with =
        |changes: Value| outcome(&keys, &signer.token(&claims(changes))).unwrap().map_err(|error| error.to_string());
    assert!(with(json!({"exp": SECONDS - 59})).is_ok());
    assert_eq!(with(json!({"exp": SECONDS - 60})).unwrap_err(), TokenError::Expired.to_string());
    assert!(with(json!({"nbf": SECONDS + 60})).is_ok());
    assert_eq!(with(json!({"nbf": SECONDS + 61})).unwrap_err(), TokenError::NotYet.to_string());
    assert_eq!(with(json!({"iat": SECONDS + 61})).unwrap_err(), TokenError::NotYet.to_string());
    assert!(with(json!({"iat": SECONDS - 3659})).is_ok());
    assert_eq!(with(json!({"iat": SECONDS - 3660})).unwrap_err(), TokenError::Expired.to_string());
    assert!(with(json!({"exp": (SECONDS + 5) as f64 + 0.5})).is_ok());
    for bad in
        [json!({"exp": null}), json!({"exp": "soon"}), json!({"exp": 1e300}), json!({"iat": null}), json!({"nbf": []})]
    {
        assert_eq!(with(bad.clone()).unwrap_err(), TokenError::Claim.to_string(), "{bad}");
    }
    for huge in [json!({"exp": i64::MAX}), json!({"nbf": i64::MIN, "exp": SECONDS + 1})] {
        assert!(with(huge.clone()).is_ok(), "{huge}");
    }
}

#[test]
fn audience_type_and_critical_extensions_are_checked() {
    let signer = Signer::new("a", Algorithm::ES256);
    let keys = prepare(&settings(json!({})), &jwks([&signer])).unwrap();
    for audience in [json!("portcullis"), json!(["x", "portcullis"])] {
        assert!(outcome(&keys, &signer.token(&claims(json!({"aud": audience})))).unwrap().is_ok());
    }
    for audience in [json!("Portcullis"), json!(["x"]), json!([]), json!(7), json!(["portcullis", 7]), json!(null)] {
        assert_eq!(refused(&keys, &signer.token(&claims(json!({"aud": audience})))), TokenError::Audience);
    }
    let header = |changes: Value| {
        let mut header = signer.header();
        for (name, value) in changes.as_object().unwrap() {
            header[name] = value.clone();
        }
        outcome(&keys, &signer.with_header(&header, &claims(json!({})))).unwrap()
    };
    for typ in ["jwt", "JWT", "at+JWT", "application/at+jwt"] {
        assert!(header(json!({"typ": typ})).is_ok(), "{typ}");
    }
    assert_eq!(header(json!({"typ": "secevent+jwt"})), Err(TokenError::Type));
    assert_eq!(header(json!({"typ": 1})), Err(TokenError::Malformed));
    assert_eq!(header(json!({"crit": ["b64"], "b64": false})), Err(TokenError::Type));
    assert_eq!(header(json!({"crit": []})), Err(TokenError::Type));
    assert_eq!(header(json!({"kid": 7})), Err(TokenError::Malformed));
    // A key that comes with the token is nobody's key.
    let stranger = Signer::new("a", Algorithm::ES256);
    let own = json!({"alg": "ES256", "kid": "a", "jwk": stranger.jwk, "jku": "https://evil.example/", "x5u": "https://evil.example/"});
    assert_eq!(refused(&keys, &stranger.with_header(&own, &claims(json!({})))), TokenError::Signature);
}

#[test]
fn required_claims_and_names_are_checked() {
    let signer = Signer::new("a", Algorithm::ES256);
    let required = json!({"email_verified": ["true"], "realm.roles": ["llm"], "https://x.example/tier": []});
    let keys = prepare(&settings(json!({"required": required})), &jwks([&signer])).unwrap();
    let good = json!({"email_verified": true, "realm": {"roles": ["a", "llm"]}, "https://x.example/tier": 1});
    assert!(outcome(&keys, &signer.token(&claims(good.clone()))).unwrap().is_ok());
    for (name, value) in [
        ("email_verified", json!(false)),
        ("realm", json!({"roles": ["a"]})),
        ("realm", json!("roles")),
        ("https://x.example/tier", json!(null)),
        ("sub", json!(null)),
        ("sub", json!("")),
        ("sub", json!(["alice"])),
        ("sub", json!("a\u{0}b")),
        ("sub", json!("x".repeat(257))),
        ("groups", json!([1])),
        ("groups", json!(vec!["g"; 257])),
        ("org", json!({"tenant": {}})),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert_eq!(refused(&keys, &signer.token(&claims(bad.clone()))), TokenError::Claim, "{bad}");
    }
    let token = signer.token(&claims(json!({"email_verified": true, "realm": {"roles": "llm"},
        "https://x.example/tier": 1, "groups": "a b,c", "org": {}})));
    let token = keys.verify(token.as_bytes(), NOW).unwrap().unwrap();
    assert_eq!((token.groups.len(), token.tenant), (3, None));
}

#[test]
fn keys_that_are_not_for_signatures_are_left_out() {
    let signer = Signer::new("a", Algorithm::ES256);
    let with = |name: &str, value: Value| {
        let mut key = signer.jwk.clone();
        key[name] = value;
        KeySet::from_jwks(json!({"keys": [key]}).to_string().as_bytes())
    };
    assert_eq!(with("use", json!("sig")).unwrap().len(), 1);
    assert_eq!(with("use", json!("enc")).unwrap_err(), KeyError::NoUsableKey);
    assert_eq!(with("key_ops", json!(["encrypt"])).unwrap_err(), KeyError::NoUsableKey);
    assert_eq!(with("kty", json!("XYZ")).unwrap_err(), KeyError::NoUsableKey);
    let secret = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "a"}]});
    assert_eq!(KeySet::from_jwks(secret.to_string().as_bytes()).unwrap_err(), KeyError::NoUsableKey);
    for text in ["", "{}", "[]", "{\"keys\":{}}", "null", "<html>"] {
        assert_eq!(KeySet::from_jwks(text.as_bytes()).unwrap_err(), KeyError::NotASet, "{text}");
    }
    let many = json!({"keys": vec![signer.jwk.clone(); 100]});
    let many = KeySet::from_jwks(many.to_string().as_bytes()).unwrap();
    assert_eq!((many.len(), many.left_out()), (32, 68));
    // One that is not understood does not spoil the others.
    let mixed = json!({"keys": [{"kty": "FUTURE"}, 7, signer.jwk]});
    assert_eq!(KeySet::from_jwks(mixed.to_string().as_bytes()).unwrap().len(), 1);
}

#[test]
fn a_key_is_found_by_its_id_and_tokens_without_one_try_those_of_their_kind() {
    let (one, two) = (Signer::new("1", Algorithm::ES256), Signer::new("2", Algorithm::ES256));
    let rsa = Signer::new("3", Algorithm::RS256);
    let keys = prepare(&settings(json!({})), &jwks([&rsa, &one, &two])).unwrap();
    let bare = json!({"alg": "ES256"});
    assert!(outcome(&keys, &two.with_header(&bare, &claims(json!({})))).unwrap().is_ok());
    let mislabelled = json!({"alg": "ES256", "kid": "1"});
    assert_eq!(refused(&keys, &two.with_header(&mislabelled, &claims(json!({})))), TokenError::Signature);
    let unknown = json!({"alg": "ES256", "kid": "9"});
    assert_eq!(refused(&keys, &two.with_header(&unknown, &claims(json!({})))), TokenError::Signature);
}

#[test]
fn the_cache_tells_tokens_with_equal_beginnings_apart_and_forgets_with_time_and_keys() {
    let signer = Signer::new("a", Algorithm::EdDSA);
    let settings = settings(json!({}));
    let keys = prepare(&settings, &jwks([&signer])).unwrap();
    let cache = TokenCache::new(10);
    let good = signer.token(&claims(json!({})));
    let user = |keys: &TokenKeys, token: &str, now| {
        cache.verify(keys, token.as_bytes(), now).map(|one| one.map(|t| t.user.to_string()))
    };
    for _ in 0..3 {
        assert_eq!(user(&keys, &good, NOW), Some(Ok("alice".to_owned())));
    }
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    assert_eq!(user(&keys, &forged, NOW), Some(Err(TokenError::Signature)));
    let bob = signer.token(&claims(json!({"sub": "bob"})));
    assert_eq!(user(&keys, &bob, NOW), Some(Ok("bob".to_owned())));
    let swapped = format!("{}.{}", good.rsplit_once('.').unwrap().0, bob.rsplit_once('.').unwrap().1);
    assert_eq!(user(&keys, &swapped, NOW), Some(Err(TokenError::Signature)));
    // Its end comes while it is remembered.
    assert_eq!(user(&keys, &good, NOW + 660_000_000), Some(Err(TokenError::Expired)));
    // The key is taken away: what was verified with it counts no more.
    let other = Signer::new("b", Algorithm::EdDSA);
    let without = prepare(&settings, &jwks([&other])).unwrap();
    assert!(user(&without, &good, NOW).unwrap().is_err());
    assert_eq!(user(&TokenKeys::default(), &good, NOW), None);
}

#[test]
fn a_clock_that_goes_back_revives_no_token() {
    let signer = Signer::new("a", Algorithm::EdDSA);
    let mut gateway = Gateway::new(settings(json!({})));
    gateway.tokens = prepare(&gateway.settings, &jwks([&signer])).unwrap();
    let token = format!("Bearer {}", signer.token(&claims(json!({}))));
    let at = |now| gateway.ask_at(&[("authorization", &token)], now).map_err(|error| error.code()).err();
    assert_eq!(at(NOW), None);
    assert_eq!(at(NOW + 660_000_000), Some("expired_token"));
    assert_eq!(at(NOW), Some("expired_token"));
}

#[test]
fn a_huge_token_of_ours_is_refused_and_errors_never_quote_it() {
    let signer = Signer::new("a", Algorithm::EdDSA);
    let keys = prepare(&settings(json!({})), &jwks([&signer])).unwrap();
    let token = signer.token(&claims(json!({"padding": "x".repeat(20_000)})));
    assert_eq!(refused(&keys, &token), TokenError::TooLong);
    let bad = signer.token(&claims(json!({"sub": "SENSITIVE", "aud": "SENSITIVE"})));
    let error = refused(&keys, &bad);
    assert!(!format!("{error} {error:?}").contains("SENSITIVE"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_flipped_bit_of_a_token_is_refused(place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let signer = Signer::new("a", Algorithm::EdDSA);
        let keys = prepare(&settings(json!({})), &jwks([&signer])).unwrap();
        let mut token = signer.token(&claims(json!({}))).into_bytes();
        let index = place.index(token.len());
        token[index] ^= 1 << bit;
        let outcome = keys.verify(&token, NOW);
        prop_assert!(!matches!(outcome, Some(Ok(_))), "bit {} of byte {}", bit, index);
    }

    #[test]
    fn no_bytes_make_verification_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let signer = Signer::new("a", Algorithm::EdDSA);
        let keys = prepare(&settings(json!({})), &jwks([&signer])).unwrap();
        prop_assert!(!matches!(keys.verify(&bytes, NOW), Some(Ok(_))));
        let text = format!("{}.{}.{}", base64url(&bytes), base64url(&claims(json!({})).to_string().into_bytes()), base64url(&bytes));
        prop_assert!(matches!(keys.verify(text.as_bytes(), NOW), Some(Err(_))));
    }
}

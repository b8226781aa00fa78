//! From what a request presents to who asks.

use std::net::IpAddr;

use jsonwebtoken::Algorithm;
use portcullis::config::identity_settings::Identity;
use portcullis::config::issued::{IssuedKey, generate_key};
use portcullis::proxy::identify::{Arrival, ErrorClass, IdentityError, agent, names_to_strip};
use portcullis::types::CallerKind;
use serde_json::json;

use crate::support::{Gateway, NOW, Signer, claims, jwks, map, prepare, settings};

fn with_headers(mut settings: Identity) -> Identity {
    settings.user_header = Some("x-user".to_owned());
    settings.tenant_header = Some("x-tenant".to_owned());
    settings.team_header = Some("x-team".to_owned());
    settings.groups_header = Some("x-groups".to_owned());
    settings.agent_header = Some("x-agent".to_owned());
    settings
}

fn trusted(gateway: &Gateway, headers: &[(&str, &str)]) -> Result<portcullis::types::Caller, IdentityError> {
    let headers = map(headers);
    let arrival = Arrival { headers: &headers, address: None, is_trusted: true, certificate: None, now: NOW };
    gateway.arrive(&arrival).map(|found| found.caller)
}

fn application(gateway: &mut Gateway, key: IssuedKey) -> String {
    let made = generate_key().unwrap();
    gateway.issued.put(made.hash, IssuedKey { id: "k".into(), family: "k".into(), name: "shop".into(), ..key });
    format!("Bearer {}", made.secret.expose())
}

#[test]
fn a_providers_own_key_passes_where_anybody_may_and_is_nobody_where_a_key_is_needed() {
    let mut gateway = Gateway::new(Identity::default());
    for key in ["Bearer sk-proj-123", "Basic abc", "Bearer", "Bearer eyJhbGciOiJub25lIn0.e30.", ""] {
        assert_eq!(gateway.code(&[("authorization", key)]), "anonymous", "{key}");
    }
    gateway.settings.require_key = true;
    for key in ["Bearer sk-proj-123", "Basic abc", "Bearer", "Bearer eyJhbGciOiJub25lIn0.e30.", ""] {
        assert_eq!(gateway.code(&[("authorization", key)]), "missing_api_key", "{key}");
    }
    assert_eq!(gateway.ask(&[]).unwrap_err().class(), ErrorClass::Unauthorized);
}

#[test]
fn odd_credentials_end_in_a_refusal_and_never_in_a_panic() {
    let mut gateway = Gateway::new(settings(json!({})));
    let signer = Signer::new("a", Algorithm::EdDSA);
    gateway.tokens = prepare(&gateway.settings, &jwks([&signer])).unwrap();
    gateway.settings.require_key = true;
    let huge = "A".repeat(100_000);
    for odd in [
        "' OR 1=1 --",
        "pck_' OR '1'='1",
        "pck_\"; DROP TABLE keys; --",
        "%",
        "pck_%",
        "pck_\u{e9}\u{e9}",
        &format!("pck_{huge}"),
        &format!("e{huge}.{huge}.{huge}"),
        "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tLyJ9.",
        "..",
        "pck_",
    ] {
        for (name, value) in [("authorization", format!("Bearer {odd}")), ("x-api-key", odd.to_owned())] {
            let error = gateway.ask(&[(name, &value)]).unwrap_err();
            let text = format!("{error} {error:?}");
            assert_eq!(error.class(), ErrorClass::Unauthorized, "{text}");
            assert!(text.len() < 200, "the message grows with the credential");
        }
    }
}

#[test]
fn two_credentials_are_refused_unless_they_are_the_same_one() {
    let signer = Signer::new("a", Algorithm::EdDSA);
    let mut gateway = Gateway::new(settings(json!({})));
    gateway.tokens = prepare(&gateway.settings, &jwks([&signer])).unwrap();
    let key = application(&mut gateway, IssuedKey::default());
    let bare = key.strip_prefix("Bearer ").unwrap();
    let token = format!("Bearer {}", signer.token(&claims(json!({}))));
    assert_eq!(gateway.code(&[("authorization", &key), ("authorization", &key)]), "conflicting_credentials");
    assert_eq!(gateway.code(&[("x-api-key", bare), ("x-api-key", "sk-1")]), "conflicting_credentials");
    assert_eq!(gateway.code(&[("authorization", &token), ("x-api-key", bare)]), "conflicting_credentials");
    assert_eq!(gateway.code(&[("authorization", &key), ("x-api-key", bare)]), "shop");
    assert_eq!(gateway.code(&[("authorization", "Bearer sk-1"), ("x-api-key", bare)]), "shop");
    assert_eq!(gateway.code(&[("authorization", &key), ("x-api-key", "pck_wrong")]), "invalid_api_key");
    assert_eq!(
        gateway.ask(&[("authorization", &key), ("authorization", &key)]).unwrap_err().class(),
        ErrorClass::BadRequest
    );
}

#[test]
fn a_configured_key_keeps_working_by_its_name() {
    use sha2::{Digest as _, Sha256};
    let digest: String = Sha256::digest(b"team-secret").iter().map(|byte| format!("{byte:02x}")).collect();
    let settings = json!({"require_key": true, "keys": [{"name": "checkout", "sha256": digest}]});
    let gateway = Gateway::new(serde_json::from_value(settings).unwrap());
    let found = gateway.ask(&[("authorization", "bearer  team-secret ")]).unwrap().caller;
    assert_eq!((found.user.as_deref(), found.key.as_deref()), (Some("checkout"), Some("checkout")));
    assert_eq!(found.kind, CallerKind::Key);
    assert_eq!(gateway.code(&[("authorization", "Bearer team-secreu")]), "missing_api_key");
}

#[test]
fn trusted_headers_are_believed_from_trusted_peers_only() {
    let gateway = Gateway::new(with_headers(Identity::default()));
    let headers =
        [("x-user", "zo\u{eb}"), ("x-tenant", "acme"), ("x-team", "ml"), ("x-groups", "a, b,,c"), ("x-agent", "bot")];
    let caller = trusted(&gateway, &headers).unwrap();
    assert_eq!(caller.kind, CallerKind::TrustedHeader);
    assert_eq!((caller.user.as_deref(), caller.tenant.as_deref()), (Some("zo\u{eb}"), Some("acme")));
    assert_eq!((caller.team.as_deref(), caller.agent.as_deref(), caller.groups.len()), (Some("ml"), Some("bot"), 3));
    let caller = gateway.ask(&headers).unwrap().caller;
    assert_eq!((caller.kind, caller.user, caller.tenant, caller.team), (CallerKind::Anonymous, None, None, None));
    let strip: Vec<&str> = names_to_strip(&gateway.settings).collect();
    assert_eq!(strip, ["x-user", "x-tenant", "x-team", "x-groups", "x-agent"]);
}

#[test]
fn a_trusted_header_that_is_there_twice_or_is_no_name_is_refused() {
    let gateway = Gateway::new(with_headers(Identity::default()));
    for name in ["x-user", "x-tenant", "x-team", "x-groups", "x-agent"] {
        let refused = trusted(&gateway, &[(name, "a"), (name, "b")]).unwrap_err();
        assert_eq!((refused.code(), refused.class()), ("invalid_identity_header", ErrorClass::BadRequest), "{name}");
        assert!(trusted(&gateway, &[(name, "a\tb")]).is_err(), "{name}");
        assert!(trusted(&gateway, &[(name, &"x".repeat(257))]).is_err(), "{name}");
        assert!(trusted(&gateway, &[(name, "")]).is_ok(), "{name}");
    }
    assert!(trusted(&gateway, &[("x-groups", &"g,".repeat(300))]).is_err());
}

#[test]
fn headers_add_to_a_credential_and_may_not_contradict_it() {
    let mut gateway = Gateway::new(with_headers(Identity::default()));
    let bound = IssuedKey { tenant: Some("acme".into()), ..IssuedKey::default() };
    let key = application(&mut gateway, bound);
    let caller = trusted(&gateway, &[("authorization", &key), ("x-user", "alice"), ("x-team", "ml")]).unwrap();
    assert_eq!((caller.user.as_deref(), caller.key.as_deref()), (Some("alice"), Some("k")));
    assert_eq!((caller.tenant.as_deref(), caller.team.as_deref()), (Some("acme"), Some("ml")));
    let other = trusted(&gateway, &[("authorization", &key), ("x-tenant", "globex")]).unwrap_err();
    assert_eq!((other.code(), other.class()), ("conflicting_identity", ErrorClass::Forbidden));
    assert!(trusted(&gateway, &[("authorization", &key), ("x-tenant", "acme")]).is_ok());

    let signer = Signer::new("a", Algorithm::EdDSA);
    gateway.tokens = prepare(&settings(json!({})), &jwks([&signer])).unwrap();
    let token = format!("Bearer {}", signer.token(&claims(json!({}))));
    let caller = trusted(&gateway, &[("authorization", &token), ("x-groups", "admins")]).unwrap();
    assert_eq!((caller.kind, caller.groups.len()), (CallerKind::Token, 2), "the token's groups stand");
    assert_eq!(
        trusted(&gateway, &[("authorization", &token), ("x-user", "bob")]).unwrap_err().code(),
        "conflicting_identity"
    );
}

#[test]
fn addresses_reach_the_caller() {
    let gateway = Gateway::new(Identity::default());
    let headers = map(&[]);
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let arrival = Arrival { headers: &headers, address: Some(address), is_trusted: false, certificate: None, now: NOW };
    assert_eq!(gateway.arrive(&arrival).unwrap().caller.address, Some(address));
}

#[test]
fn programs_are_known_by_few_names() {
    let of = |headers: &[(&str, &str)]| agent(&map(headers));
    for (said, known) in [
        ("OpenAI/Python 1.99.1", "openai-python"),
        ("AsyncOpenAI/Python 1.99.1", "openai-python"),
        ("OpenAI/JS 5.1.0", "openai-node"),
        ("Anthropic/Python 0.121.0", "anthropic-sdk"),
        ("claude-cli/2.0.14 (external, cli)", "claude-code"),
        ("langchain-openai/0.3", "langchain"),
        ("Cursor/1.7", "cursor"),
        ("curl/8.5.0", "curl"),
        ("python-httpx/0.28", "python"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "browser"),
        ("node/20 claude-cli/2", "claude-code"),
        ("something-new/1.0 8f3a", "other"),
    ] {
        assert_eq!(of(&[("user-agent", said)]), Some(known), "{said}");
    }
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[("user-agent", "x"), ("x-stainless-lang", "python")]), Some("openai-python"));
    assert_eq!(of(&[("x-stainless-lang", "js"), ("anthropic-version", "2023-06-01")]), Some("anthropic-sdk"));
    assert_eq!(of(&[("user-agent", &"y".repeat(100_000))]), Some("other"));
}

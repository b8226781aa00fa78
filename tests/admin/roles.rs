//! Every route with every role and none.

use std::collections::BTreeMap;

use portcullis::config::admin_settings::Admin;
use portcullis::control::api::roles::Permission;
use portcullis::control::api::table;
use portcullis::types::AccessRole;
use serde_json::{Value, json};

use crate::databases;
use crate::home::{Client, Home, settings, warm};

/// A body that is in order, so that what is refused is refused for its role.
fn body(method: &str, path: &str) -> Option<Value> {
    let text = "a perfectly good password";
    match (method, path) {
        ("POST", "/api/v1/setup") => Some(json!({ "token": "x", "name": "x", "password": text })),
        ("POST", "/api/v1/login") => Some(json!({ "name": "x", "password": "x" })),
        ("POST", "/api/v1/me/password") => Some(json!({ "current": "wrong", "new": text })),
        ("POST", "/api/v1/tokens") => Some(json!({ "name": "t", "roles": ["viewer"] })),
        ("POST", "/api/v1/accounts") => Some(json!({ "name": "same-name", "roles": ["viewer"] })),
        ("PATCH", "/api/v1/accounts/{id}") => Some(json!({ "disabled": false })),
        ("POST", "/api/v1/accounts/{id}/password") => Some(json!({ "password": text })),
        ("POST", "/api/v1/keys") => Some(json!({ "name": "k" })),
        ("PATCH", "/api/v1/keys/{id}") => Some(json!({ "expires_in": 3600 })),
        ("POST", "/api/v1/keys/{id}/rotate") => Some(json!({ "overlap": 0 })),
        ("POST", "/api/v1/scan") => Some(json!({ "text": "hello", "direction": "input" })),
        ("POST", "/api/v1/validate") => Some(json!({ "text": "" })),
        ("POST", "/api/v1/orders") => Some(json!({
            "subject": { "kind": "user", "name": "eve" }, "measure": { "kind": "block" }, "reason": "test" })),
        ("POST", "/api/v1/erasures") => Some(json!({ "user": "nobody at all" })),
        ("POST", "/api/v1/events/{id}/reveal") => Some(json!({ "reason": "test" })),
        ("PATCH", "/api/v1/alerts/{id}" | "/api/v1/incidents/{id}") => Some(json!({ "state": "acknowledged" })),
        ("POST", "/api/v1/alerts/bulk") => Some(json!({ "ids": ["alt_none"], "change": { "state": "acknowledged" } })),
        ("POST", "/api/v1/alerts/{id}/merge" | "/api/v1/incidents/{id}/merge") => {
            Some(json!({ "ids": ["none_either"] }))
        }
        ("POST", "/api/v1/alerts/{id}/comments" | "/api/v1/incidents/{id}/comments") => Some(json!({ "text": "x" })),
        ("POST", "/api/v1/plans") => Some(json!({
            "summary": "watch", "steps": [{ "action": { "kind": "monitor" }, "reason": "test" }] })),
        ("POST", "/api/v1/plans/{id}/approve" | "/api/v1/plans/{id}/deny") => {
            Some(json!({ "hash": "0".repeat(64), "reason": "test" }))
        }
        ("POST", "/api/v1/tool-holds/{id}/grant" | "/api/v1/tool-holds/{id}/deny" | "/api/v1/remedies/{id}/undo") => {
            Some(json!({ "reason": "test" }))
        }
        ("POST", "/api/v1/learn/reports") => Some(json!({ "kind": "missed", "text": "x" })),
        ("POST", "/api/v1/learn/import") => Some(json!({ "rules": "x" })),
        ("POST", "/api/v1/learn/harmless") => Some(json!({ "text": "x" })),
        ("POST", path) if path.starts_with("/api/v1/learn/") => Some(json!({ "reason": "test" })),
        ("POST", "/api/v1/audit/verify") => Some(json!({})),
        ("POST", "/api/v1/reports") => Some(json!({ "kind": "security" })),
        ("POST", "/api/v1/monitoring/off") => Some(json!({ "reason": "test" })),
        ("POST", "/api/v1/playground") => {
            Some(json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] }))
        }
        ("POST", "/api/v1/lab/runs") => Some(json!({})),
        _ => None,
    }
}

async fn matrix(home: &Home) {
    warm();
    let admin = home.admin().await;
    let reveal = Admin::default().reveal_roles;
    let mut people: BTreeMap<String, (Option<AccessRole>, Client)> = BTreeMap::new();
    people.insert("nobody".into(), (None, Client::default()));
    for role in AccessRole::ALL {
        home.account(&admin, role.name(), &[role.name()]).await;
        people.insert(role.name().into(), (Some(role), home.signed_in(role.name()).await));
    }
    let mut asked = 0;
    for route in table::list() {
        for (name, (role, client)) in &people {
            let path = route.path.replace("{id}", "none").replace("{name}", "none").replace("{source}", "none");
            // These would end the session the matrix goes on with.
            if path.contains("/logout") && role.is_some() && !path.contains("accounts") {
                continue;
            }
            let answer = home.ask(client, route.method, &path, body(route.method, &route.path)).await;
            asked += 1;
            let allowed = role.is_some_and(|role| route.permission.roles(&reveal).contains(&role));
            let (status, code) = (answer.status, if answer.status < 300 { String::new() } else { answer.code() });
            let told = format!("{} {} as {name}: {status} {code}", route.method, route.path);
            match (route.permission, role) {
                (Permission::Public, _) => {
                    assert!(!matches!(code.as_str(), "missing_role" | "not_signed_in"), "{told}")
                }
                (_, None) => assert_eq!((status, code.as_str()), (401, "not_signed_in"), "{told}"),
                (_, Some(_)) if allowed => {
                    let asked_wrongly =
                        matches!(code.as_str(), "wrong_credentials" | "upgrade_required" | "cross_origin");
                    assert!(status < 300 || matches!(status, 404 | 409) || asked_wrongly, "{told}");
                }
                (_, Some(_)) => assert_eq!((status, code.as_str()), (403, "missing_role"), "{told}"),
            }
        }
    }
    assert!(asked > 450, "{asked}");
}

#[tokio::test]
async fn every_route_with_every_role_and_none_on_sqlite() {
    matrix(&Home::start().await).await;
}

#[tokio::test]
async fn every_route_with_every_role_and_none_on_postgres() {
    let url = databases::shared().new_database();
    matrix(&Home::on(settings(), &url, None, None).await).await;
}

#[test]
fn only_these_routes_ask_for_nothing() {
    let public: Vec<String> = table::list()
        .into_iter()
        .filter(|route| route.permission == Permission::Public)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let expected = [
        "GET /api/v1/openapi.json",
        "GET /api/v1/setup",
        "POST /api/v1/setup",
        "POST /api/v1/login",
        "GET /api/v1/oidc/login",
        "GET /api/v1/oidc/callback",
        "POST /api/v1/ingest/{source}",
    ];
    assert_eq!(public, expected);
    assert!(table::list().iter().all(|route| route.path.starts_with("/api/v1/")));
}

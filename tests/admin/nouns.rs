//! Keys, orders, events, spend, policies, audit: each noun's life over the API.

use std::collections::BTreeMap;

use portcullis::control::api::door::Refresh;
use portcullis::values;
use serde_json::{Value, json};

use crate::home::{Client, Home};

#[tokio::test]
async fn a_key_is_shown_once_rotated_with_overlap_and_revoked() {
    let home = Home::start().await;
    let root = home.admin().await;
    let body = json!({ "name": "app", "team": "blue", "models": ["gpt-*"], "expires_in": 86_400 });
    let made = home.ask(&root, "POST", "/api/v1/keys", Some(body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (key, id) = (made.json()["key"].clone(), made.json()["details"]["id"].as_str().unwrap().to_owned());
    let path = format!("/api/v1/keys/{id}");
    let shown = home.ask(&root, "GET", &path, None).await;
    assert!(!shown.body.windows(4).any(|four| key.as_str().unwrap().as_bytes().ends_with(four)), "{shown:?}");
    assert_eq!(shown.json()["models"], json!(["gpt-*"]));

    let rotated = home.ask(&root, "POST", &format!("{path}/rotate"), Some(json!({ "overlap": 600 }))).await.json();
    assert_eq!((&rotated["details"]["rotated_from"], &rotated["details"]["team"]), (&json!(id), &json!("blue")));
    assert_ne!(rotated["key"], key);
    let old = home.ask(&root, "GET", &path, None).await.json();
    assert_eq!(old["expires"].as_i64().unwrap() - old["created"].as_i64().unwrap(), 600_000_000);
    home.later(601);
    let again = home.ask(&root, "POST", &format!("{path}/rotate"), Some(json!({ "overlap": 0 }))).await;
    assert_eq!(again.code(), "key_ended");

    let new = format!("/api/v1/keys/{}", rotated["details"]["id"].as_str().unwrap());
    assert_eq!(
        home.ask(&root, "PATCH", &new, Some(json!({ "expires_in": null }))).await.json()["expires"],
        Value::Null
    );
    assert_eq!(home.ask(&root, "PATCH", &new, Some(json!({}))).await.status, 400);
    assert_eq!(home.ask(&root, "DELETE", &new, None).await.status, 204);
    assert!(home.ask(&root, "GET", &new, None).await.json()["revoked"].is_i64());
    let found = home.ask(&root, "GET", "/api/v1/keys?team=blue", None).await.json();
    assert_eq!(found["items"].as_array().unwrap().len(), 2);
    assert_eq!(home.ask(&root, "GET", "/api/v1/keys?team=red", None).await.json()["items"], json!([]));
    let refreshed = home.rest.refreshed.lock().unwrap().clone();
    assert!(refreshed.len() >= 5 && refreshed.iter().all(|what| *what == Refresh::Keys), "{refreshed:?}");
    let revoked = home.notes("key.revoke").remove(0);
    assert_eq!((&revoked.before.unwrap()["revoked"], revoked.after.unwrap()["revoked"].is_i64()), (&Value::Null, true));
}

#[tokio::test]
async fn an_order_is_given_seen_and_lifted_once() {
    let home = Home::start().await;
    let root = home.admin().await;
    home.account(&root, "rea", &["responder"]).await;
    let rea = home.signed_in("rea").await;
    let body = json!({
        "subject": { "kind": "network", "network": "192.0.2.0/24" },
        "measure": { "kind": "limit", "requests": 5, "seconds": 60 },
        "reason": "scanner", "expires_in": 600 });
    let made = home.ask(&rea, "POST", "/api/v1/orders", Some(body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let order = made.json();
    assert_eq!((&order["made_by"], &order["in_force"]), (&json!("rea"), &json!(true)));
    assert_eq!(home.rest.refreshed.lock().unwrap().as_slice(), [Refresh::Orders]);
    let path = format!("/api/v1/orders/{}", order["id"].as_str().unwrap());
    assert_eq!(home.ask(&rea, "GET", &path, None).await.json()["subject"]["network"], "192.0.2.0/24");
    let other = json!({ "subject": { "kind": "user", "name": "o&b" }, "measure": { "kind": "block" }, "reason": "x" });
    assert_eq!(home.ask(&rea, "POST", "/api/v1/orders", Some(other)).await.status, 201);
    let count = async |query: &str| {
        let found = home.ask(&rea, "GET", &format!("/api/v1/orders?{query}"), None).await;
        if found.status == 200 { found.json()["items"].as_array().unwrap().len() } else { usize::from(found.status) }
    };
    assert_eq!((count("kind=user&name=o%26b").await, count("kind=user&name=o").await), (1, 0));
    assert_eq!(count("kind=network&name=192.0.2.0/24&in_force=true").await, 1);
    assert_eq!((count("kind=user").await, count("kind=nobody&name=x").await), (400, 400));
    assert_eq!(home.ask(&rea, "DELETE", &path, None).await.status, 204);
    assert_eq!(home.ask(&rea, "DELETE", &path, None).await.code(), "order_ended");
    assert_eq!((count("kind=network&name=192.0.2.0/24&in_force=true").await, count("in_force=true").await), (0, 1));
    let listed = home.ask(&rea, "GET", "/api/v1/orders", None).await.json();
    assert_eq!((&listed["items"][1]["lifted_by"], &listed["items"][1]["in_force"]), (&json!("rea"), &json!(false)));
    for wrong in [
        json!({ "subject": { "kind": "network", "network": "0.0.0.0/0" }, "measure": { "kind": "block" }, "reason": "x" }),
        json!({ "subject": { "kind": "everyone" }, "measure": { "kind": "block" }, "reason": "x" }),
        json!({ "subject": { "kind": "user", "name": "x" }, "measure": { "kind": "limit", "requests": 0, "seconds": 1 }, "reason": "x" }),
        json!({ "subject": { "kind": "user", "name": "x" }, "measure": { "kind": "block" } }),
        json!({ "subject": { "kind": "user", "name": "x" }, "measure": { "kind": "block" }, "reason": "x", "expires_in": 1 }),
    ] {
        let status = home.ask(&rea, "POST", "/api/v1/orders", Some(wrong.clone())).await.status;
        assert!(matches!(status, 400 | 422), "{wrong}: {status}");
    }
}

/// A record as the data path writes it, straight into the store.
pub async fn record(home: &Home, number: i64, user: &str, decision: &str) {
    let mut tx = home.database.begin().await.unwrap();
    let sql = "INSERT INTO requests (id, time, user_, method, path, outcome, status, decision, risk, estimated, stream,
        micros, generation, record) VALUES ($1, $2, $3, 'POST', '/v1/chat/completions', 'served', 200, $4, 0.5, 0, 0, 1, 1, $5)";
    let record = json!({ "id": format!("req_{number}"), "decision": decision }).to_string();
    tx.execute(sql, values![format!("req_{number}"), number, user.to_owned(), decision.to_owned(), record])
        .await
        .unwrap();
    let sql =
        "INSERT INTO contents (request, direction, time, user_, mode, body) VALUES ($1, 'input', $2, $3, 'full', $4)";
    let text = format!("the secret prompt {number}");
    tx.execute(sql, values![format!("req_{number}"), number, user.to_owned(), text]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn events_are_filtered_paged_and_their_content_is_revealed_on_record_only() {
    let home = Home::start().await;
    let root = home.admin().await;
    for number in 1..=5 {
        let decision = if number % 2 == 0 { "block" } else { "allow" };
        record(&home, number, "ann", decision).await;
    }
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = home.ask(&root, "GET", "/api/v1/events?limit=3", None).await.json();
    assert_eq!(ids(&first), ["req_5", "req_4", "req_3"]);
    let next = first["next"].as_str().unwrap();
    let second = home.ask(&root, "GET", &format!("/api/v1/events?limit=3&before={next}"), None).await.json();
    assert_eq!((ids(&second), &second["next"]), (vec!["req_2".to_owned(), "req_1".to_owned()], &Value::Null));
    let blocked = home.ask(&root, "GET", "/api/v1/events?decision=block&user=ann&from=3", None).await.json();
    assert_eq!(ids(&blocked), ["req_4"]);
    assert_eq!(ids(&home.ask(&root, "GET", "/api/v1/events?user=%25", None).await.json()), [""; 0]);
    let one = home.ask(&root, "GET", "/api/v1/events/req_4", None).await;
    assert_eq!(one.json()["record"]["decision"], "block");
    assert!(!String::from_utf8_lossy(&one.body).contains("secret prompt"));

    home.account(&root, "vera", &["viewer"]).await;
    home.account(&root, "ana", &["analyst"]).await;
    let (vera, ana) = (home.signed_in("vera").await, home.signed_in("ana").await);
    let reveal = "/api/v1/events/req_4/reveal";
    let why = || Some(json!({ "reason": "incident 7" }));
    assert_eq!(home.ask(&vera, "POST", reveal, why()).await.code(), "missing_role");
    assert_eq!(home.ask(&ana, "POST", reveal, Some(json!({ "reason": "" }))).await.status, 400);
    assert_eq!(home.notes("event.reveal").len(), 0);
    let shown = home.ask(&ana, "POST", reveal, why()).await.json();
    assert_eq!(shown["contents"][0]["text"], "the secret prompt 4");
    let note = home.notes("event.reveal").remove(0);
    assert_eq!((note.actor.name.as_str(), note.object.as_str()), ("ana", "request/req_4"));
    assert_eq!(note.after.unwrap()["reason"], "incident 7");
    home.rest.audit_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(home.ask(&ana, "POST", reveal, why()).await.code(), "audit_unavailable");
}

#[tokio::test]
async fn spend_is_told_by_name_and_time() {
    let home = Home::start().await;
    let root = home.admin().await;
    let day = 86_400_000_000_i64;
    for (at, team, cost) in [(day, "blue", 5), (day, "red", 7), (2 * day, "blue", 11)] {
        let mut tx = home.database.begin().await.unwrap();
        let sql = "INSERT INTO spend_hourly (bucket, tenant, team, user_, key_, model, agent, requests, input_tokens,
            cached_tokens, output_tokens, reasoning_tokens, cost) VALUES ($1, '', $2, '', '', 'm', '', 1, 10, 0, 20, 0, $3)";
        tx.execute(sql, values![at, team.to_owned(), cost]).await.unwrap();
        let sql = "INSERT INTO spend_daily (bucket, tenant, team, model, requests, input_tokens,
            cached_tokens, output_tokens, reasoning_tokens, cost) VALUES ($1, '', $2, 'm', 1, 10, 0, 20, 0, $3)";
        tx.execute(sql, values![at, team.to_owned(), cost]).await.unwrap();
        tx.commit().await.unwrap();
    }
    let ask = async |query: &str| {
        let path = format!("/api/v1/spend?from=0&to={}&{query}", 10 * day);
        home.ask(&root, "GET", &path, None).await.json()
    };
    let by_team = ask("by=team&bucket=total").await;
    let costs: BTreeMap<_, _> = by_team["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["names"]["team"].as_str().unwrap().to_owned(), line["cost_nano_usd"].as_u64().unwrap()))
        .collect();
    assert_eq!(costs, BTreeMap::from([("blue".to_owned(), 16), ("red".to_owned(), 7)]));
    assert_eq!(ask("by=team,model&bucket=day&team=blue").await["items"].as_array().unwrap().len(), 2);
    assert_eq!(ask("by=team&bucket=day&limit=1").await["truncated"], true);
    assert_eq!(home.ask(&root, "GET", "/api/v1/spend?by=password", None).await.status, 400);
    let long = format!("/api/v1/spend?from=0&to={}", 1000 * day);
    assert_eq!(home.ask(&root, "GET", &long, None).await.code(), "span_too_long");
}

#[tokio::test]
async fn policies_are_read_explained_and_validated_and_a_bad_reload_says_why() {
    let home = Home::start().await;
    let root = home.admin().await;
    assert_eq!(home.ask(&root, "GET", "/api/v1/policies", None).await.json()["items"][0]["name"], "default");
    assert_eq!(home.ask(&root, "GET", "/api/v1/policies/default", None).await.json()["mode"], "enforce");
    assert_eq!(home.ask(&root, "GET", "/api/v1/policies/other", None).await.status, 404);
    let explained = home.ask(&root, "GET", "/api/v1/explain?key=k&model=gpt-5", None).await.json();
    assert_eq!(explained["model"], "gpt-5");
    let check =
        async |text: &str| home.ask(&root, "POST", "/api/v1/validate", Some(json!({ "text": text }))).await.json();
    assert_eq!(check("a = 1").await["valid"], true);
    assert_eq!(check("a = ").await["valid"], false);
    assert_eq!(home.ask(&root, "POST", "/api/v1/reload", None).await.status, 200);
    home.rest.reload_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    let bad = home.ask(&root, "POST", "/api/v1/reload", None).await;
    assert_eq!((bad.status, &bad.json()["problems"][0]), (409, &json!("gateway.toml:3: no")));
    let audit = home.ask(&root, "GET", "/api/v1/audit?kind=config_change&limit=10", None).await.json();
    assert_eq!(audit["entries"].as_array().unwrap().len(), 3);
    assert!(home.ask(&root, "GET", "/api/v1/audit/head", None).await.json()["seq"].as_u64().unwrap() > 3);
}

#[tokio::test]
async fn the_key_that_signs_the_trail_is_changed_and_who_did_it_is_on_record_first() {
    let home = Home::start().await;
    let root = home.admin().await;
    let done = home.ask(&root, "POST", "/api/v1/audit/key/rotate", None).await;
    assert_eq!((done.status, &done.json()["id"]), (200, &json!("0123456789abcdef")));
    let notes = home.notes("audit.key.rotate");
    assert_eq!((notes.len(), notes[0].kind, notes[0].outcome), (1, "key_operation", "done"));
    assert!(!notes[0].actor.account.is_empty());
    home.rest.rotation_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(home.ask(&root, "POST", "/api/v1/audit/key/rotate", None).await.status, 503);
    let outcomes: Vec<_> = home.notes("audit.key.rotate").iter().map(|note| note.outcome).collect();
    assert_eq!(outcomes, ["done", "done", "failed"]);
    home.rest.audit_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    let refused = home.ask(&root, "POST", "/api/v1/audit/key/rotate", None).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "audit_unavailable"));
}

#[tokio::test]
async fn a_store_that_is_gone_is_a_503_and_no_way_in() {
    let home = Home::start().await;
    let root = home.admin().await;
    home.database.close().await;
    for who in [&root, &Client::bearer(&format!("pct_{}", "0".repeat(49)))] {
        let answer = home.ask(who, "GET", "/api/v1/keys", None).await;
        assert!(matches!(answer.status, 401 | 503), "{answer:?}");
    }
    assert_eq!(home.ask(&root, "GET", "/api/v1/keys", None).await.code(), "store_unavailable");
    assert_eq!(home.login("root", crate::home::PASSWORD).await.status, 503);
}

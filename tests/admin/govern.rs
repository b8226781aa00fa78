//! Callers, the trail verified on request, and the configuration in force.

use portcullis::values;
use serde_json::{Value, json};

use crate::databases;
use crate::home::{Home, settings};

const HOUR: i64 = 3_600_000_000;

/// Requests of a user at these times, each `(time, decision, risk, cost)`.
async fn requests(home: &Home, user: &str, all: &[(i64, &str, f64, i64)]) {
    let mut tx = home.database.begin().await.unwrap();
    let sql = "INSERT INTO requests (id, time, tenant, team, user_, key_, address, method, path, outcome, status, decision,
        risk, estimated, cost, stream, micros, generation, record) VALUES ($1, $2, 'acme', 'blue', $3, 'key_1', '192.0.2.7',
        'POST', '/x', 'served', 200, $4, $5, 0, $6, 0, 1, 1, '{}')";
    for (number, (time, decision, risk, cost)) in all.iter().enumerate() {
        let id = format!("req_{user}_{number}");
        let row = values![id, *time, user.to_owned(), (*decision).to_owned(), *risk, *cost];
        tx.execute(sql, row).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn alert(home: &Home, id: &str, user: &str, at: i64) {
    let mut tx = home.database.begin().await.unwrap();
    let sql = "INSERT INTO alerts (id, first_seen, last_seen, severity, rule, user_, state, source, title, body)
        VALUES ($1, $2, $2, 4, 'r', $3, 'open', 'gateway', 't', '{}')";
    tx.execute(sql, values![id.to_owned(), at, user.to_owned()]).await.unwrap();
    tx.commit().await.unwrap();
}

fn names(found: &Value) -> Vec<&str> {
    found["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

async fn callers_are_grouped(home: &Home) {
    let root = home.admin().await;
    let (from, to) = (1000 * HOUR, 1001 * HOUR);
    // Two requests in each of ten hours before, then twenty in one.
    let mut ann: Vec<(i64, &str, f64, i64)> =
        (1..=10).flat_map(|hour| [1, 2].map(|at| (from - hour * HOUR + at, "allow", 0.1, 5))).collect();
    ann.extend((0..20).map(|at| (from + at, if at < 5 { "block" } else { "allow" }, 0.25, 10)));
    requests(home, "ann", &ann).await;
    requests(home, "bob", &[(from + 7, "block", 0.9, 1000)]).await;
    requests(home, "late", &[(to, "allow", 0.0, 0)]).await;
    alert(home, "alt_1", "ann", from + 3).await;
    alert(home, "alt_2", "ann", from - 3).await;
    let ask = async |query: &str| {
        let path = format!("/api/v1/callers?from={from}&to={to}{query}");
        home.ask(&root, "GET", &path, None).await.json()
    };

    let found = ask("").await;
    assert_eq!((names(&found), &found["at_least"]), (vec!["ann", "bob"], &json!(false)));
    let ann = &found["items"][0];
    let figures =
        ["requests", "blocked", "alerts", "cost_nano_usd", "tenant", "first", "last"].map(|name| ann[name].clone());
    assert_eq!(figures, [json!(20), json!(5), json!(1), json!(200), json!("acme"), json!(from), json!(from + 19)]);
    assert!((ann["risk_most"].as_f64().unwrap() - 0.25).abs() < 1e-6, "{ann}");
    let usual = &ann["usual"];
    assert_eq!((&usual["pieces"], &usual["unit_seconds"], &usual["mean"]), (&json!(10), &json!(3600), &json!(2.0)));
    assert!(usual["z"].as_f64().unwrap() > 10.0, "{usual}");
    assert_eq!(found["items"][1].get("usual"), None);

    assert_eq!(names(&ask("&sort=risk").await), ["bob", "ann"]);
    assert_eq!(names(&ask("&sort=unusual&limit=1").await), ["ann"]);
    assert_eq!(names(&ask("&name=bob").await), ["bob"]);
    assert_eq!(names(&ask("&tenant=other").await), [""; 0]);
    let teams = ask("&kind=team").await;
    assert_eq!((names(&teams), &teams["items"][0]["requests"]), (vec!["blue"], &json!(21)));
    assert_eq!(teams["items"][0].get("alerts"), None);
    assert_eq!(names(&ask("&kind=address").await), ["192.0.2.7"]);
    assert_eq!(names(&ask("&kind=key").await), ["key_1"]);

    let path = format!("/api/v1/callers/activity?kind=user&name=ann&from={from}&to={to}");
    let activity = home.ask(&root, "GET", &path, None).await.json();
    let pieces = activity["pieces"].as_array().unwrap();
    assert_eq!((pieces.len(), &pieces[0]["requests"], &pieces[0]["blocked"]), (60, &json!(20), &json!(5)));
    assert_eq!((&pieces[1]["requests"], &pieces[1]["at"]), (&json!(0), &json!(from + HOUR / 60)));
    assert_eq!(activity["caller"]["usual"]["pieces"], json!(10));
    let nobody = format!("/api/v1/callers/activity?name=%25&from={from}&to={to}");
    assert_eq!(home.ask(&root, "GET", &nobody, None).await.status, 404);
}

#[tokio::test]
async fn callers_are_told_with_what_is_usual_for_them_on_sqlite() {
    callers_are_grouped(&Home::start().await).await;
}

#[tokio::test]
async fn callers_are_told_with_what_is_usual_for_them_on_postgres() {
    let url = databases::shared().new_database();
    callers_are_grouped(&Home::on(settings(), &url, None, None).await).await;
}

#[tokio::test]
async fn what_is_asked_of_callers_is_bounded() {
    let home = Home::start().await;
    let root = home.admin().await;
    let long = format!("/api/v1/callers?from=0&to={}", 93 * 24 * HOUR);
    assert_eq!(home.ask(&root, "GET", &long, None).await.code(), "span_too_long");
    for wrong in ["kind=password", "sort=id;drop", "limit=0", "limit=501", "from=-1", "name=", "surprise=1"] {
        let answer = home.ask(&root, "GET", &format!("/api/v1/callers?{wrong}"), None).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    home.account(&root, "vera", &["viewer"]).await;
    let vera = home.signed_in("vera").await;
    for path in ["/api/v1/callers", "/api/v1/callers/activity?name=x", "/api/v1/config", "/api/v1/audit/verify"] {
        assert_eq!(home.ask(&vera, "GET", path, None).await.code(), "missing_role", "{path}");
    }
    assert_eq!(home.ask(&vera, "POST", "/api/v1/audit/verify", Some(json!({}))).await.code(), "missing_role");
}

#[tokio::test]
async fn the_trail_is_verified_on_request_and_what_was_changed_is_named() {
    let home = Home::start().await;
    let root = home.admin().await;
    let path = "/api/v1/audit/verify";
    assert_eq!(home.ask(&root, "GET", path, None).await.json()["state"], "never");
    home.audited(3).await;
    let intact = home.ask(&root, "POST", path, Some(json!({}))).await;
    assert_eq!((intact.status, &intact.json()["state"]), (200, &json!("intact")), "{intact:?}");
    let intact = intact.json();
    assert!(intact["entries"].as_u64().unwrap() >= 3 && intact["ended"].is_i64(), "{intact}");
    assert_eq!(intact["keys"].as_array().unwrap().len(), 1);
    assert_eq!(home.ask(&root, "GET", path, None).await.json(), intact);
    let part = home.ask(&root, "POST", path, Some(json!({ "from": 2, "to": 3 }))).await.json();
    assert_eq!((&part["state"], &part["entries"], &part["first"]), (&json!("intact"), &json!(2), &json!(2)));

    let mut tx = home.database.begin().await.unwrap();
    tx.execute("UPDATE audit SET actor = $1 WHERE seq = 3", values!["mallory".to_owned()]).await.unwrap();
    tx.commit().await.unwrap();
    let broken = home.ask(&root, "POST", path, Some(json!({}))).await.json();
    assert_eq!((&broken["state"], &broken["problem"]["seq"]), (&json!("broken"), &json!(3)), "{broken}");
    assert_eq!(broken["problem"]["fault"], "changed");
    // What is not asked about is not looked at.
    assert_eq!(home.ask(&root, "POST", path, Some(json!({ "from": 1, "to": 2 }))).await.json()["state"], "intact");
    for wrong in [json!({ "from": -1 }), json!({ "from": 9, "to": 1 }), json!({ "all": true })] {
        let status = home.ask(&root, "POST", path, Some(wrong.clone())).await.status;
        assert!(matches!(status, 400 | 422), "{wrong}: {status}");
    }
}

#[tokio::test]
async fn administrators_and_auditors_read_the_configuration() {
    let home = Home::start().await;
    let root = home.admin().await;
    home.account(&root, "aud", &["viewer"]).await;
    let config = home.ask(&root, "GET", "/api/v1/config", None).await;
    assert_eq!((config.status, &config.json()["generation"]), (200, &json!(1)));
    assert!(config.json()["toml"].as_str().unwrap().contains("[admin]"));
}

//! Alerts that systems outside send in, signed.

use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use portcullis::control::api::soc::ingest::{IngestOptions, IngestSource, IngestSources};
use portcullis::store::soc::AlertFilter;
use portcullis::types::soc::Alert;
use portcullis::types::{Secret, base64};
use serde_json::{Value, json};

use crate::home::{Answer, Client, HUB, Home, SECRET};

/// The bytes behind `SECRET`.
const KEY: [u8; 24] = [
    0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a, 0xab, 0x4f, 0x08, 0xd4, 0x3c, 0x3f, 0x08, 0x2c, 0xf6, 0x48, 0xa3,
    0x62, 0xda, 0x2d, 0xa4, 0xb0,
];

fn signature(key: &[u8], id: &str, seconds: i64, body: &[u8]) -> String {
    let text = [format!("{id}.{seconds}.").as_bytes(), body].concat();
    format!("v1,{}", base64(sign(&Key::new(HMAC_SHA256, key), &text).as_ref()))
}

fn labelled(id: &str, seconds: i64, signature: &str) -> Client {
    let client = Client::default().with("content-type", "application/json");
    client.with("webhook-id", id).with("webhook-timestamp", &seconds.to_string()).with("webhook-signature", signature)
}

fn seconds(home: &Home) -> i64 {
    home.clock.load(std::sync::atomic::Ordering::Relaxed) / 1_000_000
}

async fn deliver(home: &Home, id: &str, seconds: i64, body: &[u8]) -> Answer {
    let who = labelled(id, seconds, &signature(&KEY, id, seconds, body));
    home.send(&who, "POST", "/api/v1/ingest/siem", body.to_vec()).await
}

/// Alerts of the source, once there are so many.
async fn written(home: &Home, count: usize) -> Vec<Alert> {
    let filter = AlertFilter { source: Some("siem".to_owned()), ..AlertFilter::default() };
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..3000 {
        let found = home.database.alerts(&filter, 100).await.unwrap();
        if found.len() >= count {
            return found;
        }
        ticks.tick().await;
    }
    panic!("the alerts are not written");
}

fn own(title: &str) -> Vec<u8> {
    json!({ "title": title, "severity": "high", "user": "ann" }).to_string().into_bytes()
}

#[test]
fn the_tests_key_is_the_one_of_the_secret() {
    assert_eq!(format!("whsec_{}", base64(&KEY)), SECRET);
}

#[tokio::test]
async fn each_outside_shape_becomes_an_alert_of_its_source() {
    let home = Home::start().await;
    let shapes = [
        ("portcullis", json!({ "title": "Two countries", "severity": "high", "user": "ann", "threats": ["T1078"] })),
        (
            "ocsf",
            json!({ "class_uid": 2004, "severity_id": 5, "finding_info": { "uid": "f1", "title": "Odd process" } }),
        ),
        ("ecs", json!({ "event": { "kind": "alert" }, "rule": { "name": "Beacon" }, "kibana.alert.severity": "low" })),
        ("crowdstrike", json!({ "composite_id": "c:1", "display_name": "Ransomware", "severity": 90 })),
        ("microsoft", json!({ "SystemAlertId": "s1", "AlertName": "Mass download", "AlertSeverity": "Medium" })),
    ];
    for (at, (shape, body)) in shapes.iter().enumerate() {
        let answer = deliver(&home, &format!("msg_{at}"), seconds(&home), body.to_string().as_bytes()).await;
        assert_eq!((answer.status, &answer.json()["shape"]), (202, &json!(shape)), "{answer:?}");
    }
    let mut titles: Vec<String> = written(&home, 5).await.into_iter().map(|alert| alert.title).collect();
    titles.sort();
    assert_eq!(titles, ["Beacon", "Mass download", "Odd process", "Ransomware", "Two countries"]);
}

#[tokio::test]
async fn what_is_not_signed_by_the_source_for_this_moment_is_refused() {
    let home = Home::start().await;
    let (now, body) = (seconds(&home), own("x"));
    let good = signature(&KEY, "m", now, &body);
    let send = async |path: &str, who: &Client, body: &[u8]| {
        let answer = home.send(who, "POST", path, body.to_vec()).await;
        (answer.status, answer.code())
    };
    let wrong = (401, "invalid_signature".to_owned());
    let siem = "/api/v1/ingest/siem";
    assert_eq!(send("/api/v1/ingest/other", &labelled("m", now, &good), &body).await, wrong);
    assert_eq!(send(siem, &labelled("m", now, &signature(&[7; 24], "m", now, &body)), &body).await, wrong);
    assert_eq!(send(siem, &labelled("n", now, &good), &body).await, wrong, "of another id");
    assert_eq!(send(siem, &labelled("m", now - 1, &good), &body).await, wrong, "of another time");
    assert_eq!(send(siem, &labelled("m", now, &good), &own("y")).await, wrong, "of another body");
    for signature in ["", "v1,", "v1,!!", &good[3..], &good.replace("v1", "v2")] {
        assert_eq!(send(siem, &labelled("m", now, signature), &body).await, wrong, "{signature}");
    }
    assert_eq!(send(siem, &Client::default(), &body).await, wrong);
    let twice = labelled("m", now, &good).with("webhook-id", "m");
    assert_eq!(send(siem, &twice, &body).await, wrong);
    for off in [-301, 301] {
        let answer = deliver(&home, "m", now + off, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "stale_timestamp"), "{off}");
    }
    // One of several signatures is enough: secrets change while deliveries go on.
    let several = format!("v1,AAAA {} {good}", signature(&[7; 24], "m", now, &body));
    assert_eq!(home.send(&labelled("m", now, &several), "POST", siem, body.clone()).await.status, 202);
    let page = labelled("p", now, &signature(&KEY, "p", now, &body)).with("origin", "https://evil.example");
    assert_eq!(send(siem, &page, &body).await, (403, "cross_origin".to_owned()));
    assert_eq!(written(&home, 1).await.len(), 1);
}

#[tokio::test]
async fn a_delivery_counts_once_and_one_that_was_not_taken_may_come_again() {
    let home = Home::start().await;
    let now = seconds(&home);
    assert_eq!(deliver(&home, "m1", now, &own("x")).await.status, 202);
    let again = deliver(&home, "m1", now, &own("x")).await;
    assert_eq!((again.status, again.code().as_str()), (409, "replayed"));
    home.later(299);
    assert_eq!(deliver(&home, "m1", now, &own("x")).await.code(), "replayed");
    home.later(2);
    assert_eq!(deliver(&home, "m1", now, &own("x")).await.code(), "stale_timestamp", "as soon as it is forgotten");
    let now = seconds(&home);
    for (body, status, code) in [
        ("{", 400, "invalid_json"),
        ("[]", 422, "alert_count"),
        ("[3]", 422, "unknown_shape"),
        (r#"{"hello":"you"}"#, 422, "unknown_shape"),
        (r#"{"title":"x","severity":"terrible"}"#, 422, "invalid_alert"),
        (r#"{"title":"x","severity":"low","unknown":1}"#, 422, "invalid_alert"),
    ] {
        let answer = deliver(&home, "m2", now, body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body}");
    }
    assert_eq!(deliver(&home, "m2", now, &own("y")).await.status, 202);
    assert_eq!(written(&home, 2).await.len(), 2);
}

#[tokio::test]
async fn a_source_is_bounded_in_size_and_rate_and_others_are_not_held_up() {
    const OTHER: [u8; 24] = [9; 24];
    let home = Home::tuned(HUB, |doors| {
        let source = |name: &str, key: &[u8]| IngestSource {
            name: name.to_owned(),
            secrets: vec![Secret::new(format!("whsec_{}", base64(key)))],
        };
        let options = IngestOptions { max_body: 1000, per_minute: 3, ..IngestOptions::default() };
        let sources = IngestSources::new(vec![source("siem", &KEY), source("other", &OTHER)], options).unwrap();
        doors.soc.as_mut().unwrap().ingest = sources;
    })
    .await;
    let now = seconds(&home);
    let large = deliver(&home, "large", now, &own(&"x".repeat(1000))).await;
    assert_eq!((large.status, large.code().as_str()), (413, "body_too_large"));
    // What is not signed takes nothing of the source's rate.
    for _ in 0..5 {
        home.send(&labelled("m", now, "v1,AAAA"), "POST", "/api/v1/ingest/siem", own("x")).await;
    }
    for id in ["a", "b", "c"] {
        assert_eq!(deliver(&home, id, now, &own(id)).await.status, 202);
    }
    let busy = deliver(&home, "d", now, &own("d")).await;
    assert_eq!((busy.status, busy.code().as_str()), (429, "too_many_alerts"));
    assert_eq!(busy.headers["retry-after"], "20");
    let body = own("of another");
    let other = labelled("d", now, &signature(&OTHER, "d", now, &body));
    assert_eq!(home.send(&other, "POST", "/api/v1/ingest/other", body).await.status, 202);
    home.later(20);
    assert_eq!(deliver(&home, "d", now, &own("d")).await.status, 202);
}

#[tokio::test]
async fn what_was_sent_is_shown_with_the_alert_and_folds_with_the_same() {
    let home = Home::start().await;
    let root = home.admin().await;
    let now = seconds(&home);
    for id in ["m1", "m2"] {
        assert_eq!(deliver(&home, id, now, &own("the same")).await.status, 202);
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let alert = loop {
        let alert = written(&home, 1).await.remove(0);
        if alert.count == 2 {
            break alert;
        }
        ticks.tick().await;
    };
    let shown = home.ask(&root, "GET", &format!("/api/v1/alerts/{}", alert.id), None).await.json();
    let raw: Value = serde_json::from_slice(&own("the same")).unwrap();
    assert_eq!((&shown["alert"]["raw"], &shown["alert"]["source"]), (&raw, &json!("siem")));
}

#[tokio::test]
async fn several_alerts_come_in_one_delivery_all_or_none() {
    let home = Home::start().await;
    let now = seconds(&home);
    let one = |title: &str| json!({ "title": title, "severity": "high", "user": title });
    let send = async |id: &str, body: Value| deliver(&home, id, now, body.to_string().as_bytes()).await;
    let bad = send("m1", json!([one("a"), { "severity": "high" }])).await;
    assert_eq!(
        (bad.status, bad.json()["error"]["message"].as_str().unwrap().contains("Alert 1")),
        (422, true),
        "{bad:?}"
    );
    assert_eq!(send("m1", json!([])).await.code(), "alert_count");
    let most = IngestOptions::default().max_alerts;
    assert_eq!(send("m1", vec![one("a"); most + 1].into()).await.code(), "alert_count");
    // More than may wait at once.
    assert_eq!(send("m1", vec![one("a"); 65].into()).await.code(), "soc_busy");
    let good = send("m1", json!([one("a"), one("b"), one("c")])).await;
    assert_eq!((good.status, good.json()), (202, json!({ "shape": "portcullis", "alerts": 3 })));
    let mut titles: Vec<String> = written(&home, 3).await.into_iter().map(|alert| alert.title).collect();
    titles.sort();
    assert_eq!(titles, ["a", "b", "c"]);
}

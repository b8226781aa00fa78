//! Exports over the API: how sinks stand, tests of them, and what receivers refused.

use std::sync::Arc;
use std::time::Duration;

use portcullis::control::audit::{self, Trail};
use portcullis::control::export::item::Item;
use portcullis::control::export::sinks::{Files, FilesOptions, Sink};
use portcullis::control::export::{Exports, Parts, Target};
use portcullis::store::export::DeadLetter;
use portcullis::store::{Database, Options, Vault};
use portcullis::telemetry::Metrics;
use portcullis::types::Secret;
use serde_json::json;
use tempfile::TempDir;

use crate::home::{HUB, Home};

/// An API with one sink that writes files there.
async fn home(folder: &TempDir) -> Home {
    let url = Secret::new(format!("sqlite://{}", folder.path().join("trail.db").display()));
    let options = audit::Options { directory: folder.path().join("trail"), ..audit::Options::default() };
    let trail = Trail::open(Database::open(&url, &Options::default()).await.unwrap(), options).await.unwrap();
    let lake = folder.path().join("lake");
    Home::tuned(HUB, |doors| {
        let parts = Parts {
            database: doors.soc.as_ref().unwrap().station.feed.database().clone(),
            trail,
            vault: Arc::new(Vault::new(&Options::default()).unwrap()),
            metrics: Metrics::new("test").unwrap(),
            every: Duration::from_secs(1),
            lease: Duration::from_secs(30),
            max_dead: 10,
            store: tokio::sync::OnceCell::new(),
        };
        let settings = toml::from_str("name = \"lake\"\nkind = \"ocsf\"\nkinds = [\"alert\", \"audit\"]").unwrap();
        let sink = Sink::Files(Files::new(FilesOptions {
            directory: lake,
            name: "lake".to_owned(),
            max_file: 1 << 20,
            rotate_every: Duration::from_secs(60),
            keep: 1,
        }));
        doors.exports = Some(Exports::new(parts, vec![Target { name: "lake".into(), settings, sink }]));
    })
    .await
}

#[tokio::test]
async fn a_sink_is_shown_and_tested_and_the_test_is_recorded() {
    let folder = TempDir::new().unwrap();
    let home = home(&folder).await;
    let root = home.admin().await;
    home.account(&root, "vera", &["viewer"]).await;
    let vera = home.signed_in("vera").await;
    let shown = home.ask(&vera, "GET", "/api/v1/exports", None).await.json();
    assert_eq!(shown["sinks"][0]["name"], "lake");
    assert_eq!((&shown["sinks"][0]["state"], &shown["sinks"][0]["kinds"]), (&json!("new"), &json!(["alert", "audit"])));
    assert_eq!(home.ask(&vera, "POST", "/api/v1/exports/lake/test", None).await.status, 403);
    let tested = home.ask(&root, "POST", "/api/v1/exports/lake/test", None).await;
    assert_eq!((tested.status, tested.json()), (200, json!({ "delivered": true })));
    let written = std::fs::read_to_string(folder.path().join("lake/lake.jsonl")).unwrap();
    assert!(written.contains("This is a test of the export sink lake"), "{written}");
    assert_eq!(home.ask(&root, "POST", "/api/v1/exports/other/test", None).await.status, 404);
    let notes: Vec<_> = home.rest.notes.lock().unwrap().iter().map(|note| (note.action, note.object.clone())).collect();
    assert_eq!(notes.last(), Some(&("export.test", "export/lake".to_owned())));
}

#[tokio::test]
async fn what_was_refused_is_listed_tried_again_and_removed_and_a_person_is_named_for_it() {
    let folder = TempDir::new().unwrap();
    let home = home(&folder).await;
    let root = home.admin().await;
    let mut item = Item::test("lake", "1", 5);
    item.title = "A refused alert".to_owned();
    item.message = "never shown".to_owned();
    for (seq, sink) in [(1, "lake"), (2, "gone")] {
        let letter = DeadLetter {
            id: format!("ded_{seq}"),
            sink: sink.to_owned(),
            source: "feed".to_owned(),
            seq,
            user: None,
            made: 7,
            tries: 1,
            again: false,
            reason: "status 400".to_owned(),
            body: serde_json::to_string(&item).unwrap(),
        };
        home.database.export_bury(&letter, 10).await.unwrap();
    }
    let page = home.ask(&root, "GET", "/api/v1/exports/dead-letters?limit=1", None).await.json();
    assert_eq!((&page["items"][0]["id"], &page["next"]), (&json!("ded_2"), &json!("ded_2")));
    let next = home.ask(&root, "GET", "/api/v1/exports/dead-letters?before=ded_2&sink=lake", None).await;
    let text = String::from_utf8_lossy(&next.body).into_owned();
    assert!(text.contains("A refused alert") && text.contains("status 400") && !text.contains("never shown"), "{text}");
    let retried = home.ask(&root, "POST", "/api/v1/exports/dead-letters/ded_1/retry", None).await;
    assert_eq!((retried.status, &retried.json()["waiting"]), (202, &json!(true)));
    assert!(home.database.export_dead_letter("ded_1").await.unwrap().unwrap().again);
    assert_eq!(home.ask(&root, "POST", "/api/v1/exports/dead-letters/ded_2/retry", None).await.code(), "no_such_sink");
    // What cannot be recorded is not done.
    home.rest.audit_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(home.ask(&root, "DELETE", "/api/v1/exports/dead-letters/ded_2", None).await.status, 503);
    home.rest.audit_fails.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(home.ask(&root, "DELETE", "/api/v1/exports/dead-letters/ded_2", None).await.status, 204);
    assert_eq!(home.ask(&root, "DELETE", "/api/v1/exports/dead-letters/ded_2", None).await.status, 404);
    let notes: Vec<_> = home.rest.notes.lock().unwrap().iter().map(|note| note.action).collect();
    assert!(notes.ends_with(&["export.retry", "export.forget"]), "{notes:?}");
}

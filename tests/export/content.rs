//! What is sent of requests and of the audit trail, and that words leave only where the settings say so.

use std::time::Duration;

use portcullis::control::audit::{Entry, Kind};
use portcullis::store::audit::AuditFilter;
use portcullis::store::{ContentMode, Item, Retention};
use portcullis::types::{Decision, Direction};
use serde_json::Value;

use crate::both;
use crate::delivery::hec;
use crate::home::{Home, until};
use crate::receiver::{Receiver, Seen, splunk};
use crate::rows::MONDAY;
use crate::site::{Site, record, settings};

both!(
    requests_that_were_not_let_through_and_the_audit_trail_are_sent,
    words_leave_only_where_the_settings_say_so,
    requests_that_are_not_kept_any_more_are_counted,
);

fn events(seen: &[Seen]) -> Vec<Value> {
    seen.iter().flat_map(Seen::values).map(|event| event["event"].clone()).collect()
}

async fn write(home: &Home, site: &Site, items: Vec<Item>) {
    let writer = home.writer(&site.database);
    for item in items {
        writer.important(item).await.unwrap();
    }
    writer.close(Duration::from_secs(10)).await.unwrap();
}

async fn requests_that_were_not_let_through_and_the_audit_trail_are_sent(home: Home) {
    let site = home.site().await;
    let receiver = Receiver::start(splunk).await;
    let running = site.run(settings("kind = \"splunk\"\nkinds = [\"record\", \"audit\"]"), hec(&receiver));
    site.until("it works", |state| state.worker.is_some()).await;
    let asked = [("req_a", Decision::Allow), ("req_f", Decision::Flag), ("req_b", Decision::Block)];
    write(&home, &site, asked.into_iter().map(|(id, decision)| record(id, decision)).collect()).await;
    let entry = Entry::new(Kind::ConfigChange, "acc_1", "configuration").detail("key", "value");
    site.trail.append(entry).await.unwrap();
    site.alert("alt_unwanted").await;
    let is = |event: &Value| event["unmapped"]["portcullis"]["kind"] == "config_change";
    until("they are there", || events(&receiver.seen()).iter().any(is)).await;
    let events = events(&receiver.seen());
    let records: Vec<&Value> = events.iter().filter(|event| event["metadata"]["log_name"] == "export").collect();
    let shown = |event: &Value| (event["finding_info"]["uid"].clone(), event["disposition"].clone());
    assert_eq!(
        records.iter().map(|event| shown(event)).collect::<Vec<_>>(),
        [("req_f".into(), "Alert".into()), ("req_b".into(), "Blocked".into())]
    );
    assert_eq!(records[1]["finding_info"]["analytic"]["uid"], "PC-PI-0001");
    assert_eq!(records[1]["evidences"][0]["actor"]["user"]["name"], "ann");
    let audited = events.iter().find(|event| is(event)).unwrap();
    assert_eq!(audited["actor"]["user"]["uid"], "acc_1");
    assert!(!events.iter().any(|event| event.to_string().contains("alt_unwanted")));
    running.end().await;
}

/// A blocked request whose prompt is kept.
async fn blocked(home: &Home, site: &Site, id: &str) {
    let content =
        site.vault.seal((id, Direction::Input), MONDAY, Some("ann"), ContentMode::Full, "SECRET WORDS").unwrap();
    write(home, site, vec![Item::Content(Box::new(content)), record(id, Decision::Block)]).await;
}

async fn reveals(site: &Site) -> usize {
    let filter = AuditFilter { kind: Some("content_reveal".to_owned()), ..AuditFilter::default() };
    site.database.audit_query(&filter, 10).await.unwrap().len()
}

async fn words_leave_only_where_the_settings_say_so(home: Home) {
    let site = home.site().await;
    let receiver = Receiver::start(splunk).await;
    let kinds = "kind = \"splunk\"\nkinds = [\"record\", \"alert\"]";
    let running = site.run(settings(kinds), hec(&receiver));
    blocked(&home, &site, "req_1").await;
    site.alert("alt_1").await;
    site.until("they are there", |state| state.delivered == 2).await;
    running.end().await;
    let text = format!("{:?}", receiver.seen());
    assert!(text.contains("req_1") && text.contains("alt_1") && !text.contains("SECRET WORDS"), "{text}");
    assert_eq!(reveals(&site).await, 0);
    // Where they may, it is written down before they leave.
    let running = site.run(settings(&format!("{kinds}\ncontent = true")), hec(&receiver));
    blocked(&home, &site, "req_2").await;
    let hash = site.vault.seal(("req_3", Direction::Input), MONDAY, None, ContentMode::Hash, "OTHER WORDS").unwrap();
    write(&home, &site, vec![Item::Content(Box::new(hash)), record("req_3", Decision::Block)]).await;
    site.until("they are there", |state| state.delivered == 4).await;
    let events = events(&receiver.seen());
    let of = |id: &str| events.iter().find(|event| event["finding_info"]["uid"] == id).unwrap();
    let kept = &of("req_2")["unmapped"]["portcullis"]["content"]["input"];
    assert_eq!((&kept["text"], &kept["mode"], &kept["whole"]), (&"SECRET WORDS".into(), &"full".into(), &true.into()));
    assert_eq!(of("req_3")["unmapped"]["portcullis"].get("content"), None, "a hash is no content");
    assert_eq!(reveals(&site).await, 1);
    running.end().await;
}

async fn requests_that_are_not_kept_any_more_are_counted(home: Home) {
    let site = home.site().await;
    let receiver = Receiver::start(splunk).await;
    write(&home, &site, ["req_1", "req_2"].map(|id| record(id, Decision::Block)).into()).await;
    let retention = Retention { requests: Some(Duration::ZERO), ..Retention::default() };
    site.database.sweep(MONDAY + 1, &retention, 1000).await.unwrap();
    write(&home, &site, vec![record("req_3", Decision::Block)]).await;
    let running = site.run(settings("kind = \"splunk\"\nkinds = [\"record\"]"), hec(&receiver));
    let state = site.until("it is there", |state| state.delivered == 1 && state.dropped > 0).await;
    assert_eq!((state.dropped, events(&receiver.seen()).len()), (2, 1));
    let metrics = site.metrics.render().unwrap();
    assert!(metrics.contains(r#"portcullis_export_items_total{result="lost",sink="siem"} 2"#), "{metrics}");
    running.end().await;
}

#[tokio::test]
async fn every_request_whose_words_leave_is_named_however_many_they_are() {
    let home = Home::sqlite();
    let site = home.site().await;
    let items = (0..450).flat_map(|number| {
        let id = format!("req_0000000000000000000000000000{number:04}");
        let place = (id.as_str(), Direction::Input);
        let content = site.vault.seal(place, MONDAY, None, ContentMode::Full, "WORDS").unwrap();
        [Item::Content(Box::new(content)), record(&id, Decision::Block)]
    });
    write(&home, &site, items.collect()).await;
    let receiver = Receiver::start(splunk).await;
    let text = "kind = \"splunk\"\nkinds = [\"record\"]\ncontent = true\nbatch = 1000\nbatch_bytes = \"64MiB\"";
    let running = site.run(settings(text), hec(&receiver));
    site.until("they are there", |state| state.delivered == 450).await;
    running.end().await;
    let filter = AuditFilter { kind: Some("content_reveal".to_owned()), ..AuditFilter::default() };
    let entries = site.database.audit_query(&filter, 100).await.unwrap();
    let body = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    let named: usize = entries.iter().map(|row| body(&row.body)["details"]["requests"].as_array().unwrap().len()).sum();
    assert_eq!(named, 450, "{} entries", entries.len());
}

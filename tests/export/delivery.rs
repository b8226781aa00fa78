//! Order, retries, dead letters, and what becomes of what waits.

use std::time::Duration;

use portcullis::control::export::sinks::{Elastic, Hec, Pager, Sink, Webhook};
use portcullis::store::Retention;
use portcullis::store::export::DeadPage;
use portcullis::types::Secret;
use serde_json::{Value, json};

use crate::both;
use crate::home::{Home, until};
use crate::receiver::{Receiver, Reply, Seen, splunk};
use crate::rows::MONDAY;
use crate::site::{http, settings};

both!(
    a_receiver_that_is_down_loses_nothing,
    a_refused_batch_is_halved_until_one_item_is_buried,
    a_dead_letter_is_tried_again_when_somebody_wants_it,
    beyond_the_backlog_the_oldest_are_given_up_and_counted,
    a_sink_goes_on_where_it_was,
);

const SECOND: Duration = Duration::from_secs(1);

pub fn hec(receiver: &Receiver) -> Sink {
    Sink::Splunk(Hec::new(http(SECOND), &receiver.url(), &Secret::new("t0ken"), None, None).unwrap())
}

const HEC: &str = "kind = \"splunk\"";

fn ids(seen: &[Seen]) -> Vec<String> {
    let about = |event: &Value| event["event"]["finding_info"]["uid"].as_str().unwrap_or_default().to_owned();
    seen.iter().flat_map(Seen::values).map(|event| about(&event)).collect()
}

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| format!("alt_{number:03}")).collect()
}

async fn a_receiver_that_is_down_loses_nothing(home: Home) {
    let site = home.site().await;
    let mut receiver = Receiver::down(splunk).await;
    let running = site.run(settings(HEC), hec(&receiver));
    site.alerts(numbered(0, 30).into_iter()).await;
    let state = site.until("it says what is wrong", |state| state.problem.is_some()).await;
    assert_eq!((state.delivered, state.problem.as_deref()), (0, Some("no connection, or it broke")));
    assert_eq!(running.exports.standings().await.unwrap()[0].backlog, 30);
    receiver.up().await;
    site.until("everything is there", |state| state.delivered == 30).await;
    // And once more, in the middle of the work.
    receiver.fall().await;
    site.alerts(numbered(30, 50).into_iter()).await;
    site.until("it is down again", |state| state.problem.is_some()).await;
    receiver.up().await;
    let state = site.until("everything is there", |state| state.delivered == 50).await;
    assert_eq!(ids(&receiver.seen()), numbered(0, 50), "in order, and each once");
    assert_eq!((state.problem, state.dropped), (None, 0));
    running.end().await;
}

/// Refuses bodies with the word in them.
fn refuses(word: &'static str) -> impl Fn(&Seen) -> Reply + Send + Sync {
    move |seen| {
        let text = String::from_utf8_lossy(&seen.body);
        if text.contains(word) { (400, r#"{"text":"Invalid data format","code":6}"#.to_owned()) } else { splunk(seen) }
    }
}

async fn a_refused_batch_is_halved_until_one_item_is_buried(home: Home) {
    let site = home.site().await;
    let receiver = Receiver::start(refuses("alt_013")).await;
    site.alerts(numbered(0, 40).into_iter()).await;
    let running = site.run(settings(HEC), hec(&receiver));
    site.until("the others are there", |state| state.delivered == 39).await;
    let taken: Vec<Seen> =
        receiver.seen().into_iter().filter(|seen| !String::from_utf8_lossy(&seen.body).contains("alt_013")).collect();
    let expected: Vec<String> = numbered(0, 40).into_iter().filter(|id| id != "alt_013").collect();
    assert_eq!(ids(&taken), expected, "in order, and each once");
    let dead = site.database.export_dead(&DeadPage { limit: 10, ..DeadPage::default() }).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].reason.as_str(), dead[0].user.as_deref()), ("status 400", Some("ann")));
    assert!(dead[0].body.contains("alt_013") && !dead[0].body.contains("SECRET WORDS"));
    // Whoever is erased is erased here too.
    running.end().await;
    assert_eq!(site.database.erase("ann", MONDAY).await.unwrap().exports, 1);
    site.until_dead(0).await;
}

async fn a_dead_letter_is_tried_again_when_somebody_wants_it(home: Home) {
    let site = home.site().await;
    let receiver = Receiver::start(refuses("alt_")).await;
    let running = site.run(settings(HEC), hec(&receiver));
    site.alert("alt_one").await;
    site.until_dead(1).await;
    let page = DeadPage { limit: 10, ..DeadPage::default() };
    let letter = site.database.export_dead(&page).await.unwrap().remove(0);
    assert!(site.database.export_retry(&letter.id).await.unwrap());
    let again = || async { site.database.export_dead_letter(&letter.id).await.unwrap().unwrap() };
    let mut now = again().await;
    while now.tries < 2 {
        now = again().await;
    }
    assert!(!now.again, "refused again, it waits for a person again");
    receiver.play(splunk);
    assert!(site.database.export_retry(&letter.id).await.unwrap());
    site.until_dead(0).await;
    assert_eq!(ids(&receiver.seen()).last().map(String::as_str), Some("alt_one"));
    site.until("it is counted", |state| state.delivered == 1).await;
    // No more of them than the settings allow: the newest.
    receiver.play(refuses("alt_"));
    site.alerts(numbered(0, 5).into_iter()).await;
    let newest = || async { site.database.export_dead(&page).await.unwrap() };
    let mut dead = newest().await;
    while !dead.first().is_some_and(|letter| letter.body.contains("alt_004")) {
        dead = newest().await;
    }
    assert_eq!(dead.len(), 3);
    assert!(dead[0].body.contains("alt_004") && dead[2].body.contains("alt_002"));
    running.end().await;
}

async fn beyond_the_backlog_the_oldest_are_given_up_and_counted(home: Home) {
    let site = home.site().await;
    let receiver = Receiver::start(splunk).await;
    site.alerts(numbered(0, 20).into_iter()).await;
    let running = site.run(settings("kind = \"splunk\"\nmax_backlog = 6"), hec(&receiver));
    let state = site.until("the newest are there", |state| state.delivered == 6).await;
    assert_eq!((ids(&receiver.seen()), state.dropped), (numbered(14, 20), 14));
    let metrics = site.metrics.render().unwrap();
    assert!(metrics.contains(r#"portcullis_export_items_total{result="dropped",sink="siem"} 14"#), "{metrics}");
    assert!(metrics.contains(r#"portcullis_export_items_total{result="sent",sink="siem"} 6"#), "{metrics}");
    running.end().await;
    // What the store did not keep is counted as well.
    site.alerts(numbered(20, 24).into_iter()).await;
    let retention = Retention { feed: Some(Duration::ZERO), ..Retention::default() };
    site.database.sweep(i64::MAX, &retention, 1000).await.unwrap();
    let running = site.run(settings("kind = \"splunk\"\non_overflow = \"keep\""), hec(&receiver));
    site.until("what is lost is counted", |state| state.dropped == 18).await;
    site.alert("alt_after").await;
    site.until("it goes on", |state| state.delivered == 7).await;
    running.end().await;
}

async fn a_sink_goes_on_where_it_was(home: Home) {
    let site = home.site().await;
    let receiver = Receiver::start(splunk).await;
    let running = site.run(settings(HEC), hec(&receiver));
    site.alerts(numbered(0, 5).into_iter()).await;
    site.until("they are there", |state| state.delivered == 5).await;
    running.end().await;
    assert_eq!(site.state().await.unwrap().worker, None, "it was given back");
    site.alerts(numbered(5, 9).into_iter()).await;
    let running = site.run(settings(HEC), hec(&receiver));
    site.until("the others are there", |state| state.delivered == 9).await;
    assert_eq!(ids(&receiver.seen()), numbered(0, 9));
    running.end().await;
}

#[tokio::test]
async fn a_sink_without_backfill_begins_with_what_is_new() {
    let home = Home::sqlite();
    let site = home.site().await;
    site.alert("alt_old").await;
    let receiver = Receiver::start(splunk).await;
    let running = site.run(settings(HEC.to_owned().as_str()).without_backfill(), hec(&receiver));
    site.until("it is known", |_| true).await;
    site.alert("alt_new").await;
    site.until("the new one is there", |state| state.delivered == 1).await;
    assert_eq!(ids(&receiver.seen()), ["alt_new"]);
    running.end().await;
}

trait WithoutBackfill {
    fn without_backfill(self) -> Self;
}

impl WithoutBackfill for portcullis::config::export_settings::ExportSink {
    fn without_backfill(mut self) -> Self {
        self.backfill = false;
        self
    }
}

#[tokio::test]
async fn busy_receivers_and_receivers_with_trouble_get_it_later() {
    let home = Home::sqlite();
    let site = home.site().await;
    let receiver = Receiver::start(|_| (429, String::new())).await;
    let running = site.run(settings(HEC), hec(&receiver));
    site.alert("alt_one").await;
    site.until("it is told", |state| state.problem.as_deref() == Some("status 429")).await;
    receiver.play(|_| (503, String::new()));
    site.until("it is told", |state| state.problem.as_deref() == Some("status 503")).await;
    receiver.play(splunk);
    let state = site.until("it is there", |state| state.delivered == 1).await;
    assert_eq!(state.problem, None);
    site.until_dead(0).await;
    running.end().await;
}

#[tokio::test]
async fn a_wrong_key_and_a_redirect_bury_nothing_and_are_not_followed() {
    let home = Home::sqlite();
    let site = home.site().await;
    let receiver = Receiver::start(|_| (401, String::new())).await;
    let running = site.run(settings(HEC), hec(&receiver));
    site.alerts(numbered(0, 3).into_iter()).await;
    site.until("it is told", |state| state.problem.as_deref() == Some("status 401")).await;
    receiver.play(|_| (302, String::new()));
    site.until("it is told", |state| state.problem.as_deref() == Some("status 302")).await;
    site.until_dead(0).await;
    receiver.play(splunk);
    site.until("they are there", |state| state.delivered == 3).await;
    running.end().await;
}

#[tokio::test]
async fn a_receiver_that_is_set_up_otherwise_buries_nothing_whatever_the_status() {
    let home = Home::sqlite();
    let site = home.site().await;
    let receiver =
        Receiver::start(|_| (400, r#"{"text":"Incorrect index","code":7,"invalid-event-number":0}"#.to_owned())).await;
    let running = site.run(settings(HEC), hec(&receiver));
    site.alerts(numbered(0, 3).into_iter()).await;
    let what = "status 400: there is no such index for this token (code 7)";
    site.until("it is told", |state| state.problem.as_deref() == Some(what)).await;
    receiver.play(splunk);
    site.until("they are there", |state| state.delivered == 3).await;
    site.until_dead(0).await;
    running.end().await;
    // The same of a key of PagerDuty's.
    let wrong =
        r#"{"status":"invalid event","message":"Event object is invalid","errors":["'routing_key' is invalid"]}"#;
    let receiver = Receiver::start(|_| (400, wrong.to_owned())).await;
    let key = Secret::new("0123456789abcdef0123456789abcdef");
    let pager = Pager::new(http(SECOND), key, Some(&receiver.url())).unwrap();
    let running = site.run(settings("kind = \"pagerduty\""), Sink::Pager(pager));
    site.alert("alt_003").await;
    site.until("it is told", |state| state.problem.as_deref() == Some("status 400: the routing key is none")).await;
    receiver.play(|_| (202, String::new()));
    site.until("it is there", |state| state.delivered == 4).await;
    site.until_dead(0).await;
    running.end().await;
}

#[tokio::test]
async fn a_sink_is_not_said_to_fail_when_nothing_is_in_its_way_any_more() {
    let home = Home::sqlite();
    let site = home.site().await;
    let mut receiver = Receiver::down(splunk).await;
    let running = site.run(settings(HEC), hec(&receiver));
    site.alert("alt_one").await;
    site.until("it fails", |state| state.problem.is_some()).await;
    running.end().await;
    // What could not be sent is not wanted any more: there is no success that would tell.
    receiver.up().await;
    let running = site.run(settings("kind = \"splunk\"\nmin_severity = \"critical\""), hec(&receiver));
    let state = site.until("it does not fail", |state| state.problem.is_none()).await;
    assert_eq!((state.delivered, state.problem_at), (0, None));
    running.end().await;
}

/// Answers as `_bulk` does, with a status for each item.
fn bulk(status: impl Fn(&str) -> u16 + Send + Sync + 'static) -> impl Fn(&Seen) -> Reply + Send + Sync {
    move |seen| {
        let values = seen.values();
        let items: Vec<Value> = values
            .chunks(2)
            .map(|pair| {
                let status = status(pair[1]["finding_info"]["uid"].as_str().unwrap());
                json!({ "create": { "_id": pair[0]["create"]["_id"], "status": status, "error": { "type": "e" } } })
            })
            .collect();
        (200, json!({ "errors": true, "items": items }).to_string())
    }
}

#[tokio::test]
async fn each_item_of_a_bulk_has_a_fate_of_its_own() {
    let home = Home::sqlite();
    let site = home.site().await;
    let sure = bulk(|id| match id {
        "alt_002" => 400,
        "alt_003" => 409,
        "alt_005" => 429,
        _ => 201,
    });
    let receiver = Receiver::start(sure).await;
    let sink = Elastic::new(http(SECOND), &receiver.url(), "logs-portcullis", None, Some(&Secret::new("k"))).unwrap();
    let running = site.run(settings("kind = \"elasticsearch\"\nindex = \"logs-portcullis\""), Sink::Elastic(sink));
    site.alerts(numbered(0, 8).into_iter()).await;
    site.until("it is told", |state| state.problem.as_deref() == Some("status 429: e")).await;
    site.until_dead(1).await;
    until("it is tried again", || receiver.seen().len() > 1).await;
    let seen = receiver.seen();
    assert_eq!((seen[0].path.as_str(), seen[0].header("authorization")), ("/logs-portcullis/_bulk", "ApiKey k"));
    assert_eq!(seen[0].header("content-type"), "application/x-ndjson");
    assert!(seen[0].body.ends_with(b"\n"));
    let again = seen.last().unwrap().values();
    assert_eq!(again[1]["finding_info"]["uid"], "alt_005", "it goes on with the first that waits");
    receiver.play(bulk(|id| if matches!(id, "alt_006" | "alt_007") { 409 } else { 201 }));
    site.until("all are there", |state| state.delivered >= 7).await;
    // The same id whenever it is sent.
    let id = |values: &[Value], about: &str| {
        let found = values.chunks(2).find(|pair| pair[1]["finding_info"]["uid"] == about);
        found.map(|pair| pair[0]["create"]["_id"].clone())
    };
    assert_eq!(id(&seen[0].values(), "alt_005"), id(&again, "alt_005"));
    assert_eq!(id(&seen[0].values(), "alt_005"), Some(again[1]["metadata"]["uid"].clone()));
    site.until_dead(1).await;
    running.end().await;
}

#[tokio::test]
async fn a_webhook_gets_one_message_for_each_signed_by_both_keys() {
    let home = Home::sqlite();
    let site = home.site().await;
    let receiver = Receiver::start(|_| (204, String::new())).await;
    let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"];
    let keys = secrets.map(Secret::new);
    let sink = Webhook::new(http(SECOND), &format!("{}/hook", receiver.url()), &keys).unwrap();
    let running = site.run(settings("kind = \"webhook\"\nmin_severity = \"high\""), Sink::Webhook(sink));
    site.alerts(numbered(0, 3).into_iter()).await;
    site.close("alt_001").await;
    until("they are there", || receiver.seen().len() == 4).await;
    let seen = receiver.seen();
    let types: Vec<Value> = seen.iter().map(|seen| seen.json()["type"].clone()).collect();
    assert_eq!(types, ["alert.created", "alert.created", "alert.created", "alert.ended"]);
    assert_eq!(seen[3].json()["data"]["alert"]["closed"]["reason"], "resolved");
    for seen in &seen {
        let (id, time) = (seen.header("webhook-id"), seen.header("webhook-timestamp"));
        let signed = [format!("{id}.{time}.").as_bytes(), &seen.body].concat();
        let expected: Vec<String> = secrets
            .iter()
            .map(|secret| {
                let key = portcullis::types::unbase64(secret.strip_prefix("whsec_").unwrap()).unwrap();
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
                format!("v1,{}", portcullis::types::base64(aws_lc_rs::hmac::sign(&key, &signed).as_ref()))
            })
            .collect();
        assert_eq!(seen.header("webhook-signature"), expected.join(" "));
    }
    let mut ids: Vec<&str> = seen.iter().map(|seen| seen.header("webhook-id")).collect();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each change is a message of its own");
    running.end().await;
}

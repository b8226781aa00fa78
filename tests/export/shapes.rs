//! What each receiver is sent, as it reads it.

use std::time::Duration;

use portcullis::control::export::sinks::{Files, FilesOptions, Hec, Otlp, Pager, Posts, Sink};
use portcullis::types::Secret;
use prost::Message as _;
use serde_json::{Value, json};

use crate::home::{Home, until};
use crate::receiver::{Receiver, Seen, splunk};
use crate::site::{http, settings};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn splunk_gets_events_and_says_when_they_are_indexed() {
    let home = Home::sqlite();
    let site = home.site().await;
    let receiver = Receiver::start(|seen: &Seen| {
        if seen.path.ends_with("/ack") { (200, r#"{"acks":{"7":true}}"#.to_owned()) } else { splunk(seen) }
    })
    .await;
    let index = Some("security".to_owned());
    let sink = Hec::new(http(SECOND), &receiver.url(), &Secret::new("t0ken"), index, Some(SECOND)).unwrap();
    let running = site.run(settings("kind = \"splunk\"\nack = true"), Sink::Splunk(sink));
    site.alert("alt_1").await;
    site.until("it is there", |state| state.delivered == 1).await;
    let seen = receiver.seen();
    assert_eq!((seen[0].path.as_str(), seen[0].header("authorization")), ("/services/collector/event", "Splunk t0ken"));
    let event = &seen[0].values()[0];
    assert_eq!((&event["index"], &event["sourcetype"]), (&json!("security"), &json!("ocsf:json")));
    assert_eq!((&event["event"]["class_uid"], &event["event"]["severity_id"]), (&json!(2004), &json!(4)));
    assert!(event["time"].as_f64().unwrap() > 1e9);
    assert_eq!((seen[1].path.as_str(), seen[1].json()), ("/services/collector/ack", json!({ "acks": [7] })));
    let channel = |seen: &Seen| seen.header("x-splunk-request-channel").to_owned();
    assert!(!channel(&seen[0]).is_empty() && channel(&seen[0]) == channel(&seen[1]));
    running.end().await;
}

#[tokio::test]
async fn pagerduty_opens_and_resolves_by_the_same_key_and_a_test_opens_nothing() {
    let home = Home::sqlite();
    let site = home.site().await;
    let receiver = Receiver::start(|_| (202, "{}".to_owned())).await;
    let sink = Pager::new(http(SECOND), Secret::new("r0uting"), Some(&receiver.url())).unwrap();
    let running = site.run(settings("kind = \"pagerduty\"\nchanges = false"), Sink::Pager(sink));
    site.alert("alt_1").await;
    site.close("alt_1").await;
    until("both are there", || receiver.seen().len() == 2).await;
    let said: Vec<Value> = receiver.seen().iter().map(Seen::json).collect();
    let word = |at: usize, key: &str| said[at][key].as_str().unwrap().to_owned();
    assert_eq!((word(0, "event_action"), word(1, "event_action")), ("trigger".into(), "resolve".into()));
    assert_eq!((word(0, "dedup_key"), word(1, "dedup_key")), ("alt_1".into(), "alt_1".into()));
    assert_eq!((word(0, "routing_key").as_str(), &said[0]["payload"]["severity"]), ("r0uting", &json!("error")));
    running.exports.test("siem").await.unwrap();
    assert_eq!(receiver.seen().last().unwrap().json()["event_action"], "resolve");
    assert!(running.exports.test("other").await.unwrap_err().is_none());
    running.end().await;
}

#[tokio::test]
async fn slack_gets_plain_text_in_blocks_and_a_test_says_so() {
    let home = Home::sqlite();
    let site = home.site().await;
    let receiver = Receiver::start(|_| (200, "ok".to_owned())).await;
    let sink = Posts::new(http(SECOND), Secret::new(format!("{}/T0/B0/key", receiver.url()))).unwrap();
    let running = site.run(settings("kind = \"slack\""), Sink::Slack(sink));
    site.alert("<!channel>").await;
    until("it is there", || receiver.seen().len() == 1).await;
    let said = receiver.seen()[0].json();
    assert_eq!(said["blocks"][0]["text"]["type"], "plain_text");
    assert!(said["blocks"][0]["text"]["text"].as_str().unwrap().contains("<!channel>"));
    assert!(!said["text"].as_str().unwrap().contains('<'), "{said}");
    running.exports.test("siem").await.unwrap();
    assert!(receiver.seen()[1].json().to_string().contains("This is a test of the export sink siem"));
    receiver.play(|_| (404, String::new()));
    let trouble = running.exports.test("siem").await.unwrap_err().unwrap();
    assert_eq!(trouble.what, "status 404");
    running.end().await;
}

#[tokio::test]
async fn a_file_has_an_event_in_each_line() {
    let home = Home::sqlite();
    let site = home.site().await;
    let directory = home.folder.path().join("lake");
    let options = FilesOptions {
        directory: directory.clone(),
        name: "siem".to_owned(),
        max_file: 1 << 20,
        rotate_every: Duration::from_secs(3600),
        keep: 2,
    };
    let running = site.run(settings("kind = \"ocsf\""), Sink::Files(Files::new(options)));
    site.alerts((0..3).map(|number| format!("alt_{number}"))).await;
    site.until("they are there", |state| state.delivered == 3).await;
    let text = std::fs::read_to_string(directory.join("siem.jsonl")).unwrap();
    let ids: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["finding_info"]["uid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["alt_0", "alt_1", "alt_2"]);
    running.end().await;
}

/// As much of OTLP as is looked at, written down a second time.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(message, repeated, tag = "1")]
        pub resource_logs: Vec<ResourceLogs>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ResourceLogs {
        #[prost(message, repeated, tag = "2")]
        pub scope_logs: Vec<ScopeLogs>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ScopeLogs {
        #[prost(message, repeated, tag = "2")]
        pub log_records: Vec<LogRecord>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct LogRecord {
        #[prost(fixed64, tag = "1")]
        pub time_unix_nano: u64,
        #[prost(int32, tag = "2")]
        pub severity_number: i32,
        #[prost(string, tag = "3")]
        pub severity_text: String,
        #[prost(message, optional, tag = "5")]
        pub body: Option<AnyValue>,
        #[prost(message, repeated, tag = "6")]
        pub attributes: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct KeyValue {
        #[prost(string, tag = "1")]
        pub key: String,
        #[prost(message, optional, tag = "2")]
        pub value: Option<AnyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct AnyValue {
        #[prost(string, optional, tag = "1")]
        pub string_value: Option<String>,
        #[prost(int64, optional, tag = "3")]
        pub int_value: Option<i64>,
        #[prost(message, optional, tag = "6")]
        pub kvlist_value: Option<KeyValueList>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct KeyValueList {
        #[prost(message, repeated, tag = "1")]
        pub values: Vec<KeyValue>,
    }
}

#[tokio::test]
async fn a_collector_gets_log_records_in_protobuf() {
    let home = Home::sqlite();
    let site = home.site().await;
    let receiver = Receiver::start(|_| (200, String::new())).await;
    let token = Secret::new("t0ken");
    let sink = Otlp::new(http(SECOND), &receiver.url(), "gw".to_owned(), None, Some(&token)).unwrap();
    let running = site.run(settings("kind = \"otlp\""), Sink::Otlp(sink));
    site.alerts(["alt_1", "alt_2"].map(str::to_owned).into_iter()).await;
    site.until("they are there", |state| state.delivered == 2).await;
    let seen = receiver.seen().remove(0);
    assert_eq!((seen.path.as_str(), seen.header("content-type")), ("/v1/logs", "application/x-protobuf"));
    assert_eq!(seen.header("authorization"), "Bearer t0ken");
    let request = wire::Request::decode(seen.body).unwrap();
    let records = &request.resource_logs[0].scope_logs[0].log_records;
    assert_eq!((records.len(), records[0].severity_number, records[0].severity_text.as_str()), (2, 17, "HIGH"));
    let about = records[0].attributes.iter().find(|pair| pair.key == "portcullis.about").unwrap();
    assert_eq!(about.value.as_ref().unwrap().string_value.as_deref(), Some("alt_1"));
    let body = records[0].body.as_ref().unwrap().kvlist_value.as_ref().unwrap();
    let class = body.values.iter().find(|pair| pair.key == "class_uid").unwrap();
    assert_eq!(class.value.as_ref().unwrap().int_value, Some(2004));
    running.end().await;
}

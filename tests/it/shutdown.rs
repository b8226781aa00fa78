//! SIGTERM: readiness first, streams end whole, late ones end properly, and the process ends with success.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::Request;
use serde_json::json;

use crate::support::answers::{self, chat_chunk};
use crate::support::client::{Answer, ask, ask_streamed, collect, joined, open, send};
use crate::support::gateway::{Gateway, Setup};
use crate::support::mock::{Act, Mock};
use crate::support::{until, within};

fn prose(text: &str) -> Act {
    answers::chunk(format!("data: {}\n\n", chat_chunk(0, json!({"content": text}), None)).as_bytes())
}

async fn ready(gateway: &Gateway) -> Answer {
    send(gateway.ops, Request::get("/readyz").header("host", "ops").body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn a_running_stream_ends_whole_and_the_process_with_success() {
    let mock = Mock::start(vec![
        answers::stream_head(),
        prose("first "),
        Act::Wait,
        prose("last"),
        answers::chunk(b"data: [DONE]\n\n"),
        answers::last_chunk(),
    ])
    .await;
    let mut gateway =
        Setup::before(mock.address).server("drain_delay = \"700ms\"\ndrain_deadline = \"10s\"\n").start().await;
    assert_eq!(ready(&gateway).await.status, 200);
    let mut response = open(gateway.address, ask_streamed("hello")).await.unwrap();
    within(5, response.body_mut().frame()).await.expect("a first event").expect("no error");
    gateway.signal("TERM");
    within(3, async {
        while ready(&gateway).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // Readiness is off, and for a moment still whoever comes is served.
    mock.play(answers::json_body(200, &answers::chat("ok")));
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(tokio::net::TcpStream::connect(gateway.address).await.is_err(), "no longer accepting");
    assert!(gateway.is_running(), "the stream is still running");
    mock.go_on();
    let rest = within(5, collect(response)).await;
    assert!(rest.complete && rest.text().contains("[DONE]"), "{}", rest.text());
    assert!(joined(&rest.events(), "/choices/0/delta/content").ends_with("last"));
    assert_eq!(gateway.exit_code(5).await, Some(0));
    let records = gateway.records();
    assert_eq!(records.len(), 2, "every record is on disk when the process ends: {records:?}");
    assert!(records.iter().all(|record| record["outcome"] == "served"), "{records:?}");
}

#[tokio::test]
async fn a_stream_beyond_the_deadline_is_ended_as_an_error_and_recorded() {
    let mock = Mock::start(vec![answers::stream_head(), prose("first "), Act::Hang]).await;
    let mut gateway =
        Setup::before(mock.address).server("drain_delay = \"0ms\"\ndrain_deadline = \"500ms\"\n").start().await;
    let response = open(gateway.address, ask_streamed("hello")).await.unwrap();
    until(5, "the upstream to be asked", || (mock.count() == 1).then_some(())).await;
    let started = Instant::now();
    gateway.signal("TERM");
    let got = within(8, collect(response)).await;
    assert!(!got.text().contains("\"stop\""), "{}", got.text());
    assert!(got.text().contains("\"error\"") && got.complete, "it says why it ends: {}", got.text());
    assert_eq!(gateway.exit_code(5).await, Some(0));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let records = gateway.records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["outcome"], "cut");
}

#[tokio::test]
async fn a_second_signal_ends_it_now() {
    let mock = Mock::start(vec![answers::stream_head(), prose("first "), Act::Hang]).await;
    let mut gateway =
        Setup::before(mock.address).server("drain_delay = \"0ms\"\ndrain_deadline = \"60s\"\n").start().await;
    let response = open(gateway.address, ask_streamed("hello")).await.unwrap();
    until(5, "the upstream to be asked", || (mock.count() == 1).then_some(())).await;
    gateway.signal("TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(gateway.is_running());
    let started = Instant::now();
    gateway.signal("TERM");
    gateway.exit_code(3).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    drop(response);
    assert_eq!(gateway.records().len(), 1, "what it cut is recorded");
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let mut gateway =
        Setup::before(mock.address).server("drain_delay = \"0ms\"\ndrain_deadline = \"30s\"\n").start().await;
    let mut connection = crate::support::client::Connection::to(gateway.address).await;
    assert_eq!(connection.send(ask("hello")).await.unwrap().status, 200);
    let _silent = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let started = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(10).await, Some(0));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

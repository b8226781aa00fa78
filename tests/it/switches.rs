//! What the operators switch at run time: monitoring off for a time, and callers judged more strictly.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis::config::Orders;
use portcullis::types::soc::MonitoringOff;
use portcullis::types::{Decision, Measure, Order, Subject};

use crate::inside::Inside;
use crate::support::answers;
use crate::support::client::{ask, ask_streamed, send};
use crate::support::mock::Mock;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64
}

fn switch(inside: &Inside, until: Option<i64>) {
    let off = until.map(|until| Arc::new(MonitoringOff { until, by: "acc_1".into(), since: 0 }));
    inside.handle.amend(|snapshot| snapshot.monitoring.clone_from(&off));
}

#[tokio::test]
async fn while_monitoring_is_off_attacks_and_leaks_pass_and_the_records_say_so() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("a leak-12345678 here"))).await;
    let inside = Inside::before(mock.address, "", "");
    send(inside.address, ask("attack-marker")).await.assert_error(400, "content_filter");
    assert!(!inside.record().await.monitoring_off);
    switch(&inside, Some(now() + 3_600_000_000));
    inside.reload();
    let got = send(inside.address, ask("attack-marker")).await;
    assert!(got.status == 200 && got.text().contains("leak-12345678"), "{}", got.text());
    let record = inside.record().await;
    assert!(record.monitoring_off && record.input.is_none() && record.output.is_none());
    assert!(record.request_bytes.exempt > 0 && record.request_bytes.inspected == 0);
    assert_eq!((record.response_bytes.exempt, record.response_bytes.inspected), (got.body.len() as u64, 0));
    let stream = answers::chat_stream(&["a leak-1234", "5678 here"]);
    mock.play(answers::stream(stream.as_bytes(), 50));
    assert_eq!(send(inside.address, ask_streamed("attack-marker")).await.text(), stream, "byte for byte");
    let record = inside.record().await;
    assert!(record.monitoring_off && record.response_bytes.exempt == stream.len() as u64);
    switch(&inside, None);
    send(inside.address, ask("attack-marker")).await.assert_error(400, "content_filter");
}

#[tokio::test]
async fn monitoring_comes_back_by_itself() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let inside = Inside::before(mock.address, "", "");
    switch(&inside, Some(now() - 1));
    send(inside.address, ask("attack-marker")).await.assert_error(400, "content_filter");
    let record = inside.record().await;
    assert!(!record.monitoring_off && record.decision == Decision::Block);
    let off = MonitoringOff { until: 10, by: "acc_1".into(), since: 0 };
    assert!(off.holds(9) && !off.holds(10));
}

#[tokio::test]
async fn a_caller_under_an_order_that_tightens_is_judged_by_the_strict_thresholds() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    // The marker scores 10.
    let lenient = "[[policies]]\nname = \"all\"\nmatch = {}\nsecurity = \"default\"\nflag_at = 12\nblock_at = 14\n\
                   families = { prompt_injection = { action = \"score\" } }\n";
    let inside = Inside::before(mock.address, lenient, "");
    assert_eq!(send(inside.address, ask("attack-marker")).await.status, 200);
    let forwarded = mock.last().body;
    let tighten = |expires: Option<i64>| {
        let subject = Subject::Network { address: "127.0.0.0".parse().unwrap(), prefix: 8 };
        let (reason, made_by) = ("".into(), "".into());
        let order = Order { id: "ord_1".into(), subject, measure: Measure::Tighten, reason, made_by, made: 0, expires };
        let orders = Arc::new(Orders::new([order]));
        inside.handle.amend(|snapshot| snapshot.orders = Arc::clone(&orders));
    };
    tighten(None);
    send(inside.address, ask("attack-marker")).await.assert_error(400, "content_filter");
    let clean = send(inside.address, ask("hello")).await;
    assert_eq!(clean.status, 200, "it refuses nothing by itself");
    assert_eq!(
        String::from_utf8_lossy(&forwarded).replace("attack-marker", "hello"),
        String::from_utf8_lossy(&mock.last().body)
    );
    tighten(Some(now() - 1));
    assert_eq!(send(inside.address, ask("attack-marker")).await.status, 200);
}

//! Several replicas, one of which works on a sink.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis::control::export::sinks::{Hec, Sink};
use portcullis::types::Secret;
use serde_json::Value;

use crate::both;
use crate::delivery::hec;
use crate::home::Home;
use crate::receiver::{Receiver, Seen, splunk};
use crate::site::{http, settings};

both!(
    one_replica_sends_and_another_takes_over_when_it_ends,
    another_takes_over_from_one_that_died_when_its_lease_is_over,
);

const HEC: &str = "kind = \"splunk\"";

fn ids(seen: &[Seen]) -> Vec<Value> {
    seen.iter().flat_map(Seen::values).map(|event| event["event"]["finding_info"]["uid"].clone()).collect()
}

async fn one_replica_sends_and_another_takes_over_when_it_ends(home: Home) {
    let (one, other) = (home.site().await, home.site().await);
    let receiver = Receiver::start(splunk).await;
    let first = one.run(settings(HEC), hec(&receiver));
    one.until("one works", |state| state.worker.is_some()).await;
    let worker = one.state().await.unwrap().worker;
    let second = other.run(settings(HEC), hec(&receiver));
    for number in 0..20 {
        other.alert(&format!("alt_{number}")).await;
    }
    let state = one.until("they are there", |state| state.delivered == 20).await;
    assert_eq!(state.worker, worker, "the same one throughout");
    first.end().await;
    for number in 20..30 {
        one.alert(&format!("alt_{number}")).await;
    }
    let state = one.until("the other goes on", |state| state.delivered == 30).await;
    assert!(state.worker.is_some() && state.worker != worker);
    let seen = ids(&receiver.seen());
    let expected: Vec<Value> = (0..30).map(|number| format!("alt_{number}").into()).collect();
    assert_eq!(seen, expected, "in order, and each once");
    second.end().await;
}

async fn another_takes_over_from_one_that_died_when_its_lease_is_over(home: Home) {
    let (mut one, mut other) = (home.site().await, home.site().await);
    let receiver = Receiver::start(splunk).await;
    let short = Duration::from_millis(100);
    (one.lease, other.lease) = (short, short);
    let sink = || {
        let token = Secret::new("t0ken");
        Sink::Splunk(Hec::new(http(Duration::from_secs(1)), &receiver.url(), &token, None, None).unwrap())
    };
    let keys = "kind = \"splunk\"\ntimeout = \"200ms\"";
    let first = one.run(settings(keys), sink());
    one.alert("alt_one").await;
    let state = one.until("it is there", |state| state.delivered == 1).await;
    first.kill().await;
    assert_eq!(one.state().await.unwrap().worker, state.worker, "it could not give it back");
    one.alert("alt_two").await;
    let second = other.run(settings(keys), sink());
    let after = other.until("the other takes over", |state| state.delivered == 2).await;
    assert!(after.worker != state.worker);
    let seen: BTreeSet<String> = ids(&receiver.seen()).iter().map(ToString::to_string).collect();
    assert_eq!(seen.len(), 2);
    second.end().await;
}

//! What is written is there again, as it was, and stays verifiable.

use std::time::Duration;

use portcullis::control::audit::chain::{Body, details};
use portcullis::control::audit::{AuditError, Entry, Kind, Options, Outcome, Receipt, Trail};
use portcullis::store::audit::AuditFilter;
use serde_json::{Value, json};

use crate::both;
use crate::home::{Home, entry, seq};

both!(
    odd_values_verify_after_a_round_trip,
    a_chain_goes_on_after_a_restart,
    the_same_entry_is_written_once,
    pages_and_filters_find_records,
    erasing_a_person_leaves_the_chain_valid,
    a_new_key_is_introduced_by_the_old_one,
    checkpoints_come_by_time_too,
    many_appends_share_a_transaction,
);

async fn odd_values_verify_after_a_round_trip(home: Home) {
    let trail = home.open().await;
    let odd = [
        "",
        "\0",
        "a\0b",
        "\u{1}\u{1f}\u{7f}",
        "é\u{301}",
        "\u{feff}",
        "\u{fffd}\u{ffff}\u{10ffff}",
        "\u{202e}abc",
        "line\nbreak\r\t",
        "\\\"quote'",
        "𝒳😀",
        "null",
        "%s{}$1",
    ];
    let times = [0, -1, i64::MIN, i64::MAX, 1_763_719_507_123_456_789, 9_007_199_254_740_993];
    let mut written = Vec::new();
    for text in odd {
        for time in times {
            let entry = Entry::new(Kind::Login, text, text)
                .at(time)
                .outcome(Outcome::Failure)
                .request(text)
                .detail("nanoseconds", 1_763_719_507_123_456_789_i64)
                .detail("big", u64::MAX)
                .detail("fraction", 0.1)
                .detail(text, json!({"nested": [text, null, true, {"deeper": text}]}))
                .personal("user", text)
                .personal("note", json!([text]));
            written.push((seq(trail.append(entry.clone()).await.unwrap()), entry));
        }
    }
    trail.close().await;
    let summary = home.verify().await.unwrap();
    assert_eq!((summary.records, summary.unsigned, summary.erased), (written.len() as u64 + 1, 0, 0));
    let rows = home.database().await.audit_page(1, 1000).await.unwrap();
    for (row, (seq, entry)) in rows.iter().zip(&written) {
        let body = Body::read(&row.body).unwrap();
        assert_eq!((row.seq, body.seq, row.time, body.time), (*seq, *seq, entry.time, entry.time));
        assert_eq!((&*body.actor, body.request.as_deref()), (entry.actor.as_str(), entry.request.as_deref()));
        let details = details(&row.body);
        assert_eq!(details["nanoseconds"], "1763719507123456789");
        assert_eq!(details["big"], "18446744073709551615");
        let personal: Value = serde_json::from_str(&row.personal.as_ref().unwrap().body).unwrap();
        assert_eq!(personal["user"], entry.personal["user"]);
    }
}

async fn a_chain_goes_on_after_a_restart(home: Home) {
    home.filled(25).await;
    let trail = home.open().await;
    assert_eq!(seq(trail.append(entry(26)).await.unwrap()), 26, "the key is not introduced again");
    trail.close().await;
    let summary = home.verify().await.unwrap();
    assert_eq!((summary.records, summary.last, summary.unsigned, summary.unwitnessed), (26, 26, 0, 0));
}

async fn the_same_entry_is_written_once(home: Home) {
    let trail = home.open().await;
    let once = entry(1);
    assert_eq!(seq(trail.append(once.clone()).await.unwrap()), 2);
    assert_eq!(trail.append(once.clone()).await.unwrap(), Receipt::Known);
    assert_eq!(seq(trail.append(entry(2)).await.unwrap()), 3);
    trail.close().await;
    home.verify().await.unwrap();
}

async fn pages_and_filters_find_records(home: Home) {
    let trail = home.open().await;
    for number in 1..=30 {
        trail.append(entry(number).at(number * 1000).request(format!("req_{number}"))).await.unwrap();
    }
    trail.append(Entry::new(Kind::Login, "acc_0", "session")).await.unwrap();
    let find = async |filter: AuditFilter, limit| {
        let rows = trail.query(&filter, limit).await.unwrap();
        rows.into_iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    assert_eq!(find(AuditFilter::default(), 2).await, [32, 31]);
    assert_eq!(find(AuditFilter { before: Some(31), ..AuditFilter::default() }, 2).await, [30, 29]);
    assert_eq!(find(AuditFilter { kind: Some("login".to_owned()), ..AuditFilter::default() }, 9).await, [32]);
    let of_actor = AuditFilter {
        actor: Some("acc_0".to_owned()),
        kind: Some("config_change".to_owned()),
        since: Some(20_000),
        until: Some(30_000),
        ..AuditFilter::default()
    };
    assert_eq!(find(of_actor, 9).await, [28, 25, 22]);
    assert_eq!(find(AuditFilter { request: Some("req_7".to_owned()), ..AuditFilter::default() }, 9).await, [8]);
    trail.close().await;
}

async fn erasing_a_person_leaves_the_chain_valid(home: Home) {
    home.filled(20).await;
    let trail = home.open().await;
    assert_eq!(trail.erase("user-3", "acc_admin").await.unwrap(), 4);
    trail.close().await;
    let summary = home.verify().await.unwrap();
    assert_eq!((summary.records, summary.erased), (21, 4));
    let rows = home.database().await.audit_page(0, 100).await.unwrap();
    assert!(rows.iter().all(|row| !format!("{row:?}").contains("user-3")));
    assert_eq!(rows[20].kind, "erasure");
    assert_eq!(details(&rows[20].body)["records"], 4);
}

async fn a_new_key_is_introduced_by_the_old_one(home: Home) {
    let trail = home.open().await;
    trail.append(entry(1)).await.unwrap();
    let old = home.against();
    let id = trail.rotate_key().await.unwrap();
    trail.append(entry(2)).await.unwrap();
    trail.close().await;
    // Who knows only the first key believes the second, because the first introduced it.
    let database = home.database().await;
    let summary = portcullis::control::audit::walk::store(&database, &old).await.unwrap().unwrap();
    assert_eq!((summary.records, summary.unsigned), (4, 0));
    assert!(old.keys.find(&id).is_none());
    let trail = home.open().await;
    assert_eq!(seq(trail.append(entry(3)).await.unwrap()), 5, "the new key is known");
    trail.close().await;
    home.verify().await.unwrap();
}

async fn checkpoints_come_by_time_too(home: Home) {
    let options = Options { checkpoint_every: Duration::from_millis(20), ..home.options() };
    let trail = Trail::open(home.database().await, options).await.unwrap();
    let last = seq(trail.append(entry(1)).await.unwrap());
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while trail.health().checkpoint < last || !trail.health().witnessed {
        ticks.tick().await;
    }
    assert_eq!(home.verify().await.unwrap().unsigned, 0);
    trail.close().await;
}

async fn many_appends_share_a_transaction(home: Home) {
    let trail = home.open().await;
    let mut pending = Vec::new();
    for number in 1..=3000 {
        pending.push(trail.try_append(entry(number)).unwrap());
    }
    let mut last = 1;
    for receipt in pending {
        let now = seq(receipt.await.unwrap());
        assert_eq!(now, last + 1, "in the order they were handed over");
        last = now;
    }
    trail.close().await;
    let summary = home.verify().await.unwrap();
    assert_eq!((summary.records, summary.checkpoints, summary.unwitnessed), (3001, 301, 0));
}

#[tokio::test]
async fn a_directory_has_one_trail() {
    let home = Home::new(portcullis::store::Backend::Sqlite);
    let trail = home.open().await;
    let second = Trail::open(home.database().await, home.options()).await;
    assert!(matches!(second, Err(AuditError::InUse(_))));
    trail.close().await;
    home.open().await.close().await;
}

#[tokio::test]
async fn a_full_queue_gives_the_entry_back() {
    let home = Home::new(portcullis::store::Backend::Sqlite);
    let options = Options { queue: 4, ..home.options() };
    let trail = Trail::open(home.database().await, options).await.unwrap();
    // The writer has no turn before this task waits.
    let mut pending = Vec::new();
    let given_back = loop {
        match trail.try_append(entry(1)) {
            Ok(receipt) => pending.push(receipt),
            Err(entry) => break entry,
        }
    };
    assert_eq!(pending.len(), 4);
    for receipt in pending {
        receipt.await.unwrap();
    }
    trail.append(*given_back).await.unwrap();
    trail.close().await;
    assert_eq!(home.verify().await.unwrap().records, 6);
}

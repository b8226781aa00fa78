//! The feed: numbers without holes whoever writes at once, and reading it from anywhere.

use std::sync::Arc;

use portcullis::store::soc::{AlertChange, AlertWrite, Switch};
use portcullis::store::{Changed, Retention};
use portcullis::types::soc::{AlertState, FeedKind, LogKind};
use tokio::task::JoinSet;

use crate::both;
use crate::home::Home;
use crate::rows::MONDAY;
use crate::soc_things::{alert, line};

both!(
    eight_writers_leave_no_hole,
    the_feed_is_read_from_anywhere_and_forgotten_from_its_beginning,
    comments_are_told_of,
    a_switch_is_set_seen_and_cleared,
);

async fn eight_writers_leave_no_hole(home: Home) {
    // Two replicas.
    let (one, other) = (home.open().await, home.open().await);
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let database = if writer % 2 == 0 { one.clone() } else { other.clone() };
        writers.spawn(async move {
            let mut told = Vec::new();
            for number in 0..10 {
                let id = format!("alt_{writer}_{number}");
                let batch = [alert(&id, "ann"), alert(&format!("{id}_b"), "ann")].map(AlertWrite::New);
                told.extend(database.write_alerts(&batch).await.unwrap());
                // One that is refused in between takes no number.
                let wrong = AlertChange { state: Some(AlertState::Closed), ..AlertChange::default() };
                database.change_alert(&id, &wrong, None, &[]).await.unwrap_err();
            }
            told
        });
    }
    let mut told: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    told.sort_by_key(|entry| entry.seq);
    assert_eq!(told.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=160).collect::<Vec<_>>());
    let read = one.feed_after(0, 1_000).await.unwrap();
    assert_eq!(read, told, "what is published at once is what is read");
    assert_eq!(other.feed_head().await.unwrap(), 160);
}

async fn the_feed_is_read_from_anywhere_and_forgotten_from_its_beginning(home: Home) {
    let database = home.open().await;
    assert_eq!((database.feed_head().await.unwrap(), database.feed_oldest().await.unwrap()), (0, None));
    for number in 0..5 {
        database.write_alerts(&[AlertWrite::New(alert(&format!("alt_{number}"), "ann"))]).await.unwrap();
    }
    let seen = |entries: Vec<portcullis::types::soc::FeedEntry>| entries.iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(seen(database.feed_after(2, 2).await.unwrap()), [3, 4]);
    assert_eq!(seen(database.feed_after(5, 2).await.unwrap()), [0_i64; 0]);
    assert_eq!(database.feed_oldest().await.unwrap(), Some(1));
    // One clock was far behind: what is old behind something young stays, so that there is no hole.
    let mut session = database.write().await.unwrap();
    session.execute("UPDATE feed SET time = 0 WHERE seq IN (1, 2, 4)", Vec::new()).await.unwrap();
    drop(session);
    let now = portcullis::store::now();
    assert_eq!(database.sweep(now, &Retention::default(), 10_000).await.unwrap().feed, 2);
    assert_eq!(seen(database.feed_after(0, 10).await.unwrap()), [3, 4, 5]);
    let later = now + 8 * crate::rows::DAY;
    assert_eq!(database.sweep(later, &Retention::default(), 10_000).await.unwrap().feed, 3);
    assert_eq!((database.feed_oldest().await.unwrap(), database.feed_head().await.unwrap()), (None, 5));
    let next = database.write_alerts(&[AlertWrite::New(alert("alt_9", "ann"))]).await.unwrap();
    assert_eq!(next[0].seq, 6, "numbers are never used again");
}

async fn comments_are_told_of(home: Home) {
    let database = home.open().await;
    database.write_alerts(&[AlertWrite::New(alert("alt_1", "ann"))]).await.unwrap();
    let id = Arc::from("alt_1");
    for number in 0..5 {
        let feed = database.log(&id, &line(LogKind::Comment, &format!("note {number}"))).await.unwrap();
        assert_eq!((feed.len(), feed[0].kind), (1, FeedKind::Alert));
    }
    let lines = database.log_of("alt_1", 2, 2).await.unwrap();
    let lines: Vec<_> = lines.iter().map(|line| (line.seq, line.entry.text.as_str())).collect();
    assert_eq!(lines, [(3, "note 2"), (4, "note 3")]);
    assert!(database.log(&Arc::from("alt_2"), &line(LogKind::Comment, "")).await.is_err());
}

async fn a_switch_is_set_seen_and_cleared(home: Home) {
    let (database, other) = (home.open().await, home.open().await);
    let before = other.changes().await.unwrap();
    let name: Arc<str> = "monitoring".into();
    let off = Switch {
        name: Arc::clone(&name),
        value: serde_json::json!({"on": false}),
        until: Some(MONDAY + 10),
        by: "eve".into(),
        at: MONDAY,
    };
    assert!(database.switch(&name).await.unwrap().is_none());
    let feed = database.set_switch(&off).await.unwrap();
    assert_eq!((feed[0].kind, feed[0].body["value"]["on"].as_bool()), (FeedKind::Monitoring, Some(false)));
    let stored = other.switch(&name).await.unwrap().unwrap();
    assert_eq!(stored, off);
    assert!(stored.in_force(MONDAY + 9) && !stored.in_force(MONDAY + 10));
    let longer = Switch { until: None, ..off };
    database.set_switch(&longer).await.unwrap();
    assert_eq!(other.switch(&name).await.unwrap().unwrap(), longer);
    let between = other.changes().await.unwrap();
    assert_eq!(between.since(before), [Changed::Switches]);
    let by = Arc::from("bob");
    let (cleared, feed) = database.clear_switch(&name, &by, MONDAY + 1).await.unwrap();
    assert!(cleared && feed[0].body["value"].is_null() && feed[0].body["by"] == "bob");
    assert_eq!(other.changes().await.unwrap().since(between), [Changed::Switches]);
    let (again, feed) = database.clear_switch(&name, &by, MONDAY + 2).await.unwrap();
    assert!(!again && feed.is_empty());
    assert!(other.switch(&name).await.unwrap().is_none());
}

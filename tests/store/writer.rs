//! The writer: what goes in comes out, in which order, and what happens when there is no room.

use std::sync::Arc;
use std::time::Duration;

use portcullis::store::writer::Writing;
use portcullis::store::{
    Database, Durable, EventFilter, Item, Overflow, RequestFilter, Session, Sink, State, StoreError, Writer,
};
use portcullis::values;
use tokio::task::JoinSet;

use crate::both;
use crate::home::Home;
use crate::rows::{self, MONDAY, alert};

both!(
    a_record_is_found_again_with_its_findings,
    requests_are_listed_page_by_page_and_by_filter,
    everything_accepted_is_there_after_a_flush,
    many_senders_lose_nothing,
    a_full_queue_counts_what_it_drops,
    under_refuse_there_is_no_room_when_the_queue_is_full,
    a_reservation_keeps_room,
    an_item_the_database_refuses_harms_no_other,
    a_sink_writes_tables_of_its_own,
    a_closed_writer_says_so,
);

async fn count(database: &Database, sql: &'static str) -> i64 {
    database.read().await.unwrap().row(sql, Vec::new()).await.unwrap().unwrap().int(0).unwrap()
}

async fn a_record_is_found_again_with_its_findings(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    let mut record = rows::request("req_1", MONDAY, "ann");
    record.input = Some(rows::verdict("PC-JB-0001"));
    record.output = Some(rows::verdict("PC-OUT-0001"));
    assert_eq!(writer.acknowledged(Item::from(&record)).await.unwrap(), Durable::Committed);
    // Twice is once.
    writer.acknowledged(Item::from(&record)).await.unwrap();

    let row = database.request("req_1").await.unwrap().unwrap();
    assert_eq!(row.time, MONDAY);
    assert_eq!(row.record, serde_json::to_string(&record).unwrap());
    let findings = database.findings("req_1").await.unwrap();
    assert_eq!(findings.len(), 2);
    assert_eq!((&*findings[0].rule, &*findings[0].direction), ("PC-JB-0001", "input"));
    assert_eq!((&*findings[1].rule, &*findings[1].direction), ("PC-OUT-0001", "output"));
    assert_eq!((&*findings[0].severity, findings[0].score, findings[0].end), ("high", 2.5, 9));
    assert_eq!(findings[0].threats, "LLM01:2025,AML.T0054");
    let sql = "SELECT risk, input_tokens, status, stream, address FROM requests WHERE id = 'req_1'";
    let row = database.read().await.unwrap().row(sql, Vec::new()).await.unwrap().unwrap();
    assert_eq!((row.real(0).unwrap(), row.int(1).unwrap(), row.int(2).unwrap()), (0.5, 100, 200));
    assert!(!row.yes(3).unwrap());
    assert_eq!(row.text(4).unwrap(), "192.0.2.7");
}

async fn requests_are_listed_page_by_page_and_by_filter(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    for number in 0..25_i64 {
        let user = if number % 5 == 0 { "ann" } else { "bob" };
        // Two of them share each time.
        writer.offer(Item::from(&rows::request(&format!("req_{number:02}"), MONDAY + number / 2, user)));
    }
    writer.flush().await.unwrap();
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let filter = RequestFilter { before, limit: 10, ..RequestFilter::default() };
        let page = database.requests(&filter).await.unwrap();
        seen.extend(page.iter().map(|row| row.id.clone()));
        before = page.last().map(|row| (row.time, row.id.clone()));
        if page.len() < 10 {
            break;
        }
    }
    let expected: Vec<String> = (0..25).rev().map(|number| format!("req_{number:02}")).collect();
    assert_eq!(seen, expected);
    let filter = RequestFilter {
        user: Some("ann".to_owned()),
        tenant: Some("acme".to_owned()),
        from: Some(MONDAY + 1),
        limit: 100,
        ..RequestFilter::default()
    };
    let ids: Vec<String> = database.requests(&filter).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["req_20", "req_15", "req_10", "req_05"]);
}

async fn everything_accepted_is_there_after_a_flush(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    for number in 0..3_000 {
        assert!(writer.offer(Item::Request(Box::new(rows::plain(format!("req_{number}"), MONDAY, 1)))));
        if number % 100 == 0 {
            writer.important(alert(format!("alert_{number}"))).await.unwrap();
        }
    }
    assert_eq!(writer.flush().await.unwrap(), Durable::Committed);
    assert_eq!(count(&database, "SELECT COUNT(*) FROM requests").await, 3_000);
    assert_eq!(database.events(&EventFilter { limit: 100, ..EventFilter::default() }).await.unwrap().len(), 30);
    let health = writer.health();
    assert_eq!((health.state, health.committed, health.dropped, health.queued), (State::Up, 3_030, 0, 0));
}

async fn many_senders_lose_nothing(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    let mut senders = JoinSet::new();
    for sender in 0..20 {
        let writer = writer.clone();
        senders.spawn(async move {
            for number in 0..25 {
                writer.acknowledged(alert(format!("alert_{sender}_{number}"))).await.unwrap();
            }
        });
    }
    senders.join_all().await;
    assert_eq!(count(&database, "SELECT COUNT(*) FROM events").await, 500);
}

async fn a_full_queue_counts_what_it_drops(mut home: Home) {
    home.options.queue = 10;
    home.options.overflow = Overflow::Serve;
    let database = home.open().await;
    let writer = home.writer(&database);
    // On one thread without a pause the writing task has no chance to empty the queue.
    let taken =
        tokio::task::block_in_place(|| (0..5_000).filter(|n| writer.offer(alert(format!("alert_{n}")))).count());
    assert!(writer.has_room(), "under `serve` there is always room for a request");
    writer.flush().await.unwrap();
    let there = count(&database, "SELECT COUNT(*) FROM events").await;
    assert_eq!(there, i64::try_from(taken).unwrap());
    assert_eq!(writer.health().dropped, 5_000 - u64::try_from(taken).unwrap());
}

async fn under_refuse_there_is_no_room_when_the_queue_is_full(mut home: Home) {
    home.options.queue = 3;
    home.options.overflow = Overflow::Refuse;
    let database = home.open().await;
    let writer = home.writer(&database);
    assert!(writer.has_room());
    let held: Vec<_> = (0..3).map(|_| writer.reserve().unwrap()).collect();
    assert!(!writer.has_room());
    assert!(writer.reserve().is_none());
    assert!(!writer.offer(alert("too much")));
    assert_eq!(writer.health().dropped, 1);
    drop(held);
    assert!(writer.has_room());
}

async fn a_reservation_keeps_room(mut home: Home) {
    home.options.queue = 1;
    let database = home.open().await;
    let writer = home.writer(&database);
    let reserved = writer.reserve().unwrap();
    assert!(!writer.offer(alert("second")));
    reserved.send(alert("first"));
    writer.flush().await.unwrap();
    let events = database.events(&EventFilter { limit: 9, ..EventFilter::default() }).await.unwrap();
    assert_eq!(events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["first"]);
}

async fn an_item_the_database_refuses_harms_no_other(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    for number in 0..10 {
        writer.offer(alert(format!("alert_{number}")));
    }
    writer.offer(Item::Of { kind: "nobody's".into(), body: "lost and found".to_owned() });
    for number in 10..20 {
        writer.offer(alert(format!("alert_{number}")));
    }
    writer.flush().await.unwrap();
    assert_eq!(count(&database, "SELECT COUNT(*) FROM events").await, 20);
    assert_eq!(writer.health().rejected, 1);
    let kept = std::fs::read_to_string(home.folder.path().join("spool/rejected.jsonl")).unwrap();
    assert!(kept.contains("lost and found"), "{kept}");
    let alone = writer.acknowledged(Item::Of { kind: "nobody's".into(), body: String::new() }).await;
    assert!(matches!(alone, Err(StoreError::Refused(_))), "{alone:?}");
}

/// Writes names into `changes`, as another part would into its own table.
struct Names;

impl Sink for Names {
    fn kind(&self) -> &'static str {
        "name"
    }

    fn write<'a>(&'a self, tx: &'a mut Session, bodies: Vec<&'a str>) -> Writing<'a> {
        Box::pin(async move {
            for body in bodies {
                let sql = "INSERT INTO changes (what, generation) VALUES ($1, 1) ON CONFLICT (what) DO UPDATE \
                           SET generation = changes.generation + 1";
                tx.execute(sql, values![body.to_owned()]).await?;
            }
            Ok(())
        })
    }
}

async fn a_sink_writes_tables_of_its_own(home: Home) {
    let database = home.open().await;
    let writer = Writer::start(database.clone(), &home.options, vec![Arc::new(Names)]).unwrap();
    for _ in 0..3 {
        writer.important(Item::Of { kind: "name".into(), body: "zoe".to_owned() }).await.unwrap();
    }
    writer.flush().await.unwrap();
    assert_eq!(count(&database, "SELECT generation FROM changes WHERE what = 'zoe'").await, 3);
}

async fn a_closed_writer_says_so(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    writer.offer(alert("before"));
    assert_eq!(writer.close(Duration::from_secs(5)).await.unwrap(), Durable::Committed);
    assert_eq!(count(&database, "SELECT COUNT(*) FROM events").await, 1);
    assert_eq!(writer.important(alert("after")).await, Err(StoreError::Closed));
    assert_eq!(writer.acknowledged(alert("after")).await, Err(StoreError::Closed));
    assert!(!writer.offer(alert("after")));
    let left: Vec<_> = std::fs::read_dir(home.folder.path().join("spool")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

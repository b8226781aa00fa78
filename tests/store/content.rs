//! Content at rest, retention, and erasure of one person.

use std::time::Duration;

use portcullis::store::contents::Body;
use portcullis::store::{
    Bucket, ContentMode, Database, Dimension, Item, KeyRow, Retention, SpendQuery, StoreError, Vault, Writer,
};
use portcullis::types::{Direction, Measure, Order, Secret, Subject};
use portcullis::values;

use crate::both;
use crate::home::Home;
use crate::rows::{self, DAY, MONDAY};

both!(
    sealed_content_is_unreadable_without_its_key,
    sealed_content_cannot_be_moved_to_another_request,
    plain_content_comes_back,
    each_class_is_forgotten_in_its_time,
    nothing_of_an_erased_person_is_left,
);

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const SAME_IN_BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn vault(home: &mut Home, key: Option<&str>, old: &[&str]) -> Vault {
    home.options.content_key = key.map(Secret::new);
    home.options.old_content_keys = old.iter().map(|key| Secret::new(*key)).collect();
    Vault::new(&home.options).unwrap()
}

async fn keep(writer: &Writer, vault: &Vault, request: &str, text: &str) {
    let content = vault.seal((request, Direction::Input), MONDAY, Some("ann"), ContentMode::Full, text).unwrap();
    writer.acknowledged(Item::Content(Box::new(content))).await.unwrap();
}

async fn sealed_content_is_unreadable_without_its_key(mut home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    let sealing = vault(&mut home, Some(KEY), &[]);
    keep(&writer, &sealing, "req_1", "my mother's maiden name").await;
    let stored = database.contents("req_1").await.unwrap();
    let Body::Sealed { bytes, .. } = &stored[0].body else { panic!("sealed") };
    assert!(!String::from_utf8_lossy(bytes).contains("mother"));
    assert_eq!(sealing.open(&stored[0]).unwrap(), "my mother's maiden name");
    // The same key written otherwise, and as one of old.
    let rotated = vault(&mut home, Some(OTHER), &[SAME_IN_BASE64]);
    assert_eq!(rotated.open(&stored[0]).unwrap(), "my mother's maiden name");
    let without = vault(&mut home, Some(OTHER), &[]);
    assert_eq!(without.open(&stored[0]), Err(StoreError::Missing("content key")));
    home.options.content_key = Some(Secret::new("too short"));
    let refused = Vault::new(&home.options).unwrap_err();
    assert!(!refused.to_string().contains("too short"), "{refused}");
}

async fn sealed_content_cannot_be_moved_to_another_request(mut home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    let sealing = vault(&mut home, Some(KEY), &[]);
    keep(&writer, &sealing, "req_1", "said by ann").await;
    let mut session = database.write().await.unwrap();
    session.execute("UPDATE contents SET request = $1", values!["req_2"]).await.unwrap();
    drop(session);
    let moved = database.contents("req_2").await.unwrap();
    assert!(matches!(sealing.open(&moved[0]), Err(StoreError::Value(_))));
}

async fn plain_content_comes_back(mut home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    let plain = vault(&mut home, None, &[]);
    keep(&writer, &plain, "req_1", "hello").await;
    let answer = plain.seal(("req_1", Direction::Output), MONDAY, None, ContentMode::Masked, "hi [NAME]").unwrap();
    writer.acknowledged(Item::Content(Box::new(answer.clone()))).await.unwrap();
    let stored = database.contents("req_1").await.unwrap();
    assert_eq!(plain.open(&stored[0]).unwrap(), "hello");
    assert_eq!(stored[1], answer);
}

async fn each_class_is_forgotten_in_its_time(mut home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    let plain = vault(&mut home, None, &[]);
    for day in 0..100_i64 {
        let mut record = rows::request(&format!("req_{day:03}"), MONDAY + day * DAY, "ann");
        record.input = Some(rows::verdict("PC-JB-0001"));
        writer.offer(Item::from(&record));
        let text = plain.seal((&record.id.0, Direction::Input), record.time, None, ContentMode::Hash, "h").unwrap();
        writer.offer(Item::Content(Box::new(text)));
    }
    writer.flush().await.unwrap();
    let days = |days: u64| Some(Duration::from_secs(days * 24 * 3600));
    let retention =
        Retention { requests: days(50), findings: days(60), content: days(10), ledger: None, ..Retention::default() };
    let now = MONDAY + 100 * DAY;
    let swept = database.sweep(now, &retention, 20).await.unwrap();
    // One transaction removes more than 20, and then it is enough for this time.
    assert!(swept.more || swept.requests == 50, "{swept:?}");
    let again = database.sweep(now, &retention, 100_000).await.unwrap();
    assert!(!again.more);
    assert_eq!(swept.requests + again.requests, 50);
    assert_eq!(swept.findings + again.findings, 40);
    assert_eq!(swept.content + again.content, 90);
    assert_eq!(swept.ledger + again.ledger, 0);
    assert!(database.request("req_049").await.unwrap().is_none());
    assert!(database.request("req_050").await.unwrap().is_some());
    let once_more = database.sweep(now, &Retention { ledger: days(1), ..retention }, 100_000).await.unwrap();
    assert_eq!((once_more.requests, once_more.ledger), (0, 2 * 99));
}

async fn everything(database: &Database) -> String {
    let mut session = database.read().await.unwrap();
    let mut text = String::new();
    for sql in [
        "SELECT COALESCE(user_, ''), COALESCE(session, ''), COALESCE(address, ''), record FROM requests",
        "SELECT COALESCE(user_, ''), COALESCE(body, ''), '', '' FROM contents",
        "SELECT COALESCE(user_, ''), body, '', '' FROM events",
        "SELECT user_, '', '', '' FROM spend_hourly",
        "SELECT COALESCE(user_, ''), name, note, '' FROM keys",
        "SELECT COALESCE(user_, ''), owner, '', '' FROM issued",
        "SELECT subject, '', '', '' FROM orders",
    ] {
        for row in session.rows(sql, Vec::new()).await.unwrap() {
            for column in 0..4 {
                text += &row.text(column).unwrap();
                text.push('\n');
            }
        }
    }
    text
}

async fn nothing_of_an_erased_person_is_left(mut home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    let plain = vault(&mut home, None, &[]);
    for number in 0..450 {
        writer.offer(Item::from(&rows::request(&format!("req_{number}"), MONDAY, "ann.example")));
    }
    writer.offer(Item::from(&rows::request("req_bob", MONDAY, "bob")));
    keep(&writer, &plain, "req_1", "I am ann.example").await;
    let mut alert = portcullis::store::EventRow {
        id: "alert_1".to_owned(),
        time: MONDAY,
        kind: "alert".into(),
        request: None,
        user: Some("ann.example".to_owned()),
        body: r#"{"who":"ann.example","caller":{"user":"ann.example","address":"192.0.2.7"}}"#.to_owned(),
    };
    writer.offer(Item::Event(alert.clone()));
    alert.id = "alert_2".to_owned();
    alert.user = Some("bob".to_owned());
    alert.body = "{}".to_owned();
    writer.offer(Item::Event(alert));
    writer.flush().await.unwrap();
    let key =
        KeyRow { id: "key_1".into(), name: "of ann.example".to_owned(), hash: "h".to_owned(), ..KeyRow::default() };
    database.insert_key(&KeyRow { user: Some("ann.example".into()), ..key }).await.unwrap();
    let order = Order {
        id: "ord_1".into(),
        subject: Subject::User { name: "ann.example".into() },
        measure: Measure::Block,
        reason: "".into(),
        made_by: "".into(),
        made: MONDAY,
        expires: Some(MONDAY + 1),
    };
    database.insert_order(&order).await.unwrap();
    assert!(everything(&database).await.contains("ann.example"));

    let erased = database.erase("ann.example", MONDAY + DAY).await.unwrap();
    let left = everything(&database).await;
    assert!(!left.contains("ann.example"), "{}", left.lines().find(|line| line.contains("ann.example")).unwrap());
    assert!(left.contains("bob"));
    assert_eq!((erased.requests, erased.contents, erased.events), (450, 1, 1));
    assert_eq!((erased.ledger, erased.keys, erased.orders), (1, 1, 1));
    assert!(database.key("key_1").await.unwrap().unwrap().revoked.is_some());
    let query = SpendQuery {
        by: vec![Dimension::User],
        bucket: Bucket::Total,
        from: MONDAY,
        to: MONDAY + DAY,
        filters: Vec::new(),
        limit: 10,
    };
    let spend = database.spend(&query).await.unwrap();
    assert_eq!(spend.rows.iter().map(|row| row.sums.requests).sum::<u64>(), 451, "the ledger still adds up");
    assert!(spend.rows.iter().any(|row| row.names == [erased.pseudonym.clone()]));
    // Nobody is left to erase.
    assert_eq!(database.erase("ann.example", MONDAY + DAY).await.unwrap().requests, 0);
}

//! What the store sustains: requests through the writer, the ledger of a million requests, keys and orders at start.
//!
//! `cargo bench --bench store` measures SQLite in a temporary folder; `PORTCULLIS_BENCH_STORE=postgres://...` another
//! store, which should be empty. `PORTCULLIS_BENCH_REQUESTS` sets the number of requests (1,000,000).

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints what it measured and ends when something fails"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::store::{Bucket, Database, Dimension, Item, KeyRow, Options, RequestRow, SpendQuery, Tokens, Writer};
use portcullis::types::{Caller, Generation, Measure, Order, Record, RequestId, Secret, Subject, Usage};

const MONDAY: i64 = 1_772_409_600_000_000;
const DAY: i64 = 86_400_000_000;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let url = std::env::var("PORTCULLIS_BENCH_STORE")
        .unwrap_or_else(|_| format!("sqlite://{}", folder.path().join("store.db").display()));
    let requests: u64 =
        std::env::var("PORTCULLIS_BENCH_REQUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let options = Options { spool: Some(folder.path().join("spool")), queue: 50_000, ..Options::default() };
    let database = Database::open(&Secret::new(url), &options).await.unwrap();
    println!("store: {}", database.backend().name());
    let writer = Writer::start(database.clone(), &options, Vec::new()).unwrap();
    make_records(10_000);
    write(&writer, requests).await;
    acknowledge(&writer, 2_000).await;
    ask(&database).await;
    owners(&database, 2_000).await;
    writer.close(Duration::from_secs(30)).await.unwrap();
    database.close().await;
}

/// What a record costs whoever hands it over.
fn make_records(count: u32) {
    let mut record = Record::new(MONDAY, RequestId("req_1".to_owned()), Generation(1));
    record.caller = Caller {
        tenant: Some("tenant".into()),
        user: Some("user".into()),
        key: Some("key".into()),
        ..Caller::default()
    };
    record.usage = Some(Usage { input: 1_000, cached: 0, output: 200, reasoning: 0 });
    let began = Instant::now();
    for _ in 0..count {
        std::hint::black_box(Item::from(&record));
    }
    println!("record -> item: {:?} each", began.elapsed() / count);
}

/// Requests of 30 days: 50 teams, 1,000 users, 8 models, spread evenly.
async fn write(writer: &Writer, count: u64) {
    let names =
        |what: &str, count: usize| -> Vec<Arc<str>> { (0..count).map(|n| format!("{what}_{n}").into()).collect() };
    let (teams, users, models) = (names("team", 50), names("user", 1_000), names("model", 8));
    let pick = |names: &[Arc<str>], n: u64| names.get(usize::try_from(n).unwrap() % names.len()).cloned();
    let step = 30 * DAY / i64::try_from(count).unwrap();
    let text: Arc<str> = "x".repeat(900).into();
    let began = Instant::now();
    for number in 0..count {
        let user = number.wrapping_mul(2_654_435_761) % 1_000;
        let row = RequestRow {
            id: format!("req_{number:032}"),
            time: MONDAY + i64::try_from(number).unwrap() * step,
            tenant: Some("acme".into()),
            team: pick(&teams, user / 20),
            user: pick(&users, user),
            key: pick(&users, user),
            session: Some("a conversation".into()),
            address: Some("192.0.2.7".to_owned()),
            method: "POST".into(),
            path: "/v1/chat/completions".into(),
            dialect: Some("chat".into()),
            model: pick(&models, number % 8).map(|model| model.to_string()),
            upstream: Some("openai".into()),
            outcome: "served".into(),
            decision: "allow".into(),
            status: 200,
            tokens: Some(Tokens { input: 1_000, cached: 100, output: 200, reasoning: 0 }),
            cost: Some(1_234_567),
            record: Arc::clone(&text),
            ..RequestRow::default()
        };
        // Waits where the gateway would refuse or drop: the bench asks what is sustained.
        while writer.health().queued >= 49_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(writer.offer(Item::Request(Box::new(row))));
    }
    writer.flush().await.unwrap();
    let took = began.elapsed();
    let rate = count as f64 / took.as_secs_f64();
    println!("writer: {count} requests with their ledger in {took:?}: {rate:.0} a second");
}

async fn acknowledge(writer: &Writer, count: u32) {
    let event = |number: u32| {
        Item::Event(portcullis::store::EventRow {
            id: format!("alert_{number}"),
            time: MONDAY,
            kind: "alert".into(),
            request: None,
            user: None,
            body: "{}".to_owned(),
        })
    };
    let began = Instant::now();
    for number in 0..count {
        writer.acknowledged(event(number)).await.unwrap();
    }
    println!("acknowledged alert: {:?} each, one after the other", began.elapsed() / count);
}

async fn ask(database: &Database) {
    let day = |by: &[Dimension]| SpendQuery {
        by: by.to_vec(),
        bucket: Bucket::Day,
        from: MONDAY,
        to: MONDAY + 30 * DAY,
        filters: Vec::new(),
        limit: 100_000,
    };
    let mut user = day(&[Dimension::Model]);
    user.filters = vec![(Dimension::User, "user_7".to_owned())];
    for (what, query) in [
        ("spend by team by day, 30 days", day(&[Dimension::Team])),
        ("spend by team and model by day, 30 days", day(&[Dimension::Team, Dimension::Model])),
        ("spend of one user by model by day, 30 days", user),
        ("spend by user by day, 30 days", day(&[Dimension::User])),
    ] {
        let mut times = Vec::new();
        let mut rows = 0;
        for _ in 0..5 {
            let began = Instant::now();
            rows = database.spend(&query).await.unwrap().rows.len();
            times.push(began.elapsed());
        }
        times.sort();
        println!("{what}: {rows} rows, median {:?}, worst {:?}", times.get(2).unwrap(), times.last().unwrap());
    }
    let began = Instant::now();
    for _ in 0..1_000 {
        database.changes().await.unwrap();
    }
    println!("changes: {:?} each", began.elapsed() / 1_000);
}

async fn owners(database: &Database, count: u32) {
    let began = Instant::now();
    for number in 0..count {
        let key = KeyRow { id: format!("key_{number}").into(), hash: format!("{number:064}"), ..KeyRow::default() };
        database.insert_key(&key).await.unwrap();
    }
    println!("insert key: {:?} each", began.elapsed() / count);
    let began = Instant::now();
    for number in 0..count {
        let order = Order {
            id: format!("ord_{number}").into(),
            subject: Subject::User { name: format!("user_{number}").into() },
            measure: Measure::Block,
            reason: "a reason".into(),
            made_by: "bench".into(),
            made: MONDAY,
            expires: None,
        };
        database.insert_order(&order).await.unwrap();
    }
    println!("insert order: {:?} each", began.elapsed() / count);
    let began = Instant::now();
    let (keys, orders) = (database.live_keys(MONDAY).await.unwrap(), database.live_orders(MONDAY).await.unwrap());
    println!("live keys and orders: {} and {} in {:?}", keys.len(), orders.len(), began.elapsed());
}

//! The database goes away and comes back: nothing acknowledged is lost, nothing is there twice.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use portcullis::control::audit::{AuditError, Options, Receipt, Trail};
use portcullis::control::{Keeper, Reader as _, Told};
use portcullis::store::{self, Database, Overflow, Vault, Writer};
use portcullis::types::{Decision, Event, Generation, Record, RequestId, Secret};

use crate::databases::Postgres;
use crate::home::{Home, entry};

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "waited for {what}");
        ticks.tick().await;
    }
}

/// A home on a server of its own.
fn own(server: &Postgres) -> Home {
    let mut home = Home::new(store::Backend::Sqlite);
    home.url = server.new_database();
    home.store.timeout = Duration::from_millis(300);
    home
}

/// Verifies, and that every id is there once.
async fn all_there(home: &Home, ids: &HashSet<String>) {
    home.verify().await.unwrap();
    let database = home.database().await;
    let mut found = HashSet::new();
    let mut after = 0;
    loop {
        let page = database.audit_page(after, 1000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        for row in page {
            assert!(found.insert(row.id), "twice");
        }
    }
    assert!(ids.is_subset(&found), "{} of {} are missing", ids.difference(&found).count(), ids.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_the_middle_loses_and_doubles_nothing() {
    let mut server = Postgres::start();
    let home = own(&server);
    let trail = home.open().await;
    let mut ids = HashSet::new();
    let mut spooled = 0;
    for round in 0..4 {
        let mut pending = Vec::new();
        for number in 0..300 {
            if number == 150 {
                if round % 2 == 0 { server.stop() } else { server.freeze() }
            }
            let entry = entry(number);
            let id = entry.id.clone();
            let trail = trail.clone();
            pending.push(tokio::spawn(async move { (id, trail.append(entry).await) }));
            tokio::task::yield_now().await;
        }
        for task in pending {
            let (id, receipt) = task.await.unwrap();
            spooled += u32::from(receipt.unwrap() == Receipt::Spooled);
            ids.insert(id);
        }
        if round % 2 == 0 {
            server.run()
        } else {
            server.thaw()
        }
        until("the spool to be empty", || trail.health().spooled == 0).await;
    }
    assert!(spooled > 0);
    trail.close().await;
    all_there(&home, &ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_opens_without_its_database_and_keeps_what_it_is_told() {
    let mut server = Postgres::start();
    let home = own(&server);
    // The schema is there.
    let database = home.database().await;
    server.stop();
    let trail = Trail::open(database, home.options()).await.unwrap();
    let mut ids = HashSet::new();
    for number in 0..50 {
        let entry = entry(number);
        ids.insert(entry.id.clone());
        assert_eq!(trail.append(entry).await.unwrap(), Receipt::Spooled);
    }
    // As after a crash: what is in the spool is there for the next one.
    trail.close().await;
    server.run();
    let trail = home.open().await;
    until("the spool to be empty", || trail.health().spooled == 0).await;
    trail.close().await;
    all_there(&home, &ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_says_so_and_recovers() {
    let mut server = Postgres::start();
    let home = own(&server);
    let database = home.database().await;
    let trail = Trail::open(database, Options { spool_max: 20_000, ..home.options() }).await.unwrap();
    let mut ids = HashSet::new();
    server.stop();
    let refused = loop {
        let entry = entry(1);
        let id = entry.id.clone();
        match trail.append(entry).await {
            Ok(_) => ids.insert(id),
            Err(error) => break error,
        };
    };
    assert!(matches!(refused, AuditError::Full), "{refused}");
    assert!(trail.health().refused > 0);
    assert!(ids.len() > 10);
    server.run();
    until("the spool to be empty", || trail.health().spooled == 0).await;
    let entry = entry(2);
    ids.insert(entry.id.clone());
    trail.append(entry).await.unwrap();
    trail.close().await;
    all_there(&home, &ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_that_no_disk_took_are_written_when_the_database_is_back() {
    const BLOCKS: usize = 200;
    let mut server = Postgres::start();
    let home = own(&server);
    let database = home.database().await;
    let trail = Trail::open(database.clone(), Options { spool_max: 20_000, ..home.options() }).await.unwrap();
    let options = store::Options { spool: Some(home.folder.path().join("spool")), ..home.store.clone() };
    let writer = Writer::start(database, &options, Vec::new()).unwrap();
    let vault = Arc::new(Vault::new(&options).unwrap());
    let (runtime, ending) = (tokio::runtime::Handle::current(), Arc::default());
    let mut keeper = Keeper::new(writer.clone(), Overflow::Serve, trail.clone(), vault, runtime, ending);
    server.stop();
    for number in 0..BLOCKS {
        let mut record = Record::new(0, RequestId(format!("req_{number}")), Generation(1));
        record.decision = Decision::Block;
        keeper.read(&Told::new(&Event::Request(Box::new(record))));
    }
    until("the spool to be full", || trail.health().refused > 0).await;
    server.run();
    until("the spool to be empty", || {
        keeper.flush();
        trail.health().written >= BLOCKS as u64
    })
    .await;
    drop(keeper);
    trail.close().await;
    writer.close(Duration::from_secs(10)).await.unwrap();
    home.verify().await.unwrap();
    let rows = home.database().await.audit_page(0, 1000).await.unwrap();
    let blocked: Vec<_> = rows.iter().filter(|row| row.body.contains("\"req_")).collect();
    assert_eq!(blocked.len(), BLOCKS, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_or_locked_sqlite_file_is_waited_for() {
    let mut home = Home::new(store::Backend::Sqlite);
    home.store.timeout = Duration::from_millis(50);
    let trail = home.open().await;
    let other = Database::open(&Secret::new(home.url.as_str()), &home.store).await.unwrap();
    let mut ids = HashSet::new();
    for _ in 0..3 {
        let lock = other.begin().await.unwrap();
        let entry = entry(1);
        ids.insert(entry.id.clone());
        assert_eq!(trail.append(entry).await.unwrap(), Receipt::Spooled);
        drop(lock);
        until("the spool to be empty", || trail.health().spooled == 0).await;
    }
    trail.close().await;
    all_there(&home, &ids).await;
}

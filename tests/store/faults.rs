//! Databases that are away, frozen, locked, full or read-only, and what the writer does meanwhile.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use portcullis::store::{
    Backend, Bucket, Database, Durable, Item, Options, SpendQuery, State, StoreError, Writer, writer::Health,
};
use portcullis::types::Secret;
use portcullis::values;

use crate::databases::Postgres;
use crate::home::Home;
use crate::rows::{self, DAY, MONDAY};

/// A store on a server of its own.
fn alone() -> (Postgres, Home) {
    let server = Postgres::start();
    let mut home = Home::new(Backend::Sqlite);
    home.url = Secret::new(server.database("store"));
    (server, home)
}

async fn send(writer: &Writer, from: u64, to: u64) -> Durable {
    let mut last = Durable::Committed;
    for number in from..to {
        let item = Item::from(&rows::request(&format!("req_{number}"), MONDAY, "ann"));
        last = writer.acknowledged(item).await.unwrap();
    }
    last
}

/// How many requests are there, and that the ledger says the same.
async fn count(database: &Database) -> u64 {
    let sql = "SELECT COUNT(*) FROM requests";
    let rows = database.read().await.unwrap().row(sql, Vec::new()).await.unwrap().unwrap().count(0).unwrap();
    let query = SpendQuery {
        by: Vec::new(),
        bucket: Bucket::Total,
        from: MONDAY,
        to: MONDAY + DAY,
        filters: Vec::new(),
        limit: 1,
    };
    let ledger = database.spend(&query).await.unwrap().rows.first().map_or(0, |row| row.sums.requests);
    assert_eq!(rows, ledger, "the ledger counts each request once");
    rows
}

async fn until(writer: &Writer, what: &str, reached: impl Fn(&Health) -> bool) {
    crate::home::until(what, || reached(&writer.health())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_is_bridged_by_the_spool() {
    let (mut server, home) = alone();
    let database = home.open().await;
    let writer = home.writer(&database);
    assert_eq!(send(&writer, 0, 5).await, Durable::Committed);
    server.stop();
    assert_eq!(send(&writer, 5, 30).await, Durable::Spooled);
    let health = writer.health();
    assert_eq!(health.state, State::Spooling);
    assert!(health.spool_bytes > 0);
    assert!(!health.problem.is_empty());
    assert!(matches!(database.ping().await, Err(StoreError::Unavailable(_))));
    server.run();
    home.until_up(&writer).await;
    assert_eq!(send(&writer, 30, 31).await, Durable::Committed);
    assert_eq!(count(&database).await, 31);
    assert_eq!(writer.health().problem, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_hangs_nobody_and_doubles_nothing() {
    let (server, home) = alone();
    let database = home.open().await;
    let writer = home.writer(&database);
    send(&writer, 0, 5).await;
    let mut open = database.begin().await.unwrap();
    server.freeze();
    assert!(matches!(open.rows("SELECT 1", Vec::new()).await, Err(StoreError::Timeout(_))));
    drop(open);
    // More askers than connections.
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let database = database.clone();
        asking.spawn(async move { database.ping().await.is_err() });
    }
    assert!(asking.join_all().await.into_iter().all(|failed| failed));
    assert_eq!(send(&writer, 5, 20).await, Durable::Spooled);
    server.thaw();
    home.until_up(&writer).await;
    assert_eq!(count(&database).await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_in_a_transaction_leaves_nothing_of_it() {
    let (mut server, home) = alone();
    let database = home.open().await;
    let mut tx = database.begin().await.unwrap();
    tx.execute("INSERT INTO changes (what, generation) VALUES ($1, $2)", values!["half", 1_i64]).await.unwrap();
    server.stop();
    server.run();
    tx.commit().await.unwrap_err();
    let rows = async || database.read().await?.rows("SELECT what FROM changes", Vec::new()).await;
    // The connections of before are found dead one by one, without a failure.
    assert_eq!(rows().await.unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_is_bridged_by_the_spool() {
    let (server, home) = alone();
    let database = home.open().await;
    let writer = home.writer(&database);
    send(&writer, 0, 5).await;
    let set = |value: &str| {
        server.sql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {value}")).unwrap();
        server.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    };
    set("on");
    crate::home::until("the server is read-only", || {
        server.sql("store", "SHOW default_transaction_read_only").as_deref() == Some("on")
    })
    .await;
    // Sessions that are open learn of it a moment later.
    let mut sent = 5;
    while send(&writer, sent, sent + 1).await == Durable::Committed {
        sent += 1;
    }
    send(&writer, sent + 1, sent + 10).await;
    // `ALTER SYSTEM` needs a session that may write.
    let back = "SET default_transaction_read_only = off; SET transaction_read_only = off";
    let done = Command::new("psql")
        .args(["-qAtX", &server.url("postgres"), "-c", back])
        .args(["-c", "ALTER SYSTEM RESET default_transaction_read_only", "-c", "SELECT pg_reload_conf()"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    home.until_up(&writer).await;
    assert_eq!(count(&database).await, sent + 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_the_server_begins_in_the_spool() {
    let (mut server, home) = alone();
    server.stop();
    assert!(matches!(home.try_open().await, Err(StoreError::Unavailable(_))));
    let database = Database::lazy(&home.url, &home.options).unwrap();
    let writer = home.writer(&database);
    assert_eq!(send(&writer, 0, 5).await, Durable::Spooled);
    assert!(!database.is_ready());
    server.run();
    home.until_up(&writer).await;
    assert!(database.is_ready());
    assert_eq!(count(&database).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_makes_important_senders_wait_and_loses_nothing() {
    let (mut server, mut home) = alone();
    home.options.spool_max = 20_000;
    home.options.important_queue = 2;
    let database = home.open().await;
    let writer = home.writer(&database);
    send(&writer, 0, 1).await;
    server.stop();
    let sending = tokio::spawn({
        let writer = writer.clone();
        async move { send(&writer, 1, 60).await }
    });
    until(&writer, "the spool is full", |health| health.state == State::Full).await;
    assert!(!sending.is_finished());
    assert!(writer.health().spool_bytes <= 20_000);
    server.run();
    tokio::time::timeout(Duration::from_secs(60), sending).await.expect("the writer goes on").unwrap();
    home.until_up(&writer).await;
    assert_eq!(count(&database).await, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_start_writes_what_the_last_one_spooled() {
    let (mut server, home) = alone();
    let database = home.open().await;
    let writer = home.writer(&database);
    send(&writer, 0, 3).await;
    server.stop();
    send(&writer, 3, 8).await;
    assert_eq!(writer.close(Duration::from_secs(10)).await.unwrap(), Durable::Spooled);
    drop(writer);
    server.run();
    let database = home.open().await;
    let writer = home.writer(&database);
    home.until_up(&writer).await;
    assert_eq!(count(&database).await, 8);
    writer.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(std::fs::read_dir(home.options.spool.as_ref().unwrap()).unwrap().count(), 0, "the spool is empty");
}

/// What the other process reads: the URL of the store it locks.
const LOCKER: &str = "PORTCULLIS_STORE_LOCKER";

/// The other process: this test binary again, which does nothing unless it is told to.
#[tokio::test]
async fn locker() {
    let Ok(url) = std::env::var(LOCKER) else { return };
    let database = Database::open(&Secret::new(url), &Options::default()).await.unwrap();
    let held = database.begin().await.unwrap();
    writeln!(std::io::stdout(), "\nlocked").unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_locked_by_another_process_is_bridged_by_the_spool() {
    let mut home = Home::new(Backend::Sqlite);
    home.options.timeout = Duration::from_millis(100);
    let database = home.open().await;
    let writer = home.writer(&database);
    send(&writer, 0, 5).await;
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::locker", "--nocapture", "--test-threads=1"])
        .env(LOCKER, home.url.expose())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "locked"));
    assert_eq!(send(&writer, 5, 10).await, Durable::Spooled);
    assert!(matches!(database.begin().await, Err(StoreError::Unavailable(_))));
    assert_eq!(count(&database).await, 5, "reading goes on");
    drop(other.stdin.take());
    other.wait().unwrap();
    home.until_up(&writer).await;
    assert_eq!(count(&database).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_may_not_grow_is_bridged_by_the_spool() {
    let mut home = Home::new(Backend::Sqlite);
    home.options.max_pages = Some(180);
    let database = home.open().await;
    let writer = home.writer(&database);
    let mut sent = 0;
    while send(&writer, sent, sent + 1).await == Durable::Committed {
        sent += 1;
    }
    send(&writer, sent + 1, sent + 20).await;
    assert!(writer.health().problem.contains("full"), "{:?}", writer.health());
    writer.close(Duration::from_secs(10)).await.unwrap();
    database.close().await;
    home.options.max_pages = None;
    let database = home.open().await;
    let writer = home.writer(&database);
    home.until_up(&writer).await;
    assert_eq!(count(&database).await, sent + 20);
}

/// A small file system, gone with the test; `None` where mounting is not allowed.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(path: &'a Path) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(path).output();
        mounted.is_ok_and(|done| done.status.success()).then_some(Self(path))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0).output().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_writer_until_there_is_room_again() {
    let mut home = Home::new(Backend::Sqlite);
    let path = home.folder.path().join("disk");
    let Some(_disk) = Disk::mount(&path) else {
        writeln!(std::io::stderr(), "no file system can be mounted here: the case of a full disk is left out").unwrap();
        return;
    };
    home.url = Secret::new(format!("sqlite://{}", path.join("store.db").display()));
    home.options.spool = Some(path.join("spool"));
    let database = home.open().await;
    let writer = home.writer(&database);
    send(&writer, 0, 5).await;
    // Whatever is left of the disk goes to somebody else.
    let ballast = path.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    // The log of the database grows to 16 MiB before it is emptied: that much has to be free again afterwards.
    let sending = tokio::spawn({
        let writer = writer.clone();
        async move { send(&writer, 5, 500).await }
    });
    until(&writer, "nothing can be written", |health| health.state == State::Full).await;
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    tokio::time::timeout(Duration::from_secs(60), sending).await.expect("the writer goes on").unwrap();
    home.until_up(&writer).await;
    assert_eq!(count(&database).await, 500);
    writer.close(Duration::from_secs(10)).await.unwrap();
    database.close().await;
}

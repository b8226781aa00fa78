//! Opening, migrating, transactions, and what a store refuses to open.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use portcullis::store::{Backend, StoreError, migrate};
use portcullis::values;
use sqlx::Connection as _;

use crate::both;
use crate::home::Home;

both!(
    three_replicas_start_at_once,
    a_dropped_transaction_leaves_nothing,
    a_failed_statement_spoils_its_transaction,
    values_come_back_as_they_were,
    a_newer_schema_is_refused,
    another_schema_of_the_same_number_is_refused,
    an_older_schema_is_brought_up_to_date,
    a_conflict_is_told_apart,
);

async fn three_replicas_start_at_once(home: Home) {
    let (a, b, c) = tokio::join!(home.try_open(), home.try_open(), home.try_open());
    for database in [a.unwrap(), b.unwrap(), c.unwrap()] {
        database.ping().await.unwrap();
    }
}

async fn a_dropped_transaction_leaves_nothing(home: Home) {
    let database = home.open().await;
    let mut tx = database.begin().await.unwrap();
    tx.execute("INSERT INTO changes (what, generation) VALUES ($1, $2)", values!["other", 7_i64]).await.unwrap();
    drop(tx);
    let sql = "SELECT generation FROM changes WHERE what = $1";
    assert!(database.read().await.unwrap().row(sql, values!["other"]).await.unwrap().is_none());

    let mut tx = database.begin().await.unwrap();
    tx.execute("INSERT INTO changes (what, generation) VALUES ($1, $2)", values!["other", 7_i64]).await.unwrap();
    tx.commit().await.unwrap();
    let row = database.read().await.unwrap().row(sql, values!["other"]).await.unwrap().unwrap();
    assert_eq!(row.int(0).unwrap(), 7);
}

async fn a_failed_statement_spoils_its_transaction(home: Home) {
    let database = home.open().await;
    let mut tx = database.begin().await.unwrap();
    tx.execute("INSERT INTO changes (what, generation) VALUES ($1, $2)", values!["other", 7_i64]).await.unwrap();
    tx.execute("INSERT INTO nowhere (what) VALUES ($1)", values!["other"]).await.unwrap_err();
    assert!(matches!(tx.commit().await, Err(StoreError::Refused(_))));
    let rows = database.read().await.unwrap().rows("SELECT what FROM changes", Vec::new()).await.unwrap();
    assert_eq!(rows.len(), 6);
}

async fn values_come_back_as_they_were(home: Home) {
    let database = home.open().await;
    let mut session = database.write().await.unwrap();
    session
        .execute(
            "INSERT INTO contents (request, direction, time, user_, mode, body, sealed, key_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            values![
                "naïve \u{1f98a} ' \" $1 ; --",
                "input",
                i64::MAX,
                None::<String>,
                "zero\0byte".to_owned(),
                "",
                vec![0_u8, 255],
                None::<String>
            ],
        )
        .await
        .unwrap();
    let sql = "SELECT request, time, user_, mode, body, sealed, key_id FROM contents WHERE time = $1 AND $1 > 0";
    let row = session.row(sql, values![i64::MAX]).await.unwrap().unwrap();
    assert_eq!(row.text(0).unwrap(), "naïve \u{1f98a} ' \" $1 ; --");
    assert_eq!(row.int(1).unwrap(), i64::MAX);
    assert_eq!(row.maybe_text(2).unwrap(), None);
    assert_eq!(row.text(3).unwrap(), "zero\u{fffd}byte");
    assert_eq!(row.text(4).unwrap(), "");
    assert_eq!(row.bytes(5).unwrap(), [0, 255]);
    assert!(matches!(row.text(6), Err(StoreError::Value(_))));
}

async fn a_newer_schema_is_refused(home: Home) {
    let database = home.open().await;
    let mut session = database.write().await.unwrap();
    let sql = "INSERT INTO schema_migrations (version, name, checksum, applied) VALUES ($1, $2, $3, $4)";
    session.execute(sql, values![9_999_i64, "9999_future", "", 0_i64]).await.unwrap();
    drop(session);
    let refused = home.try_open().await.unwrap_err();
    assert_eq!(refused, StoreError::NewerSchema { found: 9_999, known: migrate::latest() });
    assert!(refused.to_string().contains("newer version"));
}

async fn another_schema_of_the_same_number_is_refused(home: Home) {
    let database = home.open().await;
    let mut session = database.write().await.unwrap();
    session.execute("UPDATE schema_migrations SET checksum = $1 WHERE version = 1", values!["0"]).await.unwrap();
    drop(session);
    assert_eq!(home.try_open().await.unwrap_err(), StoreError::OtherSchema { version: 1 });
}

async fn an_older_schema_is_brought_up_to_date(home: Home) {
    let database = home.open().await;
    let mut session = database.write().await.unwrap();
    // As if nothing but an empty database of an earlier start existed.
    for drop in [
        "DROP TABLE requests",
        "DROP TABLE findings",
        "DROP TABLE contents",
        "DROP TABLE spend_hourly",
        "DROP TABLE spend_daily",
        "DROP TABLE keys",
        "DROP TABLE orders",
        "DROP TABLE changes",
        "DROP TABLE issued",
        "DROP TABLE writers",
        "DROP TABLE events",
        "DELETE FROM schema_migrations WHERE version = 1",
    ] {
        session.execute(drop, Vec::new()).await.unwrap();
    }
    drop(session);
    drop(database);
    let database = home.open().await;
    let mut session = database.read().await.unwrap();
    assert_eq!(session.rows("SELECT what FROM changes", Vec::new()).await.unwrap().len(), 3);
}

async fn a_conflict_is_told_apart(home: Home) {
    let database = home.open().await;
    let mut session = database.write().await.unwrap();
    let again = session.execute("INSERT INTO changes (what, generation) VALUES ($1, $2)", values!["keys", 7_i64]).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    // The connection is still good.
    session.rows("SELECT 1", Vec::new()).await.unwrap();
}

#[tokio::test]
async fn the_folder_and_the_file_are_for_nobody_else() {
    let home = Home::new(Backend::Sqlite);
    let _database = home.open().await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(home.file().parent().unwrap()), 0o700);
    assert_eq!(mode(&home.file()), 0o600);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let home = Home::new(Backend::Sqlite);
    fs::create_dir_all(home.file().parent().unwrap()).unwrap();
    fs::write(home.file(), "This is a diary, and it goes on for quite a while. ".repeat(200)).unwrap();
    let refused = home.try_open().await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
    assert!(refused.to_string().contains("restore it from a backup"), "{refused}");
}

#[tokio::test]
async fn a_file_with_a_corrupt_page_is_refused() {
    let home = Home::new(Backend::Sqlite);
    let database = home.open().await;
    database.close().await;
    // Connections that close at once may leave what they wrote beside the file.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.file());
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut bytes = fs::read(home.file()).unwrap();
    bytes[4096 + 50..5 * 4096].fill(0xa5);
    fs::write(home.file(), bytes).unwrap();
    let refused = home.try_open().await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
}

#[tokio::test]
async fn bad_urls_are_refused_without_repeating_them() {
    for url in ["mysql://root:hunter2@db/x", "postgres://user:hunter2@host:notaport/x", "", "sqlite://"] {
        let home = Home { url: portcullis::types::Secret::new(url), ..Home::new(Backend::Sqlite) };
        let refused = home.try_open().await.unwrap_err();
        assert!(matches!(refused, StoreError::Url(_)), "{url}: {refused}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}

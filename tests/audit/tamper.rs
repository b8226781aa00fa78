//! Every way to tamper with a store is found, and the first bad record is named.

use std::fs;

use portcullis::control::audit::chain::{hash, sha256};
use portcullis::control::audit::walk::{self, Against};
use portcullis::control::audit::{Fault, Finding, Options, Trail};
use portcullis::store::Backend;
use portcullis::values;

use crate::both;
use crate::home::{Home, entry, seq};

both!(
    each_changed_cell_is_named,
    removed_swapped_and_doubled_records_are_named,
    a_cut_tail_shows_in_the_checkpoints_outside,
    a_whole_rewrite_with_recomputed_hashes_shows,
    a_second_history_shows_even_with_the_right_key,
    a_trail_that_finds_its_store_cut_says_so,
    checkpoints_are_as_well_guarded,
);

/// Tampers with a fresh trail of 30 records (checkpoints at 10, 20, 30) and gives what is found.
async fn tampered(home: &Home, sql: &str) -> Finding {
    let fresh = Home::new(if home.url.starts_with("sqlite") { Backend::Sqlite } else { Backend::Postgres });
    fresh.filled(30).await;
    assert_eq!(fresh.verify().await.unwrap().records, 30);
    assert!(fresh.sql(sql).await > 0, "{sql}");
    fresh.verify().await.expect_err(sql)
}

async fn each_changed_cell_is_named(home: Home) {
    let cells = [
        "body = replace(body, 'gateway', 'gatewax')",
        "body = replace(body, '\"seq\":7', '\"seq\":07')",
        "body = ''",
        "body = body || ' '",
        "hash = (SELECT hash FROM audit WHERE seq = 6)",
        "id = 'aud_x'",
        "time = time + 1",
        "kind = 'login'",
        "actor = 'acc_9'",
        "request = 'req_1'",
    ];
    for cell in cells {
        let found = tampered(&home, &format!("UPDATE audit SET {cell} WHERE seq = 7")).await;
        assert_eq!((found.seq, found.fault), (7, Fault::Changed), "{cell}: {found}");
    }
    for cell in ["body = replace(body, 'user-', 'abuser-')", "salt = (SELECT hash FROM audit WHERE seq = 6)"] {
        let found = tampered(&home, &format!("UPDATE audit_personal SET {cell} WHERE seq = 7")).await;
        assert_eq!((found.seq, found.fault), (7, Fault::Changed), "{cell}: {found}");
    }
}

async fn removed_swapped_and_doubled_records_are_named(home: Home) {
    let copy = "INSERT INTO audit (seq, id, time, kind, actor, request, body, hash) SELECT";
    let cases = [
        ("DELETE FROM audit WHERE seq = 1".to_owned(), 1, Fault::Removed),
        ("DELETE FROM audit WHERE seq = 15".to_owned(), 15, Fault::Removed),
        ("DELETE FROM audit WHERE seq BETWEEN 15 AND 17".to_owned(), 15, Fault::Removed),
        ("DELETE FROM audit WHERE seq < 12".to_owned(), 1, Fault::Removed),
        ("DELETE FROM audit WHERE seq = 30".to_owned(), 30, Fault::Truncated),
        ("DELETE FROM audit WHERE seq > 22".to_owned(), 23, Fault::Truncated),
        ("DELETE FROM audit".to_owned(), 1, Fault::Truncated),
        (
            "UPDATE audit SET seq = 99 WHERE seq = 7; UPDATE audit SET seq = 7 WHERE seq = 8; \
             UPDATE audit SET seq = 8 WHERE seq = 99"
                .to_owned(),
            7,
            Fault::Swapped,
        ),
        (
            format!("{copy} 31, 'aud_x', time, kind, actor, request, body, hash FROM audit WHERE seq = 30"),
            31,
            Fault::Doubled,
        ),
        (
            format!(
                "DELETE FROM audit WHERE seq = 20; {copy} 20, 'aud_x', time, kind, actor, request, body, hash FROM audit WHERE seq = 19"
            ),
            20,
            Fault::Doubled,
        ),
    ];
    for (sql, seq, fault) in cases {
        let found = tampered(&home, &sql).await;
        assert_eq!((found.seq, found.fault), (seq, fault), "{sql}: {found}");
    }
}

/// Cuts the store's chain after record 10 so that the store itself is consistent.
const CUT: &str = "DELETE FROM audit WHERE seq > 10; DELETE FROM audit_personal WHERE seq > 10; DELETE FROM audit_checkpoints WHERE seq > 10; \
    UPDATE audit_head SET seq = 10, hash = (SELECT hash FROM audit WHERE seq = 10), checkpoint = 10";

async fn a_cut_tail_shows_in_the_checkpoints_outside(home: Home) {
    let found = tampered(&home, CUT).await;
    assert_eq!((found.seq, found.fault), (11, Fault::Truncated), "{found}");
    let all = "DELETE FROM audit; DELETE FROM audit_checkpoints; UPDATE audit_head SET seq = 0, checkpoint = 0";
    let found = tampered(&home, all).await;
    assert_eq!((found.seq, found.fault), (1, Fault::Truncated), "{found}");
}

async fn a_whole_rewrite_with_recomputed_hashes_shows(home: Home) {
    home.filled(30).await;
    // Another trail on an empty store is a rewrite with correct hashes; even with the same key it is not the same.
    let other = Home::new(Backend::Sqlite);
    fs::create_dir_all(other.directory()).unwrap();
    fs::copy(home.directory().join("signing.key"), other.directory().join("signing.key")).unwrap();
    other.filled(30).await;
    let mut forged = home.against();
    forged.segments = None;
    let database = other.database().await;
    let found = walk::store(&database, &forged).await.unwrap().unwrap_err();
    assert_eq!((found.seq, found.fault), (1, Fault::Rewritten), "{found}");
    // Records 15 to 30 anew, with correct hashes, but without the key.
    rewrite(&home, 15).await;
    let found = home.verify().await.unwrap_err();
    assert_eq!((found.seq, found.fault), (11, Fault::Rewritten), "{found}");
    // Without the store's own checkpoints the ones outside still tell.
    home.sql("DELETE FROM audit_checkpoints").await;
    let found = home.verify().await.unwrap_err();
    assert_eq!((found.seq, found.fault), (11, Fault::Rewritten), "{found}");
}

/// Changes the records from `from` on and computes every hash anew.
async fn rewrite(home: &Home, from: i64) {
    let database = home.database().await;
    let rows = database.audit_page(from - 2, 1000).await.unwrap();
    let mut before: [u8; 32] = rows[0].hash.as_slice().try_into().unwrap();
    let mut session = database.write().await.unwrap();
    for row in &rows[1..] {
        let body = row.body.replace("gateway", "gatewax");
        before = hash(&before, body.as_bytes());
        let values = values![body, before.to_vec(), row.seq];
        session.execute("UPDATE audit SET body = $1, hash = $2 WHERE seq = $3", values).await.unwrap();
    }
    session.execute("UPDATE audit_head SET hash = $1", values![before.to_vec()]).await.unwrap();
}

/// Somebody with the signing key cuts the chain after record 10 and goes on in another way.
async fn a_second_history_shows_even_with_the_right_key(home: Home) {
    let database = home.filled(30).await;
    let stored = database.audit_checkpoints(9, 1).await.unwrap();
    home.sql(CUT).await;
    let known = sha256(stored[0].body.as_bytes()).to_vec();
    database
        .write()
        .await
        .unwrap()
        .execute("UPDATE audit_head SET checkpoint_hash = $1", values![known])
        .await
        .unwrap();
    let thief = tempfile::tempdir().unwrap();
    fs::copy(home.directory().join("signing.key"), thief.path().join("signing.key")).unwrap();
    let options = Options { directory: thief.path().to_owned(), ..home.options() };
    let trail = Trail::open(home.database().await, options).await.unwrap();
    for number in 11..=30 {
        assert_eq!(seq(trail.append(entry(number)).await.unwrap()), number);
    }
    trail.close().await;
    let found = home.verify().await.unwrap_err();
    assert_eq!((found.seq, found.fault), (11, Fault::Forked), "{found}");
    // Alone it looks perfect: that is what the files outside are for.
    let alone = Against { checkpoints: None, ..home.against() };
    walk::store(&home.database().await, &alone).await.unwrap().unwrap();
}

async fn a_trail_that_finds_its_store_cut_says_so(home: Home) {
    home.filled(30).await;
    home.sql(CUT).await;
    let trail = home.open().await;
    assert_eq!(seq(trail.append(entry(1)).await.unwrap()), 12);
    assert!(trail.health().diverged);
    trail.close().await;
    let rows = home.database().await.audit_page(10, 1).await.unwrap();
    assert_eq!(rows[0].kind, "integrity");
    assert!(home.verify().await.is_err());
}

async fn checkpoints_are_as_well_guarded(home: Home) {
    let cases = [
        ("DELETE FROM audit_checkpoints WHERE seq = 20", 11, Fault::MissingCheckpoint),
        ("DELETE FROM audit_checkpoints WHERE seq = 10", 1, Fault::MissingCheckpoint),
        (
            "UPDATE audit_checkpoints SET signature = replace(signature, '0', '1') WHERE seq = 20",
            11,
            Fault::BadSignature,
        ),
        (
            "UPDATE audit_checkpoints SET body = replace(body, '\"seq\":20', '\"seq\":19') WHERE seq = 20",
            20,
            Fault::BadSignature,
        ),
        ("UPDATE audit_checkpoints SET body = 'x' WHERE seq = 20", 20, Fault::BadSignature),
    ];
    for (sql, seq, fault) in cases {
        let found = tampered(&home, sql).await;
        assert_eq!((found.seq, found.fault), (seq, fault), "{sql}: {found}");
    }
    home.filled(30).await;
    let file = home.directory().join("checkpoints.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let found = async |text: String| {
        fs::write(&file, text).unwrap();
        let found = home.verify().await.unwrap_err();
        (found.seq, found.fault)
    };
    assert_eq!(found(format!("{}\n{}\n", lines[0], lines[2])).await, (11, Fault::MissingCheckpoint));
    assert_eq!(found(format!("{}\n{}\n", lines[1], lines[2])).await, (1, Fault::MissingCheckpoint));
    assert_eq!(found(text.replace("\"seq\":20", "\"seq\":21")).await.1, Fault::BadSignature);
    assert_eq!(found(String::new()).await, (1, Fault::MissingCheckpoint));
    fs::remove_file(&file).unwrap();
    assert_eq!(home.verify().await.unwrap_err().fault, Fault::MissingCheckpoint);
    fs::write(&file, &text).unwrap();
    home.verify().await.unwrap();
    let mut strangers = home.against();
    let stranger = Home::new(Backend::Sqlite);
    stranger.filled(1).await;
    strangers.keys = stranger.against().keys;
    let found = walk::store(&home.database().await, &strangers).await.unwrap().unwrap_err();
    assert_eq!((found.seq, found.fault), (1, Fault::UnknownKey));
}

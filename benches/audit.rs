//! What the audit trail costs: chaining, verifying an export, and appending to and verifying a SQLite store.
//!
//! `cargo bench --bench audit` runs all; the store has `PORTCULLIS_AUDIT_RECORDS` records, or 200,000.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement prints, and has failed when something is not as expected"
)]

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use portcullis::control::audit::chain::{Head, link};
use portcullis::control::audit::walk::{self, Against};
use portcullis::control::audit::{Entry, KeyRing, Kind, Options, Outcome, Trail, segment};
use portcullis::store::{self, Database};
use portcullis::types::Secret;

fn entry(number: usize) -> Entry {
    Entry::new(Kind::Block, "key_0192f7c1", "/v1/chat/completions")
        .outcome(Outcome::Denied)
        .request(format!("req_{number:032}"))
        .detail("reason", "content_filter")
        .detail("status", 400)
        .detail("rules", vec!["PC-INJ-0001", "PC-INJ-0007"])
        .personal("user", format!("user-{}", number % 1000))
        .personal("address", "203.0.113.7")
}

fn say(what: &str, count: usize, took: Duration) {
    println!("{what:<44} {:>12.0} per second", count as f64 / took.as_secs_f64());
}

fn main() {
    let records: usize =
        std::env::var("PORTCULLIS_AUDIT_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();

    let entries: Vec<Entry> = (0..20_000).map(entry).collect();
    let began = Instant::now();
    let mut head = Head::EMPTY;
    for entry in &entries {
        let link = black_box(link(&head, entry, "replica-1", &[7; 32]));
        head = Head { seq: link.seq, hash: link.hash };
    }
    say("chain, in memory", entries.len(), began.elapsed());

    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("audit");
    let options = Options { directory: directory.clone(), ..Options::default() };
    let url = Secret::new(format!("sqlite://{}", folder.path().join("store.db").display()));
    runtime.block_on(Box::pin(async {
        let database = Database::open(&url, &store::Options::default()).await.unwrap();
        let trail = Trail::open(database.clone(), options).await.unwrap();
        let began = Instant::now();
        let mut tasks = Vec::new();
        for task in 0..256 {
            let trail = trail.clone();
            tasks.push(tokio::spawn(async move {
                for number in 0..records / 256 {
                    trail.append(entry(number * 256 + task)).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        say("append, durable, 256 callers, SQLite", records, began.elapsed());
        trail.close().await;

        let keys = KeyRing::of_directory(&directory).unwrap();
        let against = Against { keys, checkpoints: Some(directory.clone()), segments: None };
        let began = Instant::now();
        let summary = walk::store(&database, &against).await.unwrap().unwrap();
        let count = usize::try_from(summary.records).unwrap();
        say("verify, SQLite", count, began.elapsed());

        for (personal, what) in [(true, "verify, export"), (false, "verify, export without persons")] {
            let mut out = Vec::new();
            segment::write(&database, &mut out, (1, summary.last), personal).await.unwrap();
            let path = folder.path().join("export.jsonl");
            fs::write(&path, out).unwrap();
            let began = Instant::now();
            walk::file(&path, &against).await.unwrap().unwrap();
            say(what, count, began.elapsed());
        }
    }));
}

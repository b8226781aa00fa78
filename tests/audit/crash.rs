//! Processes that are killed, and processes that write at the same time.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portcullis::control::audit::walk::{self, Against};
use portcullis::control::audit::{KeyRing, Options, Trail};
use portcullis::store::{self, Database};
use portcullis::types::Secret;

use crate::both;
use crate::home::{Home, entry};

both!(nothing_acknowledged_is_lost_to_kill_9, three_processes_write_one_chain);

/// How many kills: `PORTCULLIS_AUDIT_KILLS`, or 20.
fn rounds() -> usize {
    std::env::var("PORTCULLIS_AUDIT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Starts this test program again as a process that writes; it prints each acknowledged id.
fn writer(home: &Home, directory: &str, count: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env("AUDIT_CHILD_URL", &home.url)
        .env("AUDIT_CHILD_DIRECTORY", home.folder.path().join(directory))
        .env("AUDIT_CHILD_COUNT", count.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What such a process does: appends from eight tasks until it is done or killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(url) = std::env::var("AUDIT_CHILD_URL") else { return };
    let directory = PathBuf::from(std::env::var_os("AUDIT_CHILD_DIRECTORY").unwrap());
    let count: usize = std::env::var("AUDIT_CHILD_COUNT").unwrap().parse().unwrap();
    let options = Options {
        replica: directory.file_name().unwrap().to_string_lossy().into_owned(),
        directory,
        checkpoint_every: Duration::from_millis(50),
        ..Options::default()
    };
    let database = Database::open(&Secret::new(url), &store::Options::default()).await.unwrap();
    let trail = Trail::open(database, options).await.unwrap();
    let mut tasks = Vec::new();
    for task in 0..8_i64 {
        let trail = trail.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..count / 8 {
                let entry = entry(number as i64 * 8 + task);
                let id = entry.id.clone();
                trail.append(entry).await.unwrap();
                let line = format!("\nack {id}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    trail.close().await;
}

/// Reads acknowledged ids until `most` came or the process ended.
fn acknowledged(child: &mut Child, most: usize) -> Vec<String> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ids = Vec::new();
    for line in lines.map_while(Result::ok) {
        if let Some(id) = line.strip_prefix("ack ") {
            ids.push(id.to_owned());
            if ids.len() == most {
                // Killed with writes under way. What it printed until then is still read.
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    ids
}

async fn ids_in(database: &Database) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut after = 0;
    loop {
        let page = database.audit_page(after, 2000).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = last.seq;
        for row in page {
            assert!(found.insert(row.id), "twice");
        }
    }
}

async fn nothing_acknowledged_is_lost_to_kill_9(home: Home) {
    let mut ids = Vec::new();
    for round in 0..rounds() {
        let mut child = writer(&home, "audit", 1_000_000);
        let most = 20 + (round * 37) % 200;
        ids.extend(tokio::task::spawn_blocking(move || acknowledged(&mut child, most)).await.unwrap());
    }
    assert!(ids.len() >= rounds() * 20);
    // Whatever is in the spool goes into the chain.
    home.open().await.close().await;
    let summary = home.verify().await.unwrap();
    let found = ids_in(&home.database().await).await;
    let missing = ids.iter().filter(|id| !found.contains(*id)).count();
    assert_eq!(missing, 0, "of {} acknowledged", ids.len());
    assert_eq!(summary.records, found.len() as u64);
}

async fn three_processes_write_one_chain(home: Home) {
    let each = if home.url.starts_with("sqlite") { 400 } else { 2000 };
    // The schema first, so that it is not part of the race here.
    home.database().await.close().await;
    let children: Vec<Child> = ["one", "two", "three"].iter().map(|directory| writer(&home, directory, each)).collect();
    let mut ids = HashSet::new();
    let reading: Vec<_> = children
        .into_iter()
        .map(|mut child| tokio::task::spawn_blocking(move || acknowledged(&mut child, usize::MAX)))
        .collect();
    for reading in reading {
        ids.extend(reading.await.unwrap());
    }
    assert_eq!(ids.len(), 3 * each);
    let database = home.database().await;
    // Entries that waited in a spool because another process held the chain for too long.
    let mut keys = KeyRing::default();
    for directory in ["one", "two", "three"] {
        let directory = home.folder.path().join(directory);
        keys.merge(KeyRing::of_directory(&directory).unwrap());
        let options = Options { directory, replica: "last".to_owned(), ..Options::default() };
        Trail::open(home.database().await, options).await.unwrap().close().await;
    }
    assert!(ids.is_subset(&ids_in(&database).await));
    // Each replica's files have every checkpoint, whoever made it.
    for directory in ["one", "two", "three"] {
        let checkpoints = Some(home.folder.path().join(directory));
        let against = Against { keys: keys.clone(), checkpoints, segments: None };
        let summary = walk::store(&database, &against).await.unwrap().unwrap();
        assert_eq!(summary.records as usize, 3 * each + 3, "{directory}");
    }
}

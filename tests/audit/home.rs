//! A place for a trail of a test: a store on one of the backends, and a folder beside it.

use std::path::PathBuf;
use std::time::Duration;

use portcullis::control::audit::walk::{self, Against};
use portcullis::control::audit::{Entry, Finding, KeyRing, Kind, Options, Receipt, Summary, Trail};
use portcullis::store::{self, Backend, Database};
use portcullis::types::Secret;
use tempfile::TempDir;

use crate::backends::place;

/// Where a trail lives; gone when it is dropped.
pub struct Home {
    pub folder: TempDir,
    pub url: String,
    pub store: store::Options,
}

impl Home {
    pub fn new(backend: Backend) -> Self {
        let (folder, url) = place(backend);
        Self { folder, url, store: store::Options::default() }
    }

    pub async fn database(&self) -> Database {
        Database::open(&Secret::new(self.url.as_str()), &self.store).await.unwrap()
    }

    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    pub fn options(&self) -> Options {
        Options {
            directory: self.directory(),
            replica: "replica-1".to_owned(),
            // Only records make checkpoints due, so that tests know where they are.
            checkpoint_every: Duration::from_secs(3600),
            checkpoint_records: 10,
            retry_every: Duration::from_millis(20),
            ..Options::default()
        }
    }

    pub async fn open(&self) -> Trail {
        Trail::open(self.database().await, self.options()).await.unwrap()
    }

    /// A trail with records `1..=count`, the first of which introduces its key; closed.
    pub async fn filled(&self, count: i64) -> Database {
        let trail = self.open().await;
        for number in 2..=count {
            assert_eq!(seq(trail.append(entry(number)).await.unwrap()), number);
        }
        trail.close().await;
        self.database().await
    }

    pub fn against(&self) -> Against {
        Against {
            keys: KeyRing::of_directory(&self.directory()).unwrap(),
            checkpoints: Some(self.directory()),
            segments: Some(self.directory().join("segments")),
        }
    }

    pub async fn verify(&self) -> Result<Summary, Finding> {
        walk::store(&self.database().await, &self.against()).await.unwrap()
    }

    /// Runs SQL as somebody would who has the store in hand.
    pub async fn sql(&self, sql: &str) -> u64 {
        let database = self.database().await;
        let mut changed = 0;
        for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
            let statement: &'static str = Box::leak(statement.to_owned().into_boxed_str());
            changed = database.write().await.unwrap().execute(statement, Vec::new()).await.unwrap();
        }
        database.close().await;
        changed
    }
}

pub fn entry(number: i64) -> Entry {
    Entry::new(Kind::ConfigChange, format!("acc_{}", number % 3), "gateway.toml")
        .change(number - 1, number)
        .personal("user", format!("user-{}", number % 5))
}

pub fn seq(receipt: Receipt) -> i64 {
    match receipt {
        Receipt::Committed { seq, .. } => seq,
        other => panic!("{other:?}"),
    }
}

//! A place for a store of a test: a folder with a SQLite file, or a database on the shared server.

use std::path::PathBuf;
use std::time::Duration;

use portcullis::store::{Backend, Database, Options, State, StoreError, Writer};
use portcullis::types::Secret;
use tempfile::TempDir;

use crate::backends::place;

/// Where a store lives; gone when it is dropped.
pub struct Home {
    pub folder: TempDir,
    pub url: Secret,
    pub options: Options,
}

impl Home {
    pub fn new(backend: Backend) -> Self {
        let (folder, url) = place(backend);
        let options = Options {
            spool: Some(folder.path().join("spool")),
            flush_every: Duration::from_millis(5),
            retry_every: Duration::from_millis(50),
            ..Options::default()
        };
        Self { folder, url: Secret::new(url), options }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("data/store.db")
    }

    pub async fn try_open(&self) -> Result<Database, StoreError> {
        Database::open(&self.url, &self.options).await
    }

    pub async fn open(&self) -> Database {
        self.try_open().await.unwrap()
    }

    pub fn writer(&self, database: &Database) -> Writer {
        Writer::start(database.clone(), &self.options, Vec::new()).unwrap()
    }

    /// Waits until the writer has emptied its spool.
    pub async fn until_up(&self, writer: &Writer) {
        until("the spool is empty", || {
            let health = writer.health();
            health.state == State::Up && health.spool_bytes == 0
        })
        .await;
    }
}

/// Waits for a condition, at most half a minute.
pub async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        while !reached() {
            ticks.tick().await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(done.is_ok(), "still waiting: {what}");
}

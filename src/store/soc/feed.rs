//! The feed: every change of the SOC, numbered without holes in the order of commits.

use std::sync::Arc;

use super::{Fed, MOST_ROWS, from_json, json};
use crate::store::insert::Insert;
use crate::store::{Backend, Database, Row, Session, StoreError, now};
use crate::types::soc::{FeedEntry, FeedKind};
use crate::values;

const HEAD: &str = "SELECT seq FROM feed_head WHERE one = 1";
const HEAD_LOCKED: &str = "SELECT seq FROM feed_head WHERE one = 1 FOR UPDATE";
static ENTRIES: Insert = Insert::new("INSERT INTO feed (seq, time, kind, id, body)", 5, "");

/// A transaction that holds the end of the feed: nobody else changes anything of the SOC until it is ended or dropped.
pub(in crate::store) struct FeedTx {
    pub(in crate::store) session: Session,
    head: i64,
    told: Vec<(FeedKind, Arc<str>, serde_json::Value)>,
}

impl FeedTx {
    /// Waits until the end of the feed is free, and takes it.
    pub(in crate::store) async fn begin(database: &Database) -> Result<Self, StoreError> {
        let mut session = database.begin().await?;
        let sql = match session.backend() {
            // `begin` has taken the lock for writing.
            Backend::Sqlite => HEAD,
            Backend::Postgres => HEAD_LOCKED,
        };
        let head = session.row(sql, Vec::new()).await?.ok_or(StoreError::Missing("end of the feed"))?.int(0)?;
        Ok(Self { session, head, told: Vec::new() })
    }

    /// Says how something is now. Only the last word of a transaction on one thing is kept.
    pub(super) fn tell(&mut self, kind: FeedKind, id: &Arc<str>, body: serde_json::Value) {
        self.told.retain(|(known, of, _)| *known != kind || of != id);
        self.told.push((kind, Arc::clone(id), body));
    }

    /// Commits after `Ok`, together with what was told; rolls back after `Err`.
    pub(in crate::store) async fn end<T>(mut self, outcome: Result<T, StoreError>) -> Result<Fed<T>, StoreError> {
        let done = match outcome {
            Ok(done) => done,
            Err(error) => {
                self.session.roll_back().await;
                return Err(error);
            }
        };
        let entries = self.append().await?;
        self.session.commit().await?;
        Ok((done, entries))
    }

    async fn append(&mut self) -> Result<Vec<FeedEntry>, StoreError> {
        if self.told.is_empty() {
            return Ok(Vec::new());
        }
        let time = now();
        let mut entries = Vec::with_capacity(self.told.len());
        let mut rows = Vec::with_capacity(self.told.len());
        for (kind, id, body) in self.told.drain(..) {
            self.head = self.head.saturating_add(1);
            rows.push(values![self.head, time, kind.name(), &id, json(&body)?]);
            entries.push(FeedEntry { seq: self.head, time, kind, id, body });
        }
        ENTRIES.run(&mut self.session, rows).await?;
        self.session.execute("UPDATE feed_head SET seq = $1 WHERE one = 1", values![self.head]).await?;
        Ok(entries)
    }
}

fn entry_of(row: &Row) -> Result<FeedEntry, StoreError> {
    let word = row.text(2)?;
    let kind = FeedKind::ALL.into_iter().find(|kind| kind.name() == word);
    Ok(FeedEntry {
        seq: row.int(0)?,
        time: row.int(1)?,
        kind: kind.ok_or_else(|| StoreError::Value(format!("`{word}` is no kind of feed entry")))?,
        id: row.shared(3)?,
        body: from_json(&row.text(4)?)?,
    })
}

/// Reading the feed.
impl Database {
    /// At most `limit` (and 1000) entries after number `seq`, in order.
    pub async fn feed_after(&self, seq: i64, limit: u32) -> Result<Vec<FeedEntry>, StoreError> {
        let sql = "SELECT seq, time, kind, id, body FROM feed WHERE seq > $1 ORDER BY seq LIMIT $2";
        let rows = self.read().await?.rows(sql, values![seq, limit.min(MOST_ROWS)]).await?;
        rows.iter().map(entry_of).collect()
    }

    /// The number of the newest entry; 0 when there never was one.
    pub async fn feed_head(&self) -> Result<i64, StoreError> {
        self.read().await?.row(HEAD, Vec::new()).await?.ok_or(StoreError::Missing("end of the feed"))?.int(0)
    }

    /// The number of the oldest entry that is kept: who saw less than the one before it has missed something.
    pub async fn feed_oldest(&self) -> Result<Option<i64>, StoreError> {
        self.read().await?.row("SELECT MIN(seq) FROM feed", Vec::new()).await?.map_or(Ok(None), |row| row.maybe_int(0))
    }
}

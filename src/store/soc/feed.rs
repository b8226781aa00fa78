//! The feed: every change of the SOC, numbered without holes in the order of commits.

use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::{Fed, MOST_ROWS, from_json, json};
use crate::store::insert::Insert;
use crate::store::{Backend, Database, Row, Session, StoreError, Value, now};
use crate::types::soc::{FeedEntry, FeedKind};
use crate::values;

const HEAD: &str = "SELECT seq FROM feed_head WHERE one = 1";
const HEAD_LOCKED: &str = "SELECT seq FROM feed_head WHERE one = 1 FOR UPDATE";
static ENTRIES: Insert = Insert::new("INSERT INTO feed (seq, time, kind, id, body)", 5, "");

/// Statements sent to SQLite as one text: each text takes a thread there and back, whatever is in it.
const TOGETHER: usize = 12;
/// Entries that are numbered by the statement that writes them.
const FEW: usize = 8;
const TAKE: &str = "UPDATE feed_head SET seq = seq + $1 WHERE one = 1 RETURNING seq";
const ENTRY: &str = "INSERT INTO feed (seq, time, kind, id, body) \
                     SELECT seq - $1, $2, $3, $4, $5 FROM feed_head WHERE one = 1";

/// A transaction that holds the end of the feed: nobody else changes anything of the SOC until it is ended or dropped.
pub(in crate::store) struct FeedTx {
    session: Session,
    told: Vec<(FeedKind, Arc<str>, serde_json::Value)>,
    put: Vec<(&'static str, Vec<Value>)>,
}

impl FeedTx {
    /// Waits until the end of the feed is free, and takes it.
    pub(in crate::store) async fn begin(database: &Database) -> Result<Self, StoreError> {
        let mut session = database.begin().await?;
        // SQLite has one writer, and `begin` made it this one.
        if matches!(session.backend(), Backend::Postgres) {
            session.row(HEAD_LOCKED, Vec::new()).await?.ok_or(StoreError::Missing("end of the feed"))?;
        }
        Ok(Self { session, told: Vec::new(), put: Vec::new() })
    }

    /// A write that gives nothing back: done before anything else is asked, at the latest at the end.
    pub(super) fn put(&mut self, sql: &'static str, values: Vec<Value>) {
        self.put.push((sql, values));
    }

    /// The connection, on which everything put off is done.
    pub(in crate::store) async fn session(&mut self) -> Result<&mut Session, StoreError> {
        self.flush().await?;
        Ok(&mut self.session)
    }

    pub(in crate::store) const fn backend(&self) -> Backend {
        self.session.backend()
    }

    /// Does what was put off; gives the rows of it.
    async fn flush(&mut self) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        let put = std::mem::take(&mut self.put);
        match self.session.backend() {
            Backend::Sqlite => {
                let mut put = put.into_iter().peekable();
                while put.peek().is_some() {
                    let (sql, values) = joined(put.by_ref().take(TOGETHER));
                    rows.extend(self.session.rows_made(AssertSqlSafe(sql), values).await?);
                }
            }
            Backend::Postgres => {
                for (sql, values) in put {
                    rows.extend(self.session.rows(sql, values).await?);
                }
            }
        }
        Ok(rows)
    }

    /// Says how something is now. Only the last word of a transaction on one thing is kept.
    pub(in crate::store) fn tell(&mut self, kind: FeedKind, id: &Arc<str>, body: serde_json::Value) {
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
            self.flush().await?;
            return Ok(Vec::new());
        }
        let (time, count) = (now(), i64::try_from(self.told.len()).unwrap_or(i64::MAX));
        let entry = |(before, (kind, id, body))| FeedEntry { seq: before, time, kind, id, body };
        // Numbered from the new end backwards until it is known.
        let mut entries: Vec<FeedEntry> = (1..).zip(self.told.drain(..)).map(entry).collect();
        let few = matches!(self.session.backend(), Backend::Sqlite) && entries.len() <= FEW;
        self.put(TAKE, values![count]);
        if few {
            for entry in &entries {
                let back = count.saturating_sub(entry.seq);
                self.put.push((ENTRY, values![back, time, entry.kind.name(), &entry.id, json(&entry.body)?]));
            }
        }
        let taken = self.flush().await?;
        let head = taken.last().ok_or(StoreError::Missing("end of the feed"))?.int(0)?;
        for entry in &mut entries {
            entry.seq = entry.seq.saturating_add(head.saturating_sub(count));
        }
        if !few {
            let row =
                |entry: &FeedEntry| Ok(values![entry.seq, time, entry.kind.name(), &entry.id, json(&entry.body)?]);
            let rows: Result<Vec<_>, StoreError> = entries.iter().map(row).collect();
            ENTRIES.run(&mut self.session, rows?).await?;
        }
        Ok(entries)
    }
}

/// Statements as one text, their values numbered through.
fn joined(statements: impl Iterator<Item = (&'static str, Vec<Value>)>) -> (String, Vec<Value>) {
    let (mut text, mut all) = (String::new(), Vec::new());
    for (sql, values) in statements {
        if !text.is_empty() {
            text.push_str("; ");
        }
        let mut parts = sql.split('$');
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.len().saturating_sub(part.trim_start_matches(|c: char| c.is_ascii_digit()).len());
            let (number, rest) = part.split_at_checked(digits).unwrap_or_default();
            let number = number.parse::<usize>().unwrap_or_default().saturating_add(all.len());
            // Writing to a String cannot fail.
            write!(text, "${number}{rest}").unwrap_or_default();
        }
        all.extend(values);
    }
    (text, all)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_one_text_keep_their_values() {
        let two =
            [("UPDATE a SET x = $2 WHERE id = $1 OR y = $2", values![1_i64, 2_i64]), ("DELETE FROM b", Vec::new())];
        let three = two.into_iter().chain([("INSERT INTO c VALUES ($1)", values![3_i64])]);
        let (text, values) = joined(three);
        assert_eq!(text, "UPDATE a SET x = $2 WHERE id = $1 OR y = $2; DELETE FROM b; INSERT INTO c VALUES ($3)");
        assert_eq!(values, values![1_i64, 2_i64, 3_i64]);
    }
}

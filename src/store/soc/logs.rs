//! Timelines of incidents and alerts.

use std::sync::Arc;

use super::feed::FeedTx;
use super::{MOST_ROWS, alerts, from_json, incidents, json};
use crate::store::{Database, StoreError};
use crate::types::soc::{FeedEntry, LogEntry};
use crate::values;

/// A line with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Its number in the timeline, from 1.
    pub seq: i64,
    /// What it says.
    pub entry: LogEntry,
}

/// Adds lines, in order. The end of the feed is held, so no two take the same number.
pub(super) fn add(tx: &mut FeedTx, about: &Arc<str>, lines: &[LogEntry]) -> Result<(), StoreError> {
    let sql = "INSERT INTO soc_log (about, seq, time, body) \
               SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3 FROM soc_log WHERE about = $1";
    for line in lines {
        tx.put(sql, values![about, line.time, json(line)?]);
    }
    Ok(())
}

async fn comment(tx: &mut FeedTx, about: &Arc<str>, line: &LogEntry) -> Result<(), StoreError> {
    if let Some(mut incident) = incidents::find(tx, about).await? {
        incident.updated = incident.updated.max(line.time);
        incidents::store(tx, &incident)?;
    } else {
        let found = alerts::find(tx, std::slice::from_ref(about)).await?.pop();
        alerts::tell(tx, &found.ok_or(StoreError::Missing("incident or alert"))?)?;
    }
    add(tx, about, std::slice::from_ref(line))
}

/// Timelines.
impl Database {
    /// Adds a line to the timeline of an incident or an alert.
    ///
    /// # Errors
    /// `Missing` when there is neither with this id.
    pub async fn log(&self, about: &Arc<str>, line: &LogEntry) -> Result<Vec<FeedEntry>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = comment(&mut tx, about, line).await;
        tx.end(done).await.map(|((), feed)| feed)
    }

    /// At most `limit` (and 1000) lines after number `after`, in order.
    pub async fn log_of(&self, about: &str, after: i64, limit: u32) -> Result<Vec<LogLine>, StoreError> {
        let sql = "SELECT seq, body FROM soc_log WHERE about = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let rows = self.read().await?.rows(sql, values![about.to_owned(), after, limit.min(MOST_ROWS)]).await?;
        rows.iter().map(|row| Ok(LogLine { seq: row.int(0)?, entry: from_json(&row.text(1)?)? })).collect()
    }
}

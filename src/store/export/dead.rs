//! Dead letters: what a receiver refused for good, kept until a person decides.

use std::collections::BTreeMap;

use crate::store::{Database, Row, StoreError};
use crate::values;

/// One item that its receiver refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// `ded_` and a time-ordered UUID (version 7).
    pub id: String,
    /// The sink.
    pub sink: String,
    /// Where it came from, and its number there: the same item is buried once.
    pub source: String,
    /// Its number.
    pub seq: i64,
    /// Whom it is about, for erasure.
    pub user: Option<String>,
    /// When: Unix time in microseconds.
    pub made: i64,
    /// How often it was refused.
    pub tries: u64,
    /// Whether it waits to be tried once more.
    pub again: bool,
    /// Why it was refused.
    pub reason: String,
    /// The item as JSON, without content.
    pub body: String,
}

/// Which dead letters to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadPage {
    /// Of this sink.
    pub sink: Option<String>,
    /// Older than this one.
    pub before: Option<String>,
    /// The most.
    pub limit: u32,
}

fn letter(row: &Row) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        id: row.text(0)?,
        sink: row.text(1)?,
        source: row.text(2)?,
        seq: row.int(3)?,
        user: row.maybe_text(4)?,
        made: row.int(5)?,
        tries: row.count(6)?,
        again: row.yes(7)?,
        reason: row.text(8)?,
        body: row.text(9)?,
    })
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, sink, source, seq, user_, made, tries, again, reason, body FROM export_dead ", $rest)
    };
}

/// Dead letters.
impl Database {
    /// Buries an item, or writes down that it was refused again. Where a sink has more than `most` the oldest go: how many.
    pub async fn export_bury(&self, dead: &DeadLetter, most: u32) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO export_dead (id, sink, source, seq, user_, made, tries, again, reason, body) \
                   VALUES ($1, $2, $3, $4, $5, $6, 1, 0, $7, $8) ON CONFLICT (sink, source, seq) DO UPDATE \
                   SET reason = EXCLUDED.reason, again = 0, tries = export_dead.tries + 1";
        let values = values![
            dead.id.clone(),
            dead.sink.clone(),
            dead.source.clone(),
            dead.seq,
            dead.user.clone(),
            dead.made,
            dead.reason.clone(),
            dead.body.clone(),
        ];
        tx.execute(sql, values).await?;
        let sql = "DELETE FROM export_dead WHERE id IN (SELECT id FROM export_dead WHERE sink = $1 \
                   ORDER BY made DESC, id DESC LIMIT 1000 OFFSET $2)";
        let gone = tx.execute(sql, values![dead.sink.clone(), most]).await?;
        tx.commit().await?;
        Ok(gone)
    }

    /// A page of dead letters, newest first.
    pub async fn export_dead(&self, page: &DeadPage) -> Result<Vec<DeadLetter>, StoreError> {
        let sql = select!("WHERE (sink = $1 OR $1 = '') AND (id < $2 OR $2 = '') ORDER BY id DESC LIMIT $3");
        let (sink, before) = (page.sink.clone().unwrap_or_default(), page.before.clone().unwrap_or_default());
        self.read().await?.rows(sql, values![sink, before, page.limit]).await?.iter().map(letter).collect()
    }

    /// One dead letter.
    pub async fn export_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        self.read().await?.row(select!("WHERE id = $1"), values![id.to_owned()]).await?.as_ref().map(letter).transpose()
    }

    /// Dead letters of a sink that are to be tried once more, oldest first.
    pub async fn export_dead_again(&self, sink: &str, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        let sql = select!("WHERE sink = $1 AND again = 1 ORDER BY id LIMIT $2");
        self.read().await?.rows(sql, values![sink.to_owned(), limit]).await?.iter().map(letter).collect()
    }

    /// Has a dead letter tried once more; says whether there is one.
    pub async fn export_retry(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE export_dead SET again = 1 WHERE id = $1";
        Ok(self.write().await?.execute(sql, values![id.to_owned()]).await? > 0)
    }

    /// Removes a dead letter; says whether there was one.
    pub async fn export_forget(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM export_dead WHERE id = $1";
        Ok(self.write().await?.execute(sql, values![id.to_owned()]).await? > 0)
    }

    /// How many dead letters each sink has.
    pub async fn export_dead_counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let sql = "SELECT sink, CAST(COUNT(*) AS BIGINT) FROM export_dead GROUP BY sink LIMIT 1000";
        self.read().await?.rows(sql, Vec::new()).await?.iter().map(|row| Ok((row.text(0)?, row.count(1)?))).collect()
    }
}

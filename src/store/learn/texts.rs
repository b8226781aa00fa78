//! A site's own harmless texts: nothing that is learned may hit them.

use std::sync::Arc;

use crate::store::{Database, Row, StoreError};
use crate::values;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HarmlessText {
    /// `txt_` and a sortable id.
    pub id: Arc<str>,
    /// What stands for the text, however it is written.
    pub print: Arc<str>,
    /// The text.
    pub text: String,
    /// The user whose words they are, for erasure.
    pub user: Option<Arc<str>>,
    /// Who added it: an account's name.
    pub by: Arc<str>,
    /// When: Unix time in microseconds.
    pub at: i64,
}

fn text_of(row: &Row) -> Result<HarmlessText, StoreError> {
    Ok(HarmlessText {
        id: row.shared(0)?,
        print: row.shared(1)?,
        text: row.text(2)?,
        user: row.maybe_shared(3)?,
        by: row.shared(4)?,
        at: row.int(5)?,
    })
}

/// Harmless texts.
impl Database {
    /// Adds a text; says whether it was new.
    ///
    /// # Errors
    /// `Full` when there are `most` of them.
    pub async fn add_harmless(&self, text: &HarmlessText, most: u64) -> Result<bool, StoreError> {
        let mut session = self.begin().await?;
        let count = session.row("SELECT COUNT(*) FROM learn_texts", Vec::new()).await?;
        if count.map_or(Ok(0), |row| row.count(0))? >= most {
            session.roll_back().await;
            return Err(StoreError::Full("there are as many harmless texts as may be kept"));
        }
        let sql = "INSERT INTO learn_texts (id, print, text, user_, by_, at) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT DO NOTHING";
        let values = values![&text.id, &text.print, text.text.clone(), &text.user, &text.by, text.at];
        let new = session.execute(sql, values).await? > 0;
        session.commit().await?;
        Ok(new)
    }

    /// Removes a text; says whether it was there.
    pub async fn remove_harmless(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM learn_texts WHERE id = $1";
        Ok(self.write().await?.execute(sql, values![id.to_owned()]).await? > 0)
    }

    /// How many texts there are, and the id of the last: whether any were added or removed.
    pub async fn harmless_mark(&self) -> Result<(u64, String), StoreError> {
        let sql = "SELECT COUNT(*), COALESCE(MAX(id), '') FROM learn_texts";
        let row = self.read().await?.row(sql, Vec::new()).await?;
        row.map_or(Ok((0, String::new())), |row| Ok((row.count(0)?, row.text(1)?)))
    }

    /// At most `limit` texts with ids after `after`, in the order of their ids.
    pub async fn harmless(&self, after: &str, limit: u32) -> Result<Vec<HarmlessText>, StoreError> {
        let sql = "SELECT id, print, text, user_, by_, at FROM learn_texts WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.read().await?.rows(sql, values![after.to_owned(), limit]).await?;
        rows.iter().map(text_of).collect()
    }
}

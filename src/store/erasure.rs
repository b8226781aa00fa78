//! Erasing one person: content goes, what has to stay is no longer theirs. The audit trail is kept by another part,
//! which keeps persons out of what it chains.

use serde_json::Value as Json;

use super::changes::{Changed, touch};
use super::{Database, Session, StoreError};
use crate::types::visible;
use crate::values;

/// Rows of one transaction.
const AT_ONCE: u32 = 200;

/// What was done for one person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erased {
    /// The name that stands in place of the person's now; drawn at random, and kept nowhere beside it.
    pub pseudonym: String,
    /// Texts removed.
    pub contents: u64,
    /// Requests that name nobody any more; their findings name requests only.
    pub requests: u64,
    /// Events that name nobody any more.
    pub events: u64,
    /// Rows of the ledger under the pseudonym.
    pub ledger: u64,
    /// Keys revoked and anonymised.
    pub keys: u64,
    /// Objects of providers forgotten.
    pub issued: u64,
    /// Orders about the person that were over, removed. Those in force stay until they end.
    pub orders: u64,
    /// Alerts, incidents and held tool calls that name nobody any more.
    pub soc: u64,
    /// Reported texts forgotten.
    pub reports: u64,
    /// Exports that a receiver had refused, removed.
    pub exports: u64,
    /// Kept reports that name nobody any more.
    pub documents: u64,
}

impl Database {
    /// Removes or anonymises everything of a user, in small transactions. It can be called again after a failure; then
    /// the rest gets another pseudonym.
    pub async fn erase(&self, user: &str, now: i64) -> Result<Erased, StoreError> {
        let pseudonym = format!("erased_{}", uuid::Uuid::new_v4().simple());
        let mut erased = Erased { pseudonym: pseudonym.clone(), ..Erased::default() };
        erased.contents = self.erase_by("DELETE FROM contents WHERE user_ = $1", user).await?;
        // Content that was stored without a user belongs to whom the request belongs to.
        erased.requests = self.erase_requests(user, &pseudonym, &mut erased.contents).await?;
        erased.events = self.erase_events(user, &pseudonym).await?;
        erased.ledger = self.erase_ledger(user, &pseudonym).await?;
        erased.issued = self.erase_by("DELETE FROM issued WHERE user_ = $1", user).await?;
        erased.keys = self.erase_keys(user, &pseudonym, now).await?;
        erased.orders = self.erase_orders(user, now).await?;
        erased.soc = self.erase_soc(user, &pseudonym).await?;
        erased.reports = self.erase_reports(user).await?;
        erased.exports = self.erase_by("DELETE FROM export_dead WHERE user_ = $1", user).await?;
        erased.documents = self.erase_documents(user, &pseudonym).await?;
        Ok(erased)
    }

    async fn erase_by(&self, sql: &'static str, user: &str) -> Result<u64, StoreError> {
        self.write().await?.execute(sql, values![user.to_owned()]).await
    }

    async fn erase_requests(&self, user: &str, pseudonym: &str, contents: &mut u64) -> Result<u64, StoreError> {
        let mut count = 0_u64;
        loop {
            let mut tx = self.begin().await?;
            let sql = "SELECT id, record FROM requests WHERE user_ = $1 LIMIT $2";
            let rows = tx.rows(sql, values![user.to_owned(), AT_ONCE]).await?;
            for row in &rows {
                let id = row.text(0)?;
                let record = anonymous(&row.text(1)?, user, pseudonym);
                let gone = "DELETE FROM contents WHERE request = $1";
                *contents = contents.saturating_add(tx.execute(gone, values![id.clone()]).await?);
                let sql = "UPDATE requests SET user_ = $2, session = NULL, address = NULL, record = $3 WHERE id = $1";
                tx.execute(sql, values![id, pseudonym.to_owned(), record]).await?;
            }
            tx.commit().await?;
            count = count.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            if rows.len() < usize::try_from(AT_ONCE).unwrap_or(usize::MAX) {
                return Ok(count);
            }
        }
    }

    async fn erase_events(&self, user: &str, pseudonym: &str) -> Result<u64, StoreError> {
        let mut count = 0_u64;
        loop {
            let mut tx = self.begin().await?;
            let sql = "SELECT id, body FROM events WHERE user_ = $1 LIMIT $2";
            let rows = tx.rows(sql, values![user.to_owned(), AT_ONCE]).await?;
            for row in &rows {
                let body = anonymous(&row.text(1)?, user, pseudonym);
                let sql = "UPDATE events SET user_ = $2, body = $3 WHERE id = $1";
                tx.execute(sql, values![row.text(0)?, pseudonym.to_owned(), body]).await?;
            }
            tx.commit().await?;
            count = count.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            if rows.len() < usize::try_from(AT_ONCE).unwrap_or(usize::MAX) {
                return Ok(count);
            }
        }
    }

    /// One statement: the pseudonym is new, so no row can collide with another.
    async fn erase_ledger(&self, user: &str, pseudonym: &str) -> Result<u64, StoreError> {
        let sql = "UPDATE spend_hourly SET user_ = $2 WHERE user_ = $1 AND user_ <> ''";
        self.write().await?.execute(sql, values![user.to_owned(), pseudonym.to_owned()]).await
    }

    /// A key that stands for a person ends with them.
    async fn erase_keys(&self, user: &str, pseudonym: &str, now: i64) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let sql =
            "UPDATE keys SET user_ = $2, name = 'erased', note = '', revoked = COALESCE(revoked, $3) WHERE user_ = $1";
        let count = tx.execute(sql, values![user.to_owned(), pseudonym.to_owned(), now]).await?;
        if count > 0 {
            touch(&mut tx, Changed::Keys).await?;
        }
        tx.commit().await?;
        Ok(count)
    }

    /// Kept reports show names as people read them.
    async fn erase_documents(&self, user: &str, pseudonym: &str) -> Result<u64, StoreError> {
        let shown = visible(user, usize::MAX);
        let (mut count, mut after) = (0_u64, String::new());
        loop {
            let mut tx = self.begin().await?;
            let row = tx.row("SELECT id, body FROM reports WHERE id > $1 ORDER BY id LIMIT 1", values![after]).await?;
            let Some(row) = row else {
                tx.roll_back().await;
                return Ok(count);
            };
            let (id, body) = (row.text(0)?, row.text(1)?);
            let Ok(mut document) = serde_json::from_str::<Json>(&body) else {
                tx.roll_back().await;
                return Err(StoreError::Value(format!("report {id} cannot be read")));
            };
            rename(&mut document, &shown, pseudonym);
            let renamed = document.to_string();
            if renamed == body {
                tx.roll_back().await;
            } else {
                tx.execute("UPDATE reports SET body = $2 WHERE id = $1", values![id.clone(), renamed]).await?;
                tx.commit().await?;
                count = count.saturating_add(1);
            }
            after = id;
        }
    }

    async fn erase_orders(&self, user: &str, now: i64) -> Result<u64, StoreError> {
        let subject = serde_json::to_string(&crate::types::Subject::User { name: user.into() })
            .map_err(|why| StoreError::Value(why.to_string()))?;
        let mut session: Session = self.write().await?;
        let sql = "DELETE FROM orders WHERE subject = $1 AND (lifted IS NOT NULL OR expires < $2)";
        session.execute(sql, values![subject, now]).await
    }
}

/// Puts the pseudonym wherever the name stands as a whole value.
fn rename(value: &mut Json, user: &str, pseudonym: &str) {
    match value {
        Json::String(text) if text == user => pseudonym.clone_into(text),
        Json::Array(items) => items.iter_mut().for_each(|item| rename(item, user, pseudonym)),
        Json::Object(fields) => fields.values_mut().for_each(|field| rename(field, user, pseudonym)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// A record or an event without the person: wherever the name stands as a whole value it becomes the pseudonym, and
/// what else tells a caller apart goes.
fn anonymous(json: &str, user: &str, pseudonym: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Json>(json) else { return "{}".to_owned() };
    replace(&mut value, user, pseudonym);
    value.to_string()
}

fn replace(value: &mut Json, user: &str, pseudonym: &str) {
    match value {
        Json::String(text) if text == user => pseudonym.clone_into(text),
        Json::Array(items) => items.iter_mut().for_each(|item| replace(item, user, pseudonym)),
        Json::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if matches!(name.as_str(), "address" | "session" | "groups" | "traceparent") {
                    *field = Json::Null;
                } else {
                    replace(field, user, pseudonym);
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

//! Virtual keys as the store knows them: never the key, only its hash.

use std::sync::Arc;

use super::changes::{Changed, touch};
use super::{Database, Row, StoreError};
use crate::values;

/// One virtual key. Times are Unix time in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRow {
    /// Its id, which records and the ledger name.
    pub id: Arc<str>,
    /// Its name, for people.
    pub name: String,
    /// The hash of the key: 32 bytes as hex. No two keys have the same.
    pub hash: String,
    /// How the key begins, for people.
    pub prefix: String,
    /// Whose it is.
    pub tenant: Option<Arc<str>>,
    /// The team.
    pub team: Option<Arc<str>>,
    /// The user.
    pub user: Option<Arc<str>>,
    /// The agent or application.
    pub agent: Option<Arc<str>>,
    /// The models it may use; empty: all.
    pub models: Vec<String>,
    /// The account that made it.
    pub created_by: String,
    /// When it was made.
    pub created: i64,
    /// From when it is valid.
    pub not_before: Option<i64>,
    /// Until when.
    pub expires: Option<i64>,
    /// When it was revoked.
    pub revoked: Option<i64>,
    /// The key it replaces.
    pub rotated_from: Option<String>,
    /// Anything, for people.
    pub note: String,
}

/// Which keys to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Only this tenant's.
    pub tenant: Option<String>,
    /// Only this team's.
    pub team: Option<String>,
    /// Only this user's.
    pub user: Option<String>,
    /// Only those that come after the key with this id (they are listed in the order of their ids).
    pub after: Option<String>,
    /// The most.
    pub limit: u32,
}

macro_rules! columns {
    () => {
        "id, name, hash, prefix, tenant, team, user_, agent, models, created_by, created, not_before, expires, revoked, \
         rotated_from, note"
    };
}

impl Database {
    /// Adds a key.
    ///
    /// # Errors
    /// `Conflict` when there is one with this id or hash.
    pub async fn insert_key(&self, key: &KeyRow) -> Result<(), StoreError> {
        let models = serde_json::to_string(&key.models).map_err(|why| StoreError::Value(why.to_string()))?;
        let mut tx = self.begin().await?;
        tx.execute(
            concat!(
                "INSERT INTO keys (",
                columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
            ),
            values![
                &key.id,
                key.name.clone(),
                key.hash.clone(),
                key.prefix.clone(),
                &key.tenant,
                &key.team,
                &key.user,
                &key.agent,
                models,
                key.created_by.clone(),
                key.created,
                key.not_before,
                key.expires,
                key.revoked,
                key.rotated_from.clone(),
                key.note.clone(),
            ],
        )
        .await?;
        touch(&mut tx, Changed::Keys).await?;
        tx.commit().await
    }

    /// The key with this id.
    pub async fn key(&self, id: &str) -> Result<Option<KeyRow>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM keys WHERE id = $1");
        self.read().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(key_of).transpose()
    }

    /// A page of keys, revoked and expired ones included, in the order of their ids.
    pub async fn keys(&self, filter: &KeyFilter) -> Result<Vec<KeyRow>, StoreError> {
        // An absent condition is a NULL on the left, which both databases see through.
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM keys WHERE ($1 IS NULL OR tenant = $1) AND ($2 IS NULL OR team = $2) AND ($3 IS NULL OR user_ = $3) \
             AND ($4 IS NULL OR id > $4) ORDER BY id LIMIT $5"
        );
        let filter = filter.clone();
        let values = values![filter.tenant, filter.team, filter.user, filter.after, filter.limit];
        self.read().await?.rows(sql, values).await?.iter().map(key_of).collect()
    }

    /// Every key that is not revoked and not expired at `now`: what a Snapshot holds. Those whose time has yet to come
    /// are among them.
    pub async fn live_keys(&self, now: i64) -> Result<Vec<KeyRow>, StoreError> {
        const PAGE: u32 = 5_000;
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM keys WHERE revoked IS NULL AND (expires IS NULL OR expires > $1) AND id > $2 ORDER BY id LIMIT $3"
        );
        let mut keys: Vec<KeyRow> = Vec::new();
        loop {
            // Page by page, each within the time limit.
            let after = keys.last().map_or_else(|| Arc::from(""), |last| Arc::clone(&last.id));
            let rows = self.read().await?.rows(sql, values![now, after, PAGE]).await?;
            for row in &rows {
                keys.push(key_of(row)?);
            }
            if rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                return Ok(keys);
            }
        }
    }

    /// Revokes a key, once: the first time stays.
    ///
    /// # Errors
    /// `Missing` when there is none with this id.
    pub async fn revoke_key(&self, id: &str, now: i64) -> Result<(), StoreError> {
        let sql = "UPDATE keys SET revoked = COALESCE(revoked, $2) WHERE id = $1";
        self.change_key(sql, values![id.to_owned(), now]).await
    }

    /// Sets until when a key is valid; a past time ends it.
    ///
    /// # Errors
    /// `Missing` when there is none with this id.
    pub async fn expire_key(&self, id: &str, expires: Option<i64>) -> Result<(), StoreError> {
        self.change_key("UPDATE keys SET expires = $2 WHERE id = $1", values![id.to_owned(), expires]).await
    }

    async fn change_key(&self, sql: &'static str, values: Vec<super::Value>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if tx.execute(sql, values).await? == 0 {
            tx.roll_back().await;
            return Err(StoreError::Missing("key"));
        }
        touch(&mut tx, Changed::Keys).await?;
        tx.commit().await
    }
}

fn key_of(row: &Row) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        id: row.shared(0)?,
        name: row.text(1)?,
        hash: row.text(2)?,
        prefix: row.text(3)?,
        tenant: row.maybe_shared(4)?,
        team: row.maybe_shared(5)?,
        user: row.maybe_shared(6)?,
        agent: row.maybe_shared(7)?,
        models: serde_json::from_str(&row.text(8)?).map_err(|why| StoreError::Value(why.to_string()))?,
        created_by: row.text(9)?,
        created: row.int(10)?,
        not_before: row.maybe_int(11)?,
        expires: row.maybe_int(12)?,
        revoked: row.maybe_int(13)?,
        rotated_from: row.maybe_text(14)?,
        note: row.text(15)?,
    })
}

//! Sessions of browsers: kept as hashes, ended at once.

use super::{Account, Accounts, account_at};
use crate::store::{Row, StoreError};
use crate::values;

/// One session of a browser, without the cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginSession {
    /// `ses_` and a time-ordered UUID (version 7).
    pub id: String,
    /// The id of its account.
    pub account: String,
    /// How it began: `password`, `oidc` or `setup`.
    pub method: String,
    /// From which address.
    pub address: Option<String>,
    /// With which program, as it says itself.
    pub agent: String,
    /// When it began: Unix time in microseconds.
    pub created: i64,
    /// The last request, to the minute: Unix time in microseconds.
    pub last_seen: i64,
    /// When it ends at the latest: Unix time in microseconds.
    pub expires: i64,
}

macro_rules! session_columns {
    () => {
        "s.id, s.account, s.method, s.address, s.agent, s.created, s.last_seen, s.expires"
    };
}

const SESSION_BY_HASH: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", ",
    account_columns!(),
    " FROM sessions s JOIN accounts a ON a.id = s.account WHERE s.hash = $1"
);
const SESSION_BY_ID: &str = concat!("SELECT ", session_columns!(), " FROM sessions s WHERE s.id = $1");
const SESSION_PAGE: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions s WHERE s.id > $1 AND s.account = COALESCE($2, s.account) AND s.expires > $3 ORDER BY s.id LIMIT $4"
);

impl Accounts {
    /// Begins a session; the account's oldest ones end beyond `most`, and everybody's expired ones.
    pub async fn begin_session(&self, session: &LoginSession, hash: &str, most: u32) -> Result<(), StoreError> {
        let mut tx = self.0.begin().await?;
        tx.execute("DELETE FROM sessions WHERE expires <= $1", values![session.created]).await?;
        let sql = "DELETE FROM sessions WHERE account = $1 AND id NOT IN
            (SELECT id FROM sessions WHERE account = $1 ORDER BY created DESC LIMIT $2)";
        tx.execute(sql, values![session.account.clone(), most.saturating_sub(1)]).await?;
        let sql = "INSERT INTO sessions (id, account, hash, method, address, agent, created, last_seen, expires)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let s = session.clone();
        let values =
            values![s.id, s.account, hash.to_owned(), s.method, s.address, s.agent, s.created, s.last_seen, s.expires];
        tx.execute(sql, values).await?;
        tx.commit().await
    }

    /// The session with that hash and its account, expired ones too.
    pub async fn session_by_hash(&self, hash: &str) -> Result<Option<(LoginSession, Account)>, StoreError> {
        let row = self.0.read().await?.row(SESSION_BY_HASH, values![hash.to_owned()]).await?;
        row.map(|row| Ok((session(&row)?, account_at(&row, 8)?))).transpose()
    }

    /// The session with that id.
    pub async fn session(&self, id: &str) -> Result<Option<LoginSession>, StoreError> {
        let row = self.0.read().await?.row(SESSION_BY_ID, values![id.to_owned()]).await?;
        row.map(|row| session(&row)).transpose()
    }

    /// At most `limit` sessions by id after that one, of one account or of all; those that expired are left out.
    pub async fn sessions(
        &self,
        of: Option<&str>,
        after: &str,
        limit: u32,
        now: i64,
    ) -> Result<Vec<LoginSession>, StoreError> {
        let values = values![after.to_owned(), of.map(str::to_owned), now, limit];
        let rows = self.0.read().await?.rows(SESSION_PAGE, values).await?;
        rows.iter().map(session).collect()
    }

    /// Notes that a session is in use.
    pub async fn session_seen(&self, id: &str, now: i64) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET last_seen = $2 WHERE id = $1";
        self.0.write().await?.execute(sql, values![id.to_owned(), now]).await.map(drop)
    }

    /// Ends a session: the next request with it fails. Says whether there was one.
    pub async fn end_session(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM sessions WHERE id = $1";
        Ok(self.0.write().await?.execute(sql, values![id.to_owned()]).await? == 1)
    }

    /// Ends all sessions of an account and says how many there were.
    pub async fn end_sessions_of(&self, account: &str) -> Result<u64, StoreError> {
        let sql = "DELETE FROM sessions WHERE account = $1";
        self.0.write().await?.execute(sql, values![account.to_owned()]).await
    }
}

fn session(row: &Row) -> Result<LoginSession, StoreError> {
    Ok(LoginSession {
        id: row.text(0)?,
        account: row.text(1)?,
        method: row.text(2)?,
        address: row.maybe_text(3)?,
        agent: row.text(4)?,
        created: row.int(5)?,
        last_seen: row.int(6)?,
        expires: row.int(7)?,
    })
}

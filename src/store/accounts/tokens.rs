//! API tokens: kept as hashes, revoked at once.

use super::{Account, Accounts, Changed, account_at};
use crate::store::{Row, StoreError};
use crate::values;

/// One API token, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// `tok_` and a time-ordered UUID (version 7).
    pub id: String,
    /// The id of its account.
    pub account: String,
    /// What people call it.
    pub name: String,
    /// Its first characters.
    pub shown: String,
    /// Its roles, words with spaces between.
    pub roles: String,
    /// When it was made: Unix time in microseconds.
    pub created: i64,
    /// The name of the account that made it.
    pub created_by: String,
    /// When it ends: Unix time in microseconds.
    pub expires: i64,
    /// When it was revoked: Unix time in microseconds.
    pub revoked: Option<i64>,
    /// When it was last used, to the minute: Unix time in microseconds.
    pub last_used: Option<i64>,
}

macro_rules! token_columns {
    () => {
        "t.id, t.account, t.name, t.shown, t.roles, t.created, t.created_by, t.expires, t.revoked, t.last_used"
    };
}

const TOKEN_BY_HASH: &str = concat!(
    "SELECT ",
    token_columns!(),
    ", ",
    account_columns!(),
    " FROM tokens t JOIN accounts a ON a.id = t.account WHERE t.hash = $1"
);
const TOKEN_BY_ID: &str = concat!("SELECT ", token_columns!(), " FROM tokens t WHERE t.id = $1");
const TOKEN_PAGE: &str = concat!(
    "SELECT ",
    token_columns!(),
    " FROM tokens t WHERE t.id > $1 AND t.account = COALESCE($2, t.account) ORDER BY t.id LIMIT $3"
);

impl Accounts {
    /// Adds a token, unless the account has `most` that are good.
    pub async fn add_token(&self, token: &ApiToken, hash: &str, most: u32) -> Result<Changed, StoreError> {
        let mut tx = self.0.begin().await?;
        let sql = "SELECT COUNT(*) FROM tokens WHERE account = $1 AND revoked IS NULL AND expires > $2";
        let count = tx.row(sql, values![token.account.clone(), token.created]).await?;
        if count.map(|row| row.int(0)).transpose()?.unwrap_or(0) >= i64::from(most) {
            tx.roll_back().await;
            return Ok(Changed::TooMany);
        }
        // What ended a year ago is of no interest any more.
        let old = token.created.saturating_sub(366 * 86_400 * 1_000_000);
        let sql = "DELETE FROM tokens WHERE account = $1 AND (expires < $2 OR revoked < $2)";
        tx.execute(sql, values![token.account.clone(), old]).await?;
        let sql = "INSERT INTO tokens (id, account, name, hash, shown, roles, created, created_by, expires)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let t = token.clone();
        let values =
            values![t.id, t.account, t.name, hash.to_owned(), t.shown, t.roles, t.created, t.created_by, t.expires];
        tx.execute(sql, values).await?;
        tx.commit().await?;
        Ok(Changed::Done)
    }

    /// The token with that hash and its account, expired and revoked ones too.
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<(ApiToken, Account)>, StoreError> {
        let row = self.0.read().await?.row(TOKEN_BY_HASH, values![hash.to_owned()]).await?;
        row.map(|row| Ok((token(&row, 0)?, account_at(&row, 10)?))).transpose()
    }

    /// The token with that id.
    pub async fn token(&self, id: &str) -> Result<Option<ApiToken>, StoreError> {
        let row = self.0.read().await?.row(TOKEN_BY_ID, values![id.to_owned()]).await?;
        row.map(|row| token(&row, 0)).transpose()
    }

    /// At most `limit` tokens by id after that one, of one account or of all.
    pub async fn tokens(&self, of: Option<&str>, after: &str, limit: u32) -> Result<Vec<ApiToken>, StoreError> {
        let values = values![after.to_owned(), of.map(str::to_owned), limit];
        let rows = self.0.read().await?.rows(TOKEN_PAGE, values).await?;
        rows.iter().map(|row| token(row, 0)).collect()
    }

    /// Revokes a token: the next request with it fails. Says whether it was good until now.
    pub async fn revoke_token(&self, id: &str, now: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE tokens SET revoked = $2 WHERE id = $1 AND revoked IS NULL";
        Ok(self.0.write().await?.execute(sql, values![id.to_owned(), now]).await? == 1)
    }

    /// Notes that a token was used.
    pub async fn token_used(&self, id: &str, now: i64) -> Result<(), StoreError> {
        let sql = "UPDATE tokens SET last_used = $2 WHERE id = $1";
        self.0.write().await?.execute(sql, values![id.to_owned(), now]).await.map(drop)
    }
}

fn token(row: &Row, at: usize) -> Result<ApiToken, StoreError> {
    Ok(ApiToken {
        id: row.text(at)?,
        account: row.text(at + 1)?,
        name: row.text(at + 2)?,
        shown: row.text(at + 3)?,
        roles: row.text(at + 4)?,
        created: row.int(at + 5)?,
        created_by: row.text(at + 6)?,
        expires: row.int(at + 7)?,
        revoked: row.maybe_int(at + 8)?,
        last_used: row.maybe_int(at + 9)?,
    })
}

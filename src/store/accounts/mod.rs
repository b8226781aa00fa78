//! Accounts of the admin API, and the one-time token for the first of them.

/// An account's columns, in the order in which `account_at` reads them.
macro_rules! account_columns {
    () => {
        "a.id, a.name, a.kind, a.subject, a.roles, a.disabled, a.created, a.created_by, a.last_login"
    };
}

mod sessions;
mod tokens;

pub use sessions::LoginSession;
pub use tokens::ApiToken;

use super::{Database, Row, Session, StoreError};
use crate::values;

/// How an account signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// With a password kept here.
    Local,
    /// Not at all: it has API tokens.
    Service,
    /// At an identity provider.
    Oidc,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `acc_` and a time-ordered UUID (version 7).
    pub id: String,
    /// What it signs in with, in lower case; unique.
    pub name: String,
    /// How it signs in.
    pub kind: AccountKind,
    /// Issuer and subject at the identity provider.
    pub subject: Option<String>,
    /// Its roles, words with spaces between.
    pub roles: String,
    /// Whether it may not do anything.
    pub disabled: bool,
    /// When it was made: Unix time in microseconds.
    pub created: i64,
    /// The account that made it, or `setup`, or `oidc`.
    pub created_by: String,
    /// When it last signed in: Unix time in microseconds.
    pub last_login: Option<i64>,
}

/// What changes on an account; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    /// Its roles.
    pub roles: Option<String>,
    /// Whether it may not do anything.
    pub disabled: Option<bool>,
}

/// What a change of accounts came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is done.
    Done,
    /// There is no such account.
    Missing,
    /// It would leave nobody who can manage accounts.
    LastAdmin,
    /// There are as many as there may be.
    TooMany,
}

/// The tables of this file.
#[derive(Debug, Clone)]
pub struct Accounts(Database);

impl AccountKind {
    /// The word in the store and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Service => "service",
            Self::Oidc => "oidc",
        }
    }
}

impl Accounts {
    /// Over a database whose schema is up to date.
    pub const fn new(database: Database) -> Self {
        Self(database)
    }

    /// Keeps the hash of a setup token until `expires`, unless the first administrator exists.
    pub async fn offer_setup(&self, hash: &str, now: i64, expires: i64) -> Result<bool, StoreError> {
        let mut tx = self.0.begin().await?;
        let open = tx.row("SELECT id FROM setup WHERE id = 1 AND done IS NULL", values![]).await?.is_some();
        if open {
            tx.execute("DELETE FROM setup_tokens WHERE expires <= $1", values![now]).await?;
            let insert = "INSERT INTO setup_tokens (hash, expires) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
            tx.execute(insert, values![hash.to_owned(), expires]).await?;
        }
        tx.commit().await?;
        Ok(open)
    }

    /// Whether the first administrator is still to be made.
    pub async fn setup_is_open(&self) -> Result<bool, StoreError> {
        Ok(self.0.read().await?.row("SELECT id FROM setup WHERE id = 1 AND done IS NULL", values![]).await?.is_some())
    }

    /// Whether a setup token with that hash is good; it stays so.
    pub async fn setup_token_is_good(&self, hash: &str, now: i64) -> Result<bool, StoreError> {
        let sql = "SELECT s.id FROM setup s, setup_tokens t
            WHERE s.id = 1 AND s.done IS NULL AND t.hash = $1 AND t.expires > $2";
        Ok(self.0.read().await?.row(sql, values![hash.to_owned(), now]).await?.is_some())
    }

    /// Makes the first administrator, once: of all who hold good setup tokens only one can.
    pub async fn set_up(&self, hash: &str, account: &Account, password: &str) -> Result<bool, StoreError> {
        let mut tx = self.0.begin().await?;
        let now = account.created;
        let first = "UPDATE setup SET done = $1 WHERE id = 1 AND done IS NULL";
        let good = tx.execute(first, values![now]).await? == 1
            && tx
                .row("SELECT hash FROM setup_tokens WHERE hash = $1 AND expires > $2", values![hash.to_owned(), now])
                .await?
                .is_some();
        if !good {
            tx.roll_back().await;
            return Ok(false);
        }
        tx.execute("DELETE FROM setup_tokens", values![]).await?;
        insert_account(&mut tx, account, Some(password)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Adds an account, unless there are `most`. A name that is taken is a `Conflict`.
    pub async fn add(&self, account: &Account, password: Option<&str>, most: u32) -> Result<Changed, StoreError> {
        let mut tx = self.0.begin().await?;
        let count = tx.row("SELECT COUNT(*) FROM accounts", values![]).await?;
        if count.map(|row| row.int(0)).transpose()?.unwrap_or(0) >= i64::from(most) {
            tx.roll_back().await;
            return Ok(Changed::TooMany);
        }
        insert_account(&mut tx, account, password).await?;
        tx.commit().await?;
        Ok(Changed::Done)
    }

    /// The account with that id.
    pub async fn get(&self, id: &str) -> Result<Option<Account>, StoreError> {
        let row = self.0.read().await?.row(SELECT_BY_ID, values![id.to_owned()]).await?;
        row.map(|row| account(&row)).transpose()
    }

    /// The account with that name, in any case, and its password's hash.
    pub async fn by_name(&self, name: &str) -> Result<Option<(Account, Option<String>)>, StoreError> {
        let row = self.0.read().await?.row(SELECT_BY_NAME, values![name.to_lowercase()]).await?;
        row.map(|row| Ok((account(&row)?, row.maybe_text(9)?))).transpose()
    }

    /// The password's hash of the account with that id.
    pub async fn password_of(&self, id: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT password FROM accounts WHERE id = $1";
        let row = self.0.read().await?.row(sql, values![id.to_owned()]).await?;
        Ok(row.map(|row| row.maybe_text(0)).transpose()?.flatten())
    }

    /// The account of a person at an identity provider.
    pub async fn by_subject(&self, subject: &str) -> Result<Option<Account>, StoreError> {
        let row = self.0.read().await?.row(SELECT_BY_SUBJECT, values![subject.to_owned()]).await?;
        row.map(|row| account(&row)).transpose()
    }

    /// At most `limit` accounts by id, after that one.
    pub async fn list(&self, after: &str, limit: u32) -> Result<Vec<Account>, StoreError> {
        let rows = self.0.read().await?.rows(SELECT_PAGE, values![after.to_owned(), limit]).await?;
        rows.iter().map(account).collect()
    }

    /// Changes an account. When it loses a role or is disabled its sessions end. Its tokens stay: what they may do is
    /// bounded by what the account may.
    pub async fn change(&self, id: &str, change: &AccountChange) -> Result<Changed, StoreError> {
        let mut tx = self.begin_alone().await?;
        let sql = "UPDATE accounts SET roles = COALESCE($2, roles), disabled = COALESCE($3, disabled) WHERE id = $1";
        let disabled = change.disabled.map(i64::from);
        let changed = tx.execute(sql, values![id.to_owned(), change.roles.clone(), disabled]).await?;
        if changed == 0 {
            tx.roll_back().await;
            return Ok(Changed::Missing);
        }
        tx.execute("DELETE FROM sessions WHERE account = $1", values![id.to_owned()]).await?;
        commit_with_admin(tx).await
    }

    /// Sets the roles that an identity provider gives, and when it signed in; sessions stay.
    pub async fn signed_in(&self, id: &str, roles: Option<&str>, now: i64) -> Result<(), StoreError> {
        let sql = "UPDATE accounts SET roles = COALESCE($2, roles), last_login = $3 WHERE id = $1";
        let values = values![id.to_owned(), roles.map(str::to_owned), now];
        self.0.write().await?.execute(sql, values).await.map(drop)
    }

    /// Removes an account with its sessions and tokens.
    pub async fn remove(&self, id: &str) -> Result<Changed, StoreError> {
        let mut tx = self.begin_alone().await?;
        if tx.execute("DELETE FROM accounts WHERE id = $1", values![id.to_owned()]).await? == 0 {
            tx.roll_back().await;
            return Ok(Changed::Missing);
        }
        commit_with_admin(tx).await
    }

    /// Sets a password and ends the account's sessions, all but `keep`.
    pub async fn set_password(&self, id: &str, hash: &str, keep: Option<&str>) -> Result<(), StoreError> {
        let mut tx = self.0.begin().await?;
        tx.execute("UPDATE accounts SET password = $2 WHERE id = $1", values![id.to_owned(), hash.to_owned()]).await?;
        let sql = "DELETE FROM sessions WHERE account = $1 AND id <> $2";
        tx.execute(sql, values![id.to_owned(), keep.unwrap_or_default().to_owned()]).await?;
        tx.commit().await
    }

    /// A transaction that no other change of accounts runs beside, so that two administrators cannot remove each other.
    async fn begin_alone(&self) -> Result<Session, StoreError> {
        let mut tx = self.0.begin().await?;
        tx.execute("UPDATE setup SET done = done WHERE id = 1", values![]).await?;
        Ok(tx)
    }
}

const SELECT_BY_ID: &str = concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.id = $1");
const SELECT_BY_NAME: &str = concat!("SELECT ", account_columns!(), ", a.password FROM accounts a WHERE a.name = $1");
const SELECT_BY_SUBJECT: &str = concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.subject = $1");
const SELECT_PAGE: &str =
    concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.id > $1 ORDER BY a.id LIMIT $2");
async fn insert_account(tx: &mut Session, account: &Account, password: Option<&str>) -> Result<(), StoreError> {
    let sql = "INSERT INTO accounts (id, name, kind, subject, password, roles, disabled, created, created_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let a = account.clone();
    let values = values![
        a.id,
        a.name.to_lowercase(),
        a.kind.name(),
        a.subject,
        password.map(str::to_owned),
        a.roles,
        a.disabled,
        a.created,
        a.created_by
    ];
    tx.execute(sql, values).await.map(drop)
}

/// Commits if somebody is left who can manage accounts.
async fn commit_with_admin(mut tx: Session) -> Result<Changed, StoreError> {
    let sql = "SELECT id FROM accounts WHERE disabled = 0 AND kind <> 'service'
        AND ' ' || roles || ' ' LIKE '% admin %' LIMIT 1";
    if tx.row(sql, values![]).await?.is_none() {
        tx.roll_back().await;
        return Ok(Changed::LastAdmin);
    }
    tx.commit().await?;
    Ok(Changed::Done)
}

fn account(row: &Row) -> Result<Account, StoreError> {
    account_at(row, 0)
}

/// An account whose columns begin at `at`.
fn account_at(row: &Row, at: usize) -> Result<Account, StoreError> {
    let kind = match row.text(at + 2)?.as_str() {
        "local" => AccountKind::Local,
        "service" => AccountKind::Service,
        "oidc" => AccountKind::Oidc,
        _ => return Err(StoreError::Value("an account's kind is unknown".to_owned())),
    };
    Ok(Account {
        id: row.text(at)?,
        name: row.text(at + 1)?,
        kind,
        subject: row.maybe_text(at + 3)?,
        roles: row.text(at + 4)?,
        disabled: row.yes(at + 5)?,
        created: row.int(at + 6)?,
        created_by: row.text(at + 7)?,
        last_login: row.maybe_int(at + 8)?,
    })
}

//! Accounts of the admin API, their API tokens and sessions, and the one-time token for the first of them.

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

    // Tokens.

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

    // Sessions.

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

macro_rules! account_columns {
    () => {
        "a.id, a.name, a.kind, a.subject, a.roles, a.disabled, a.created, a.created_by, a.last_login"
    };
}
macro_rules! token_columns {
    () => {
        "t.id, t.account, t.name, t.shown, t.roles, t.created, t.created_by, t.expires, t.revoked, t.last_used"
    };
}
macro_rules! session_columns {
    () => {
        "s.id, s.account, s.method, s.address, s.agent, s.created, s.last_seen, s.expires"
    };
}

const SELECT_BY_ID: &str = concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.id = $1");
const SELECT_BY_NAME: &str = concat!("SELECT ", account_columns!(), ", a.password FROM accounts a WHERE a.name = $1");
const SELECT_BY_SUBJECT: &str = concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.subject = $1");
const SELECT_PAGE: &str =
    concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.id > $1 ORDER BY a.id LIMIT $2");
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

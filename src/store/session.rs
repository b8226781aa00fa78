//! One connection in use: statements with a time limit, and transactions that roll back unless they are committed.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Postgres, SqlSafeStr, Sqlite};
use tokio::time::timeout;

use super::value::{Row, Value, for_postgres, for_sqlite};
use super::{Backend, StoreError};

/// A connection taken from a pool.
pub(super) enum Link {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A connection, or an open transaction on one. Dropping a transaction rolls it back.
pub struct Session {
    /// Always there until the session is dropped or committed.
    link: Option<Link>,
    limit: Duration,
    /// Whether a transaction is open.
    open: bool,
    /// Whether a statement of the transaction failed: it cannot be committed any more.
    failed: bool,
    /// Whether the connection is between two statements. One that was given up in the middle is closed, not reused: on a
    /// frozen server it would hang whoever gets it next.
    settled: bool,
}

/// Runs `$body` on the raw connection of either backend, within the limit.
macro_rules! on_link {
    ($self:ident, |$sqlite:ident| $on_sqlite:expr, |$postgres:ident| $on_postgres:expr) => {{
        let limit = $self.limit;
        $self.settled = false;
        let outcome = match $self.link.as_mut() {
            None => return Err(StoreError::Closed),
            Some(Link::Sqlite($sqlite)) => timeout(limit, $on_sqlite).await,
            Some(Link::Postgres($postgres)) => timeout(limit, $on_postgres).await,
        };
        let outcome = match outcome {
            Err(_) => Err(StoreError::Timeout(limit)),
            Ok(Err(error)) => {
                // What the database itself says leaves the connection in order; anything else does not.
                $self.settled = matches!(error, sqlx::Error::Database(_)) && !is_fatal(&error);
                Err(StoreError::from(error))
            }
            Ok(Ok(done)) => {
                $self.settled = true;
                Ok(done)
            }
        };
        $self.failed |= outcome.is_err();
        outcome
    }};
}

/// Whether a server said that it ends the connection.
fn is_fatal(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|told| told.code()).is_some_and(|code| code.starts_with("57P"))
}

impl Session {
    pub(super) const fn new(link: Link, limit: Duration) -> Self {
        Self { link: Some(link), limit, open: false, failed: false, settled: true }
    }

    /// Which database this is, where a query has to differ.
    pub const fn backend(&self) -> Backend {
        match &self.link {
            Some(Link::Postgres(_)) => Backend::Postgres,
            Some(Link::Sqlite(_)) | None => Backend::Sqlite,
        }
    }

    /// Another time limit for each statement from here on: reports may take longer than the road.
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs a statement and says how many rows it changed.
    pub async fn execute(&mut self, sql: &'static str, values: Vec<Value>) -> Result<u64, StoreError> {
        self.execute_made(sql, values).await
    }

    /// Runs a query and gives its rows: all of them, so it has to have a `LIMIT` or a small table.
    pub async fn rows(&mut self, sql: &'static str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.rows_made(sql, values).await
    }

    /// The first row of a query, if there is one.
    pub async fn row(&mut self, sql: &'static str, values: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows_made(sql, values).await?.into_iter().next())
    }

    /// Like `execute` with a text made by this room from its own words only.
    pub(super) async fn execute_made(&mut self, sql: impl SqlSafeStr, values: Vec<Value>) -> Result<u64, StoreError> {
        match self.backend() {
            Backend::Sqlite => {
                let query = sqlx::query_with::<Sqlite, _>(sql, for_sqlite(values)?);
                let done = on_link!(self, |link| query.execute(&mut **link), |_link| std::future::pending());
                done.map(|done| done.rows_affected())
            }
            Backend::Postgres => {
                let query = sqlx::query_with::<Postgres, _>(sql, for_postgres(values)?);
                let done = on_link!(self, |_link| std::future::pending(), |link| query.execute(&mut **link));
                done.map(|done| done.rows_affected())
            }
        }
    }

    /// Like `rows` with a text made by this room from its own words only.
    pub(super) async fn rows_made(&mut self, sql: impl SqlSafeStr, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match self.backend() {
            Backend::Sqlite => {
                let query = sqlx::query_with::<Sqlite, _>(sql, for_sqlite(values)?);
                let rows = on_link!(self, |link| query.fetch_all(&mut **link), |_link| std::future::pending());
                Ok(rows?.into_iter().map(Row::Sqlite).collect())
            }
            Backend::Postgres => {
                let query = sqlx::query_with::<Postgres, _>(sql, for_postgres(values)?);
                let rows = on_link!(self, |_link| std::future::pending(), |link| query.fetch_all(&mut **link));
                Ok(rows?.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Runs several statements without values: migrations and the words of transactions.
    pub(super) async fn script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        on_link!(
            self,
            |link| async { sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **link).await.map(drop) },
            |link| async { sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **link).await.map(drop) }
        )
    }

    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        // Marked first: if it is given up half-way, the connection must not be reused.
        self.open = true;
        self.failed = false;
        match self.backend() {
            // The lock for writing at once: taking it later could fail in the middle.
            Backend::Sqlite => self.script("BEGIN IMMEDIATE").await,
            Backend::Postgres => self.script("BEGIN").await,
        }
    }

    /// Makes the transaction durable. An error of a statement in it, or here, means that nothing of it was done; only
    /// after `Timeout` or a broken connection it is not known.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if self.failed {
            self.roll_back().await;
            return Err(StoreError::Refused("a statement of the transaction failed".to_owned()));
        }
        let done = self.script("COMMIT").await;
        if done.is_ok() {
            self.open = false;
        } else {
            self.roll_back().await;
        }
        done
    }

    /// Marks a place in the transaction to come back to with `roll_back_to_mark`.
    pub(super) async fn mark(&mut self) -> Result<(), StoreError> {
        self.script("SAVEPOINT mark").await
    }

    /// Forgets the mark and keeps what was done since.
    pub(super) async fn keep_since_mark(&mut self) -> Result<(), StoreError> {
        self.script("RELEASE SAVEPOINT mark").await
    }

    /// Undoes what was done since the mark, a failed statement included.
    pub(super) async fn roll_back_to_mark(&mut self) -> Result<(), StoreError> {
        self.script("ROLLBACK TO SAVEPOINT mark").await?;
        self.failed = false;
        self.keep_since_mark().await
    }

    /// Gives the transaction up and the connection back: cheaper than dropping it, which closes the connection.
    pub async fn roll_back(&mut self) {
        if self.settled && self.script("ROLLBACK").await.is_ok() {
            self.open = false;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.open || !self.settled {
            // Closed without a word: the other side may not be listening.
            match self.link.take() {
                Some(Link::Sqlite(link)) => drop(link.detach()),
                Some(Link::Postgres(link)) => drop(link.detach()),
                None => {}
            }
        }
    }
}

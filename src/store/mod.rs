//! The only room that speaks SQL: one `Database` over SQLite or PostgreSQL, its tables, and the queries on them.
//!
//! How a part of the gateway adds tables and queries of its own:
//!
//! 1. Write `migrations/sqlite/NNNN_name.sql` and `migrations/postgres/NNNN_name.sql` with a number nobody uses and add
//!    one `migration!` line to `migrate.rs`. A migration that was released is never edited: its checksum is remembered.
//! 2. Columns: times are `BIGINT` Unix microseconds, ids `TEXT`, JSON `TEXT`, yes or no `BIGINT` 0 or 1, all whole
//!    numbers `BIGINT` (PostgreSQL tells them apart, SQLite does not).
//! 3. Write the query once, with `$1`, `$2` for values, for both backends, in a file of this room:
//!    `db.read().await?.rows("SELECT id FROM keys WHERE tenant = $1", values![tenant]).await?`. Sums need
//!    `CAST(SUM(x) AS BIGINT)`, upserts `ON CONFLICT (id) DO ...`. Values are bound, never written into the text.
//! 4. Changes that belong together go through `db.begin().await?` and `commit()`; a dropped transaction is rolled back.
//!
//! Every call ends within `Options::timeout` (of `begin`, each statement, `commit`), whatever the server does.

pub mod accounts;
pub mod database;
pub mod error;
pub mod migrate;
pub mod options;
pub mod session;
pub mod value;

pub use database::{Backend, Database};
pub use error::StoreError;
pub use options::Options;
pub use session::Session;
pub use value::{Row, Value};

use std::time::SystemTime;

/// Unix time in microseconds, as the store keeps times.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

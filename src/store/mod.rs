//! The only room that speaks SQL or Redis: one `Database` over SQLite or PostgreSQL, its tables, and the queries on them.
//!
//! How a part of the gateway adds tables and queries of its own:
//!
//! 1. Write `migrations/sqlite/NNNN_name.sql` and `migrations/postgres/NNNN_name.sql`, or `migrations/both/NNNN_name.sql`
//!    where they are the same, with a number nobody uses and add one `migration!` line to `migrate.rs`. A migration that was
//!    released is never edited: its checksum is remembered.
//! 2. Columns: times are `BIGINT` Unix microseconds, ids `TEXT`, JSON `TEXT`, yes or no `BIGINT` 0 or 1, all whole
//!    numbers `BIGINT` (PostgreSQL tells them apart, SQLite does not).
//! 3. Write the query once, with `$1`, `$2` for values, for both backends, in a file of this room:
//!    `db.read().await?.rows("SELECT id FROM keys WHERE tenant = $1", values![tenant]).await?`. Sums need
//!    `CAST(SUM(x) AS BIGINT)`, upserts `ON CONFLICT (id) DO ...`. Values are bound, never written into the text.
//! 4. Changes that belong together go through `db.begin().await?` and `commit()`; a dropped transaction is rolled back.
//!
//! Every call ends within `Options::timeout` (of `begin`, each statement, `commit`), whatever the server does.

pub mod accounts;
pub mod audit;
pub mod backtest;
pub mod callers;
pub mod changes;
pub mod contents;
pub mod conversations;
pub mod database;
pub mod erasure;
pub mod error;
pub mod export;
mod insert;
pub mod issued;
pub mod keys;
pub mod lab;
pub mod learn;
pub mod ledger;
pub mod migrate;
pub mod options;
pub mod orders;
pub mod overview;
pub mod redis;
pub mod reports;
pub mod requests;
pub mod retention;
pub mod rule_hits;
pub mod secrets;
pub mod session;
pub mod soc;
pub mod tallies;
pub mod value;
pub mod writer;

pub use backtest::{StoredRange, StoredRequest};
pub use callers::{Before, CallerKind, CallerOrder, CallerPiece, CallerQuery, CallerRow, Callers};
pub use changes::{Changed, Changes, touch};
pub use contents::{Content, ContentMode, Vault};
pub use conversations::{Conversation, ConversationFilter};
pub use database::{Backend, Database};
pub use erasure::Erased;
pub use error::StoreError;
pub use issued::Issued;
pub use keys::{KeyFilter, KeyRow};
pub use ledger::{Bucket, Dimension, Spend, SpendQuery, SpendRow, Sums};
pub use options::{Options, Overflow};
pub use orders::{OrderFilter, StoredOrder};
pub use reports::{KeptReport, ReportRun};
pub use requests::{EventFilter, RecordRow, RequestFilter};
pub use retention::{Retention, Swept};
pub use rule_hits::{HitCount, HitCounts, HitQuery};
pub use session::Session;
pub use tallies::{Tallied, Tally, TallyScope};
pub use value::{Row, Value};
pub use writer::{Durable, EventRow, Health, Item, RequestRow, Sink, State, Tokens, Writer};

use std::time::SystemTime;

/// Unix time in microseconds, as the store keeps times.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

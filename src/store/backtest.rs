//! Reading stored requests again, oldest first, each with what is kept of its prompt: page after page by key, so that a
//! million of them need no more memory than a page.

use super::contents::{Content, content_of};
use super::{Database, Row, StoreError};
use crate::types::Direction;
use crate::values;

/// The most rows of a page, whatever was asked for.
const MOST_ROWS: u32 = 10_000;

/// A request as it was stored, and what is kept of its prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredRequest {
    /// Its id.
    pub id: String,
    /// When: Unix time in microseconds.
    pub time: i64,
    /// The caller's tenant.
    pub tenant: Option<String>,
    /// Its team.
    pub team: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The id of the key.
    pub key: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The client's address.
    pub address: Option<String>,
    /// The method.
    pub method: String,
    /// The canonical path.
    pub path: String,
    /// The dialect.
    pub dialect: Option<String>,
    /// The model asked for.
    pub model: Option<String>,
    /// How it ended.
    pub outcome: String,
    /// The worst decision of both directions as enforced.
    pub decision: String,
    /// The policy that decided.
    pub policy: Option<String>,
    /// The whole record as JSON, where it was asked for.
    pub record: Option<String>,
    /// What is kept of its prompt.
    pub prompt: Option<Content>,
}

/// Which requests to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredRange {
    /// Not before: Unix time in microseconds.
    pub from: i64,
    /// Before.
    pub until: i64,
    /// Where the last page ended: time and id of its last row.
    pub after: Option<(i64, String)>,
    /// Whether the records are wanted.
    pub records: bool,
}

impl Database {
    /// How many requests there are from `from` on and before `until`.
    pub async fn stored_count(&self, from: i64, until: i64) -> Result<u64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM requests WHERE time >= $1 AND time < $2";
        self.read().await?.row(sql, values![from, until]).await?.map_or(Ok(0), |row| row.count(0))
    }

    /// A page of requests, oldest first; the last one is shorter than `rows`, or empty.
    pub async fn stored_page(&self, range: &StoredRange, rows: u32) -> Result<Vec<StoredRequest>, StoreError> {
        let sql = "SELECT c.request, c.direction, c.time, c.user_, c.mode, c.body, c.sealed, c.key_id, c.layout, \
                   r.id, r.time, r.tenant, r.team, r.user_, r.key_, r.agent, r.address, r.method, r.path, r.dialect, \
                   r.model, r.outcome, r.decision, r.policy, CASE WHEN $5 = 1 THEN r.record END \
                   FROM requests r LEFT JOIN contents c ON c.request = r.id AND c.direction = $6 \
                   WHERE r.time >= $1 AND r.time < $2 AND (r.time > $1 OR r.id > $3) \
                   ORDER BY r.time, r.id LIMIT $4";
        // No id is smaller than the empty one.
        let (from, id) = range.after.clone().unwrap_or((range.from, String::new()));
        let values = values![from, range.until, id, rows.min(MOST_ROWS), range.records, Direction::Input.name()];
        self.read().await?.rows(sql, values).await?.iter().map(stored_of).collect()
    }
}

fn stored_of(row: &Row) -> Result<StoredRequest, StoreError> {
    Ok(StoredRequest {
        prompt: row.maybe_text(0)?.map(|_| content_of(row)).transpose()?,
        id: row.text(9)?,
        time: row.int(10)?,
        tenant: row.maybe_text(11)?,
        team: row.maybe_text(12)?,
        user: row.maybe_text(13)?,
        key: row.maybe_text(14)?,
        agent: row.maybe_text(15)?,
        address: row.maybe_text(16)?,
        method: row.text(17)?,
        path: row.text(18)?,
        dialect: row.maybe_text(19)?,
        model: row.maybe_text(20)?,
        outcome: row.text(21)?,
        decision: row.text(22)?,
        policy: row.maybe_text(23)?,
        record: row.maybe_text(24)?,
    })
}

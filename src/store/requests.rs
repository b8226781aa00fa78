//! Reading what was written about requests: lists by filter, newest first, and single ones.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use super::writer::{EventRow, FindingRow};
use super::{Database, Row, StoreError, Value};
use crate::values;

/// The most rows of a page, whatever was asked for.
const MOST_ROWS: u32 = 1_000;

/// Which requests to list. Absent conditions hold for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Not before: Unix time in microseconds.
    pub from: Option<i64>,
    /// Before.
    pub to: Option<i64>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this team.
    pub team: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// With this key, by its id.
    pub key: Option<String>,
    /// Of this conversation.
    pub session: Option<String>,
    /// For this model.
    pub model: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
    /// With this decision.
    pub decision: Option<String>,
    /// Where the last page ended: time and id of its last row.
    pub before: Option<(i64, String)>,
    /// The most; at most 1000.
    pub limit: u32,
}

/// Which events to list. Absent conditions hold for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Not before: Unix time in microseconds.
    pub from: Option<i64>,
    /// Before.
    pub to: Option<i64>,
    /// Of this kind.
    pub kind: Option<String>,
    /// About this user.
    pub user: Option<String>,
    /// Where the last page ended: time and id of its last row.
    pub before: Option<(i64, String)>,
    /// The most; at most 1000.
    pub limit: u32,
}

/// A request as it is listed: where it stands in the order, and the whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Its id.
    pub id: String,
    /// When: Unix time in microseconds.
    pub time: i64,
    /// The record as JSON.
    pub record: String,
}

impl Database {
    /// A page of requests, newest first.
    pub async fn requests(&self, filter: &RequestFilter) -> Result<Vec<RecordRow>, StoreError> {
        let filter = filter.clone();
        let mut page = Page::new((filter.from, filter.to), filter.before);
        page.only("tenant", filter.tenant);
        page.only("team", filter.team);
        page.only("user_", filter.user);
        page.only("key_", filter.key);
        page.only("session", filter.session);
        page.only("model", filter.model);
        page.only("outcome", filter.outcome);
        page.only("decision", filter.decision);
        let (sql, values) = page.finish("SELECT id, time, record FROM requests", filter.limit);
        self.read().await?.rows_made(AssertSqlSafe(sql), values).await?.iter().map(record_of).collect()
    }

    /// The request with this id.
    pub async fn request(&self, id: &str) -> Result<Option<RecordRow>, StoreError> {
        let sql = "SELECT id, time, record FROM requests WHERE id = $1";
        self.read().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(record_of).transpose()
    }

    /// The findings on a request, in the order of its verdicts.
    pub async fn findings(&self, request: &str) -> Result<Vec<FindingRow>, StoreError> {
        let sql = "SELECT direction, rule, family, severity, score, action, span, start_, end_, threats FROM findings \
                   WHERE request = $1 ORDER BY number LIMIT 10000";
        self.read().await?.rows(sql, values![request.to_owned()]).await?.iter().map(finding_of).collect()
    }

    /// A page of events, newest first.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<EventRow>, StoreError> {
        let filter = filter.clone();
        let mut page = Page::new((filter.from, filter.to), filter.before);
        page.only("kind", filter.kind);
        page.only("user_", filter.user);
        let (sql, values) = page.finish("SELECT id, time, kind, request, user_, body FROM events", filter.limit);
        self.read().await?.rows_made(AssertSqlSafe(sql), values).await?.iter().map(event_of).collect()
    }
}

/// A `WHERE` with nothing but the conditions that were asked for, so that indexes are used for them. Its text is made
/// of words of this file.
struct Page {
    conditions: String,
    values: Vec<Value>,
}

impl Page {
    fn new((from, to): (Option<i64>, Option<i64>), before: Option<(i64, String)>) -> Self {
        let mut page = Self { conditions: "time >= $1 AND time < $2".to_owned(), values: Vec::new() };
        page.values = values![from.unwrap_or(i64::MIN), to.unwrap_or(i64::MAX)];
        if let Some((time, id)) = before {
            page.conditions.push_str(" AND time <= $3 AND (time < $3 OR id < $4)");
            page.values.extend(values![time, id]);
        }
        page
    }

    fn only(&mut self, column: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.values.push(value.into());
            // Writing to a String cannot fail.
            write!(self.conditions, " AND {column} = ${}", self.values.len()).unwrap_or_default();
        }
    }

    fn finish(mut self, select: &'static str, limit: u32) -> (String, Vec<Value>) {
        self.values.push(limit.min(MOST_ROWS).into());
        let (conditions, last) = (self.conditions, self.values.len());
        (format!("{select} WHERE {conditions} ORDER BY time DESC, id DESC LIMIT ${last}"), self.values)
    }
}

fn record_of(row: &Row) -> Result<RecordRow, StoreError> {
    Ok(RecordRow { id: row.text(0)?, time: row.int(1)?, record: row.text(2)? })
}

fn finding_of(row: &Row) -> Result<FindingRow, StoreError> {
    let number = |column: usize| Ok::<u32, StoreError>(u32::try_from(row.int(column)?).unwrap_or(0));
    Ok(FindingRow {
        direction: row.text(0)?.into(),
        rule: row.shared(1)?,
        family: row.text(2)?.into(),
        severity: row.text(3)?.into(),
        // It was one before it was stored.
        score: row.real(4)? as f32,
        action: row.text(5)?.into(),
        span: number(6)?,
        start: number(7)?,
        end: number(8)?,
        threats: row.text(9)?,
    })
}

fn event_of(row: &Row) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        id: row.text(0)?,
        time: row.int(1)?,
        kind: row.text(2)?.into(),
        request: row.maybe_text(3)?,
        user: row.maybe_text(4)?,
        body: row.text(5)?,
    })
}

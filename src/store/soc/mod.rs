//! What the security operations centre keeps: alerts, incidents, the analyst's work, plans, approvals, remedies, and the
//! feed that tells of every change.
//!
//! A row holds the whole thing as JSON in `body`; columns repeat what is searched, sorted or guarded, and both are
//! written by one statement. Whoever changes anything holds the end of the feed (`feed::FeedTx`), so changes of the SOC
//! happen one after the other on all replicas: what a change reads stays true until it is committed, and two changes
//! never wait for each other in a circle. Leases alone are taken without it.

pub mod alert_changes;
pub mod alerts;
pub mod analyses;
pub mod approvals;
pub mod blast;
mod erase;
pub mod feed;
pub mod incident_changes;
pub mod incidents;
pub mod logs;
pub mod past;
pub mod plans;
pub mod remedies;
mod remedy_batches;
pub(super) mod sweep;
pub mod switches;
pub mod tools;

pub use alert_changes::AlertChange;
pub use alerts::{AlertCount, AlertFilter, AlertWrite};
pub use approvals::ApproverKey;
pub use blast::Hit;
pub use incident_changes::IncidentChange;
pub use incidents::{IncidentFilter, Raised};
pub use logs::LogLine;
pub use past::PastIncident;
pub use plans::PlanFilter;
pub use remedies::{Done, RemedyFilter};
pub use switches::Switch;
pub use tools::HeldTool;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::AssertSqlSafe;

use super::{Backend, Database, Row, Session, StoreError, Value};
use crate::types::Severity;
use crate::types::soc::FeedEntry;

/// What a change made, and what the feed says of it, for whoever publishes it at once.
pub type Fed<T> = (T, Vec<FeedEntry>);

/// The most rows of a page, whatever was asked for.
const MOST_ROWS: u32 = 1_000;
/// The most things changed by one call: a transaction holds the end of the feed while it lasts.
const MOST_AT_ONCE: usize = 500;
/// Ids looked for by one statement: the same text each time, so that it is prepared once.
const IDS: usize = 64;

pub(in crate::store) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|why| StoreError::Value(why.to_string()))
}

pub(in crate::store) fn tree(value: &impl Serialize) -> Result<serde_json::Value, StoreError> {
    serde_json::to_value(value).map_err(|why| StoreError::Value(why.to_string()))
}

pub(in crate::store) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|why| StoreError::Value(why.to_string()))
}

/// The thing whose JSON is in the first column.
pub(in crate::store) fn body<T: DeserializeOwned>(row: &Row) -> Result<T, StoreError> {
    from_json(&row.text(0)?)
}

pub(in crate::store) fn bodies<T: DeserializeOwned>(rows: &[Row]) -> Result<Vec<T>, StoreError> {
    rows.iter().map(body).collect()
}

pub(in crate::store) fn conflict(why: impl Into<String>) -> StoreError {
    StoreError::Conflict(why.into())
}

fn few(count: usize) -> Result<(), StoreError> {
    if count > MOST_AT_ONCE {
        return Err(StoreError::Refused(format!("{count} at once are more than {MOST_AT_ONCE}")));
    }
    Ok(())
}

/// A severity as columns keep it, in its order.
const fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Informational => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

fn severity(rank: i64) -> Result<Severity, StoreError> {
    Ok(match rank {
        0 => Severity::Informational,
        1 => Severity::Low,
        2 => Severity::Medium,
        3 => Severity::High,
        4 => Severity::Critical,
        other => return Err(StoreError::Value(format!("{other} is no severity"))),
    })
}

/// Where alerts and incidents may go from a state: anywhere, but out of `closed` only by opening it again.
fn may_become(name: &'static str, from: &'static str, to: &'static str) -> Result<(), StoreError> {
    if from == "closed" && to != "open" {
        return Err(conflict(format!("the {name} is closed: it can only be opened again")));
    }
    Ok(())
}

/// Runs `select` (which ends with `IN`) for every id, in parts.
async fn rows_of<'a>(
    session: &mut Session,
    select: &'static str,
    ids: impl Iterator<Item = &'a str>,
) -> Result<Vec<Row>, StoreError> {
    let ids: Vec<&str> = ids.collect();
    let mut found = Vec::new();
    let places: Vec<String> = match session.backend() {
        Backend::Sqlite => vec!["?".to_owned(); IDS],
        Backend::Postgres => (1..=IDS).map(|number| format!("${number}")).collect(),
    };
    let sql = format!("{select} ({})", places.join(", "));
    for chunk in ids.chunks(IDS) {
        // What is missing is filled up with the first id.
        let first = chunk.first().copied().unwrap_or_default();
        let values =
            chunk.iter().copied().chain(std::iter::repeat(first)).take(IDS).map(|id| Value::from(id.to_owned()));
        found.extend(session.rows_made(AssertSqlSafe(sql.clone()), values.collect()).await?);
    }
    Ok(found)
}

/// A query with nothing but the conditions that were asked for. Its text is made of words of this room.
pub(in crate::store) struct Filter {
    sql: String,
    values: Vec<Value>,
}

impl Filter {
    pub(in crate::store) fn new(select: &'static str) -> Self {
        Self { sql: format!("{select} WHERE 1 = 1"), values: Vec::new() }
    }

    /// Adds a condition, `{}` being where its value stands, if there is a value.
    pub(in crate::store) fn only(&mut self, condition: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.values.push(value.into());
            self.sql.push_str(" AND ");
            self.sql.push_str(&condition.replace("{}", &format!("${}", self.values.len())));
        }
    }

    /// Adds a condition without a value.
    fn also(&mut self, condition: &'static str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    pub(in crate::store) async fn page<T: DeserializeOwned>(
        mut self,
        database: &Database,
        order: &'static str,
        limit: u32,
    ) -> Result<Vec<T>, StoreError> {
        self.values.push(limit.min(MOST_ROWS).into());
        let sql = format!("{} ORDER BY {order} LIMIT ${}", self.sql, self.values.len());
        bodies(&database.read().await?.rows_made(AssertSqlSafe(sql), self.values).await?)
    }
}

/// A text to look for with `LIKE ... ESCAPE '!'`, wherever it stands.
fn anywhere(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len().saturating_add(2));
    pattern.push('%');
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

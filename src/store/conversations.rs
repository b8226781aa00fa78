//! Conversations: requests put together by their session, the last one first.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use super::{Database, Row, StoreError, Value};
use crate::values;

/// The most conversations of a page, whatever was asked for.
const MOST_ROWS: u32 = 500;
/// Requests that are looked at for one page, the newest of the period: what is older is not counted.
const LOOKED_AT: u32 = 100_000;

/// Which conversations to list. Absent conditions hold for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationFilter {
    /// With requests not before this: Unix time in microseconds. What is older counts for nothing.
    pub from: Option<i64>,
    /// With requests before this.
    pub to: Option<i64>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// With this key, by its id.
    pub key: Option<String>,
    /// With a request that was decided so.
    pub decision: Option<String>,
    /// Where the last page ended: time of the last request and session of its last row.
    pub before: Option<(i64, String)>,
    /// The most; at most 500.
    pub limit: u32,
}

/// One conversation, as far as it lies in the period.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// The session.
    pub session: String,
    /// Requests.
    pub requests: i64,
    /// When the first of them came: Unix time in microseconds.
    pub first: i64,
    /// When the last of them came.
    pub last: i64,
    /// Of them, refused or cut for what was found.
    pub blocked: i64,
    /// Of them, let through and reported, or let through with words replaced.
    pub flagged: i64,
    /// The highest risk, 0 to 1.
    pub risk: f64,
    /// Tokens of prompts.
    pub input_tokens: i64,
    /// Tokens of answers.
    pub output_tokens: i64,
    /// What they cost, in billionths of a US dollar.
    pub cost: i64,
    /// How long they took together, in microseconds.
    pub micros: i64,
    /// The tenant; of several the last by name. So with the others below.
    pub tenant: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The key, by its id.
    pub key: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The model.
    pub model: Option<String>,
}

impl Database {
    /// A page of conversations, that with the newest request first. Of a period with very many requests the newest 100 000
    /// are looked at.
    pub async fn conversations(&self, filter: &ConversationFilter) -> Result<Vec<Conversation>, StoreError> {
        let (sql, values) = question(filter);
        self.read().await?.rows_made(AssertSqlSafe(sql), values).await?.iter().map(conversation_of).collect()
    }
}

/// The query; its text is made of words of this file.
fn question(filter: &ConversationFilter) -> (String, Vec<Value>) {
    let mut values = values![filter.from.unwrap_or(i64::MIN), filter.to.unwrap_or(i64::MAX)];
    let mut sql = String::from(
        "SELECT session, CAST(COUNT(*) AS BIGINT), MIN(time), MAX(time), \
         CAST(SUM(CASE WHEN decision = 'block' THEN 1 ELSE 0 END) AS BIGINT), \
         CAST(SUM(CASE WHEN decision IN ('flag', 'redact') THEN 1 ELSE 0 END) AS BIGINT), MAX(risk), \
         CAST(SUM(COALESCE(input_tokens, 0)) AS BIGINT), CAST(SUM(COALESCE(output_tokens, 0)) AS BIGINT), \
         CAST(SUM(COALESCE(cost, 0)) AS BIGINT), CAST(SUM(micros) AS BIGINT), \
         MAX(tenant), MAX(user_), MAX(key_), MAX(agent), MAX(model) FROM (\
         SELECT session, time, decision, risk, input_tokens, output_tokens, cost, micros, tenant, user_, key_, agent, model \
         FROM requests WHERE time >= $1 AND time < $2 AND session IS NOT NULL",
    );
    let bound = |values: &mut Vec<Value>, sql: &mut String, before: &str, value: Value, after: &str| {
        values.push(value);
        // Writing to a String cannot fail.
        write!(sql, "{before}${}{after}", values.len()).unwrap_or_default();
    };
    for (column, value) in [("tenant", &filter.tenant), ("user_", &filter.user), ("key_", &filter.key)] {
        if let Some(value) = value.clone() {
            bound(&mut values, &mut sql, &format!(" AND {column} = "), value.into(), "");
        }
    }
    bound(&mut values, &mut sql, " ORDER BY time DESC LIMIT ", LOOKED_AT.into(), ") AS looked GROUP BY session");
    let mut joint = " HAVING ";
    if let Some(decision) = filter.decision.clone() {
        bound(&mut values, &mut sql, " HAVING SUM(CASE WHEN decision = ", decision.into(), " THEN 1 ELSE 0 END) > 0");
        joint = " AND ";
    }
    if let Some((time, session)) = filter.before.clone() {
        bound(&mut values, &mut sql, &format!("{joint}(MAX(time) < "), time.into(), "");
        bound(&mut values, &mut sql, " OR (MAX(time) = ", time.into(), "");
        bound(&mut values, &mut sql, " AND session < ", session.into(), "))");
    }
    bound(
        &mut values,
        &mut sql,
        " ORDER BY MAX(time) DESC, session DESC LIMIT ",
        filter.limit.min(MOST_ROWS).into(),
        "",
    );
    (sql, values)
}

fn conversation_of(row: &Row) -> Result<Conversation, StoreError> {
    Ok(Conversation {
        session: row.text(0)?,
        requests: row.int(1)?,
        first: row.int(2)?,
        last: row.int(3)?,
        blocked: row.int(4)?,
        flagged: row.int(5)?,
        risk: row.real(6)?,
        input_tokens: row.int(7)?,
        output_tokens: row.int(8)?,
        cost: row.int(9)?,
        micros: row.int(10)?,
        tenant: row.maybe_text(11)?,
        user: row.maybe_text(12)?,
        key: row.maybe_text(13)?,
        agent: row.maybe_text(14)?,
        model: row.maybe_text(15)?,
    })
}

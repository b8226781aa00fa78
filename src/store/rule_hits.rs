//! How often rules found something: counted over the findings that are stored, by piece of time.

use super::{Database, StoreError};
use crate::values;

/// Findings looked at, the newest of the period: a page must not hold up the store.
pub const MOST: u32 = 200_000;

/// Rows of an answer: rules times pieces.
const MOST_ROWS: u32 = 200_000;

/// What is counted: from when, in pieces of how many microseconds, how many of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HitQuery {
    /// The beginning: Unix time in microseconds.
    pub from: i64,
    /// How long a piece is, at least one microsecond.
    pub step: i64,
    /// How many pieces.
    pub pieces: u32,
    /// Of this rule alone.
    pub rule: Option<String>,
}

/// Requests that one rule found something in, in one piece of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HitCount {
    /// The rule's id.
    pub rule: String,
    /// Which piece, from 0.
    pub piece: u32,
    /// Requests, each once.
    pub requests: u64,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HitCounts {
    /// By rule and piece; those without any are left out.
    pub counts: Vec<HitCount>,
    /// There were more findings than are looked at: what is older than this (Unix time in microseconds) is not counted.
    pub since: Option<i64>,
}

impl Database {
    /// Counts the requests that rules found something in. Looks at the newest 200,000 findings of the period, by the index on
    /// their time.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn rule_hits(&self, query: &HitQuery) -> Result<HitCounts, StoreError> {
        let step = query.step.max(1);
        let to = query.from.saturating_add(step.saturating_mul(i64::from(query.pieces)));
        // Both are text of this file: what is asked for is bound.
        let (one, all) = (
            "SELECT rule, (time - $1) / $3, COUNT(DISTINCT request) FROM (SELECT rule, time, request FROM findings \
             WHERE time >= $1 AND time < $2 ORDER BY time DESC LIMIT $4) looked WHERE rule = $6 \
             GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $5",
            "SELECT rule, (time - $1) / $3, COUNT(DISTINCT request) FROM (SELECT rule, time, request FROM findings \
             WHERE time >= $1 AND time < $2 ORDER BY time DESC LIMIT $4) looked GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $5",
        );
        let mut values = values![query.from, to, step, MOST, MOST_ROWS];
        let sql = match &query.rule {
            Some(rule) => {
                values.extend(values![rule.clone()]);
                one
            }
            None => all,
        };
        let mut session = self.read().await?;
        let mut counts = Vec::new();
        for row in session.rows(sql, values).await? {
            let piece = u32::try_from(row.int(1)?).unwrap_or(0);
            counts.push(HitCount { rule: row.text(0)?, piece, requests: row.count(2)? });
        }
        let sql = "SELECT time FROM findings WHERE time >= $1 AND time < $2 ORDER BY time DESC LIMIT 1 OFFSET $3";
        let more = session.row(sql, values![query.from, to, MOST]).await?;
        Ok(HitCounts { counts, since: more.map(|row| row.int(0)).transpose()? })
    }
}

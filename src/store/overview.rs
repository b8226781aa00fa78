//! What happened in a period, added up from the requests and findings that are kept.

use std::collections::BTreeMap;

use super::{Database, Row, StoreError};
use crate::values;

/// The most pieces a period is cut into.
pub const MOST_PIECES: u32 = 400;

/// Names of each list, those with the most.
const MOST_NAMES: u32 = 10;

/// What happened in a period.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overview {
    /// Requests by outcome and decision (`served/allow`, `prompt_blocked/block`, ...), one count for each piece of time.
    pub series: BTreeMap<(String, String), Vec<u64>>,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// What it cost, in billionths of a dollar.
    pub cost: i64,
}

/// Something that was found or seen, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// How often.
    pub count: u64,
    /// How many of these were blocked.
    pub blocked: u64,
}

/// The names with the most in a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Top {
    /// Rules that found something.
    pub rules: Vec<Named>,
    /// Families of threats.
    pub families: Vec<Named>,
    /// Users by requests that were blocked, then by requests.
    pub users: Vec<Named>,
    /// Models by requests.
    pub models: Vec<Named>,
}

impl Database {
    /// Requests from `from` until before `to` (Unix time in microseconds), in `pieces` of the same length.
    ///
    /// # Errors
    /// Of the store.
    pub async fn overview(&self, from: i64, to: i64, pieces: u32) -> Result<Overview, StoreError> {
        let pieces = pieces.clamp(1, MOST_PIECES);
        let step = (to.saturating_sub(from) / i64::from(pieces)).max(1);
        let sql = "SELECT (time - $1) / $2, outcome, decision, COUNT(*), \
                   CAST(COALESCE(SUM(input_tokens), 0) AS BIGINT), CAST(COALESCE(SUM(output_tokens), 0) AS BIGINT), \
                   CAST(COALESCE(SUM(cost), 0) AS BIGINT) FROM requests WHERE time >= $1 AND time < $3 GROUP BY 1, 2, 3";
        let rows = self.read().await?.rows(sql, values![from, step, to]).await?;
        let mut all = Overview::default();
        for row in &rows {
            let piece = usize::try_from(row.int(0)?).unwrap_or(0).min(pieces as usize - 1);
            let counts = all.series.entry((row.text(1)?, row.text(2)?)).or_insert_with(|| vec![0; pieces as usize]);
            if let Some(slot) = counts.get_mut(piece) {
                *slot = slot.saturating_add(count(row, 3)?);
            }
            all.input_tokens = all.input_tokens.saturating_add(count(row, 4)?);
            all.output_tokens = all.output_tokens.saturating_add(count(row, 5)?);
            all.cost = all.cost.saturating_add(row.int(6)?);
        }
        Ok(all)
    }

    /// The names with the most in a period.
    ///
    /// # Errors
    /// Of the store.
    pub async fn top(&self, from: i64, to: i64) -> Result<Top, StoreError> {
        let most = i64::from(MOST_NAMES);
        let found = |column: &'static str| match column {
            "rule" => {
                "SELECT rule, COUNT(DISTINCT request), CAST(0 AS BIGINT) FROM findings WHERE time >= $1 AND time < $2 \
                       GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $3"
            }
            _ => {
                "SELECT family, COUNT(DISTINCT request), CAST(0 AS BIGINT) FROM findings WHERE time >= $1 AND time < $2 \
                  GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $3"
            }
        };
        let users = "SELECT user_, COUNT(*), CAST(SUM(CASE WHEN decision = 'block' THEN 1 ELSE 0 END) AS BIGINT) FROM requests \
                     WHERE time >= $1 AND time < $2 AND user_ IS NOT NULL GROUP BY 1 ORDER BY 3 DESC, 2 DESC, 1 LIMIT $3";
        let models = "SELECT model, COUNT(*), CAST(SUM(CASE WHEN decision = 'block' THEN 1 ELSE 0 END) AS BIGINT) FROM requests \
                      WHERE time >= $1 AND time < $2 AND model IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $3";
        let mut lists = Vec::new();
        for sql in [found("rule"), found("family"), users, models] {
            let rows = self.read().await?.rows(sql, values![from, to, most]).await?;
            lists.push(rows.iter().map(named).collect::<Result<Vec<_>, _>>()?);
        }
        let mut lists = lists.into_iter();
        let mut next = || lists.next().unwrap_or_default();
        Ok(Top { rules: next(), families: next(), users: next(), models: next() })
    }
}

fn named(row: &Row) -> Result<Named, StoreError> {
    Ok(Named { name: row.text(0)?, count: count(row, 1)?, blocked: count(row, 2)? })
}

fn count(row: &Row, column: usize) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.int(column)?).unwrap_or(0))
}

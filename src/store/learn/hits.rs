//! How often learned rules found something, by minute, summed over the replicas.

use std::collections::BTreeMap;

use crate::store::insert::Insert;
use crate::store::{Database, StoreError};
use crate::types::learn::Hits;
use crate::values;

static ROWS: Insert = Insert::new(
    "INSERT INTO learn_hits (rule, replica, minute, seen, hits, alone, decided, callers)",
    8,
    "ON CONFLICT (rule, replica, minute) DO UPDATE SET seen = EXCLUDED.seen, hits = EXCLUDED.hits, \
     alone = EXCLUDED.alone, decided = EXCLUDED.decided, callers = EXCLUDED.callers",
);

/// Rules and minutes whose callers are read at once.
const MOST_ROWS: u32 = 10_000;

/// Prints of callers that are kept of one rule.
const CALLERS: usize = 16;

/// What one rule found in one minute on one replica; the rule `""` counts every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HitRow {
    /// The rule's id.
    pub rule: String,
    /// The minute: Unix time in minutes.
    pub minute: i64,
    /// What was found.
    pub hits: Hits,
}

/// Hits of learned rules.
impl Database {
    /// Writes what was found on one replica in some minutes, in the place of what it wrote about them before.
    pub async fn write_hits(&self, replica: &str, rows: &[HitRow]) -> Result<(), StoreError> {
        let values = rows.iter().map(|row| {
            let callers = serde_json::to_string(&row.hits.callers).unwrap_or_else(|_| "[]".to_owned());
            let Hits { seen, hits, alone, decided, .. } = row.hits;
            values![row.rule.clone(), replica.to_owned(), row.minute, seen, hits, alone, decided, callers]
        });
        let values = values.collect();
        let mut session = self.begin().await?;
        ROWS.run(&mut session, values).await?;
        session.commit().await
    }

    /// What was found from a minute on, on all replicas, by rule; the rule `""` is every request.
    pub async fn hits_since(&self, minute: i64) -> Result<BTreeMap<String, Hits>, StoreError> {
        let sql = "SELECT rule, CAST(SUM(seen) AS BIGINT), CAST(SUM(hits) AS BIGINT), CAST(SUM(alone) AS BIGINT), \
                   CAST(SUM(decided) AS BIGINT) \
                   FROM learn_hits WHERE minute >= $1 GROUP BY rule";
        let mut session = self.read().await?;
        let mut sums: BTreeMap<String, Hits> = BTreeMap::new();
        for row in session.rows(sql, values![minute]).await? {
            let hits = Hits {
                seen: row.count(1)?,
                hits: row.count(2)?,
                alone: row.count(3)?,
                decided: row.count(4)?,
                callers: Vec::new(),
            };
            sums.insert(row.text(0)?, hits);
        }
        let sql =
            "SELECT rule, callers FROM learn_hits WHERE minute >= $1 AND decided > 0 ORDER BY minute DESC LIMIT $2";
        for row in session.rows(sql, values![minute, MOST_ROWS]).await? {
            let Some(sum) = sums.get_mut(&row.text(0)?) else { continue };
            let callers: Vec<u64> = serde_json::from_str(&row.text(1)?).unwrap_or_default();
            for caller in callers {
                if sum.callers.len() < CALLERS && !sum.callers.contains(&caller) {
                    sum.callers.push(caller);
                }
            }
        }
        Ok(sums)
    }

    /// Forgets what was found before a minute.
    pub async fn forget_hits(&self, before: i64) -> Result<u64, StoreError> {
        self.write().await?.execute("DELETE FROM learn_hits WHERE minute < $1", values![before]).await
    }
}

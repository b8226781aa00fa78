//! Incidents that are over, to learn from.

use super::{MOST_ROWS, body, from_json};
use crate::store::{Database, StoreError};
use crate::types::soc::{Analysis, Incident, Plan};
use crate::values;

/// An incident that is over, with what there is to learn from it.
#[derive(Debug, Clone, PartialEq)]
pub struct PastIncident {
    /// The incident; `closed` says how it ended.
    pub incident: Incident,
    /// What the analyst found, by the names of its steps.
    pub found: serde_json::Map<String, serde_json::Value>,
    /// The plan the analyst came to.
    pub plan: Option<Plan>,
}

/// Reading them.
impl Database {
    /// At most `limit` (and 1000) incidents that are over and were not merged into others, the youngest first, with what
    /// was found out and planned.
    pub async fn past_incidents(&self, limit: u32) -> Result<Vec<PastIncident>, StoreError> {
        let sql = "SELECT i.body, a.body, p.body FROM incidents i LEFT JOIN analyses a ON a.incident = i.id \
                   LEFT JOIN plans p ON p.id = a.plan WHERE i.state = 'closed' AND i.merged_into IS NULL \
                   ORDER BY i.updated DESC, i.id DESC LIMIT $1";
        let rows = self.read().await?.rows(sql, values![limit.min(MOST_ROWS)]).await?;
        let past = |row: &crate::store::Row| {
            let analysis = row.maybe_text(1)?.map(|text| from_json::<Analysis>(&text)).transpose()?;
            Ok(PastIncident {
                incident: body(row)?,
                found: analysis.map(|analysis| analysis.found).unwrap_or_default(),
                plan: row.maybe_text(2)?.map(|text| from_json(&text)).transpose()?,
            })
        };
        rows.iter().map(past).collect()
    }
}

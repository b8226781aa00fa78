//! Forgetting what the SOC kept long enough, a few at a time.

use std::sync::Arc;

use super::feed::FeedTx;
use super::rows_of;
use crate::store::{Database, StoreError};
use crate::values;

/// Things of one transaction.
const AT_ONCE: u32 = 200;

/// Everything before the first entry that is young enough: what is left has no holes, whatever the clocks did.
pub(in crate::store) const FEED: &str = "DELETE FROM feed WHERE seq IN (SELECT seq FROM feed WHERE seq < COALESCE(\
     (SELECT seq FROM feed WHERE time >= $1 ORDER BY seq LIMIT 1), 9223372036854775807) ORDER BY seq LIMIT $2)";

/// Calls that wait no more.
pub(in crate::store) const CALLS: &str =
    "DELETE FROM tool_holds WHERE id IN (SELECT id FROM tool_holds WHERE expires < $1 ORDER BY expires LIMIT $2)";

/// Alerts that are evidence of nothing that is open.
const ALERTS: &str = "SELECT id FROM alerts WHERE last_seen < $1 AND NOT EXISTS (SELECT 1 FROM incident_alerts \
                      JOIN incidents ON incidents.id = incident_alerts.incident \
                      WHERE incident_alerts.alert = alerts.id AND incidents.state <> 'closed') \
                      ORDER BY last_seen, id LIMIT $2";

/// Closed incidents for which nothing is in force or waits to be done.
const INCIDENTS: &str = "SELECT id FROM incidents WHERE state = 'closed' AND updated < $1 AND NOT EXISTS (SELECT 1 \
                         FROM remedies WHERE remedies.incident = incidents.id \
                         AND remedies.state IN ('pending', 'applied')) ORDER BY updated, id LIMIT $2";

/// Plans that are over, for no incident, of which nothing is in force.
const PLANS: &str = "SELECT id FROM plans WHERE incident IS NULL AND state IN ('refused', 'carried', 'expired') \
                     AND made < $1 AND NOT EXISTS (SELECT 1 FROM remedies WHERE remedies.plan = plans.id \
                     AND remedies.state IN ('pending', 'applied')) ORDER BY made, id LIMIT $2";

/// What is forgotten together.
#[derive(Clone, Copy)]
enum What {
    Alerts,
    Incidents,
    Plans,
}

async fn ids(tx: &mut FeedTx, sql: &'static str, until: i64) -> Result<Vec<Arc<str>>, StoreError> {
    tx.session().await?.rows(sql, values![until, AT_ONCE]).await?.iter().map(|row| row.shared(0)).collect()
}

async fn each(tx: &mut FeedTx, sql: &'static str, ids: &[Arc<str>]) -> Result<(), StoreError> {
    rows_of(tx.session().await?, sql, ids.iter().map(AsRef::as_ref)).await.map(drop)
}

async fn plans(tx: &mut FeedTx, ids: &[Arc<str>]) -> Result<(), StoreError> {
    each(tx, "DELETE FROM approvals WHERE plan IN", ids).await?;
    each(tx, "DELETE FROM remedies WHERE plan IN", ids).await?;
    each(tx, "DELETE FROM plans WHERE id IN", ids).await
}

async fn some(tx: &mut FeedTx, what: What, until: i64) -> Result<u64, StoreError> {
    let gone = match what {
        What::Alerts => {
            let gone = ids(tx, ALERTS, until).await?;
            each(tx, "DELETE FROM soc_log WHERE about IN", &gone).await?;
            each(tx, "DELETE FROM incident_alerts WHERE alert IN", &gone).await?;
            each(tx, "DELETE FROM alerts WHERE id IN", &gone).await?;
            gone
        }
        What::Incidents => {
            let gone = ids(tx, INCIDENTS, until).await?;
            let sql = "SELECT id FROM plans WHERE incident IN";
            let rows = rows_of(tx.session().await?, sql, gone.iter().map(AsRef::as_ref)).await?;
            let made: Vec<Arc<str>> = rows.iter().map(|row| row.shared(0)).collect::<Result<_, _>>()?;
            plans(tx, &made).await?;
            each(tx, "DELETE FROM remedies WHERE incident IN", &gone).await?;
            each(tx, "DELETE FROM analyses WHERE incident IN", &gone).await?;
            each(tx, "DELETE FROM soc_log WHERE about IN", &gone).await?;
            each(tx, "DELETE FROM incident_alerts WHERE incident IN", &gone).await?;
            each(tx, "DELETE FROM incidents WHERE id IN", &gone).await?;
            gone
        }
        What::Plans => {
            let gone = ids(tx, PLANS, until).await?;
            plans(tx, &gone).await?;
            gone
        }
    };
    Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
}

impl Database {
    async fn sweep_soc(&self, what: What, until: i64, most: u64) -> Result<(u64, bool), StoreError> {
        let mut removed = 0_u64;
        while removed < most {
            let mut tx = FeedTx::begin(self).await?;
            let done = some(&mut tx, what, until).await;
            let (count, _) = tx.end(done).await?;
            removed = removed.saturating_add(count);
            if count < u64::from(AT_ONCE) {
                return Ok((removed, false));
            }
        }
        Ok((removed, true))
    }

    /// Removes alerts that nothing was counted in since `until`, but for the evidence of open incidents.
    pub(in crate::store) async fn sweep_alerts(&self, until: i64, most: u64) -> Result<(u64, bool), StoreError> {
        self.sweep_soc(What::Alerts, until, most).await
    }

    /// Removes incidents that were closed before `until` with all that hangs on them, and plans for none.
    pub(in crate::store) async fn sweep_incidents(&self, until: i64, most: u64) -> Result<(u64, bool), StoreError> {
        let (removed, reached) = self.sweep_soc(What::Incidents, until, most).await?;
        let (_, also) = self.sweep_soc(What::Plans, until, most).await?;
        Ok((removed, reached || also))
    }
}

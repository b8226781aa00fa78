//! Forgetting: rows older than their class allows, a few at a time, so that nobody waits for it long.

use std::time::Duration;

use super::soc::sweep as soc;
use super::{Database, StoreError, export};
use crate::values;

/// Rows of one transaction.
const AT_ONCE: u32 = 500;

/// How long each class is kept; `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Requests, without their content.
    pub requests: Option<Duration>,
    /// Findings.
    pub findings: Option<Duration>,
    /// Content.
    pub content: Option<Duration>,
    /// Alerts and other events.
    pub events: Option<Duration>,
    /// The ledger.
    pub ledger: Option<Duration>,
    /// Whom objects of providers were issued to.
    pub issued: Option<Duration>,
    /// Standing orders that are over.
    pub orders: Option<Duration>,
    /// Alerts of the SOC, and tool calls that waited; not the evidence of open incidents.
    pub alerts: Option<Duration>,
    /// Closed incidents with their timelines, analyses, plans, approvals and remedies.
    pub incidents: Option<Duration>,
    /// The feed.
    pub feed: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days: u64| Some(Duration::from_secs(days.saturating_mul(24 * 3600)));
        Self {
            requests: days(90),
            findings: days(90),
            content: days(30),
            events: days(365),
            ledger: days(400),
            issued: days(90),
            orders: days(365),
            alerts: days(365),
            incidents: days(366),
            feed: days(7),
        }
    }
}

/// How many rows were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Requests.
    pub requests: u64,
    /// Findings.
    pub findings: u64,
    /// Content.
    pub content: u64,
    /// Events.
    pub events: u64,
    /// Rows of the ledger, both tables.
    pub ledger: u64,
    /// Issued objects.
    pub issued: u64,
    /// Orders that are over.
    pub orders: u64,
    /// Alerts of the SOC.
    pub alerts: u64,
    /// Tool calls that waited.
    pub calls: u64,
    /// Incidents with all that hangs on them.
    pub incidents: u64,
    /// Entries of the feed.
    pub feed: u64,
    /// Requests noted for exports, and what receivers refused.
    pub exports: u64,
    /// Whether more is left: the limit of this run was reached in some class.
    pub more: bool,
}

macro_rules! by_key {
    ($table:literal, $key:literal, $time:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE (",
            $key,
            ") IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE ",
            $time,
            " < $1 ORDER BY ",
            $time,
            " LIMIT $2)"
        )
    };
}

impl Database {
    /// Removes what is older than its class allows at `now` (Unix time in microseconds), at most `most` rows of each
    /// class, in small transactions.
    pub async fn sweep(&self, now: i64, retention: &Retention, most: u64) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        let (mut days, mut noted, mut dead) = (0, 0, 0);
        let classes: [(&'static str, Option<Duration>, &mut u64); 12] = [
            (by_key!("contents", "request, direction", "time"), retention.content, &mut swept.content),
            (by_key!("findings", "request, number", "time"), retention.findings, &mut swept.findings),
            (by_key!("requests", "id", "time"), retention.requests, &mut swept.requests),
            (by_key!("events", "id", "time"), retention.events, &mut swept.events),
            (by_key!("issued", "hash", "time"), retention.issued, &mut swept.issued),
            (
                by_key!("spend_hourly", "bucket, tenant, team, user_, key_, model, agent", "bucket"),
                retention.ledger,
                &mut swept.ledger,
            ),
            (by_key!("spend_daily", "bucket, tenant, team, model", "bucket"), retention.ledger, &mut days),
            (
                "DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE lifted < $1 OR expires < $1 LIMIT $2)",
                retention.orders,
                &mut swept.orders,
            ),
            (soc::FEED, retention.feed, &mut swept.feed),
            (soc::CALLS, retention.alerts, &mut swept.calls),
            (export::RECORDS, retention.feed, &mut noted),
            (by_key!("export_dead", "id", "made"), retention.events, &mut dead),
        ];
        let before = |kept: Duration| now.saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX));
        let mut more = false;
        for (sql, kept, count) in classes {
            let Some(kept) = kept else { continue };
            let (removed, reached) = self.sweep_class(sql, before(kept), most).await?;
            *count = count.saturating_add(removed);
            more |= reached;
        }
        // Incidents first: what is evidence of none any more may be too old as well.
        if let Some(kept) = retention.incidents {
            let (removed, reached) = self.sweep_incidents(before(kept), most).await?;
            swept.incidents = removed;
            more |= reached;
        }
        if let Some(kept) = retention.alerts {
            let (removed, reached) = self.sweep_alerts(before(kept), most).await?;
            swept.alerts = removed;
            more |= reached;
        }
        // Batches of writers that are long gone come back from no spool.
        let month = now.saturating_sub(90 * 24 * 3_600_000_000);
        self.write().await?.execute("DELETE FROM writers WHERE time < $1", values![month]).await?;
        swept.ledger = swept.ledger.saturating_add(days);
        swept.exports = noted.saturating_add(dead);
        swept.more = more;
        Ok(swept)
    }

    async fn sweep_class(&self, sql: &'static str, until: i64, most: u64) -> Result<(u64, bool), StoreError> {
        let mut removed = 0_u64;
        while removed < most {
            // A connection for each: between two of them the writer has its turn.
            let count = self.write().await?.execute(sql, values![until, AT_ONCE]).await?;
            removed = removed.saturating_add(count);
            if count < u64::from(AT_ONCE) {
                return Ok((removed, false));
            }
        }
        Ok((removed, true))
    }
}

//! Whom a remedy would have hit: counted over the requests that are stored.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::store::{Database, StoreError};
use crate::types::Subject;
use crate::values;

/// Rows looked at, the newest: a report for one plan must not hold up the store.
const MOST: u32 = 100_000;

/// Who would have been hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hit {
    /// Requests.
    pub requests: u64,
    /// Different callers: users (of a tenant), else keys, else addresses.
    pub callers: u64,
    /// Requests among them that nothing was found in.
    pub clean: u64,
    /// Whether there were more rows to look at, so that the true figures are at least these.
    pub at_least: bool,
}

/// Whether an address is in a range; ranges of one family hold none of the other.
fn within(address: IpAddr, (range, prefix): (IpAddr, u8)) -> bool {
    match (address, range) {
        (IpAddr::V4(address), IpAddr::V4(range)) => {
            let kept = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            address.to_bits() & kept == range.to_bits() & kept
        }
        (IpAddr::V6(address), IpAddr::V6(range)) => {
            let kept = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            address.to_bits() & kept == range.to_bits() & kept
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Rows of one caller and address: how many requests, how many of them clean.
macro_rules! groups {
    ($inner:literal, $outer:literal) => {
        concat!(
            "SELECT address, COALESCE('u:' || user_, 'k:' || key_, 'a:' || address, ''), \
             CASE WHEN user_ IS NULL THEN '' ELSE COALESCE(tenant, '') END, COUNT(*), \
             CAST(SUM(CASE WHEN EXISTS (SELECT 1 FROM findings WHERE findings.request = looked.id) THEN 0 ELSE 1 END) \
             AS BIGINT) FROM (SELECT id, tenant, team, user_, key_, session, agent, address FROM requests \
             WHERE time >= $1",
            $inner,
            " ORDER BY time DESC LIMIT $2) looked",
            $outer,
            " GROUP BY 1, 2, 3"
        )
    };
}

impl Database {
    /// Counts what requests since `since` (Unix time in microseconds) an order about the subject would have refused. Looks
    /// at the newest 100,000 requests (of a user: of theirs).
    pub async fn blast(&self, subject: &Subject, since: i64) -> Result<Hit, StoreError> {
        let (sql, name, range) = match subject {
            // There is an index for these, so only theirs are looked at.
            Subject::User { name } => (groups!(" AND user_ = $3", ""), name.to_string(), None),
            Subject::Tenant { name } => (groups!("", " WHERE tenant = $3"), name.to_string(), None),
            Subject::Team { name } => (groups!("", " WHERE team = $3"), name.to_string(), None),
            Subject::Key { name } => (groups!("", " WHERE key_ = $3"), name.to_string(), None),
            Subject::Session { name } => (groups!("", " WHERE session = $3"), name.to_string(), None),
            Subject::Agent { name } => (groups!("", " WHERE agent = $3"), name.to_string(), None),
            Subject::Network { address, prefix } => {
                let whole = if address.is_ipv4() { 32 } else { 128 };
                if *prefix >= whole {
                    // Addresses are written canonically.
                    (groups!("", " WHERE address = $3"), address.to_string(), None)
                } else {
                    // Addresses are text: what the range is told by is compared here, what family it is there.
                    let mark = if address.is_ipv4() { "%.%" } else { "%:%" };
                    (groups!("", " WHERE address LIKE $3"), mark.to_owned(), Some((*address, *prefix)))
                }
            }
        };
        let mut session = self.read().await?;
        let mut hit = Hit::default();
        let mut callers = HashSet::new();
        for row in session.rows(sql, values![since, MOST, name.clone()]).await? {
            if let Some(range) = range {
                let address = row.maybe_text(0)?.and_then(|text| text.parse().ok());
                if !address.is_some_and(|address| within(address, range)) {
                    continue;
                }
            }
            callers.insert((row.text(1)?, row.text(2)?));
            hit.requests = hit.requests.saturating_add(row.count(3)?);
            hit.clean = hit.clean.saturating_add(row.count(4)?);
        }
        hit.callers = u64::try_from(callers.len()).unwrap_or(u64::MAX);
        hit.at_least = match subject {
            Subject::User { .. } => hit.requests >= u64::from(MOST),
            Subject::Network { .. }
            | Subject::Tenant { .. }
            | Subject::Team { .. }
            | Subject::Key { .. }
            | Subject::Session { .. }
            | Subject::Agent { .. } => {
                let sql = "SELECT time FROM requests WHERE time >= $1 ORDER BY time DESC LIMIT 1 OFFSET $2";
                session.row(sql, values![since, MOST]).await?.is_some()
            }
        };
        Ok(hit)
    }
}

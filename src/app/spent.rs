//! Where budgets stand at start: what the ledger says was spent since their period began.

use crate::config::Snapshot;
use crate::quota::{Kind, Meter, Plan, ScopeKind, Unit};
use crate::store::{self, Bucket, Database, SpendQuery, StoreError};

/// Spenders looked at per budget.
const MOST: u32 = 100_000;

/// Tells the meter.
///
/// # Errors
/// The store does not answer.
pub(super) async fn preload(database: &Database, snapshot: &Snapshot, meter: &Meter) -> Result<(), StoreError> {
    let own = snapshot.policies.iter().map(|policy| &policy.charges);
    for plan in std::iter::once(&*snapshot.charges).chain(own) {
        of_plan(database, plan, meter).await?;
    }
    Ok(())
}

async fn of_plan(database: &Database, plan: &Plan, meter: &Meter) -> Result<(), StoreError> {
    let now = store::now();
    for (scope, rule) in plan.rules() {
        let Kind::Budget { calendar, .. } = &rule.kind else { continue };
        let Some(by) = scope.dimensions() else { continue };
        let from = calendar.start(now / 1_000_000).saturating_mul(1_000_000);
        let query = SpendQuery { by, bucket: Bucket::Total, from, to: now, filters: Vec::new(), limit: MOST };
        for row in database.spend(&query).await?.rows {
            let (tenant, name) = match row.names.as_slice() {
                [tenant, name] => (Some(tenant.as_str()).filter(|tenant| !tenant.is_empty()), name.as_str()),
                [name] => (None, name.as_str()),
                _ => (None, ""),
            };
            if scope != ScopeKind::All && name.is_empty() {
                continue;
            }
            let spent = match rule.unit {
                Unit::NanoUsd => row.sums.cost,
                Unit::Tokens => row.sums.tokens.input.saturating_add(row.sums.tokens.output),
                Unit::Requests | Unit::Slots => continue,
            };
            for bucket in plan.buckets(scope, tenant, name) {
                if bucket.rule == *rule {
                    meter.preload(&bucket, spent);
                }
            }
        }
    }
    Ok(())
}

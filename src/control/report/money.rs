//! What a spend report is made of.

use super::gather::{Answers, scope};
use crate::config::Snapshot;
use crate::quota::{Kind, Plan, ScopeKind, Unit};
use crate::report::Ask;
use crate::report::data::{Budget, Spend};
use crate::store::{Bucket, Database, Dimension, SpendQuery, StoreError, Tally, TallyScope};

/// Rows of a question by day.
const DAYS: u32 = 50_000;
/// Those of a budget that are looked at.
const SPENDERS: u32 = 20_000;

pub(super) async fn spend(database: &Database, snapshot: &Snapshot, rows: u32, ask: &Ask) -> Result<Spend, StoreError> {
    let asked = [Tally::SpendTeams, Tally::SpendModels, Tally::SpendUsers];
    let mut answers = Answers::ask(database, &scope(ask, rows), &asked).await?;
    let mut days = Answers::ask(database, &scope(ask, DAYS), &[Tally::SpendDays]).await?;
    let since = jiff::Timestamp::from_microsecond(ask.made)
        .map(|at| at.to_zoned(jiff::tz::TimeZone::UTC))
        .and_then(|at| at.first_of_month()?.start_of_day())
        .map_or(ask.since, |at| at.timestamp().as_microsecond());
    let month = TallyScope { since, until: ask.made.saturating_add(1), tenant: ask.tenant.clone(), limit: DAYS };
    let mut month = Answers::ask(database, &month, &[Tally::SpendDays]).await?;
    Ok(Spend {
        teams: answers.rows(),
        models: answers.rows(),
        users: answers.rows(),
        days: days.rows(),
        month: month.rows(),
        budgets: budgets(database, snapshot, rows, ask).await?,
    })
}

/// Every budget with those it holds for, as far as they used any of it.
async fn budgets(database: &Database, snapshot: &Snapshot, rows: u32, ask: &Ask) -> Result<Vec<Budget>, StoreError> {
    let mut all = Vec::new();
    let own = snapshot.policies.iter().map(|policy| &policy.charges);
    for plan in std::iter::once(&*snapshot.charges).chain(own) {
        of_plan(database, plan, ask, &mut all).await?;
    }
    let share = |one: &Budget| if one.limit == 0 { 0.0 } else { one.used as f64 / one.limit as f64 };
    all.sort_by(|a, b| share(b).total_cmp(&share(a)).then_with(|| a.name.cmp(&b.name)).then_with(|| a.of.cmp(&b.of)));
    all.truncate(rows as usize);
    Ok(all)
}

async fn of_plan(database: &Database, plan: &Plan, ask: &Ask, all: &mut Vec<Budget>) -> Result<(), StoreError> {
    for (scope, rule) in plan.rules() {
        let Kind::Budget { calendar, .. } = &rule.kind else { continue };
        let (limit, tokens) = (rule.kind.limit(), rule.unit == Unit::Tokens);
        let one = |of: String, used: u64| Budget {
            name: rule.name.to_string(),
            scope: scope.name().to_owned(),
            of,
            period: calendar.to_string(),
            limit,
            used,
            tokens,
        };
        let Some(by) = scope.dimensions() else { continue };
        let from = calendar.start(ask.made / 1_000_000).saturating_mul(1_000_000);
        let filters = ask.tenant.iter().map(|tenant| (Dimension::Tenant, tenant.clone())).collect();
        let to = ask.made.saturating_add(1);
        let query = SpendQuery { by, bucket: Bucket::Total, from, to, filters, limit: SPENDERS };
        let mut some = false;
        for row in database.spend(&query).await?.rows {
            let (tenant, name) = match row.names.as_slice() {
                [tenant, name] => (Some(tenant.as_str()).filter(|tenant| !tenant.is_empty()), name.as_str()),
                [name] => (None, name.as_str()),
                _ => (None, ""),
            };
            let holds = scope == ScopeKind::All || !name.is_empty();
            if holds && plan.buckets(scope, tenant, name).iter().any(|bucket| bucket.rule == *rule) {
                let tokens_used = row.sums.tokens.input.saturating_add(row.sums.tokens.output);
                all.push(one(name.to_owned(), if tokens { tokens_used } else { row.sums.cost }));
                some = true;
            }
        }
        if !some {
            all.push(one(if scope == ScopeKind::All { String::new() } else { "nobody so far".to_owned() }, 0));
        }
    }
    Ok(())
}

//! Who asks: requests grouped by caller, what was usual for each before, and one caller's activity over time.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use super::{Database, Row, Session, StoreError, Value};
use crate::values;

/// Rows looked at for one answer, the newest: a busy gateway's page must not hold up the store.
const MOST: u32 = 200_000;
/// Callers in one answer.
const MOST_CALLERS: u32 = 200;

/// What a caller is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallerKind {
    /// The user.
    User,
    /// The team.
    Team,
    /// The tenant.
    Tenant,
    /// The key, by its id.
    Key,
    /// The agent.
    Agent,
    /// The client's address.
    Address,
}

impl CallerKind {
    const fn column(self) -> &'static str {
        match self {
            Self::User => "user_",
            Self::Team => "team",
            Self::Tenant => "tenant",
            Self::Key => "key_",
            Self::Agent => "agent",
            Self::Address => "address",
        }
    }

    /// Whether alerts have a column for it.
    const fn is_of_alerts(self) -> bool {
        matches!(self, Self::User | Self::Tenant | Self::Key | Self::Address)
    }
}

/// In which order callers are listed, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallerOrder {
    /// By requests.
    Requests,
    /// By blocked requests.
    Blocked,
    /// By what they cost.
    Cost,
    /// By their riskiest request.
    Risk,
    /// By their last request.
    Last,
}

impl CallerOrder {
    const fn column(self) -> &'static str {
        match self {
            Self::Requests => "2",
            Self::Blocked => "3",
            Self::Cost => "4",
            Self::Risk => "5",
            Self::Last => "8",
        }
    }
}

/// Which callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerQuery {
    /// What they are told by.
    pub kind: CallerKind,
    /// Not before: Unix time in microseconds.
    pub from: i64,
    /// Before.
    pub to: i64,
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only the one of this name.
    pub name: Option<String>,
    /// In which order.
    pub order: CallerOrder,
    /// The most; at most 200.
    pub limit: u32,
}

/// What one caller did in a period.
#[derive(Debug, Clone, PartialEq)]
pub struct CallerRow {
    /// Its name.
    pub name: String,
    /// The tenant, where there is one.
    pub tenant: Option<String>,
    /// Requests.
    pub requests: u64,
    /// Requests that were blocked.
    pub blocked: u64,
    /// Cost in nano-USD, as far as models have a price.
    pub cost: u64,
    /// The risk of the riskiest request, 0 to 1.
    pub risk_most: f64,
    /// The mean risk.
    pub risk_mean: f64,
    /// The first and the last request of the period: Unix time in microseconds.
    pub first: i64,
    /// The last one.
    pub last: i64,
    /// Alerts about it; `None` where alerts do not say.
    pub alerts: Option<u64>,
}

/// Callers of a period.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Callers {
    /// In the order asked for.
    pub rows: Vec<CallerRow>,
    /// Whether there were more requests to look at, so that the true figures are at least these.
    pub at_least: bool,
}

/// How many requests callers sent in each piece of the time before a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Before {
    /// Requests by caller and piece; piece 0 ends at that moment. Pieces without any are absent.
    pub counts: BTreeMap<String, BTreeMap<i64, u64>>,
    /// How many pieces were looked at whole.
    pub pieces: i64,
}

/// One piece of a caller's time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CallerPiece {
    /// Its number, from 0.
    pub piece: i64,
    /// Requests.
    pub requests: u64,
    /// Blocked ones.
    pub blocked: u64,
    /// Cost in nano-USD.
    pub cost: u64,
    /// The highest risk.
    pub risk: f64,
}

/// The newest requests of a period, with the caller's name as `who`. A user's are found by an index, so only theirs are
/// looked at.
fn looked(kind: CallerKind, is_named: bool) -> String {
    let column = kind.column();
    let own = if is_named && kind == CallerKind::User { " AND user_ = $4" } else { "" };
    format!(
        "(SELECT {column} AS who, tenant, decision, cost, risk, time FROM requests \
         WHERE time >= $1 AND time < $2{own} ORDER BY time DESC LIMIT $3) looked WHERE who IS NOT NULL"
    )
}

/// `$first`, ... for so many names.
fn places(first: usize, many: usize) -> String {
    let places: Vec<String> = (first..first.saturating_add(many)).map(|number| format!("${number}")).collect();
    places.join(", ")
}

/// When the oldest request that was looked at came, where there were more.
async fn cut(session: &mut Session, from: i64, to: i64) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT time FROM requests WHERE time >= $1 AND time < $2 ORDER BY time DESC LIMIT 1 OFFSET $3";
    session.row(sql, values![from, to, MOST]).await?.map(|row| row.int(0)).transpose()
}

impl Database {
    /// Callers of a period. Looks at its newest 200,000 requests (of a user: of theirs).
    pub async fn callers(&self, query: &CallerQuery) -> Result<Callers, StoreError> {
        let mut values = values![query.from, query.to, MOST];
        let mut sql = format!(
            "SELECT who, COUNT(*), CAST(SUM(CASE WHEN decision = 'block' THEN 1 ELSE 0 END) AS BIGINT), \
             CAST(SUM(COALESCE(cost, 0)) AS BIGINT), MAX(risk), AVG(risk), MIN(time), MAX(time), MAX(tenant) FROM {}",
            looked(query.kind, query.name.is_some())
        );
        for (column, name) in [("who", &query.name), ("tenant", &query.tenant)] {
            if let Some(name) = name {
                values.push(Value::from(name.clone()));
                sql.push_str(&format!(" AND {column} = ${}", values.len()));
            }
        }
        values.push(Value::from(u64::from(query.limit.min(MOST_CALLERS))));
        sql.push_str(&format!(" GROUP BY who ORDER BY {} DESC, who LIMIT ${}", query.order.column(), values.len()));
        let mut session = self.read().await?;
        let rows = session.rows_made(AssertSqlSafe(sql), values).await?;
        let mut rows = rows.iter().map(caller).collect::<Result<Vec<_>, _>>()?;
        let at_least = cut(&mut session, query.from, query.to).await?.is_some();
        if query.kind.is_of_alerts() {
            let names = rows.iter().map(|row| row.name.clone()).collect();
            let alerts = alerts_of(&mut session, query, names).await?;
            for row in &mut rows {
                row.alerts = Some(alerts.get(&row.name).copied().unwrap_or(0));
            }
        }
        Ok(Callers { rows, at_least })
    }

    /// What callers of these names (200 at most) sent before `until`, in `pieces` pieces of `unit` microseconds each.
    /// Looks at the newest 200,000 requests of that time.
    pub async fn callers_before(
        &self,
        kind: CallerKind,
        names: &[String],
        (until, unit, pieces): (i64, i64, i64),
    ) -> Result<Before, StoreError> {
        let unit = unit.max(1);
        let from = until.saturating_sub(unit.saturating_mul(pieces));
        let mut before = Before { pieces, ..Before::default() };
        let names: Vec<&String> = names.iter().take(MOST_CALLERS as usize).collect();
        if names.is_empty() {
            return Ok(before);
        }
        let sql = format!(
            "SELECT who, ($2 - 1 - time) / $4, COUNT(*) FROM (SELECT {} AS who, time FROM requests WHERE time >= $1 AND \
             time < $2 ORDER BY time DESC LIMIT $3) looked WHERE who IN ({}) GROUP BY 1, 2",
            kind.column(),
            places(5, names.len())
        );
        let mut values = values![from, until, MOST, unit];
        values.extend(names.into_iter().map(|name| Value::from(name.clone())));
        let mut session = self.read().await?;
        for row in session.rows_made(AssertSqlSafe(sql), values).await? {
            before.counts.entry(row.text(0)?).or_default().insert(row.int(1)?, row.count(2)?);
        }
        if let Some(oldest) = cut(&mut session, from, until).await? {
            before.pieces = until.saturating_sub(1).saturating_sub(oldest) / unit;
        }
        Ok(before)
    }

    /// One caller's activity in pieces of `step` microseconds from `from` on. Pieces without any are absent.
    pub async fn caller_activity(
        &self,
        (kind, name): (CallerKind, &str),
        (from, to, step): (i64, i64, i64),
    ) -> Result<Vec<CallerPiece>, StoreError> {
        let sql = format!(
            "SELECT (time - $1) / $5, COUNT(*), CAST(SUM(CASE WHEN decision = 'block' THEN 1 ELSE 0 END) AS BIGINT), \
             CAST(SUM(COALESCE(cost, 0)) AS BIGINT), MAX(risk) FROM {} AND who = $4 GROUP BY 1 ORDER BY 1",
            looked(kind, true)
        );
        let values = values![from, to, MOST, name.to_owned(), step.max(1)];
        let rows = self.read().await?.rows_made(AssertSqlSafe(sql), values).await?;
        rows.iter()
            .map(|row| {
                Ok(CallerPiece {
                    piece: row.int(0)?,
                    requests: row.count(1)?,
                    blocked: row.count(2)?,
                    cost: row.count(3)?,
                    risk: row.real(4)?,
                })
            })
            .collect()
    }
}

/// How many alerts of the period are about each of these names.
async fn alerts_of(
    session: &mut Session,
    query: &CallerQuery,
    names: Vec<String>,
) -> Result<BTreeMap<String, u64>, StoreError> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT who, COUNT(*) FROM (SELECT {} AS who FROM alerts WHERE last_seen >= $1 AND last_seen < $2 \
         ORDER BY last_seen DESC LIMIT $3) looked WHERE who IN ({}) GROUP BY who",
        query.kind.column(),
        places(4, names.len())
    );
    let mut values = values![query.from, query.to, MOST];
    values.extend(names.into_iter().map(Value::from));
    session.rows_made(AssertSqlSafe(sql), values).await?.iter().map(|row| Ok((row.text(0)?, row.count(1)?))).collect()
}

fn caller(row: &Row) -> Result<CallerRow, StoreError> {
    Ok(CallerRow {
        name: row.text(0)?,
        requests: row.count(1)?,
        blocked: row.count(2)?,
        cost: row.count(3)?,
        risk_most: row.real(4)?,
        risk_mean: row.real(5)?,
        first: row.int(6)?,
        last: row.int(7)?,
        tenant: row.maybe_text(8)?,
        alerts: None,
    })
}

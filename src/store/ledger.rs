//! The ledger: what was used and what it cost, added up by hour and by day as requests are written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use super::insert::Insert;
use super::writer::{RequestRow, Tokens};
use super::{Database, Row, Session, StoreError, Value, now};
use crate::values;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// The most rows an answer has, whatever was asked for.
const MOST_ROWS: u32 = 100_000;

/// What the ledger can be asked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The tenant.
    Tenant,
    /// The team.
    Team,
    /// The user.
    User,
    /// The key, by its id.
    Key,
    /// The model.
    Model,
    /// The agent.
    Agent,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 6] = [Self::Tenant, Self::Team, Self::User, Self::Key, Self::Model, Self::Agent];

    /// The word in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Team => "team",
            Self::User => "user",
            Self::Key => "key",
            Self::Model => "model",
            Self::Agent => "agent",
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Team => "team",
            Self::User => "user_",
            Self::Key => "key_",
            Self::Model => "model",
            Self::Agent => "agent",
        }
    }

    /// Whether the small table by day has it.
    const fn is_daily(self) -> bool {
        matches!(self, Self::Tenant | Self::Team | Self::Model)
    }
}

/// How long the pieces of an answer are. All of them in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// Weeks from Monday.
    Week,
    /// Calendar months.
    Month,
    /// All of it in one.
    Total,
}

impl Bucket {
    /// Every length.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Total];

    /// The word in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    const fn sql(self) -> &'static str {
        match self {
            Self::Hour => "bucket",
            // Months are put together from days here.
            Self::Day | Self::Month => "bucket - bucket % 86400000000",
            // The first Monday of Unix time was its fifth day.
            Self::Week => "bucket - (bucket - 345600000000) % 604800000000",
            Self::Total => "CAST(0 AS BIGINT)",
        }
    }
}

/// A question to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendQuery {
    /// One row for each combination of these.
    pub by: Vec<Dimension>,
    /// And for each piece of time.
    pub bucket: Bucket,
    /// From when: Unix time in microseconds, taken down to the full hour.
    pub from: i64,
    /// Until before when: Unix time in microseconds, taken up to the full hour.
    pub to: i64,
    /// Only where these have this name; `""` means "none".
    pub filters: Vec<(Dimension, String)>,
    /// The most rows.
    pub limit: u32,
}

/// An answer of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spend {
    /// In order of time, then of the names.
    pub rows: Vec<SpendRow>,
    /// Whether there would be more than the limit.
    pub truncated: bool,
}

/// What was used in one piece of time under one combination of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendRow {
    /// When the piece begins: Unix time in microseconds.
    pub bucket: i64,
    /// In the order of `SpendQuery::by`; `""` where there was none.
    pub names: Vec<String>,
    /// What was used.
    pub sums: Sums,
}

/// What was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Requests that used anything.
    pub requests: u64,
    /// Tokens.
    pub tokens: Tokens,
    /// Cost in nano-USD, as far as models have a price.
    pub cost: u64,
}

impl Sums {
    const fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.tokens.input = self.tokens.input.saturating_add(other.tokens.input);
        self.tokens.cached = self.tokens.cached.saturating_add(other.tokens.cached);
        self.tokens.output = self.tokens.output.saturating_add(other.tokens.output);
        self.tokens.reasoning = self.tokens.reasoning.saturating_add(other.tokens.reasoning);
        self.cost = self.cost.saturating_add(other.cost);
    }

    fn values(&self) -> [Value; 6] {
        let tokens = self.tokens;
        [self.requests, tokens.input, tokens.cached, tokens.output, tokens.reasoning, self.cost].map(Value::from)
    }

    /// From six columns, the first at `at`.
    fn read(row: &Row, at: usize) -> Result<Self, StoreError> {
        let column = |number: usize| row.count(at.saturating_add(number));
        Ok(Self {
            requests: column(0)?,
            tokens: Tokens { input: column(1)?, cached: column(2)?, output: column(3)?, reasoning: column(4)? },
            cost: column(5)?,
        })
    }
}

macro_rules! upsert {
    ($table:literal, $names:literal, $columns:literal) => {
        Insert::new(
            concat!(
                "INSERT INTO ",
                $table,
                " (",
                $names,
                ", requests, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost)"
            ),
            $columns,
            concat!(
                "ON CONFLICT (",
                $names,
                ") DO UPDATE SET requests = ",
                $table,
                ".requests + EXCLUDED.requests, \
                 input_tokens = ",
                $table,
                ".input_tokens + EXCLUDED.input_tokens, \
                 cached_tokens = ",
                $table,
                ".cached_tokens + EXCLUDED.cached_tokens, \
                 output_tokens = ",
                $table,
                ".output_tokens + EXCLUDED.output_tokens, \
                 reasoning_tokens = ",
                $table,
                ".reasoning_tokens + EXCLUDED.reasoning_tokens, \
                 cost = ",
                $table,
                ".cost + EXCLUDED.cost"
            ),
        )
    };
}

static HOURLY: Insert = upsert!("spend_hourly", "bucket, tenant, team, user_, key_, model, agent", 13);
static DAILY: Insert = upsert!("spend_daily", "bucket, tenant, team, model", 10);

/// Adds what these requests used. In the order of the primary keys, so that replicas wait for each other in one order
/// and never for each other at once.
pub(super) async fn add(session: &mut Session, requests: &[&RequestRow]) -> Result<(), StoreError> {
    let mut hourly: BTreeMap<(i64, [&str; 6]), Sums> = BTreeMap::new();
    let mut daily: BTreeMap<(i64, [&str; 3]), Sums> = BTreeMap::new();
    for row in requests.iter().filter(|row| row.tokens.is_some() || row.cost.is_some()) {
        let sums = Sums { requests: 1, tokens: row.tokens.unwrap_or_default(), cost: row.cost.unwrap_or(0) };
        let (tenant, team) = (row.tenant.as_deref().unwrap_or(""), row.team.as_deref().unwrap_or(""));
        let (user, key) = (row.user.as_deref().unwrap_or(""), row.key.as_deref().unwrap_or(""));
        let (model, agent) = (row.model.as_deref().unwrap_or(""), row.agent.as_deref().unwrap_or(""));
        hourly.entry((start(row.time, HOUR), [tenant, team, user, key, model, agent])).or_default().add(&sums);
        daily.entry((start(row.time, DAY), [tenant, team, model])).or_default().add(&sums);
    }
    HOURLY
        .run(session, hourly.into_iter().map(|((bucket, names), sums)| ledger_row(bucket, &names, &sums)).collect())
        .await?;
    DAILY
        .run(session, daily.into_iter().map(|((bucket, names), sums)| ledger_row(bucket, &names, &sums)).collect())
        .await?;
    Ok(())
}

fn ledger_row(bucket: i64, names: &[&str], sums: &Sums) -> Vec<Value> {
    let mut row = values![bucket];
    row.extend(names.iter().map(|name| Value::from((*name).to_owned())));
    row.extend(sums.values());
    row
}

/// The beginning of the piece of time of that length.
const fn start(time: i64, length: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(length))
}

impl Database {
    /// What was used, by what and when.
    pub async fn spend(&self, query: &SpendQuery) -> Result<Spend, StoreError> {
        let limit = query.limit.min(MOST_ROWS);
        let from = start(query.from, HOUR);
        let to = start(query.to.saturating_add(HOUR).saturating_sub(1), HOUR);
        let sql = sql_of(query, from, to);
        let mut values = values![from, to, u64::from(limit).saturating_add(1)];
        values.extend(query.filters.iter().map(|(_, name)| Value::from(name.clone())));
        let rows = self.read().await?.rows_made(AssertSqlSafe(sql), values).await?;
        let truncated = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        let kept = rows.iter().take(usize::try_from(limit).unwrap_or(usize::MAX));
        let rows = kept.map(|row| spend_row(row, query, from)).collect::<Result<Vec<_>, _>>()?;
        let rows = if query.bucket == Bucket::Month { by_month(rows) } else { rows };
        Ok(Spend { rows, truncated })
    }
}

/// The text of the query: made of words of this file and numbered placeholders only.
fn sql_of(query: &SpendQuery, from: i64, to: i64) -> String {
    let aligned = from == start(from, DAY) && (to == start(to, DAY) || to > now());
    let small = query.by.iter().chain(query.filters.iter().map(|(dimension, _)| dimension)).all(|one| one.is_daily());
    let table = if aligned && small && query.bucket != Bucket::Hour { "spend_daily" } else { "spend_hourly" };
    let mut sql = format!("SELECT {}", query.bucket.sql());
    let mut group = "1".to_owned();
    let mut filter = String::new();
    // Writing to a String cannot fail.
    for (number, dimension) in (2_usize..).zip(&query.by) {
        write!(sql, ", {}", dimension.column()).unwrap_or_default();
        write!(group, ", {number}").unwrap_or_default();
    }
    for (number, (dimension, _)) in (4_usize..).zip(&query.filters) {
        write!(filter, " AND {} = ${number}", dimension.column()).unwrap_or_default();
    }
    for column in ["requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost"] {
        write!(sql, ", CAST(SUM({column}) AS BIGINT)").unwrap_or_default();
    }
    write!(sql, " FROM {table} WHERE bucket >= $1 AND bucket < $2{filter} GROUP BY {group} ORDER BY {group} LIMIT $3")
        .unwrap_or_default();
    sql
}

fn spend_row(row: &Row, query: &SpendQuery, from: i64) -> Result<SpendRow, StoreError> {
    let names = (1..=query.by.len()).map(|column| row.text(column)).collect::<Result<_, _>>()?;
    let bucket = if query.bucket == Bucket::Total { from } else { row.int(0)? };
    Ok(SpendRow { bucket, names, sums: Sums::read(row, query.by.len().saturating_add(1))? })
}

/// Puts days together to calendar months.
fn by_month(days: Vec<SpendRow>) -> Vec<SpendRow> {
    let mut months: BTreeMap<(i64, Vec<String>), Sums> = BTreeMap::new();
    for day in days {
        months.entry((month_of(day.bucket), day.names)).or_default().add(&day.sums);
    }
    months.into_iter().map(|((bucket, names), sums)| SpendRow { bucket, names, sums }).collect()
}

/// When the month of a time began; the time itself where the calendar ends.
fn month_of(time: i64) -> i64 {
    let stamp = jiff::Timestamp::from_microsecond(time).map(|stamp| stamp.to_zoned(jiff::tz::TimeZone::UTC));
    stamp.and_then(|day| day.first_of_month()?.start_of_day()).map_or(time, |day| day.timestamp().as_microsecond())
}

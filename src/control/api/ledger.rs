//! What was spent, by whom and when.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::ApiError;
use super::extract::Asked;
use super::words::{Limit, Word};
use crate::store::{Bucket, Dimension, SpendQuery, SpendRow};

const DAY: i64 = 86_400_000_000;
/// The longest span one question may be about: two years.
const LONGEST: i64 = 732 * DAY;

/// Which piece of the ledger.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LedgerQuery {
    /// What to tell apart: of `tenant`, `team`, `user`, `key`, `model`, `agent`, with commas between; nothing: one sum.
    #[serde(default)]
    #[param(value_type = String, pattern = "^((tenant|team|user|key|model|agent)(,(tenant|team|user|key|model|agent)){0,5})?$")]
    by: By,
    /// How long the pieces of time are (UTC).
    #[serde(default)]
    #[param(value_type = BucketWord, inline)]
    bucket: BucketWord,
    /// Not before: Unix time in microseconds; 30 days before `to` unless said otherwise.
    #[serde(default)]
    #[param(value_type = i64, minimum = 0, maximum = 4_102_444_800_000_000_i64)]
    from: Option<Time>,
    /// Before: Unix time in microseconds; now unless said otherwise. At most two years after `from`.
    #[serde(default)]
    #[param(value_type = i64, minimum = 0, maximum = 4_102_444_800_000_000_i64)]
    to: Option<Time>,
    /// Only of this tenant.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    tenant: Option<Word>,
    /// Only of this team.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    team: Option<Word>,
    /// Only of this user.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    user: Option<Word>,
    /// Only of this key, by its id.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    key: Option<Word>,
    /// Only of this model.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    model: Option<Word>,
    /// Only of this agent.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    agent: Option<Word>,
    /// At most so many rows; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
}

/// What to tell apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct By(Vec<Dimension>);

/// A time of the ledger: 1970 to 2100, Unix time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Time(i64);

impl Time {
    /// Unix time in microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }
}

/// How long the pieces of time are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BucketWord {
    /// Hours.
    Hour,
    /// Days.
    #[default]
    Day,
    /// Weeks from Monday.
    Week,
    /// Calendar months.
    Month,
    /// All of it in one.
    Total,
}

/// What was spent.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SpendView {
    /// In order of time, then of the names.
    pub items: Vec<SpendLine>,
    /// Whether there would be more than the limit.
    pub truncated: bool,
}

/// What was spent in one piece of time under one combination of names.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SpendLine {
    /// When the piece begins: Unix time in microseconds.
    pub bucket: i64,
    /// The names, empty where there was none.
    pub names: BTreeMap<String, String>,
    /// Requests that used anything.
    pub requests: u64,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Those of them that the provider had in its cache.
    pub cached_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Those of them that were reasoning.
    pub reasoning_tokens: u64,
    /// Billionths of a US dollar.
    pub cost_nano_usd: u64,
}

impl TryFrom<String> for By {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let mut by = Vec::new();
        for word in text.split(',').filter(|_| !text.is_empty()) {
            let found = Dimension::ALL.into_iter().find(|dimension| dimension.name() == word);
            let dimension = found.ok_or("of tenant, team, user, key, model, agent")?;
            if !by.contains(&dimension) {
                by.push(dimension);
            }
        }
        Ok(Self(by))
    }
}

impl TryFrom<i64> for Time {
    type Error = &'static str;

    fn try_from(time: i64) -> Result<Self, &'static str> {
        if (0..=4_102_444_800_000_000).contains(&time) { Ok(Self(time)) } else { Err("a time from 1970 to 2100") }
    }
}

impl LedgerQuery {
    fn query(self, app: &App) -> Result<SpendQuery, ApiError> {
        let to = self.to.map_or_else(|| app.now().saturating_add(1), |time| time.0);
        let from = self.from.map_or_else(|| to.saturating_sub(30 * DAY), |time| time.0);
        if to.saturating_sub(from) > LONGEST {
            return Err(ApiError::conflict("span_too_long", "At most two years at once."));
        }
        let filters = [
            (Dimension::Tenant, self.tenant),
            (Dimension::Team, self.team),
            (Dimension::User, self.user),
            (Dimension::Key, self.key),
            (Dimension::Model, self.model),
            (Dimension::Agent, self.agent),
        ];
        Ok(SpendQuery {
            by: self.by.0,
            bucket: match self.bucket {
                BucketWord::Hour => Bucket::Hour,
                BucketWord::Day => Bucket::Day,
                BucketWord::Week => Bucket::Week,
                BucketWord::Month => Bucket::Month,
                BucketWord::Total => Bucket::Total,
            },
            from,
            to,
            filters: filters.into_iter().filter_map(|(by, name)| Some((by, String::from(name?)))).collect(),
            limit: self.limit.get(app),
        })
    }
}

fn line(row: SpendRow, by: &[Dimension]) -> SpendLine {
    let (sums, tokens) = (row.sums, row.sums.tokens);
    SpendLine {
        bucket: row.bucket,
        names: by.iter().map(|dimension| dimension.name().to_owned()).zip(row.names).collect(),
        requests: sums.requests,
        input_tokens: tokens.input,
        cached_tokens: tokens.cached,
        output_tokens: tokens.output,
        reasoning_tokens: tokens.reasoning,
        cost_nano_usd: sums.cost,
    }
}

/// What was used and what it cost, by name and time.
#[utoipa::path(get, path = "/api/v1/spend", tag = "limits", params(LedgerQuery),
    responses((status = 200, description = "What was spent.", body = SpendView),
        (status = 409, description = "More than two years were asked for.", body = super::error::ErrorBody)))]
pub async fn spend(State(app): State<App>, Asked(asked): Asked<LedgerQuery>) -> Result<Json<SpendView>, ApiError> {
    let query = asked.query(&app)?;
    let found = app.database.spend(&query).await?;
    let items = found.rows.into_iter().map(|row| line(row, &query.by)).collect();
    Ok(Json(SpendView { items, truncated: found.truncated }))
}

//! How often rules found something, by piece of time.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::ApiError;
use super::extract::Asked;
use crate::store::{HitCounts, HitQuery};

/// A day, and the longest period that is counted over, in microseconds.
const DAY: i64 = 86_400_000_000;
const LONGEST: i64 = 366 * DAY;

/// Over which time something is counted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HitsQuery {
    /// The beginning: Unix time in microseconds; a day before the end unless said otherwise.
    #[serde(default)]
    #[param(value_type = i64)]
    from: Option<i64>,
    /// The end; now unless said otherwise. At most 366 days later.
    #[serde(default)]
    #[param(value_type = i64)]
    to: Option<i64>,
    /// Pieces of the period; 24 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 200)]
    pieces: Pieces,
}

impl HitsQuery {
    /// Counts, of one rule alone where one is named.
    pub(super) async fn count(&self, app: &App, rule: Option<String>) -> Result<RuleHits, ApiError> {
        let query = HitQuery { rule, ..period(app, self.from, self.to, self.pieces.0)? };
        let found = app.database.rule_hits(&query).await?;
        Ok(series(&query, found))
    }
}

/// How many pieces.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u32")]
struct Pieces(u32);

impl Default for Pieces {
    fn default() -> Self {
        Self(24)
    }
}

impl TryFrom<u32> for Pieces {
    type Error = &'static str;

    fn try_from(pieces: u32) -> Result<Self, &'static str> {
        if (1..=200).contains(&pieces) { Ok(Self(pieces)) } else { Err("1 to 200 pieces") }
    }
}

/// How often rules found something.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct RuleHits {
    /// When the first piece begins: Unix time in microseconds.
    pub from: i64,
    /// How long a piece is, in microseconds.
    pub step: i64,
    /// How many pieces.
    pub pieces: u32,
    /// There was more than is looked at: nothing older than this is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Rules that found something, by id.
    pub rules: Vec<RuleSeries>,
}

/// How often one rule found something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct RuleSeries {
    /// Its id.
    pub rule: String,
    /// Requests it found something in.
    pub requests: u64,
    /// The same by piece of time.
    pub series: Vec<u64>,
}

/// The period that is asked for, in pieces.
pub(super) fn period(app: &App, from: Option<i64>, to: Option<i64>, pieces: u32) -> Result<HitQuery, ApiError> {
    let to = to.unwrap_or_else(|| app.now());
    let from = from.unwrap_or(to.saturating_sub(DAY));
    let long = to.saturating_sub(from);
    if long <= 0 || long > LONGEST {
        return Err(ApiError::bad("invalid_period", "The period ends after it begins, and lasts 366 days at most."));
    }
    let step = long.saturating_add(i64::from(pieces)).saturating_sub(1) / i64::from(pieces.max(1));
    Ok(HitQuery { from, step, pieces, rule: None })
}

fn series(query: &HitQuery, found: HitCounts) -> RuleHits {
    let mut rules: BTreeMap<String, RuleSeries> = BTreeMap::new();
    for one in found.counts {
        let entry = rules.entry(one.rule).or_default();
        entry.series.resize(usize::try_from(query.pieces).unwrap_or(0), 0);
        entry.requests = entry.requests.saturating_add(one.requests);
        if let Some(slot) = usize::try_from(one.piece).ok().and_then(|at| entry.series.get_mut(at)) {
            *slot = slot.saturating_add(one.requests);
        }
    }
    let rules = rules.into_iter().map(|(rule, series)| RuleSeries { rule, ..series }).collect();
    RuleHits { from: query.from, step: query.step, pieces: query.pieces, since: found.since, rules }
}

/// Requests that rules found something in, by piece of time.
#[utoipa::path(get, path = "/api/v1/rules/hits", tag = "detection", params(HitsQuery),
    responses((status = 200, description = "Those that found something.", body = RuleHits)))]
pub async fn hits(State(app): State<App>, Asked(asked): Asked<HitsQuery>) -> Result<Json<RuleHits>, ApiError> {
    asked.count(&app, None).await.map(Json)
}

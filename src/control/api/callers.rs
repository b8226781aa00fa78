//! Who asks: callers with their figures, how unusual those are for them, and one caller's activity over time.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::ApiError;
use super::extract::Asked;
use super::ledger::Time;
use super::words::{Limit, Word};
use crate::store::{Before, CallerKind, CallerOrder, CallerQuery, CallerRow};

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 86_400_000_000;
/// The longest span one question may be about.
const LONGEST: i64 = 92 * DAY;
/// How far back what is usual is looked for, and in how many pieces at most.
const BACK: i64 = 14 * DAY;
const MOST_PIECES: i64 = 336;
/// Pieces of which one can say what is usual.
const FEWEST_PIECES: usize = 3;
/// Pieces of one caller's activity.
const ACTIVITY: i64 = 60;
/// Callers of one answer.
const MOST: u32 = 200;

/// What callers are told by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerWord {
    /// Users.
    #[default]
    User,
    /// Teams.
    Team,
    /// Tenants.
    Tenant,
    /// Gateway keys, by their ids.
    Key,
    /// Agents.
    Agent,
    /// Addresses.
    Address,
}

impl From<CallerWord> for CallerKind {
    fn from(word: CallerWord) -> Self {
        match word {
            CallerWord::User => Self::User,
            CallerWord::Team => Self::Team,
            CallerWord::Tenant => Self::Tenant,
            CallerWord::Key => Self::Key,
            CallerWord::Agent => Self::Agent,
            CallerWord::Address => Self::Address,
        }
    }
}

/// In which order, the most first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SortWord {
    /// By requests.
    #[default]
    Requests,
    /// By blocked requests.
    Blocked,
    /// By what they cost.
    Cost,
    /// By their riskiest request.
    Risk,
    /// By their last request.
    Last,
    /// Of those with the most requests, by how unusual that is for them.
    Unusual,
}

/// Which callers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CallersQuery {
    /// What they are told by.
    #[serde(default)]
    #[param(value_type = CallerWord, inline)]
    kind: CallerWord,
    /// Not before: Unix time in microseconds; a day before `to` unless said otherwise.
    #[serde(default)]
    #[param(value_type = i64, minimum = 0, maximum = 4_102_444_800_000_000_i64)]
    from: Option<Time>,
    /// Before: Unix time in microseconds; now unless said otherwise. At most 92 days after `from`.
    #[serde(default)]
    #[param(value_type = i64, minimum = 0, maximum = 4_102_444_800_000_000_i64)]
    to: Option<Time>,
    /// Only of this tenant.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    tenant: Option<Word>,
    /// Only the one of this name.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    name: Option<Word>,
    /// In which order.
    #[serde(default)]
    #[param(value_type = SortWord, inline)]
    sort: SortWord,
    /// At most so many; 50 unless said otherwise, 200 at most.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
}

/// Whose activity.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActivityQuery {
    /// What the caller is told by.
    #[serde(default)]
    #[param(value_type = CallerWord, inline)]
    kind: CallerWord,
    /// Its name.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    name: Option<Word>,
    /// Not before: Unix time in microseconds; a day before `to` unless said otherwise.
    #[serde(default)]
    #[param(value_type = i64, minimum = 0, maximum = 4_102_444_800_000_000_i64)]
    from: Option<Time>,
    /// Before: Unix time in microseconds; now unless said otherwise. At most 92 days after `from`.
    #[serde(default)]
    #[param(value_type = i64, minimum = 0, maximum = 4_102_444_800_000_000_i64)]
    to: Option<Time>,
}

/// What is usual for a caller: requests in pieces of the time before the period.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Usual {
    /// How long a piece is, in seconds.
    pub unit_seconds: u64,
    /// How many of them, from the first on in which the caller was seen, 14 days back at most.
    pub pieces: usize,
    /// The mean of their requests.
    pub mean: f64,
    /// The standard deviation, and at least what chance alone makes of such a mean.
    pub deviation: f64,
    /// Requests in the period for each such piece of it.
    pub now: f64,
    /// How many deviations that is above the mean.
    pub z: f64,
}

/// What one caller did in a period.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CallerView {
    /// What it is told by.
    pub kind: CallerWord,
    /// Its name.
    pub name: String,
    /// The tenant, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Requests.
    pub requests: u64,
    /// Requests that were blocked.
    pub blocked: u64,
    /// Alerts about it; none where alerts do not say (teams, agents).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerts: Option<u64>,
    /// Billionths of a US dollar.
    pub cost_nano_usd: u64,
    /// The risk of the riskiest request, 0 to 1.
    pub risk_most: f64,
    /// The mean risk, 0 to 1.
    pub risk_mean: f64,
    /// The first request of the period: Unix time in microseconds.
    pub first: i64,
    /// The last one.
    pub last: i64,
    /// What was usual before, and how the period compares; none for whom there is too little to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual: Option<Usual>,
}

/// Callers of a period.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CallersView {
    /// In the order asked for.
    pub items: Vec<CallerView>,
    /// The period: Unix time in microseconds.
    pub from: i64,
    /// Its end.
    pub to: i64,
    /// Whether only the newest 200,000 requests of the period were looked at: the true figures are at least these.
    pub at_least: bool,
}

/// One piece of a caller's time.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct PieceView {
    /// When it begins: Unix time in microseconds.
    pub at: i64,
    /// Requests.
    pub requests: u64,
    /// Blocked ones.
    pub blocked: u64,
    /// Billionths of a US dollar.
    pub cost_nano_usd: u64,
    /// The highest risk, 0 to 1.
    pub risk: f64,
}

/// One caller's activity.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ActivityView {
    /// The whole period.
    pub caller: CallerView,
    /// When the first piece begins: Unix time in microseconds.
    pub from: i64,
    /// How long a piece is, in microseconds.
    pub step: i64,
    /// Every piece, those without requests too.
    pub pieces: Vec<PieceView>,
    /// Whether there were more requests to look at: the true figures are at least these.
    pub at_least: bool,
}

fn period(app: &App, from: Option<Time>, to: Option<Time>) -> Result<(i64, i64), ApiError> {
    let to = to.map_or_else(|| app.now().saturating_add(1), Time::micros);
    let from = from.map_or_else(|| to.saturating_sub(DAY), Time::micros);
    if to.saturating_sub(from) > LONGEST {
        return Err(ApiError::conflict("span_too_long", "At most 92 days at once."));
    }
    Ok((from, to.max(from.saturating_add(1))))
}

/// How long the pieces are that a period is compared with, and how many of them there are.
fn pieces(from: i64, to: i64) -> (i64, i64) {
    let unit = to.saturating_sub(from).clamp(MINUTE, DAY);
    (unit, (BACK / unit).min(MOST_PIECES))
}

/// What is usual for a caller of that name, and how `requests` in the period compare with it.
fn usual(before: &Before, name: &str, requests: u64, (span, unit): (i64, i64)) -> Option<Usual> {
    let counts = before.counts.get(name)?;
    let seen = counts.keys().copied().filter(|piece| *piece < before.pieces).max()?.saturating_add(1);
    let all: Vec<f64> = (0..seen).map(|piece| counts.get(&piece).copied().unwrap_or(0) as f64).collect();
    if all.len() < FEWEST_PIECES {
        return None;
    }
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let variance = all.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / all.len() as f64;
    // Counts of things that happen by chance vary by the root of their mean.
    let deviation = variance.sqrt().max(mean.sqrt()).max(1.0);
    let now = requests as f64 / (span as f64 / unit as f64).max(1.0);
    let unit_seconds = u64::try_from(unit / 1_000_000).unwrap_or(0);
    Some(Usual { unit_seconds, pieces: all.len(), mean, deviation, now, z: (now - mean) / deviation })
}

fn view(kind: CallerWord, row: CallerRow, before: &Before, span: (i64, i64)) -> CallerView {
    CallerView {
        usual: usual(before, &row.name, row.requests, span),
        kind,
        name: row.name,
        tenant: row.tenant,
        requests: row.requests,
        blocked: row.blocked,
        alerts: row.alerts,
        cost_nano_usd: row.cost,
        risk_most: row.risk_most,
        risk_mean: row.risk_mean,
        first: row.first,
        last: row.last,
    }
}

async fn found(app: &App, query: &CallerQuery, kind: CallerWord) -> Result<(Vec<CallerView>, bool), ApiError> {
    let found = app.database.callers(query).await?;
    let (unit, many) = pieces(query.from, query.to);
    let names: Vec<String> = found.rows.iter().map(|row| row.name.clone()).collect();
    let before = app.database.callers_before(query.kind, &names, (query.from, unit, many)).await?;
    let span = (query.to.saturating_sub(query.from), unit);
    let items = found.rows.into_iter().map(|row| view(kind, row, &before, span)).collect();
    Ok((items, found.at_least))
}

/// Callers of a period with their requests, blocks, alerts, cost and risk, each beside what was usual for it before.
#[utoipa::path(get, path = "/api/v1/callers", tag = "events", params(CallersQuery),
    responses((status = 200, description = "The callers.", body = CallersView),
        (status = 409, description = "More than 92 days were asked for.", body = super::error::ErrorBody)))]
pub async fn list(State(app): State<App>, Asked(asked): Asked<CallersQuery>) -> Result<Json<CallersView>, ApiError> {
    let (from, to) = period(&app, asked.from, asked.to)?;
    let query = CallerQuery {
        kind: asked.kind.into(),
        from,
        to,
        tenant: asked.tenant.map(Into::into),
        name: asked.name.map(Into::into),
        order: match asked.sort {
            SortWord::Requests | SortWord::Unusual => CallerOrder::Requests,
            SortWord::Blocked => CallerOrder::Blocked,
            SortWord::Cost => CallerOrder::Cost,
            SortWord::Risk => CallerOrder::Risk,
            SortWord::Last => CallerOrder::Last,
        },
        limit: asked.limit.get(&app).min(MOST),
    };
    let (mut items, at_least) = found(&app, &query, asked.kind).await?;
    if asked.sort == SortWord::Unusual {
        let z = |one: &CallerView| one.usual.as_ref().map_or(f64::NEG_INFINITY, |usual| usual.z);
        items.sort_by(|one, other| z(other).total_cmp(&z(one)));
    }
    Ok(Json(CallersView { items, from, to, at_least }))
}

/// One caller's activity over a period, in 60 pieces.
#[utoipa::path(get, path = "/api/v1/callers/activity", tag = "events", params(ActivityQuery),
    responses((status = 200, description = "The activity.", body = ActivityView),
        (status = 404, description = "Nobody of this name asked in the period.", body = super::error::ErrorBody),
        (status = 409, description = "More than 92 days were asked for.", body = super::error::ErrorBody)))]
pub async fn activity(
    State(app): State<App>,
    Asked(asked): Asked<ActivityQuery>,
) -> Result<Json<ActivityView>, ApiError> {
    let (from, to) = period(&app, asked.from, asked.to)?;
    let name = String::from(asked.name.ok_or_else(|| ApiError::not_found("caller"))?);
    let query = CallerQuery {
        kind: asked.kind.into(),
        from,
        to,
        tenant: None,
        name: Some(name.clone()),
        order: CallerOrder::Requests,
        limit: 1,
    };
    let (callers, at_least) = found(&app, &query, asked.kind).await?;
    let caller = callers.into_iter().next().ok_or_else(|| ApiError::not_found("caller"))?;
    let step = to.saturating_sub(from).saturating_add(ACTIVITY - 1) / ACTIVITY;
    let some = app.database.caller_activity((query.kind, &name), (from, to, step)).await?;
    let mut pieces: Vec<PieceView> = (0..ACTIVITY)
        .map(|piece| PieceView { at: from.saturating_add(step.saturating_mul(piece)), ..PieceView::default() })
        .collect();
    for one in some {
        let Some(piece) = usize::try_from(one.piece).ok().and_then(|at| pieces.get_mut(at)) else { continue };
        *piece = PieceView {
            at: piece.at,
            requests: one.requests,
            blocked: one.blocked,
            cost_nano_usd: one.cost,
            risk: one.risk,
        };
    }
    Ok(Json(ActivityView { caller, from, step, pieces, at_least }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_usual_is_told_from_when_a_caller_was_first_seen_and_never_from_too_little() {
        let counts = |pairs: &[(i64, u64)]| pairs.iter().copied().collect::<BTreeMap<_, _>>();
        let before = Before {
            counts: [
                ("steady".to_owned(), counts(&[(0, 100), (1, 100), (2, 100), (3, 100)])),
                ("new".to_owned(), counts(&[(0, 5), (1, 5)])),
                ("cut".to_owned(), counts(&[(0, 10), (1, 10), (2, 10), (13, 1)])),
            ]
            .into(),
            pieces: 12,
        };
        let same = (DAY, DAY);
        let steady = usual(&before, "steady", 200, same).unwrap();
        assert_eq!((steady.pieces, steady.mean, steady.deviation, steady.z), (4, 100.0, 10.0, 10.0));
        // A week is compared by the day.
        assert_eq!(usual(&before, "steady", 700, (7 * DAY, DAY)).unwrap().z, 0.0);
        assert!(usual(&before, "new", 50, same).is_none() && usual(&before, "nobody", 1, same).is_none());
        assert_eq!(usual(&before, "cut", 10, same).unwrap().pieces, 3);
        assert_eq!(pieces(0, 30 * DAY), (DAY, 14));
        assert_eq!(pieces(0, 3_600_000_000), (3_600_000_000, 336));
    }
}

//! What happened in a period, at a glance.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::ApiError;
use super::extract::Asked;
use super::ledger::Time;
use crate::store::RequestFilter;
use crate::store::overview::{MOST_PIECES, Named, Overview};
use crate::types::Durations;

const DAY: i64 = 86_400_000_000;
/// The longest period: a quarter.
const LONGEST: i64 = 92 * DAY;
/// Requests, the newest, whose overhead is looked at.
const SAMPLE: u32 = 500;

/// Which period.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OverviewQuery {
    /// Not before: Unix time in microseconds; a day before `to` unless said otherwise.
    #[serde(default)]
    #[param(value_type = i64, minimum = 0, maximum = 4_102_444_800_000_000_i64)]
    from: Option<Time>,
    /// Before: Unix time in microseconds; now unless said otherwise. At most 92 days after `from`.
    #[serde(default)]
    #[param(value_type = i64, minimum = 0, maximum = 4_102_444_800_000_000_i64)]
    to: Option<Time>,
    /// Into how many pieces of the same length it is cut; 48 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 400)]
    pieces: Pieces,
}

/// Into how many pieces a period is cut.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u32")]
pub struct Pieces(u32);

impl Default for Pieces {
    fn default() -> Self {
        Self(48)
    }
}

impl TryFrom<u32> for Pieces {
    type Error = &'static str;

    fn try_from(pieces: u32) -> Result<Self, &'static str> {
        if (1..=MOST_PIECES).contains(&pieces) { Ok(Self(pieces)) } else { Err("1 to 400 pieces") }
    }
}

/// What happened in a period.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OverviewView {
    /// When it begins: Unix time in microseconds.
    pub from: i64,
    /// When it ends.
    pub to: i64,
    /// How long a piece is, in microseconds.
    pub step: i64,
    /// Requests by outcome and decision.
    pub series: Vec<SeriesView>,
    /// The sums.
    pub totals: TotalsView,
    /// Those of the period of the same length before.
    pub before: TotalsView,
    /// The names with the most.
    pub top: TopView,
    /// What the gateway added to the newest requests.
    pub overhead: OverheadView,
}

/// Requests of one outcome and decision.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SeriesView {
    /// `served`, `refused`, `prompt_blocked`, ...
    pub outcome: String,
    /// `allow`, `flag`, `redact`, `block`.
    pub decision: String,
    /// One count for each piece.
    pub counts: Vec<u64>,
}

/// Sums of a period.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TotalsView {
    /// All requests.
    pub requests: u64,
    /// Prompts and answers that were blocked.
    pub blocked: u64,
    /// Requests in which something was redacted.
    pub redacted: u64,
    /// Requests that were flagged and passed.
    pub flagged: u64,
    /// Requests refused before inspection: limits, identity, bad input.
    pub refused: u64,
    /// Requests whose upstream failed, or that we failed.
    pub failed: u64,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// What it cost, in billionths of a dollar.
    pub cost_nano_usd: i64,
}

/// The names with the most.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TopView {
    /// Rules, by requests they found something in.
    pub rules: Vec<NamedView>,
    /// Families of threats, likewise.
    pub families: Vec<NamedView>,
    /// Users, those with the most blocked requests first.
    pub users: Vec<NamedView>,
    /// Models, by requests.
    pub models: Vec<NamedView>,
}

/// A name and how often.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NamedView {
    /// The name.
    pub name: String,
    /// How often.
    pub count: u64,
    /// Of these, how many were blocked; 0 for rules and families.
    pub blocked: u64,
}

/// What the gateway added, in microseconds: all of its time but waiting for client, upstream and models.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct OverheadView {
    /// Requests looked at, the newest of the period.
    pub sample: u64,
    /// The median.
    pub p50: u64,
    /// All but 5 %.
    pub p95: u64,
    /// All but 1 %.
    pub p99: u64,
}

/// What happened in a period: requests over time, sums, the names with the most, what the gateway added.
#[utoipa::path(get, path = "/api/v1/overview", tag = "events", params(OverviewQuery),
    responses((status = 200, description = "What happened.", body = OverviewView)))]
pub async fn overview(
    State(app): State<App>,
    Asked(asked): Asked<OverviewQuery>,
) -> Result<Json<OverviewView>, ApiError> {
    let to = asked.to.map_or_else(|| app.now(), Time::micros);
    let from = asked.from.map_or_else(|| to.saturating_sub(DAY), Time::micros);
    let length = to.saturating_sub(from);
    if !(1_000_000..=LONGEST).contains(&length) {
        return Err(ApiError::bad("invalid_query", "A period is a second to 92 days long, and ends after it begins."));
    }
    let Pieces(pieces) = asked.pieces;
    let found = app.database.overview(from, to, pieces).await?;
    let before = app.database.overview(from.saturating_sub(length), from, 1).await?;
    let top = app.database.top(from, to).await?;
    let filter = RequestFilter { from: Some(from), to: Some(to), limit: SAMPLE, ..RequestFilter::default() };
    let newest = app.database.requests(&filter).await?;
    let names = |all: Vec<Named>| {
        all.into_iter().map(|one| NamedView { name: one.name, count: one.count, blocked: one.blocked }).collect()
    };
    Ok(Json(OverviewView {
        from,
        to,
        step: (length / i64::from(pieces)).max(1),
        totals: totals(&found),
        before: totals(&before),
        series: found
            .series
            .into_iter()
            .map(|((outcome, decision), counts)| SeriesView { outcome, decision, counts })
            .collect(),
        top: TopView {
            rules: names(top.rules),
            families: names(top.families),
            users: names(top.users),
            models: names(top.models),
        },
        overhead: overhead(newest.iter().filter_map(|row| spent(&row.record))),
    }))
}

fn totals(found: &Overview) -> TotalsView {
    let mut totals = TotalsView {
        input_tokens: found.input_tokens,
        output_tokens: found.output_tokens,
        cost_nano_usd: found.cost,
        ..TotalsView::default()
    };
    for ((outcome, decision), counts) in &found.series {
        let count: u64 = counts.iter().sum();
        totals.requests = totals.requests.saturating_add(count);
        let slot = match (outcome.as_str(), decision.as_str()) {
            (_, "block") | ("prompt_blocked" | "answer_blocked", _) => &mut totals.blocked,
            ("refused", _) => &mut totals.refused,
            ("upstream_failed" | "internal", _) => &mut totals.failed,
            (_, "redact") => &mut totals.redacted,
            (_, "flag") => &mut totals.flagged,
            _ => continue,
        };
        *slot = slot.saturating_add(count);
    }
    totals
}

/// Where the time of a stored request went.
fn spent(record: &str) -> Option<Durations> {
    let mut record: Value = serde_json::from_str(record).ok()?;
    serde_json::from_value(record.get_mut("micros")?.take()).ok()
}

fn overhead(all: impl Iterator<Item = Durations>) -> OverheadView {
    let mut all: Vec<u64> = all.map(|spent| spent.overhead()).collect();
    all.sort_unstable();
    let at = |part: usize| all.get((all.len() * part / 1000).min(all.len().saturating_sub(1))).copied().unwrap_or(0);
    OverheadView { sample: all.len() as u64, p50: at(500), p95: at(950), p99: at(990) }
}

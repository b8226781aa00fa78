//! Remedies: read, and undone.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::super::App;
use super::super::change::Change;
use super::super::error::ApiError;
use super::super::extract::{Asked, Body, Named};
use super::super::guard::Principal;
use super::super::words::{Limit, Page, Word};
use super::plans::Why;
use super::speaker;
use super::words::{RemedyShown, page, word};
use crate::store::soc::RemedyFilter;
use crate::types::soc::{Remedy, RemedyState};

/// Which remedies.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemedyQuery {
    /// In this state: `pending`, `applied`, `done`, `failed`, `undone`, `expired`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(pending|applied|done|failed|undone|expired)$")]
    state: Option<RemedyState>,
    /// For this incident.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    incident: Option<Word>,
    /// Of this plan.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    plan: Option<Word>,
    /// `true`: only those in force now.
    #[serde(default)]
    in_force: bool,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    before: Option<Word>,
}

async fn found(app: &App, id: &str) -> Result<Remedy, ApiError> {
    app.database.remedy(id).await?.ok_or_else(|| ApiError::not_found("remedy"))
}

/// Remedies, newest first.
#[utoipa::path(get, path = "/api/v1/remedies", tag = "soc", params(RemedyQuery),
    responses((status = 200, description = "A page of remedies.", body = Page<RemedyShown>)))]
pub async fn list(
    State(app): State<App>,
    Asked(asked): Asked<RemedyQuery>,
) -> Result<Json<Page<RemedyShown>>, ApiError> {
    app.soc()?;
    let limit = asked.limit.get(&app);
    let filter = RemedyFilter {
        state: asked.state,
        incident: word(asked.incident),
        plan: word(asked.plan),
        in_force: asked.in_force.then(|| app.now()),
        before: word(asked.before),
    };
    let found = app.database.remedies(&filter, limit).await?;
    Ok(Json(page(&found, limit, |remedy| &remedy.id, RemedyShown::of)?))
}

/// One remedy.
#[utoipa::path(get, path = "/api/v1/remedies/{id}", tag = "soc", params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The remedy.", body = RemedyShown)))]
pub async fn get(State(app): State<App>, Named(id): Named<String>) -> Result<Json<RemedyShown>, ApiError> {
    app.soc()?;
    Ok(Json(RemedyShown::of(&found(&app, &id).await?)?))
}

/// Undoes a remedy that is in force, or calls off one that nobody has begun.
#[utoipa::path(post, path = "/api/v1/remedies/{id}/undo", tag = "soc", request_body = Why,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As it is now.", body = RemedyShown)))]
pub async fn undo(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<Why>,
) -> Result<Json<RemedyShown>, ApiError> {
    let station = app.station()?;
    let before = found(&app, &id).await?;
    let change = Change::new("action", "remedy.undo", who.actor(), format!("remedy/{id}"))
        .before(json!({ "state": before.state, "action": before.action, "target": before.target }))
        .after(json!({ "reason": asked.reason.text() }));
    let speaker = speaker(&who);
    let remedy = change.make(&app, station.remedies.undo(&id, &speaker, asked.reason.into())).await?;
    Ok(Json(RemedyShown::of(&remedy)?))
}

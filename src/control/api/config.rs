//! The configuration in force, to read.

use axum::Json;
use axum::extract::State;

use super::App;
use super::door::Effective;
use super::error::ApiError;

/// Every setting in force, defaults and environment included, without secrets: what
/// `portcullis config print --effective --redact` prints.
#[utoipa::path(get, path = "/api/v1/config", tag = "status",
    responses((status = 200, description = "The settings.", body = Effective)))]
pub async fn get(State(app): State<App>) -> Result<Json<Effective>, ApiError> {
    Ok(Json(app.doors.gateway.config().await?))
}

//! How the gateway does, and reading its configuration again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::App;
use super::change::Change;
use super::error::ApiError;
use super::guard::Principal;

/// How a reload went.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// The generation now serving.
    pub generation: u64,
    /// The problems that kept the old configuration in place; empty when the new one is live.
    pub problems: Vec<String>,
    /// What an operator should know although it is live.
    pub warnings: Vec<String>,
}

/// Version, generation, uptime and health of the parts.
#[utoipa::path(get, path = "/api/v1/status", tag = "status",
    responses((status = 200, description = "How the gateway does.", body = Object)))]
pub async fn status(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    Ok(Json(app.doors.gateway.status().await?))
}

/// Reads the configuration again. A bad one changes nothing.
#[utoipa::path(post, path = "/api/v1/reload", tag = "status",
    responses((status = 200, description = "The new configuration is live.", body = Reloaded),
        (status = 409, description = "The old configuration stays; the problems say why.", body = Reloaded)))]
pub async fn reload(State(app): State<App>, who: Principal) -> Result<(StatusCode, Json<Reloaded>), ApiError> {
    Change::new("config_change", "reload", who.actor(), "configuration".into()).record(&app).await?;
    let outcome = app.doors.gateway.reload().await?;
    let (ok, generation) = (outcome.problems.is_empty(), outcome.generation.0);
    if !ok {
        let after = json!({ "generation": generation, "problems": outcome.problems.len() });
        let change = Change::new("config_change", "reload", who.actor(), "configuration".into());
        change.after(after).refused(&app).await?;
    }
    let status = if ok { StatusCode::OK } else { StatusCode::CONFLICT };
    Ok((status, Json(Reloaded { generation, problems: outcome.problems, warnings: outcome.warnings })))
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "status",
    responses((status = 200, description = "This document.", content_type = "application/json")))]
pub async fn openapi(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, "application/json")], app.document.clone()).into_response()
}

//! Policies, limits and budgets as the running gateway has them.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::door::{ExplainQuery, UseQuery, Validation};
use super::error::ApiError;
use super::extract::{Asked, Body, Named};
use super::words::{Limit, LongText, Word};
use crate::quota::ScopeKind;

/// A list that is not paged: it is bounded by the configuration.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Listed {
    /// The entries, objects each.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<Value>,
}

/// Whose request is explained.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Explained {
    /// The id or name of a gateway key.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    key: Option<Word>,
    /// The model.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    model: Option<Word>,
    /// The route's path.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    route: Option<Word>,
    /// The tenant.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    tenant: Option<Word>,
    /// The team.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    team: Option<Word>,
    /// The user.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    user: Option<Word>,
    /// The agent.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    agent: Option<Word>,
}

/// A configuration to check.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToValidate {
    /// The text of a `gateway.toml`.
    text: LongText,
}

/// Which limits or budgets.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UseAsked {
    /// Only of this scope.
    #[serde(default)]
    #[param(value_type = ScopeKind, inline)]
    scope: Option<ScopeKind>,
    /// Only of this name in the scope.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    name: Option<Word>,
    /// The tenant that a user, team or agent of this name belongs to; absent: none.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    tenant: Option<Word>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
}

impl UseAsked {
    fn query(self, app: &App) -> UseQuery {
        let limit = self.limit.get(app);
        UseQuery { scope: self.scope, tenant: self.tenant.map(String::from), name: self.name.map(String::from), limit }
    }
}

/// Every policy, in the order in which they are tried.
#[utoipa::path(get, path = "/api/v1/policies", tag = "policies",
    responses((status = 200, description = "The policies.", body = Listed)))]
pub async fn list(State(app): State<App>) -> Result<Json<Listed>, ApiError> {
    Ok(Json(Listed { items: app.doors.gateway.policies().await? }))
}

/// One policy.
#[utoipa::path(get, path = "/api/v1/policies/{name}", tag = "policies",
    params(("name" = String, Path, max_length = 256)),
    responses((status = 200, description = "The policy.", body = Object)))]
pub async fn get(State(app): State<App>, Named(name): Named<String>) -> Result<Json<Value>, ApiError> {
    let all = app.doors.gateway.policies().await?;
    let named = |policy: &Value| policy.get("name").and_then(Value::as_str) == Some(&name);
    all.into_iter().find(named).map(Json).ok_or_else(|| ApiError::not_found("policy"))
}

/// Which policy decides on a request, with what settings, and why.
#[utoipa::path(get, path = "/api/v1/explain", tag = "policies", params(Explained),
    responses((status = 200, description = "What decides.", body = Object)))]
pub async fn explain(State(app): State<App>, Asked(asked): Asked<Explained>) -> Result<Json<Value>, ApiError> {
    let query = ExplainQuery {
        key: asked.key.map(Into::into),
        model: asked.model.map(Into::into),
        route: asked.route.map(Into::into),
        tenant: asked.tenant.map(Into::into),
        team: asked.team.map(Into::into),
        user: asked.user.map(Into::into),
        agent: asked.agent.map(Into::into),
    };
    Ok(Json(app.doors.gateway.explain(query).await?))
}

/// Checks a configuration without using it.
#[utoipa::path(post, path = "/api/v1/validate", tag = "policies", request_body = ToValidate,
    responses((status = 200, description = "What is wrong with it.", body = Validation)))]
pub async fn validate(State(app): State<App>, Body(asked): Body<ToValidate>) -> Result<Json<Validation>, ApiError> {
    Ok(Json(app.doors.gateway.validate(asked.text.into()).await?))
}

/// The limits, and how much of them is used.
#[utoipa::path(get, path = "/api/v1/limits", tag = "limits", params(UseAsked),
    responses((status = 200, description = "The limits.", body = Listed)))]
pub async fn limits(State(app): State<App>, Asked(asked): Asked<UseAsked>) -> Result<Json<Listed>, ApiError> {
    Ok(Json(Listed { items: app.doors.gateway.limits(asked.query(&app)).await? }))
}

/// The budgets, and how much of them is spent.
#[utoipa::path(get, path = "/api/v1/budgets", tag = "limits", params(UseAsked),
    responses((status = 200, description = "The budgets.", body = Listed)))]
pub async fn budgets(State(app): State<App>, Asked(asked): Asked<UseAsked>) -> Result<Json<Listed>, ApiError> {
    Ok(Json(Listed { items: app.doors.gateway.budgets(asked.query(&app)).await? }))
}

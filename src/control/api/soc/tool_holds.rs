//! Tool calls in live answers that wait for a person: read, granted and denied.

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
use super::plans::{Why, person};
use super::speaker;
use super::words::{ToolHoldShown, page};
use crate::store::soc::HeldTool;

/// Which tool calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ToolHoldQuery {
    /// `true`: only those that wait.
    #[serde(default)]
    open: bool,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    before: Option<Word>,
}

/// A call as the feed shows it: with what was said about it.
pub(super) fn shown(held: &HeldTool) -> Result<ToolHoldShown, ApiError> {
    let mut shown = ToolHoldShown::of(&held.hold)?;
    if let Some(fields) = shown.0.as_object_mut() {
        fields.insert("ruling".to_owned(), json!(held.ruling));
    }
    Ok(shown)
}

async fn found(app: &App, id: &str) -> Result<HeldTool, ApiError> {
    app.database.tool_hold(id).await?.ok_or_else(|| ApiError::not_found("tool call"))
}

/// Tool calls that wait or waited, newest first.
#[utoipa::path(get, path = "/api/v1/tool-holds", tag = "soc", params(ToolHoldQuery),
    responses((status = 200, description = "A page of tool calls.", body = Page<ToolHoldShown>)))]
pub async fn list(
    State(app): State<App>,
    Asked(asked): Asked<ToolHoldQuery>,
) -> Result<Json<Page<ToolHoldShown>>, ApiError> {
    app.soc()?;
    let limit = asked.limit.get(&app);
    let open = asked.open.then(|| app.now());
    let found = app.database.tool_holds(open, asked.before.as_ref().map(Word::text), limit).await?;
    Ok(Json(page(&found, limit, |held| &held.hold.id, shown)?))
}

/// One tool call.
#[utoipa::path(get, path = "/api/v1/tool-holds/{id}", tag = "soc", params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The tool call.", body = ToolHoldShown)))]
pub async fn get(State(app): State<App>, Named(id): Named<String>) -> Result<Json<ToolHoldShown>, ApiError> {
    app.soc()?;
    Ok(Json(shown(&found(&app, &id).await?)?))
}

async fn rule(app: &App, who: Principal, id: &str, asked: Why, granted: bool) -> Result<ToolHoldShown, ApiError> {
    let station = app.station()?;
    let held = found(app, id).await?.hold;
    let after = json!({ "tool": held.tool, "arguments": held.arguments, "reason": asked.reason.text() });
    let action = if granted { "tool_hold.grant" } else { "tool_hold.deny" };
    let change = Change::new("approval", action, who.actor(), format!("tool_hold/{id}")).after(after);
    let change = person(app, &who, change).await?;
    let speaker = speaker(&who);
    let work = station.approvals.rule_on_tool(id, &speaker, granted, asked.reason.into());
    shown(&change.make(app, work).await?)
}

/// Lets a tool call leave: this call, with these arguments.
#[utoipa::path(post, path = "/api/v1/tool-holds/{id}/grant", tag = "soc", request_body = Why,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the call is now.", body = ToolHoldShown)))]
pub async fn grant(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<Why>,
) -> Result<Json<ToolHoldShown>, ApiError> {
    rule(&app, who, &id, asked, true).await.map(Json)
}

/// Refuses a tool call.
#[utoipa::path(post, path = "/api/v1/tool-holds/{id}/deny", tag = "soc", request_body = Why,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the call is now.", body = ToolHoldShown)))]
pub async fn deny(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<Why>,
) -> Result<Json<ToolHoldShown>, ApiError> {
    rule(&app, who, &id, asked, false).await.map(Json)
}

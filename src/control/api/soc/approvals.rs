//! The inbox of those who decide: plans and tool calls that wait for a person.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::error::ApiError;
use super::super::extract::Asked;
use super::super::words::Limit;
use super::words::{PlanShown, ToolHoldShown};
use super::{plans, tool_holds};
use crate::store::soc::PlanFilter;
use crate::types::soc::PlanState;

/// How much of the inbox.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InboxQuery {
    /// At most so many of each kind; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
}

/// What waits for a person.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Inbox {
    /// Plans that wait and have not expired, newest first.
    pub plans: Vec<PlanShown>,
    /// Tool calls that wait in live answers, newest first.
    pub tool_holds: Vec<ToolHoldShown>,
}

/// Plans and tool calls that wait for a person.
#[utoipa::path(get, path = "/api/v1/approvals", tag = "soc", params(InboxQuery),
    responses((status = 200, description = "What waits.", body = Inbox)))]
pub async fn inbox(State(app): State<App>, Asked(asked): Asked<InboxQuery>) -> Result<Json<Inbox>, ApiError> {
    app.soc()?;
    let (limit, now) = (asked.limit.get(&app), app.now());
    let waiting = PlanFilter { state: Some(PlanState::Waiting), ..PlanFilter::default() };
    let plans = app.database.plans(&waiting, limit).await?;
    let holds = app.database.tool_holds(Some(now), None, limit).await?;
    Ok(Json(Inbox {
        plans: plans.iter().filter(|plan| plan.expires > now).map(plans::shown).collect::<Result<_, _>>()?,
        tool_holds: holds.iter().map(tool_holds::shown).collect::<Result<_, _>>()?,
    }))
}

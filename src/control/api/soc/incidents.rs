//! Incidents, to read: listed, and one with its timeline, its evidence, the analyst's work and its plans.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::error::ApiError;
use super::super::extract::{Asked, Named};
use super::super::words::{Limit, Page, Word};
use super::alerts::{LINES, OneQuery, shown};
use super::plans;
use super::words::{AlertShown, AnalysisShown, Format, IncidentShown, LogShown, PlanShown, RemedyShown, page, word};
use crate::soc::ocsf;
use crate::store::soc::{AlertFilter, IncidentFilter, PlanFilter, RemedyFilter};
use crate::types::Severity;
use crate::types::soc::IncidentState;

/// Alerts, plans and remedies shown with an incident, each; the rest is found by its own list.
const BELONGING: u32 = 100;

/// Which incidents.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IncidentQuery {
    /// In this state: `open`, `acknowledged`, `in_progress`, `closed`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(open|acknowledged|in_progress|closed)$")]
    state: Option<IncidentState>,
    /// `true`: only those that are not closed.
    #[serde(default)]
    open: bool,
    /// At least this bad: `informational`, `low`, `medium`, `high`, `critical`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(informational|low|medium|high|critical)$")]
    severity: Option<Severity>,
    /// Raised by this rule.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    rule: Option<Word>,
    /// About this, such as `user:acme/ann`.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    about: Option<Word>,
    /// Of this tenant.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    tenant: Option<Word>,
    /// Of this user.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    user: Option<Word>,
    /// Somebody's, by the name of the account.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    assignee: Option<Word>,
    /// With these letters in the title, large or small.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    text: Option<Word>,
    /// That something was added to at or after this: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    from: Option<i64>,
    /// Raised before this: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    to: Option<i64>,
    /// `own`, or `ocsf` for Incident Findings.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(own|ocsf)$")]
    format: Format,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    before: Option<Word>,
}

/// One incident with what belongs to it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct IncidentDetail {
    /// The incident.
    pub incident: IncidentShown,
    /// Its timeline, oldest first.
    pub timeline: Vec<LogShown>,
    /// Its evidence, newest first, at most 100.
    pub alerts: Vec<AlertShown>,
    /// The analyst's work on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisShown>,
    /// Its plans, newest first, at most 100.
    pub plans: Vec<PlanShown>,
    /// Its remedies, newest first, at most 100.
    pub remedies: Vec<RemedyShown>,
}

/// Incidents, newest first.
#[utoipa::path(get, path = "/api/v1/incidents", tag = "soc", params(IncidentQuery),
    responses((status = 200, description = "A page of incidents.", body = Page<IncidentShown>)))]
pub async fn list(
    State(app): State<App>,
    Asked(asked): Asked<IncidentQuery>,
) -> Result<Json<Page<IncidentShown>>, ApiError> {
    app.soc()?;
    let (limit, format) = (asked.limit.get(&app), asked.format);
    let filter = IncidentFilter {
        state: asked.state,
        open: asked.open,
        severity: asked.severity,
        rule: word(asked.rule),
        about: word(asked.about),
        tenant: word(asked.tenant),
        user: word(asked.user),
        assignee: word(asked.assignee),
        text: word(asked.text),
        from: asked.from,
        to: asked.to,
        before: word(asked.before),
    };
    let found = app.database.incidents(&filter, limit).await?;
    let page = page(
        &found,
        limit,
        |incident| &incident.id,
        |incident| match format {
            Format::Own => IncidentShown::of(incident),
            Format::Ocsf => Ok(IncidentShown(ocsf::incident_finding(incident))),
        },
    );
    Ok(Json(page?))
}

/// One incident with its timeline, evidence, analysis, plans and remedies, or as a finding of OCSF.
#[utoipa::path(get, path = "/api/v1/incidents/{id}", tag = "soc",
    params(("id" = String, Path, max_length = 64), OneQuery),
    responses((status = 200, description = "The incident.", body = IncidentDetail)))]
pub async fn get(
    State(app): State<App>,
    Named(id): Named<String>,
    Asked(asked): Asked<OneQuery>,
) -> Result<Json<Value>, ApiError> {
    app.soc()?;
    let incident = app.database.incident(&id).await?.ok_or_else(|| ApiError::not_found("incident"))?;
    if asked.format == Format::Ocsf {
        return Ok(Json(ocsf::incident_finding(&incident)));
    }
    let of = || Some(id.clone());
    let alerts = AlertFilter { incident: of(), ..AlertFilter::default() };
    let plans = PlanFilter { incident: of(), ..PlanFilter::default() };
    let remedies = RemedyFilter { incident: of(), ..RemedyFilter::default() };
    let detail = IncidentDetail {
        incident: IncidentShown::of(&incident)?,
        timeline: app.database.log_of(&id, asked.after(), LINES).await?.into_iter().map(LogShown::from).collect(),
        alerts: app.database.alerts(&alerts, BELONGING).await?.iter().map(shown).collect::<Result<_, _>>()?,
        analysis: app.database.analysis_of(&id).await?.as_ref().map(AnalysisShown::of).transpose()?,
        plans: app.database.plans(&plans, BELONGING).await?.iter().map(plans::shown).collect::<Result<_, _>>()?,
        remedies: {
            let found = app.database.remedies(&remedies, BELONGING).await?;
            found.iter().map(RemedyShown::of).collect::<Result<_, _>>()?
        },
    };
    serde_json::to_value(detail).map(Json).map_err(|error| ApiError::internal(&error))
}

//! Alerts, to read: listed, counted, one with its timeline; as they are or as findings of OCSF.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::error::ApiError;
use super::super::extract::{Asked, Named};
use super::super::words::{Limit, Number, Page, Word};
use super::words::{AlertShown, Format, LogShown, page, word};
use crate::soc::ocsf;
use crate::store::soc::AlertFilter;
use crate::types::soc::{Alert, AlertState};
use crate::types::{Family, Severity};

/// Lines of a timeline in one answer.
pub(super) const LINES: u32 = 500;

/// Which alerts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    /// In this state: `open`, `acknowledged`, `in_progress`, `closed`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(open|acknowledged|in_progress|closed)$")]
    state: Option<AlertState>,
    /// At least this bad: `informational`, `low`, `medium`, `high`, `critical`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(informational|low|medium|high|critical)$")]
    severity: Option<Severity>,
    /// Of this family of threats, such as `prompt_injection`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^[a-z_]{1,64}$")]
    family: Option<Family>,
    /// By this rule.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    rule: Option<Word>,
    /// Of this tenant.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    tenant: Option<Word>,
    /// Of this user.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    user: Option<Word>,
    /// Of this session.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    session: Option<Word>,
    /// With this key, by its id.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    key: Option<Word>,
    /// From this address.
    #[serde(default)]
    #[param(value_type = String, pattern = "^[0-9A-Fa-f:.]{2,45}$")]
    address: Option<IpAddr>,
    /// Somebody's, by the name of the account.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    assignee: Option<Word>,
    /// Evidence of this incident.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    incident: Option<Word>,
    /// `gateway`, or the name of a system outside.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    source: Option<Word>,
    /// With these letters in the title, large or small.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    text: Option<Word>,
    /// That happened at or after this: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    from: Option<i64>,
    /// That happened before this: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    to: Option<i64>,
    /// `own`, or `ocsf` for Detection Findings.
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

/// How one alert or incident is shown.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OneQuery {
    /// `own`, or `ocsf` for a finding of OCSF alone.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(own|ocsf)$")]
    pub(super) format: Format,
    /// Lines of the timeline after this number; 500 are shown.
    #[serde(default)]
    #[param(value_type = u64, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    after: Number,
}

impl OneQuery {
    /// The number of the line to go on after.
    pub(super) fn after(&self) -> i64 {
        i64::try_from(u64::from(self.after)).unwrap_or(i64::MAX)
    }
}

/// One alert with what belongs to it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AlertDetail {
    /// The alert, with what an outside system sent.
    pub alert: AlertShown,
    /// Its timeline, oldest first.
    pub log: Vec<LogShown>,
    /// The ids of the incidents it is evidence of.
    pub incidents: Vec<String>,
}

/// How many alerts there are.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AlertCounts {
    /// All of them.
    pub total: u64,
    /// By state, then by severity; where there are none, nothing stands.
    #[schema(value_type = Object)]
    pub states: BTreeMap<String, BTreeMap<String, u64>>,
}

/// An alert in a list: what an outside system sent may be long, and is shown with the alert alone.
pub(super) fn shown(alert: &Alert) -> Result<AlertShown, ApiError> {
    let mut shown = AlertShown::of(alert)?;
    if let Some(fields) = shown.0.as_object_mut() {
        fields.shift_remove("raw");
    }
    Ok(shown)
}

/// How many there are of each state and severity.
pub(super) async fn counted(app: &App) -> Result<AlertCounts, ApiError> {
    let mut counts = AlertCounts { total: 0, states: BTreeMap::new() };
    for one in app.database.alert_counts().await? {
        counts.total = counts.total.saturating_add(one.count);
        let severity = serde_json::to_value(one.severity).unwrap_or_default();
        let severity = severity.as_str().unwrap_or_default().to_owned();
        counts.states.entry(one.state.name().to_owned()).or_default().insert(severity, one.count);
    }
    Ok(counts)
}

/// Alerts, newest first.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "soc", params(AlertQuery),
    responses((status = 200, description = "A page of alerts.", body = Page<AlertShown>)))]
pub async fn list(State(app): State<App>, Asked(asked): Asked<AlertQuery>) -> Result<Json<Page<AlertShown>>, ApiError> {
    app.soc()?;
    let (limit, format) = (asked.limit.get(&app), asked.format);
    let filter = AlertFilter {
        state: asked.state,
        severity: asked.severity,
        family: asked.family,
        rule: word(asked.rule),
        tenant: word(asked.tenant),
        user: word(asked.user),
        session: word(asked.session),
        key: word(asked.key),
        address: asked.address.map(|address| address.to_canonical().to_string()),
        assignee: word(asked.assignee),
        incident: word(asked.incident),
        source: word(asked.source),
        text: word(asked.text),
        from: asked.from,
        to: asked.to,
        before: word(asked.before),
    };
    let found = app.database.alerts(&filter, limit).await?;
    let show = |alert: &Alert| match format {
        Format::Own => shown(alert),
        Format::Ocsf => Ok(AlertShown(ocsf::finding(alert))),
    };
    Ok(Json(page(&found, limit, |alert| &alert.id, show)?))
}

/// How many alerts there are, by state and severity.
#[utoipa::path(get, path = "/api/v1/alerts/counts", tag = "soc",
    responses((status = 200, description = "The counts.", body = AlertCounts)))]
pub async fn counts(State(app): State<App>) -> Result<Json<AlertCounts>, ApiError> {
    app.soc()?;
    Ok(Json(counted(&app).await?))
}

/// One alert with its timeline, or as a finding of OCSF.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "soc",
    params(("id" = String, Path, max_length = 64), OneQuery),
    responses((status = 200, description = "The alert.", body = AlertDetail)))]
pub async fn get(
    State(app): State<App>,
    Named(id): Named<String>,
    Asked(asked): Asked<OneQuery>,
) -> Result<Json<Value>, ApiError> {
    app.soc()?;
    let alert = app.database.alert(&id).await?.ok_or_else(|| ApiError::not_found("alert"))?;
    if asked.format == Format::Ocsf {
        return Ok(Json(ocsf::finding(&alert)));
    }
    let log = app.database.log_of(&id, asked.after(), LINES).await?;
    let incidents = app.database.incidents_of(&id).await?;
    let detail = AlertDetail {
        alert: AlertShown::of(&alert)?,
        log: log.into_iter().map(LogShown::from).collect(),
        incidents: incidents.into_iter().map(|incident| incident.id.to_string()).collect(),
    };
    serde_json::to_value(detail).map(Json).map_err(|error| ApiError::internal(&error))
}

//! The attack lab: the red team's cases against this gateway, what was expected and what came of them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::change::Change;
use super::super::error::ApiError;
use super::super::extract::{Asked, Body, Named};
use super::super::guard::Principal;
use super::super::words::{Few, Number, Word, new_id};
use super::{LabCase, LabOrder};
use crate::store::lab::{LabReport, LabRow};

/// A run that goes on was heard of within this, in microseconds; otherwise its replica has died.
const ALIVE: i64 = 180_000_000;
/// Results of a run in an answer.
const MOST: u32 = 20_000;
/// Runs in an answer.
const MOST_RUNS: u32 = 200;

/// A new run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// Families of cases.
    #[serde(default)]
    #[schema(value_type = Vec<Word>, max_items = 100)]
    families: Few<Word, 100>,
    /// Cases by their ids. Without families and cases every one is tried.
    #[serde(default)]
    #[schema(value_type = Vec<Word>, max_items = 500)]
    cases: Few<Word, 500>,
    /// What texts, disguises and made-up secrets are drawn from; 1 unless said otherwise.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 0)]
    seed: Option<Number>,
    /// The model that requests name; `gpt-4o-mini` unless said otherwise.
    #[serde(default)]
    model: Option<Word>,
}

/// Figures of trials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabTally {
    /// The gateway did what it is there for.
    pub passed: u32,
    /// It did not.
    pub failed: u32,
    /// It was not put to the test.
    pub inconclusive: u32,
    /// There was no answer to judge.
    pub error: u32,
}

/// What was asked of a run and what it came to: the body of its row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LabBody {
    /// Families that were asked for.
    pub families: Vec<String>,
    /// Cases that were asked for.
    pub cases: Vec<String>,
    /// What texts were drawn from.
    pub seed: u64,
    /// The model that requests named.
    pub model: String,
    /// Trials planned.
    pub planned: u32,
    /// What became of them so far.
    pub tally: LabTally,
    /// The same by family.
    pub by_family: BTreeMap<String, LabTally>,
    /// Whether the built-in model answered.
    pub rehearsal: bool,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Alerts that the run's own callers raised.
    #[serde(default)]
    pub alerts: Vec<Seen>,
    /// Remedies that were seen against the run's own callers.
    #[serde(default)]
    pub remedies: Vec<Seen>,
}

/// An alert or a remedy that a run saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seen {
    /// Its id.
    pub id: String,
    /// What it is, in words.
    pub title: String,
    /// How bad, or in which state.
    pub word: String,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LabRun {
    /// Its id.
    pub id: String,
    /// When it began: Unix time in microseconds.
    pub started: i64,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
    /// `running`, `done`, `cancelled`, `failed`, or `lost` where the replica that ran it ended.
    pub state: String,
    /// The hash of the rules that it was run against.
    pub rule_set: String,
    /// Who began it.
    pub by: String,
    /// What was asked and what it came to.
    pub run: LabBody,
}

/// What became of one trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LabResult {
    /// The case, and after a slash its disguise.
    pub id: String,
    /// What it is.
    pub title: String,
    /// What it is counted with.
    pub family: String,
    /// How bad it is if it gets through.
    pub severity: String,
    /// What had to come of it.
    pub expected: String,
    /// `passed`, `failed`, `inconclusive`, `error`.
    pub outcome: String,
    /// What came of it, in a few words.
    pub actual: String,
    /// The HTTP status of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// Its requests, in order.
    pub requests: Vec<String>,
}

/// A run with its trials.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LabDetail {
    /// The run.
    #[serde(flatten)]
    pub run: LabRun,
    /// What became of its trials so far, in the order of its plan.
    pub results: Vec<LabResult>,
}

/// In which form a report is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportForm {
    /// For programs.
    #[default]
    Json,
    /// For pipelines.
    Junit,
    /// For people.
    Html,
}

/// Which form.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// `json` (unless said otherwise), `junit` or `html`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(json|junit|html)$")]
    format: ReportForm,
}

fn run_of(row: LabRow, now: i64) -> LabRun {
    let is_lost = row.state == "running" && now.saturating_sub(row.touched) > ALIVE;
    LabRun {
        state: if is_lost { "lost".to_owned() } else { row.state },
        run: serde_json::from_str(&row.body).unwrap_or_default(),
        id: row.id,
        started: row.started,
        ended: row.ended,
        rule_set: row.rule_set,
        by: row.by,
    }
}

/// Every case of the lab.
#[utoipa::path(get, path = "/api/v1/lab/scenarios", tag = "trying",
    responses((status = 200, description = "The cases, by family.", body = Vec<LabCase>)))]
pub async fn scenarios(State(app): State<App>) -> Result<Json<Vec<LabCase>>, ApiError> {
    Ok(Json(app.trying()?.lab.cases()))
}

/// Runs, the newest first.
#[utoipa::path(get, path = "/api/v1/lab/runs", tag = "trying",
    responses((status = 200, description = "The runs that are kept.", body = Vec<LabRun>)))]
pub async fn list(State(app): State<App>) -> Result<Json<Vec<LabRun>>, ApiError> {
    let now = app.now();
    Ok(Json(app.database.lab_runs(MOST_RUNS).await?.into_iter().map(|row| run_of(row, now)).collect()))
}

/// One run with what became of its trials so far.
#[utoipa::path(get, path = "/api/v1/lab/runs/{id}", tag = "trying", params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The run.", body = LabDetail)))]
pub async fn get(State(app): State<App>, Named(id): Named<String>) -> Result<Json<LabDetail>, ApiError> {
    let row = app.database.lab_run(&id).await?.ok_or_else(|| ApiError::not_found("run"))?;
    let results = app.database.lab_results(&id, MOST).await?;
    let results = results.iter().filter_map(|(_, body)| serde_json::from_str(body).ok()).collect();
    Ok(Json(LabDetail { run: run_of(row, app.now()), results }))
}

/// Begins a run. There is one at a time.
#[utoipa::path(post, path = "/api/v1/lab/runs", tag = "trying", request_body = NewRun,
    responses((status = 202, description = "It goes on.", body = LabRun)))]
pub async fn begin(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<NewRun>,
) -> Result<(StatusCode, Json<LabRun>), ApiError> {
    let lab = std::sync::Arc::clone(&app.trying()?.lab);
    let known = lab.cases();
    let families: Vec<String> = asked.families.into_iter().map(String::from).collect();
    let cases: Vec<String> = asked.cases.into_iter().map(String::from).collect();
    let is_known = families.iter().all(|name| known.iter().any(|case| case.family == *name))
        && cases.iter().all(|id| known.iter().any(|case| case.id == *id));
    if !is_known {
        return Err(ApiError::invalid("unknown_case", "There is no such family or case."));
    }
    let now = app.now();
    let going = app.database.lab_runs(MOST_RUNS).await?.into_iter().map(|row| run_of(row, now));
    if let Some(other) = going.into_iter().find(|run| run.state == "running") {
        return Err(ApiError::conflict(
            "run_under_way",
            format!("The run {} goes on: there is one at a time.", other.id),
        ));
    }
    let id = new_id("lab");
    let order = LabOrder {
        id: id.clone(),
        by: who.name.to_string(),
        families,
        cases,
        seed: asked.seed.map_or(1, u64::from),
        model: asked.model.map_or_else(|| "gpt-4o-mini".to_owned(), String::from),
    };
    let change = Change::new("action", "lab.run", who.actor(), format!("lab/{id}"))
        .after(json!({ "families": order.families, "cases": order.cases, "model": order.model }));
    change.make(&app, lab.begin(order)).await?;
    let row = app.database.lab_run(&id).await?.ok_or_else(|| ApiError::not_found("run"))?;
    Ok((StatusCode::ACCEPTED, Json(run_of(row, now))))
}

/// Ends a run: what was not sent yet is not sent any more.
#[utoipa::path(delete, path = "/api/v1/lab/runs/{id}", tag = "trying", params(("id" = String, Path, max_length = 64)),
    responses((status = 204, description = "It ends.")))]
pub async fn cancel(State(app): State<App>, who: Principal, Named(id): Named<String>) -> Result<StatusCode, ApiError> {
    app.database.lab_run(&id).await?.ok_or_else(|| ApiError::not_found("run"))?;
    let lab = std::sync::Arc::clone(&app.trying()?.lab);
    let work = async {
        let ended = lab.cancel(&id);
        if ended { Ok(()) } else { Err(ApiError::conflict("not_running", "This run does not go on here.")) }
    };
    Change::new("action", "lab.cancel", who.actor(), format!("lab/{id}")).make(&app, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The report of a run that has ended.
#[utoipa::path(get, path = "/api/v1/lab/runs/{id}/report", tag = "trying",
    params(("id" = String, Path, max_length = 64), ReportQuery),
    responses((status = 200, description = "The report.", body = String, content_type = "application/json")))]
pub async fn report(
    State(app): State<App>,
    Named(id): Named<String>,
    Asked(asked): Asked<ReportQuery>,
) -> Result<Response, ApiError> {
    let (form, kind, ending) = match asked.format {
        ReportForm::Json => (LabReport::Json, "application/json", "json"),
        ReportForm::Junit => (LabReport::Junit, "application/xml", "xml"),
        ReportForm::Html => (LabReport::Html, "text/html; charset=utf-8", "html"),
    };
    let text = app.database.lab_report(&id, form).await?.ok_or_else(|| ApiError::not_found("report"))?;
    let mut answer = text.into_response();
    let name = format!("attachment; filename=\"portcullis-lab.{ending}\"");
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(answer)
}

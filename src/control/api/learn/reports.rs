//! Reports of missed attacks and false alarms.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::change::Change;
use super::super::error::ApiError;
use super::super::extract::{Asked, Body, Named};
use super::super::guard::Principal;
use super::super::soc::speaker;
use super::super::soc::words::{page, word};
use super::super::words::{Limit, LongText, Page, Reason, Sentence, Word};
use super::words::ReportShown;
use crate::control::learn::NewReport;
use crate::store::learn::ReportFilter;
use crate::types::learn::{Report, ReportKind, ReportState};
use crate::types::{Family, Role};

/// What lists do not show: somebody's words.
const HIDDEN: &[&str] = &["text", "note", "user", "print"];

/// Which reports.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// Of this kind: `missed`, `false_alarm`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(missed|false_alarm)$")]
    kind: Option<ReportKind>,
    /// In this state: `open`, `learning`, `learned`, `dismissed`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(open|learning|learned|dismissed)$")]
    state: Option<ReportState>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    before: Option<Word>,
}

/// What was judged wrongly.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReportBody {
    /// What is wrong: `missed`, an attack that was let through; `false_alarm`, something harmless that was stopped or flagged.
    #[schema(value_type = String, pattern = "^(missed|false_alarm)$")]
    kind: ReportKind,
    /// The text, as it was written. Of a missed attack it becomes an example of the rules that are learned from it.
    text: LongText,
    /// What kind of attack it is, as rules name their families: `prompt_injection`, `jailbreak` and so on.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[a-z_]{1,64}$")]
    family: Option<Family>,
    /// Whose text it was in the prompt: `user`, `tool`, `assistant`, `parameter`. Absent: a user's.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(system|developer|user|assistant|tool|definition|parameter)$")]
    role: Option<Role>,
    /// The id of the request it was in, where that is known.
    #[serde(default)]
    request: Option<Word>,
    /// In words.
    #[serde(default)]
    note: Option<Sentence>,
}

/// Reports, newest first, without their words.
#[utoipa::path(get, path = "/api/v1/learn/reports", tag = "learn", params(ReportQuery),
    responses((status = 200, description = "A page of reports.", body = Page<ReportShown>)))]
pub async fn list(
    State(app): State<App>,
    Asked(asked): Asked<ReportQuery>,
) -> Result<Json<Page<ReportShown>>, ApiError> {
    app.learn()?;
    let limit = asked.limit.get(&app);
    let filter = ReportFilter { kind: asked.kind, state: asked.state, before: word(asked.before) };
    let found = app.database.reports(&filter, limit).await?;
    Ok(Json(page(&found, limit, |report| &report.id, |report| ReportShown::without(report, HIDDEN))?))
}

async fn found(app: &App, id: &str) -> Result<Report, ApiError> {
    app.learn()?;
    app.database.report_of(id).await?.ok_or_else(|| ApiError::not_found("report"))
}

/// One report with its words.
#[utoipa::path(get, path = "/api/v1/learn/reports/{id}", tag = "learn", params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The report.", body = ReportShown)))]
pub async fn get(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
) -> Result<Json<ReportShown>, ApiError> {
    let report = found(&app, &id).await?;
    Change::new("content_reveal", "learn.report.read", who.actor(), format!("report/{id}")).record(&app).await?;
    ReportShown::without(&report, &["print"]).map(Json)
}

/// Reports a missed attack, of which rules are made and tried at once; or a false alarm, which somebody else confirms.
#[utoipa::path(post, path = "/api/v1/learn/reports", tag = "learn", request_body = NewReportBody,
    responses(
        (status = 201, description = "Reported.", body = ReportShown),
        (status = 200, description = "The same text was reported before: whoever asks is noted there too.", body = ReportShown)))]
pub async fn report(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<NewReportBody>,
) -> Result<(StatusCode, Json<ReportShown>), ApiError> {
    let desk = app.learn()?;
    let request = match asked.request {
        Some(id) => {
            let id = String::from(id);
            let known = app.database.request(&id).await?.ok_or_else(|| ApiError::not_found("request"))?;
            let record: serde_json::Value = serde_json::from_str(&known.record).unwrap_or_default();
            let user = record.pointer("/caller/user").and_then(|user| user.as_str()).map(Arc::from);
            Some((Arc::from(id), user))
        }
        None => None,
    };
    let new = NewReport {
        kind: asked.kind,
        text: asked.text.into(),
        family: asked.family,
        role: asked.role.unwrap_or(Role::User),
        request,
        note: asked.note.map(String::from).unwrap_or_default().into(),
    };
    // The trail says that something was reported, and not what.
    let after =
        json!({ "kind": asked.kind, "bytes": new.text.len(), "request": new.request.as_ref().map(|(id, _)| id) });
    let change = Change::new("action", "learn.report", who.actor(), "report/new".to_owned()).after(after);
    let speaker = speaker(&who);
    let (report, is_new) = change.make(&app, desk.report(new, &speaker)).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(ReportShown::without(&report, HIDDEN)?)))
}

/// Why a report is confirmed or dismissed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportRuling {
    /// Why.
    reason: Reason,
}

async fn rule(
    app: &App,
    who: &Principal,
    id: &str,
    asked: ReportRuling,
    harmless: bool,
) -> Result<ReportShown, ApiError> {
    let desk = app.learn()?;
    let action = if harmless { "learn.report.confirm" } else { "learn.report.dismiss" };
    let change = Change::new("approval", action, who.actor(), format!("report/{id}"))
        .after(json!({ "reason": asked.reason.text() }));
    let speaker = speaker(who);
    let work = desk.judge_report(id, harmless, &speaker, String::from(asked.reason).into());
    ReportShown::without(&change.make(app, work).await?, HIDDEN)
}

/// Confirms a false alarm that somebody else reported: its text is kept among the harmless ones that nothing learned may hit.
#[utoipa::path(post, path = "/api/v1/learn/reports/{id}/confirm", tag = "learn", request_body = ReportRuling,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the report is now.", body = ReportShown)))]
pub async fn confirm(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<ReportRuling>,
) -> Result<Json<ReportShown>, ApiError> {
    rule(&app, &who, &id, asked, true).await.map(Json)
}

/// Dismisses a report of a false alarm.
#[utoipa::path(post, path = "/api/v1/learn/reports/{id}/dismiss", tag = "learn", request_body = ReportRuling,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the report is now.", body = ReportShown)))]
pub async fn dismiss(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<ReportRuling>,
) -> Result<Json<ReportShown>, ApiError> {
    rule(&app, &who, &id, asked, false).await.map(Json)
}

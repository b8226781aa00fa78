//! Exports: how each sink stands, a test of one, and what receivers refused.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::change::Change;
use super::error::ApiError;
use super::extract::{Asked, Named};
use super::guard::Principal;
use super::words::{Limit, Page, Word};
use crate::control::export::item::Item;
use crate::control::export::{Exports, Standing};
use crate::store::export::{DeadLetter, DeadPage};

/// Every sink.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExportList {
    /// In the order of the configuration.
    pub sinks: Vec<ExportView>,
}

/// How a sink stands, whichever replica works on it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExportView {
    /// Its name.
    pub name: String,
    /// What is spoken: `webhook`, `slack`, `pagerduty`, `syslog`, `splunk`, `elasticsearch`, `ocsf`, `otlp`.
    pub kind: String,
    /// What it is sent.
    pub kinds: Vec<String>,
    /// Whether prompts and answers go with it, as far as they are kept.
    pub content: bool,
    /// `new` (nobody has begun), `ok`, `behind` (something waits), `failing` (nothing gets through), `idle` (nobody works on it).
    pub state: String,
    /// The last entry of each source that is done with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ExportCursor>,
    /// Entries of its sources that it has not looked at.
    pub backlog: u64,
    /// Items that its receiver took.
    pub delivered: u64,
    /// Entries that were given up: too much waited, or they were not kept any more.
    pub dropped: u64,
    /// Items that its receiver refused and nobody has decided about.
    pub dead_letters: u64,
    /// When its receiver took something last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<i64>,
    /// Why nothing gets through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<i64>,
    /// Who works on it, and until when it is theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

/// How far a sink is in each source.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExportCursor {
    /// The feed.
    pub feed: i64,
    /// The audit trail.
    pub audit: i64,
    /// Requests.
    pub records: i64,
}

/// What came of a test.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExportTest {
    /// Whether the receiver took it.
    pub delivered: bool,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a receiver refused. The item itself is not shown.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeadView {
    /// Its id.
    pub id: String,
    /// The sink.
    pub sink: String,
    /// What it is: `alert`, `incident`, `remedy`, `record`, `audit`.
    pub kind: String,
    /// The id of what it is about.
    pub about: String,
    /// In a few words.
    pub title: String,
    /// How bad it is.
    pub severity: String,
    /// When it happened: Unix time in microseconds.
    pub time: i64,
    /// When it was refused first.
    pub refused_at: i64,
    /// How often.
    pub tries: u64,
    /// Why, as far as the receiver said.
    pub reason: String,
    /// Whether it waits to be tried once more.
    pub waiting: bool,
}

/// Which dead letters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeadQuery {
    /// Of this sink.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    sink: Option<Word>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    before: Option<Word>,
}

/// How every sink stands.
#[utoipa::path(get, path = "/api/v1/exports", tag = "exports",
    responses((status = 200, description = "Every sink; none where nothing is exported.", body = ExportList)))]
pub async fn list(State(app): State<App>) -> Result<Json<ExportList>, ApiError> {
    let sinks = match &app.doors.exports {
        Some(exports) => exports.standings().await?.iter().map(|standing| view(&app, standing)).collect(),
        None => Vec::new(),
    };
    Ok(Json(ExportList { sinks }))
}

/// Sends an item to a sink that says it is a test, now and whatever else waits; to PagerDuty one that opens nothing.
#[utoipa::path(post, path = "/api/v1/exports/{name}/test", tag = "exports",
    params(("name" = String, Path, max_length = 64)),
    responses((status = 200, description = "What came of it.", body = ExportTest)))]
pub async fn test(
    State(app): State<App>,
    who: Principal,
    Named(name): Named<String>,
) -> Result<Json<ExportTest>, ApiError> {
    let exports = exports(&app)?.clone();
    if !exports.has(&name) {
        return Err(ApiError::not_found("sink"));
    }
    Change::new("action", "export.test", who.actor(), format!("export/{name}")).record(&app).await?;
    match exports.test(&name).await {
        Ok(()) => Ok(Json(ExportTest { delivered: true, error: None })),
        Err(Some(trouble)) => Ok(Json(ExportTest { delivered: false, error: Some(trouble.what) })),
        Err(None) => Err(ApiError::not_found("sink")),
    }
}

/// What receivers refused, newest first.
#[utoipa::path(get, path = "/api/v1/exports/dead-letters", tag = "exports", params(DeadQuery),
    responses((status = 200, description = "A page of them.", body = Page<DeadView>)))]
pub async fn dead_letters(
    State(app): State<App>,
    Asked(asked): Asked<DeadQuery>,
) -> Result<Json<Page<DeadView>>, ApiError> {
    let limit = asked.limit.get(&app);
    let page = DeadPage { sink: asked.sink.map(String::from), before: asked.before.map(String::from), limit };
    let found = app.database.export_dead(&page).await?;
    Ok(Json(Page::new(found.iter().map(shown).collect(), limit, |one: &DeadView| one.id.clone())))
}

/// Has one sent once more, by whichever replica works on its sink and before what is new.
#[utoipa::path(post, path = "/api/v1/exports/dead-letters/{id}/retry", tag = "exports",
    params(("id" = String, Path, max_length = 64)),
    responses((status = 202, description = "It waits to be sent.", body = DeadView)))]
pub async fn retry(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
) -> Result<(StatusCode, Json<DeadView>), ApiError> {
    let letter = found(&app, &id).await?;
    if !exports(&app)?.has(&letter.sink) {
        return Err(ApiError::conflict("no_such_sink", "Its sink is not configured any more."));
    }
    let change = Change::new("action", "export.retry", who.actor(), format!("export/{}", letter.sink))
        .after(json!({ "dead_letter": id }));
    let work = async {
        let waits = app.database.export_retry(&id).await?;
        if waits { Ok(()) } else { Err(ApiError::not_found("dead letter")) }
    };
    change.make(&app, work).await?;
    Ok((StatusCode::ACCEPTED, Json(shown(&DeadLetter { again: true, ..letter }))))
}

/// Removes one: it is never sent.
#[utoipa::path(delete, path = "/api/v1/exports/dead-letters/{id}", tag = "exports",
    params(("id" = String, Path, max_length = 64)),
    responses((status = 204, description = "It is gone.")))]
pub async fn forget(State(app): State<App>, who: Principal, Named(id): Named<String>) -> Result<StatusCode, ApiError> {
    let letter = found(&app, &id).await?;
    let change = Change::new("action", "export.forget", who.actor(), format!("export/{}", letter.sink))
        .before(json!({ "dead_letter": id, "reason": letter.reason }));
    let work = async {
        let was_there = app.database.export_forget(&id).await?;
        if was_there { Ok(()) } else { Err(ApiError::not_found("dead letter")) }
    };
    change.make(&app, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn exports(app: &App) -> Result<&Exports, ApiError> {
    app.doors.exports.as_ref().ok_or_else(|| ApiError::not_found("sink"))
}

async fn found(app: &App, id: &str) -> Result<DeadLetter, ApiError> {
    app.database.export_dead_letter(id).await?.ok_or_else(|| ApiError::not_found("dead letter"))
}

fn view(app: &App, standing: &Standing) -> ExportView {
    let (settings, state) = (&standing.settings, standing.state.as_ref());
    let stands = match state {
        None => "new",
        Some(state) if state.problem.is_some() => "failing",
        Some(state) if state.lease_until < app.now() => "idle",
        Some(_) if standing.backlog > 0 => "behind",
        Some(_) => "ok",
    };
    ExportView {
        name: standing.name.to_string(),
        kind: settings.kind.name().to_owned(),
        kinds: settings.kinds.iter().map(|kind| kind.name().to_owned()).collect(),
        content: settings.content,
        state: stands.to_owned(),
        cursor: state.map(|state| ExportCursor {
            feed: state.cursors.feed,
            audit: state.cursors.audit,
            records: state.cursors.records,
        }),
        backlog: standing.backlog,
        delivered: state.map_or(0, |state| state.delivered),
        dropped: state.map_or(0, |state| state.dropped),
        dead_letters: standing.dead,
        delivered_at: state.and_then(|state| state.delivered_at),
        last_error: state.and_then(|state| state.problem.clone()),
        failing_since: state.and_then(|state| state.problem_at),
        worker: state.and_then(|state| state.worker.clone()),
    }
}

fn shown(letter: &DeadLetter) -> DeadView {
    let item = serde_json::from_str::<Item>(&letter.body).ok();
    let of = |told: fn(&Item) -> String| item.as_ref().map(told).unwrap_or_default();
    DeadView {
        id: letter.id.clone(),
        sink: letter.sink.clone(),
        kind: of(|item| item.kind.name().to_owned()),
        about: of(|item| item.about.clone()),
        title: of(|item| item.title.clone()),
        severity: of(|item| item.severity.name().to_owned()),
        time: item.as_ref().map_or(letter.made, |item| item.time),
        refused_at: letter.made,
        tries: letter.tries,
        reason: letter.reason.clone(),
        waiting: letter.again,
    }
}

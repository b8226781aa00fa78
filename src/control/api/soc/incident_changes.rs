//! Incidents, worked on: acknowledged, assigned, closed and opened again; merged; commented; analysed at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::App;
use super::super::change::Change;
use super::super::error::ApiError;
use super::super::extract::{Body, Named};
use super::super::guard::Principal;
use super::super::words::{AccountName, Label, Page, Sentence};
use super::words::{
    AnalysisShown, CloseReason, IncidentShown, Merged, NewComment, assignee, closed, line, sent, text, told,
};
use super::{publish, refused};
use crate::store::soc::IncidentChange;
use crate::types::Severity;
use crate::types::soc::{Analysis, Closed, Incident, IncidentState, LogEntry, LogKind};

/// What is to become of an incident; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IncidentPatch {
    /// Its state: `open`, `acknowledged`, `in_progress`, `closed`. What is closed can only be opened again.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(open|acknowledged|in_progress|closed)$")]
    state: Option<IncidentState>,
    /// Whose it is, by the name of the account; `null`: nobody's.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<AccountName>)]
    assignee: Option<Option<AccountName>>,
    /// How bad it is: `informational`, `low`, `medium`, `high`, `critical`.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(informational|low|medium|high|critical)$")]
    severity: Option<Severity>,
    /// What it is called.
    #[serde(default)]
    title: Option<Label>,
    /// How it is closed: needed to close it, and for nothing else.
    #[serde(default)]
    reason: Option<CloseReason>,
    /// In words.
    #[serde(default)]
    note: Option<Sentence>,
    /// The state it has to be in, for those who decided by that.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(open|acknowledged|in_progress|closed)$")]
    expected: Option<IncidentState>,
}

fn noted(incident: &Incident) -> Value {
    json!({
        "state": incident.state, "assignee": incident.assignee, "severity": incident.severity, "title": incident.title,
        "closed": incident.closed,
    })
}

/// The change, and what the timeline says of it.
async fn read(
    app: &App,
    who: &Principal,
    asked: IncidentPatch,
    now: i64,
) -> Result<(IncidentChange, LogEntry, Value), ApiError> {
    let mut words = Vec::new();
    let closing = asked.state == Some(IncidentState::Closed);
    let closed = closed(closing, asked.reason, asked.note.as_ref(), who, now)?;
    if let Some(state) = asked.state {
        words.push(asked.reason.map_or_else(|| state.name().to_owned(), |why| format!("closed ({})", why.name())));
    }
    let owner = match &asked.assignee {
        None => None,
        Some(None) => {
            words.push("assigned to nobody".to_owned());
            Some(None)
        }
        Some(Some(name)) => {
            let name = assignee(app, name).await?;
            words.push(format!("assigned to {name}"));
            Some(Some(name))
        }
    };
    if let Some(severity) = asked.severity {
        words.push(format!("severity {}", json!(severity).as_str().unwrap_or_default()));
    }
    let title = asked.title.map(String::from);
    if title.is_some() {
        words.push("renamed".to_owned());
    }
    if words.is_empty() {
        return Err(ApiError::invalid("nothing_to_change", "Say what is to be changed."));
    }
    let log = line(who, now, LogKind::Changed, told(&words, asked.note.as_ref()));
    let after = json!({
        "state": asked.state, "assignee": owner, "severity": asked.severity, "title": title, "closed": closed,
        "note": text(asked.note.as_ref()),
    });
    let what = IncidentChange { state: asked.state, assignee: owner, severity: asked.severity, title, closed };
    Ok((what, log, after))
}

/// Refuses what the incident's state does not allow, with the word for it. The store looks again when it changes it.
fn allowed(incident: &Incident, to: Option<IncidentState>, expected: Option<IncidentState>) -> Result<(), ApiError> {
    if let Some(expected) = expected.filter(|expected| *expected != incident.state) {
        let told = format!("The incident is {} by now, not {}.", incident.state.name(), expected.name());
        return Err(ApiError::conflict("state_changed", told));
    }
    if incident.state == IncidentState::Closed && to != Some(IncidentState::Open) {
        return Err(ApiError::conflict("incident_closed", "The incident is closed: it can only be opened again."));
    }
    Ok(())
}

async fn found(app: &App, id: &str) -> Result<Incident, ApiError> {
    app.database.incident(id).await?.ok_or_else(|| ApiError::not_found("incident"))
}

/// Changes an incident: its state, whose it is, how bad it is, what it is called.
#[utoipa::path(patch, path = "/api/v1/incidents/{id}", tag = "soc", request_body = IncidentPatch,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As it is now.", body = IncidentShown)))]
pub async fn change(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<IncidentPatch>,
) -> Result<Json<IncidentShown>, ApiError> {
    let (station, now, expected) = (app.station()?, app.now(), asked.expected);
    let (what, log, after) = read(&app, &who, asked, now).await?;
    let before = found(&app, &id).await?;
    allowed(&before, what.state, expected)?;
    let change = Change::new("action", "incident.change", who.actor(), format!("incident/{id}"));
    let log = [log];
    let work = async {
        let changed = app.database.change_incident(&id, &what, expected, now, &log).await;
        changed.map_err(refused("incident_conflict"))
    };
    let fed = change.before(noted(&before)).after(after).make(&app, work).await?;
    Ok(Json(IncidentShown::of(&publish(station, fed).await)?))
}

/// Closes incidents as parts of this one, which takes over their evidence, all or none.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/merge", tag = "soc", request_body = Merged,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "This one, then those merged into it.", body = Page<IncidentShown>)))]
pub async fn merge(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<Merged>,
) -> Result<Json<Page<IncidentShown>>, ApiError> {
    let (station, now, note) = (app.station()?, app.now(), text(asked.note.as_ref()));
    let (into, ids): (Arc<str>, _) = (id.as_str().into(), asked.ids()?);
    found(&app, &id).await?;
    let closed = Closed { reason: "duplicate".into(), note: note.clone(), by: Arc::clone(&who.name), at: now };
    let log = line(&who, now, LogKind::Merged, if note.is_empty() { "merged".to_owned() } else { note.clone() });
    let change = Change::new("action", "incident.merge", who.actor(), format!("incident/{id}"));
    let work =
        async { app.database.merge_incidents(&into, &ids, &closed, &log).await.map_err(refused("incident_conflict")) };
    let fed = change.after(json!({ "ids": ids, "note": note })).make(&app, work).await?;
    let items = publish(station, fed).await.iter().map(IncidentShown::of).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next: None }))
}

/// Writes something into the timeline of an incident.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/comments", tag = "soc", request_body = NewComment,
    params(("id" = String, Path, max_length = 64)), responses((status = 204, description = "Written.")))]
pub async fn comment(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<NewComment>,
) -> Result<StatusCode, ApiError> {
    let station = app.station()?;
    found(&app, &id).await?;
    let log = line(&who, app.now(), LogKind::Comment, asked.text.text().to_owned());
    // The trail cannot be erased, and people write what they like: it has the length alone.
    let after = json!({ "characters": asked.text.text().chars().count() });
    let change = Change::new("action", "incident.comment", who.actor(), format!("incident/{id}")).after(after);
    let about: Arc<str> = id.into();
    let work = async { app.database.log(&about, &log).await.map_err(refused("incident_conflict")) };
    let entries = change.make(&app, work).await?;
    station.feed.publish(entries).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Has the analyst look at an incident now: begins the analysis, ends its wait for the next try, or, where it has ended, begins
/// it anew; a plan of before that still waits is refused then.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/analyse", tag = "soc",
    params(("id" = String, Path, max_length = 64)),
    responses((status = 202, description = "It is due.", body = AnalysisShown)))]
pub async fn analyse(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
) -> Result<(StatusCode, Json<AnalysisShown>), ApiError> {
    app.soc()?;
    let (incident, now) = (found(&app, &id).await?, app.now());
    if incident.state == IncidentState::Closed {
        return Err(ApiError::conflict("incident_closed", "The incident is closed."));
    }
    let station = app.station()?;
    let known = app.database.analysis_of(&id).await?;
    let change = Change::new("action", "incident.analyse", who.actor(), format!("incident/{id}"));
    let work = async {
        match &known {
            Some(known) if known.phase.ended() => {
                let text = format!("{} has it analysed again", who.name);
                let log = LogEntry { time: now, kind: LogKind::Analysis, actor: who.name.clone(), text, about: None };
                let again = app.database.repeat_analysis(&known.again(now), &[log]).await;
                publish(station, again.map_err(refused("incident_conflict"))?).await;
                Ok::<_, ApiError>(())
            }
            Some(known) => Ok(app.database.hurry_analysis(&known.id, now).await.map(drop)?),
            None => Ok(app.database.begin_analysis(&Analysis::of(&incident.id, now)).await.map(drop)?),
        }
    };
    change.make(&app, work).await?;
    let analysis = app.database.analysis_of(&id).await?.ok_or_else(|| ApiError::not_found("analysis"))?;
    Ok((StatusCode::ACCEPTED, Json(AnalysisShown::of(&analysis)?)))
}

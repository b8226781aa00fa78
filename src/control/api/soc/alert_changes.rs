//! Alerts, worked on: acknowledged, assigned, closed and opened again, one or many; merged; commented.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::App;
use super::super::change::Change;
use super::super::error::ApiError;
use super::super::extract::{Body, Named};
use super::super::guard::Principal;
use super::super::words::{AccountName, Few, Page, Sentence, Word, object};
use super::alerts::shown;
use super::words::{AlertShown, CloseReason, Merged, NewComment, assignee, closed, line, sent, text, told};
use super::{publish, refused};
use crate::store::StoreError;
use crate::store::soc::AlertChange;
use crate::types::soc::{Alert, AlertState, Closed, LogEntry, LogKind};

/// Alerts changed by one request.
const MOST: usize = 500;

/// What is to become of an alert; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertPatch {
    /// Its state: `open`, `acknowledged`, `in_progress`, `closed`. What is closed can only be opened again.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(open|acknowledged|in_progress|closed)$")]
    state: Option<AlertState>,
    /// Whose it is, by the name of the account; `null`: nobody's.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<AccountName>)]
    assignee: Option<Option<AccountName>>,
    /// How it is closed: needed to close it, and for nothing else.
    #[serde(default)]
    reason: Option<CloseReason>,
    /// In words.
    #[serde(default)]
    note: Option<Sentence>,
    /// The id of the open incident it is put into.
    #[serde(default)]
    incident: Option<Word>,
    /// The state it has to be in, for those who decided by that.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(open|acknowledged|in_progress|closed)$")]
    expected: Option<AlertState>,
}

/// The same change of many alerts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertsPatch {
    /// Their ids, at most 500.
    #[schema(value_type = Vec<Word>, min_items = 1, max_items = 500)]
    ids: Few<Word, MOST>,
    /// What is to become of each.
    #[serde(deserialize_with = "object")]
    #[schema(value_type = AlertPatch)]
    change: AlertPatch,
}

/// What became of one of many alerts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AlertOutcome {
    /// Its id.
    pub id: String,
    /// Whether it was changed.
    pub changed: bool,
    /// Why not, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why not, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What became of many alerts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AlertOutcomes {
    /// Of each, in the order they were named.
    pub items: Vec<AlertOutcome>,
    /// How many were changed.
    pub changed: u64,
}

fn noted(alert: &Alert) -> Value {
    json!({ "state": alert.state, "assignee": alert.assignee, "closed": alert.closed, "incident": alert.incident })
}

/// The change, and what the timeline says of it.
async fn read(
    app: &App,
    who: &Principal,
    asked: AlertPatch,
    now: i64,
) -> Result<(AlertChange, LogEntry, Value), ApiError> {
    let mut words = Vec::new();
    let closing = asked.state == Some(AlertState::Closed);
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
    let incident: Option<Arc<str>> = asked.incident.map(|id| String::from(id).into());
    if let Some(id) = &incident {
        words.push(format!("put into {id}"));
    }
    if words.is_empty() {
        return Err(ApiError::invalid("nothing_to_change", "Say what is to be changed."));
    }
    let log = line(who, now, LogKind::Changed, told(&words, asked.note.as_ref()));
    let after = json!({
        "state": asked.state, "assignee": owner, "closed": closed, "incident": incident, "note": text(asked.note.as_ref()),
    });
    Ok((AlertChange { state: asked.state, assignee: owner, closed, incident }, log, after))
}

/// Refuses what the alert's state does not allow, with the word for it. The store looks again when it changes it.
fn allowed(alert: &Alert, to: Option<AlertState>, expected: Option<AlertState>) -> Result<(), ApiError> {
    if let Some(expected) = expected.filter(|expected| *expected != alert.state) {
        let told = format!("The alert is {} by now, not {}.", alert.state.name(), expected.name());
        return Err(ApiError::conflict("state_changed", told));
    }
    if alert.state == AlertState::Closed && to != Some(AlertState::Open) {
        return Err(ApiError::conflict("alert_closed", "The alert is closed: it can only be opened again."));
    }
    Ok(())
}

/// Changes an alert: its state, whose it is, the incident it belongs to.
#[utoipa::path(patch, path = "/api/v1/alerts/{id}", tag = "soc", request_body = AlertPatch,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As it is now.", body = AlertShown)))]
pub async fn change(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<AlertPatch>,
) -> Result<Json<AlertShown>, ApiError> {
    let (station, now, expected) = (app.station()?, app.now(), asked.expected);
    let (what, log, after) = read(&app, &who, asked, now).await?;
    let before = app.database.alert(&id).await?.ok_or_else(|| ApiError::not_found("alert"))?;
    allowed(&before, what.state, expected)?;
    let change = Change::new("action", "alert.change", who.actor(), format!("alert/{id}"));
    let log = [log];
    let work = async { app.database.change_alert(&id, &what, expected, &log).await.map_err(refused("alert_conflict")) };
    let fed = change.before(noted(&before)).after(after).make(&app, work).await?;
    Ok(Json(shown(&publish(station, fed).await)?))
}

fn outcome(id: &Arc<str>, outcome: Result<Alert, StoreError>) -> AlertOutcome {
    let problem = outcome.err().map(refused("alert_conflict"));
    AlertOutcome {
        id: id.to_string(),
        changed: problem.is_none(),
        code: problem.as_ref().map(|problem| problem.code().to_owned()),
        message: problem.map(|problem| problem.to_string()),
    }
}

/// Changes many alerts in one go; those that cannot be changed do not hold up the others.
#[utoipa::path(post, path = "/api/v1/alerts/bulk", tag = "soc", request_body = AlertsPatch,
    responses((status = 200, description = "What became of each.", body = AlertOutcomes)))]
pub async fn bulk(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<AlertsPatch>,
) -> Result<Json<AlertOutcomes>, ApiError> {
    let (station, now) = (app.station()?, app.now());
    let ids: Vec<Arc<str>> = asked.ids.into_iter().map(|id| String::from(id).into()).collect();
    if ids.is_empty() {
        return Err(ApiError::invalid("nothing_named", "Name at least one by its id."));
    }
    if asked.change.expected.is_some() {
        return Err(ApiError::invalid("expected_unused", "`expected` goes with one alert alone."));
    }
    let (what, log, after) = read(&app, &who, asked.change, now).await?;
    let about = |ids: &[Arc<str>]| json!({ "ids": ids, "change": &after });
    let object = format!("alerts/{}", ids.len());
    let change = Change::new("action", "alert.change_many", who.actor(), object.clone()).after(about(&ids));
    let log = [log];
    let work = async { app.database.change_alerts(&ids, &what, &log).await.map_err(refused("alert_conflict")) };
    let done = publish(station, change.make(&app, work).await?).await;
    let left: Vec<Arc<str>> = done.iter().filter(|(_, done)| done.is_err()).map(|(id, _)| Arc::clone(id)).collect();
    if !left.is_empty() {
        // The trail has all of them as changed: this takes back those that were not.
        Change::new("action", "alert.change_many", who.actor(), object).after(about(&left)).refused(&app).await?;
    }
    let items: Vec<AlertOutcome> = done.into_iter().map(|(id, done)| outcome(&id, done)).collect();
    let changed = u64::try_from(items.iter().filter(|one| one.changed).count()).unwrap_or(u64::MAX);
    Ok(Json(AlertOutcomes { items, changed }))
}

/// Closes alerts as parts of this one, all or none.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/merge", tag = "soc", request_body = Merged,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "This one, then those merged into it.", body = Page<AlertShown>)))]
pub async fn merge(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<Merged>,
) -> Result<Json<Page<AlertShown>>, ApiError> {
    let (station, now, note) = (app.station()?, app.now(), text(asked.note.as_ref()));
    let (into, ids): (Arc<str>, _) = (id.as_str().into(), asked.ids()?);
    app.database.alert(&id).await?.ok_or_else(|| ApiError::not_found("alert"))?;
    let closed = Closed { reason: "duplicate".into(), note: note.clone(), by: Arc::clone(&who.name), at: now };
    let log = line(&who, now, LogKind::Merged, if note.is_empty() { "merged".to_owned() } else { note.clone() });
    let change = Change::new("action", "alert.merge", who.actor(), format!("alert/{id}"));
    let work = async { app.database.merge_alerts(&into, &ids, &closed, &log).await.map_err(refused("alert_conflict")) };
    let fed = change.after(json!({ "ids": ids, "note": note })).make(&app, work).await?;
    let items = publish(station, fed).await.iter().map(shown).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next: None }))
}

/// Writes something under an alert.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/comments", tag = "soc", request_body = NewComment,
    params(("id" = String, Path, max_length = 64)), responses((status = 204, description = "Written.")))]
pub async fn comment(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<NewComment>,
) -> Result<StatusCode, ApiError> {
    let station = app.station()?;
    app.database.alert(&id).await?.ok_or_else(|| ApiError::not_found("alert"))?;
    let log = line(&who, app.now(), LogKind::Comment, asked.text.text().to_owned());
    // The trail cannot be erased, and people write what they like: it has the length alone.
    let after = json!({ "characters": asked.text.text().chars().count() });
    let change = Change::new("action", "alert.comment", who.actor(), format!("alert/{id}")).after(after);
    let about: Arc<str> = id.into();
    let work = async { app.database.log(&about, &log).await.map_err(refused("alert_conflict")) };
    let entries = change.make(&app, work).await?;
    station.feed.publish(entries).await;
    Ok(StatusCode::NO_CONTENT)
}

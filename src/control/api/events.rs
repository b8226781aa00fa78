//! Decision records and notices, to read, and the content behind a record, to reveal.

use std::ops::Range;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::change::Change;
use super::error::ApiError;
use super::extract::{Asked, Body, Named};
use super::guard::Principal;
use super::words::{Limit, Page, Reason, Word};
use crate::store::{EventFilter, RecordRow, RequestFilter};
use crate::types::{Layout, Role as TextRole, SpanIndex};

/// The decision record of one request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// The request's id.
    pub id: String,
    /// When: Unix time in microseconds.
    pub time: i64,
    /// The whole record. Carries no text of the request.
    #[schema(value_type = Object)]
    pub record: Value,
}

/// Something that has to be known and is no request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NoticeView {
    /// Its id.
    pub id: String,
    /// When: Unix time in microseconds.
    pub time: i64,
    /// What kind.
    pub kind: String,
    /// The request it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The user it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// All of it.
    #[schema(value_type = Object)]
    pub body: Value,
}

/// Stored content of one request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Revealed {
    /// The request's id.
    pub id: String,
    /// Prompt and answer, as far as they are kept.
    pub contents: Vec<RevealedText>,
}

/// One direction's content.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RevealedText {
    /// `input` or `output`.
    pub direction: String,
    /// How much of it was kept: `full`, `masked`, `hash_only`.
    pub mode: String,
    /// The text, or what is kept of it.
    pub text: String,
    /// Where the texts of a prompt lie in `text`; empty where that is not known.
    #[serde(default)]
    pub places: Vec<TextPlace>,
}

/// Where one text of a prompt lies in what was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextPlace {
    /// Which span of the prompt: findings name it.
    pub span: u32,
    /// Its role, such as `user`.
    pub role: String,
    /// First byte in `text`.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

/// The places of the texts of `page`, as its layout has them.
fn places(layout: Option<&str>, page: &str) -> Vec<TextPlace> {
    let found = layout.and_then(Layout::read).and_then(|layout| layout.places(page)).unwrap_or_default().into_iter();
    let place = |(span, role, range): (SpanIndex, TextRole, Range<usize>)| TextPlace {
        span: span.0,
        role: role.name().to_owned(),
        start: range.start,
        end: range.end,
    };
    found.map(place).collect()
}

/// Why content is revealed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevealAsked {
    /// Why: it stands in the audit trail.
    reason: Reason,
}

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Not before: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    from: Option<i64>,
    /// Before: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    to: Option<i64>,
    /// Of this tenant.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    tenant: Option<Word>,
    /// Of this team.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    team: Option<Word>,
    /// Of this user.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    user: Option<Word>,
    /// With this key, by its id.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    key: Option<Word>,
    /// Of this session.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    session: Option<Word>,
    /// For this model.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    model: Option<Word>,
    /// With this outcome, such as `prompt_blocked`.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    outcome: Option<Word>,
    /// With this decision: `allow`, `flag`, `redact`, `block`.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    decision: Option<Word>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, pattern = r"^[0-9]{1,18}~[A-Za-z0-9_-]{1,128}$")]
    before: Option<Cursor>,
}

/// Which notices.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NoticeQuery {
    /// Not before: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    from: Option<i64>,
    /// Before: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    to: Option<i64>,
    /// Of this kind.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    kind: Option<Word>,
    /// About this user.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    user: Option<Word>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, pattern = r"^[0-9]{1,18}~[A-Za-z0-9_-]{1,128}$")]
    before: Option<Cursor>,
}

/// Where a page ended: time and id, `~` between.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cursor(i64, String);

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        match text.split_once('~') {
            Some((time, id)) if (1..=128).contains(&id.len()) && id.chars().all(word) && time.len() <= 18 => {
                let digits = time.bytes().all(|byte| byte.is_ascii_digit());
                let time = time.parse().ok().filter(|_| digits).ok_or("no place in a list")?;
                Ok(Self(time, id.to_owned()))
            }
            Some(_) | None => Err("no place in a list"),
        }
    }
}

fn cursor(time: i64, id: &str) -> String {
    format!("{time}~{id}")
}

fn view(row: RecordRow) -> EventView {
    // A record that cannot be read is shown as the text it is.
    let record = serde_json::from_str(&row.record).unwrap_or_else(|_| json!({ "unreadable": row.record }));
    EventView { id: row.id, time: row.time, record }
}

/// Decision records, newest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(EventQuery),
    responses((status = 200, description = "A page of records.", body = Page<EventView>)))]
pub async fn list(State(app): State<App>, Asked(asked): Asked<EventQuery>) -> Result<Json<Page<EventView>>, ApiError> {
    let text = |word: Option<Word>| word.map(String::from);
    let limit = asked.limit.get(&app);
    let filter = RequestFilter {
        from: asked.from,
        to: asked.to,
        tenant: text(asked.tenant),
        team: text(asked.team),
        user: text(asked.user),
        key: text(asked.key),
        session: text(asked.session),
        model: text(asked.model),
        outcome: text(asked.outcome),
        decision: text(asked.decision),
        before: asked.before.map(|Cursor(time, id)| (time, id)),
        limit,
    };
    let items = app.database.requests(&filter).await?.into_iter().map(view).collect();
    Ok(Json(Page::new(items, limit, |event: &EventView| cursor(event.time, &event.id))))
}

/// One decision record.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events", params(("id" = String, Path, max_length = 128)),
    responses((status = 200, description = "The record.", body = EventView)))]
pub async fn get(State(app): State<App>, Named(id): Named<String>) -> Result<Json<EventView>, ApiError> {
    let found = app.database.request(&id).await?.ok_or_else(|| ApiError::not_found("event"))?;
    Ok(Json(view(found)))
}

/// Alarms, reloads and other events that are no requests, newest first.
#[utoipa::path(get, path = "/api/v1/notices", tag = "events", params(NoticeQuery),
    responses((status = 200, description = "A page of notices.", body = Page<NoticeView>)))]
pub async fn notices(
    State(app): State<App>,
    Asked(asked): Asked<NoticeQuery>,
) -> Result<Json<Page<NoticeView>>, ApiError> {
    let limit = asked.limit.get(&app);
    let filter = EventFilter {
        from: asked.from,
        to: asked.to,
        kind: asked.kind.map(String::from),
        user: asked.user.map(String::from),
        before: asked.before.map(|Cursor(time, id)| (time, id)),
        limit,
    };
    let rows = app.database.events(&filter).await?.into_iter();
    let items = rows.map(|row| NoticeView {
        body: serde_json::from_str(&row.body).unwrap_or_else(|_| json!({ "unreadable": row.body })),
        id: row.id,
        time: row.time,
        kind: row.kind.into_owned(),
        request: row.request,
        user: row.user,
    });
    Ok(Json(Page::new(items.collect(), limit, |notice: &NoticeView| cursor(notice.time, &notice.id))))
}

/// Shows the stored content of a request. Who, which and why stand in the audit trail before it is shown.
#[utoipa::path(post, path = "/api/v1/events/{id}/reveal", tag = "events", request_body = RevealAsked,
    params(("id" = String, Path, max_length = 128)),
    responses((status = 200, description = "The content.", body = Revealed)))]
pub async fn reveal(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<RevealAsked>,
) -> Result<Json<Revealed>, ApiError> {
    app.database.request(&id).await?.ok_or_else(|| ApiError::not_found("event"))?;
    let after = json!({ "reason": asked.reason.text() });
    let change = Change::new("content_reveal", "event.reveal", who.actor(), format!("request/{id}")).after(after);
    let stored = change.make(&app, app.database.contents(&id)).await?;
    let mut contents = Vec::with_capacity(stored.len());
    for one in stored {
        let text = app.doors.vault.open(&one)?;
        contents.push(RevealedText {
            direction: one.direction.to_string(),
            mode: one.mode.name().to_owned(),
            places: places(one.layout.as_deref(), &text),
            text,
        });
    }
    Ok(Json(Revealed { id, contents }))
}

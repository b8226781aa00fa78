//! Gateway keys: issued, rotated, revoked. The key itself is shown once and never kept.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::change::Change;
use super::door::Refresh;
use super::error::ApiError;
use super::extract::{Asked, Body, Named};
use super::guard::Principal;
use super::words::{Few, Label, Limit, Page, Seconds, Sentence, Whole, Word, new_id};
use crate::store::{KeyFilter, KeyRow, StoreError};

/// One gateway key, without the key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id, which records and the ledger name.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// How the key begins.
    pub prefix: String,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The agent or application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The models it may use; empty: all.
    pub models: Vec<String>,
    /// The account that made it.
    pub created_by: String,
    /// When it was made: Unix time in microseconds.
    pub created: i64,
    /// From when it is good: Unix time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// Until when: Unix time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// When it was revoked: Unix time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<i64>,
    /// The key it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_from: Option<String>,
    /// Anything, for people.
    pub note: String,
}

/// A key just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyMade {
    /// The key itself: shown now and never again.
    pub key: String,
    /// What is known of it.
    pub details: KeyView,
}

/// A new gateway key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Its name, for people.
    name: Label,
    /// Whose it is.
    #[serde(default)]
    tenant: Option<Word>,
    /// The team.
    #[serde(default)]
    team: Option<Word>,
    /// The user.
    #[serde(default)]
    user: Option<Word>,
    /// The agent or application.
    #[serde(default)]
    agent: Option<Word>,
    /// The models it may use, `*` stands for any characters; none: all.
    #[serde(default)]
    #[schema(value_type = Vec<Word>, max_items = 100)]
    models: Few<Word, 100>,
    /// Its life in seconds; none: for ever.
    #[serde(default)]
    expires_in: Option<Seconds>,
    /// Anything, for people.
    #[serde(default)]
    note: Option<Sentence>,
}

/// When a key ends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedKey {
    /// From now, in seconds; `null`: never.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    expires_in: Option<Seconds>,
}

/// How a key is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// For how long the old key is good beside the new one, in seconds: 0 (it ends at once) to a week.
    #[schema(value_type = u32, minimum = 0, maximum = 604_800)]
    overlap: Overlap,
}

/// For how long the old key is good: at most a week.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Whole")]
pub struct Overlap(u32);

impl TryFrom<Whole> for Overlap {
    type Error = &'static str;

    fn try_from(Whole(seconds): Whole) -> Result<Self, &'static str> {
        if seconds <= 604_800 { Ok(Self(seconds)) } else { Err("at most a week") }
    }
}

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeyQuery {
    /// Only this tenant's.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    tenant: Option<Word>,
    /// Only this team's.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    team: Option<Word>,
    /// Only this user's.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    user: Option<Word>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    after: Option<Word>,
}

impl From<KeyRow> for KeyView {
    fn from(key: KeyRow) -> Self {
        let text = |name: Option<std::sync::Arc<str>>| name.map(|name| name.to_string());
        Self {
            id: key.id.to_string(),
            name: key.name,
            prefix: key.prefix,
            tenant: text(key.tenant),
            team: text(key.team),
            user: text(key.user),
            agent: text(key.agent),
            models: key.models,
            created_by: key.created_by,
            created: key.created,
            not_before: key.not_before,
            expires: key.expires,
            revoked: key.revoked,
            rotated_from: key.rotated_from,
            note: key.note,
        }
    }
}

/// What the audit trail keeps of a key.
fn view(key: &KeyRow) -> Value {
    json!({
        "name": key.name, "tenant": key.tenant, "team": key.team, "user": key.user, "agent": key.agent,
        "models": key.models, "expires": key.expires, "revoked": key.revoked, "rotated_from": key.rotated_from,
    })
}

async fn known(app: &App, id: &str) -> Result<KeyRow, ApiError> {
    app.database.key(id).await?.ok_or_else(|| ApiError::not_found("key"))
}

async fn refresh(app: &App) -> Result<(), ApiError> {
    Ok(app.doors.gateway.refresh(Refresh::Keys).await?)
}

/// Gateway keys by id, revoked and expired ones too.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", params(KeyQuery),
    responses((status = 200, description = "A page of keys.", body = Page<KeyView>)))]
pub async fn list(State(app): State<App>, Asked(asked): Asked<KeyQuery>) -> Result<Json<Page<KeyView>>, ApiError> {
    let limit = asked.limit.get(&app);
    let filter = KeyFilter {
        tenant: asked.tenant.map(Into::into),
        team: asked.team.map(Into::into),
        user: asked.user.map(Into::into),
        after: asked.after.map(Into::into),
        limit,
    };
    let items = app.database.keys(&filter).await?.into_iter().map(KeyView::from).collect();
    Ok(Json(Page::new(items, limit, |key: &KeyView| key.id.clone())))
}

/// One gateway key.
#[utoipa::path(get, path = "/api/v1/keys/{id}", tag = "keys", params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The key.", body = KeyView)))]
pub async fn get(State(app): State<App>, Named(id): Named<String>) -> Result<Json<KeyView>, ApiError> {
    Ok(Json(known(&app, &id).await?.into()))
}

/// Issues a gateway key, shown once.
#[utoipa::path(post, path = "/api/v1/keys", tag = "keys", request_body = NewKey,
    responses((status = 201, description = "Issued.", body = KeyMade)))]
pub async fn issue(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<NewKey>,
) -> Result<(StatusCode, Json<KeyMade>), ApiError> {
    let shared = |word: Option<Word>| word.map(|word| String::from(word).into());
    let now = app.now();
    let key = KeyRow {
        id: new_id("key").into(),
        name: asked.name.into(),
        tenant: shared(asked.tenant),
        team: shared(asked.team),
        user: shared(asked.user),
        agent: shared(asked.agent),
        models: asked.models.into_iter().map(Into::into).collect(),
        created_by: who.name.to_string(),
        created: now,
        expires: asked.expires_in.map(|life| life.after(now)),
        note: asked.note.map(String::from).unwrap_or_default(),
        ..KeyRow::default()
    };
    let made = insert(&app, &who, key, "key.issue").await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Mints the key for a row and stores it.
async fn insert(app: &App, who: &Principal, mut key: KeyRow, action: &'static str) -> Result<KeyMade, ApiError> {
    let fresh = (app.doors.mint)()?;
    key.hash = fresh.hash;
    key.prefix = fresh.shown;
    let change = Change::new("key_operation", action, who.actor(), format!("key/{}", key.id)).after(view(&key));
    change.make(app, app.database.insert_key(&key)).await?;
    refresh(app).await?;
    Ok(KeyMade { key: fresh.secret.expose().to_owned(), details: key.into() })
}

/// Sets when a key ends.
#[utoipa::path(patch, path = "/api/v1/keys/{id}", tag = "keys", request_body = ChangedKey,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As it is now.", body = KeyView)))]
pub async fn change(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<ChangedKey>,
) -> Result<Json<KeyView>, ApiError> {
    let before = known(&app, &id).await?;
    let after = KeyRow { expires: asked.expires_in.map(|life| life.after(app.now())), ..before.clone() };
    let change = Change::new("key_operation", "key.expire", who.actor(), format!("key/{id}"));
    let work = async { missing(app.database.expire_key(&id, after.expires).await) };
    change.before(view(&before)).after(view(&after)).make(&app, work).await?;
    refresh(&app).await?;
    Ok(Json(after.into()))
}

fn missing(done: Result<(), StoreError>) -> Result<(), ApiError> {
    match done {
        Err(StoreError::Missing(_)) => Err(ApiError::not_found("key")),
        other => Ok(other?),
    }
}

/// Issues a key in place of another, which stays good for a while.
#[utoipa::path(post, path = "/api/v1/keys/{id}/rotate", tag = "keys", request_body = Rotation,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 201, description = "Issued.", body = KeyMade)))]
pub async fn rotate(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<Rotation>,
) -> Result<(StatusCode, Json<KeyMade>), ApiError> {
    let (old, now) = (known(&app, &id).await?, app.now());
    if old.revoked.is_some() || old.expires.is_some_and(|end| end <= now) {
        return Err(ApiError::conflict("key_ended", "A key that has ended is not replaced: issue a new one."));
    }
    let end = now.saturating_add(i64::from(asked.overlap.0).saturating_mul(1_000_000));
    let end = old.expires.map_or(end, |before| before.min(end));
    let new = KeyRow {
        id: new_id("key").into(),
        created_by: who.name.to_string(),
        created: now,
        rotated_from: Some(old.rotated_from.clone().unwrap_or_else(|| id.clone())),
        ..old.clone()
    };
    let made = insert(&app, &who, new, "key.rotate").await?;
    let after = KeyRow { expires: Some(end), ..old.clone() };
    let change = Change::new("key_operation", "key.expire", who.actor(), format!("key/{id}"));
    let work = async { missing(app.database.expire_key(&id, Some(end)).await) };
    change.before(view(&old)).after(view(&after)).make(&app, work).await?;
    refresh(&app).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Revokes a key: the next request with it fails.
#[utoipa::path(delete, path = "/api/v1/keys/{id}", tag = "keys", params(("id" = String, Path, max_length = 64)),
    responses((status = 204, description = "Revoked.")))]
pub async fn revoke(State(app): State<App>, who: Principal, Named(id): Named<String>) -> Result<StatusCode, ApiError> {
    let (before, now) = (known(&app, &id).await?, app.now());
    let after = KeyRow { revoked: before.revoked.or(Some(now)), ..before.clone() };
    let change = Change::new("key_operation", "key.revoke", who.actor(), format!("key/{id}"));
    let work = async { missing(app.database.revoke_key(&id, now).await) };
    change.before(view(&before)).after(view(&after)).make(&app, work).await?;
    refresh(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

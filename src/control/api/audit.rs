//! The audit trail: to read, and to sign with another key.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::change::Change;
use super::door::{AuditPage, AuditQuery};
use super::error::ApiError;
use super::extract::{Asked, Body};
use super::guard::Principal;
use super::words::{Limit, Number, Word};
use crate::control::audit::Verified;

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EntriesQuery {
    /// Entries after this number.
    #[serde(default)]
    #[param(value_type = u64, minimum = 0, maximum = 9007199254740991_u64)]
    after: Number,
    /// Entries before this number, newest first; takes the place of `after`.
    #[serde(default)]
    #[param(value_type = u64, minimum = 0, maximum = 9007199254740991_u64)]
    before: Option<Number>,
    /// At most so many; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// Of this kind.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    kind: Option<Word>,
    /// By this actor.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    actor: Option<Word>,
    /// Not before: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    from: Option<i64>,
    /// Before: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    to: Option<i64>,
}

/// Which checkpoints.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CheckpointsQuery {
    /// Checkpoints after this entry number.
    #[serde(default)]
    #[param(value_type = u64, minimum = 0, maximum = 9007199254740991_u64)]
    after: Number,
    /// At most so many; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
}

/// The key that the trail is signed with from now on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SigningKey {
    /// Its id, as checkpoints name it.
    pub id: String,
}

/// What of the trail is verified.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyAsked {
    /// From this entry on; what stands before is taken as it is.
    #[serde(default)]
    #[schema(value_type = Option<u64>, maximum = 9007199254740991_u64)]
    from: Option<Number>,
    /// Up to this entry.
    #[serde(default)]
    #[schema(value_type = Option<u64>, maximum = 9007199254740991_u64)]
    to: Option<Number>,
}

/// Entries by number, oldest or newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(EntriesQuery),
    responses((status = 200, description = "A page of entries.", body = AuditPage)))]
pub async fn list(State(app): State<App>, Asked(asked): Asked<EntriesQuery>) -> Result<Json<AuditPage>, ApiError> {
    let query = AuditQuery {
        after: asked.after.into(),
        before: asked.before.map(Into::into),
        limit: asked.limit.get(&app),
        kind: asked.kind.map(String::from),
        actor: asked.actor.map(String::from),
        from: asked.from,
        to: asked.to,
    };
    Ok(Json(app.doors.trail.entries(query).await?))
}

/// The newest entry's number and hash, and the newest checkpoint.
#[utoipa::path(get, path = "/api/v1/audit/head", tag = "audit",
    responses((status = 200, description = "Where the trail stands.", body = Object)))]
pub async fn head(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    Ok(Json(app.doors.trail.head().await?))
}

/// Signed checkpoints by entry number.
#[utoipa::path(get, path = "/api/v1/audit/checkpoints", tag = "audit", params(CheckpointsQuery),
    responses((status = 200, description = "A page of checkpoints.", body = AuditPage)))]
pub async fn checkpoints(
    State(app): State<App>,
    Asked(asked): Asked<CheckpointsQuery>,
) -> Result<Json<AuditPage>, ApiError> {
    Ok(Json(app.doors.trail.checkpoints(asked.after.into(), asked.limit.get(&app)).await?))
}

/// Has the signing key of the replica that answers introduce another one. What the old one signed stays valid.
#[utoipa::path(post, path = "/api/v1/audit/key/rotate", tag = "audit",
    responses((status = 200, description = "The new key signs.", body = SigningKey)))]
pub async fn rotate(State(app): State<App>, who: Principal) -> Result<Json<SigningKey>, ApiError> {
    let change = Change::new("key_operation", "audit.key.rotate", who.actor(), "audit/key".to_owned());
    let id = change.make(&app, app.doors.trail.rotate_key()).await?;
    Ok(Json(SigningKey { id }))
}

/// Verifies the trail, all of it or a range: the hashes of every entry, the signatures of every checkpoint, and with all of
/// it the segments and the checkpoints outside the store. One at a time; what takes longer than a few seconds goes on, and
/// `GET` says how it stands.
#[utoipa::path(post, path = "/api/v1/audit/verify", tag = "audit", request_body = VerifyAsked,
    responses((status = 200, description = "How it went, or how far it is.", body = Verified)))]
pub async fn verify(State(app): State<App>, Body(asked): Body<VerifyAsked>) -> Result<Json<Verified>, ApiError> {
    let number = |number: Option<Number>| number.map(|number| i64::try_from(u64::from(number)).unwrap_or(i64::MAX));
    let (from, to) = (number(asked.from), number(asked.to));
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(ApiError::invalid("invalid_range", "A range begins before it ends."));
    }
    let done = app.doors.trail.verify(from, to).await?;
    done.map(Json).ok_or_else(|| ApiError::conflict("verify_running", "The trail is being verified already."))
}

/// How the verification under way stands, or how the last one of this process went.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "audit",
    responses((status = 200, description = "How it stands.", body = Verified)))]
pub async fn verified(State(app): State<App>) -> Json<Verified> {
    Json(app.doors.trail.verified())
}

//! Harmless texts of this site: nothing that is learned may hit them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::super::App;
use super::super::change::Change;
use super::super::error::ApiError;
use super::super::extract::{Asked, Body, Named};
use super::super::guard::Principal;
use super::super::soc::speaker;
use super::super::words::{LongText, Page, PageQuery};
use crate::store::learn::HarmlessText;

/// A harmless text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHarmless {
    /// The text.
    text: LongText,
}

/// A harmless text that somebody added.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HarmlessShown {
    /// Its id.
    pub id: String,
    /// The text.
    pub text: String,
    /// Who added it.
    pub by: String,
    /// When: Unix time in microseconds.
    pub at: i64,
}

impl From<HarmlessText> for HarmlessShown {
    fn from(text: HarmlessText) -> Self {
        Self { id: text.id.to_string(), text: text.text, by: text.by.to_string(), at: text.at }
    }
}

/// Harmless texts that people added, in the order in which they did.
#[utoipa::path(get, path = "/api/v1/learn/harmless", tag = "learn", params(PageQuery),
    responses((status = 200, description = "A page of texts.", body = Page<HarmlessShown>)))]
pub async fn list(
    State(app): State<App>,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<Page<HarmlessShown>>, ApiError> {
    app.learn()?;
    let (after, limit) = asked.bounds(&app);
    let found = app.database.harmless(&after, limit).await?;
    Ok(Json(Page::new(found.into_iter().map(Into::into).collect(), limit, |one: &HarmlessShown| one.id.clone())))
}

/// Adds a harmless text.
#[utoipa::path(post, path = "/api/v1/learn/harmless", tag = "learn", request_body = NewHarmless,
    responses((status = 201, description = "Added.", body = HarmlessShown)))]
pub async fn add(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<NewHarmless>,
) -> Result<(StatusCode, Json<HarmlessShown>), ApiError> {
    let desk = app.learn()?;
    let text = String::from(asked.text);
    let change = Change::new("config_change", "learn.harmless.add", who.actor(), "harmless/new".to_owned())
        .after(json!({ "bytes": text.len() }));
    let speaker = speaker(&who);
    let (text, is_new) = change.make(&app, desk.add_harmless(text, &speaker)).await?;
    if !is_new {
        return Err(ApiError::conflict("known_already", "This text is among the harmless ones already."));
    }
    Ok((StatusCode::CREATED, Json(text.into())))
}

/// Removes a harmless text.
#[utoipa::path(delete, path = "/api/v1/learn/harmless/{id}", tag = "learn",
    params(("id" = String, Path, max_length = 64)),
    responses((status = 204, description = "It is gone.")))]
pub async fn remove(State(app): State<App>, who: Principal, Named(id): Named<String>) -> Result<StatusCode, ApiError> {
    app.learn()?;
    let change = Change::new("config_change", "learn.harmless.remove", who.actor(), format!("harmless/{id}"));
    let work = async {
        let was_there = app.database.remove_harmless(&id).await?;
        if was_there { Ok(()) } else { Err(ApiError::not_found("harmless text")) }
    };
    change.make(&app, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

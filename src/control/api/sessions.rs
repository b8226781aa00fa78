//! Sessions of browsers: seen and ended.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::change::Change;
use super::error::ApiError;
use super::extract::{Asked, Named};
use super::guard::Principal;
use super::roles::Permission;
use super::tokens::{TokenQuery, whose};
use super::words::Page;
use crate::store::accounts::LoginSession;

/// One session, without the cookie.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// The id of its account.
    pub account: String,
    /// How it began: `password`, `oidc` or `setup`.
    pub method: String,
    /// From which address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// With which program, as it says itself.
    pub agent: String,
    /// When it began: Unix time in microseconds.
    pub created: i64,
    /// The last request, to the minute: Unix time in microseconds.
    pub last_seen: i64,
    /// When it ends at the latest: Unix time in microseconds.
    pub expires: i64,
}

impl From<LoginSession> for SessionView {
    fn from(session: LoginSession) -> Self {
        Self {
            id: session.id,
            account: session.account,
            method: session.method,
            address: session.address,
            agent: session.agent,
            created: session.created,
            last_seen: session.last_seen,
            expires: session.expires,
        }
    }
}

/// Sessions by id.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "session", params(TokenQuery),
    responses((status = 200, description = "A page of sessions.", body = Page<SessionView>)))]
pub async fn list(
    State(app): State<App>,
    who: Principal,
    Asked(asked): Asked<TokenQuery>,
) -> Result<Json<Page<SessionView>>, ApiError> {
    let of = whose(&who, asked.account())?;
    let (after, limit) = asked.bounds(&app);
    let found = app.accounts.sessions(of.as_deref(), &after, limit, app.now()).await?;
    let page = Page::new(found, limit, |session| session.id.clone());
    let items = page.items.into_iter().map(SessionView::from).collect();
    Ok(Json(Page { items, next: page.next }))
}

/// Ends a session: the next request with it fails.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "session",
    params(("id" = String, Path, max_length = 64)), responses((status = 204, description = "Ended.")))]
pub async fn end(State(app): State<App>, who: Principal, Named(id): Named<String>) -> Result<StatusCode, ApiError> {
    let session = app.accounts.session(&id).await?.filter(|session| {
        // What one may not see does not exist.
        session.account == *who.account || who.roles.any_of(&Permission::ManageAccounts.roles(&[]))
    });
    if session.is_none() {
        return Err(ApiError::not_found("session"));
    }
    let change = Change::new("account_change", "session.end", who.actor(), format!("session/{id}"));
    change.make(&app, app.accounts.end_session(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

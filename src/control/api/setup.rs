//! The first administrator, made with the one-time token that the first start prints.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::App;
use super::change::Change;
use super::edge::Peer;
use super::error::ApiError;
use super::extract::Body;
use super::login::{SignedIn, actor_of, begin, nobody};
use super::roles::Roles;
use super::secrets::{self, SETUP_PREFIX};
use super::words::{AccountName, FreshPassword, Presented, new_id};
use crate::store::accounts::{Account, AccountKind};
use crate::types::{AccessRole, Secret};

/// The first administrator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The one-time token.
    token: Presented,
    /// What to sign in with.
    name: AccountName,
    /// The password: 12 to 256 characters.
    password: FreshPassword,
}

/// Whether there is an administrator.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SetupState {
    /// Whether the first administrator is still to be made.
    needed: bool,
    /// Whether one can sign in at an identity provider.
    oidc: bool,
}

/// Whether the first administrator is still to be made.
#[utoipa::path(get, path = "/api/v1/setup", tag = "session",
    responses((status = 200, description = "Whether it is needed.", body = SetupState)))]
pub async fn state(State(app): State<App>) -> Result<Json<SetupState>, ApiError> {
    Ok(Json(SetupState { needed: app.accounts.setup_is_open().await?, oidc: app.oidc.is_some() }))
}

/// Makes the first administrator and signs in.
#[utoipa::path(post, path = "/api/v1/setup", tag = "session", request_body = Setup,
    responses((status = 201, description = "Made, and signed in.", body = SignedIn)))]
pub async fn setup(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    Body(asked): Body<Setup>,
) -> Result<Response, ApiError> {
    let wrong = || ApiError::unauthenticated("wrong_setup_token", "The setup token is wrong, used or expired.");
    let now = app.now();
    let attempt = app.lockout.begin(None, peer.address, now)?;
    let token = Secret::from(asked.token);
    let hash = secrets::hash(token.expose());
    if !secrets::well_formed(SETUP_PREFIX, token.expose()) || !app.accounts.setup_token_is_good(&hash, now).await? {
        Change::new("login", "setup", nobody(&peer), "account".into()).refused(&app).await?;
        return Err(wrong());
    }
    let (password, name) = (Secret::from(asked.password), asked.name.text().to_lowercase());
    app.passwords.accept(&password, &name)?;
    let password = app.passwords.hash(password).await?;
    let account = Account {
        id: new_id("acc"),
        name,
        kind: AccountKind::Local,
        subject: None,
        // Both: an administrator alone could never make an auditor.
        roles: Roles::new([AccessRole::Admin, AccessRole::Auditor]).words(),
        disabled: false,
        created: now,
        created_by: "setup".into(),
        last_login: None,
    };
    let after = json!({ "name": account.name, "roles": account.roles });
    let change = Change::new("account_change", "setup", actor_of(&account, &peer), format!("account/{}", account.id));
    let made = async {
        let made = app.accounts.set_up(&hash, &account, &password).await.map_err(ApiError::from)?;
        if made { Ok(()) } else { Err(wrong()) }
    };
    change.after(after).make(&app, made).await?;
    attempt.succeeded();
    begin(&app, &account, "setup", &peer, &headers, StatusCode::CREATED).await
}

//! Signing in and out, and who one is.

use axum::Json;
use axum::extract::State;
use axum::http::header::{SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::App;
use super::change::Change;
use super::door::Actor;
use super::edge::Peer;
use super::error::ApiError;
use super::extract::Body;
use super::guard::{Credential, Principal, cookie};
use super::roles::Roles;
use super::secrets;
use super::words::{FreshPassword, Presented, Role, Word, new_id};
use crate::store::accounts::{Account, AccountKind, LoginSession};
use crate::types::Secret;

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The account's name.
    name: Word,
    /// Its password.
    password: Presented,
}

/// The old password and a new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password until now.
    current: Presented,
    /// The password from now on: 12 to 256 characters.
    new: FreshPassword,
}

/// A session that has begun. The session itself is in the cookie.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SignedIn {
    /// The account's id.
    pub account: String,
    /// The account's name.
    pub name: String,
    /// Its roles.
    pub roles: Vec<Role>,
    /// To be sent in `x-portcullis-csrf` with every request that changes something.
    pub csrf: String,
    /// When it ends at the latest: Unix time in microseconds.
    pub expires: i64,
}

/// Who one is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The account's id.
    pub account: String,
    /// The account's name.
    pub name: String,
    /// What one may do with this session or token.
    pub roles: Vec<Role>,
    /// `session` or `token`.
    pub via: String,
    /// The session's or token's id.
    pub credential: String,
    /// To be sent in `x-portcullis-csrf` with every request that changes something; sessions only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csrf: Option<String>,
}

pub(super) fn role_words(roles: &str) -> Vec<Role> {
    Roles::parse(roles).list().iter().copied().map(Role::from).collect()
}

/// Signs in with name and password.
#[utoipa::path(post, path = "/api/v1/login", tag = "session", request_body = Login,
    responses((status = 200, description = "Signed in; the session is in the cookie.", body = SignedIn)))]
pub async fn login(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    Body(asked): Body<Login>,
) -> Result<Response, ApiError> {
    let wrong = || ApiError::unauthenticated("wrong_credentials", "The name or the password is wrong.");
    let attempt = app.lockout.begin(Some(asked.name.text()), peer.address, app.now())?;
    let password = Secret::from(asked.password);
    let found = app.accounts.by_name(asked.name.text()).await?;
    let can = found.as_ref().filter(|(account, _)| account.kind == AccountKind::Local && !account.disabled);
    let hash = can.and_then(|(_, hash)| hash.clone());
    if !app.passwords.verify(password, hash).await? {
        // A name that belongs to nobody is not written down: people type passwords there.
        let actor = match found {
            Some((account, _)) => actor_of(&account, &peer),
            None => Actor { name: "unknown".into(), ..nobody(&peer) },
        };
        Change::new("login", "login.password", actor, "session".into()).refused(&app).await?;
        return Err(wrong());
    }
    let Some((account, _)) = found else { return Err(wrong()) };
    attempt.succeeded();
    begin(&app, &account, "password", &peer, &headers, StatusCode::OK).await
}

pub(super) fn nobody(peer: &Peer) -> Actor {
    Actor { via: "none", address: peer.address, request: peer.request.to_string(), ..Actor::default() }
}

pub(super) fn actor_of(account: &Account, peer: &Peer) -> Actor {
    Actor { account: account.id.clone(), name: account.name.clone(), ..nobody(peer) }
}

/// Begins a session and answers with it. A session that came along ends: nobody can plant one before the login.
pub(super) async fn begin(
    app: &App,
    account: &Account,
    method: &'static str,
    peer: &Peer,
    headers: &HeaderMap,
    status: StatusCode,
) -> Result<Response, ApiError> {
    let (session, secret) = start(app, account, method, peer, headers).await?;
    let signed_in = SignedIn {
        account: account.id.clone(),
        name: account.name.clone(),
        roles: role_words(&account.roles),
        csrf: secrets::csrf(&secret),
        expires: session.expires,
    };
    let mut answer = (status, Json(signed_in)).into_response();
    set_cookie(app, &mut answer, peer, &secret);
    Ok(answer)
}

/// Begins a session: its row and its secret.
pub(super) async fn start(
    app: &App,
    account: &Account,
    method: &'static str,
    peer: &Peer,
    headers: &HeaderMap,
) -> Result<(LoginSession, String), ApiError> {
    let (now, secret) = (app.now(), secrets::session_secret()?);
    let life = i64::try_from(app.settings.session_lifetime.get().as_micros()).unwrap_or(i64::MAX);
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let session = LoginSession {
        id: new_id("ses"),
        account: account.id.clone(),
        method: method.to_owned(),
        address: peer.address.map(|address| address.to_string()),
        agent: agent.chars().take(200).collect(),
        created: now,
        last_seen: now,
        expires: now.saturating_add(life),
    };
    let old = cookie(headers, app.cookie_name(peer)).map(secrets::hash);
    let hash = secrets::hash(&secret);
    let after = json!({ "session": session.id, "method": method, "roles": account.roles });
    let change = Change::new("login", "login", actor_of(account, peer), format!("session/{}", session.id));
    let work = async {
        if let Some(old) = old
            && let Some((old, _)) = app.accounts.session_by_hash(&old).await?
        {
            app.accounts.end_session(&old.id).await?;
        }
        app.accounts.begin_session(&session, &hash, app.settings.max_sessions).await?;
        app.accounts.signed_in(&account.id, None, now).await
    };
    change.after(after).make(app, work).await?;
    Ok((session, secret))
}

/// Hands the session's secret to the browser; an empty one takes it back.
pub(super) fn set_cookie(app: &App, answer: &mut Response, peer: &Peer, secret: &str) {
    let secure = if app.insecure(peer) { "" } else { " Secure;" };
    let life = if secret.is_empty() { 0 } else { app.settings.session_lifetime.get().as_secs() };
    let name = app.cookie_name(peer);
    let text = format!("{name}={secret}; Path=/; Max-Age={life};{secure} HttpOnly; SameSite=Strict");
    if let Ok(value) = HeaderValue::from_str(&text) {
        answer.headers_mut().append(SET_COOKIE, value);
    }
}

/// Ends this session.
#[utoipa::path(post, path = "/api/v1/logout", tag = "session",
    responses((status = 204, description = "Signed out.")))]
pub async fn logout(State(app): State<App>, peer: Peer, who: Principal) -> Result<Response, ApiError> {
    let Credential::Session { id, .. } = &who.credential else {
        return Err(ApiError::conflict("no_session", "This was asked with an API token: revoke it instead."));
    };
    let change = Change::new("login", "logout", who.actor(), format!("session/{id}"));
    change.make(&app, app.accounts.end_session(id)).await?;
    let mut answer = StatusCode::NO_CONTENT.into_response();
    set_cookie(&app, &mut answer, &peer, "");
    Ok(answer)
}

/// Ends all of one's sessions, this one too.
#[utoipa::path(post, path = "/api/v1/logout/all", tag = "session",
    responses((status = 204, description = "Signed out everywhere.")))]
pub async fn logout_all(State(app): State<App>, peer: Peer, who: Principal) -> Result<Response, ApiError> {
    let change = Change::new("login", "logout.all", who.actor(), format!("account/{}", who.account));
    change.make(&app, app.accounts.end_sessions_of(&who.account)).await?;
    let mut answer = StatusCode::NO_CONTENT.into_response();
    set_cookie(&app, &mut answer, &peer, "");
    Ok(answer)
}

/// Who one is.
#[utoipa::path(get, path = "/api/v1/me", tag = "session",
    responses((status = 200, description = "Who one is.", body = Me)))]
pub async fn me(who: Principal) -> Json<Me> {
    let actor = who.actor();
    let csrf = match &who.credential {
        Credential::Session { csrf, .. } => Some(csrf.to_string()),
        Credential::Token { .. } => None,
    };
    Json(Me {
        account: actor.account,
        name: actor.name,
        roles: who.roles.list().iter().copied().map(Role::from).collect(),
        via: actor.via.to_owned(),
        credential: actor.credential,
        csrf,
    })
}

/// Changes one's password; all other sessions of the account end.
#[utoipa::path(post, path = "/api/v1/me/password", tag = "session", request_body = NewPassword,
    responses((status = 204, description = "Changed.")))]
pub async fn password(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<NewPassword>,
) -> Result<StatusCode, ApiError> {
    let Credential::Session { id, .. } = &who.credential else {
        return Err(ApiError::forbidden(
            "session_needed",
            "A password is changed by who is signed in, not by a token.",
        ));
    };
    let current = Secret::from(asked.current);
    let attempt = app.lockout.begin(Some(&who.name), who.address, app.now())?;
    let hash = app.accounts.password_of(&who.account).await?;
    let object = format!("account/{}", who.account);
    let change = Change::new("account_change", "account.password", who.actor(), object);
    if !app.passwords.verify(current, hash).await? {
        change.refused(&app).await?;
        return Err(ApiError::forbidden("wrong_credentials", "The current password is wrong."));
    }
    attempt.succeeded();
    let new = Secret::from(asked.new);
    app.passwords.accept(&new, &who.name)?;
    let hash = app.passwords.hash(new).await?;
    change.make(&app, app.accounts.set_password(&who.account, &hash, Some(id))).await?;
    Ok(StatusCode::NO_CONTENT)
}

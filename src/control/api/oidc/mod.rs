//! Signing in at an identity provider: authorization code with PKCE, state and nonce (OpenID Connect Core 1.0).
//!
//! What has to be remembered between the two steps stands in a short-lived cookie of the browser itself, so every
//! replica can take the second step and nobody can fill a table. The cookie holds nothing that its browser may not know.

pub mod flow;
pub mod http;

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

pub use self::flow::Provider;
use self::flow::{Pending, Person};
use super::App;
use super::change::Change;
use super::door::Actor;
use super::edge::Peer;
use super::error::ApiError;
use super::extract::Asked;
use super::guard::cookie;
use super::login::{nobody, set_cookie, start};
use super::words::new_id;
use crate::store::StoreError;
use crate::store::accounts::{Account, AccountKind, Changed};

/// How long somebody may take at the provider, in seconds.
const PATIENCE: i64 = 600;

/// What the provider sends a browser back with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Callback {
    /// The authorization code.
    #[serde(default)]
    #[param(max_length = 2048)]
    code: Option<String>,
    /// The state this gateway sent.
    #[serde(default)]
    #[param(max_length = 256)]
    state: Option<String>,
    /// Why there is no code.
    #[serde(default)]
    #[param(max_length = 256)]
    error: Option<String>,
}

fn cookie_name(app: &App, peer: &Peer) -> &'static str {
    if app.insecure(peer) { "portcullis-dev-oidc" } else { "__Host-portcullis-oidc" }
}

/// The cookie between the two steps. `Lax`, because the provider sends the browser back.
fn pending_cookie(app: &App, peer: &Peer, value: &str) -> Option<HeaderValue> {
    let life = if value.is_empty() { 0 } else { PATIENCE };
    let (name, secure) = (cookie_name(app, peer), if app.insecure(peer) { "" } else { " Secure;" });
    HeaderValue::from_str(&format!("{name}={value}; Path=/; Max-Age={life};{secure} HttpOnly; SameSite=Lax")).ok()
}

fn provider(app: &App) -> Result<&Provider, ApiError> {
    app.oidc.as_ref().ok_or_else(|| ApiError::not_found("identity provider"))
}

/// Sends the browser to the identity provider.
#[utoipa::path(get, path = "/api/v1/oidc/login", tag = "session",
    responses((status = 302, description = "To the identity provider."),
        (status = 404, description = "There is no identity provider.", body = super::error::ErrorBody)))]
pub async fn begin(State(app): State<App>, peer: Peer) -> Result<Response, ApiError> {
    let (url, pending) = provider(&app)?.begin(app.now()).await?;
    let mut answer = StatusCode::FOUND.into_response();
    let location = HeaderValue::from_str(url.as_str()).map_err(|error| ApiError::internal(&error))?;
    answer.headers_mut().insert(LOCATION, location);
    if let Some(value) = pending_cookie(&app, &peer, &pending.to_cookie()) {
        answer.headers_mut().append(SET_COOKIE, value);
    }
    Ok(answer)
}

/// Takes the browser back from the identity provider and begins a session.
#[utoipa::path(get, path = "/api/v1/oidc/callback", tag = "session", params(Callback),
    responses((status = 200, description = "Signed in; the page leads on to the console.", content_type = "text/html"),
        (status = 404, description = "There is no identity provider.", body = super::error::ErrorBody)))]
pub async fn callback(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    Asked(asked): Asked<Callback>,
) -> Result<Response, ApiError> {
    let provider = provider(&app)?;
    let now = app.now();
    let too_long = |text: &Option<String>, most| text.as_ref().is_some_and(|text| text.chars().count() > most);
    if too_long(&asked.code, 2048) || too_long(&asked.state, 256) || too_long(&asked.error, 256) {
        return Err(ApiError::bad("invalid_query", "A value is out of its bounds."));
    }
    let attempt = app.lockout.begin(None, peer.address, now)?;
    let person = match finish(&app, &peer, &headers, asked, provider, now).await {
        Ok(person) => person,
        Err(error) => {
            // A provider that does not answer is nobody's wrong try.
            if error.status().is_server_error() {
                attempt.succeeded();
            } else {
                Change::new("login", "login.oidc", nobody(&peer), "session".into()).refused(&app).await?;
            }
            return Err(error);
        }
    };
    attempt.succeeded();
    let account = account_of(&app, &peer, person, now).await?;
    let (_, secret) = start(&app, &account, "oidc", &peer, &headers).await?;
    // Not a redirect: browsers do not send `Strict` cookies along a chain that another site began.
    let page = "<!doctype html><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0;url=/\">\
                <title>Signed in</title><p>Signed in. <a href=\"/\">Go on</a></p>";
    let mut answer = ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
    set_cookie(&app, &mut answer, &peer, &secret);
    if let Some(value) = pending_cookie(&app, &peer, "") {
        answer.headers_mut().append(SET_COOKIE, value);
    }
    Ok(answer)
}

async fn finish(
    app: &App,
    peer: &Peer,
    headers: &HeaderMap,
    asked: Callback,
    provider: &Provider,
    now: i64,
) -> Result<Person, ApiError> {
    let refused = |told: &'static str| ApiError::unauthenticated("oidc_refused", told);
    let pending = cookie(headers, cookie_name(app, peer)).and_then(Pending::from_cookie);
    let pending = pending.ok_or_else(|| refused("This sign-in was not begun in this browser, or took too long."))?;
    let state = asked.state.unwrap_or_default();
    if !pending.is_of(&state, now, PATIENCE) {
        return Err(refused("This sign-in was not begun in this browser, or took too long."));
    }
    if asked.error.is_some() {
        return Err(refused("The identity provider did not let you in."));
    }
    let code = asked.code.filter(|code| !code.is_empty());
    provider.finish(pending, code.ok_or_else(|| refused("The identity provider sent no code."))?).await
}

/// The account of whoever signed in, made or brought up to date. Roles come from the provider at each sign-in; accounts
/// of the same name that sign in otherwise are never touched.
async fn account_of(app: &App, peer: &Peer, person: Person, now: i64) -> Result<Account, ApiError> {
    let actor = |account: &str, name: &str| Actor { account: account.into(), name: name.into(), ..nobody(peer) };
    let roles = person.roles.words();
    let known = app.accounts.by_subject(&person.subject).await?;
    let refuse = |code, told: &'static str| (ApiError::forbidden(code, told), code);
    let problem = match &known {
        Some(account) if account.disabled => Some(refuse("disabled", "This account is disabled.")),
        Some(_) | None if person.roles.is_empty() => {
            Some(refuse("no_roles", "The identity provider names no role that is known here."))
        }
        Some(_) | None => None,
    };
    if let Some((error, code)) = problem {
        let object = format!("account/{}", known.as_ref().map_or("unknown", |account| &account.id));
        let id = known.as_ref().map_or("", |account| &account.id);
        let change = Change::new("login", "login.oidc", actor(id, &person.name), object).after(json!({ "why": code }));
        change.refused(app).await?;
        return Err(error);
    }
    if let Some(mut account) = known {
        if account.roles != roles {
            let object = format!("account/{}", account.id);
            let change = Change::new("account_change", "account.change", actor(&account.id, &account.name), object)
                .before(json!({ "roles": account.roles }))
                .after(json!({ "roles": roles }));
            change.make(app, app.accounts.signed_in(&account.id, Some(&roles), now)).await?;
            account.roles = roles;
        }
        return Ok(account);
    }
    let id = new_id("acc");
    let mut account = Account {
        name: format!("oidc/{}", person.name.to_lowercase()),
        id,
        kind: AccountKind::Oidc,
        subject: Some(person.subject),
        roles,
        disabled: false,
        created: now,
        created_by: "oidc".into(),
        last_login: None,
    };
    let after = json!({ "name": account.name, "roles": account.roles });
    let object = format!("account/{}", account.id);
    Change::new("account_change", "account.create", actor(&account.id, &account.name), object)
        .after(after)
        .make(app, add(app, &mut account))
        .await?;
    Ok(account)
}

/// Adds an account; another person with the same name gets one that tells them apart.
async fn add(app: &App, account: &mut Account) -> Result<(), ApiError> {
    for _ in 0..2 {
        match app.accounts.add(account, None, app.settings.max_accounts).await {
            Ok(Changed::TooMany) => {
                return Err(ApiError::conflict("too_many", "There are as many accounts as there may be."));
            }
            Ok(Changed::Done | Changed::Missing | Changed::LastAdmin) => return Ok(()),
            Err(StoreError::Conflict(_)) => {
                let tail: String = account.id.chars().rev().take(8).collect();
                account.name = format!("{}#{tail}", account.name);
            }
            Err(problem) => return Err(problem.into()),
        }
    }
    Err(ApiError::conflict("name_taken", "An account has this name."))
}

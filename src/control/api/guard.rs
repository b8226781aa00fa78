//! Who calls a route and whether they may: asked on the route that is actually dispatched, so no spelling of a path, no
//! header and no method gets around it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, ORIGIN, SEC_WEBSOCKET_KEY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::warn;

use super::App;
use super::door::Actor;
use super::edge::Peer;
use super::error::ApiError;
use super::roles::{Permission, Roles};
use super::secrets::{self, TOKEN_PREFIX};
use crate::store::accounts::Account;

/// The header with the session's CSRF token.
pub const CSRF: HeaderName = HeaderName::from_static("x-portcullis-csrf");
/// Says that nobody did anything: a page that is open looks again by itself.
pub const WATCHING: HeaderName = HeaderName::from_static("x-portcullis-watching");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// How exactly last uses are noted, in microseconds: one write a minute, not one per request.
const NOTE_EVERY: i64 = 60 * 1_000_000;

/// Who calls.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The account's id.
    pub account: Arc<str>,
    /// The account's name.
    pub name: Arc<str>,
    /// What it may do here: of a token, what it and its account may.
    pub roles: Roles,
    /// With what.
    pub credential: Credential,
    /// From where.
    pub address: Option<IpAddr>,
    /// The id of this request.
    pub request: Arc<str>,
}

/// With what somebody calls.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A browser's session.
    Session {
        /// Its id.
        id: Arc<str>,
        /// Its CSRF token.
        csrf: Arc<str>,
    },
    /// An API token.
    Token {
        /// Its id.
        id: Arc<str>,
        /// When it ends: Unix time in microseconds.
        expires: i64,
    },
}

impl Principal {
    /// For the audit trail.
    pub fn actor(&self) -> Actor {
        let (via, credential) = match &self.credential {
            Credential::Session { id, .. } => ("session", id),
            Credential::Token { id, .. } => ("token", id),
        };
        Actor {
            account: self.account.to_string(),
            name: self.name.to_string(),
            via,
            credential: credential.to_string(),
            address: self.address,
            request: self.request.to_string(),
        }
    }

    /// Whether whoever calls may read what was found in requests.
    pub fn reads_events(&self) -> bool {
        self.roles.any_of(&Permission::ReadEvents.roles(&[]))
    }

    /// Refuses to give roles that whoever calls has not.
    pub fn may_grant(&self, roles: &Roles) -> Result<(), ApiError> {
        if self.roles.cover(roles) {
            return Ok(());
        }
        Err(ApiError::forbidden("more_than_own", "Nobody can act on or grant more than they have."))
    }

    /// Refuses to act on an account that may more than whoever calls.
    pub fn may_manage(&self, account: &Account) -> Result<(), ApiError> {
        self.may_grant(&Roles::parse(&account.roles))
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let missing = || ApiError::internal(&"a handler asks who calls on a route without a permission");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let missing = || ApiError::internal(&"a handler asks for the peer outside of the API");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

/// Stands before one route.
pub async fn guard(State((app, permission)): State<(App, Permission)>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        return ApiError::internal(&"a route is served outside of the API").into_response();
    };
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    // Not borrowed from the request: its body cannot be shared between threads while this waits.
    let headers = request.headers().clone();
    match admit(&app, permission, &headers, &peer, safe).await {
        Ok(Some(principal)) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Ok(None) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Who calls, if the route asks for somebody and they may; `safe` methods change nothing.
async fn admit(
    app: &App,
    permission: Permission,
    headers: &HeaderMap,
    peer: &Peer,
    safe: bool,
) -> Result<Option<Principal>, ApiError> {
    if permission == Permission::Public {
        if !safe {
            same_origin(headers, peer)?;
        }
        return Ok(None);
    }
    // A browser can say nothing with a handshake; whoever watches does nothing.
    let watches = safe && (headers.contains_key(WATCHING) || headers.contains_key(SEC_WEBSOCKET_KEY));
    let principal = if watches { again(app, headers, peer).await? } else { identify(app, headers, peer).await? };
    if let Credential::Session { csrf, .. } = &principal.credential
        && !safe
    {
        same_origin(headers, peer)?;
        let shown = headers.get(CSRF).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !secrets::same(shown, csrf) {
            return Err(ApiError::forbidden("csrf", "This needs the session's CSRF token in x-portcullis-csrf."));
        }
    }
    if !principal.roles.any_of(&permission.roles(&app.settings.reveal_roles)) {
        return Err(ApiError::forbidden("missing_role", "None of your roles may do this."));
    }
    Ok(Some(principal))
}

/// Whether a call is a use of its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is: a session lives on by it.
    Noted,
    /// It is not: something that is open is looked at.
    Unnoted,
}

/// Who calls. An `Authorization` header counts alone: a cookie beside it is not looked at.
pub async fn identify(app: &App, headers: &HeaderMap, peer: &Peer) -> Result<Principal, ApiError> {
    who(app, headers, peer, Use::Noted).await
}

/// Who called, asked again while what they opened is open. Keeps no session alive; a token is in use either way.
pub async fn again(app: &App, headers: &HeaderMap, peer: &Peer) -> Result<Principal, ApiError> {
    who(app, headers, peer, Use::Unnoted).await
}

async fn who(app: &App, headers: &HeaderMap, peer: &Peer, noted: Use) -> Result<Principal, ApiError> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (Some(value), None) => by_token(app, value.to_str().unwrap_or_default(), peer).await,
        (Some(_), Some(_)) => Err(ApiError::bad("two_credentials", "A request has at most one Authorization header.")),
        (None, _) => by_session(app, headers, peer, noted).await,
    }
}

async fn by_token(app: &App, value: &str, peer: &Peer) -> Result<Principal, ApiError> {
    let invalid = || ApiError::unauthenticated("invalid_token", "This API token is not valid.");
    let (scheme, text) = value.split_once(' ').ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") || !secrets::well_formed(TOKEN_PREFIX, text) {
        return Err(invalid());
    }
    let found = app.accounts.token_by_hash(&secrets::hash(text)).await?;
    let (token, account) = found.ok_or_else(invalid)?;
    let now = app.now();
    if token.revoked.is_some() || account.disabled {
        return Err(ApiError::unauthenticated("revoked_token", "This API token was revoked."));
    }
    if token.expires <= now {
        return Err(ApiError::unauthenticated("expired_token", "This API token has expired."));
    }
    if token.last_used.is_none_or(|last| now.saturating_sub(last) >= NOTE_EVERY)
        && let Err(problem) = app.accounts.token_used(&token.id, now).await
    {
        warn!(%problem, "cannot note that an API token was used");
    }
    Ok(Principal {
        roles: Roles::parse(&token.roles).within(&Roles::parse(&account.roles)),
        account: account.id.into(),
        name: account.name.into(),
        credential: Credential::Token { id: token.id.into(), expires: token.expires },
        address: peer.address,
        request: Arc::clone(&peer.request),
    })
}

async fn by_session(app: &App, headers: &HeaderMap, peer: &Peer, noted: Use) -> Result<Principal, ApiError> {
    let name = app.cookie_name(peer);
    let secret = cookie(headers, name).ok_or_else(|| {
        ApiError::unauthenticated("not_signed_in", "Sign in, or send an API token as a bearer token.")
    })?;
    let ended = || ApiError::unauthenticated("session_ended", "This session has ended: sign in again.");
    if secret.len() != 64 {
        return Err(ended());
    }
    let (session, account) = app.accounts.session_by_hash(&secrets::hash(secret)).await?.ok_or_else(ended)?;
    let now = app.now();
    let idle = i64::try_from(app.settings.session_idle.get().as_micros()).unwrap_or(i64::MAX);
    if account.disabled || session.expires <= now || session.last_seen.saturating_add(idle) <= now {
        app.accounts.end_session(&session.id).await?;
        return Err(ended());
    }
    if noted == Use::Noted
        && now.saturating_sub(session.last_seen) >= NOTE_EVERY.min(idle / 4)
        && let Err(problem) = app.accounts.session_seen(&session.id, now).await
    {
        // A store that only reads still lets people look; the session ends the sooner.
        warn!(%problem, "cannot note that a session is in use");
    }
    Ok(Principal {
        roles: Roles::parse(&account.roles),
        account: account.id.into(),
        name: account.name.into(),
        credential: Credential::Session { id: session.id.into(), csrf: secrets::csrf(secret).into() },
        address: peer.address,
        request: Arc::clone(&peer.request),
    })
}

/// The one cookie of that name. Two of one name mean that somebody planted one: neither counts.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(';'));
    let mut found = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

/// Refuses what is not sent by a page of ours, on which a browser says so. For what browsers send with cookies from any page.
pub fn own_page(headers: &HeaderMap, peer: &Peer) -> Result<(), ApiError> {
    if headers.get_all(ORIGIN).iter().count() != 1 {
        return Err(ApiError::forbidden("cross_origin", "A page of another origin cannot do this."));
    }
    same_origin(headers, peer)
}

/// Refuses what a page of another origin sends. Programs send neither header.
fn same_origin(headers: &HeaderMap, peer: &Peer) -> Result<(), ApiError> {
    let refused = || ApiError::forbidden("cross_origin", "A page of another origin cannot do this.");
    if let Some(site) = headers.get(FETCH_SITE)
        && site != "same-origin"
        && site != "none"
    {
        return Err(refused());
    }
    for origin in headers.get_all(ORIGIN) {
        let origin = origin.to_str().map_err(|_| refused())?.to_ascii_lowercase();
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://").filter(|_| !peer.secure));
        if host != Some(&*peer.host) {
            return Err(refused());
        }
    }
    Ok(())
}

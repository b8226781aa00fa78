//! Key, token, certificate and trusted headers -> `Caller`. No I/O; the time is an argument.

mod agent;
mod cache;
mod credentials;
mod ids;
mod owners;
mod trusted;

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::config::identity_settings::Identity;
use crate::config::issued::{IssuedKey, IssuedKeys};
use crate::config::tokens::{TokenError, TokenKeys, Verified};
use crate::types::{Caller, CallerKind};

pub use self::agent::agent;
pub use self::cache::{LatestTime, TokenCache};
use self::credentials::Proof;
pub use self::ids::{IdKind, id_in_body, ids_in_path, kind_by_prefix};
pub use self::owners::{IdHash, OwnerIndex, Ownership, Scope};
use self::trusted::Said;
pub use self::trusted::names_to_strip;
use super::listen::ClientCertificate;

/// Where Anthropic's SDKs put the credential.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Where Azure's do.
pub const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// What a request shows of its sender.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Where it comes from, as far as those in between are believed.
    pub address: Option<IpAddr>,
    /// Whether the TCP peer itself is in `server.trusted_proxies`, or it came over a Unix socket.
    pub is_trusted: bool,
    /// The verified client certificate of the connection.
    pub certificate: Option<&'a ClientCertificate>,
    /// Unix time in microseconds.
    pub now: i64,
}

/// Whom the gateway knows: parts of the Snapshot.
pub struct Known<'a> {
    /// `[identity]`.
    pub settings: &'a Identity,
    /// The name of the configured key whose SHA-256 this is.
    pub configured: &'a dyn Fn(&[u8; 32]) -> Option<Arc<str>>,
    /// Virtual keys.
    pub issued: &'a IssuedKeys,
    /// Issuers of tokens, with their keys.
    pub tokens: &'a TokenKeys,
}

/// What identification remembers from one request to the next. It stands outside the Snapshot; all workers share it.
#[derive(Debug)]
pub struct Memory {
    /// Tokens that were verified.
    pub tokens: TokenCache,
    /// The latest time seen: a clock that goes back brings no key or token back to life.
    pub clock: LatestTime,
}

impl Memory {
    /// Nothing remembered yet.
    pub fn new(settings: &Identity) -> Self {
        Self { tokens: TokenCache::new(settings.token_cache), clock: LatestTime::default() }
    }
}

/// Who asks.
#[derive(Debug, Clone, Default)]
pub struct Identified {
    /// The caller; `session` is still to be found.
    pub caller: Caller,
    /// The virtual key that was presented: `may_ask` tells which models it is for.
    pub key: Option<Arc<IssuedKey>>,
    /// When the credential ends: Unix time in microseconds.
    pub until: Option<i64>,
}

/// Why nobody is let in. Messages never quote what was presented.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing was presented that is ours, and it is required.
    #[error("a key of this gateway is required")]
    Missing,
    /// More than one credential where one is expected, or two that are not the same.
    #[error("present one credential, not several")]
    Several,
    /// A key that was never issued, or is mistyped.
    #[error("the API key is not valid")]
    InvalidKey,
    /// A key whose time has not come.
    #[error("the API key is not valid yet")]
    KeyNotYet,
    /// A key whose time is over.
    #[error("the API key has expired")]
    ExpiredKey,
    /// A key that was taken back.
    #[error("the API key has been revoked")]
    RevokedKey,
    /// A token that is not believed.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// A trusted header that is there twice or cannot be a name.
    #[error("the header that names the {0} must be there once, as 1 to 256 bytes of text")]
    BadHeader(&'static str),
    /// Two sources say different things of the same caller.
    #[error("the {0} that the credential stands for is not the one the request names")]
    Conflict(&'static str),
    /// A certificate of a trust domain that is not believed.
    #[error("the client certificate is of a trust domain that is not accepted")]
    TrustDomain,
}

/// What kind of answer an error calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// 400: the request contradicts itself.
    BadRequest,
    /// 401: another credential would do.
    Unauthorized,
    /// 403: known, and not allowed to be whom it claims to be.
    Forbidden,
    /// 503 with `Retry-After`: it cannot be told now.
    Unavailable,
}

impl IdentityError {
    /// The error's code in answers, records and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing_api_key",
            Self::Several => "conflicting_credentials",
            Self::InvalidKey => "invalid_api_key",
            Self::KeyNotYet => "api_key_not_yet_valid",
            Self::ExpiredKey => "expired_api_key",
            Self::RevokedKey => "revoked_api_key",
            Self::Token(error) => token_code(error),
            Self::BadHeader(_) => "invalid_identity_header",
            Self::Conflict(_) => "conflicting_identity",
            Self::TrustDomain => "untrusted_certificate",
        }
    }

    /// What kind of answer it calls for.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Several | Self::BadHeader(_) => ErrorClass::BadRequest,
            Self::Conflict(_) | Self::TrustDomain => ErrorClass::Forbidden,
            Self::Token(TokenError::NoKeys { .. }) => ErrorClass::Unavailable,
            Self::Missing
            | Self::InvalidKey
            | Self::KeyNotYet
            | Self::ExpiredKey
            | Self::RevokedKey
            | Self::Token(_) => ErrorClass::Unauthorized,
        }
    }

    /// The issuer whose newer keys may change the outcome: wish for them, then identify once more.
    pub fn wishes_keys_of(&self) -> Option<&Arc<str>> {
        match self {
            Self::Token(TokenError::UnknownKey { issuer } | TokenError::NoKeys { issuer }) => Some(issuer),
            _ => None,
        }
    }
}

fn token_code(error: &TokenError) -> &'static str {
    match error {
        TokenError::Expired => "expired_token",
        TokenError::NotYet => "token_not_yet_valid",
        TokenError::Audience => "wrong_audience",
        TokenError::NoKeys { .. } => "token_keys_unavailable",
        TokenError::TooLong
        | TokenError::Malformed
        | TokenError::Algorithm
        | TokenError::Type
        | TokenError::UnknownKey { .. }
        | TokenError::Signature
        | TokenError::Claim => "invalid_token",
    }
}

/// Who asks. A credential that claims to be ours (a virtual key by its form, a token of a configured issuer) must be
/// valid even where anybody is let in; any other, a provider's own key for instance, says nothing.
///
/// What a key or token says counts most; trusted headers add what it leaves open and may not contradict it; the
/// certificate adds what both leave open.
///
/// # Errors
/// A credential of ours that is not valid, contradictions, or nothing at all where something is required.
pub fn identify(arrival: &Arrival<'_>, known: &Known<'_>, memory: &Memory) -> Result<Identified, IdentityError> {
    let now = memory.clock.seen(arrival.now);
    let proof = credentials::prove(arrival.headers, known, memory, now)?;
    let said = if arrival.is_trusted { Said::read(arrival.headers, known.settings)? } else { Said::default() };
    let mut found = Identified::default();
    found.caller.address = arrival.address;
    match proof {
        Some(Proof::Issued(key)) => by_key(&mut found, key),
        Some(Proof::Configured(name)) => {
            found.caller.key = Some(name);
            found.caller.kind = CallerKind::Key;
        }
        Some(Proof::Token(token)) => by_token(&mut found, &token),
        None => {}
    }
    by_headers(&mut found.caller, said)?;
    if let Some(certificate) = arrival.certificate {
        by_certificate(&mut found.caller, certificate, known.settings)?;
    }
    if found.caller.user.is_none() {
        // An application's key that nobody names a user for: limits per user count it as one.
        found.caller.user = found.key.as_ref().map(|key| Arc::clone(&key.name)).or_else(|| found.caller.key.clone());
    }
    if known.settings.require_key && found.caller.kind == CallerKind::Anonymous {
        return Err(IdentityError::Missing);
    }
    if found.caller.agent.is_none() {
        found.caller.agent = agent(arrival.headers).map(Arc::from);
    }
    Ok(found)
}

fn by_key(found: &mut Identified, key: Arc<IssuedKey>) {
    let caller = &mut found.caller;
    caller.tenant.clone_from(&key.tenant);
    caller.team.clone_from(&key.team);
    caller.user.clone_from(&key.user);
    caller.agent.clone_from(&key.agent);
    caller.key = Some(Arc::clone(&key.family));
    caller.kind = CallerKind::Key;
    found.until = key.expires;
    found.key = Some(key);
}

fn by_token(found: &mut Identified, token: &Verified) {
    let caller = &mut found.caller;
    caller.tenant.clone_from(&token.tenant);
    caller.team.clone_from(&token.team);
    caller.user = Some(Arc::clone(&token.user));
    caller.agent.clone_from(&token.agent);
    caller.groups = Arc::clone(&token.groups);
    caller.kind = CallerKind::Token;
    found.until = Some(token.until);
}

/// What trusted headers add.
fn by_headers(caller: &mut Caller, said: Said) -> Result<(), IdentityError> {
    fill(&mut caller.tenant, said.tenant, "tenant")?;
    fill(&mut caller.team, said.team, "team")?;
    let names_user = said.user.is_some() && caller.user.is_none();
    fill(&mut caller.user, said.user, "user")?;
    if names_user {
        caller.kind = CallerKind::TrustedHeader;
    }
    if caller.kind != CallerKind::Token && !said.groups.is_empty() {
        caller.groups = said.groups;
    }
    caller.agent = caller.agent.take().or(said.agent);
    Ok(())
}

/// What the client's certificate adds.
fn by_certificate(
    caller: &mut Caller,
    certificate: &ClientCertificate,
    settings: &Identity,
) -> Result<(), IdentityError> {
    let settings = &settings.certificates;
    let uses_spiffe = [settings.user, settings.agent, settings.tenant].into_iter().any(trusted::is_spiffe);
    let domain = certificate.trust_domain().unwrap_or_default();
    if uses_spiffe && !settings.trust_domains.is_empty() && !settings.trust_domains.iter().any(|one| one == domain) {
        return Err(IdentityError::TrustDomain);
    }
    fill(&mut caller.tenant, trusted::certificate_name(certificate, settings.tenant, false), "tenant")?;
    if caller.kind == CallerKind::Anonymous
        && let Some(user) = trusted::certificate_name(certificate, settings.user, true)
    {
        caller.user = Some(user);
        caller.kind = CallerKind::Certificate;
    }
    if caller.agent.is_none() {
        caller.agent = trusted::certificate_name(certificate, settings.agent, false);
    }
    Ok(())
}

/// Puts in what is open; what is there must be the same.
fn fill(place: &mut Option<Arc<str>>, value: Option<Arc<str>>, what: &'static str) -> Result<(), IdentityError> {
    match (place.as_ref(), value) {
        (Some(known), Some(value)) if *known != value => Err(IdentityError::Conflict(what)),
        (None, Some(value)) => {
            *place = Some(value);
            Ok(())
        }
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

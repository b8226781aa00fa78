//! Bearer tokens (JWT): whose they are, whether they are genuine, what they say. No I/O, no clock.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::claims::{self, Claims};
use super::identity_settings::{Identity, TokenIssuer};
use super::token_keys::{KeySet, KeyWish};

/// Most issuers.
pub const MAX_ISSUERS: usize = 64;

/// Why a token of a configured issuer is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is longer than `identity.max_token`.
    #[error("the token is too long")]
    TooLong,
    /// Its header or form is not that of a signed token.
    #[error("the token is malformed")]
    Malformed,
    /// An algorithm that is not allowed for its issuer.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// Its `typ` or `crit` header asks for what we do not do.
    #[error("the token's type is not accepted")]
    Type,
    /// It names a key we do not know; newer keys may have it.
    #[error("the token names an unknown key")]
    UnknownKey {
        /// Whose newer keys to wish for.
        issuer: Arc<str>,
    },
    /// The issuer's keys were never fetched.
    #[error("the issuer's keys are not available")]
    NoKeys {
        /// Whose keys to wish for.
        issuer: Arc<str>,
    },
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// Its time is over, or it is older than `max_age`.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// It is meant for others.
    #[error("the token is for another audience")]
    Audience,
    /// A claim that must be there is missing, or has another value.
    #[error("the token lacks a required claim")]
    Claim,
}

/// What a genuine token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its issuer.
    pub issuer: Arc<str>,
    /// The user.
    pub user: Arc<str>,
    /// Their groups.
    pub groups: Arc<[Arc<str>]>,
    /// Their tenant.
    pub tenant: Option<Arc<str>>,
    /// Their team.
    pub team: Option<Arc<str>>,
    /// The agent.
    pub agent: Option<Arc<str>>,
    /// Valid from this moment on, leeway included: Unix time in microseconds.
    pub from: i64,
    /// Valid until before this moment, leeway included.
    pub until: i64,
}

impl Verified {
    /// Whether it is (still) valid at `now`.
    ///
    /// # Errors
    /// It is not yet, or not any more.
    pub fn at(&self, now: i64) -> Result<(), TokenError> {
        if now >= self.until {
            return Err(TokenError::Expired);
        }
        if now < self.from { Err(TokenError::NotYet) } else { Ok(()) }
    }
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The configuration: a file or a shared secret.
    Given,
    /// A JWKS document at this address.
    Url(String),
    /// The discovery document at this address says where.
    Discovery(String),
}

/// One issuer, ready.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its `iss`.
    pub name: Arc<str>,
    /// Where its keys come from.
    pub source: KeySource,
    /// Further CAs (PEM) for fetching them.
    pub ca: Option<Arc<str>>,
    settings: TokenIssuer,
    algorithms: Vec<Algorithm>,
    keys: Option<Arc<KeySet>>,
}

/// How the files and variables that issuers name are read.
pub struct TokenSources<'a> {
    /// The text of a file, or why it cannot be read.
    pub file: &'a mut dyn FnMut(&Path) -> Result<String, String>,
    /// An environment variable that is set and not empty.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// What is wrong with an issuer: the key in `[[identity.tokens]]`, and the message.
pub type IssuerProblem = (usize, &'static str, String);

/// All issuers with their keys.
#[derive(Clone)]
pub struct TokenKeys {
    issuers: Arc<[Issuer]>,
    max_token: usize,
    /// Tells one state of issuers and keys from any other: what was verified under one counts only under it.
    stamp: u64,
    wish: Arc<KeyWish>,
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeys").field("issuers", &self.issuers).field("stamp", &self.stamp).finish()
    }
}

impl PartialEq for TokenKeys {
    /// Equal if the same tokens are believed for the same reasons.
    fn eq(&self, other: &Self) -> bool {
        let same =
            |(one, two): (&Issuer, &Issuer)| one.settings == two.settings && one.ca == two.ca && one.keys == two.keys;
        self.max_token == other.max_token
            && self.issuers.len() == other.issuers.len()
            && self.issuers.iter().zip(other.issuers.iter()).all(same)
    }
}

impl Default for TokenKeys {
    fn default() -> Self {
        Self { issuers: Arc::default(), max_token: 16 << 10, stamp: next_stamp(), wish: Arc::default() }
    }
}

fn next_stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

impl TokenKeys {
    /// Checks and prepares all issuers. Keys that were fetched for one of `before` stay, if they still come from the same
    /// place.
    ///
    /// # Errors
    /// Every problem.
    pub fn new(
        identity: &Identity,
        sources: &mut TokenSources<'_>,
        before: Option<&Self>,
    ) -> Result<Self, Vec<IssuerProblem>> {
        let mut problems = Vec::new();
        let mut issuers: Vec<Issuer> = Vec::new();
        if identity.tokens.len() > MAX_ISSUERS {
            problems.push((MAX_ISSUERS, "issuer", format!("there can be {MAX_ISSUERS} issuers")));
        }
        for (index, settings) in identity.tokens.iter().enumerate().take(MAX_ISSUERS) {
            if issuers.iter().any(|known| *known.name == *settings.issuer) {
                problems.push((index, "issuer", "another entry has the same issuer".to_owned()));
            }
            match super::token_check::issuer(settings, sources) {
                Ok(mut issuer) => {
                    if issuer.keys.is_none() {
                        let known = before.and_then(|before| before.issuer(&issuer.name));
                        let known = known.filter(|known| known.source == issuer.source);
                        issuer.keys = known.and_then(|known| known.keys.clone());
                    }
                    issuers.push(issuer);
                }
                Err(found) => problems.extend(found.into_iter().map(|(key, message)| (index, key, message))),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let wish = before.map(|before| Arc::clone(&before.wish)).unwrap_or_default();
        Ok(Self { issuers: issuers.into(), max_token: identity.max_token.len(), stamp: next_stamp(), wish })
    }

    /// The same in the place of `before`: keys that were fetched for its issuers stay, if they still come from the same
    /// place, and so does what is wished for.
    pub fn following(&self, before: &Self) -> Self {
        let mut issuers = self.issuers.to_vec();
        for issuer in issuers.iter_mut().filter(|issuer| issuer.keys.is_none()) {
            let known = before.issuer(&issuer.name).filter(|known| known.source == issuer.source);
            issuer.keys = known.and_then(|known| known.keys.clone());
        }
        Self { issuers: issuers.into(), wish: Arc::clone(&before.wish), stamp: next_stamp(), ..self.clone() }
    }

    /// The same with other keys for one issuer. `None` if nothing changes: no such issuer, or it has these keys.
    pub fn with_keys(&self, issuer: &str, keys: &Arc<KeySet>) -> Option<Self> {
        let known = self.issuer(issuer)?;
        if known.keys.as_ref() == Some(keys) {
            return None;
        }
        let mut issuers = self.issuers.to_vec();
        for known in issuers.iter_mut().filter(|known| *known.name == *issuer) {
            known.keys = Some(Arc::clone(keys));
        }
        Some(Self { issuers: issuers.into(), stamp: next_stamp(), ..self.clone() })
    }

    /// All issuers.
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Whether no tokens are accepted at all.
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Tells this state of issuers and keys from any other.
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    /// The wish for newer keys.
    pub fn wish(&self) -> &Arc<KeyWish> {
        &self.wish
    }

    /// Whether every issuer has keys.
    pub fn is_ready(&self) -> bool {
        self.issuers.iter().all(|issuer| issuer.keys.is_some())
    }

    fn issuer(&self, name: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| *issuer.name == *name)
    }

    /// What a token says, if it is genuine and valid at `now` (Unix time in microseconds). `None`: it is none of ours, for
    /// it has not the form of a token or names an issuer that is not configured.
    ///
    /// # Errors
    /// It names a configured issuer and is not believed.
    pub fn verify(&self, token: &[u8], now: i64) -> Option<Result<Verified, TokenError>> {
        if self.issuers.is_empty() {
            return None;
        }
        let token = std::str::from_utf8(token).ok()?;
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let claims = object(payload)?;
        let issuer = self.issuer(claims.get("iss")?.as_str()?)?;
        if token.len() > self.max_token {
            return Some(Err(TokenError::TooLong));
        }
        let verified = issuer
            .genuine(header, signed, signature)
            .and_then(|()| issuer.says(&claims))
            .and_then(|verified| verified.at(now).map(|()| verified));
        Some(verified)
    }
}

/// A part of a token that is a JSON object.
fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

impl Issuer {
    /// One that is checked.
    pub(super) fn new(
        settings: &TokenIssuer,
        source: KeySource,
        algorithms: Vec<Algorithm>,
        keys: Option<KeySet>,
        ca: Option<Arc<str>>,
    ) -> Self {
        let name = Arc::from(settings.issuer.as_str());
        Self { name, source, ca, settings: settings.clone(), algorithms, keys: keys.map(Arc::new) }
    }

    /// Its keys, once there are any.
    pub fn keys(&self) -> Option<&Arc<KeySet>> {
        self.keys.as_ref()
    }

    /// Whether this issuer signed it.
    fn genuine(&self, header: &str, signed: &str, signature: &str) -> Result<(), TokenError> {
        let header = object(header).ok_or(TokenError::Malformed)?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        // Extensions that must be understood (RFC 7515, 4.1.11): we understand none, not even `b64`.
        if header.contains_key("crit") {
            return Err(TokenError::Type);
        }
        if let Some(typ) = header.get("typ") {
            let typ = typ.as_str().ok_or(TokenError::Malformed)?;
            if !self.settings.types.iter().any(|accepted| same_type(accepted, typ)) {
                return Err(TokenError::Type);
            }
        }
        let algorithm = text("alg").and_then(|name| name.parse::<Algorithm>().ok()).ok_or(TokenError::Algorithm)?;
        if !self.algorithms.contains(&algorithm) {
            return Err(TokenError::Algorithm);
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.as_str()),
            Some(_) => return Err(TokenError::Malformed),
        };
        let issuer = || Arc::clone(&self.name);
        let keys = self.keys.as_ref().ok_or_else(|| TokenError::NoKeys { issuer: issuer() })?;
        let mut tried = false;
        for key in keys.candidates(kid, algorithm) {
            tried = true;
            if matches!(jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key, algorithm), Ok(true)) {
                return Ok(());
            }
        }
        let may_be_newer = self.source != KeySource::Given && (!tried || kid.is_none());
        Err(if may_be_newer { TokenError::UnknownKey { issuer: issuer() } } else { TokenError::Signature })
    }

    /// What its claims say.
    fn says(&self, claims: &Map<String, Value>) -> Result<Verified, TokenError> {
        let claims = Claims(claims);
        let settings = &self.settings;
        let audience = claims.texts("aud").ok_or(TokenError::Audience)?;
        if !audience.iter().any(|one| settings.audience.iter().any(|ours| ours == one)) {
            return Err(TokenError::Audience);
        }
        for (path, accepted) in &settings.required {
            if !claims.has(path, accepted) {
                return Err(TokenError::Claim);
            }
        }
        let (from, until) = self.window(&claims)?;
        let name = |path: &Option<String>| path.as_ref().map_or(Ok(None), |path| claims.name(path));
        let names = &settings.claims;
        let groups = names.groups.as_ref().map_or(Ok(Arc::default()), |path| claims.groups(path));
        Ok(Verified {
            issuer: Arc::clone(&self.name),
            user: claims.name(&names.user).ok().flatten().ok_or(TokenError::Claim)?,
            groups: groups.map_err(|claims::BadClaim| TokenError::Claim)?,
            tenant: name(&names.tenant).map_err(|claims::BadClaim| TokenError::Claim)?,
            team: name(&names.team).map_err(|claims::BadClaim| TokenError::Claim)?,
            agent: name(&names.agent).map_err(|claims::BadClaim| TokenError::Claim)?,
            from,
            until,
        })
    }

    /// From when until when it is valid, leeway included.
    fn window(&self, claims: &Claims<'_>) -> Result<(i64, i64), TokenError> {
        let micros = |time: std::time::Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let leeway = micros(self.settings.leeway.get());
        let time = |name| claims.time(name).map_err(|claims::BadClaim| TokenError::Claim);
        let issued = time("iat")?;
        let mut until = time("exp")?.ok_or(TokenError::Claim)?;
        if !self.settings.max_age.is_zero() {
            let oldest = issued.ok_or(TokenError::Claim)?.saturating_add(micros(self.settings.max_age.get()));
            until = until.min(oldest);
        }
        let from = time("nbf")?.into_iter().chain(issued).max().unwrap_or(i64::MIN);
        Ok((from.saturating_sub(leeway), until.saturating_add(leeway)))
    }
}

/// Media types are compared without case, and `application/` may be left out (RFC 7515, 4.1.9).
fn same_type(accepted: &str, found: &str) -> bool {
    let short = |name: &str| name.to_ascii_lowercase().trim_start_matches("application/").to_owned();
    short(accepted) == short(found)
}

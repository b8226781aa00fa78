//! What a request presents, and whether it is ours and valid.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName};

use super::{API_KEY, IdentityError, Known, Memory, X_API_KEY};
use crate::config::issued::{IssuedKey, KeyHash, KeyState, is_well_formed, looks_issued};
use crate::config::tokens::Verified;

/// Longest configured key that is looked for: what is longer is not worth a hash.
const MAX_KEY: usize = 4096;

/// A credential of ours that is valid.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// A virtual key.
    Issued(Arc<IssuedKey>),
    /// A key of the configuration, by its name.
    Configured(Arc<str>),
    /// A token.
    Token(Arc<Verified>),
}

/// The one credential of ours that a request presents, wherever SDKs put it. Credentials of others beside it do not
/// matter: they do not leave the gateway.
pub(super) fn prove(
    headers: &HeaderMap,
    known: &Known<'_>,
    memory: &Memory,
    now: i64,
) -> Result<Option<Proof>, IdentityError> {
    let mut found: Option<Proof> = None;
    for (name, is_authorization) in [(AUTHORIZATION, true), (X_API_KEY, false), (API_KEY, false)] {
        let Some(value) = single(headers, &name)? else { continue };
        let Some(presented) = (if is_authorization { bearer(value) } else { Some(value) }) else { continue };
        let Some(proof) = check(presented, known, memory, now)? else { continue };
        match &found {
            Some(before) if *before != proof => return Err(IdentityError::Several),
            Some(_) | None => found = Some(proof),
        }
    }
    Ok(found)
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, IdentityError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        Err(IdentityError::Several)
    } else {
        Ok(first.map(|value| value.as_bytes().trim_ascii()))
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, credential) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| credential.trim_ascii())
}

fn check(presented: &[u8], known: &Known<'_>, memory: &Memory, now: i64) -> Result<Option<Proof>, IdentityError> {
    if looks_issued(presented) {
        return issued(presented, known, now).map(Some);
    }
    if let Some(outcome) = memory.tokens.verify(known.tokens, presented, now) {
        return Ok(Some(Proof::Token(outcome?)));
    }
    if presented.is_empty() || presented.len() > MAX_KEY || known.settings.keys.is_empty() {
        return Ok(None);
    }
    Ok((known.configured)(KeyHash::of(presented).as_bytes()).map(Proof::Configured))
}

/// A wrong checksum is refused before anything is hashed or looked up.
fn issued(presented: &[u8], known: &Known<'_>, now: i64) -> Result<Proof, IdentityError> {
    if !is_well_formed(presented) {
        return Err(IdentityError::InvalidKey);
    }
    let hash = KeyHash::of(presented);
    let Some(key) = known.issued.find(&hash) else {
        return (known.configured)(hash.as_bytes()).map(Proof::Configured).ok_or(IdentityError::InvalidKey);
    };
    match key.state(now) {
        KeyState::Live => Ok(Proof::Issued(Arc::clone(key))),
        KeyState::NotYet => Err(IdentityError::KeyNotYet),
        KeyState::Expired => Err(IdentityError::ExpiredKey),
        KeyState::Revoked => Err(IdentityError::RevokedKey),
    }
}

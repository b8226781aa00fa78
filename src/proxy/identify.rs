//! Address, key, header and certificate -> `Caller`.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName};

use super::listen::{Peer, client_address};
use super::refuse::Refusal;
use crate::config::Snapshot;
use crate::types::{Caller, CallerKind};

pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(super) const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Longest user name taken from a trusted header.
const MAX_USER: usize = 256;

/// Where a request comes from, as far as those in between are believed.
pub(super) fn address(snapshot: &Snapshot, peer: &Peer, headers: &HeaderMap) -> Option<IpAddr> {
    client_address(peer, headers, &snapshot.trusted)
}

/// Who asks, from `address`.
///
/// # Errors
/// When a key is required and none of ours was presented.
pub(super) fn caller(
    snapshot: &Snapshot,
    peer: &Peer,
    address: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<Caller, Refusal> {
    let identity = &snapshot.settings.identity;
    let mut caller = Caller { address, ..Caller::default() };
    if let Some(subject) = peer.tls.as_ref().and_then(|tls| tls.client_subject.clone()) {
        caller.user = Some(subject);
        caller.kind = CallerKind::Certificate;
    }
    if let Some(name) = presented(headers).and_then(|key| snapshot.keys.find(key)) {
        caller.user = Some(Arc::clone(name));
        caller.key = Some(Arc::clone(name));
        caller.kind = CallerKind::Key;
    }
    if let Some(user) = trusted_user(snapshot, peer, headers) {
        caller.user = Some(user);
        caller.kind = CallerKind::TrustedHeader;
    }
    if identity.require_key && caller.kind == CallerKind::Anonymous {
        return Err(Refusal::unauthorized());
    }
    Ok(caller)
}

/// The credential, wherever SDKs put it.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        return scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii());
    }
    headers.get(X_API_KEY).or_else(|| headers.get(API_KEY)).map(|value| value.as_bytes().trim_ascii())
}

/// The user a trusted peer names. Only from a listed proxy or over a Unix socket.
fn trusted_user(snapshot: &Snapshot, peer: &Peer, headers: &HeaderMap) -> Option<Arc<str>> {
    let name = snapshot.settings.identity.user_header.as_deref()?;
    let trusted = peer.local
        || peer
            .socket
            .is_some_and(|socket| snapshot.trusted.iter().any(|net| net.contains(&socket.ip().to_canonical())));
    let value = trusted.then(|| headers.get(name))??.to_str().ok()?.trim();
    (!value.is_empty() && value.len() <= MAX_USER).then(|| Arc::from(value))
}

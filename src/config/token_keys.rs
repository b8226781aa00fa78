//! The keys tokens are verified with, and the wish for newer ones.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::types::Secret;

/// Most keys of one issuer; further ones are left out.
pub const MAX_KEYS: usize = 32;

/// Keys tried for a token that names none.
const MAX_TRIED: usize = 8;

/// Longest id of a key.
const MAX_KID: usize = 256;

/// Shortest shared secret, in bytes (RFC 7518, 3.2).
const MIN_SECRET: usize = 32;

/// Why keys were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a JSON Web Key Set.
    #[error("it is not a JSON Web Key Set")]
    NotASet,
    /// No key of it can verify a signature.
    #[error("it has no key that verifies signatures (RSA, EC P-256 or P-384, Ed25519; use = sig)")]
    NoUsableKey,
    /// A shared secret that can be guessed.
    #[error("a shared secret has at least 32 bytes")]
    ShortSecret,
}

/// One key.
#[derive(Clone)]
struct VerifyKey {
    kid: Option<String>,
    /// The only algorithm it may be used with, where the set says so.
    only: Option<Algorithm>,
    key: DecodingKey,
}

/// The keys of one issuer.
#[derive(Clone)]
pub struct KeySet {
    keys: Vec<VerifyKey>,
    left_out: usize,
    print: u64,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).field("left_out", &self.left_out).finish()
    }
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        let kids = |set: &Self| set.keys.iter().map(|key| key.kid.clone()).collect::<Vec<_>>();
        self.print == other.print && kids(self) == kids(other)
    }
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

impl KeySet {
    /// From a JSON Web Key Set (RFC 7517). Keys that are no public keys for signatures are left out: other uses, unknown
    /// kinds, shared secrets, which have no business in a public document.
    ///
    /// # Errors
    /// It is none, or no key is left.
    pub fn from_jwks(text: &[u8]) -> Result<Self, KeyError> {
        let raw: RawSet = serde_json::from_slice(text).map_err(|_| KeyError::NotASet)?;
        let count = raw.keys.len();
        let mut print = DefaultHasher::new();
        let mut keys = Vec::new();
        for value in raw.keys.into_iter().take(MAX_KEYS.saturating_mul(4)) {
            let text = value.to_string();
            if let Some(key) = usable(value).filter(|_| keys.len() < MAX_KEYS) {
                text.hash(&mut print);
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err(KeyError::NoUsableKey);
        }
        let left_out = count.saturating_sub(keys.len());
        Ok(Self { keys, left_out, print: print.finish() })
    }

    /// From a shared secret.
    ///
    /// # Errors
    /// It is shorter than 32 bytes.
    pub fn from_secret(secret: &Secret) -> Result<Self, KeyError> {
        let bytes = secret.expose().as_bytes();
        if bytes.len() < MIN_SECRET {
            return Err(KeyError::ShortSecret);
        }
        let mut print = DefaultHasher::new();
        bytes.hash(&mut print);
        let key = VerifyKey { kid: None, only: None, key: DecodingKey::from_secret(bytes) };
        Ok(Self { keys: vec![key], left_out: 0, print: print.finish() })
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys of the document were left out.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The keys that may have signed a token with this header: those of its `kid`, or, if it names none, the first few of
    /// the right kind. A key of another kind than the algorithm's is never among them, so that a public key cannot be
    /// taken for a shared secret.
    pub(super) fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let shared = algorithm.family() == AlgorithmFamily::Hmac;
        self.keys
            .iter()
            .filter(move |key| kid.is_none() || shared || key.kid.as_deref() == kid)
            .filter(move |key| key.key.family() == algorithm.family() && key.only.is_none_or(|only| only == algorithm))
            .map(|key| &key.key)
            .take(MAX_TRIED)
    }
}

fn usable(value: Value) -> Option<VerifyKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return None;
    }
    let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
    if !jwk.common.key_operations.as_ref().is_none_or(verifies) {
        return None;
    }
    if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
        return None;
    }
    let only = match jwk.common.key_algorithm {
        Some(named) => Some(named.to_string().parse().ok()?),
        None => None,
    };
    if jwk.common.key_id.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    if key.family() == AlgorithmFamily::Hmac {
        return None;
    }
    Some(VerifyKey { kid: jwk.common.key_id, only, key })
}

/// Whether keys may be fetched from there: over TLS, or from this machine.
pub fn is_safe_url(url: &str) -> bool {
    let Ok(uri) = url.parse::<hyper::Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    if authority.as_str().contains('@') || url.contains('#') {
        return false;
    }
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()) || host == "localhost"
        }
        Some(_) | None => false,
    }
}

/// The wish for newer keys: requests utter it when a token names a key nobody knows, the one who fetches fulfils it. It
/// outlives every set of keys.
#[derive(Debug)]
pub struct KeyWish {
    /// Issuers whose keys are wished for; never more than there are issuers.
    wanted: Mutex<BTreeSet<Arc<str>>>,
    uttered: Notify,
    /// Whether anybody fetches at all.
    is_heard: AtomicBool,
    /// Issuers for which wishing is no use now: their keys were fetched a moment ago.
    satisfied: Mutex<BTreeSet<Arc<str>>>,
    /// Counts the wishes that were answered.
    answered: watch::Sender<u64>,
}

impl Default for KeyWish {
    fn default() -> Self {
        Self {
            wanted: Mutex::default(),
            uttered: Notify::new(),
            is_heard: AtomicBool::new(false),
            satisfied: Mutex::default(),
            answered: watch::Sender::new(0),
        }
    }
}

impl KeyWish {
    /// Asks for newer keys of an issuer and waits until there may be some, at most `patience`. `false`, at once, if nobody
    /// fetches or that issuer's keys were fetched a moment ago; `false` also when patience ends.
    pub async fn ask(&self, issuer: &Arc<str>, patience: Duration) -> bool {
        if patience.is_zero() || !self.is_heard.load(Ordering::Relaxed) || self.is_satisfied(issuer) {
            return false;
        }
        let mut answered = self.answered.subscribe();
        self.utter(issuer);
        let satisfied = answered.wait_for(|_| self.is_satisfied(issuer));
        matches!(tokio::time::timeout(patience, satisfied).await, Ok(Ok(_)))
    }

    fn utter(&self, issuer: &Arc<str>) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(issuer));
        self.uttered.notify_one();
    }

    fn is_satisfied(&self, issuer: &Arc<str>) -> bool {
        self.satisfied.lock().unwrap_or_else(PoisonError::into_inner).contains(issuer)
    }

    /// For the one who fetches: waits until something is wished for, or the issuers have changed.
    pub async fn uttered(&self) {
        self.is_heard.store(true, Ordering::Relaxed);
        self.uttered.notified().await;
    }

    /// For the one who fetches: the issuers whose keys are wished for.
    pub fn take(&self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// For the one who fetches: an attempt was made, well or not, and whoever waits may look again. Until
    /// [`KeyWish::reopen`], wishes for this issuer are not heard.
    pub fn fulfil(&self, issuer: &Arc<str>) {
        self.satisfied.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(issuer));
        self.answered.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// For the one who fetches: wishes for this issuer are heard again.
    pub fn reopen(&self, issuer: &Arc<str>) {
        self.satisfied.lock().unwrap_or_else(PoisonError::into_inner).remove(issuer);
    }

    /// Wakes the one who fetches: the issuers have changed.
    pub fn changed(&self) {
        self.uttered.notify_one();
    }
}

//! Tokens that were verified, and the latest time seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::config::tokens::{TokenError, TokenKeys, Verified};

/// The latest time that any request came at.
#[derive(Debug)]
pub struct LatestTime(AtomicI64);

impl Default for LatestTime {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl LatestTime {
    /// `now`, or the latest time seen before if the clock went back. Unix time in microseconds.
    ///
    /// A clock that once stood far in the future therefore ends what expires until then, until this process starts again:
    /// the error is on the safe side.
    pub fn seen(&self, now: i64) -> i64 {
        self.0.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

/// Tokens that were verified, by the SHA-256 of the whole token: two tokens with the same beginning are two tokens.
/// Bounded; the least recently used are forgotten.
#[derive(Debug)]
pub struct TokenCache {
    verified: Option<Cache<[u8; 32], Kept>>,
}

/// What was verified, and under which keys.
#[derive(Debug, Clone)]
struct Kept {
    stamp: u64,
    token: Arc<Verified>,
}

impl TokenCache {
    /// For so many tokens; 0: none is remembered.
    pub fn new(capacity: usize) -> Self {
        let verified = (capacity > 0).then(|| {
            let capacity = u64::try_from(capacity).unwrap_or(u64::MAX);
            Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru()).build()
        });
        Self { verified }
    }

    /// As [`TokenKeys::verify`]. Only genuine tokens are remembered, and they are believed only as long as issuers and
    /// keys are those that they were verified with, and within their own time.
    pub fn verify(&self, keys: &TokenKeys, token: &[u8], now: i64) -> Option<Result<Arc<Verified>, TokenError>> {
        if keys.is_empty() || !may_be_token(token) {
            return None;
        }
        let Some(cache) = &self.verified else {
            return Some(keys.verify(token, now)?.map(Arc::new));
        };
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(kept) = cache.get(&digest).filter(|kept| kept.stamp == keys.stamp()) {
            return Some(kept.token.at(now).map(|()| kept.token));
        }
        let outcome = keys.verify(token, now)?.map(Arc::new);
        if let Ok(token) = &outcome {
            cache.insert(digest, Kept { stamp: keys.stamp(), token: Arc::clone(token) });
        }
        Some(outcome)
    }
}

/// A signed token has two dots; keys of providers have none.
fn may_be_token(presented: &[u8]) -> bool {
    presented.iter().filter(|byte| **byte == b'.').count() == 2
}

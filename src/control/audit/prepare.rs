//! The costly part of verifying records, which needs no order: reading and hashing, on every core.

use super::chain::{Body, Hash, commitment, hash};
use super::merkle::leaf;
use super::parallel;
use crate::types::unhex;

/// A record as it was found. What stands beside the body is compared with it.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The number it is filed under, where there is a file it could be taken out of; in a text, lines just follow.
    pub seq: Option<i64>,
    /// Its canonical JSON.
    pub body: &'a str,
    /// Its hash, unless it is none.
    pub hash: Option<Hash>,
    /// Salt, unless it is none, and canonical JSON of its personal part.
    pub personal: Option<(Option<Hash>, &'a str)>,
    /// The columns that repeat parts of the body, in a store.
    pub columns: Option<Columns<'a>>,
}

/// Columns that repeat parts of a body.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// The entry's id.
    pub id: &'a str,
    /// Unix time in microseconds.
    pub time: i64,
    /// What kind of thing happened.
    pub kind: &'a str,
    /// Who did it.
    pub actor: &'a str,
    /// The request it is about.
    pub request: Option<&'a str>,
}

/// What it takes to verify a record, beside its place in the chain: the costly part, which needs no order.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    /// The hash of the record before that was assumed.
    pub(super) before: Hash,
    pub(super) body: Option<Body<'a>>,
    pub(super) computed: Hash,
    pub(super) leaf: Hash,
    /// Whether the personal part is what the body commits to.
    pub(super) committed: bool,
}

/// Computes it, given the hash of the record before.
pub fn prepare<'a>(found: &Found<'a>, before: Hash) -> Prepared<'a> {
    let body = Body::read(found.body);
    let computed = hash(&before, found.body.as_bytes());
    let said = body.as_ref().and_then(|body| body.commitment.as_deref()).and_then(unhex);
    let committed = match found.personal {
        Some((Some(salt), personal)) => said == Some(commitment(&salt, personal.as_bytes())),
        Some((None, _)) | None => false,
    };
    Prepared { before, body, computed, leaf: leaf(&computed), committed }
}

/// `prepare` for records that follow each other, on every core; each is held against the hash that the one before claims.
pub fn prepare_all<'a>(found: &[Found<'a>], before: Hash) -> Vec<Prepared<'a>> {
    let claimed = std::iter::once(before).chain(found.iter().map(|one| one.hash.unwrap_or_default()));
    let pairs: Vec<(&Found<'a>, Hash)> = found.iter().zip(claimed).collect();
    parallel::map(&pairs, |(found, before)| prepare(found, *before))
}

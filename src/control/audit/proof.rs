//! The proof that one record is in the chain, for somebody who has nothing but the public key.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AuditError;
use super::batch::read_checkpoint;
use super::canonical;
use super::chain::{Body, GENESIS, Hash, hash};
use super::checkpoint::Signed;
use super::keys::KeyRing;
use super::merkle;
use crate::store::Database;
use crate::types::{hex, unhex};

/// A record, the hashes that lead from it to a checkpoint, and the checkpoint's signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The version of this form: 1.
    pub v: u32,
    /// The record, as it was hashed in canonical form.
    pub record: Value,
    /// The hash of the record before.
    pub before: String,
    /// The hashes beside the way to the Merkle root, lowest first.
    pub path: Vec<String>,
    /// The checkpoint, as it was signed in canonical form.
    pub checkpoint: Value,
    /// Ed25519 over the checkpoint.
    pub signature: String,
}

/// What a proof proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The record's number.
    pub seq: i64,
    /// When it happened: Unix time in microseconds.
    pub time: i64,
    /// When it was signed: Unix time in microseconds.
    pub signed: i64,
    /// The key that signed.
    pub key: String,
}

impl Proof {
    /// Makes the proof for a record that is in the store.
    ///
    /// # Errors
    /// `Missing` when there is no such record, or no checkpoint covers it yet.
    pub async fn make(database: &Database, seq: i64) -> Result<Self, AuditError> {
        let missing = |what: &str| AuditError::Missing(format!("record {seq} {what}"));
        let head = database.audit_head().await?;
        if seq < 1 || seq > head.seq {
            return Err(missing("does not exist"));
        }
        if seq <= head.archived {
            return Err(missing("was moved to a segment file, which is signed as a whole"));
        }
        let stored = database.audit_checkpoints(seq.saturating_sub(1), 1).await?;
        let signed = read_checkpoint(stored.first().ok_or_else(|| missing("is not covered by a checkpoint yet"))?)?;
        let from = signed.checkpoint.from;
        // One more in front: its hash comes before that of the first.
        let after = from.saturating_sub(2).max(0);
        let count = u32::try_from(signed.checkpoint.seq.saturating_sub(after)).unwrap_or(u32::MAX);
        let mut hashes: Vec<Hash> = Vec::new();
        let mut before = if from == 1 { GENESIS } else { head.archived_hash };
        let mut record = None;
        for row in database.audit_page(after, count).await?.into_iter().filter(|row| row.seq <= signed.checkpoint.seq) {
            let stored = Hash::try_from(row.hash.as_slice()).map_err(|_| missing("has a damaged neighbour"))?;
            if row.seq < from {
                before = stored;
                continue;
            }
            if row.seq == seq {
                record = Some((row.body, hashes.last().copied().unwrap_or(before)));
            }
            hashes.push(stored);
        }
        let (body, before) = record.ok_or_else(|| missing("is missing"))?;
        let index = usize::try_from(seq.saturating_sub(from)).unwrap_or(usize::MAX);
        let path = merkle::path(&hashes, index).ok_or_else(|| missing("has missing neighbours"))?;
        let read = |text: &str| serde_json::from_str(text).map_err(|_| missing("cannot be read"));
        let proof = Self {
            v: 1,
            record: read(&body)?,
            before: hex(&before),
            path: path.iter().map(|hash| hex(hash)).collect(),
            checkpoint: read(&signed.body)?,
            signature: hex(&signed.signature),
        };
        Ok(proof)
    }

    /// Checks it with nothing but keys.
    ///
    /// # Errors
    /// `Damaged`, with what is wrong.
    pub fn verify(&self, keys: &KeyRing) -> Result<Proven, AuditError> {
        let wrong = |what: &str| AuditError::Damaged(what.to_owned());
        let body = canonical::to_string(&self.record);
        let record = Body::read(&body).ok_or_else(|| wrong("the record cannot be read"))?;
        let signed = Signed::from_parts(&canonical::to_string(&self.checkpoint), &self.signature)
            .ok_or_else(|| wrong("the checkpoint cannot be read"))?;
        match signed.verifies(keys) {
            None => return Err(wrong("the checkpoint is signed with a key that was not given")),
            Some(false) => return Err(wrong("the signature is wrong")),
            Some(true) => {}
        }
        let checkpoint = &signed.checkpoint;
        let before: Hash = unhex(&self.before).ok_or_else(|| wrong("the hash before the record cannot be read"))?;
        let path: Option<Vec<Hash>> = self.path.iter().map(|hash| unhex(hash)).collect();
        let path = path.ok_or_else(|| wrong("the path cannot be read"))?;
        let size = |number: i64| u64::try_from(number).ok();
        let index = size(record.seq.saturating_sub(checkpoint.from)).ok_or_else(|| wrong("the record is older"))?;
        let count = size(checkpoint.seq.saturating_sub(checkpoint.from).saturating_add(1)).unwrap_or(0);
        let root = merkle::climb(&hash(&before, body.as_bytes()), index, count, &path);
        if root != Some(checkpoint.root) {
            return Err(wrong("the record is not the one that was signed"));
        }
        Ok(Proven { seq: record.seq, time: record.time, signed: checkpoint.time, key: checkpoint.key.clone() })
    }
}

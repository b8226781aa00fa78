//! A signed checkpoint: what the chain was at a moment, so that nobody can later say it was something else.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::canonical;
use super::chain::{Hash, integer, sha256};
use super::keys::{KeyRing, PublicKey, SigningKey};
use crate::types::{hex, unhex};

/// What a signature of a checkpoint is for.
const CONTEXT: &str = "portcullis-audit-checkpoint-v1";
/// What a signature that introduces a key is for.
const KEY_CONTEXT: &str = "portcullis-audit-key-v1";

/// What the chain was at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The number of the first record since the checkpoint before.
    pub from: i64,
    /// The number of the last record it covers.
    pub seq: i64,
    /// That record's hash.
    pub head: Hash,
    /// The Merkle root over the hashes of the records `from..=seq`.
    pub root: Hash,
    /// The hash of the checkpoint before; zeros for the first.
    pub previous: Hash,
    /// When: Unix time in microseconds.
    pub time: i64,
    /// The store it is about, a random id made with the chain.
    pub store: String,
    /// Which replica made it.
    pub replica: String,
    /// The id of the key that signed.
    pub key: String,
}

/// A checkpoint and its signature, as they are stored and written to files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// Its canonical JSON.
    pub body: String,
    /// Ed25519 over the canonical JSON.
    pub signature: [u8; 64],
}

impl Checkpoint {
    fn canonical(&self) -> String {
        let mut out = String::with_capacity(512);
        out.push_str("{\"from\":");
        canonical::integer(&mut out, self.from);
        out.push_str(",\"head\":");
        canonical::text(&mut out, &hex(&self.head));
        out.push_str(",\"key\":");
        canonical::text(&mut out, &self.key);
        out.push_str(",\"previous\":");
        canonical::text(&mut out, &hex(&self.previous));
        out.push_str(",\"replica\":");
        canonical::text(&mut out, &self.replica);
        out.push_str(",\"root\":");
        canonical::text(&mut out, &hex(&self.root));
        out.push_str(",\"seq\":");
        canonical::integer(&mut out, self.seq);
        out.push_str(",\"store\":");
        canonical::text(&mut out, &self.store);
        out.push_str(",\"time\":");
        canonical::integer(&mut out, self.time);
        out.push_str(",\"v\":1}");
        out
    }

    /// Signs it. `key` is set to the id of the key.
    pub fn sign(mut self, key: &SigningKey) -> Signed {
        self.key = key.public().id();
        let body = self.canonical();
        let signature = key.sign(CONTEXT, body.as_bytes());
        Signed { checkpoint: self, body, signature }
    }
}

impl Signed {
    /// Its hash: what the next checkpoint names.
    pub fn hash(&self) -> Hash {
        sha256(self.body.as_bytes())
    }

    /// Whether a believed key signed it; `None` when its key is not believed.
    pub fn verifies(&self, keys: &KeyRing) -> Option<bool> {
        let key = keys.find(&self.checkpoint.key)?;
        Some(key.verifies(CONTEXT, self.body.as_bytes(), &self.signature))
    }

    /// One line of JSON, without a line break.
    pub fn to_line(&self) -> String {
        format!("{{\"checkpoint\":{},\"signature\":\"{}\"}}", self.body, hex(&self.signature))
    }

    /// Reads what `to_line` writes.
    pub fn from_line(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Line<'a> {
            #[serde(borrow)]
            checkpoint: &'a RawValue,
            #[serde(borrow)]
            signature: Cow<'a, str>,
        }
        let line: Line<'_> = serde_json::from_str(line).ok()?;
        Self::from_parts(line.checkpoint.get(), &line.signature)
    }

    /// From its canonical JSON and its signature in hexadecimal digits.
    pub fn from_parts(body: &str, signature: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(deserialize_with = "integer")]
            from: i64,
            #[serde(borrow)]
            head: Cow<'a, str>,
            key: String,
            #[serde(borrow)]
            previous: Cow<'a, str>,
            replica: String,
            #[serde(borrow)]
            root: Cow<'a, str>,
            #[serde(deserialize_with = "integer")]
            seq: i64,
            store: String,
            #[serde(deserialize_with = "integer")]
            time: i64,
        }
        let fields: Fields<'_> = serde_json::from_str(body).ok()?;
        let checkpoint = Checkpoint {
            from: fields.from,
            seq: fields.seq,
            head: unhex(&fields.head)?,
            root: unhex(&fields.root)?,
            previous: unhex(&fields.previous)?,
            time: fields.time,
            store: fields.store,
            replica: fields.replica,
            key: fields.key,
        };
        // What was signed is the canonical form of exactly these fields.
        (checkpoint.canonical() == body).then_some(())?;
        Some(Self { checkpoint, body: body.to_owned(), signature: unhex(signature)? })
    }
}

/// What is signed when one key introduces another.
fn introduction_text(new: &PublicKey, store: &str) -> String {
    format!("{}\n{store}", new.to_hex())
}

/// The old key's word for the new one, for one store.
pub fn introduce(old: &SigningKey, new: &PublicKey, store: &str) -> [u8; 64] {
    old.sign(KEY_CONTEXT, introduction_text(new, store).as_bytes())
}

/// Whether `old` introduced `new`.
pub fn introduced(old: &PublicKey, new: &PublicKey, store: &str, signature: &[u8]) -> bool {
    old.verifies(KEY_CONTEXT, introduction_text(new, store).as_bytes(), signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_its_line_and_any_changed_byte_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::open(directory.path()).unwrap();
        let keys = KeyRing::of_directory(directory.path()).unwrap();
        let signed = Checkpoint {
            from: 1,
            seq: 9,
            head: [1; 32],
            root: [2; 32],
            previous: [0; 32],
            time: 5,
            store: "store".to_owned(),
            replica: "a".to_owned(),
            key: String::new(),
        }
        .sign(&key);
        let line = signed.to_line();
        let read = Signed::from_line(&line).unwrap();
        assert_eq!(read, signed);
        assert_eq!(read.verifies(&keys), Some(true));
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= 1;
            let good = String::from_utf8(bytes).ok().and_then(|line| Signed::from_line(&line));
            assert_ne!(good.and_then(|signed| signed.verifies(&keys)), Some(true), "byte {at}");
        }
    }
}

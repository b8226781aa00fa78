//! Gateway keys: kept as SHA-256 only, looked up by digest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::check::Check;
use super::problem::KeyPath;
use super::settings::Identity;
use crate::types::unhex;

/// Who a presented key belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyTable(HashMap<[u8; 32], Arc<str>>);

impl KeyTable {
    /// The name of the key whose SHA-256 is `digest`.
    ///
    /// What timing tells is about the digest of a guess, which says nothing of the key; the final comparison takes the
    /// same time wherever digests differ.
    pub fn lookup(&self, digest: &[u8; 32]) -> Option<&Arc<str>> {
        let (known, name) = self.0.get_key_value(digest)?;
        bool::from(known.ct_eq(digest)).then_some(name)
    }

    /// The name of a key as a client presents it.
    pub fn find(&self, presented: &[u8]) -> Option<&Arc<str>> {
        if self.0.is_empty() { None } else { self.lookup(&digest(presented)) }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// SHA-256.
pub fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Checks names and digests.
pub(super) fn check(check: &mut Check<'_>, identity: &Identity) -> KeyTable {
    let mut keys = HashMap::new();
    let mut names = BTreeMap::new();
    for (index, key) in identity.keys.iter().enumerate() {
        let at = KeyPath::of(&["identity", "keys"]).index(index);
        if key.name.trim().is_empty() || key.name.chars().any(char::is_control) || key.name.len() > 128 {
            check.problem(&at.key("name"), "a key's name has 1 to 128 bytes, no control characters");
        } else if let Some(first) = names.insert(&key.name, index) {
            check.problem(
                &at.key("name"),
                format!("`{}` is also the name of key {}", key.name, first.saturating_add(1)),
            );
        }
        let Some(digest) = unhex(&key.sha256.to_ascii_lowercase()) else {
            check.problem(
                &at.key("sha256"),
                "must be the SHA-256 of the key: 64 hex digits (`portcullis config keygen`)",
            );
            continue;
        };
        if keys.insert(digest, Arc::from(key.name.as_str())).is_some() {
            check.problem(&at.key("sha256"), "another key has the same digest");
        }
    }
    KeyTable(keys)
}

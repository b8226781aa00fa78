//! What a model said about texts: a history that was judged is not judged again. Keyed like the verdict cache, so that
//! nobody can make one text pass for another, and nobody can learn what others asked.

use blake3::Hasher;
use moka::sync::Cache;

use super::{Opinion, Text, Who};

pub(super) type Key = [u8; blake3::OUT_LEN];

/// The outcomes of one model. It goes when the model goes.
#[derive(Debug)]
pub(super) struct Memory {
    known: Option<Cache<Key, Opinion>>,
    secret: Key,
}

impl Memory {
    /// Room for so many outcomes; 0 switches it off.
    pub(super) fn new(entries: usize) -> Self {
        let known = (entries > 0).then(|| Cache::builder().max_capacity(entries as u64).build());
        let mut secret = Hasher::new();
        secret.update(uuid::Uuid::new_v4().as_bytes()).update(uuid::Uuid::new_v4().as_bytes());
        Self { known, secret: secret.finalize().into() }
    }

    /// The key of a text; `None` when nothing is remembered.
    pub(super) fn key(&self, who: Who<'_>, text: &Text<'_>) -> Option<Key> {
        self.known.as_ref()?;
        let mut hasher = Hasher::new_keyed(&self.secret);
        hasher.update(who.tenant.unwrap_or_default().as_bytes()).update(&[0]);
        hasher.update(text.role.name().as_bytes()).update(&[0]);
        // Of a long text, what is read depends on it.
        hasher.update(&(text.focus.len() as u64).to_le_bytes());
        for range in &text.focus {
            hasher.update(&(range.start as u64).to_le_bytes());
        }
        hasher.update(text.text.as_bytes());
        Some(hasher.finalize().into())
    }

    pub(super) fn recall(&self, key: &Key) -> Option<Opinion> {
        self.known.as_ref()?.get(key)
    }

    pub(super) fn remember(&self, key: Key, opinion: Opinion) {
        if let Some(known) = &self.known {
            known.insert(key, opinion);
        }
    }
}

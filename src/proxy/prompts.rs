//! What answers are compared with: an index per prompt, made once for as long as the prompt stays the same.
//!
//! The key is a keyed BLAKE3 over the texts, so that nobody can make one prompt pass for another. An index depends on
//! nothing else: it outlives a reload of the rules.

use std::sync::Arc;

use blake3::Hasher;
use moka::sync::Cache;

use crate::detect::leak::{Known, MAX_PROMPT};

/// Shorter prompts say too little to be known by.
const WORTH_KNOWING: usize = 48;

/// What an entry costs beside its index, in bytes.
const ENTRY: usize = 256;

type Key = [u8; blake3::OUT_LEN];

/// Remembers the indexes of prompts. Shared by all workers.
pub struct PromptCache {
    /// `None`: switched off, and every prompt is indexed anew.
    known: Option<Cache<Key, Option<Arc<Known>>>>,
    secret: Key,
}

impl PromptCache {
    /// Room for indexes of so many bytes; 0 switches it off. `secret` keys the hash and must be random.
    pub fn new(bytes: u64, secret: Key) -> Self {
        let weight = |_: &Key, known: &Option<Arc<Known>>| {
            let index = known.as_ref().map_or(0, |known| known.memory());
            u32::try_from(ENTRY + index).unwrap_or(u32::MAX)
        };
        let known = (bytes > 0).then(|| Cache::builder().weigher(weight).max_capacity(bytes).build());
        Self { known, secret }
    }

    /// The index of the texts of one prompt; `None` where they say too little.
    pub(super) fn of<'t>(&self, texts: impl Iterator<Item = &'t str> + Clone) -> Option<Arc<Known>> {
        if texts.clone().map(str::len).sum::<usize>() < WORTH_KNOWING {
            return None;
        }
        let index = || Known::of(texts.clone()).map(Arc::new);
        let Some(known) = &self.known else { return index() };
        let mut hasher = Hasher::new_keyed(&self.secret);
        let mut left = MAX_PROMPT;
        for text in texts.clone() {
            // What is not indexed need not be hashed.
            let part = text.as_bytes().get(..text.len().min(left)).unwrap_or_default();
            left -= part.len();
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        known.get_with(hasher.finalize().into(), index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_indexed_once_and_a_short_one_never() {
        let text = "You are a florist in Ghent. Recommend seasonal flowers first. Never promise delivery before noon. \
            Ask the user for a postcode.";
        let cache = PromptCache::new(1 << 20, [7; 32]);
        let first = cache.of([text].into_iter()).unwrap();
        assert!(Arc::ptr_eq(&first, &cache.of([text].into_iter()).unwrap()));
        let other = cache.of([text, "Be brief."].into_iter()).unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(cache.of(["Be kind."].into_iter()).is_none());
        assert!(PromptCache::new(0, [7; 32]).of([text].into_iter()).is_some());
    }
}

//! Requests in flight, per key: a slot is given back when it is dropped.

use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// Counts what is in flight for each key. Only keys with something in flight are remembered.
pub struct Concurrency<K: Hash + Eq + Clone>(Arc<DashMap<K, u32>>);

impl<K: Hash + Eq + Clone> Default for Concurrency<K> {
    fn default() -> Self {
        Self(Arc::new(DashMap::new()))
    }
}

/// One request in flight.
pub struct Slot<K: Hash + Eq + Clone> {
    counts: Arc<DashMap<K, u32>>,
    key: K,
}

impl<K: Hash + Eq + Clone> Concurrency<K> {
    /// A slot for `key`, unless it has `limit` already.
    pub fn take(&self, key: K, limit: u32) -> Option<Slot<K>> {
        let mut count = self.0.entry(key.clone()).or_insert(0);
        if *count >= limit {
            return None;
        }
        *count += 1;
        drop(count);
        Some(Slot { counts: Arc::clone(&self.0), key })
    }

    /// Keys with something in flight.
    pub fn tracked(&self) -> usize {
        self.0.len()
    }
}

impl<K: Hash + Eq + Clone> Drop for Slot<K> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.counts.entry(self.key.clone()) {
            if *count.get() <= 1 {
                count.remove();
            } else {
                *count.get_mut() -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_comes_back_when_it_is_dropped() {
        let counts = Concurrency::default();
        let first = counts.take("a", 2).unwrap();
        let _second = counts.take("a", 2).unwrap();
        assert!(counts.take("a", 2).is_none());
        drop(first);
        assert!(counts.take("a", 2).is_some());
        assert_eq!(counts.tracked(), 1);
    }
}

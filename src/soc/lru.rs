//! A map that holds so much and forgets what was not used for longest.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// At most `most` entries.
#[derive(Debug)]
pub(super) struct Lru<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// Keys by when they were used.
    order: BTreeMap<u64, K>,
    next: u64,
    most: usize,
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// An empty one; at least one entry fits.
    pub(super) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), next: 0, most: most.max(1) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry, now the one used last.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (used, value) = self.entries.get_mut(key)?;
        if let Some(key) = self.order.remove(used) {
            *used = self.next;
            self.order.insert(self.next, key);
            self.next += 1;
        }
        Some(value)
    }

    /// Puts an entry in; the one that was not used for longest makes room.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        while self.entries.len() >= self.most && self.pop_oldest().is_some() {}
        self.order.insert(self.next, key.clone());
        self.entries.insert(key, (self.next, value));
        self.next += 1;
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (used, value) = self.entries.remove(key)?;
        self.order.remove(&used);
        Some(value)
    }

    /// The entry that was not used for longest.
    pub(super) fn oldest(&self) -> Option<(&K, &V)> {
        let key = self.order.values().next()?;
        self.entries.get(key).map(|(_, value)| (key, value))
    }

    /// How many fit.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Every value, in no order; none counts as used.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|(_, value)| value)
    }

    /// Takes out the entry that was not used for longest.
    pub(super) fn pop_oldest(&mut self) -> Option<(K, V)> {
        let (_, key) = self.order.pop_first()?;
        let (_, value) = self.entries.remove(&key)?;
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut lru = Lru::new(2);
        lru.insert("a", 1);
        lru.insert("b", 2);
        assert_eq!(lru.get_mut(&"a"), Some(&mut 1));
        lru.insert("c", 3);
        assert_eq!(lru.get_mut(&"b"), None);
        assert_eq!(lru.len(), 2);
        assert_eq!(lru.oldest(), Some((&"a", &1)));
        lru.insert("a", 4);
        assert_eq!(lru.pop_oldest(), Some(("c", 3)));
        assert_eq!((lru.remove(&"a"), lru.len()), (Some(4), 0));
        assert_eq!(lru.pop_oldest(), None);
    }
}

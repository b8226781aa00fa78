//! The Merkle tree of RFC 6962 over the hashes between two checkpoints.

use sha2::{Digest as _, Sha256};

use super::chain::Hash;

/// Leaves and nodes are hashed with different first bytes, so that a node cannot pass for a leaf.
const LEAF: [u8; 1] = [0];
const NODE: [u8; 1] = [1];

/// The leaf of a record's hash.
pub fn leaf(hash: &Hash) -> Hash {
    Sha256::new().chain_update(LEAF).chain_update(hash).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update(NODE).chain_update(left).chain_update(right).finalize().into()
}

/// A tree that grows leaf by leaf and keeps one hash per level.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The complete subtrees, largest first, with their numbers of leaves.
    complete: Vec<(Hash, u64)>,
}

impl Tree {
    /// Adds the hash of the next record.
    pub fn push(&mut self, hash: &Hash) {
        self.push_leaf(leaf(hash));
    }

    /// Adds the next record, of which the leaf is known.
    pub fn push_leaf(&mut self, leaf: Hash) {
        let mut right = (leaf, 1_u64);
        while let Some(&(left, count)) = self.complete.last()
            && count == right.1
        {
            self.complete.pop();
            right = (node(&left, &right.0), count.saturating_mul(2));
        }
        self.complete.push(right);
    }

    /// The root of what was added; of nothing, the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.complete.iter().rev();
        let Some((mut root, _)) = subtrees.next().copied() else { return Sha256::digest([]).into() };
        for (left, _) in subtrees {
            root = node(left, &root);
        }
        root
    }

    /// How many were added.
    pub fn count(&self) -> u64 {
        self.complete.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

/// The root over `hashes`.
pub fn root<'a>(hashes: impl IntoIterator<Item = &'a Hash>) -> Hash {
    let mut tree = Tree::default();
    for hash in hashes {
        tree.push(hash);
    }
    tree.root()
}

/// The hashes that lead from the record at `index` to the root, lowest first; `None` if there is no such record.
pub fn path(hashes: &[Hash], index: usize) -> Option<Vec<Hash>> {
    let mut found = Vec::new();
    descend(hashes, index, &mut found)?;
    Some(found)
}

fn descend(hashes: &[Hash], index: usize, found: &mut Vec<Hash>) -> Option<()> {
    if hashes.len() <= 1 {
        return (index < hashes.len()).then_some(());
    }
    let (left, right) = hashes.split_at_checked(split(hashes.len()))?;
    if index < left.len() {
        descend(left, index, found)?;
        found.push(root(right));
    } else {
        descend(right, index.checked_sub(left.len())?, found)?;
        found.push(root(left));
    }
    Some(())
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// The root that `path` leads to from the record `hash` at `index` of `count`; `None` when the path does not fit.
pub fn climb(hash: &Hash, index: u64, count: u64, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    let mut at = index;
    let mut last = count.checked_sub(1)?;
    let mut root = leaf(hash);
    let mut steps = path.iter();
    while last > 0 {
        if at % 2 == 1 {
            root = node(steps.next()?, &root);
        } else if at < last {
            root = node(&root, steps.next()?);
        }
        at /= 2;
        last /= 2;
    }
    steps.next().is_none().then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(count: usize) -> Vec<Hash> {
        (0..count).map(|i| Sha256::digest(i.to_be_bytes()).into()).collect()
    }

    #[test]
    fn every_record_of_every_size_has_a_path_to_the_root_and_no_other() {
        for count in 1..70 {
            let hashes = hashes(count);
            let root = root(&hashes);
            for (index, hash) in hashes.iter().enumerate() {
                let path = path(&hashes, index).unwrap();
                assert_eq!(climb(hash, index as u64, count as u64, &path), Some(root), "{index} of {count}");
                let other = hashes[(index + 1) % count];
                assert!(count == 1 || climb(&other, index as u64, count as u64, &path) != Some(root));
                let mut longer = path.clone();
                longer.push(other);
                assert_eq!(climb(hash, index as u64, count as u64, &longer), None);
            }
            assert_eq!(path(&hashes, count), None);
        }
    }

    #[test]
    fn the_tree_is_that_of_rfc_6962() {
        let all = hashes(7);
        let l: Vec<Hash> = all.iter().map(leaf).collect();
        let left = node(&node(&l[0], &l[1]), &node(&l[2], &l[3]));
        let right = node(&node(&l[4], &l[5]), &l[6]);
        assert_eq!(root(&all), node(&left, &right));
    }
}

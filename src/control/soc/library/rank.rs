//! Likeness of vectors, and two rankings made one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Hit;

/// The constant of reciprocal rank fusion: how little the first places differ.
const K: usize = 60;

/// A vector that is mostly zeros: dimensions in rising order, each with a weight, of length 1 (or none at all).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sparse(Box<[(u32, f32)]>);

impl Sparse {
    /// Of weights in any order; those of one dimension are added up, and what is no number is left out.
    pub fn new(mut weights: Vec<(u32, f32)>) -> Self {
        weights.retain(|(_, weight)| weight.is_finite());
        weights.sort_unstable_by_key(|(dimension, _)| *dimension);
        weights.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        let length = weights.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
        if !length.is_finite() || length <= 0.0 {
            return Self::default();
        }
        for (_, weight) in &mut weights {
            *weight /= length;
        }
        Self(weights.into())
    }
}

/// How alike two are: 1 for the same, 0 where they have nothing in common.
pub(super) fn cosine(one: &Sparse, two: &Sparse) -> f32 {
    let (few, many) = if one.0.len() <= two.0.len() { (&one.0, &two.0) } else { (&two.0, &one.0) };
    let other = |dimension| {
        let at = many.binary_search_by_key(&dimension, |(known, _)| *known).ok()?;
        many.get(at).map(|(_, weight)| weight)
    };
    few.iter().filter_map(|(dimension, weight)| Some(weight * other(*dimension)?)).sum()
}

/// The same of two that are full; those of different lengths have nothing in common.
pub(super) fn dot(one: &[f32], two: &[f32]) -> f32 {
    if one.len() != two.len() {
        return 0.0;
    }
    one.iter().zip(two).map(|(a, b)| a * b).sum()
}

/// The best of two rankings by the sum of `1 / (60 + rank)`. Equals stand in the order of their ids.
pub(super) fn fuse(by_words: &[&Arc<str>], by_likeness: &[&Arc<str>], limit: usize) -> Vec<Hit> {
    let mut ranks: BTreeMap<&Arc<str>, (Option<usize>, Option<usize>)> = BTreeMap::new();
    for (rank, id) in (1..).zip(by_words) {
        ranks.entry(id).or_default().0.get_or_insert(rank);
    }
    for (rank, id) in (1..).zip(by_likeness) {
        ranks.entry(id).or_default().1.get_or_insert(rank);
    }
    #[expect(clippy::cast_precision_loss, reason = "ranks are hundreds at most")]
    let part = |rank: Option<usize>| rank.map_or(0.0, |rank| 1.0 / (K.saturating_add(rank) as f32));
    let mut hits: Vec<Hit> = ranks
        .into_iter()
        .map(|(id, (bm25_rank, vector_rank))| {
            let score = part(bm25_rank) + part(vector_rank);
            Hit { id: Arc::clone(id), score, bm25_rank, vector_rank }
        })
        .collect();
    // Stable: what is equal stays in the order of the map.
    hits.sort_by(|one, two| two.score.total_cmp(&one.score));
    hits.truncate(limit);
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_fused_as_the_formula_says() {
        let ids: Vec<Arc<str>> = ["a", "b", "c", "d"].map(Arc::from).to_vec();
        let [a, b, c, d] = [&ids[0], &ids[1], &ids[2], &ids[3]];
        let hits = fuse(&[a, b, c], &[c, b, d], 3);
        let found: Vec<(&str, Option<usize>, Option<usize>)> =
            hits.iter().map(|hit| (&*hit.id, hit.bm25_rank, hit.vector_rank)).collect();
        // 1/61 + 1/63 is more than 2/62; a is before d by its rank.
        assert_eq!(found, [("c", Some(3), Some(1)), ("b", Some(2), Some(2)), ("a", Some(1), None)]);
        assert!((hits[0].score - (1.0 / 61.0 + 1.0 / 63.0)).abs() < 1e-7);
        let even = fuse(&[b], &[a], 5);
        assert_eq!(even.iter().map(|hit| &*hit.id).collect::<Vec<_>>(), ["a", "b"], "equals by id");
    }

    #[test]
    fn sparse_vectors_are_compared_by_direction() {
        let one = Sparse::new(vec![(7, 1.0), (2, 2.0), (7, 1.0), (9, f32::NAN)]);
        assert!((cosine(&one, &Sparse::new(vec![(2, 1.0), (7, 1.0)])) - 1.0).abs() < 1e-6);
        assert_eq!(cosine(&one, &Sparse::new(vec![(1, 1.0), (8, 1.0)])), 0.0);
        assert_eq!(cosine(&one, &Sparse::new(vec![])), 0.0);
        assert!((cosine(&one, &Sparse::new(vec![(2, 5.0)])) - 0.5_f32.sqrt()).abs() < 1e-6);
        assert_eq!(dot(&[1.0, 0.0], &[1.0]), 0.0);
    }
}

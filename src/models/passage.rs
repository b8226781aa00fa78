//! Which parts of a long text a model reads: around what the rules found, the beginning, the end, and samples between.

use std::collections::BTreeSet;
use std::ops::Range;

/// How texts are cut, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Texts up to this long are read in one piece.
    pub(super) whole: usize,
    /// How long the passages of longer ones are.
    pub(super) size: usize,
    /// What neighbouring passages share, so that nothing is cut in two for both of them. Less than `size`.
    pub(super) overlap: usize,
    /// How many passages of one text are read.
    pub(super) most: usize,
}

/// The byte ranges of `text` that are read, in order, on character boundaries. Where they are fewer than there are, those
/// with a `focus` come first, then beginning and end.
pub(super) fn passages(text: &str, focus: &[Range<usize>], cut: &Cut) -> Vec<Range<usize>> {
    if text.len() <= cut.whole {
        return if text.is_empty() { Vec::new() } else { std::iter::once(0..text.len()).collect() };
    }
    let step = cut.size.saturating_sub(cut.overlap).max(1);
    let count = text.len().saturating_sub(cut.overlap).div_ceil(step).max(1);
    let mut chosen = BTreeSet::new();
    if count <= cut.most {
        chosen.extend(0..count);
    } else {
        let near = focus.iter().map(|range| (range.start / step).min(count - 1));
        let spread = (1..cut.most.max(2)).map(|nth| nth * count / cut.most.max(2));
        for passage in near.chain([0, count - 1]).chain(spread) {
            if chosen.len() >= cut.most {
                break;
            }
            chosen.insert(passage);
        }
    }
    let range = |nth: usize| {
        let start = text.floor_char_boundary(nth * step);
        start..text.ceil_char_boundary((nth * step + cut.size).min(text.len()))
    };
    chosen.into_iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: Cut = Cut { whole: 40, size: 20, overlap: 5, most: 3 };

    #[test]
    fn a_short_text_is_one_passage_and_an_empty_one_none() {
        let whole = passages("hello", &[], &CUT);
        assert_eq!((whole.len(), whole.first()), (1, Some(&(0..5))));
        assert!(passages("", &[], &CUT).is_empty());
    }

    #[test]
    fn passages_overlap_and_reach_the_end() {
        let text = "x".repeat(50);
        assert_eq!(passages(&text, &[], &CUT), [0..20, 15..35, 30..50]);
    }

    #[test]
    fn what_the_rules_found_is_read_first() {
        let text = "x".repeat(1000);
        let found = passages(&text, std::slice::from_ref(&(500..510)), &CUT);
        assert_eq!(found.len(), 3);
        assert!(found.iter().any(|range| range.start <= 500 && range.end > 510), "{found:?}");
        assert_eq!((found[0].start, found[2].end), (0, 1000));
        let many: Vec<_> = (0..900).step_by(100).map(|at| at..at + 5).collect();
        assert_eq!(passages(&text, &many, &CUT).len(), 3);
    }

    #[test]
    fn characters_stay_whole() {
        let text = "\u{1f600}".repeat(100);
        for range in passages(&text, &[], &CUT) {
            assert!(text.get(range).is_some());
        }
    }
}

//! Finding texts that are like a text without any model: hashed words and pieces of words, weighed by how rare they are
//! (TF-IDF), compared by cosine; and the fusion of several rankings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

/// Places of a vector. Few texts share one by chance.
const PLACES: u64 = 1 << 18;
/// Characters of a text that are looked at.
const MAX_CHARS: usize = 16 << 10;
/// Characters of a word that are looked at.
const MAX_WORD: usize = 40;
/// Texts that are compared at once.
const MAX_TEXTS: usize = 1 << 14;
/// Rankings that are fused, and entries of each.
const MAX_RANKINGS: usize = 8;
const MAX_RANKED: usize = 1024;
/// Lengths of the pieces of words, in characters.
const PIECES: std::ops::RangeInclusive<usize> = 3..=5;
/// What a piece counts beside a whole word: a word has many.
const PIECE_WEIGHT: f32 = 0.25;
/// The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009).
const RANK_CONSTANT: f64 = 60.0;

/// Weights by place, of length 1; empty for a text without words.
pub type Vector = BTreeMap<u32, f32>;

/// Vectors of texts, weighed by how rare their words are among these.
#[derive(Debug, Clone, Default)]
pub struct Vectors {
    rarity: BTreeMap<u32, f32>,
    /// What a place weighs that none of the texts has.
    unseen: f32,
    rows: Vec<Vector>,
}

impl Vectors {
    /// Learns how rare words are and keeps a vector of each text; texts beyond the first 16,384 are left out.
    pub fn fit<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let counted: Vec<Vector> = texts.into_iter().take(MAX_TEXTS).map(counts).collect();
        let mut having: BTreeMap<u32, u32> = BTreeMap::new();
        for place in counted.iter().flat_map(BTreeMap::keys) {
            let texts = having.entry(*place).or_default();
            *texts = texts.saturating_add(1);
        }
        let all = u32::try_from(counted.len()).unwrap_or(u32::MAX);
        let rarity = having.into_iter().map(|(place, texts)| (place, rarity(all, texts))).collect();
        let mut vectors = Self { rarity, unseen: rarity_of_nothing(all), rows: Vec::new() };
        vectors.rows = counted.into_iter().map(|counts| vectors.weighed(counts)).collect();
        vectors
    }

    /// The vector of a text.
    pub fn of(&self, text: &str) -> Vector {
        self.weighed(counts(text))
    }

    /// The texts that are most like this one: position among those given to `fit`, and cosine above 0, the likest first.
    pub fn nearest(&self, text: &str, most: usize) -> Vec<(usize, f32)> {
        let wanted = self.of(text);
        let compared = self.rows.iter().map(|row| cosine(&wanted, row)).enumerate();
        let mut found: Vec<(usize, f32)> = compared.filter(|(_, likeness)| *likeness > 0.0).collect();
        found.sort_by(|(one, less), (other, more)| more.total_cmp(less).then(one.cmp(other)));
        found.truncate(most);
        found
    }

    fn weighed(&self, mut counts: Vector) -> Vector {
        for (place, weight) in &mut counts {
            *weight = (1.0 + weight.ln_1p()) * self.rarity.get(place).copied().unwrap_or(self.unseen);
        }
        let length = counts.values().map(|weight| weight * weight).sum::<f32>().sqrt();
        if length > 0.0 {
            counts.values_mut().for_each(|weight| *weight /= length);
        }
        counts
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of texts are small")]
fn rarity(all: u32, having: u32) -> f32 {
    ((1.0 + all as f32) / (1.0 + having as f32)).ln() + 1.0
}

fn rarity_of_nothing(all: u32) -> f32 {
    rarity(all, 0)
}

/// How alike two vectors are, 0 to 1.
pub fn cosine(one: &Vector, other: &Vector) -> f32 {
    let (few, many) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    few.iter().filter_map(|(place, weight)| Some(weight * many.get(place)?)).sum::<f32>().clamp(0.0, 1.0)
}

/// How often words and their pieces occur, by place.
fn counts(text: &str) -> Vector {
    let mut counts = Vector::new();
    let plain: String = text.chars().take(MAX_CHARS).nfkc().flat_map(char::to_lowercase).collect();
    for word in plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        // Marks at both ends make a beginning of a word another piece than its middle.
        let letters: Vec<char> = ['^'].into_iter().chain(word.chars().take(MAX_WORD)).chain(['$']).collect();
        *counts.entry(place(&letters)).or_default() += 1.0;
        for length in PIECES {
            for piece in letters.windows(length).filter(|piece| piece.len() < letters.len()) {
                *counts.entry(place(piece)).or_default() += PIECE_WEIGHT;
            }
        }
    }
    counts
}

/// The place of a word or piece: FNV-1a, the same in every build.
fn place(letters: &[char]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for letter in letters {
        for byte in u32::from(*letter).to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    u32::try_from((hash ^ (hash >> 32)).checked_rem(PLACES).unwrap_or(0)).unwrap_or(0)
}

/// Reciprocal rank fusion: what stands high in several rankings comes first. An entry counts once per ranking; equals are
/// put in order by name, so that the same rankings give the same whichever comes first.
pub fn fuse(rankings: &[&[Arc<str>]], most: usize) -> Vec<(Arc<str>, f64)> {
    let mut places: BTreeMap<&Arc<str>, Vec<u32>> = BTreeMap::new();
    for ranking in rankings.iter().take(MAX_RANKINGS) {
        let mut seen = BTreeSet::new();
        let fresh = ranking.iter().take(MAX_RANKED).filter(|entry| seen.insert(*entry));
        for (rank, entry) in (1_u32..).zip(fresh) {
            places.entry(entry).or_default().push(rank);
        }
    }
    let score = |mut ranks: Vec<u32>| {
        // Sums of floating-point numbers depend on their order.
        ranks.sort_unstable();
        ranks.into_iter().map(|rank| 1.0 / (RANK_CONSTANT + f64::from(rank))).sum::<f64>()
    };
    let mut fused: Vec<(Arc<str>, f64)> =
        places.into_iter().map(|(entry, ranks)| (Arc::clone(entry), score(ranks))).collect();
    fused.sort_by(|(one, less), (other, more)| more.total_cmp(less).then_with(|| one.cmp(other)));
    fused.truncate(most);
    fused
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::soc::examples;

    fn names(text: &str) -> Vec<Arc<str>> {
        text.split_whitespace().map(Arc::from).collect()
    }

    #[test]
    fn what_is_about_the_same_is_nearest() {
        let texts = [
            "A key that was stolen: revoke it and give a new one",
            "A caller sends injections again and again: slow it down",
            "Money runs away in one hour",
        ];
        let vectors = Vectors::fit(texts);
        let first = |text: &str| vectors.nearest(text, 1).first().map(|(place, _)| *place);
        assert_eq!(first("stolen keys"), Some(0));
        assert_eq!(first("repeated injection by one caller"), Some(1));
        assert_eq!(first("much MONEY spent per hour"), Some(2));
        assert_eq!(first("???"), None);
        assert_eq!(first(""), None);
        let itself = vectors.nearest(texts[1], 3);
        assert_eq!(itself[0].0, 1);
        assert!((itself[0].1 - 1.0).abs() < 1e-4, "{itself:?}");
    }

    #[test]
    fn the_shipped_playbooks_are_found_by_what_people_would_say() {
        let playbooks = examples::playbooks();
        let sections: Vec<_> = playbooks.sections().collect();
        let texts: Vec<String> =
            sections.iter().map(|section| format!("{} {} {}", section.title, section.heading, section.text)).collect();
        let vectors = Vectors::fit(texts.iter().map(String::as_str));
        for (asked, id) in [
            ("many failed sign-ins with guessed gateway keys from one address", "credential-stuffing"),
            ("the system prompt was repeated in an answer", "prompt-extraction"),
            ("an agent repeats the same prompt in a loop", "runaway-loop"),
            ("customer data left through a link in the answer", "critical-exfiltration"),
            ("a stolen gateway key used from another country", "stolen-key"),
        ] {
            let found = vectors.nearest(asked, 5);
            let ids: Vec<_> = found.iter().map(|(place, _)| &*sections[*place].playbook).collect();
            assert!(ids.contains(&id), "{asked}: {ids:?}");
        }
    }

    #[test]
    fn long_texts_and_words_are_bounded() {
        let long = "x".repeat(1 << 20);
        assert!(Vectors::fit([long.as_str()]).rows[0].len() < 200);
        let many = "ab ".repeat(1 << 18);
        assert!(Vectors::fit([many.as_str()]).rows[0].len() < 10);
    }

    #[test]
    fn ranks_are_summed_up_as_the_paper_says() {
        let (one, two) = (names("a b c"), names("c a"));
        let fused = fuse(&[&one, &two], 9);
        let shown: Vec<_> = fused.iter().map(|(name, score)| format!("{name} {score:.6}")).collect();
        assert_eq!(shown, ["a 0.032522", "c 0.032266", "b 0.016129"]);
        assert_eq!(fuse(&[&one, &two], 1).len(), 1);
        assert!(fuse(&[], 9).is_empty());
        assert_eq!(fuse(&[&names("a a b")], 9)[1].1, 1.0 / 62.0);
    }

    proptest! {
        #[test]
        fn fusion_does_not_depend_on_the_order_of_rankings(
            rankings in prop::collection::vec(prop::collection::vec("[a-f]", 0..8), 0..6)
        ) {
            let rankings: Vec<Vec<Arc<str>>> =
                rankings.into_iter().map(|one| one.into_iter().map(Arc::from).collect()).collect();
            let mut given: Vec<&[Arc<str>]> = rankings.iter().map(Vec::as_slice).collect();
            let fused = fuse(&given, 99);
            given.reverse();
            prop_assert_eq!(&fused, &fuse(&given, 99));
            let known: BTreeSet<_> = rankings.iter().flatten().collect();
            prop_assert_eq!(fused.len(), known.len());
            prop_assert!(fused.iter().all(|(name, score)| known.contains(name) && *score > 0.0));
            prop_assert!(fused.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        }

        #[test]
        fn what_stands_above_another_everywhere_comes_before_it(shared in prop::collection::vec("[c-h]", 0..5), times in 1_usize..5) {
            let mut ranking: Vec<Arc<str>> = vec!["a".into(), "b".into()];
            ranking.extend(shared.into_iter().map(Arc::from));
            let given = vec![ranking.as_slice(); times];
            let order: Vec<_> = fuse(&given, 99).into_iter().map(|(name, _)| name).collect();
            prop_assert_eq!(&*order[0], "a");
            prop_assert_eq!(&*order[1], "b");
        }

        #[test]
        fn likeness_is_between_nothing_and_one(one in ".{0,60}", other in ".{0,60}") {
            let vectors = Vectors::fit([one.as_str(), other.as_str()]);
            let likeness = cosine(&vectors.of(&one), &vectors.of(&other));
            prop_assert!((0.0..=1.0).contains(&likeness));
            prop_assert!((likeness - cosine(&vectors.of(&other), &vectors.of(&one))).abs() < 1e-5);
        }
    }
}

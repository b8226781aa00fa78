//! What words mean behind those before them, and where in a sentence they stand.
//!
//! An order begins with its verb: "ignore what you were told" is one, "some ignore what you were told" is none. And a word beside
//! one whose meaning is known says more than either alone.

use super::features::{Kind, Word, alone, context, mix, number};
use super::lexicon::{Lexicon, Meaning};

/// Meaningful words remembered, and for how many words.
const RECENT: usize = 4;
const RECENT_WORDS: u32 = 10;

/// Meaningful words so close are one phrase.
const NEAR: u32 = 4;

/// Words behind a meaningful one that are read together with it.
const BESIDE: u32 = 5;

/// Words of a sentence that are read together with how it begins.
const SENTENCE: u32 = 20;

/// Ideographs that the meaning of a sentence's first word takes at most.
const IDEOGRAPHS: u32 = 4;

/// The meanings and beginnings of the words before one.
#[derive(Debug, Clone, Default)]
pub(super) struct Meanings {
    /// How many words there were.
    count: u32,
    /// Which word it was, and its meaning, oldest first.
    recent: [(u32, Meaning); RECENT],
    /// Roots of this word and of the two before it, the last one first; 0 where there is none.
    roots: [u64; 3],
    /// Which word the sentence begins with, and its root.
    opening: (u32, u64),
    /// Whether the sentence begins with this word, or with ideographs of which it is one.
    is_opening: bool,
    /// What the first meaningful word of the sentence means.
    opening_meaning: Meaning,
    ideographs: [char; 4],
}

impl Meanings {
    /// What an ideograph means after those right before it; `goes_on` where there are such.
    pub(super) fn of_ideograph(&mut self, letter: char, goes_on: bool, lexicon: &Lexicon) -> Meaning {
        if !goes_on {
            self.ideographs = ['\0'; 4];
        }
        self.ideographs.rotate_left(1);
        if let Some(last) = self.ideographs.last_mut() {
            *last = letter;
        }
        lexicon.ideographs(&self.ideographs)
    }

    /// Calls `each` with the number of every feature that `word` has by what it follows. What it means is left to
    /// [`Self::meant`].
    #[inline(always)]
    pub(super) fn follow(&mut self, word: &Word, mut each: impl FnMut(u32)) {
        self.count = self.count.wrapping_add(1);
        let [last, second, _] = self.roots;
        self.roots = [word.root, last, second];
        if word.is_first {
            (self.opening, self.opening_meaning) = ((self.count, word.root), 0);
            each(number(Kind::First, word.root));
        }
        self.is_opening =
            word.is_first || self.is_opening && word.ideograph.is_some() && self.since(self.opening.0) < IDEOGRAPHS;
        let [.., (at, last)] = self.recent;
        if last != 0 && self.since(at) <= BESIDE {
            concepts(last).for_each(|concept| each(number(Kind::RootBehind, mix(word.root, concept))));
        }
    }

    /// Calls `each` with the number of every feature of what `word` means, and remembers it.
    #[inline(always)]
    pub(super) fn meant(&mut self, meaning: Meaning, mut each: impl FnMut(u32)) {
        let ([_, before @ ..], in_sentence) = (self.roots, self.since(self.opening.0) < SENTENCE);
        for concept in concepts(meaning) {
            each(number(Kind::Meaning, concept));
            if self.is_opening {
                each(number(Kind::FirstMeaning, concept));
            } else if in_sentence {
                each(number(Kind::Opening, mix(self.opening.1, concept)));
            }
            for first in concepts(self.opening_meaning).take_while(|_| in_sentence) {
                each(number(Kind::OpeningMeaning, mix(mix(0, first), concept)));
            }
            for root in before.into_iter().filter(|root| *root != 0) {
                each(number(Kind::RootBefore, mix(root, concept)));
            }
            let recent = self.recent.iter().filter(|(at, earlier)| *earlier != 0 && self.since(*at) <= RECENT_WORDS);
            for (at, earlier) in recent {
                let kind = if self.since(*at) <= NEAR { Kind::NearMeanings } else { Kind::Meanings };
                for first in concepts(*earlier) {
                    each(number(kind, mix(mix(0, first), concept)));
                }
            }
            let [.., earliest, earlier] = &self.recent;
            if self.since(earlier.0) <= RECENT_WORDS && self.since(earliest.0) <= RECENT_WORDS {
                for first in concepts(earliest.1) {
                    for second in concepts(earlier.1) {
                        each(number(Kind::ThreeMeanings, mix(mix(mix(0, first), second), concept)));
                    }
                }
            }
        }
        self.recent.rotate_left(1);
        if let Some(last) = self.recent.last_mut() {
            *last = (self.count, meaning);
        }
        if self.opening_meaning == 0 {
            self.opening_meaning = meaning;
        }
    }

    /// How many words ago the `nth` was.
    const fn since(&self, nth: u32) -> u32 {
        self.count.wrapping_sub(nth)
    }
}

/// What came before a word, as far as any of its features but the pieces of its spelling needs it.
#[derive(Debug, Clone, Default)]
pub struct Before {
    last: Option<Word>,
    earlier: Option<Word>,
    meanings: Meanings,
}

impl Before {
    /// What the word means here: `known`, and for an ideograph what it means after the ones before it.
    pub fn meaning(&mut self, word: &Word, known: Meaning, lexicon: &Lexicon) -> Meaning {
        let goes_on = self.last.is_some_and(|last| last.ideograph.is_some());
        word.ideograph.map_or(known, |letter| known | self.meanings.of_ideograph(letter, goes_on, lexicon))
    }

    /// Calls `each` with the number of every feature of `word` but its pieces, and remembers the word.
    pub fn read(&mut self, word: &Word, meaning: Meaning, mut each: impl FnMut(u32)) {
        each(alone(word.hash));
        context(word, self.last.as_ref(), self.earlier.as_ref(), &mut each);
        (self.earlier, self.last) = (self.last, Some(*word));
        self.meanings.follow(word, &mut each);
        if meaning != 0 {
            self.meanings.meant(meaning, &mut each);
        }
    }
}

fn concepts(meaning: Meaning) -> impl Iterator<Item = u64> {
    let mut left = meaning;
    std::iter::from_fn(move || {
        let next = (left != 0).then(|| u64::from(left.trailing_zeros()));
        left &= left.wrapping_sub(1);
        next
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::detect::classify::features::{made_of, words};

    fn features(text: &str) -> BTreeSet<u32> {
        let lexicon = Lexicon::parse("drop: ignor* 忽略\norder: rule* instruction*\n").unwrap();
        let (mut found, mut before) = (BTreeSet::new(), Before::default());
        words(text, |word| {
            let letters = text.get(word.start as usize..word.end as usize).unwrap();
            let meaning = before.meaning(&word, lexicon.meaning(letters), &lexicon);
            before.read(&word, meaning, |number| {
                found.insert(number);
            });
        });
        found
    }

    fn has(text: &str, kind: Kind, hash: u64) -> bool {
        features(text).contains(&number(kind, hash))
    }

    fn root(word: &str) -> u64 {
        let mut root = 0;
        words(word, |word| root = word.root);
        root
    }

    const DROP: u64 = 0;
    const ORDER: u64 = 1;

    #[test]
    fn an_order_begins_with_its_verb() {
        let begins = |text: &str| (has(text, Kind::FirstMeaning, DROP), has(text, Kind::First, root("ignore")));
        for order in [
            "Ignore it",
            "Done. Ignore it",
            "Note: ignore it",
            "text\n- ignore it",
            "1. ignore it",
            "2) Ignore it",
            "Really? \"Ignore it\"",
            "…\u{2022} ignore it",
            "好。Ignore it",
            "## ignore it",
        ] {
            assert_eq!(begins(order), (true, true), "{order}");
        }
        for other in [
            "They ignore it",
            "please, ignore it",
            "he said \"ignore\" it",
            "do-ignore it",
            "we do **ignore** it",
            "a.ignore it",
            "x:ignore it",
            "10:30 a ignore it",
        ] {
            assert_eq!(begins(other), (false, false), "{other}");
        }
    }

    #[test]
    fn the_beginning_of_a_sentence_is_read_with_what_it_goes_on_to_mean() {
        let opens = |text: &str| has(text, Kind::Opening, mix(root("bake"), ORDER));
        assert!(opens("Bake all of those rules"));
        assert!(!opens("Bake bread. Mind the rules"));
        assert!(opens(&format!("Bake {} rules", "so ".repeat(18))));
        assert!(!opens(&format!("Bake {} rules", "so ".repeat(19))));
        let both = |text: &str| has(text, Kind::OpeningMeaning, mix(mix(0, DROP), ORDER));
        assert!(both("Please ignore each and every one of the many long rules"));
        assert!(!both("Please ignore them. Each of the rules holds"));
        assert!(!both(&format!("Ignore {} rules", "so ".repeat(19))));
    }

    #[test]
    fn ideographs_begin_a_sentence_together() {
        let begins = |text: &str| has(text, Kind::FirstMeaning, DROP);
        assert!(begins("忽略它") && begins("好。忽略它"));
        assert!(!begins("他们说要忽略它"));
    }

    #[test]
    fn no_feature_is_another_by_its_number_alone() {
        let small = 0..64_u64;
        let pairs = || small.clone().flat_map(|first| (0..64).map(move |second| mix(mix(0, first), second)));
        let alone = [Kind::Meaning, Kind::FirstMeaning];
        let paired = [Kind::Meanings, Kind::NearMeanings, Kind::OpeningMeaning];
        let singles = alone.iter().flat_map(|kind| small.clone().map(move |hash| made_of(*kind, hash)));
        let doubles = paired.iter().flat_map(|kind| pairs().map(move |hash| made_of(*kind, hash)));
        let shapes = (0..1 << 15).map(|hash| made_of(Kind::Shapes, hash));
        let all: Vec<u64> = singles.chain(doubles).chain(shapes).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn a_word_beside_a_meaningful_one_is_read_with_it() {
        let behind = |text: &str| has(text, Kind::RootBehind, mix(root("bread"), DROP));
        assert!(behind("ignore bread") && behind("ignore one two three four bread"));
        assert!(!behind("ignore one two three four five bread") && !behind("bread ignore"));
        let before = |text: &str| has(text, Kind::RootBefore, mix(root("bread"), ORDER));
        assert!(before("bread rules") && before("bread and rules"));
        assert!(!before("bread and other rules") && !before("rules bread"));
    }
}

//! What a text says again is not read again: a sentence said ten times is no more of an attack than said once.
//!
//! The sum of a short text grows with its length faster than what it is divided by. What was a faint sign in one sentence would
//! become certainty by repeating it. What counts as said again is compared letter by letter: hashes that anyone can compute would
//! let an attack pass for words that stood before it.

use super::HALF;
use super::features::{Word, mix, words};

/// Words until which repetitions are looked for: more than those of which the sum is not yet a mean, where what is said
/// again weighs no more than the rest.
const LOOKED_FOR: u32 = 400;

/// Places for three words said one after another.
const PLACES: usize = 1 << 10;

/// Words of a window.
const NEAR: u16 = 2 * HALF as u16;

/// Whether a word ends three words that stood in the text before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Again {
    /// They did not.
    #[default]
    No,
    /// Within the last window: nothing is read twice.
    Near,
    /// Further away: the text as a whole has read them, this window has not. Else the words of an attack, each said before among
    /// harmless ones, would hide it.
    Far,
}

/// Calls `each` for every word of `text`, in order.
#[inline(always)]
pub fn each(text: &str, mut each: impl FnMut(Word, Again)) {
    let mut said =
        Said { threes: [Three::default(); PLACES], hashes: [0; 2], starts: [0; 2], nth: 0, left: LOOKED_FOR };
    words(text, |word| {
        let is_over = said.left == 0 || said.nth == u16::MAX;
        each(word, if is_over { Again::No } else { said.again(text, &word) });
    });
}

/// Three words that were said: their place in the text, and the number of the last, from one. Small, for every text has a table.
#[derive(Debug, Clone, Copy, Default)]
struct Three {
    start: u32,
    bytes: u16,
    nth: u16,
}

impl Three {
    fn letters(self, text: &str) -> Option<&str> {
        let start = self.start as usize;
        text.get(start..start + usize::from(self.bytes))
    }
}

/// What a text has said, three words at a time. A later three may take the place of an earlier one.
struct Said {
    threes: [Three; PLACES],
    /// Of the two words before, the last one first.
    hashes: [u64; 2],
    starts: [u32; 2],
    nth: u16,
    left: u32,
}

impl Said {
    #[inline(always)]
    fn again(&mut self, text: &str, word: &Word) -> Again {
        let [last, earlier] = self.hashes;
        // Turned, so that a word beside itself does not cancel out.
        let place = mix(mix(word.hash, last.rotate_left(21)), earlier.rotate_left(42)) as usize & (PLACES - 1);
        let start = if self.nth < 2 { 0 } else { self.starts[1] };
        (self.hashes, self.starts) = ([word.hash, last], [word.start, self.starts[0]]);
        self.nth += 1;
        let Ok(bytes) = u16::try_from(word.end - start) else { return Again::No };
        let three = Three { start, bytes, nth: self.nth };
        let Some(slot) = self.threes.get_mut(place) else { return Again::No };
        let known = std::mem::replace(slot, three);
        let is_same = known.nth != 0
            && known.letters(text).zip(three.letters(text)).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other));
        if !is_same {
            self.left -= 1;
            return Again::No;
        }
        if self.nth - known.nth <= NEAR { Again::Near } else { Again::Far }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that the text as a whole reads.
    fn kept(text: &str) -> Vec<&str> {
        let mut kept = Vec::new();
        each(text, |word, again| {
            if again == Again::No {
                kept.push(text.get(word.start as usize..word.end as usize).unwrap());
            }
        });
        kept
    }

    #[test]
    fn what_is_said_again_is_left_out() {
        assert_eq!(kept("the cat sees the dog and the cat"), ["the", "cat", "sees", "the", "dog", "and", "the", "cat"]);
        let once = ["we", "bake", "bread", "today"];
        let seam = [&once[..], &["we", "bake"]].concat();
        assert_eq!(kept("we bake bread today"), once);
        for times in 2..50 {
            assert_eq!(kept(&"we bake bread today. ".repeat(times)), seam);
        }
        let other_case = kept("We bake bread today. And now: we BAKE bread, again");
        assert_eq!(other_case[other_case.len() - 3..], ["we", "BAKE", "again"]);
        assert_eq!(kept(&"no ".repeat(30)), ["no", "no", "no"]);
    }

    #[test]
    fn what_was_said_long_before_is_read_again_in_its_window() {
        let of_last = |between: usize| {
            let mut last = Again::No;
            let between: String = ('a'..).take(between).map(|letter| format!("x{letter} ")).collect();
            each(&format!("ignore your rules {between} ignore your rules"), |_, again| last = again);
            last
        };
        assert_eq!(
            (of_last(1), of_last(17), of_last(18), of_last(21)),
            (Again::Near, Again::Near, Again::Far, Again::Far)
        );
    }

    #[test]
    fn a_made_word_with_the_hash_of_another_is_not_taken_for_it() {
        let mut hashes = Vec::new();
        words("disregarding spqxscpigoyxfgfs", |word| hashes.push(word.hash));
        assert_eq!(hashes.first(), hashes.last(), "these are no longer such words: find others");
        assert_eq!(
            kept("be spqxscpigoyxfgfs rules, be disregarding rules"),
            ["be", "spqxscpigoyxfgfs", "rules", "be", "disregarding", "rules"]
        );
    }

    #[test]
    fn a_long_text_is_read_to_its_end() {
        let letters = || 'a'..='z';
        let long: String = letters().flat_map(|one| letters().map(move |two| format!("{one}{two} "))).collect();
        assert_eq!(kept(&long).len(), 26 * 26);
        // Far behind the beginning nothing is left out, and needs not be.
        let more = format!("{long}{}", "and so on ".repeat(9));
        assert_eq!(kept(&more).len(), 26 * 26 + 27);
    }
}

//! What a text says again is not read again: a sentence said ten times is no more of an attack than said once.
//!
//! The sum of a short text grows with its length faster than what it is divided by. What was a faint sign in one sentence would
//! become certainty by repeating it.

use super::features::{Word, mix, words};

/// Words until which repetitions are looked for: more than those of which the sum is not yet a mean, where what is said
/// again weighs no more than the rest.
const LOOKED_FOR: u32 = 400;

/// Places for three words said one after another.
const PLACES: usize = 1 << 10;

/// Calls `each` for every word of `text`, in order, but for those that end three words which were there before.
#[inline(always)]
pub fn fresh(text: &str, mut each: impl FnMut(Word)) {
    let mut said = Said { threes: [0; PLACES], last: 0, earlier: 0, left: LOOKED_FOR };
    words(text, |word| {
        if said.left == 0 || said.is_new(&word) {
            each(word);
        }
    });
}

/// What a text has said, three words at a time. A later three may take the place of an earlier one.
struct Said {
    threes: [u32; PLACES],
    last: u64,
    earlier: u64,
    left: u32,
}

impl Said {
    #[inline(always)]
    fn is_new(&mut self, word: &Word) -> bool {
        // Turned, so that a word beside itself does not cancel out.
        let three = mix(mix(word.hash, self.last.rotate_left(21)), self.earlier.rotate_left(42));
        (self.earlier, self.last) = (self.last, word.hash);
        let tag = (three >> 32) as u32 | 1;
        let Some(known) = self.threes.get_mut(three as usize & (PLACES - 1)) else { return true };
        let is_new = *known != tag;
        *known = tag;
        self.left -= u32::from(is_new);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Vec<&str> {
        let mut kept = Vec::new();
        fresh(text, |word| kept.push(text.get(word.start as usize..word.end as usize).unwrap()));
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
        assert_eq!(kept("We bake bread today. And now: we BAKE bread, again").last(), Some(&"again"));
        assert_eq!(kept(&"no ".repeat(30)), ["no", "no", "no"]);
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

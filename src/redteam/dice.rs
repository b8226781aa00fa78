//! Draws that depend on the seed and on what they are for, and on nothing else.

/// A stream of draws (BLAKE3's extendable output).
pub(super) struct Dice(blake3::OutputReader);

impl Dice {
    /// Draws for what these words name.
    pub(super) fn new(seed: u64, purpose: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        for word in purpose {
            hasher.update(&(word.len() as u64).to_le_bytes());
            hasher.update(word.as_bytes());
        }
        Self(hasher.finalize_xof())
    }

    /// A number below `below`; zero if that is zero.
    pub(super) fn below(&mut self, below: usize) -> usize {
        let mut four = [0; 4];
        self.0.fill(&mut four);
        usize::try_from(u32::from_le_bytes(four)).unwrap_or(0).checked_rem(below).unwrap_or(0)
    }

    /// True once in `among` times.
    pub(super) fn one_in(&mut self, among: usize) -> bool {
        self.below(among) == 0
    }

    /// One of these; `None` if there are none.
    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }

    /// `count` characters of `alphabet`.
    pub(super) fn draw(&mut self, alphabet: &str, count: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..count).filter_map(|_| self.pick(&letters).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_purpose_draw_the_same_and_others_do_not() {
        let draw = |seed, purpose: &[&str]| Dice::new(seed, purpose).draw("abcdefghijklmnop", 24);
        assert_eq!(draw(7, &["a", "b"]), draw(7, &["a", "b"]));
        assert_ne!(draw(7, &["a", "b"]), draw(8, &["a", "b"]));
        assert_ne!(draw(7, &["a", "b"]), draw(7, &["ab"]), "words keep their borders");
    }
}

//! Pseudo-random letters and digits drawn from a hash of the request: the same request, the same draw.

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A stream of draws (BLAKE3's extendable output).
pub(super) struct Dice(blake3::OutputReader);

impl Dice {
    pub(super) fn new(seed: &[u8]) -> Self {
        Self(blake3::Hasher::new().update(seed).finalize_xof())
    }

    /// Another stream of draws, that depends on this one.
    pub(super) fn split(&mut self) -> Self {
        let mut seed = [0; 32];
        self.0.fill(&mut seed);
        Self::new(&seed)
    }

    /// A byte.
    pub(super) fn byte(&mut self) -> u8 {
        let mut one = [0];
        self.0.fill(&mut one);
        let [byte] = one;
        byte
    }

    /// A number below 65,536.
    pub(super) fn number(&mut self) -> u16 {
        let mut two = [0; 2];
        self.0.fill(&mut two);
        u16::from_le_bytes(two)
    }

    /// `count` characters of `alphabet`; empty when that is.
    pub(super) fn draw(&mut self, alphabet: &[u8], count: usize) -> String {
        let mut out = String::with_capacity(count);
        for _ in 0..count {
            let Some(at) = usize::from(self.number()).checked_rem(alphabet.len()) else { break };
            out.extend(alphabet.get(at).map(|byte| char::from(*byte)));
        }
        out
    }

    /// `count` letters and digits.
    pub(super) fn letters(&mut self, count: usize) -> String {
        self.draw(LETTERS, count)
    }

    /// An id with a prefix: `chatcmpl-` and 24 letters and digits.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{}", self.letters(24))
    }
}

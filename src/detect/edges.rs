//! Where words are, as `\b` understands them.

use super::words::{STEP, gathered};

/// Whether a word begins at a byte of the text.
#[inline]
pub(super) fn begins_word_at(text: &[u8], start: usize) -> bool {
    let is_word_at = |at: usize| text.get(at).is_some_and(is_word);
    is_word_at(start) && !start.checked_sub(1).is_some_and(is_word_at)
}

/// Whether a byte is part of a word.
#[inline]
pub(super) fn is_word(byte: &u8) -> bool {
    WORD.get(usize::from(*byte)) == Some(&true)
}

/// Which bytes are part of words, as `\b` understands them.
#[expect(clippy::indexing_slicing, reason = "a wrong index would not compile")]
static WORD: [bool; 256] = {
    let (mut word, mut byte) = ([false; 256], 0);
    while byte < 256 {
        word[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_');
        byte += 1;
    }
    word
};

/// Where words begin in a part of a text, and what is part of none; `behind_word` where one ends before it, and then the
/// same of the part behind it.
#[inline]
pub(super) fn edges(part: &[u8; STEP + 3], behind_word: &mut bool) -> (u64, u64) {
    let mut flags = [0; STEP];
    for (flag, byte) in flags.iter_mut().zip(part) {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        *flag = u8::from(letter | (byte.wrapping_sub(b'0') < 10) | (*byte == b'_'));
    }
    let words = gathered(&flags);
    let begun = words & !(words << 1 | u64::from(*behind_word));
    *behind_word = words >> (STEP - 1) != 0;
    (begun, !words)
}

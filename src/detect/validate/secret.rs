//! What tells a secret from an example: randomness, and words that mark what is not one.

/// Words that mark a secret as an example. Compared in lower case.
const PLACEHOLDERS: [&str; 31] = [
    "example",
    "placeholder",
    "your_",
    "your-",
    "yourkey",
    "yourtoken",
    "yoursecret",
    "yourpassword",
    "changeme",
    "change_me",
    "change-me",
    "changethis",
    "replaceme",
    "replace_",
    "replace-",
    "redacted",
    "insert",
    "dummy",
    "sample",
    "notreal",
    "not_real",
    "not-a-real",
    "fake",
    "foobar",
    "goeshere",
    "_here",
    "-here",
    "xxxx",
    "****",
    "....",
    "1234567890abcdef",
];
/// Letters or digits that count up or down, so many of them in a row, were typed.
const TYPED: usize = 8;
/// Equal characters in a row that were typed.
const EQUAL: usize = 6;

/// Bits per character of the longest run of characters that keys are written with.
pub(super) fn entropy(text: &[u8]) -> f32 {
    let in_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-');
    bits(text.split(|byte| !in_key(byte)).max_by_key(|run| run.len()).unwrap_or_default())
}

/// Bits per character.
pub(super) fn bits(text: &[u8]) -> f32 {
    if text.is_empty() {
        return 0.0;
    }
    let mut counts = [0_u16; 256];
    for byte in text {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    let length = text.len() as f32;
    counts.iter().filter(|count| **count > 0).fold(0.0, |bits, count| {
        let share = f32::from(*count) / length;
        bits - share * share.log2()
    })
}

/// A letter and a digit.
pub(super) fn mixed(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit) && text.iter().any(u8::is_ascii_alphabetic)
}

/// No word that marks an example, no run of equal characters, no counting.
pub(super) fn not_placeholder(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let marked = PLACEHOLDERS.iter().any(|word| memchr::memmem::find(&lower, word.as_bytes()).is_some());
    !marked && !lower.windows(EQUAL).any(|run| run.iter().all(|byte| Some(byte) == run.first())) && !counts(&lower)
}

/// Whether it counts: `12345678`, `abcdefgh`, `87654321`.
fn counts(lower: &[u8]) -> bool {
    let (mut up, mut down) = (1, 1);
    lower.windows(2).any(|pair| {
        let [a, b] = pair else { return false };
        let known = a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric();
        let after = |a: u8, b: u8| known && (a.wrapping_add(1) == b || (a, b) == (b'9', b'0'));
        up = if after(*a, *b) { up + 1 } else { 1 };
        down = if after(*b, *a) { down + 1 } else { 1 };
        up >= TYPED || down >= TYPED
    })
}

/// By first letter, the second letters that often follow it in words: bit 0 is `a`.
const FOLLOWS: [u32; 26] = [
    0x017e_bd6e,
    0x0016_4911,
    0x001e_4d95,
    0x0116_4919,
    0x01ef_f97f,
    0x011a_4931,
    0x0016_69d1,
    0x011a_4111,
    0x02ae_fc7f,
    0x0000_4011,
    0x0004_2111,
    0x011c_c939,
    0x0014_d113,
    0x013c_ed7d,
    0x017e_fd7f,
    0x011e_c991,
    0x0010_0000,
    0x013e_fd7d,
    0x015c_cd95,
    0x015e_d99d,
    0x000e_b95f,
    0x0000_4111,
    0x0006_6191,
    0x0008_8001,
    0x000c_e010,
    0x0000_0010,
];

/// Whether letters, of either case, are no word: three in ten pairs of neighbours are met in few words.
pub(super) fn is_wild(letters: &[u8]) -> bool {
    let odd = odd_pairs(letters);
    odd >= 2 && odd * 10 >= letters.len() * 3
}

/// Pairs of neighbours that are met in few words.
pub(super) fn odd_pairs(letters: &[u8]) -> usize {
    letters
        .windows(2)
        .filter(|pair| {
            let [a, b] = pair else { return false };
            let at = |byte: &u8| u32::from(byte.to_ascii_lowercase().wrapping_sub(b'a'));
            FOLLOWS.get(at(a) as usize).is_none_or(|follows| follows.checked_shr(at(b)).is_none_or(|own| own & 1 == 0))
        })
        .count()
}

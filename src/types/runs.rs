//! Runs of bytes of one kind, eight bytes at a time: the words of a text, as far as a hash of them needs to know.
//!
//! All of it is inlined into whoever asks: a call for every eight bytes would take longer than the rest.

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * EACH;
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes whose kind is told by one number.
const BLOCK: usize = 64;

/// Letters and digits, and every byte of a character that is not ASCII. Of eight bytes: the highest bit of each that is.
#[inline]
pub fn of_words(bytes: u64) -> u64 {
    let letters = within((bytes | (0x20 * EACH)) & !HIGH, b'a', b'z');
    (letters | within(bytes & !HIGH, b'0', b'9') | bytes) & HIGH
}

/// Everything but the white space of ASCII.
#[inline]
pub fn of_no_space(bytes: u64) -> u64 {
    let low = bytes & !HIGH;
    (!(within(low, b'\t', b'\r') | within(low, b' ', b' ')) | bytes) & HIGH
}

/// The bytes from `first` to `last`, of eight that have no highest bit.
#[inline]
fn within(low: u64, first: u8, last: u8) -> u64 {
    let at_least = low.wrapping_add(EACH.wrapping_mul(0x80 - u64::from(first)));
    let above = low.wrapping_add(EACH.wrapping_mul(0x7f - u64::from(last)));
    at_least & !above & HIGH
}

/// The longest runs of bytes of one kind, in order.
pub fn runs(text: &[u8], kind: impl Fn(u64) -> u64, mut each: impl FnMut(&[u8])) {
    let mut open = None;
    for (block, start) in text.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
        let within = mask(block, &kind);
        let mut at = 0;
        loop {
            let rest = if open.is_some() { !within } else { within } >> at;
            if rest == 0 {
                break;
            }
            at += rest.trailing_zeros();
            let here = start + at as usize;
            match open.take() {
                None => open = Some(here),
                Some(begun) => each(text.get(begun..here).unwrap_or_default()),
            }
        }
    }
    if let Some(begun) = open {
        each(text.get(begun..).unwrap_or_default());
    }
}

/// Bit `n` tells whether byte `n` is of the kind.
#[inline]
fn mask(block: &[u8], kind: impl Fn(u64) -> u64) -> u64 {
    let (eights, rest) = block.as_chunks::<8>();
    let bits = |bytes: u64| (kind(bytes) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let whole = eights.iter().rev().fold(0, |mask, eight| mask << 8 | bits(u64::from_le_bytes(*eight)));
    if rest.is_empty() {
        return whole;
    }
    let last = bits(padded(rest)) & !(u64::MAX << rest.len());
    whole | last << (8 * eights.len())
}

/// Fewer than eight bytes, the first one lowest.
#[inline]
fn padded(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// A hash of a run. `fold` is set in every byte first: 0x20 makes letters small.
#[inline]
pub fn hash(run: &[u8], fold: u8) -> u64 {
    let fold = EACH.wrapping_mul(u64::from(fold));
    let (eights, rest) = run.as_chunks::<8>();
    let mixed = |hash: u64, bytes: u64| (hash ^ bytes).wrapping_mul(MIX).rotate_left(29);
    let hash = eights
        .iter()
        .fold((run.len() as u64).wrapping_mul(MIX), |hash, eight| mixed(hash, u64::from_le_bytes(*eight) | fold));
    (hash ^ (told(rest) | fold)).wrapping_mul(MIX)
}

/// Fewer than eight bytes as a number that, with how many they are, says which: some of them twice.
#[inline]
fn told(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
    }
    let at = |place: usize| bytes.get(place).copied().map_or(0, u64::from);
    at(0) | at(bytes.len() / 2) << 8 | at(bytes.len().saturating_sub(1)) << 16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &[u8], kind: impl Fn(u64) -> u64) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        runs(text, kind, |run| all.push(run.to_vec()));
        all
    }

    #[test]
    fn every_byte_is_of_the_right_kind_in_every_place() {
        for byte in 0..=255_u8 {
            for place in 0..8 {
                let (mut bytes, only) = ([b' '; 8], 0x80_u64 << (8 * place));
                bytes[place] = byte;
                let is_word = byte.is_ascii_alphanumeric() || byte >= 0x80;
                assert_eq!(of_words(u64::from_le_bytes(bytes)), if is_word { only } else { 0 }, "{byte} {place}");
                let is_space = matches!(byte, b'\t'..=b'\r' | b' ');
                assert_eq!(of_no_space(u64::from_le_bytes(bytes)), if is_space { 0 } else { only }, "{byte} {place}");
            }
        }
        for set in 0..=255_u64 {
            let bytes: [u8; 8] = std::array::from_fn(|place| if set >> place & 1 == 1 { b'x' } else { b'-' });
            assert_eq!(mask(&bytes, of_words), set);
        }
    }

    #[test]
    fn case_is_folded_where_that_is_wanted() {
        assert_eq!(hash(b"Portcullis", 0x20), hash(b"pORTCULLIS", 0x20));
        assert_ne!(hash(b"Portcullis", 0), hash(b"portcullis", 0));
        assert_ne!(hash(b"a", 0), hash(b"a\0", 0));
        assert_ne!(hash(b"12345678", 0x20), hash(b"123456781", 0x20));
        let all: std::collections::BTreeSet<u64> = (0..8_u32)
            .flat_map(|size| (0..3_u64.pow(size)).map(move |text| (size, text)))
            .map(|(size, text)| {
                let word: Vec<u8> = (0..size).map(|at| b'a' + (text / 3_u64.pow(at) % 3) as u8).collect();
                hash(&word, 0x20)
            })
            .collect();
        assert_eq!(all.len(), (0..8).map(|size| 3_usize.pow(size)).sum::<usize>(), "of short words no two are alike");
    }

    #[test]
    fn runs_end_where_blocks_do_and_go_on_over_them() {
        for size in [1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 192, 300] {
            let word = vec![b'a'; size];
            assert_eq!(split(&word, of_words), [&word[..]], "{size}");
            for before in [1, 7, 8, 63, 64, 65] {
                let text = [&vec![b' '; before][..], &word, b" b"].concat();
                assert_eq!(split(&text, of_words), [&word[..], b"b"], "{before} {size}");
            }
        }
        assert!(split(b"", of_words).is_empty() && split(&[b' '; 64], of_no_space).is_empty());
    }

    proptest! {
        #[test]
        fn runs_are_what_splitting_gives(stretches in proptest::collection::vec((prop_oneof![Just(b' '), Just(b'-'), Just(b'a'), any::<u8>()], 1..90_usize), 0..30)) {
            let text: Vec<u8> = stretches.into_iter().flat_map(|(byte, times)| std::iter::repeat_n(byte, times)).collect();
            let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80;
            let words = text.split(|byte| !is_word(byte)).filter(|word| !word.is_empty());
            prop_assert_eq!(split(&text, of_words), words.map(<[u8]>::to_vec).collect::<Vec<_>>());
            let solid = text.split(|byte| matches!(byte, b'\t'..=b'\r' | b' ')).filter(|word| !word.is_empty());
            prop_assert_eq!(split(&text, of_no_space), solid.map(<[u8]>::to_vec).collect::<Vec<_>>());
        }
    }
}

//! JSON strings: finding where a plain run ends, decoding escapes, writing them.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks (with their high bit) the quotes, backslashes and control bytes of eight bytes; the lowest mark is exact.
fn marks(word: u64) -> u64 {
    let zero_in = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = word ^ (ONES.wrapping_mul(0x22));
    let backslash = word ^ (ONES.wrapping_mul(0x5c));
    let control = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word;
    (zero_in(quote) | zero_in(backslash) | control) & HIGHS
}

fn ends_run(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// How many bytes come before the first quote, backslash or control byte; all of them if there is none.
pub fn plain_run(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let mut done = 0_usize;
    // Most strings are short: two words first, then blocks that the compiler turns into vector code.
    for _ in 0..2 {
        let Some((word, tail)) = rest.split_first_chunk::<8>() else { break };
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            return done.saturating_add((found.trailing_zeros() / 8) as usize);
        }
        done = done.saturating_add(8);
        rest = tail;
    }
    while let Some((block, tail)) = rest.split_first_chunk::<64>() {
        if block.iter().fold(false, |hit, &byte| hit | (byte < 0x20) | (byte == b'"') | (byte == b'\\')) {
            break;
        }
        done = done.saturating_add(64);
        rest = tail;
    }
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            return done.saturating_add((found.trailing_zeros() / 8) as usize);
        }
        done = done.saturating_add(8);
        rest = tail;
    }
    let left = rest.iter().position(|&byte| ends_run(byte)).unwrap_or(rest.len());
    done.saturating_add(left)
}

/// The value of four hexadecimal digits.
pub(crate) fn hex4(digits: &[u8]) -> Option<u32> {
    let digits = digits.first_chunk::<4>()?;
    digits.iter().try_fold(0_u32, |value, &digit| Some((value << 4) | char::from(digit).to_digit(16)?))
}

/// Decodes the inside of a valid string literal. What is not valid stays as it is written.
pub fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, tail)) = rest.split_at_checked(plain_run(rest.as_bytes())) {
        out.push_str(plain);
        let (decoded, used) = match tail.as_bytes().first() {
            None => break,
            Some(b'\\') => escape_value(tail),
            // A quote or a control byte, which no valid literal holds.
            Some(&other) => (char::from(other), 1),
        };
        out.push(decoded);
        rest = tail.get(used..).unwrap_or_default();
    }
    out
}

/// The character of the escape that `tail` starts with, and how many bytes it takes.
fn escape_value(tail: &str) -> (char, usize) {
    let bytes = tail.as_bytes();
    match bytes.get(1) {
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(&b @ (b'"' | b'\\' | b'/')) => (char::from(b), 2),
        Some(b'u') => {
            let high = bytes.get(2..).and_then(hex4);
            let low = if bytes.get(6..8) == Some(b"\\u") { bytes.get(8..).and_then(hex4) } else { None };
            match (high, low) {
                (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                    let value = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    (char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
                }
                (Some(value), _) => (char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
                (None, _) => ('\\', 1),
            }
        }
        _ => ('\\', 1),
    }
}

/// Appends the inside of a string literal for this text: the shortest escapes, everything else as it is.
pub fn escape_into(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    loop {
        let run = plain_run(rest);
        let (plain, tail) = rest.split_at_checked(run).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = tail.split_first() else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
        rest = after;
    }
}

/// A whole string literal, quotes included.
pub fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_add(2));
    out.push(b'"');
    escape_into(text, &mut out);
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_run_ends_at_the_first_special_byte_wherever_it_is() {
        for length in 0..200_usize {
            let plain = vec![b'a'; length];
            assert_eq!(plain_run(&plain), length);
            for at in 0..length {
                for special in [b'"', b'\\', 0x00, 0x1f, b'\n'] {
                    let mut bytes = plain.clone();
                    bytes[at] = special;
                    assert_eq!(plain_run(&bytes), at, "byte {special:#x} at {at} of {length}");
                }
                for ordinary in [0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let mut bytes = plain.clone();
                    bytes[at] = ordinary;
                    assert_eq!(plain_run(&bytes), length, "byte {ordinary:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn escapes_round_trip() {
        for text in ["", "plain", "a\"b\\c\n\r\t\u{0}\u{1f}\u{7f}é\u{1f600}", "\\u0041"] {
            let mut out = Vec::new();
            escape_into(text, &mut out);
            assert_eq!(unescape(std::str::from_utf8(&out).unwrap()), text);
        }
        assert_eq!(unescape(r"\u0041\ud83d\ude00\/\b\f"), "A\u{1f600}/\u{8}\u{c}");
        let invalid = "a quote \" and a tab \t, é \\q \\u00";
        assert_eq!(unescape(invalid), invalid);
    }
}

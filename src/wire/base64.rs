//! Base64 as data URLs carry it: both alphabets, padding optional.

fn value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Whether every byte is of the alphabet or padding.
pub(crate) fn is_base64(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_' | b'='))
}

/// Decodes; `None` when something is no base64.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(digits.len().saturating_mul(3) / 4);
    for group in digits.chunks(4) {
        let bits = group.iter().try_fold(0_u32, |bits, &byte| Some((bits << 6) | value(byte)?))?;
        let [_, a, b, c] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        let whole = [a, b, c];
        out.extend_from_slice(whole.get(..group.len().checked_sub(1).filter(|&n| n > 0)?)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(decode(coded).unwrap(), plain.as_bytes());
        }
        assert_eq!(decode("a"), None);
        assert_eq!(decode("a b"), None);
        assert_eq!(decode("_-8"), Some(vec![0xff, 0xef]));
    }
}

//! Bytes as hexadecimal digits, and back.

/// Bytes in lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().map_or('0', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes that lower-case hexadecimal digits mean; `None` if they are not exactly `N`.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_bytes_are_inverse() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(hex(&[0, 9, 10, 255]), "00090aff");
        assert_eq!(unhex::<256>(&hex(&all)).unwrap().to_vec(), all);
    }

    #[test]
    fn only_lower_case_digits_of_the_right_number_are_read() {
        for wrong in ["", "0", "000", "0g", "0G", "0A", "+f", " f", "é"] {
            assert_eq!(unhex::<1>(wrong), None, "{wrong:?}");
        }
        assert_eq!(unhex::<0>(""), Some([]));
    }
}

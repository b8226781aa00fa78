//! Numbers: their digits, and the checksums that many kinds of number share.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The decimal digits of a text.
pub(super) fn digits(text: &[u8]) -> impl DoubleEndedIterator<Item = u32> + Clone + '_ {
    text.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'))
}

/// The digits of a text that has exactly `N` of them, not all alike.
pub(super) fn exactly<const N: usize>(text: &[u8]) -> Option<[u32; N]> {
    let all: Vec<u32> = digits(text).collect();
    let varied = all.iter().any(|digit| Some(digit) != all.first());
    all.try_into().ok().filter(|_| varied)
}

/// Letters and digits of a text, in upper case.
pub(super) fn compact(text: &[u8]) -> Vec<u8> {
    text.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_uppercase).collect()
}

/// Digits times weights, as far as both go.
pub(super) fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// Digits as one number.
pub(super) fn value(digits: &[u32]) -> u64 {
    digits.iter().fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(*digit)))
}

/// Whether there is such a month and, in some year, such a day in it.
pub(super) fn is_day(month: u32, day: u32) -> bool {
    let last = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=last).contains(&day)
}

/// Luhn's checksum (ISO/IEC 7812-1 annex B) over the digits, which are not all alike.
pub(super) fn luhn(text: &[u8]) -> bool {
    let mut all = digits(text);
    let Some(first) = all.next() else { return false };
    if all.all(|digit| digit == first) {
        return false;
    }
    let sum: u32 = digits(text)
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit) {
            (0, _) => digit,
            (_, 0..=4) => digit * 2,
            _ => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Verhoeff's checksum over the digits, which are not all alike: products in the dihedral group of ten.
pub(super) fn verhoeff(text: &[u8]) -> bool {
    let mut varied = digits(text);
    let first = varied.next();
    if varied.all(|digit| Some(digit) == first) {
        return false;
    }
    let product = |a: u32, b: u32| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a - 5 + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    const STEP: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let permuted = |times: usize, digit: u32| {
        (0..times % 8).fold(digit, |digit, _| STEP.get(digit as usize).copied().unwrap_or(digit))
    };
    digits(text).rev().enumerate().fold(0, |sum, (at, digit)| product(sum, permuted(at, digit))) == 0
}

/// ISO 7064 mod 11,10 over the digits, the first of which is not 0: German tax ids, Croatian personal numbers.
pub(super) fn mod11_10(text: &[u8]) -> bool {
    let Some(all) = exactly::<11>(text) else { return false };
    let (Some((last, body)), Some(first)) = (all.split_last(), all.first()) else { return false };
    let rest = body.iter().fold(10, |rest, digit| {
        let sum = (rest + digit) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    *first != 0 && (11 - rest) % 10 == *last
}

/// The address a text holds, whatever stands before it.
fn address(text: &[u8]) -> Option<[u8; 4]> {
    let text = std::str::from_utf8(text).ok()?;
    let start = text.find(|letter: char| letter.is_ascii_digit())?;
    let (_, from) = text.split_at_checked(start)?;
    let end = from.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(from.len());
    let (address, _) = from.split_at_checked(end)?;
    address.parse::<Ipv4Addr>().ok().map(|address| address.octets())
}

/// Four decimal numbers, each at most 255.
pub(super) fn ipv4(text: &[u8]) -> bool {
    address(text).is_some()
}

/// An IPv4 address that is not private, loopback, link-local, documentation or reserved.
pub(super) fn public_ipv4(text: &[u8]) -> bool {
    address(text).is_some_and(|address| {
        !matches!(
            address,
            [0 | 10 | 127 | 224..=255, ..]
                | [100, 64..=127, ..]
                | [169, 254, ..]
                | [172, 16..=31, ..]
                | [192, 168, ..]
                | [192, 0, 0 | 2, _]
                | [198, 18 | 19, ..]
                | [198, 51, 100, _]
                | [203, 0, 113, _]
        )
    })
}

/// An IPv6 address of the public Internet at the end of the match.
pub(super) fn public_ipv6(text: &[u8]) -> bool {
    let part = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b':';
    let begins = text.iter().rposition(|byte| !part(byte)).map_or(0, |at| at + 1);
    let address = text.get(begins..).and_then(|own| std::str::from_utf8(own).ok()).and_then(|own| own.parse().ok());
    address.is_some_and(|address: Ipv6Addr| {
        let segments = address.segments();
        matches!(segments, [0x2000..=0x3fff, ..]) && !matches!(segments, [0x2001, 0xdb8, ..])
    })
}

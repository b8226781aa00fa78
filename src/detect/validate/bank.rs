//! Numbers of banks, accounts and payment cards.

use super::number::{compact, digits, exactly, luhn, weighted};

/// ISO 7064 mod 97-10 over the letters and digits: IBAN, LEI.
pub(super) fn iban(text: &[u8]) -> bool {
    let compact = compact(text);
    if !(15..=34).contains(&compact.len()) {
        return false;
    }
    let (head, tail) = compact.split_at_checked(4).unwrap_or((&[], &compact));
    let rest = tail.iter().chain(head).fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    rest == 1
}

/// The checksum of US bank routing numbers.
pub(super) fn aba(text: &[u8]) -> bool {
    exactly::<9>(text).is_some_and(|all| weighted(&all, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10))
}

/// Luhn's checksum, and digits that are not mostly one: payment cards.
pub(super) fn card(text: &[u8]) -> bool {
    let mut counts = [0_usize; 10];
    let mut all = 0;
    for digit in digits(text) {
        all += 1;
        counts.get_mut(digit as usize).into_iter().for_each(|count| *count += 1);
    }
    counts.iter().all(|count| count * 5 < all * 4) && luhn(text)
}

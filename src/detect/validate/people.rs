//! Numbers that countries outside the European continent give to people, firms and vehicles.

use super::number::{compact, digits, exactly, is_day, luhn, value, weighted};

/// A UK NHS number: mod 11 over ten digits.
pub(super) fn nhs(text: &[u8]) -> bool {
    let Some(all) = exactly::<10>(text) else { return false };
    let check = (11 - weighted(&all, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    check != 10 && all.last() == Some(&check)
}

/// A US social security number whose area, group and serial are issued.
pub(super) fn ssn(text: &[u8]) -> bool {
    if digits(text).count() != 9 {
        return false;
    }
    let number = digits(text).fold(0_u32, |number, digit| number * 10 + digit);
    let (area, group, serial) = (number / 1_000_000, number / 10_000 % 100, number % 10_000);
    let issued = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    // Printed in wallets and advertisements, so void: 078-05-1120, 219-09-9999, and the counting 123-45-6789.
    issued && !matches!(number, 78_051_120 | 219_099_999 | 123_456_789)
}

/// A UK national insurance number at the end of the match, with a prefix that is issued.
pub(super) fn nino(text: &[u8]) -> bool {
    let all = compact(text);
    let own = all.get(all.len().saturating_sub(9)..).unwrap_or_default();
    let [first, second, middle @ .., last] = own else { return false };
    let void = [b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"];
    let letters = !b"DFIQUV".contains(first) && !b"DFIOQUV".contains(second);
    letters
        && first.is_ascii_alphabetic()
        && second.is_ascii_alphabetic()
        && !void.iter().any(|own| own.as_slice() == [*first, *second])
        && middle.len() == 6
        && middle.iter().all(u8::is_ascii_digit)
        && (b'A'..=b'D').contains(last)
}

/// A Brazilian personal tax number.
pub(super) fn cpf(text: &[u8]) -> bool {
    let Some(all) = exactly::<11>(text) else { return false };
    let check = |weights: &[u32]| weighted(&all, weights) * 10 % 11 % 10;
    let [.., first, second] = all;
    check(&[10, 9, 8, 7, 6, 5, 4, 3, 2]) == first && check(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == second
}

/// A Brazilian company number; letters count as in the alphanumeric form.
pub(super) fn cnpj(text: &[u8]) -> bool {
    let all: Vec<u32> = compact(text).into_iter().map(|byte| u32::from(byte - b'0')).collect();
    let [.., first, second] = all.as_slice() else { return false };
    let check = |weights: &[u32]| match weighted(&all, weights) % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    all.len() == 14
        && all.iter().any(|digit| digit != first)
        && check(&[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == *first
        && check(&[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == *second
}

/// An Argentine tax number.
pub(super) fn cuit(text: &[u8]) -> bool {
    let Some(all) = exactly::<11>(text) else { return false };
    let check = (11 - weighted(&all, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    matches!(all, [2 | 3, ..]) && all.last() == Some(&check)
}

/// A Chilean tax number, at the end of the match.
pub(super) fn rut(text: &[u8]) -> bool {
    let all: Vec<u8> =
        text.iter().filter(|byte| byte.is_ascii_digit() || byte.eq_ignore_ascii_case(&b'k')).copied().collect();
    let Some((last, body)) = all.split_last() else { return false };
    if !(7..=8).contains(&body.len()) || !body.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let sum: u32 = digits(body).rev().zip((2..=7).cycle()).map(|(digit, weight)| digit * weight).sum();
    let check = match 11 - sum % 11 {
        11 => b'0',
        10 => b'K',
        rest => b'0' + rest as u8,
    };
    last.to_ascii_uppercase() == check
}

/// A Mexican population number.
pub(super) fn curp(text: &[u8]) -> bool {
    let all = compact(text);
    let Some((last, body)) = all.split_last().filter(|(_, body)| body.len() == 17) else { return false };
    // The letter after N counts 24: the alphabet has an Ñ.
    let number = |byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'N' => u32::from(byte - b'A') + 10,
        _ => u32::from(byte - b'A') + 11,
    };
    let sum: u32 = body.iter().zip((2..=18).rev()).map(|(byte, weight)| number(byte) * weight).sum();
    last.is_ascii_digit() && (10 - sum % 10) % 10 == u32::from(last - b'0')
}

/// An Australian tax file number.
pub(super) fn tfn(text: &[u8]) -> bool {
    exactly::<9>(text).is_some_and(|all| weighted(&all, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11))
}

/// An Australian business number.
pub(super) fn abn(text: &[u8]) -> bool {
    let Some(all) = exactly::<11>(text) else { return false };
    let sum = weighted(&all, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    all.first().is_some_and(|first| *first > 0) && (sum - 10).is_multiple_of(89)
}

/// An Australian Medicare number, with or without the number of the reference.
pub(super) fn medicare_au(text: &[u8]) -> bool {
    let all: Vec<u32> = digits(text).collect();
    let sum = weighted(&all, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10;
    (10..=11).contains(&all.len()) && matches!(all.first(), Some(2..=6)) && all.get(8) == Some(&sum)
}

/// A Chinese resident number: a date and ISO 7064 mod 11-2.
pub(super) fn cn_id(text: &[u8]) -> bool {
    let all = compact(text);
    let Some((last, body)) = all.split_last().filter(|(_, body)| body.len() == 17) else { return false };
    let numbers: Vec<u32> = digits(body).collect();
    let two = |at: usize| numbers.get(at..at + 2).map_or(0, |own| value(own) as u32);
    let sum = weighted(&numbers, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let check = b"10X98765432".get((sum % 11) as usize);
    numbers.len() == 17 && matches!(two(6), 18..=20) && is_day(two(10), two(12)) && check == Some(last)
}

/// A Korean resident number: a date and a century digit. Newer ones have no checksum.
pub(super) fn kr_rrn(text: &[u8]) -> bool {
    let Some(all) = exactly::<13>(text) else { return false };
    let [_, _, m, n, d, e, century, ..] = all;
    is_day(m * 10 + n, d * 10 + e) && (1..=8).contains(&century)
}

/// A Japanese individual number.
pub(super) fn jp_my_number(text: &[u8]) -> bool {
    let Some(all) = exactly::<12>(text) else { return false };
    let rest = weighted(&all, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
    all.last() == Some(&if rest <= 1 { 0 } else { 11 - rest })
}

/// A Singaporean identity number.
pub(super) fn sg_nric(text: &[u8]) -> bool {
    let all = compact(text);
    let [first, middle @ .., last] = all.as_slice() else { return false };
    let numbers: Vec<u32> = digits(middle).collect();
    let (offset, letters): (u32, &[u8; 11]) = match first {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        b'M' => (3, b"XWUTRQPNJLK"),
        _ => return false,
    };
    let rest = (weighted(&numbers, &[2, 7, 6, 5, 4, 3, 2]) + offset) % 11;
    middle.len() == 7 && numbers.len() == 7 && letters.get(rest as usize) == Some(last)
}

/// A Taiwanese identity number.
pub(super) fn tw_id(text: &[u8]) -> bool {
    let all = compact(text);
    let Some((first, rest)) = all.split_first() else { return false };
    let Some(place) = b"ABCDEFGHJKLMNPQRSTUVXYWZIO".iter().position(|letter| letter == first) else { return false };
    let numbers: Vec<u32> = digits(rest).collect();
    let (area, last) = (place as u32 + 10, numbers.last().copied().unwrap_or(0));
    let sum = area / 10 + area % 10 * 9 + weighted(&numbers, &[8, 7, 6, 5, 4, 3, 2, 1]) + last;
    numbers.len() == 9 && rest.len() == 9 && matches!(numbers.first(), Some(1 | 2 | 8 | 9)) && sum.is_multiple_of(10)
}

/// A Hong Kong identity number: one or two letters, six digits, a check digit or A.
pub(super) fn hk_id(text: &[u8]) -> bool {
    let all = compact(text);
    let number = |byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte - b'A') + 10,
    };
    // A single letter stands behind a blank, which counts 36.
    let blank = if all.len() == 8 { 36 * 9 } else { 0 };
    let weights = (1..=all.len() as u32).rev();
    let sum: u32 = all.iter().zip(weights).map(|(byte, weight)| number(byte) * weight).sum();
    matches!(all.len(), 8 | 9) && (sum + blank).is_multiple_of(11)
}

/// A Thai identity number.
pub(super) fn th_id(text: &[u8]) -> bool {
    let Some(all) = exactly::<13>(text) else { return false };
    let check = (11 - weighted(&all, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 10;
    all.first().is_some_and(|first| *first > 0) && all.last() == Some(&check)
}

/// A South African identity number: a date and Luhn's checksum.
pub(super) fn za_id(text: &[u8]) -> bool {
    let Some([_, _, m, n, d, e, _, _, _, _, citizen, ..]) = exactly::<13>(text) else { return false };
    is_day(m * 10 + n, d * 10 + e) && citizen < 3 && luhn(text)
}

/// An Indian goods and services tax number.
pub(super) fn gstin(text: &[u8]) -> bool {
    let all = compact(text);
    let Some((last, body)) = all.split_last().filter(|(_, body)| body.len() == 14) else { return false };
    let number = |byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte - b'A') + 10,
    };
    let folded = |product: u32| product / 36 + product % 36;
    let sum: u32 = body.iter().zip([1, 2].into_iter().cycle()).map(|(byte, times)| folded(number(byte) * times)).sum();
    (36 - sum % 36) % 36 == number(last)
}

/// A vehicle identification number whose ninth letter is the check digit of the rest.
pub(super) fn vin(text: &[u8]) -> bool {
    let all = compact(text);
    let number = |byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'I' => u32::from(byte - b'A') + 1,
        b'J'..=b'R' => u32::from(byte - b'J') + 1,
        _ => u32::from(byte - b'S') + 2,
    };
    let numbers: Vec<u32> = all.iter().map(number).collect();
    let rest = weighted(&numbers, &[8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    let check = b"0123456789X".get(rest as usize);
    let mixed = all.iter().any(u8::is_ascii_alphabetic) && all.iter().any(u8::is_ascii_digit);
    all.len() == 17 && mixed && all.get(8) == check
}

/// A telephone number: eight to fifteen digits, not mostly one, that are no date.
pub(super) fn phone(text: &[u8]) -> bool {
    let begins = text.iter().position(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'('));
    let own = begins.and_then(|at| text.get(at..)).unwrap_or_default();
    let count = |digit: u8| own.iter().filter(|byte| **byte == digit).count();
    let all = digits(own).count();
    let groups: Vec<usize> =
        own.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).filter(|length| *length > 0).collect();
    let date = matches!(groups.as_slice(), [4, 1..=2, 1..=2] | [1..=2, 1..=2, 4]);
    (7..=18).contains(&all) && (b'0'..=b'9').all(|digit| count(digit) * 10 < all * 8) && !date
}

//! Numbers that countries of the European continent, Russia and Turkey give to people and firms.

use super::number::{compact, digits, exactly, is_day, luhn, value, weighted};

/// A Turkish identity number.
pub(super) fn tckn(text: &[u8]) -> bool {
    let Some([a, b, c, d, e, f, g, h, i, tenth, last]) = exactly::<11>(text) else { return false };
    let (odd, even) = (a + c + e + g + i, b + d + f + h);
    a != 0 && (odd * 7 + 90 - even) % 10 == tenth && (odd + even + tenth) % 10 == last
}

/// A Dutch citizen number.
pub(super) fn bsn(text: &[u8]) -> bool {
    let Some(all) = exactly::<9>(text) else { return false };
    let last = all.last().copied().unwrap_or(0);
    (weighted(&all, &[9, 8, 7, 6, 5, 4, 3, 2]) + 110 - last).is_multiple_of(11)
}

/// A French social security number: thirteen digits, in Corsica with a letter, and a key mod 97.
pub(super) fn nir(text: &[u8]) -> bool {
    let all = compact(text);
    let own = all.get(all.len().saturating_sub(15)..).unwrap_or_default();
    let plain: Vec<u32> = own
        .iter()
        .map(|byte| match byte {
            // 2A counts as 19, 2B as 18.
            b'A' => 9,
            b'B' => 8,
            _ => u32::from(byte.wrapping_sub(b'0')),
        })
        .collect();
    let corsican = own.get(6).is_some_and(u8::is_ascii_alphabetic);
    let letters = own.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let (Some(body), Some(key)) = (plain.get(..13), plain.get(13..15)) else { return false };
    let number = value(body) - if corsican { 10_000_000 } else { 0 };
    letters == usize::from(corsican) && matches!(plain.first(), Some(1..=4 | 7 | 8)) && 97 - number % 97 == value(key)
}

/// A Spanish identity number of citizens (DNI) or foreigners (NIE), at the end of the match.
pub(super) fn dni(text: &[u8]) -> bool {
    let all = compact(text);
    let own = all.get(all.len().saturating_sub(9)..).unwrap_or_default();
    let Some(([first, middle @ ..], last)) = own.split_last().map(|(last, body)| (body, last)) else { return false };
    let leading = match first {
        b'X' | b'0' => 0,
        b'Y' | b'1' => 1,
        b'Z' | b'2' => 2,
        b'3'..=b'9' => u64::from(first - b'0'),
        _ => return false,
    };
    let numbers: Vec<u32> = digits(middle).collect();
    let number = leading * 10_000_000 + value(&numbers);
    let check = b"TRWAGMYFPDXBNJZSQVHLCKE".get((number % 23) as usize);
    numbers.len() == 7 && middle.len() == 7 && check == Some(last)
}

/// An Italian tax code of a person.
pub(super) fn codice_fiscale(text: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let all = compact(text);
    let Some((last, body)) = all.split_last().filter(|(_, body)| body.len() == 15) else { return false };
    let place = |byte: &u8| match byte {
        b'0'..=b'9' => usize::from(byte - b'0'),
        _ => usize::from(byte - b'A'),
    };
    let number = |(at, byte): (usize, &u8)| match at % 2 {
        0 => ODD.get(place(byte)).copied().unwrap_or(0),
        _ => place(byte) as u32,
    };
    let sum: u32 = body.iter().enumerate().map(number).sum();
    last.is_ascii_alphabetic() && sum % 26 == u32::from(last - b'A')
}

/// A Polish identity number: a date whose month tells the century, and a checksum.
pub(super) fn pesel(text: &[u8]) -> bool {
    let Some(all) = exactly::<11>(text) else { return false };
    let [_, _, m, n, d, e, ..] = all;
    is_day((m * 10 + n) % 20, d * 10 + e) && weighted(&all, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
}

/// A Swedish personal number: a date, which may be moved by 60 days, and Luhn's checksum.
pub(super) fn personnummer(text: &[u8]) -> bool {
    let all: Vec<u8> = text.iter().filter(|byte| byte.is_ascii_digit()).copied().collect();
    let Some(own) = all.len().checked_sub(10).filter(|cut| matches!(cut, 0 | 2)).and_then(|cut| all.get(cut..)) else {
        return false;
    };
    let numbers: Vec<u32> = digits(own).collect();
    let [_, _, m, n, d, e, ..] = numbers.as_slice() else { return false };
    let day = d * 10 + e;
    is_day(m * 10 + n, if day > 60 { day - 60 } else { day }) && luhn(own)
}

/// A Finnish personal number.
pub(super) fn hetu(text: &[u8]) -> bool {
    let Some((last, body)) = text.split_last() else { return false };
    let all: Vec<u32> = digits(body).collect();
    let [d, e, m, n, ..] = all.as_slice() else { return false };
    let check = b"0123456789ABCDEFHJKLMNPRSTUVWXY".get((value(&all) % 31) as usize);
    all.len() == 9 && is_day(m * 10 + n, d * 10 + e) && check == Some(&last.to_ascii_uppercase())
}

/// A Norwegian birth number.
pub(super) fn fodselsnummer(text: &[u8]) -> bool {
    let Some(all) = exactly::<11>(text) else { return false };
    let [d, e, m, n, ..] = all;
    let day = d * 10 + e;
    is_day((m * 10 + n) % 40, if day > 40 { day - 40 } else { day })
        && weighted(&all, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        && weighted(&all, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

/// A Danish personal number begins with a date. Newer ones have no checksum.
pub(super) fn cpr(text: &[u8]) -> bool {
    exactly::<10>(text).is_some_and(|[d, e, m, n, ..]| is_day(m * 10 + n, d * 10 + e))
}

/// A Belgian national number; since 2000 a 2 stands before what is checked.
pub(super) fn rijksregister(text: &[u8]) -> bool {
    let Some(all) = exactly::<11>(text) else { return false };
    let (Some(body), Some(key)) = (all.get(..9), all.get(9..)) else { return false };
    let key = value(key);
    97 - value(body) % 97 == key || 97 - (2_000_000_000 + value(body)) % 97 == key
}

/// A Swiss social security number: an EAN-13 that begins with 756.
pub(super) fn ahv(text: &[u8]) -> bool {
    exactly::<13>(text).is_some_and(|all| {
        matches!(all, [7, 5, 6, ..]) && weighted(&all, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
    })
}

/// A Romanian personal number.
pub(super) fn cnp(text: &[u8]) -> bool {
    let Some(all) = exactly::<13>(text) else { return false };
    let [first, _, _, m, n, d, e, ..] = all;
    let rest = weighted(&all, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
    first != 0 && is_day(m * 10 + n, d * 10 + e) && all.last() == Some(&if rest == 10 { 1 } else { rest })
}

/// A Bulgarian personal number.
pub(super) fn egn(text: &[u8]) -> bool {
    let Some(all) = exactly::<10>(text) else { return false };
    let [_, _, m, n, d, e, ..] = all;
    let check = weighted(&all, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10;
    is_day((m * 10 + n) % 20, d * 10 + e) && all.last() == Some(&check)
}

/// A Czech or Slovak birth number of ten digits.
pub(super) fn rodne_cislo(text: &[u8]) -> bool {
    let Some(all) = exactly::<10>(text) else { return false };
    let [_, _, m, n, d, e, ..] = all;
    let month = (m * 10 + n) % 50;
    is_day(if month > 20 { month - 20 } else { month }, d * 10 + e) && value(&all).is_multiple_of(11)
}

/// An Estonian or Lithuanian personal number.
pub(super) fn isikukood(text: &[u8]) -> bool {
    let Some(all) = exactly::<11>(text) else { return false };
    let [first, _, _, m, n, d, e, ..] = all;
    let rest = match weighted(&all, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11 {
        10 => weighted(&all, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10,
        rest => rest,
    };
    (1..=8).contains(&first) && is_day(m * 10 + n, d * 10 + e) && all.last() == Some(&rest)
}

/// A Portuguese tax number.
pub(super) fn nif_pt(text: &[u8]) -> bool {
    let Some(all) = exactly::<9>(text) else { return false };
    let rest = weighted(&all, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    all.last() == Some(&if rest < 2 { 0 } else { 11 - rest })
}

/// A Russian pension insurance number.
pub(super) fn snils(text: &[u8]) -> bool {
    let Some(all) = exactly::<11>(text) else { return false };
    let sum = weighted(&all, &[9, 8, 7, 6, 5, 4, 3, 2, 1]) % 101 % 100;
    all.get(9..).is_some_and(|key| value(key) == u64::from(sum))
}

/// A Russian tax number of a firm (10 digits) or a person (12 digits).
pub(super) fn inn(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 11] = [3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8];
    let all: Vec<u32> = digits(text).collect();
    // The weights of each check digit are the last of these.
    let holds = |at: usize| {
        let weights = WEIGHTS.get(WEIGHTS.len() - at..).unwrap_or_default();
        all.get(at).is_some_and(|own| weighted(&all, weights) % 11 % 10 == *own)
    };
    match all.len() {
        10 => holds(9),
        12 => holds(10) && holds(11),
        _ => false,
    }
}

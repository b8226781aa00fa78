//! Disguises of letters and words, as attackers put them on.

use crate::train::rng::Rng;
use crate::types;

/// Words of a text that can be written letter by letter; more would be tiring to read and to write.
const SPACED: usize = 40;

/// A space after each letter, three between words.
pub(super) fn spaced(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let apart = |word: &&str| word.chars().map(String::from).collect::<Vec<_>>().join(" ");
    (words.len() <= SPACED).then(|| words.iter().map(apart).collect::<Vec<_>>().join("   "))
}

/// Digits for letters.
pub(super) fn leet(text: &str) -> Option<String> {
    let digit = |letter: char| match letter {
        'a' | 'A' => '4',
        'e' | 'E' => '3',
        'i' | 'I' => '1',
        'o' | 'O' => '0',
        's' | 'S' => '5',
        't' | 'T' => '7',
        _ => letter,
    };
    text.is_ascii().then(|| text.chars().map(digit).collect())
}

/// Letters of other scripts that look the same, in some places.
pub(super) fn homoglyphs(text: &str, rng: &mut Rng) -> Option<String> {
    let like = |letter: char| match letter {
        'a' => 'а',
        'e' => 'е',
        'o' => 'о',
        'p' => 'р',
        'c' => 'с',
        'x' => 'х',
        'y' => 'у',
        'i' => 'і',
        's' => 'ѕ',
        _ => letter,
    };
    let swapped = |letter: char| if rng.below(10) < 4 { like(letter) } else { letter };
    let varied: String = text.chars().map(swapped).collect();
    (varied != text).then_some(varied)
}

/// Characters that show as nothing inside words.
pub(super) fn zero_width(text: &str, rng: &mut Rng) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut inside = false;
    for letter in text.chars() {
        if inside && letter.is_alphabetic() && rng.below(10) < 3 {
            out.push(*rng.pick(&['\u{200b}', '\u{200c}', '\u{2060}', '\u{ad}']).unwrap_or(&'\u{200b}'));
        }
        inside = letter.is_alphabetic();
        out.push(letter);
    }
    out
}

/// Wide forms of letters.
pub(super) fn full_width(text: &str) -> Option<String> {
    let wide = |letter: char| match letter {
        '!'..='~' => char::from_u32(letter as u32 + 0xfee0).unwrap_or(letter),
        _ => letter,
    };
    text.is_ascii().then(|| text.chars().map(wide).collect())
}

pub(super) fn base64(text: &str) -> String {
    types::base64(text.as_bytes())
}

pub(super) fn hex(text: &str) -> String {
    types::hex(text.as_bytes())
}

/// Letters moved on by thirteen.
pub(super) fn rot13(text: &str) -> Option<String> {
    let moved = |letter: char| match letter {
        'a'..='m' | 'A'..='M' => char::from_u32(letter as u32 + 13).unwrap_or(letter),
        'n'..='z' | 'N'..='Z' => char::from_u32(letter as u32 - 13).unwrap_or(letter),
        _ => letter,
    };
    text.is_ascii().then(|| text.chars().map(moved).collect())
}

/// Every byte as a percent sign and two digits.
pub(super) fn url(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Strings to be put together, cut within words.
pub(super) fn concatenated(text: &str, rng: &mut Rng) -> Option<String> {
    if text.contains('"') {
        return None;
    }
    let letters: Vec<char> = text.chars().collect();
    let (mut parts, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        let size = 6 + rng.below(7);
        let part: String = letters.iter().skip(at).take(size).collect();
        parts.push(format!("\"{part}\""));
        at += size;
    }
    (parts.len() > 1).then(|| format!("text = {}", parts.join(" + ")))
}

/// Numbered parts of a few words.
pub(super) fn parts(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let part = |(nth, words): (usize, &[&str])| format!("Part {}: {}", nth + 1, words.join(" "));
    let parts: Vec<String> = words.chunks(4).enumerate().map(part).collect();
    (parts.len() > 1).then(|| format!("{}\nRead the parts as one request.", parts.join("\n")))
}

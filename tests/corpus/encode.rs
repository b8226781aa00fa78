//! Ways to write a text so that a filter for words does not see it and a model still reads it.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};

/// A way to write a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoding {
    /// What cases call it.
    pub(crate) name: &'static str,
    pub(crate) write: fn(&str) -> String,
}

const fn way(name: &'static str, write: fn(&str) -> String) -> Encoding {
    Encoding { name, write }
}

pub(crate) const ALL: [Encoding; 12] = [
    way("base64", base64),
    way("hex", hex),
    way("url", url),
    way("rot13", rot13),
    way("reversed", reversed),
    way("leet", leet),
    way("spaced", spaced),
    way("fullwidth", fullwidth),
    way("zero_width", zero_width),
    way("html", html),
    way("unicode_escapes", unicode_escapes),
    way("homoglyphs", homoglyphs),
];

fn base64(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn url(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02X}").unwrap();
        out
    })
}

fn rot13(text: &str) -> String {
    let turned = |letter: char| match letter {
        'a'..='z' => char::from((letter as u8 - b'a' + 13) % 26 + b'a'),
        'A'..='Z' => char::from((letter as u8 - b'A' + 13) % 26 + b'A'),
        other => other,
    };
    text.chars().map(turned).collect()
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

fn leet(text: &str) -> String {
    let digit = |letter: char| match letter.to_ascii_lowercase() {
        'a' => '4',
        'e' => '3',
        'i' => '1',
        'o' => '0',
        's' => '5',
        't' => '7',
        _ => letter,
    };
    text.chars().map(digit).collect()
}

fn spaced(text: &str) -> String {
    let word = |word: &str| word.chars().map(String::from).collect::<Vec<_>>().join(" ");
    text.split_whitespace().map(word).collect::<Vec<_>>().join("   ")
}

fn fullwidth(text: &str) -> String {
    let wide = |letter: char| match letter {
        ' ' => '\u{3000}',
        '!'..='~' => char::from_u32(letter as u32 + 0xfee0).unwrap(),
        other => other,
    };
    text.chars().map(wide).collect()
}

fn zero_width(text: &str) -> String {
    text.chars().flat_map(|letter| [letter, '\u{200b}']).collect()
}

fn html(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, letter| {
        write!(out, "&#{};", letter as u32).unwrap();
        out
    })
}

fn unicode_escapes(text: &str) -> String {
    let mut units = [0; 2];
    text.chars().fold(String::new(), |mut out, letter| {
        for unit in letter.encode_utf16(&mut units) {
            write!(out, "\\u{unit:04x}").unwrap();
        }
        out
    })
}

fn homoglyphs(text: &str) -> String {
    let alike = |letter: char| match letter {
        'a' => 'а',
        'c' => 'с',
        'e' => 'е',
        'i' => 'і',
        'o' => 'о',
        'p' => 'р',
        's' => 'ѕ',
        'x' => 'х',
        'y' => 'у',
        other => other,
    };
    text.chars().map(alike).collect()
}

#[test]
fn encodings_are_what_they_are_called() {
    let all: Vec<String> = ALL.iter().map(|encoding| (encoding.write)("So it")).collect();
    let expected = [
        "U28gaXQ=",
        "536f206974",
        "%53%6F%20%69%74",
        "Fb vg",
        "ti oS",
        "50 17",
        "S o   i t",
        "Ｓｏ　ｉｔ",
        "S\u{200b}o\u{200b} \u{200b}i\u{200b}t\u{200b}",
        "&#83;&#111;&#32;&#105;&#116;",
        "\\u0053\\u006f\\u0020\\u0069\\u0074",
        "S\u{43e} \u{456}t",
    ];
    assert_eq!(all, expected);
}

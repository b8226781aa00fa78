//! Characters written as escapes: `%41`, `\x41`, `\u0041`, `\101`, `&#65;`, `=41`, `U+0041`.

use std::ops::Range;

use super::Disguise;
use super::view::Patch;

/// What one escape stands for.
enum Unit {
    /// A byte of UTF-8.
    Byte(u8),
    /// A character.
    Char(char),
    /// Half of a pair.
    Surrogate(u16),
}

/// Escapes of a region decoded in their places, by kind, where letters are among them.
pub(super) fn escapes(text: &str, region: Range<usize>, found: &mut Vec<(Disguise, Vec<Patch>)>) {
    let Some(own) = text.get(region.clone()) else { return };
    for disguise in [Disguise::Url, Disguise::Entities, Disguise::Escapes, Disguise::Quoted] {
        let mut writer = Writer::default();
        let mut at = 0;
        let mut skipped = 0;
        let bytes = own.as_bytes();
        while let Some(byte) = bytes.get(at) {
            let is_start = match disguise {
                Disguise::Url => *byte == b'%',
                Disguise::Entities => *byte == b'&',
                Disguise::Quoted => *byte == b'=',
                _ => matches!(byte, b'\\' | b'U' | b'u' | b'0'),
            };
            let read = if is_start { unit(disguise, bytes.get(at..).unwrap_or_default()) } else { None };
            match read {
                Some((unit, len)) => {
                    writer.push(region.start + at..region.start + at + len, unit, skipped);
                    at += len;
                    skipped = 0;
                }
                None => {
                    // A separator between escapes of a list may go with them.
                    skipped = if matches!(byte, b' ' | b',' | b';') { skipped + 1 } else { usize::MAX / 2 };
                    at += 1;
                }
            }
        }
        writer.flush();
        if writer.letters >= 3 || writer.spaces >= 3 {
            found.push((disguise, writer.patches));
        }
    }
}

#[derive(Default)]
struct Writer {
    patches: Vec<Patch>,
    bytes: Vec<u8>,
    range: Range<usize>,
    high: Option<u16>,
    letters: usize,
    spaces: usize,
    listed: bool,
}

impl Writer {
    fn push(&mut self, range: Range<usize>, unit: Unit, skipped: usize) {
        // `0x41, 0x42` and `U+0041 U+0042` are lists: what separates them says nothing.
        let follows = range.start == self.range.end || self.listed && skipped <= 2;
        if !follows {
            self.flush();
            self.range.start = range.start;
        }
        self.listed = range.end - range.start >= 4 && matches!(unit, Unit::Char(_)) && range.start != self.range.end
            || self.listed && follows;
        self.range.end = range.end;
        let letter = match unit {
            Unit::Byte(byte) => {
                self.bytes.push(byte);
                char::from(byte)
            }
            Unit::Char(letter) => {
                self.bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes());
                letter
            }
            Unit::Surrogate(half) => {
                let pair = self.high.take().and_then(|high| char::decode_utf16([high, half]).next()?.ok());
                match pair {
                    Some(letter) => self.bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
                    None => self.high = Some(half),
                }
                ' '
            }
        };
        self.letters += usize::from(letter.is_alphanumeric());
        self.spaces += usize::from(letter == ' ');
    }

    fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.patches.push(Patch::whole(self.range.clone(), text));
        }
        self.listed = false;
    }
}

/// The escape that `bytes` begin with, and its length.
fn unit(disguise: Disguise, bytes: &[u8]) -> Option<(Unit, usize)> {
    match (disguise, bytes) {
        (Disguise::Url, [b'%', b'u', rest @ ..]) => wide(number(rest.get(..4)?, 16)?).map(|unit| (unit, 6)),
        (Disguise::Url, [b'%', rest @ ..]) | (Disguise::Quoted, [b'=', rest @ ..]) => {
            Some((Unit::Byte(u8::try_from(number(rest.get(..2)?, 16)?).ok()?), 3))
        }
        (Disguise::Entities, [b'&', rest @ ..]) => entity(rest),
        (_, [b'\\', b'x', b'{', rest @ ..] | [b'\\', b'u', b'{', rest @ ..]) => {
            let end = rest.iter().take(7).position(|byte| *byte == b'}')?;
            Some((wide(number(rest.get(..end)?, 16)?)?, end + 4))
        }
        (_, [b'\\', b'x', rest @ ..]) => Some((Unit::Byte(u8::try_from(number(rest.get(..2)?, 16)?).ok()?), 4)),
        (_, [b'\\', b'u', rest @ ..]) => Some((wide(number(rest.get(..4)?, 16)?)?, 6)),
        (_, [b'\\', b'U', rest @ ..]) => Some((wide(number(rest.get(..8)?, 16)?)?, 10)),
        (_, [b'\\', rest @ ..]) if matches!(rest, [b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', ..]) => {
            Some((Unit::Byte(u8::try_from(number(rest.get(..3)?, 8)?).ok()?), 4))
        }
        (_, [b'\\', rest @ ..]) if matches!(rest, [b'4'..=b'7', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]) => {
            Some((Unit::Char(char::from_u32(number(rest.get(..2)?, 16)?)?), 3))
        }
        (_, [b'U' | b'u', b'+', rest @ ..]) => {
            let digits = rest.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let unit = if digits >= 4 { wide(number(rest.get(..digits)?, 16)?) } else { None };
            unit.map(|unit| (unit, digits + 2))
        }
        (_, [b'0', b'x', rest @ ..]) => {
            let digits = rest.iter().take(3).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let unit = if digits == 2 { char::from_u32(number(rest.get(..2)?, 16)?) } else { None };
            unit.map(|unit| (Unit::Char(unit), 4))
        }
        _ => None,
    }
}

fn wide(code: u32) -> Option<Unit> {
    match code {
        0xd800..=0xdfff => Some(Unit::Surrogate(code as u16)),
        _ => char::from_u32(code).map(Unit::Char),
    }
}

/// Digits, all of them, of a base.
fn number(digits: &[u8], base: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |sum, digit| sum.checked_mul(base)?.checked_add(char::from(*digit).to_digit(base)?))
}

/// What stands behind `&`: a number, or one of the names of ASCII characters.
fn entity(rest: &[u8]) -> Option<(Unit, usize)> {
    if let [b'#', digits @ ..] = rest {
        let (base, skip) = match digits {
            [b'x' | b'X', ..] => (16, 1),
            _ => (10, 0),
        };
        let digits = digits.get(skip..)?;
        let len = digits.iter().take(8).take_while(|digit| char::from(**digit).is_digit(base)).count();
        let end = usize::from(digits.get(len) == Some(&b';'));
        return Some((wide(number(digits.get(..len)?, base)?)?, 2 + skip + len + end));
    }
    let names: [(&str, char); 22] = [
        ("lt;", '<'),
        ("gt;", '>'),
        ("amp;", '&'),
        ("quot;", '"'),
        ("apos;", '\''),
        ("nbsp;", ' '),
        ("Tab;", '\t'),
        ("NewLine;", '\n'),
        ("excl;", '!'),
        ("period;", '.'),
        ("comma;", ','),
        ("colon;", ':'),
        ("semi;", ';'),
        ("lpar;", '('),
        ("rpar;", ')'),
        ("sol;", '/'),
        ("bsol;", '\\'),
        ("num;", '#'),
        ("equals;", '='),
        ("lowbar;", '_'),
        ("ZeroWidthSpace;", '\u{200b}'),
        ("shy;", '\u{ad}'),
    ];
    let known = names.iter().find(|(name, _)| rest.starts_with(name.as_bytes()));
    known.map(|(name, letter)| (Unit::Char(*letter), name.len() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Vec<(Disguise, String)> {
        let mut found = Vec::new();
        escapes(text, 0..text.len(), &mut found);
        let join = |patches: Vec<Patch>| super::super::view::splice(text, &patches).text;
        found.into_iter().map(|(disguise, patches)| (disguise, join(patches))).collect()
    }

    #[test]
    fn every_kind_is_read_in_its_place() {
        for (text, disguise) in [
            ("now %66%6f%72%67et it", Disguise::Url),
            ("now %u0066%u006f%u0072%u0067et it", Disguise::Url),
            ("now &#102;&#x6f;&#114;&#x67;et it", Disguise::Entities),
            (r"now \x66\x6f\x72\x67et it", Disguise::Escapes),
            (r"now \u0066\u006f\u{72}\u0067et it", Disguise::Escapes),
            (r"now \146\157\162\147et it", Disguise::Escapes),
            ("now =66=6f=72=67et it", Disguise::Quoted),
            ("now 0x66, 0x6f, 0x72, 0x67 it", Disguise::Escapes),
            ("now U+0066 U+006F U+0072 U+0067 it", Disguise::Escapes),
        ] {
            let want = if text.contains("U+") || text.contains("0x") { "now forg it" } else { "now forget it" };
            assert_eq!(decoded(text), [(disguise, want.to_owned())], "{text}");
        }
        assert_eq!(decoded("stay%20calm%20and%20go"), [(Disguise::Url, "stay calm and go".into())]);
    }

    #[test]
    fn a_few_escapes_are_ordinary() {
        for text in ["100% of it &amp; more &lt;b&gt;", r"a\nb\tc\\d", "x=41 y=42", "width: 50%; a%20b", "\\"] {
            assert_eq!(decoded(text), [], "{text}");
        }
    }
}

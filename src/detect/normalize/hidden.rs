//! Text hidden in characters that show as nothing: tags, variation selectors, zero-width bits.

use std::ops::Range;

use super::survey::is_selector;
use super::view::Patch;

/// What is hidden, decoded in its place.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    pub(super) patches: Vec<Patch>,
}

impl Hidden {
    /// From the first to the last hidden character.
    pub(super) fn range(&self) -> Option<Range<usize>> {
        Some(self.patches.first()?.range.start..self.patches.last()?.range.end)
    }
}

/// How hidden characters hide.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Tags,
    Selectors,
    Bits,
}

const fn way(letter: char) -> Option<Way> {
    match letter {
        '\u{e0000}'..='\u{e007f}' => Some(Way::Tags),
        '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{180e}' => {
            Some(Way::Bits)
        }
        _ if is_selector(letter) => Some(Way::Selectors),
        _ => None,
    }
}

/// Finds hidden text. Emoji, flags of regions, joiners of Persian and Indic text are not.
pub(super) fn find(text: &str) -> Hidden {
    let mut found = Hidden::default();
    let mut run: Vec<char> = Vec::new();
    let (mut start, mut kind, mut before) = (0, None, ' ');
    for (at, letter) in text.char_indices().chain([(text.len(), ' ')]) {
        let own = way(letter);
        if own == kind && kind.is_some() {
            run.push(letter);
            continue;
        }
        if let Some(kind) = kind
            && let Some(read) = read(kind, &run, before)
        {
            found.patches.push(Patch::whole(start..at, read));
        }
        if own.is_some() && kind.is_none() || kind.is_none() {
            before = if own.is_none() { letter } else { before };
        }
        run.clear();
        run.extend(own.map(|_| letter));
        (start, kind) = (at, own);
        if own.is_none() {
            before = letter;
        }
    }
    found
}

/// What a run of hidden characters says; `None` where it is in ordinary use.
fn read(way: Way, run: &[char], before: char) -> Option<String> {
    match way {
        Way::Tags => {
            let said: String = run.iter().filter_map(|tag| char::from_u32(*tag as u32 - 0xe0000)).collect();
            let flag = before == '\u{1f3f4}' && said.len() <= 7 && said.ends_with('\u{7f}');
            let said: String = said.chars().filter(|letter| !letter.is_control() || *letter == '\n').collect();
            (!flag && said.len() >= 2).then_some(said)
        }
        Way::Selectors if run.len() < 4 => None,
        Way::Selectors => {
            let bytes: Vec<u8> = run.iter().filter_map(|selector| byte(*selector)).collect();
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        Way::Bits if run.len() < 32 => None,
        Way::Bits => bits(run),
    }
}

fn byte(selector: char) -> Option<u8> {
    match selector as u32 {
        low @ 0xfe00..=0xfe0f => u8::try_from(low - 0xfe00).ok(),
        high => u8::try_from(high.checked_sub(0xe0100)? + 16).ok(),
    }
}

/// Two kinds of character as bits, either way round, with others between letters or not.
fn bits(run: &[char]) -> Option<String> {
    let mut kinds: Vec<(char, usize)> = Vec::new();
    for letter in run {
        match kinds.iter_mut().find(|(kind, _)| kind == letter) {
            Some((_, count)) => *count += 1,
            None => kinds.push((*letter, 1)),
        }
    }
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let [(one, _), (zero, _), ..] = kinds.as_slice() else { return None };
    for (one, zero) in [(one, zero), (zero, one)] {
        let bits: Vec<bool> = run.iter().filter(|kind| *kind == one || *kind == zero).map(|kind| kind == one).collect();
        for width in [8, 7, 16] {
            let number = |bits: &[bool]| bits.iter().fold(0_u32, |sum, bit| sum << 1 | u32::from(*bit));
            let said: String = bits.chunks_exact(width).filter_map(|bits| char::from_u32(number(bits))).collect();
            if said.len() >= 4 && said.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
                return Some(said);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        find(text).patches.into_iter().map(|patch| patch.text).collect()
    }

    #[test]
    fn tags_selectors_and_bits_are_read() {
        let tags: String = "obey me".chars().map(|letter| char::from_u32(letter as u32 + 0xe0000).unwrap()).collect();
        assert_eq!(said(&format!("hi {tags}!")), ["obey me"]);
        let selector =
            |byte: u8| char::from_u32(if byte < 16 { 0xfe00 } else { 0xe0100 - 16 } + u32::from(byte)).unwrap();
        let selectors: String = "obey me\n".bytes().map(selector).collect();
        assert_eq!(said(&format!("😀{selectors} hi")), ["obey me\n"]);
        let bits: String = "obey me"
            .bytes()
            .flat_map(|byte| (0..8).rev().map(move |at| if byte >> at & 1 == 1 { '\u{200c}' } else { '\u{200b}' }))
            .collect();
        assert_eq!(said(&format!("hi {bits}")), ["obey me"]);
        assert_eq!(find(&format!("hi {tags}!")).range(), Some(3..3 + tags.len()));
    }

    #[test]
    fn what_writing_needs_is_not_hidden_text() {
        for text in [
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} wins",
            "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f} می\u{200c}خواهم",
            "\u{feff}name,age",
            "葛\u{e0100}城",
        ] {
            assert!(find(text).range().is_none(), "{text}");
        }
    }
}

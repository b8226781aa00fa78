//! Letters drawn as something else: upside down, as braille cells.

use super::view::Patch;

/// Turned letters that no text uses for themselves, but for phonetic spelling.
pub(super) const fn is_turned(letter: char) -> bool {
    matches!(letter, 'ɐ' | 'ɔ' | 'ǝ' | 'ɟ' | 'ƃ' | 'ɥ' | 'ᴉ' | 'ɾ' | 'ʞ' | 'ɯ' | 'ɹ' | 'ʇ' | 'ʍ' | 'ʎ' | 'Ⅎ' | '⅄')
}

/// What a letter of a turned text shows upside down.
const fn upright(letter: char) -> char {
    match letter {
        'ɐ' => 'a',
        'ɔ' => 'c',
        'ǝ' => 'e',
        'ɟ' => 'f',
        'ƃ' | 'ᵷ' | 'ɓ' => 'g',
        'ɥ' => 'h',
        'ᴉ' | 'ı' | '!' => {
            if letter == '!' {
                '¡'
            } else {
                'i'
            }
        }
        'ɾ' | 'ſ' => 'j',
        'ʞ' => 'k',
        'ɯ' => 'm',
        'ɹ' => 'r',
        'ʇ' => 't',
        'ʌ' => 'v',
        'ʍ' => 'w',
        'ʎ' => 'y',
        '∀' => 'A',
        'Ɔ' => 'C',
        'Ǝ' | '∃' => 'E',
        'Ⅎ' => 'F',
        '⅁' => 'G',
        '˥' | '⅂' => 'L',
        'Ԁ' => 'P',
        '┴' | '⊥' => 'T',
        '∩' => 'U',
        'Λ' => 'V',
        '⅄' => 'Y',
        'u' => 'n',
        'n' => 'u',
        'p' => 'd',
        'd' => 'p',
        'b' => 'q',
        'q' => 'b',
        'W' => 'M',
        'M' => 'W',
        '6' => '9',
        '9' => '6',
        '˙' => '.',
        '\'' => ',',
        ',' => '\'',
        '¿' => '?',
        '¡' => '!',
        '(' => ')',
        ')' => '(',
        '‾' => '_',
        other => other,
    }
}

/// Lines of turned letters, read from their end. Some writers leave the order or the punctuation as it was: where the
/// stop comes first it stands.
pub(super) fn turned(text: &str) -> Vec<Patch> {
    let mut patches = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = turned_range(line);
        if let Some(part) = range.clone().and_then(|range| line.get(range)) {
            let read: String =
                part.chars().rev().map(|letter| if letter == ',' { ',' } else { upright(letter) }).collect();
            let start = at + range.map_or(0, |range| range.start);
            patches.push(Patch::whole(start..start + part.len(), read));
        }
        at += line.len();
    }
    patches
}

/// From the first to the last word with turned letters, where there are three.
fn turned_range(line: &str) -> Option<std::ops::Range<usize>> {
    let at = |letter: &(usize, char)| is_turned(letter.1).then_some(letter.0);
    let first = line.char_indices().find_map(|letter| at(&letter))?;
    let last = line.char_indices().rev().find_map(|letter| at(&letter))?;
    if line.chars().filter(|letter| is_turned(*letter)).count() < 3 {
        return None;
    }
    let start = line.get(..first)?.rfind(char::is_whitespace).map_or(0, |space| space + 1);
    let rest = line.get(last..)?;
    let end = rest.find(char::is_whitespace).map_or(line.len(), |space| last + space);
    // Words of letters that look the same turned go with their neighbours.
    let alone = |word: &str| word.len() <= 5 && word.chars().all(|letter| "onxszupdbqliIOXSHNZ.!?,'".contains(letter));
    let before = line.get(..start).unwrap_or_default().split_whitespace().rev().take_while(|word| alone(word));
    let start = before.last().map_or(start, |word| word.as_ptr() as usize - line.as_ptr() as usize);
    let behind = line.get(end..).unwrap_or_default().split_whitespace().take_while(|word| alone(word));
    let end = behind.last().map_or(end, |word| word.as_ptr() as usize - line.as_ptr() as usize + word.len());
    Some(start..end)
}

/// The letters of the first 64 braille cells, by dot pattern.
const CELLS: &[u8; 64] = b" a,b'k;l.cif.msp.e:h.o!r.djg.ntq....-u?v.....x......\"z....w..y..";

/// Runs of braille cells, spelt out.
pub(super) fn braille(text: &str) -> Vec<Patch> {
    let mut patches = Vec::new();
    let mut run: Option<(usize, String)> = None;
    let is_cell = |letter: char| matches!(letter, '\u{2800}'..='\u{28ff}');
    for (at, letter) in text.char_indices().chain([(text.len(), '\0')]) {
        match &mut run {
            Some((_, read)) if is_cell(letter) => read.push(cell(letter)),
            Some((_, read)) if letter == ' ' => read.push(' '),
            Some((start, read)) => {
                let kept = read.trim_end().len();
                let end = at - (read.len() - kept);
                read.truncate(kept);
                if kept >= 4 {
                    patches.push(Patch::whole(*start..end, std::mem::take(read)));
                }
                run = None;
            }
            None if is_cell(letter) => run = Some((at, cell(letter).into())),
            None => {}
        }
    }
    patches
}

fn cell(letter: char) -> char {
    char::from(CELLS.get((letter as u32 & 63) as usize).copied().unwrap_or(b' '))
}

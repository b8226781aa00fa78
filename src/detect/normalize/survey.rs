//! A look over a text's characters: whether anything is to be folded, and how.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::compose;

/// Characters that show as nothing and do not change what a model reads: zero width, bidirectional controls, soft
/// hyphen, variation selectors, tags.
pub(in crate::detect) const fn is_hidden(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Marks written over, under or through any letter.
pub(super) const fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// The ASCII letter under the marks of a Latin one; 0 where there is none.
pub(super) fn plain(letter: char) -> u8 {
    match letter {
        'ß' => b's',
        'Ø' | 'ø' => b'o',
        'Đ' | 'đ' => b'd',
        'Ł' | 'ł' => b'l',
        'ı' => b'i',
        'Æ' | 'æ' => b'e',
        'Œ' | 'œ' => b'e',
        _ => match std::iter::once(letter).nfd().next() {
            Some(base) if base.is_ascii_alphabetic() => base as u8,
            _ => 0,
        },
    }
}

/// What a look over a text's characters tells.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Survey {
    /// Something is folded.
    pub(super) folds: bool,
    /// Tags, selectors in a row, or many zero-width characters.
    pub(super) hides: bool,
    /// Letters turned upside down.
    pub(super) turned: u32,
    /// Braille cells.
    pub(super) braille: u32,
    /// Latin letters stand beside letters of another script.
    pub(super) mixed: bool,
    /// Marks no writing system has: accents come off.
    pub(super) strip: bool,
    /// Regional indicators that are not pairs.
    pub(super) indicators: bool,
}

/// Letters, and those that have a mark, in this text.
#[derive(Default)]
struct Accents {
    letters: u32,
    marked: u32,
    /// Marks after one another.
    row: u32,
    base: char,
    indicators: u32,
    odd: bool,
}

/// The end of the ASCII that begins at `at`.
pub(super) fn ascii_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let high = u64::from_le_bytes(*eight) & 0x8080_8080_8080_8080;
        if high != 0 {
            return at + (high.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii()).count()
}

/// Looks at the characters of a text; ASCII is passed over.
pub(super) fn survey(text: &str) -> Survey {
    let (mut own, mut accents) = (Survey::default(), Accents::default());
    let mut hidden = 0_u32;
    let mut last = ' ';
    let mut at = 0;
    while at < text.len() {
        let end = ascii_end(text.as_bytes(), at);
        let ascii = text.get(at..end).unwrap_or_default().as_bytes();
        if let (Some(first), Some(tail)) = (ascii.first(), ascii.last()) {
            own.mixed |= first.is_ascii_alphabetic() && is_rival(last);
            if !ascii.iter().all(u8::is_ascii_whitespace) {
                own.indicators |= accents.indicators % 2 == 1;
                accents.indicators = 0;
            }
            last = char::from(*tail);
            (accents.row, accents.base) = (0, last);
        }
        at = end;
        let rest = text.get(at..).unwrap_or_default();
        for letter in rest.chars().take_while(|letter| !letter.is_ascii()) {
            at += letter.len_utf8();
            let previous = std::mem::replace(&mut last, letter);
            look(letter, previous, &mut own, &mut accents, &mut hidden, &mut last);
        }
    }
    own.indicators |= accents.indicators % 2 == 1;
    // Counted only where there are enough accents to ask.
    let many = accents.marked >= 4;
    let letters =
        if many { text.bytes().filter(u8::is_ascii_alphabetic).count() + accents.letters as usize } else { 0 };
    own.strip |= many && letters >= 8 && accents.marked as usize * 2 > letters;
    own.folds |= own.mixed || own.strip || own.indicators;
    own
}

/// Looks at one character that is not ASCII, behind `previous`; `last` becomes what the next is behind.
fn look(letter: char, previous: char, own: &mut Survey, accents: &mut Accents, hidden: &mut u32, last: &mut char) {
    match letter {
        '\u{3041}'..='\u{3130}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => return,
        '\u{370}'..='\u{52f}' => own.mixed |= previous.is_ascii_alphabetic(),
        '\u{1f1e6}'..='\u{1f1ff}' => {
            accents.indicators = if is_indicator(previous) { accents.indicators + 1 } else { 1 };
            accents.odd |= previous == ' ';
            return;
        }
        '\u{2801}'..='\u{28ff}' => own.braille += 1,
        _ if is_hidden(letter) => {
            own.folds = true;
            *hidden = if is_hidden(previous) { *hidden + 1 } else { 1 };
            let tag = matches!(letter, '\u{e0020}'..='\u{e007e}');
            own.hides |= tag || *hidden >= 16 || is_selector(letter) && is_selector(previous);
            return;
        }
        _ if is_mark(letter) => {
            accents.row += 1;
            let composes = compose(accents.base, letter);
            if let Some(composed) = composes {
                accents.base = composed;
                accents.marked += 1;
            }
            own.folds = true;
            own.strip |= is_stripped(accents.base) && composes.is_none() || accents.row > 3;
            *last = previous;
            return;
        }
        _ if super::symbols::is_turned(letter) => own.turned += 1,
        '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => {
            accents.letters += 1;
            accents.marked += 1;
        }
        _ => {}
    }
    own.folds |= letter_like(letter).is_some() || changes(letter);
    own.mixed |= is_rival(letter) && previous.is_ascii_alphabetic();
    own.indicators |= accents.indicators % 2 == 1;
    (accents.row, accents.base, accents.indicators) = (0, letter, 0);
}

/// Whether marks come off this letter.
pub(super) fn is_stripped(base: char) -> bool {
    base.is_ascii_alphanumeric()
        || matches!(base, '\u{c0}'..='\u{24f}' | '\u{400}'..='\u{4ff}' | '\u{1e00}'..='\u{1eff}')
}

pub(super) const fn is_indicator(letter: char) -> bool {
    matches!(letter, '\u{1f1e6}'..='\u{1f1ff}')
}

/// Variation selectors, each of which can stand for a byte.
pub(super) const fn is_selector(letter: char) -> bool {
    matches!(letter, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// A letter of a script whose letters pass for Latin ones.
pub(super) const fn is_rival(letter: char) -> bool {
    matches!(letter, '\u{370}'..='\u{482}' | '\u{48a}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}'
        | '\u{2c80}'..='\u{2cff}' | '\u{a4d0}'..='\u{a4ff}')
}

/// Whether compatibility folding makes another character of it, of those that change what is read: not `…` or `™`.
fn changes(letter: char) -> bool {
    match letter {
        '…' | '™' | '²' | '³' | '¹' | '½' | '¼' | '¾' | 'ª' | 'º' | '´' | '¨' | '¯' | '¸' | 'µ' | '″' | '′' | '℃'
        | '№' => false,
        '\u{a0}' => true,
        '\u{80}'..='\u{17e}' | '\u{180}'..='\u{1c3}' => false,
        '\u{370}'..='\u{f00}' | '\u{2190}'..='\u{245f}' | '\u{2500}'..='\u{27ff}' => false,
        '\u{3001}'..='\u{3020}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' => false,
        '\u{1f200}'..='\u{1faff}' => false,
        _ => {
            let mut folded = std::iter::once(letter).nfkc();
            folded.next() != Some(letter) || folded.next().is_some()
        }
    }
}

/// Characters that stand for an ASCII letter and that compatibility folding leaves alone.
pub(super) fn letter_like(letter: char) -> Option<char> {
    let upper = |first: u32| char::from_u32(u32::from(b'A') + (letter as u32).saturating_sub(first));
    match letter {
        '\u{1f130}'..='\u{1f149}' => upper(0x1f130),
        '\u{1f150}'..='\u{1f169}' => upper(0x1f150),
        '\u{1f170}'..='\u{1f189}' => upper(0x1f170),
        '\u{249c}'..='\u{24b5}' => char::from_u32(u32::from(b'a') + (letter as u32).saturating_sub(0x249c)),
        '\u{1f110}'..='\u{1f129}' => upper(0x1f110),
        'ᴀ' => Some('a'),
        'ʙ' => Some('b'),
        'ᴄ' => Some('c'),
        'ᴅ' => Some('d'),
        'ᴇ' => Some('e'),
        'ꜰ' => Some('f'),
        'ɢ' => Some('g'),
        'ʜ' => Some('h'),
        'ɪ' => Some('i'),
        'ᴊ' => Some('j'),
        'ᴋ' => Some('k'),
        'ʟ' => Some('l'),
        'ᴍ' => Some('m'),
        'ɴ' => Some('n'),
        'ᴏ' => Some('o'),
        'ᴘ' => Some('p'),
        'ǫ' => Some('q'),
        'ʀ' => Some('r'),
        'ꜱ' => Some('s'),
        'ᴛ' => Some('t'),
        'ᴜ' => Some('u'),
        'ᴠ' => Some('v'),
        'ᴡ' => Some('w'),
        'ʏ' => Some('y'),
        'ᴢ' => Some('z'),
        'ɡ' => Some('g'),
        'ɑ' => Some('a'),
        _ => None,
    }
}

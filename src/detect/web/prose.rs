//! How much of a text is prose, and whether it asks about code.

use std::sync::LazyLock;

use super::list::list;
use super::prose_words::{
    ASKS, ASKS_ELSEWHERE, ASKS_UNSPACED, KIND_ASKS, KIND_OPENS, KIND_SQL, KIND_TECHNICAL, OPENERS, SQL, TECHNICAL,
};

list!(UNSPACED, ASKS_UNSPACED);

/// Plain words from which on a text is prose, whatever it contains.
pub(super) const MOST: usize = 16;

/// The words around a value.
#[derive(Debug, Default)]
pub(super) struct Prose {
    /// Plain words.
    pub(super) words: usize,
    /// Plain words that are not words of SQL.
    pub(super) words_without_sql: usize,
    /// It asks, explains or is about defence.
    pub(super) asks: bool,
    /// It speaks of code.
    pub(super) technical: bool,
}

impl Prose {
    /// Counts the words of `text`, until it is prose whatever follows.
    pub(super) fn of(text: &str) -> Self {
        let mut own = Self::default();
        let (mut first, mut opens) = (true, false);
        for token in text.split_ascii_whitespace() {
            let Some(word) = plain_word(token) else { continue };
            let kinds = KINDS.get(word);
            // Scripts without spaces between words.
            let weight = if word.is_ascii() { 1 } else { 1 + word.chars().count() / 8 };
            own.words += weight;
            own.words_without_sql += if kinds & KIND_SQL == 0 { weight } else { 0 };
            own.asks |= kinds & KIND_ASKS != 0 || !word.is_ascii() && UNSPACED.any(word);
            opens |= first && kinds & KIND_OPENS != 0;
            own.technical |= kinds & KIND_TECHNICAL != 0;
            first = false;
            if own.words_without_sql > MOST {
                break;
            }
        }
        let end = text.trim_end();
        own.asks |= opens && own.words >= 2;
        own.asks |= own.words_without_sql >= 3 && (end.ends_with('?') || end.ends_with('？'));
        own
    }
}

/// A word of letters, without the signs of a sentence around it.
fn plain_word(token: &str) -> Option<&str> {
    let word = token.trim_start_matches(['"', '\'', '(']);
    let word = word.trim_end_matches(['.', ',', '!', '?', ':', ';', '"', '\'', ')']);
    let inside = |byte: u8| byte.is_ascii_alphabetic() || byte >= 0x80 || matches!(byte, b'\'' | b'-');
    let plain = word.bytes().all(inside) && word.bytes().next().is_some_and(|byte| byte != b'-' && byte != b'\'');
    (plain && (word.len() > 1 || matches!(word, "a" | "A" | "I"))).then_some(word)
}

/// The kinds of words that have one.
static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::new);

/// Words by a hash of their letters without case.
struct Kinds(Vec<Vec<(&'static str, u8)>>);

impl Kinds {
    const SLOTS: usize = 1024;

    fn new() -> Self {
        let mut slots: Vec<Vec<(&'static str, u8)>> = vec![Vec::new(); Self::SLOTS];
        let lists = [
            (ASKS, KIND_ASKS),
            (ASKS_ELSEWHERE, KIND_ASKS),
            (OPENERS, KIND_OPENS),
            (TECHNICAL, KIND_TECHNICAL),
            (SQL, KIND_SQL),
        ];
        for (list, kind) in lists {
            for word in list {
                let Some(slot) = slots.get_mut(Self::slot(word)) else { continue };
                match slot.iter_mut().find(|(known, _)| known == word) {
                    Some((_, kinds)) => *kinds |= kind,
                    None => slot.push((word, kind)),
                }
            }
        }
        Self(slots)
    }

    fn slot(word: &str) -> usize {
        let hash = word.bytes().fold(0_u32, |hash, byte| (hash ^ u32::from(byte | 0x20)).wrapping_mul(0x0100_0193));
        (hash ^ hash >> 15) as usize % Self::SLOTS
    }

    fn get(&self, word: &str) -> u8 {
        let slot = self.0.get(Self::slot(word)).map(Vec::as_slice).unwrap_or_default();
        slot.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map_or(0, |(_, kinds)| *kinds)
    }
}

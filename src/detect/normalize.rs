//! Other readings of a text: what a model reads although the letters differ. Each view maps back to the original.

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfkc_quick};

/// A text derived from another, with the way back.
#[derive(Debug)]
pub(super) struct View {
    /// The derived text.
    pub(super) text: String,
    /// Where pieces start, in order: ASCII runs, and single other characters.
    pieces: Vec<Piece>,
    /// Length of the original.
    len: u32,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    /// First byte in the view.
    view: u32,
    /// First byte in the original.
    original: u32,
    /// An ASCII run: both advance in step. Otherwise one character, whatever it became.
    run: bool,
}

impl View {
    /// The range of the original that `start..end` of the view came from: whole characters.
    pub(super) fn original(&self, start: usize, end: usize) -> (usize, usize) {
        let (start, end) = (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX));
        // A removed character is an empty piece: the last piece to begin at `start` is the one that is there.
        let first = self.pieces.partition_point(|piece| piece.view <= start).checked_sub(1);
        let from = first.and_then(|at| self.pieces.get(at)).map_or(0, |piece| match piece.run {
            true => piece.original.saturating_add(start - piece.view),
            false => piece.original,
        });
        let behind = self.pieces.partition_point(|piece| piece.view < end);
        let last = behind.checked_sub(1).and_then(|at| self.pieces.get(at));
        let next = self.pieces.get(behind).map_or(self.len, |piece| piece.original);
        let to = last.map_or(0, |piece| match piece.run {
            true => piece.original.saturating_add(end - piece.view).min(next),
            false => next,
        });
        (from as usize, to.max(from) as usize)
    }
}

/// Characters that show as nothing and do not change what a model reads: zero width, bidirectional controls, soft
/// hyphen, variation selectors, tags.
pub(super) const fn is_hidden(letter: char) -> bool {
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

/// The text with compatibility characters folded (NFKC) and hidden ones removed; tag letters become the letters they
/// stand for. `None` where that changes nothing, and always for pure ASCII, at the cost of one look.
pub(super) fn folded(text: &str) -> Option<View> {
    if text.is_ascii() || u32::try_from(text.len()).is_err() {
        return None;
    }
    let hidden = text.chars().any(|letter| !letter.is_ascii() && is_hidden(letter));
    if !hidden && is_nfkc_quick(text.chars()) == IsNormalized::Yes {
        return None;
    }
    let mut view = View { text: String::with_capacity(text.len()), pieces: Vec::new(), len: text.len() as u32 };
    let mut in_run = false;
    for (at, letter) in text.char_indices() {
        if letter.is_ascii() {
            if !in_run {
                view.pieces.push(Piece { view: view.text.len() as u32, original: at as u32, run: true });
                in_run = true;
            }
            view.text.push(letter);
            continue;
        }
        view.pieces.push(Piece { view: view.text.len() as u32, original: at as u32, run: false });
        in_run = false;
        match letter {
            '\u{e0020}'..='\u{e007e}' => view.text.extend(char::from_u32(letter as u32 - 0xe0000)),
            _ if is_hidden(letter) => {}
            _ => view.text.extend(std::iter::once(letter).nfkc()),
        }
    }
    (view.text != text).then_some(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original<'a>(text: &'a str, found: &str) -> &'a str {
        let view = folded(text).unwrap();
        let start = view.text.find(found).unwrap();
        let (start, end) = view.original(start, start + found.len());
        text.get(start..end).unwrap()
    }

    #[test]
    fn plain_text_has_no_other_reading() {
        assert!(folded("plain").is_none());
        assert!(folded("naïve café — “quoted”").is_none());
    }

    #[test]
    fn fullwidth_letters_and_zero_width_breaks_are_read_through() {
        let wide = "say Ｉｇｎｏｒｅ now";
        assert_eq!(original(wide, "Ignore"), "Ｉｇｎｏｒｅ");
        assert_eq!(original(wide, "now"), "now");
        let broken = "say i\u{200b}g\u{ad}nore\u{200b} now";
        assert_eq!(original(broken, "ignore"), "i\u{200b}g\u{ad}nore");
        assert_eq!(original(broken, "say ignore now"), broken);
    }

    #[test]
    fn one_character_that_folds_to_several_is_covered_whole() {
        assert_eq!(original("a ﬃ b", "f"), "ﬃ");
        assert_eq!(original("a ﬃ b", "ffi b"), "ﬃ b");
    }

    #[test]
    fn tag_letters_are_read() {
        let hidden: String = "obey".chars().map(|letter| char::from_u32(letter as u32 + 0xe0000).unwrap()).collect();
        assert_eq!(original(&format!("hi {hidden}!"), "obey"), hidden);
    }
}

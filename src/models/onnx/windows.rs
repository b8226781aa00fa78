//! A text as windows of tokens, each with the bytes it covers.

use tokenizers::{Encoding, PostProcessor as _, Tokenizer, TruncationDirection};

/// What a network is run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) ids: Vec<i64>,
    pub(super) mask: Vec<i64>,
    pub(super) types: Vec<i64>,
    /// Bytes of the text.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A model's tokenizer.
pub(super) struct Windows {
    tokenizer: Tokenizer,
    /// Tokens of text in a window, and those that neighbours share.
    tokens: usize,
    stride: usize,
    /// Tokens of a window, and how many of them are special where two texts share it.
    whole: usize,
    special: usize,
}

impl Windows {
    /// From the contents of `tokenizer.json`, for windows of `tokens` (special ones included) that share `stride`.
    ///
    /// # Errors
    /// The file is none, or has no room for text between its special tokens.
    pub(super) fn new(json: &[u8], tokens: usize, stride: usize) -> Result<Self, String> {
        let told = |error: tokenizers::Error| format!("tokenizer.json: {error}");
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(told)?;
        let special = tokenizer.get_post_processor().map_or(0, |post| post.added_tokens(false));
        if tokens <= special + stride {
            return Err(format!("tokenizer.json: {special} special tokens leave no room in windows of {tokens}"));
        }
        // Its own truncation stops reading at the first window's end.
        tokenizer.with_truncation(None).map_err(told)?;
        tokenizer.with_padding(None);
        // A text that spells a special token is not one.
        tokenizer.set_encode_special_tokens(true);
        let paired = tokenizer.get_post_processor().map_or(0, |post| post.added_tokens(true));
        Ok(Self { tokenizer, tokens: tokens - special, stride, whole: tokens, special: paired })
    }

    /// The windows of two texts read together: each has the first, at most half a window of it, and a part of the second.
    ///
    /// # Errors
    /// The tokenizer fails, or there is no room for two texts.
    pub(super) fn of_pair(&self, first: &str, second: &str) -> Result<Vec<Window>, String> {
        let told = |error: tokenizers::Error| error.to_string();
        let room = self.whole.saturating_sub(self.special);
        if room < 4 {
            return Err(format!("windows of {} tokens have no room for two texts", self.whole));
        }
        let mut head = self.tokenizer.encode(first, false).map_err(told)?;
        head.truncate(room / 2, 0, TruncationDirection::Right);
        drop(head.take_overflowing());
        let left = room - head.len();
        let mut tail = self.tokenizer.encode(second, false).map_err(told)?;
        tail.truncate(left, left / 4, TruncationDirection::Right);
        let rest = tail.take_overflowing();
        let whole = |part: Encoding| self.tokenizer.post_process(head.clone(), Some(part), true).map_err(told);
        std::iter::once(tail).chain(rest).map(|part| whole(part).map(|both| window(&both, second))).collect()
    }

    /// The windows of a text; one at least.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub(super) fn of(&self, text: &str) -> Result<Vec<Window>, String> {
        let told = |error: tokenizers::Error| error.to_string();
        let mut first = self.tokenizer.encode(text, false).map_err(told)?;
        first.truncate(self.tokens, self.stride, TruncationDirection::Right);
        let rest = first.take_overflowing();
        let whole = |part: Encoding| self.tokenizer.post_process(part, None, true).map_err(told);
        std::iter::once(first).chain(rest).map(|part| whole(part).map(|part| window(&part, text))).collect()
    }
}

fn window(encoding: &Encoding, text: &str) -> Window {
    let wide = |values: &[u32]| values.iter().map(|value| i64::from(*value)).collect();
    let real =
        encoding.get_offsets().iter().zip(encoding.get_special_tokens_mask()).filter(|(_, special)| **special == 0);
    let (start, end) = real.fold((usize::MAX, 0), |(start, end), ((from, to), _)| (start.min(*from), end.max(*to)));
    // Normalizers may be vague about where a token comes from.
    let start = text.floor_char_boundary(start.min(end).min(text.len()));
    Window {
        ids: wide(encoding.get_ids()),
        mask: wide(encoding.get_attention_mask()),
        types: wide(encoding.get_type_ids()),
        start,
        end: text.ceil_char_boundary(end.min(text.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{"id": 0, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[UNK]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[UNK]": {"id": "[UNK]", "ids": [0], "tokens": ["[UNK]"]}}},
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "one": 1, "two": 2, "three": 3}}}"#;

    #[test]
    fn windows_overlap_and_know_where_they_are() {
        let windows = Windows::new(JSON.as_bytes(), 4, 1).unwrap();
        let found = windows.of("one two three two one").unwrap();
        assert_eq!(
            found.iter().map(|window| window.ids.clone()).collect::<Vec<_>>(),
            [vec![0, 1, 2, 3], vec![0, 3, 2, 1]]
        );
        assert_eq!(found.iter().map(|window| (window.start, window.end)).collect::<Vec<_>>(), [(0, 13), (8, 21)]);
        assert_eq!(windows.of("").unwrap().len(), 1);
    }

    #[test]
    fn two_texts_are_read_together_and_the_second_in_parts() {
        let windows = Windows::new(JSON.as_bytes(), 4, 0).unwrap();
        let found = windows.of_pair("one two three one", "three two three").unwrap();
        let ids: Vec<_> = found.iter().map(|window| window.ids.clone()).collect();
        assert_eq!(ids, [vec![1, 2, 3, 2], vec![1, 2, 3]]);
        assert_eq!(found[0].types, [0, 0, 1, 1]);
        assert_eq!(windows.of_pair("one", "").unwrap()[0].ids, [1]);
        assert!(Windows::new(JSON.as_bytes(), 3, 0).unwrap().of_pair("one", "two").is_err());
    }

    #[test]
    fn a_text_cannot_forge_special_tokens() {
        let windows = Windows::new(JSON.as_bytes(), 16, 0).unwrap();
        assert_eq!(windows.of("[UNK] one").unwrap()[0].ids, [0, 0, 0, 0, 1]);
    }

    #[test]
    fn windows_without_room_are_refused() {
        assert!(Windows::new(JSON.as_bytes(), 3, 2).is_err());
        assert!(Windows::new(b"{}", 8, 2).is_err());
    }
}

//! Writing server-sent events, paced by the word.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::WORD_PAUSE;

/// Events in the making, each with the pause before it.
#[derive(Default)]
pub(super) struct Events {
    made: Vec<(Duration, Bytes)>,
}

impl Events {
    /// `data: {json}`, at once.
    pub(super) fn data(&mut self, value: &Value) {
        self.made.push((Duration::ZERO, Bytes::from(format!("data: {value}\n\n"))));
    }

    /// `data: {json}`, after a word's pause.
    pub(super) fn word(&mut self, value: &Value) {
        self.made.push((WORD_PAUSE, Bytes::from(format!("data: {value}\n\n"))));
    }

    /// `event: {its type}` and `data: {json}`; after a word's pause when it carries a piece of text.
    pub(super) fn typed(&mut self, value: &Value) {
        let name = value.get("type").and_then(Value::as_str).unwrap_or("message");
        let pause = if name == "content_block_delta" || name.ends_with(".delta") { WORD_PAUSE } else { Duration::ZERO };
        self.made.push((pause, Bytes::from(format!("event: {name}\ndata: {value}\n\n"))));
    }

    /// OpenAI's end mark.
    pub(super) fn done(&mut self) {
        self.made.push((Duration::ZERO, Bytes::from_static(b"data: [DONE]\n\n")));
    }

    pub(super) fn finish(self) -> Vec<(Duration, Bytes)> {
        self.made
    }
}

/// Cuts a text into words, each with the white space that follows it: the pieces of a stream.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(char::is_whitespace)
}

/// Cuts JSON into small pieces at character boundaries, as providers send tool arguments.
pub(super) fn pieces(text: &str) -> Vec<String> {
    const LENGTH: usize = 12;
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(LENGTH).map(|piece| piece.iter().collect()).collect()
}

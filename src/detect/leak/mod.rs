//! An answer that repeats the instructions it was made under, where these are known.
//!
//! [`Known`] is the index of a prompt: hashes of three words in a row, one word left out at most, function words and
//! numbers not counted. [`Trail`] reads an answer as it comes and follows how much of the prompt it covers. What the
//! prompt says to the model (instructions) counts; what it tells it (facts) or has it say (quotations) is what answers are
//! made of and does not, though it bridges instructions. One sentence is a mention, several are a leak.
//!
//! Both are linear in what they read. An index is of the first [`MAX_PROMPT`] bytes of a prompt.

mod base64;
mod index;
mod sentence;
mod trail;
mod words;

#[cfg(test)]
mod tests;

pub use index::{Known, MAX_PROMPT};
pub(super) use trail::{Event, Trail};

/// Sizes are counted in half words: a character of a script without spaces is about half a word.
const WORD: u32 = 2;

/// An example of a rule that knows the prompt is `prompt >>> answer`.
pub(super) fn example(text: &str) -> (Option<Known>, &str) {
    match text.split_once(">>>") {
        Some((prompt, answer)) => (Known::of([prompt.trim()]), answer.trim_start()),
        None => (None, text),
    }
}

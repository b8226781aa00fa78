//! Other readings of a text: what a model reads although the letters differ. Each view maps back to the original.
//!
//! [`folded`] is the plain folding of characters. [`views`] undoes disguises: `signals` looks once at the bytes and says
//! where which decoding is worth trying, the decoders propose patches, `language` says whether the result reads like
//! language, and what does is spliced into its surroundings. What is still disguised is decoded again, to a depth.

mod codes;
pub(super) mod encoded;
mod escapes;
mod fold;
mod hidden;
mod join;
mod language;
mod lexicon;
mod respell;
mod search;
mod shift;
mod signals;
mod spacing;
mod survey;
mod symbols;
mod view;

use std::ops::Range;

pub use fold::folded;
pub(super) use survey::is_hidden;
pub use view::View;

/// How a text was disguised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disguise {
    /// Characters that only look different.
    Folded,
    /// Tags, variation selectors, zero-width bits.
    Hidden,
    /// Digits and signs for letters.
    Leet,
    /// Letters apart.
    Spaced,
    /// No space between words.
    Joined,
    /// Letters written several times.
    Repeated,
    /// From the end, letter by letter.
    Reversed,
    /// Each word from its end.
    WordsReversed,
    /// Upside down.
    Turned,
    /// Caesar, by how much each letter must be moved on to be read.
    Rot(u8),
    Atbash,
    Base64,
    Base32,
    Base58,
    Base85,
    Hex,
    Binary,
    Octal,
    Decimal,
    Url,
    Entities,
    /// `\x41`, `\u0041`, `\101`, `0x41`, `U+0041`.
    Escapes,
    /// Quoted-printable.
    Quoted,
    Morse,
    Braille,
    /// Radio spelling words.
    Spelled,
    PigLatin,
    /// Vowels left out.
    Vowels,
    /// Strings put together from parts.
    Concatenated,
    /// First letters of lines or words.
    Initials,
    /// Signs of markdown, comments, tags.
    Markup,
    /// Misspelt.
    Typos,
}

impl Disguise {
    /// A short label, for metrics and explanations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Folded => "folded",
            Self::Hidden => "hidden",
            Self::Leet => "leet",
            Self::Spaced => "spaced",
            Self::Joined => "joined",
            Self::Repeated => "repeated",
            Self::Reversed => "reversed",
            Self::WordsReversed => "words_reversed",
            Self::Turned => "turned",
            Self::Rot(13) => "rot13",
            Self::Rot(_) => "caesar",
            Self::Atbash => "atbash",
            Self::Base64 => "base64",
            Self::Base32 => "base32",
            Self::Base58 => "base58",
            Self::Base85 => "base85",
            Self::Hex => "hex",
            Self::Binary => "binary",
            Self::Octal => "octal",
            Self::Decimal => "decimal",
            Self::Url => "url",
            Self::Entities => "entities",
            Self::Escapes => "escapes",
            Self::Quoted => "quoted_printable",
            Self::Morse => "morse",
            Self::Braille => "braille",
            Self::Spelled => "spelled",
            Self::PigLatin => "pig_latin",
            Self::Vowels => "vowels",
            Self::Concatenated => "concatenated",
            Self::Initials => "initials",
            Self::Markup => "markup",
            Self::Typos => "typos",
        }
    }
}

/// What looking for views of one text may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of views per byte of text.
    pub per_byte: usize,
    /// Bytes of views beyond that.
    pub bytes: usize,
    /// Disguises undone on top of one another.
    pub depth: usize,
    /// Views given back.
    pub views: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { per_byte: 2, bytes: 64 << 10, depth: 3, views: 16 }
    }
}

/// Readings of a text other than itself.
#[derive(Debug, Default)]
pub struct Views {
    pub views: Vec<View>,
    /// Range of the original with text hidden in characters that show as nothing: a finding by itself.
    pub hidden: Option<Range<usize>>,
    /// There may be more, but the budget was used up.
    pub exhausted: bool,
}

/// Readings of `text` other than itself and its plain folding. Empty for ordinary text at the cost of a look over its
/// bytes.
pub fn views(text: &str, budget: &Budget) -> Views {
    readings(text, budget).1
}

/// The plain folding of `text` and its views, with the work they share done once.
pub fn readings(text: &str, budget: &Budget) -> (Option<View>, Views) {
    search::readings(text, budget)
}

#[cfg(test)]
mod tests;

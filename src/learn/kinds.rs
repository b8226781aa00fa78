//! The ways in which an attack is said otherwise.

use serde::{Deserialize, Serialize};

/// How a text was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Capitals elsewhere.
    Case,
    /// Other white space between words.
    Spacing,
    /// A space after each letter.
    SpacedLetters,
    /// Digits and signs for letters.
    Leet,
    /// Letters of other scripts that look the same.
    Homoglyphs,
    /// Characters that show as nothing inside words.
    ZeroWidth,
    /// Wide forms of letters.
    FullWidth,
    /// Signs between words, markdown around them.
    Markup,
    /// Slips of the finger.
    Typos,
    /// Other words that mean the same.
    Synonyms,
    /// More words that say nothing.
    Filler,
    /// Less of the words that say nothing.
    Terse,
    /// Courtesies around it.
    Polite,
    /// Pressure around it.
    Urgent,
    /// Its sentences or clauses in another order.
    Order,
    /// Base64.
    Base64,
    /// Hexadecimal digits.
    Hex,
    /// Letters moved on by thirteen.
    Rot13,
    /// From the end.
    Reversed,
    /// Percent signs and digits.
    Url,
    /// Strings to be put together.
    Concatenated,
    /// Numbered parts.
    Parts,
    /// Somebody who is played says it.
    RolePlay,
    /// What if.
    Hypothetical,
    /// Told in a story.
    Story,
    /// In a document.
    Document,
    /// As the value of a field.
    Json,
    /// In a comment of some code.
    Comment,
    /// After a harmless task.
    Appended,
    /// Before a harmless task.
    Prepended,
    /// Said otherwise by somebody else.
    Paraphrase,
}

impl Kind {
    /// Every kind that [`vary`](super::vary) makes.
    pub const ALL: [Self; 30] = [
        Self::Case,
        Self::Spacing,
        Self::SpacedLetters,
        Self::Leet,
        Self::Homoglyphs,
        Self::ZeroWidth,
        Self::FullWidth,
        Self::Markup,
        Self::Typos,
        Self::Synonyms,
        Self::Filler,
        Self::Terse,
        Self::Polite,
        Self::Urgent,
        Self::Order,
        Self::Base64,
        Self::Hex,
        Self::Rot13,
        Self::Reversed,
        Self::Url,
        Self::Concatenated,
        Self::Parts,
        Self::RolePlay,
        Self::Hypothetical,
        Self::Story,
        Self::Document,
        Self::Json,
        Self::Comment,
        Self::Appended,
        Self::Prepended,
    ];

    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Case => "case",
            Self::Spacing => "spacing",
            Self::SpacedLetters => "spaced_letters",
            Self::Leet => "leet",
            Self::Homoglyphs => "homoglyphs",
            Self::ZeroWidth => "zero_width",
            Self::FullWidth => "full_width",
            Self::Markup => "markup",
            Self::Typos => "typos",
            Self::Synonyms => "synonyms",
            Self::Filler => "filler",
            Self::Terse => "terse",
            Self::Polite => "polite",
            Self::Urgent => "urgent",
            Self::Order => "order",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Rot13 => "rot13",
            Self::Reversed => "reversed",
            Self::Url => "url",
            Self::Concatenated => "concatenated",
            Self::Parts => "parts",
            Self::RolePlay => "role_play",
            Self::Hypothetical => "hypothetical",
            Self::Story => "story",
            Self::Document => "document",
            Self::Json => "json",
            Self::Comment => "comment",
            Self::Appended => "appended",
            Self::Prepended => "prepended",
            Self::Paraphrase => "paraphrase",
        }
    }

    /// How many texts of it are made.
    pub(super) const fn draws(self) -> usize {
        match self {
            Self::Synonyms => 8,
            Self::Typos | Self::Filler => 4,
            Self::Case | Self::Spacing | Self::Polite | Self::Urgent | Self::RolePlay | Self::Hypothetical => 2,
            Self::Story | Self::Document | Self::Appended | Self::Prepended => 2,
            _ => 1,
        }
    }

    /// Kinds that are alike: of each such group some are held back whole.
    pub(super) const fn group(self) -> u8 {
        match self {
            Self::Case
            | Self::Spacing
            | Self::SpacedLetters
            | Self::Leet
            | Self::Homoglyphs
            | Self::ZeroWidth
            | Self::FullWidth
            | Self::Markup => 0,
            Self::Base64 | Self::Hex | Self::Rot13 | Self::Reversed | Self::Url | Self::Concatenated | Self::Parts => 1,
            Self::Typos
            | Self::Synonyms
            | Self::Filler
            | Self::Terse
            | Self::Polite
            | Self::Urgent
            | Self::Order
            | Self::Paraphrase => 2,
            Self::RolePlay
            | Self::Hypothetical
            | Self::Story
            | Self::Document
            | Self::Json
            | Self::Comment
            | Self::Appended
            | Self::Prepended => 3,
        }
    }
}

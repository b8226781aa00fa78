//! What may be kept of the words themselves.

use serde::{Deserialize, Serialize};

/// What is kept of prompts and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// Nothing.
    #[default]
    None,
    /// A keyed hash, by which the same text is known again.
    HashOnly,
    /// The text, with everything replaced that rules find personal or secret.
    Masked,
    /// The text.
    Full,
}

impl Privacy {
    /// A low-cardinality label; also the word in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::HashOnly => "hash_only",
            Self::Masked => "masked",
            Self::Full => "full",
        }
    }
}

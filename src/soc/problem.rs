//! What is wrong with a file of alert or incident rules, and where.

use std::fmt;

/// One thing wrong with a rule file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The source's name.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong, with the rule's id where it is known.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

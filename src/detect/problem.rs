//! What is wrong with a rule set, and where.

use std::fmt;

/// One thing wrong with a rule file, an override or a rule's own cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The source's name.
    pub file: String,
    /// The line, counted from 1.
    pub line: Option<u32>,
    /// Which part of which rule, for example `PC-INJ-0001.detection.sel_override`.
    pub path: String,
    /// What is wrong and, where it helps, what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

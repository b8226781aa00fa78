//! What a window lets go.

use crate::types::Finding;

/// What left the window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Released {
    /// The text that may go on, unless `unchanged`.
    pub text: String,
    /// Exactly the text just fed may go on, and nothing was held before it; `text` is empty then.
    pub unchanged: bool,
    /// Stop: nothing further may go on.
    pub blocked: bool,
    /// Findings that are now complete, in the order they start.
    pub findings: Vec<Finding>,
}

impl Released {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.findings.clear();
        self.unchanged = false;
        self.blocked = false;
    }
}

//! What is kept of the words of a request, on its way to the store.

use std::fmt;
use std::sync::Arc;

use super::{Direction, Privacy, RequestId};

/// The words of one direction of a request, already reduced to what `mode` allows. `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The request's id.
    pub request: RequestId,
    /// When its head was read: Unix time in microseconds.
    pub time: i64,
    /// Which way they went.
    pub direction: Direction,
    /// Whose they are, for erasure.
    pub user: Option<Arc<str>>,
    /// What `text` is.
    pub mode: Privacy,
    /// The words, what is left of them, or their hash in hex.
    pub text: String,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("request", &self.request)
            .field("direction", &self.direction)
            .field("mode", &self.mode)
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_word() {
        let kept = Kept {
            request: RequestId("req_1".to_owned()),
            time: 0,
            direction: Direction::Input,
            user: Some(Arc::from("somebody")),
            mode: Privacy::Full,
            text: "the words".to_owned(),
        };
        let shown = format!("{kept:?}");
        assert!(shown.contains("req_1") && !shown.contains("words") && !shown.contains("somebody"), "{shown}");
    }
}

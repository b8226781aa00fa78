//! What people ask of learning: reports, proposals, harmless texts.

pub mod harmless;
pub mod proposals;
pub mod reports;
pub mod words;

use super::App;
use super::error::ApiError;
use crate::control::learn::LearnDesk;

impl App {
    /// Where reports go, unless learning is switched off.
    fn learn(&self) -> Result<&LearnDesk, ApiError> {
        let off = || ApiError::conflict("learning_disabled", "Learning is switched off.");
        self.doors.learn.as_ref().ok_or_else(off)
    }
}

//! What people ask of learning: reports, proposals, harmless texts.

pub mod harmless;
pub mod proposals;
pub mod reports;
pub mod words;

use super::App;
use super::error::ApiError;
use super::guard::{Credential, Principal};
use crate::control::learn::LearnDesk;
use crate::control::soc::approvals::Who;

impl App {
    /// Where reports go, unless learning is switched off.
    fn learn(&self) -> Result<&LearnDesk, ApiError> {
        let off = || ApiError::conflict("learning_disabled", "Learning is switched off.");
        self.doors.learn.as_ref().ok_or_else(off)
    }
}

/// Who speaks: a session is a person, a token is a program.
fn speaker(who: &Principal) -> Who {
    Who {
        account: who.account.clone(),
        name: who.name.clone(),
        roles: who.roles.list().to_vec(),
        is_person: matches!(who.credential, Credential::Session { .. }),
    }
}

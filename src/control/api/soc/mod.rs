//! What people ask of the security operations centre: one file for each noun.

pub mod alert_changes;
pub mod alerts;
pub mod approvals;
pub mod incident_changes;
pub mod incidents;
pub mod ingest;
pub mod live;
pub mod monitoring;
pub mod plans;
pub mod playbooks;
pub mod remedies;
pub mod status;
pub mod tool_holds;
pub mod words;

use self::ingest::IngestSources;
use self::live::Live;
use super::App;
use super::error::ApiError;
use super::guard::{Credential, Principal};
use crate::control::soc::Station;
use crate::control::soc::approvals::{RuleError, Who};
use crate::store::StoreError;
use crate::store::soc::Fed;

/// The SOC, as the admin API has it.
#[derive(Clone)]
pub struct Soc {
    /// The SOC itself.
    pub station: Station,
    /// The sockets that watch it.
    pub live: Live,
    /// The systems outside that may send alerts.
    pub ingest: IngestSources,
}

impl App {
    /// The SOC, unless it is switched off.
    fn soc(&self) -> Result<&Soc, ApiError> {
        let off = || ApiError::conflict("soc_disabled", "The security operations centre is switched off.");
        self.doors.soc.as_ref().ok_or_else(off)
    }

    fn station(&self) -> Result<&Station, ApiError> {
        Ok(&self.soc()?.station)
    }
}

/// Tells what a change of the store made, and gives what it gave.
async fn publish<T>(station: &Station, (done, entries): Fed<T>) -> T {
    station.feed.publish(entries).await;
    done
}

/// Who speaks about plans and tool calls: a session is a person, a token is a program.
pub(super) fn speaker(who: &Principal) -> Who {
    Who {
        account: who.account.clone(),
        name: who.name.clone(),
        roles: who.roles.list().to_vec(),
        is_person: matches!(who.credential, Credential::Session { .. }),
    }
}

/// The store's words as a sentence.
fn sentence(why: &str) -> String {
    let mut letters = why.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

/// What the store says of a change; `code` where what is there does not allow it.
fn refused(code: &'static str) -> impl Fn(StoreError) -> ApiError {
    move |problem| match problem {
        StoreError::Missing(what) => ApiError::not_found(what),
        StoreError::Conflict(why) => ApiError::conflict(code, sentence(&why)),
        other => other.into(),
    }
}

impl From<RuleError> for ApiError {
    fn from(problem: RuleError) -> Self {
        match problem {
            RuleError::Missing(what) => Self::not_found(what),
            RuleError::Refused(why) => Self::conflict("refused", sentence(&why)),
            RuleError::Invalid(why) => Self::invalid("invalid_value", sentence(&why)),
            RuleError::Store(problem) => refused("refused")(problem),
        }
    }
}

//! What the admin API asks of the security operations centre, in one place.

use std::sync::Arc;

use super::approvals::Approvals;
use super::desk::Intake;
use super::feed::Feed;
use super::library::Library;
use super::planner::Planner;
use super::remedies::Remedies;

/// The parts of the SOC that people use. Clones are the same.
#[derive(Clone)]
pub struct Station {
    /// The store's feed, and who watches it: what the API changes it publishes here.
    pub feed: Feed,
    /// Where alerts of outside systems go.
    pub intake: Intake,
    /// What people say about plans and about tool calls that wait.
    pub approvals: Approvals,
    /// Plans that people propose.
    pub planner: Planner,
    /// Remedies, to be undone.
    pub remedies: Remedies,
    /// Playbooks and past incidents, searched.
    pub library: Arc<Library>,
}

//! The judgement of the security operations centre: what is an alert, what belongs together, what to do and who may say so.
//! **Pure**: state machines that take the time as an argument.

pub mod alert;
pub mod analyse;
pub mod approval;
pub mod correlate;
pub mod fold;
pub mod guard;
pub mod ingest;
pub mod model;
pub mod ocsf;
pub mod plan;
pub mod playbook;
pub mod remedy;
pub mod responses;
pub mod rules;
pub mod search;
pub mod support;
pub mod verify;

mod forbidden;
mod front;
mod lru;
mod phases;
mod problem;
mod read;
mod say;
mod subjects;
mod words;

#[cfg(test)]
mod examples;
#[cfg(test)]
pub(crate) mod fixture;

pub use alert::{Draft, draft};
pub use correlate::{Case, CorrelateOptions, Correlator, IncidentRules, Raise};
pub use fold::{FoldOptions, Folded, Folds};
pub use problem::Problem;
pub use rules::AlertRules;
pub use subjects::{subjects, targets};

//! The security operations centre at work: from events to alerts and incidents, the analyst, approvals and remedies, and
//! whom they are told.

pub mod analyst;
pub mod approvals;
mod batch;
pub mod breaker;
pub mod desk;
pub mod embeddings;
pub mod feed;
pub(in crate::control) mod found;
pub mod hub;
pub mod knowledge;
pub mod library;
pub mod model;
pub mod notify;
mod opinion;
pub mod planner;
pub mod remedies;
pub mod shelf;
pub mod station;

pub use crate::control::http;
pub use desk::{Desk, DeskOptions, Intake, Titles, Watch, desk};
pub use feed::Feed;
pub use station::Station;

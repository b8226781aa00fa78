//! What the security operations centre speaks of: alerts, incidents, plans, approvals, remedies. Plain data.

pub mod alert;
pub mod analysis;
pub mod approval;
pub mod feed;
pub mod incident;
pub mod monitoring;
pub mod plan;
pub mod remedy;
pub mod tool;

pub use alert::{Alert, AlertState, Closed, Proof, Threat, Verdicted};
pub use analysis::{Analysis, Phase};
pub use approval::{Approval, Ruling};
pub use feed::{FeedEntry, FeedKind};
pub use incident::{Incident, IncidentState, LogEntry, LogKind};
pub use monitoring::MonitoringOff;
pub use plan::{Blast, Claim, Plan, PlanBody, PlanState, RemedyAction, Step};
pub use remedy::{Remedy, RemedyState};
pub use tool::{ToolHold, ToolRuling};

//! What learning keeps: reports, the proposals that come of them, how often learned rules hit, and a site's harmless texts.
//!
//! Reports and proposals change in transactions that hold the end of the feed, as everything of the SOC does.

mod hits;
mod proposals;
mod reports;
mod texts;

pub use hits::HitRow;
pub use proposals::ProposalFilter;
pub use reports::{ReportBounds, ReportFilter};
pub use texts::HarmlessText;

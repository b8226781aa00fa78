//! Floor 0: the vocabulary. Plain data that every room may use; it imports no other room.

pub mod access;
pub mod alarm;
pub mod answer;
pub mod base64;
pub mod caller;
pub mod content;
pub mod dialect;
pub mod hex;
pub mod ids;
pub mod learn;
pub mod order;
pub mod privacy;
pub mod record;
pub mod runs;
pub mod secret;
pub mod soc;
pub mod verdict;
pub mod visible;

pub use self::base64::{base64, unbase64};
pub use access::AccessRole;
pub use alarm::{Alarm, AlarmKind};
pub use answer::{Channel, ChannelKind, FinishReason, Usage};
pub use caller::{Caller, CallerKind};
pub use content::{Kept, Layout, Part};
pub use dialect::{ApiFamily, Dialect, Place, Role, Trust};
pub use hex::{hex, unhex};
pub use ids::{Generation, RequestId, RuleId, RuleSetHash, SpanIndex};
pub use order::{Measure, Order, Subject};
pub use privacy::Privacy;
pub use record::{Accounted, Durations, Event, Outcome, Record, ReloadOutcome, Uninspected};
pub use secret::Secret;
pub use verdict::{
    Action, Decision, Direction, Doubt, Evidence, Factors, Family, Finding, Recommendation, Severity, Step, Verdict,
};
pub use visible::{escaped, is_formula, is_unseen, visible};

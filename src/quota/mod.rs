//! Limits, budgets, tokens, prices: what a caller may use. What was used outlives a reload.

pub mod anomaly;
mod bucket;
mod calendar;
mod cell;
mod clock;
mod concurrency;
mod fleet;
mod keeper;
mod meter;
pub mod prices;
mod rate;
mod reservation;
mod scope_kind;
mod spec;
mod table;
pub mod tokens;

pub use bucket::{Amounts, Bucket, BucketId, Charge, Denied, Exceeded, Headroom, Kind, Rule, Scope, Unit};
pub use calendar::{Calendar, Period, UnknownZone};
pub use clock::{Clock, Now};
pub use concurrency::{Concurrency, Slot};
pub use fleet::{FleetOptions, FleetState, OnFailure};
pub use meter::{Meter, MeterOptions};
pub use prices::{Price, PriceBook, Prices, PricesError, Usd};
pub use rate::{Rate, RateLimits, Standing};
pub use reservation::{Reservation, Spent};
pub use scope_kind::ScopeKind;
pub use spec::{Allowance, BudgetSpec, LimitSpec, Need, Plan, SpecError};
pub use tokens::Tokens;

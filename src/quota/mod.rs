//! Rates and concurrency: what a caller may use. State outlives a reload as long as the limits stay the same.

mod concurrency;
mod rate;

pub use concurrency::{Concurrency, Slot};
pub use rate::{Rate, RateLimits, Standing};

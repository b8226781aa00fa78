//! The audit trail on both backends: round trips, tampering, outages, crashes and many writers.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../support/backends.rs"]
mod backends;
mod crash;
#[path = "../support/databases.rs"]
mod databases;
mod files;
mod home;
mod outage;
mod tamper;
mod trail;

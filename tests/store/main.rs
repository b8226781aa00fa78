//! The store, on SQLite and on PostgreSQL: every case of `both!` runs on both.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test says what it expects and fails loudly"
)]

#[path = "../support/backends.rs"]
mod backends;
mod content;
mod conversations;
mod database;
#[path = "../support/databases.rs"]
mod databases;
mod faults;
#[path = "../support/home.rs"]
mod home;
mod kill;
mod learn;
mod ledger;
mod overview;
mod owners;
#[path = "../support/rows.rs"]
mod rows;
mod rule_hits;
mod soc_alerts;
mod soc_feed;
mod soc_incidents;
mod soc_plans;
mod soc_remedies;
mod soc_rest;
mod soc_shelf;
mod soc_steps;
#[path = "../support/soc_things.rs"]
mod soc_things;
mod writer;

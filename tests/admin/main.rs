//! The admin API over real HTTP, on a real store: SQLite, and PostgreSQL for what asks the store most.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test says what it expects and fails loudly"
)]

#[path = "../support/databases.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod databases;
mod home;

mod accounts;
mod conversations;
mod detection;
mod document;
mod exports;
mod govern;
mod govern_pages;
mod guard;
mod ingest;
mod learn;
mod live;
mod login;
mod nouns;
mod oidc;
mod roles;
mod serve;
mod soc;

//! The admin API over real HTTP, on a real store: SQLite, and PostgreSQL for what asks the store most.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/databases.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with other test binaries")]
mod databases;
mod home;

mod accounts;
mod document;
mod guard;
mod login;
mod nouns;
mod oidc;
mod roles;
mod serve;

//! Exports against receivers of our own, over real sockets, from a real store: SQLite, and PostgreSQL for what asks the store most.

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
#[path = "../support/databases.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod databases;
mod delivery;
mod fleet;
mod home;
mod receiver;
mod shapes;
mod syslog;

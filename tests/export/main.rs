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
#[path = "../support/home.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod home;
mod receiver;
#[path = "../support/rows.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod rows;
mod shapes;
mod site;
#[path = "../support/soc_things.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod soc_things;
mod syslog;

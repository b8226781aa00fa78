//! Reports over stores with made-up data: every kind in every format, on SQLite and on PostgreSQL.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../admin/home.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod admin;
#[path = "../support/backends.rs"]
mod backends;
#[path = "../support/databases.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod databases;
#[path = "../support/home.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod home;
#[path = "../support/rows.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod rows;
#[path = "../support/soc_things.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod soc_things;

mod api;
mod command;
mod due;
mod filled;
mod formats;
mod hostile;
mod kinds;
mod large;
mod pdf;

//! The gateway as its users meet it: the real binary between a client and a provider that does what the test says.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod bodies;
mod budgets;
mod chaos;
mod content;
mod exempt;
mod history;
mod holds;
mod hostile;
mod inside;
mod leak;
mod learn;
mod limits;
mod models;
mod policies;
mod rehearsal;
mod reload;
mod road;
mod shutdown;
mod soc;
mod streaming;
mod switches;

//! The listener on real sockets: hostile bytes, deadlines, caps, TLS, PROXY headers, draining.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::string_slice,
    reason = "a failed test may panic, and measured figures are printed"
)]

mod guard;
mod life;
mod support;
mod tls;

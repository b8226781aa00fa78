//! The listener on real sockets: hostile bytes, deadlines, caps, TLS, PROXY headers, draining.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a failed test may panic, and measured figures are printed"
)]

/// The binary's allocator, so that measured memory is its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod guard;
mod life;
mod support;
mod tls;

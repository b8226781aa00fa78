//! Who asks: virtual keys, tokens, certificates, trusted headers, sessions, owners of ids.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test that meets what it does not expect has failed"
)]

mod callers;
mod certificates;
mod ids;
mod jwks;
mod keys;
mod sessions;
mod settings;
mod support;
mod tokens;

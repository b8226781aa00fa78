//! The data path, in the order a request meets it: read `Proxy::handle` first.

pub mod listen;

//! The binary: one call into the library.

fn main() {}

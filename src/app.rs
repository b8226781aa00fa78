//! Builds every room once, wires the two doors, drains on shutdown.


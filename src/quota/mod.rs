//! Rates and concurrency: what a caller may use.

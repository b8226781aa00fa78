//! Leaks and mentions.

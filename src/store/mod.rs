//! The only room that speaks SQL or Redis.

pub mod redis;

//! The only room that speaks SQL or Redis.

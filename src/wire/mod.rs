//! LLM wire formats <-> one neutral Prompt and Delta. Pure: bytes in, bytes out.

mod base64;
mod collect;
mod dialect;
mod edit;
pub mod errors;
pub mod json;
pub mod path;
pub mod prompt;
mod walk;
mod words;

pub use json::{BadBody, BadBodyKind, Limits};
pub use path::{Target, target};
pub use prompt::{Prompt, Span, read_prompt};

//! LLM wire formats <-> one neutral Prompt and Delta. Pure: bytes in, bytes out.

pub mod answer;
mod base64;
pub mod calls;
mod collect;
mod demands;
mod dialect;
mod edit;
pub mod errors;
pub mod json;
mod logprobs;
pub mod path;
pub mod prompt;
pub mod sse;
pub mod stream;
mod walk;
mod words;

pub use answer::{Answer, Piece, PieceKind, read_answer};
pub use calls::{WholeCall, whole_calls};
pub use demands::{Field, Offer};
pub use json::{BadBody, BadBodyKind, Limits};
pub use path::{Target, target};
pub use prompt::{Prompt, Span, read_prompt};
pub use sse::{Splitter, SseEvent, TooLong};
pub use stream::{Chunk, Stream, ToolCall, ToolPhase};

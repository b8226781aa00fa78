//! What is remembered of callers and conversations between requests, and what follows from it. State machines that take
//! the time as an argument: bounded in size, forgetting by half-lives, without a word of a prompt but for the last turns
//! of conversations that do not repeat them.

mod caller;
mod conversation;
mod correlation;
mod decay;
mod example;
mod log;
mod print;
mod sequel;

pub use caller::{Behaviour, Caller};
pub use conversation::{Conversation, Room};
pub use correlation::Correlation;
pub use decay::Moment;
pub use print::Print;
pub use sequel::{Asked, judge_answer, judge_request};

pub(super) use correlation::RawCorrelation;
pub(super) use example::readable;
pub(super) use sequel::Watched;

#[cfg(test)]
mod tests;

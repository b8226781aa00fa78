//! Learning from what was missed: a report becomes rules that passed every gate, that count first, and that decide once people
//! approved them; what starts to hit harmless traffic is taken back.
//!
//! A report and the proposal that comes of it are rows of the store, so one replica works on each, whichever it is, and a crash
//! repeats at most one step: the same seed gives the same variations and the same candidates. Rules that are staged come back down
//! to every replica through the Snapshot, as further rule files.

pub mod counter;
pub mod desk;
pub mod follow;
pub mod guard;
pub mod harmless;
mod import;
pub mod learner;
mod model;
mod rewrite;
mod work;

pub use counter::{Counter, Counts};
pub use desk::{LearnDesk, NewReport};
pub use follow::LearnedFollower;
pub use guard::Guard;
pub use harmless::Harmless;
pub use learner::Learner;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::types::hex;
use crate::types::learn::{GATEWAY, Said};

/// What stands for a text, however its letters are cased and its words are spaced.
pub(crate) fn print(text: &str) -> Arc<str> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    hex(&Sha256::digest(words.join(" ").as_bytes())).into()
}

/// What the gateway itself did.
pub(super) fn by_gateway(what: &str, why: String, at: i64) -> Said {
    Said { account: GATEWAY.into(), name: GATEWAY.into(), what: what.into(), why: why.into(), at }
}

pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

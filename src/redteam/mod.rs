//! Attack scenarios against a running gateway: packs of cases become trials, trials are sent, answers are judged, and a
//! report says whether a release may go out. Only `target` and `run` speak to anybody; everything else is text in, text out.
//!
//! The same seed gives the same trials in the same order with the same texts, made-up secrets included. What differs
//! between two runs is the end user each trial names: a gateway that remembers its callers must judge a trial by what it
//! says and not by the trials before it, so no two of them, nor two runs, share one.

pub mod report;

mod canary;
mod dice;
mod disguise;
mod judge;
mod pack;
mod plan;
mod reply;
mod run;
mod score;
mod target;

pub use judge::Outcome;
pub use pack::{Case, Pack, PackFile, builtin, read};
pub use plan::{Trial, plan};
pub use run::{Options, Stopped, Watch, run, watched};
pub use score::{Judged, Minimum, Run, Tally, Verdict};
pub use target::{Carried, Carry, Target, TargetError};

//! What a rule set would have done to stored traffic. The comparison is pure; `run` reads the store and keeps the threads,
//! `checkpoint` the file it can go on from.
//!
//! A prompt is judged as `proxy/inspect` judges it: every text in its role, the conversation as a whole, the treatments and
//! thresholds of the request's policy, the route's mode. Left out is what is not stored or not about the rules: what was
//! remembered of caller and conversation, second opinions of models, orders that tighten, the query of the URL. Answers
//! are not compared: of them only what went on to the client is kept.

mod checkpoint;
mod compare;
mod excerpt;
mod figures;
mod judge;
mod report;
mod run;
mod terms;
mod texts;

pub use checkpoint::{Asked, Checkpoint, CheckpointError};
pub use compare::{Against, Change, Compared, Outcome, Why};
pub use excerpt::{Excerpts, excerpts};
pub use figures::{About, Figures, Group, MOST_GROUPS, OTHERS, PrivacyFigures, RuleFigures, Sample, Samples};
pub use judge::{Fired, Judge, Side};
pub use report::{Heading, SCHEMA, json, text};
pub use run::{Ended, Failure, Job, Progress, Runner};
pub use terms::{Terms, Treated};
pub use texts::{Texts, Unread};

//! Where questions wait: a small queue in front of threads that are the model's own, never the workers'.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::failure::Failure;
use crate::telemetry::ModelCall;
use crate::types::Role;

/// One question.
#[derive(Debug)]
pub(super) struct Job {
    /// The request's id.
    pub(super) request: String,
    /// Who asks, if the model is told.
    pub(super) caller: Option<String>,
    /// What is to be judged.
    pub(super) passages: Vec<Passage>,
    /// When the answer is worth nothing any more.
    pub(super) deadline: Instant,
    /// Where the answer goes: a score per passage, in their order.
    pub(super) reply: oneshot::Sender<Answer>,
}

pub(super) type Answer = Result<Vec<Score>, Failure>;

/// A text, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) role: Role,
    pub(super) text: String,
}

/// What a model says about a passage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Score {
    /// 0 to 1.
    pub(super) probability: f32,
    /// Bytes of the passage it is about.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The model's own word for it.
    pub(super) label: Option<Arc<str>>,
}

impl Job {
    /// Whether nobody waits for the answer any more.
    pub(super) fn is_late(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.deadline
    }

    /// Sends the answer. Whoever asked may have left.
    pub(super) fn answer(self, answer: Answer) {
        if self.reply.send(answer).is_err() {
            tracing::trace!("a model's answer came too late");
        }
    }
}

/// Puts a question into the queue.
///
/// # Errors
/// The queue is full, or the model's threads are gone.
pub(super) fn hand_in(desk: &mpsc::Sender<Job>, job: Job) -> Result<(), Failure> {
    desk.try_send(job).map_err(|refused| match refused {
        mpsc::error::TrySendError::Full(_) => Failure::new(ModelCall::Busy, "its queue is full"),
        mpsc::error::TrySendError::Closed(_) => Failure::new(ModelCall::Broken, "its threads have ended"),
    })
}

//! A cross-encoder in an ONNX file: a claim and a text that may support it, read together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::models::{Failure, Stamp};
use crate::telemetry::ModelCall;

/// Questions that may wait: the analyst's workers ask one at a time.
const QUEUE: usize = 64;

/// A directory with `model.onnx`, `tokenizer.json` and, for the names of labels, `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossSpec {
    /// Where it is.
    pub directory: PathBuf,
    /// The files in it as they were when it was looked at: other files are another model.
    pub files: Vec<(PathBuf, Option<Stamp>)>,
    /// Tokens of one window, special ones and the claim included.
    pub max_tokens: usize,
    /// Threads of its own.
    pub threads: usize,
}

/// A model that reads two texts together, on threads of its own.
#[derive(Debug)]
pub struct CrossEncoder {
    spec: CrossSpec,
    desk: mpsc::Sender<Pairs>,
}

/// A question.
#[derive(Debug)]
#[cfg_attr(not(feature = "onnx"), expect(dead_code, reason = "without the feature nobody answers"))]
pub(super) struct Pairs {
    /// Claims, each with what may support it.
    pub(super) pairs: Vec<(String, String)>,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Scores>,
}

/// For each pair, in their order, how far the second text supports the first: 0 to 1.
pub(super) type Scores = Result<Vec<f32>, Failure>;

impl CrossEncoder {
    /// Loads it, tries it out and starts its threads; `before` where it is the same.
    ///
    /// Takes as long as the model takes to load: not for an async worker.
    ///
    /// # Errors
    /// This build has no feature `onnx`; the model cannot be loaded, does not run, or has no output that says how far a
    /// text supports another.
    pub fn build(spec: &CrossSpec, before: Option<&Arc<Self>>) -> Result<Arc<Self>, String> {
        if let Some(before) = before.filter(|before| before.spec == *spec) {
            return Ok(Arc::clone(before));
        }
        let (desk, jobs) = mpsc::channel(QUEUE);
        super::start_pairs(spec, jobs)?;
        Ok(Arc::new(Self { spec: spec.clone(), desk }))
    }

    /// How far the second text of each pair supports the first, 0 to 1, in their order.
    ///
    /// # Errors
    /// There is no answer in time, or none at all.
    pub async fn score(&self, pairs: Vec<(String, String)>, timeout: Duration) -> Result<Vec<f32>, Failure> {
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + timeout;
        self.desk.try_send(Pairs { pairs, deadline, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Failure::new(ModelCall::Busy, "its queue is full"),
            mpsc::error::TrySendError::Closed(_) => Failure::new(ModelCall::Broken, "its threads have ended"),
        })?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(scores)) => scores,
            Ok(Err(_)) => Err(Failure::new(ModelCall::Broken, "it went away without an answer")),
            Err(_) => Err(Failure::timeout()),
        }
    }
}

//! Why a model gave no answer, and a log line about it that does not come a thousand times.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::ModelCall;

/// The least time between two log lines about one model.
const QUIET: Duration = Duration::from_secs(10);

/// No answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure, for the metrics.
    pub call: ModelCall,
    /// What happened, for a log line. Never a word of the texts or of what a service said.
    pub detail: String,
}

impl Failure {
    pub(super) fn new(call: ModelCall, detail: impl Into<String>) -> Self {
        Self { call, detail: detail.into() }
    }

    pub(super) fn timeout() -> Self {
        Self::new(ModelCall::Timeout, "no answer in time")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call.name(), self.detail)
    }
}

/// When something was last said about a model's failures, and how many were passed over since.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Option<(Instant, u64)>>);

impl Complaints {
    /// Logs a failure, unless one was logged a moment ago.
    pub(super) fn complain(&self, model: &str, failure: &Failure) {
        if let Some(unsaid) = self.due(Instant::now()) {
            tracing::warn!(model, failure = failure.call.name(), detail = %failure.detail, unsaid, "a model gave no answer");
        }
    }

    /// How many failures were passed over, if it is time to log one.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some((said, unsaid)) if now.saturating_duration_since(*said) < QUIET => {
                *unsaid += 1;
                None
            }
            last => Some(last.replace((now, 0)).map_or(0, |(_, unsaid)| unsaid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_goes_on_is_logged_now_and_then() {
        let complaints = Complaints::default();
        let start = Instant::now();
        assert_eq!(complaints.due(start), Some(0));
        assert_eq!(complaints.due(start + QUIET / 2), None);
        assert_eq!(complaints.due(start + QUIET / 2), None);
        assert_eq!(complaints.due(start + QUIET), Some(2));
        assert_eq!(complaints.due(start + QUIET), None);
    }
}

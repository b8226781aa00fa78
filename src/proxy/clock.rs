//! The deadlines of a stream, and when its pieces came.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::live::Cancel;

/// Deadlines of a stream. One timer for all of them, armed anew only when it fires.
pub(super) struct Clock {
    pub(super) started: Instant,
    pub(super) last_piece: Instant,
    pub(super) idle: Duration,
    pub(super) deadline: Instant,
    pub(super) timer: Pin<Box<Sleep>>,
    pub(super) cut: Cancel,
    pub(super) cutting: Pin<Box<WaitForCancellationFutureOwned>>,
    pub(super) first_piece: Option<Instant>,
    pub(super) upstream: u64,
}

impl Clock {
    /// From `now` on: pieces may be `idle` apart, and all of it ends at `deadline`.
    pub(super) fn new(now: Instant, idle: Duration, deadline: Instant, cut: Cancel) -> Self {
        Self {
            started: now,
            last_piece: now,
            idle,
            deadline,
            timer: Box::pin(tokio::time::sleep_until(deadline.min(now + idle).into())),
            cutting: Box::pin(cut.token().clone().cancelled_owned()),
            cut,
            first_piece: None,
            upstream: 0,
        }
    }
}

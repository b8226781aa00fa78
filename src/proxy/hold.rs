//! How long something of a stream was held back.

use std::time::Instant;

use super::record::micros_since;

/// Keeps the longest time something was held.
#[derive(Default)]
pub(super) struct HoldClock {
    since: Option<Instant>,
    longest: u64,
}

impl HoldClock {
    /// At `now`, something is held or nothing is.
    pub(super) fn mark(&mut self, held: bool, now: Instant) {
        match (held, self.since) {
            (true, None) => self.since = Some(now),
            (false, Some(since)) => {
                self.longest = self.longest.max(micros_since(since));
                self.since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// The longest so far, in microseconds.
    pub(super) fn longest(&self) -> u64 {
        self.since.map_or(self.longest, |since| self.longest.max(micros_since(since)))
    }
}

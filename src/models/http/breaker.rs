//! A circuit breaker: after several failures in a row a service is left alone for a while, then tried with one request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts failures. Time is passed in.
#[derive(Debug)]
pub(super) struct Breaker {
    most: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests pass; so many of the last ones failed.
    Closed(u32),
    /// None passes, since then.
    Open(Instant),
    /// One has been let through, then.
    HalfOpen(Instant),
}

impl Breaker {
    /// Opens after `most` failures in a row, for `pause`.
    pub(super) fn new(most: u32, pause: Duration) -> Self {
        Self { most, pause, state: Mutex::new(State::Closed(0)) }
    }

    /// Whether a request may pass. One that passes must be followed by `succeeded` or `failed`; if it is not, another one
    /// passes after the pause.
    pub(super) fn lets_through(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Closed(_) => true,
            State::Open(since) | State::HalfOpen(since) => {
                let over = now.saturating_duration_since(since) >= self.pause;
                if over {
                    *state = State::HalfOpen(now);
                }
                over
            }
        }
    }

    /// A request was answered.
    pub(super) fn succeeded(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Closed(0);
    }

    /// A request failed. Whether that opened the breaker.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match *state {
            State::Closed(failures) if failures + 1 < self.most => State::Closed(failures + 1),
            State::Closed(_) | State::HalfOpen(_) => State::Open(now),
            State::Open(since) => State::Open(since),
        };
        let opened = matches!(next, State::Open(_)) && !matches!(*state, State::Open(_));
        *state = next;
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[test]
    fn it_opens_after_failures_in_a_row_and_tries_one_request_after_the_pause() {
        let breaker = Breaker::new(3, PAUSE);
        let start = Instant::now();
        assert!(!breaker.failed(start) && !breaker.failed(start));
        breaker.succeeded();
        assert!(!breaker.failed(start) && !breaker.failed(start) && breaker.failed(start));
        assert!(!breaker.lets_through(start + PAUSE / 2));
        assert!(breaker.lets_through(start + PAUSE), "half open");
        assert!(!breaker.lets_through(start + PAUSE), "for one only");
        assert!(breaker.failed(start + PAUSE), "it failed: open again");
        assert!(!breaker.lets_through(start + PAUSE * 3 / 2));
        assert!(breaker.lets_through(start + PAUSE * 2));
        breaker.succeeded();
        assert!(breaker.lets_through(start + PAUSE * 2) && breaker.lets_through(start + PAUSE * 2));
    }

    #[test]
    fn a_trial_that_never_ends_does_not_keep_it_shut() {
        let breaker = Breaker::new(1, PAUSE);
        let start = Instant::now();
        assert!(breaker.failed(start));
        assert!(breaker.lets_through(start + PAUSE));
        assert!(breaker.lets_through(start + PAUSE * 2));
    }

    #[test]
    fn failures_that_come_late_do_not_prolong_the_pause() {
        let breaker = Breaker::new(1, PAUSE);
        let start = Instant::now();
        assert!(breaker.failed(start));
        assert!(!breaker.failed(start + PAUSE / 2));
        assert!(breaker.lets_through(start + PAUSE));
    }
}

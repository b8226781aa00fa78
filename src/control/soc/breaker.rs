//! A circuit breaker: after several failures in a row a target is left alone for a while, then tried once. Time is passed in.

use std::time::{Duration, Instant};

use crate::telemetry::BreakerState;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Failures in a row that open it; 0 counts as 1.
    pub failures: u32,
    /// How long nothing passes then.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(30) }
    }
}

/// One target's breaker.
#[derive(Debug)]
pub struct Breaker {
    limits: Limits,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Everything passes; so many of the last ones failed.
    Closed(u32),
    /// Nothing passes, since then.
    Open(Instant),
    /// One was let through, then.
    HalfOpen(Instant),
}

impl Breaker {
    /// A closed one.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, state: State::Closed(0) }
    }

    /// Whether something may pass. What passes must be followed by `succeeded` or `failed`; if it is not, another one passes
    /// after the pause.
    pub fn lets_through(&mut self, now: Instant) -> bool {
        let over = match self.state {
            State::Closed(_) => return true,
            State::Open(since) | State::HalfOpen(since) => now.saturating_duration_since(since) >= self.limits.pause,
        };
        if over {
            self.state = State::HalfOpen(now);
        }
        over
    }

    /// How long nothing passes yet; zero: something does.
    pub fn closed_for(&self, now: Instant) -> Duration {
        match self.state {
            State::Closed(_) => Duration::ZERO,
            State::Open(since) | State::HalfOpen(since) => {
                self.limits.pause.saturating_sub(now.saturating_duration_since(since))
            }
        }
    }

    /// The target works.
    pub fn succeeded(&mut self) {
        self.state = State::Closed(0);
    }

    /// The target failed. Whether that opened the breaker. What fails late, when it is open already, does not prolong the pause.
    pub fn failed(&mut self, now: Instant) -> bool {
        let next = match self.state {
            State::Closed(failures) if failures.saturating_add(1) < self.limits.failures => {
                State::Closed(failures.saturating_add(1))
            }
            State::Closed(_) | State::HalfOpen(_) => State::Open(now),
            State::Open(_) => return false,
        };
        self.state = next;
        matches!(next, State::Open(_))
    }

    /// Where it stands.
    pub const fn state(&self) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open(_) => BreakerState::Open,
            State::HalfOpen(_) => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[test]
    fn it_opens_after_failures_in_a_row_and_tries_once_after_the_pause() {
        let mut breaker = Breaker::new(Limits { failures: 3, pause: PAUSE });
        let start = Instant::now();
        assert!(!breaker.failed(start) && !breaker.failed(start));
        breaker.succeeded();
        assert!(!breaker.failed(start) && !breaker.failed(start), "only failures in a row count");
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(breaker.failed(start));
        assert_eq!((breaker.state(), breaker.closed_for(start + PAUSE / 2)), (BreakerState::Open, PAUSE / 2));
        assert!(!breaker.lets_through(start + PAUSE / 2));
        assert!(breaker.lets_through(start + PAUSE));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(!breaker.lets_through(start + PAUSE), "for one only");
        assert!(breaker.failed(start + PAUSE), "open again");
        assert!(!breaker.lets_through(start + PAUSE * 3 / 2));
        assert!(breaker.lets_through(start + PAUSE * 2));
        breaker.succeeded();
        assert_eq!((breaker.state(), breaker.closed_for(start)), (BreakerState::Closed, Duration::ZERO));
        assert!(breaker.lets_through(start + PAUSE * 2) && breaker.lets_through(start + PAUSE * 2));
    }

    #[test]
    fn a_trial_that_never_ends_does_not_keep_it_shut() {
        let mut breaker = Breaker::new(Limits { failures: 0, pause: PAUSE });
        let start = Instant::now();
        assert!(breaker.failed(start));
        assert!(breaker.lets_through(start + PAUSE));
        assert!(!breaker.lets_through(start + PAUSE * 3 / 2));
        assert!(breaker.lets_through(start + PAUSE * 2));
    }

    #[test]
    fn failures_that_come_late_do_not_prolong_the_pause() {
        let mut breaker = Breaker::new(Limits { failures: 1, pause: PAUSE });
        let start = Instant::now();
        assert!(breaker.failed(start));
        assert!(!breaker.failed(start + PAUSE / 2));
        assert!(breaker.lets_through(start + PAUSE));
    }
}

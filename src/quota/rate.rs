//! Request rates: a sustained rate with a burst (GCRA, crate `governor`), per key, bounded in keys.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// One rate: requests per minute and how many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests per minute, sustained.
    pub per_minute: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// Where a caller stands after a request: the numbers of `x-ratelimit-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that could come at once from a full allowance.
    pub limit: u32,
    /// Requests that could come now.
    pub remaining: u32,
    /// Until the allowance is full again.
    pub reset: Duration,
}

/// A rate held for each of many keys. Keys beyond `max_tracked` share one allowance, so that inventing keys gains
/// nothing and memory stays bounded.
pub struct RateLimits<K: Hash + Eq + Clone> {
    rate: Rate,
    max_tracked: usize,
    keyed: RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
    overflow: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
    clock: DefaultClock,
}

impl<K: Hash + Eq + Clone> RateLimits<K> {
    /// No key has used anything yet.
    pub fn new(rate: Rate, max_tracked: usize) -> Self {
        let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        Self {
            rate,
            max_tracked,
            keyed: RateLimiter::dashmap(quota).with_middleware(),
            overflow: RateLimiter::direct(quota).with_middleware(),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one request from the allowance of `key`.
    ///
    /// # Errors
    /// How long until a request fits again, when the allowance is used up.
    pub fn take(&self, key: &K) -> Result<Standing, Duration> {
        let full = self.keyed.len() >= self.max_tracked;
        let taken = if full { self.overflow.check() } else { self.keyed.check_key(key) };
        match taken {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let used = self.rate.burst.get().saturating_sub(remaining);
                let reset = Duration::from_secs(60) * used / self.rate.per_minute.get();
                Ok(Standing { limit: self.rate.burst.get(), remaining, reset })
            }
            Err(until) => Err(until.wait_time_from(self.clock.now())),
        }
    }

    /// Forgets keys whose allowance is full again. To be called now and then.
    pub fn forget_idle(&self) {
        self.keyed.retain_recent();
        self.keyed.shrink_to_fit();
    }

    /// Keys remembered.
    pub fn tracked(&self) -> usize {
        self.keyed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_minute: u32, burst: u32) -> Rate {
        Rate { per_minute: NonZeroU32::new(per_minute).unwrap(), burst: NonZeroU32::new(burst).unwrap() }
    }

    #[test]
    fn a_burst_passes_and_the_next_request_waits() {
        let limits = RateLimits::new(rate(60, 3), 10);
        let remaining: Vec<u32> = (0..3).map(|_| limits.take(&"a").unwrap().remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let wait = limits.take(&"a").unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(limits.take(&"b").unwrap().remaining, 2);
    }

    #[test]
    fn keys_beyond_the_bound_share_one_allowance() {
        let limits = RateLimits::new(rate(60, 2), 1);
        limits.take(&0).unwrap();
        let passed = (1..100).filter(|key| limits.take(key).is_ok()).count();
        assert_eq!(passed, 2);
        assert_eq!(limits.tracked(), 1);
    }
}

//! Request rates: a sustained rate with a burst (GCRA, crate `governor`), per key, bounded in keys.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{InMemoryState, NotKeyed, StateStore};
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

/// A rate held for each of many keys. New keys beyond `max_tracked` share one allowance, so that inventing keys gains
/// nothing, memory stays bounded, and keys that are known keep their own.
pub struct RateLimits<K: Hash + Eq + Clone> {
    rate: Rate,
    keyed: RateLimiter<K, Bounded<K>, DefaultClock, StateInformationMiddleware>,
    clock: DefaultClock,
}

/// What each key has used, for a bounded number of keys, and what all others have used together.
struct Bounded<K: Hash + Eq + Clone> {
    known: DashMapStateStore<K>,
    others: InMemoryState,
    max_tracked: usize,
}

impl<K: Hash + Eq + Clone> RateLimits<K> {
    /// No key has used anything yet.
    pub fn new(rate: Rate, max_tracked: usize) -> Self {
        let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        let store = Bounded { known: DashMapStateStore::default(), others: InMemoryState::default(), max_tracked };
        let clock = DefaultClock::default();
        Self { rate, keyed: RateLimiter::new(quota, store, clock.clone()), clock }
    }

    /// Takes one request from the allowance of `key`.
    ///
    /// # Errors
    /// How long until a request fits again, when the allowance is used up.
    pub fn take(&self, key: &K) -> Result<Standing, Duration> {
        match self.keyed.check_key(key) {
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

impl<K: Hash + Eq + Clone> StateStore for Bounded<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if self.known.contains_key(key) || self.known.len() < self.max_tracked {
            self.known.measure_and_replace(key, measure)
        } else {
            self.others.measure_and_replace(&NotKeyed::NonKey, measure)
        }
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Bounded<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.known.retain_recent(drop_below);
    }

    fn shrink_to_fit(&self) {
        self.known.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.known.len()
    }

    fn is_empty(&self) -> bool {
        self.known.is_empty()
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

    #[test]
    fn a_known_key_keeps_its_own_allowance_when_the_table_is_full() {
        let limits = RateLimits::new(rate(60, 2), 1);
        assert_eq!(limits.take(&0).unwrap().remaining, 1);
        assert_eq!((1..100).filter(|key| limits.take(key).is_ok()).count(), 2);
        assert_eq!(limits.take(&0).unwrap().remaining, 0, "what others used is not its own");
        assert!(limits.take(&0).is_err());
    }
}

//! The two clocks of the limits: a monotonic one for rates and leases, the wall for calendar periods.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System(Instant),
    Manual(Arc<Hands>),
}

#[derive(Debug)]
struct Hands {
    mono: AtomicU64,
    wall: AtomicI64,
}

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since the clock was made. Never goes back.
    pub mono: u64,
    /// Unix time in seconds. May jump.
    pub wall: i64,
}

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        Self(Source::System(Instant::now()))
    }

    /// One that stands still at `wall` (Unix seconds) until it is moved.
    pub fn manual(wall: i64) -> Self {
        Self(Source::Manual(Arc::new(Hands { mono: AtomicU64::new(0), wall: AtomicI64::new(wall) })))
    }

    /// Reads both.
    pub fn now(&self) -> Now {
        match &self.0 {
            Source::System(start) => {
                let mono = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Now { mono, wall: i64::try_from(wall.as_secs()).unwrap_or(i64::MAX) }
            }
            Source::Manual(hands) => {
                Now { mono: hands.mono.load(Ordering::SeqCst), wall: hands.wall.load(Ordering::SeqCst) }
            }
        }
    }

    /// Time passes on a manual clock; on the machine's nothing happens.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(hands) = &self.0 {
            hands.mono.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
            hands.wall.fetch_add(i64::try_from(by.as_secs()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// The wall of a manual clock jumps by so many seconds; on the machine's nothing happens.
    pub fn jump(&self, seconds: i64) {
        if let Source::Manual(hands) = &self.0 {
            hands.wall.fetch_add(seconds, Ordering::SeqCst);
        }
    }
}

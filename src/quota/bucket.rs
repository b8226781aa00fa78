//! What is limited: buckets, the rules they follow, and what a request charges to them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::calendar::Calendar;

/// What a bucket counts, and so what becomes of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Requests: used up when they are admitted, and never given back.
    Requests,
    /// Tokens: held when reserved, used up as they are relayed, the rest given back.
    Tokens,
    /// Money in billionths of a US dollar: as tokens.
    NanoUsd,
    /// Requests in flight: given back when they end.
    Slots,
}

/// How a bucket empties.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A sustained rate with a burst of the whole limit (GCRA, as a leaking level): `limit` per `window`.
    Rate {
        /// Units per window, and units at once.
        limit: u64,
        /// The window.
        window: Duration,
    },
    /// A counter that begins again with each calendar period.
    Budget {
        /// Units per period.
        limit: u64,
        /// Day, week or month in a time zone.
        calendar: Arc<Calendar>,
    },
    /// So many at the same time.
    Concurrent {
        /// The most.
        limit: u64,
    },
}

impl Kind {
    /// The most the bucket takes.
    pub fn limit(&self) -> u64 {
        match self {
            Self::Rate { limit, .. } | Self::Budget { limit, .. } | Self::Concurrent { limit } => *limit,
        }
    }
}

/// One limit of the configuration. Made once; every bucket that follows it shares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Which rule: the same as long as name, unit and period are, so that a new limit keeps what was used.
    id: u64,
    /// What it is called in refusals, headers and metrics: low-cardinality, never a caller's name.
    pub name: Arc<str>,
    /// What it counts.
    pub unit: Unit,
    /// How it empties.
    pub kind: Kind,
}

impl Rule {
    /// A rule. `name` must differ between rules that may meet at one scope.
    pub fn new(name: &str, unit: Unit, kind: Kind) -> Arc<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.as_bytes());
        hasher.update(&[0, unit as u8]);
        match &kind {
            Kind::Rate { window, .. } => hasher.update(b"rate").update(&window.as_nanos().to_le_bytes()),
            Kind::Budget { calendar, .. } => hasher.update(b"budget").update(calendar.to_string().as_bytes()),
            Kind::Concurrent { .. } => hasher.update(b"concurrent"),
        };
        let (id, _) = halves(&hasher);
        Arc::new(Self { id, name: Arc::from(name), unit, kind })
    }
}

/// Whom a limit is about: the hash of a kind and a name (`key`, `team`, …). To be made once per caller, not per limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope(u128);

impl Scope {
    /// Whoever finds no place of its own in a full table.
    pub(super) const OTHERS: Self = Self(0);

    /// The scope `name` of its kind. Collision-resistant (BLAKE3, 128 bits): names may be a caller's own words.
    pub fn new(kind: &str, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(kind.as_bytes()).update(&[0]).update(name.as_bytes());
        let (low, high) = halves(&hasher);
        Self(u128::from(high) << 64 | u128::from(low))
    }

    /// This scope within another: a user within a tenant.
    pub fn within(self, outer: Self) -> Self {
        Self(self.0 ^ outer.0.rotate_left(61))
    }
}

fn halves(hasher: &blake3::Hasher) -> (u64, u64) {
    let mut bytes = [0_u8; 16];
    hasher.finalize_xof().fill(&mut bytes);
    let both = u128::from_le_bytes(bytes);
    // Truncation is the point: the low and the high half.
    ((both & u128::from(u64::MAX)) as u64, (both >> 64) as u64)
}

/// Which bucket: a scope and a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketId {
    pub(super) scope: Scope,
    pub(super) rule: u64,
}

impl BucketId {
    /// A uniformly distributed word of it: both parts are hashes already.
    pub(super) fn hash64(self) -> u64 {
        (self.scope.0 as u64) ^ self.rule.rotate_left(29)
    }
}

impl fmt::Display for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}{:016x}", self.scope.0, self.rule)
    }
}

/// One counter: what one scope has used of one rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Whose.
    pub scope: Scope,
    /// Of which rule.
    pub rule: Arc<Rule>,
}

impl Bucket {
    /// Its id.
    pub fn id(&self) -> BucketId {
        BucketId { scope: self.scope, rule: self.rule.id }
    }
}

/// So much from one bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Charge {
    /// From which.
    pub bucket: Bucket,
    /// How much, in the bucket's unit.
    pub amount: u64,
}

/// What a request has used so far or in the end. Requests and slots need no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Tokens, prompt and answer.
    pub tokens: u64,
    /// Billionths of a US dollar.
    pub nano_usd: u64,
}

impl Amounts {
    /// The amount in a unit, for the units that have one.
    pub fn of(&self, unit: Unit) -> Option<u64> {
        match unit {
            Unit::Tokens => Some(self.tokens),
            Unit::NanoUsd => Some(self.nano_usd),
            Unit::Requests | Unit::Slots => None,
        }
    }
}

/// What is left of a bucket: the numbers of `x-ratelimit-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headroom {
    /// The most the bucket takes.
    pub limit: u64,
    /// What could be taken now.
    pub remaining: u64,
    /// Until nothing is used any more; what is held by requests in flight counts as used now.
    pub reset: Duration,
}

impl Headroom {
    /// Whether relatively less is left of this one.
    pub(super) fn is_tighter_than(&self, other: &Self) -> bool {
        u128::from(self.remaining) * u128::from(other.limit) < u128::from(other.remaining) * u128::from(self.limit)
    }
}

/// Why nothing was reserved.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Denied {
    /// A bucket has not enough left.
    #[error("limit `{}` of {} is used up", .0.bucket.rule.name, .0.limit)]
    Exceeded(Box<Exceeded>),
    /// The fleet's counters cannot be reached and the configuration says `closed`.
    #[error("the limits of the fleet cannot be checked")]
    Unavailable,
}

/// Which bucket was too empty. Of several, the one with the longest wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Exceeded {
    /// Which.
    pub bucket: Bucket,
    /// Its place among the charges.
    pub index: usize,
    /// The most it takes.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// Until the charge may fit; `None` when it is larger than the whole limit.
    pub retry_after: Option<Duration>,
}

impl Exceeded {
    /// Whether it is a budget that is spent (`insufficient_quota`) and not a rate that passes (`rate_limit_exceeded`).
    pub fn is_budget(&self) -> bool {
        matches!(self.bucket.rule.kind, Kind::Budget { .. })
    }
}

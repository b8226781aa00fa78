//! Limits and budgets: the same suite in one process and in a fleet with a real Redis, and what only one of them does.
#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod fleet;
mod local;
mod model;
mod suite;

#[path = "../support/redis.rs"]
mod redis_server;

use std::sync::Arc;
use std::time::Duration;

use portcullis::quota::{
    Bucket, Calendar, Charge, Clock, Denied, FleetOptions, FleetState, Kind, Meter, MeterOptions, OnFailure, Period,
    Reservation, Rule, Scope, Unit,
};
use portcullis::store::redis::{Counters, RedisOptions};
use portcullis::types::Secret;
use redis_server::Redis;

/// 2026-11-21 10:00 UTC.
pub const MORNING: i64 = 1_795_255_200;
pub const MINUTE: Duration = Duration::from_secs(60);

/// A meter of this process, on a clock that the test moves.
pub fn local() -> (Meter, Clock) {
    let clock = Clock::manual(MORNING);
    (Meter::local(&MeterOptions::default(), clock.clone()), clock)
}

pub fn options() -> FleetOptions {
    FleetOptions { on_failure: OnFailure::Local(0.5), timeout: Duration::from_millis(500), ..FleetOptions::default() }
}

pub fn counters(url: &str) -> Counters {
    let options = RedisOptions {
        url: Secret::new(url.to_owned()),
        user: None,
        password: None,
        prefix: "test".to_owned(),
        connect_timeout: Duration::from_millis(500),
        answer_timeout: Duration::from_millis(2000),
    };
    Counters::new(options).unwrap()
}

/// A replica that is in touch with the fleet.
pub async fn replica(redis: &Redis, options: FleetOptions) -> Meter {
    let meter = Meter::fleet(&MeterOptions::default(), options, counters(&redis.url()), Clock::system());
    until(|| meter.state() == FleetState::Together).await;
    meter
}

/// Waits until something is so; fails after half a minute.
pub async fn until(mut so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("it should become so");
}

pub fn bucket(name: &str, unit: Unit, kind: Kind) -> Bucket {
    Bucket { scope: Scope::new("key", name), rule: Rule::new("the rule", unit, kind) }
}

pub fn rate(name: &str, unit: Unit, limit: u64) -> Bucket {
    bucket(name, unit, Kind::Rate { limit, window: MINUTE })
}

pub fn budget(name: &str, limit: u64) -> Bucket {
    let calendar = Arc::new(Calendar::new(Period::Month, "UTC").unwrap());
    bucket(name, Unit::NanoUsd, Kind::Budget { limit, calendar })
}

pub fn slots(name: &str, limit: u64) -> Bucket {
    bucket(name, Unit::Slots, Kind::Concurrent { limit })
}

pub fn charge(bucket: &Bucket, amount: u64) -> Charge {
    Charge { bucket: bucket.clone(), amount }
}

/// Whether so much fits now; nothing is taken.
pub async fn fits(meter: &Meter, bucket: &Bucket, amount: u64) -> bool {
    assert_ne!(bucket.rule.unit, Unit::Requests, "a request that was admitted is used up");
    match meter.reserve(&[charge(bucket, amount)]).await {
        Ok(reservation) => {
            drop(reservation);
            true
        }
        Err(Denied::Exceeded(_)) => false,
        Err(Denied::Unavailable) => panic!("the fleet is out of reach"),
    }
}

/// Waits until so much fits, or does not any more: a fleet hears of what ended, the test's own tries too, a moment
/// later.
pub async fn becomes(meter: &Meter, bucket: &Bucket, amount: u64, free: bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while fits(meter, bucket, amount).await != free {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{amount} should {}fit", if free { "" } else { "not " }));
}

/// Waits until exactly so much is free.
pub async fn exactly(meter: &Meter, bucket: &Bucket, free: u64) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !fits(meter, bucket, free).await || fits(meter, bucket, free + 1).await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("exactly {free} should be free of {bucket:?}"));
}

/// Reserves, as soon as what the test tried before is free again.
pub async fn admitted(meter: &Meter, charges: &[Charge]) -> Reservation {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Ok(reservation) = meter.reserve(charges).await {
                return reservation;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.expect("it should be admitted")
}

//! What one process does: time, bounds, clocks that jump.

use std::sync::Arc;
use std::time::Duration;

use portcullis::quota::{
    Amounts, Calendar, Charge, Clock, Denied, Kind, Meter, MeterOptions, Period, Rule, Scope, Unit,
};

use super::{Bucket, MINUTE, MORNING, bucket, budget, charge, fits, local, rate, slots};

const DAY: i64 = 86_400;

fn tokens(tokens: u64) -> Amounts {
    Amounts { tokens, nano_usd: 0 }
}

#[tokio::test]
async fn a_rate_is_free_again_after_its_window() {
    let (meter, clock) = local();
    let bucket = rate("a", Unit::Tokens, 600);
    meter.reserve(&[charge(&bucket, 600)]).await.unwrap().settle(tokens(600));
    assert!(!fits(&meter, &bucket, 1).await);
    clock.advance(Duration::from_secs(10));
    assert!(fits(&meter, &bucket, 100).await && !fits(&meter, &bucket, 101).await);
    clock.advance(Duration::from_secs(50));
    assert!(fits(&meter, &bucket, 600).await);
}

#[tokio::test]
async fn the_wait_that_is_told_is_enough_and_not_too_long() {
    let (meter, clock) = local();
    let bucket = rate("a", Unit::Requests, 7);
    for _ in 0..7 {
        drop(meter.reserve(&[charge(&bucket, 1)]).await.unwrap());
    }
    let Err(Denied::Exceeded(exceeded)) = meter.reserve(&[charge(&bucket, 1)]).await else { panic!() };
    let wait = exceeded.retry_after.unwrap();
    clock.advance(wait - Duration::from_millis(10));
    assert!(meter.reserve(&[charge(&bucket, 1)]).await.is_err());
    clock.advance(Duration::from_millis(10));
    assert!(meter.reserve(&[charge(&bucket, 1)]).await.is_ok());
}

#[tokio::test]
async fn what_is_held_does_not_leak_away() {
    let (meter, clock) = local();
    let bucket = rate("a", Unit::Tokens, 1000);
    let reservation = meter.reserve(&[charge(&bucket, 1000)]).await.unwrap();
    clock.advance(MINUTE * 10);
    assert!(!fits(&meter, &bucket, 1).await, "the stream may still use all of it at once");
    reservation.settle(tokens(1000));
    assert!(!fits(&meter, &bucket, 1).await);
    clock.advance(MINUTE);
    assert!(fits(&meter, &bucket, 1000).await);
}

#[tokio::test]
async fn frequent_questions_do_not_stop_the_leak() {
    let (meter, clock) = local();
    let bucket = rate("a", Unit::Tokens, 1);
    meter.reserve(&[charge(&bucket, 1)]).await.unwrap().settle(tokens(1));
    for _ in 0..60_000 {
        assert!(!fits(&meter, &bucket, 1).await);
        clock.advance(Duration::from_millis(1));
    }
    assert!(fits(&meter, &bucket, 1).await);
}

#[tokio::test]
async fn a_wall_clock_that_goes_back_a_day_unlocks_nothing() {
    let (meter, clock) = local();
    let calendar = Arc::new(Calendar::new(Period::Day, "UTC").unwrap());
    let daily = bucket("a", Unit::Tokens, Kind::Budget { limit: 100, calendar });
    let rate = rate("b", Unit::Tokens, 100);
    meter.reserve(&[charge(&daily, 100), charge(&rate, 100)]).await.unwrap().settle(tokens(100));
    clock.jump(-DAY);
    assert!(!fits(&meter, &daily, 1).await && !fits(&meter, &rate, 1).await);
    // Nor does a configuration read again on that clock.
    let calendar = Arc::new(Calendar::new(Period::Day, "UTC").unwrap());
    let again = bucket("a", Unit::Tokens, Kind::Budget { limit: 100, calendar });
    assert!(!fits(&meter, &again, 1).await);
    clock.jump(2 * DAY);
    assert!(fits(&meter, &daily, 100).await, "the next day is a new one");
    assert!(!fits(&meter, &rate, 1).await, "a rate does not ask the wall");
}

#[tokio::test]
async fn a_budget_begins_again_with_the_next_period() {
    let (meter, clock) = local();
    let bucket = budget("a", 100);
    let running = meter.reserve(&[charge(&bucket, 30)]).await.unwrap();
    meter.reserve(&[charge(&bucket, 70)]).await.unwrap().settle(Amounts { tokens: 0, nano_usd: 70 });
    assert!(!fits(&meter, &bucket, 1).await);
    clock.advance(Duration::from_secs(11 * 86_400));
    assert!(fits(&meter, &bucket, 70).await && !fits(&meter, &bucket, 71).await, "what runs on counts in the new one");
    running.settle(Amounts { tokens: 0, nano_usd: 30 });
    assert!(fits(&meter, &bucket, 70).await && !fits(&meter, &bucket, 71).await);
}

#[tokio::test]
async fn callers_beyond_the_bound_share_one_bucket_and_known_ones_keep_theirs() {
    let meter = Meter::local(&MeterOptions { max_entries: 64 }, Clock::manual(MORNING));
    let rule = Rule::new("r", Unit::Requests, Kind::Rate { limit: 2, window: MINUTE });
    let of =
        |name: &str| Charge { bucket: Bucket { scope: Scope::new("key", name), rule: Arc::clone(&rule) }, amount: 1 };
    drop(meter.reserve(&[of("known")]).await.unwrap());
    let mut admitted = 0;
    for caller in 0..10_000 {
        admitted += usize::from(meter.reserve(&[of(&caller.to_string())]).await.is_ok());
    }
    assert!(admitted < 64 + 2, "{admitted}");
    assert!(meter.tracked() <= 64 + 1);
    assert!(meter.reserve(&[of("known")]).await.is_ok());
    assert!(meter.reserve(&[of("known")]).await.is_err());
}

#[tokio::test]
async fn what_is_idle_is_forgotten_and_what_is_used_is_not() {
    let (meter, clock) = local();
    for caller in 0..100 {
        drop(meter.reserve(&[charge(&rate(&caller.to_string(), Unit::Requests, 5), 1)]).await.unwrap());
    }
    let spent = budget("spent", 10);
    meter.reserve(&[charge(&spent, 10)]).await.unwrap().settle(Amounts { tokens: 0, nano_usd: 10 });
    let slot = slots("slot", 1);
    let held = meter.reserve(&[charge(&slot, 1)]).await.unwrap();
    clock.advance(MINUTE);
    meter.forget_idle();
    assert_eq!(meter.tracked(), 2);
    assert!(!fits(&meter, &spent, 1).await && !fits(&meter, &slot, 1).await);
    drop(held);
    meter.forget_idle();
    assert_eq!(meter.tracked(), 1);
}

#[tokio::test]
async fn an_absurd_number_locks_a_rate_for_two_windows_at_most() {
    let (meter, clock) = local();
    let bucket = rate("a", Unit::Tokens, 100);
    meter.reserve(&[charge(&bucket, 1)]).await.unwrap().settle(tokens(u64::MAX));
    assert!(!fits(&meter, &bucket, 1).await);
    clock.advance(MINUTE * 2);
    assert!(fits(&meter, &bucket, 100).await);
}

#[tokio::test]
async fn a_limit_that_is_raised_keeps_what_was_used() {
    let (meter, _) = local();
    let before = rate("a", Unit::Tokens, 100);
    meter.reserve(&[charge(&before, 100)]).await.unwrap().settle(tokens(100));
    let after = rate("a", Unit::Tokens, 150);
    assert!(fits(&meter, &after, 50).await && !fits(&meter, &after, 51).await);
    assert_eq!(meter.headroom(&after).remaining, 50);
}

#[tokio::test]
async fn of_two_full_buckets_the_one_with_the_longer_wait_is_named() {
    let (meter, _) = local();
    let (minute, money) = (rate("a", Unit::Tokens, 10), budget("a", 10));
    meter
        .reserve(&[charge(&minute, 10), charge(&money, 10)])
        .await
        .unwrap()
        .settle(Amounts { tokens: 10, nano_usd: 10 });
    let Err(Denied::Exceeded(exceeded)) = meter.reserve(&[charge(&minute, 1), charge(&money, 1)]).await else {
        panic!()
    };
    assert!(exceeded.is_budget());
}

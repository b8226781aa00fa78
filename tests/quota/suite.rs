//! What holds in one process and in a fleet alike.

use std::time::Duration;

use portcullis::quota::{Amounts, Denied, Meter, Unit};

use super::{Redis, becomes, budget, charge, exactly, fits, local, options, rate, replica, slots};

/// Runs each behaviour on both backends.
macro_rules! suite {
    ($($name:ident)*) => {
        mod in_one_process {
            $(#[tokio::test]
            async fn $name() {
                let (meter, _clock) = super::local();
                super::$name(meter).await;
            })*
        }
        mod in_a_fleet {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let redis = super::Redis::start();
                let meter = super::replica(&redis, super::options()).await;
                super::$name(meter).await;
            })*
        }
    };
}

suite! {
    requests_are_used_up_and_the_next_one_waits
    all_charges_are_taken_or_none
    what_was_reserved_and_not_used_is_free_again
    a_dropped_reservation_costs_what_it_had_used
    slots_come_back
    an_extension_stops_at_the_limit
    more_than_was_reserved_is_counted_too
    an_estimate_that_was_too_high_is_corrected
    a_budget_is_spent_and_stays_spent
    what_the_ledger_knows_counts
    a_charge_larger_than_the_limit_never_fits
    the_tightest_bucket_is_shown
    the_same_bucket_twice_counts_twice
    a_crowd_never_holds_more_than_the_limit
    a_limit_of_nothing_refuses
}

fn tokens(tokens: u64) -> Amounts {
    Amounts { tokens, nano_usd: 0 }
}

fn dollars(nano_usd: u64) -> Amounts {
    Amounts { tokens: 0, nano_usd }
}

async fn requests_are_used_up_and_the_next_one_waits(meter: Meter) {
    let requests = rate("a", Unit::Requests, 3);
    for left in [2, 1, 0] {
        let admitted = meter.reserve(&[charge(&requests, 1)]).await.unwrap();
        assert_eq!(admitted.requests().unwrap().remaining, left);
        drop(admitted);
    }
    let Err(Denied::Exceeded(exceeded)) = meter.reserve(&[charge(&requests, 1)]).await else { panic!() };
    assert_eq!((exceeded.limit, exceeded.remaining), (3, 0));
    let wait = exceeded.retry_after.unwrap();
    assert!(wait > Duration::from_secs(10) && wait <= Duration::from_secs(20), "{wait:?}");
    assert!(meter.reserve(&[charge(&rate("b", Unit::Requests, 3), 1)]).await.is_ok());
}

async fn all_charges_are_taken_or_none(meter: Meter) {
    let (wide, narrow) = (rate("wide", Unit::Tokens, 1000), slots("narrow", 1));
    let first = meter.reserve(&[charge(&wide, 400), charge(&narrow, 1)]).await.unwrap();
    let Err(Denied::Exceeded(exceeded)) = meter.reserve(&[charge(&wide, 400), charge(&narrow, 1)]).await else {
        panic!()
    };
    assert_eq!((exceeded.index, &exceeded.bucket), (1, &narrow));
    assert!(fits(&meter, &wide, 600).await, "the refused request left nothing behind");
    drop(first);
}

async fn what_was_reserved_and_not_used_is_free_again(meter: Meter) {
    let bucket = rate("a", Unit::Tokens, 1000);
    let reservation = meter.reserve(&[charge(&bucket, 900)]).await.unwrap();
    assert!(!fits(&meter, &bucket, 200).await);
    reservation.settle(tokens(300));
    // A little may have leaked by now.
    becomes(&meter, &bucket, 700, true).await;
    assert!(!fits(&meter, &bucket, 750).await);
}

async fn a_dropped_reservation_costs_what_it_had_used(meter: Meter) {
    let bucket = rate("a", Unit::Tokens, 1000);
    let mut reservation = meter.reserve(&[charge(&bucket, 900)]).await.unwrap();
    reservation.progress(tokens(100));
    reservation.progress(tokens(400));
    assert_eq!(reservation.left(Unit::Tokens), Some(500));
    drop(reservation);
    becomes(&meter, &bucket, 600, true).await;
    assert!(!fits(&meter, &bucket, 650).await);
}

async fn slots_come_back(meter: Meter) {
    let bucket = slots("a", 2);
    let first = meter.reserve(&[charge(&bucket, 1)]).await.unwrap();
    let second = meter.reserve(&[charge(&bucket, 1)]).await.unwrap();
    assert!(meter.reserve(&[charge(&bucket, 1)]).await.is_err());
    drop(first);
    second.settle(Amounts::default());
    exactly(&meter, &bucket, 2).await;
}

async fn an_extension_stops_at_the_limit(meter: Meter) {
    let bucket = budget("a", 1000);
    let mut reservation = meter.reserve(&[charge(&bucket, 600)]).await.unwrap();
    reservation.extend(dollars(300)).await.unwrap();
    assert_eq!(reservation.left(Unit::NanoUsd), Some(900));
    assert!(matches!(reservation.extend(dollars(200)).await, Err(Denied::Exceeded(_))));
    reservation.extend(dollars(100)).await.unwrap();
    let spent = reservation.settle(dollars(950));
    assert_eq!(spent.len(), 1);
    assert_eq!(spent[0].spent, 950);
    exactly(&meter, &bucket, 50).await;
}

async fn more_than_was_reserved_is_counted_too(meter: Meter) {
    let bucket = budget("a", 1000);
    meter.reserve(&[charge(&bucket, 100)]).await.unwrap().settle(dollars(950));
    exactly(&meter, &bucket, 50).await;
}

async fn an_estimate_that_was_too_high_is_corrected(meter: Meter) {
    let bucket = budget("a", 1000);
    let mut reservation = meter.reserve(&[charge(&bucket, 800)]).await.unwrap();
    reservation.progress(dollars(700));
    reservation.settle(dollars(200));
    exactly(&meter, &bucket, 800).await;
}

async fn a_budget_is_spent_and_stays_spent(meter: Meter) {
    let bucket = budget("a", 1000);
    meter.reserve(&[charge(&bucket, 1000)]).await.unwrap().settle(dollars(1000));
    let Err(Denied::Exceeded(exceeded)) = meter.reserve(&[charge(&bucket, 1)]).await else { panic!() };
    assert_eq!(exceeded.remaining, 0);
    assert!(exceeded.retry_after.unwrap() > Duration::from_secs(1));
}

async fn what_the_ledger_knows_counts(meter: Meter) {
    let bucket = budget("a", 1000);
    meter.preload(&bucket, 700);
    exactly(&meter, &bucket, 300).await;
    meter.preload(&bucket, 100);
    exactly(&meter, &bucket, 300).await;
}

async fn a_charge_larger_than_the_limit_never_fits(meter: Meter) {
    let bucket = rate("a", Unit::Tokens, 1000);
    let Err(Denied::Exceeded(exceeded)) = meter.reserve(&[charge(&bucket, 1001)]).await else { panic!() };
    assert_eq!(exceeded.retry_after, None);
    assert!(fits(&meter, &bucket, 1000).await);
}

async fn the_tightest_bucket_is_shown(meter: Meter) {
    let (team, key) = (rate("team", Unit::Tokens, 10_000), rate("key", Unit::Tokens, 1000));
    let reservation = meter.reserve(&[charge(&team, 500), charge(&key, 500)]).await.unwrap();
    let tokens = reservation.tokens().unwrap();
    assert_eq!((tokens.limit, tokens.remaining), (1000, 500));
    assert!(tokens.reset > Duration::from_secs(25) && tokens.reset <= Duration::from_secs(30));
    assert_eq!(reservation.requests(), None);
}

async fn the_same_bucket_twice_counts_twice(meter: Meter) {
    let bucket = rate("a", Unit::Tokens, 1000);
    assert!(meter.reserve(&[charge(&bucket, 600), charge(&bucket, 600)]).await.is_err());
    let reservation = meter.reserve(&[charge(&bucket, 500), charge(&bucket, 500)]).await.unwrap();
    assert!(!fits(&meter, &bucket, 100).await);
    drop(reservation);
    becomes(&meter, &bucket, 1000, true).await;
}

async fn a_crowd_never_holds_more_than_the_limit(meter: Meter) {
    let (money, places) = (budget("a", 1000), slots("a", 1000));
    let tries = (0..100).map(|_| {
        let (meter, charges) = (meter.clone(), [charge(&money, 30), charge(&places, 1)]);
        tokio::spawn(async move { meter.reserve(&charges).await.ok() })
    });
    let tries: Vec<_> = tries.collect();
    let mut admitted = Vec::new();
    for one in tries {
        admitted.extend(one.await.unwrap());
    }
    assert_eq!(admitted.len(), 33);
    for one in admitted {
        one.settle(dollars(10));
    }
    exactly(&meter, &money, 670).await;
}

async fn a_limit_of_nothing_refuses(meter: Meter) {
    for bucket in [rate("a", Unit::Tokens, 0), budget("b", 0), slots("c", 0)] {
        assert!(!fits(&meter, &bucket, 1).await);
    }
}

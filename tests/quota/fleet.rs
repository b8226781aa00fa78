//! What only a fleet does: replicas that share, replicas that die, a Redis that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis::quota::{
    Amounts, Bucket, Charge, Clock, Denied, FleetOptions, FleetState, Kind, Meter, MeterOptions, OnFailure, Unit,
};
use portcullis::store::redis::{Notice, Notices, RedisOptions};
use portcullis::types::Secret;

use super::{
    Redis, admitted, becomes, bucket, budget, charge, counters, exactly, fits, options, rate, replica, slots, until,
};

const DOLLAR: u64 = 1_000_000_000;

fn used(bucket: &Bucket, amount: u64) -> Amounts {
    match bucket.rule.unit {
        Unit::NanoUsd => Amounts { tokens: 0, nano_usd: amount },
        Unit::Tokens | Unit::Requests | Unit::Slots => Amounts { tokens: amount, nano_usd: 0 },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_every_kind_of_limit() {
    let redis = Redis::start();
    let (one, two) = (replica(&redis, options()).await, replica(&redis, options()).await);
    let requests = rate("a", Unit::Requests, 2);
    drop(one.reserve(&[charge(&requests, 1)]).await.unwrap());
    drop(two.reserve(&[charge(&requests, 1)]).await.unwrap());
    assert!(one.reserve(&[charge(&requests, 1)]).await.is_err());
    assert!(two.reserve(&[charge(&requests, 1)]).await.is_err());
    for bucket in [rate("b", Unit::Tokens, 100), budget("b", 100), slots("b", 100)] {
        let held = one.reserve(&[charge(&bucket, 60)]).await.unwrap();
        assert!(fits(&two, &bucket, 40).await && !fits(&two, &bucket, 41).await, "{bucket:?}");
        drop(held);
        becomes(&two, &bucket, 100, true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stream_has_used_is_told_while_it_runs() {
    let redis = Redis::start();
    let (one, two) = (replica(&redis, options()).await, replica(&redis, options()).await);
    let money = budget("a", 1000);
    let mut stream = one.reserve(&[charge(&money, 100)]).await.unwrap();
    stream.progress(used(&money, 150));
    exactly(&two, &money, 850).await;
    stream.settle(used(&money, 150));
}

/// What 3 replicas with 100 streams each relay against one limit, when one is killed in the middle. Gives what was
/// relayed, and the most that the dead one may not have told.
async fn crowd(bucket: Bucket, piece: u64, reserve: u64) -> (u64, u64, Meter, Redis) {
    let redis = Redis::start();
    let lease = FleetOptions { lease: Duration::from_secs(2), heartbeat: Duration::from_millis(200), ..options() };
    let (one, two) = (replica(&redis, lease.clone()).await, replica(&redis, lease.clone()).await);
    let relayed = Arc::new(AtomicU64::new(0));
    let doomed_relayed = Arc::new(AtomicU64::new(0));
    let (url, dead_bucket, dead_sum, dead_all) = (redis.url(), bucket.clone(), doomed_relayed.clone(), relayed.clone());
    let options = lease.clone();
    // A runtime of its own, so that everything in it stops at once and nothing says goodbye.
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    doomed.spawn(async move {
        let meter = Meter::fleet(&MeterOptions::default(), options, counters(&url), Clock::system());
        until(|| meter.state() == FleetState::Together).await;
        for _ in 0..100 {
            tokio::spawn(stream(
                meter.clone(),
                dead_bucket.clone(),
                piece,
                reserve,
                vec![dead_sum.clone(), dead_all.clone()],
                true,
            ));
        }
    });
    until(|| doomed_relayed.load(Ordering::SeqCst) > 0).await;
    let mut streams = Vec::new();
    for index in 0..200 {
        let meter = if index % 2 == 0 { one.clone() } else { two.clone() };
        streams.push(tokio::spawn(stream(meter, bucket.clone(), piece, reserve, vec![relayed.clone()], false)));
    }
    // In the middle: everyone has relayed something and holds more.
    until(|| relayed.load(Ordering::SeqCst) > doomed_relayed.load(Ordering::SeqCst)).await;
    doomed.shutdown_background();
    for stream in streams {
        stream.await.unwrap();
    }
    // Whatever the dead one held is free after its lease: soon the living can use all of the limit.
    let held = doomed_relayed.load(Ordering::SeqCst);
    let whole = bucket.rule.kind.limit() - piece;
    let rest = tokio::time::timeout(Duration::from_secs(30), async {
        while relayed.load(Ordering::SeqCst) < whole {
            stream(one.clone(), bucket.clone(), piece, piece, vec![relayed.clone()], false).await;
        }
    });
    rest.await.expect("what the dead one held has to be free again");
    // And no more than that, however many try.
    for _ in 0..100 {
        stream(one.clone(), bucket.clone(), piece, piece, vec![relayed.clone()], false).await;
    }
    assert!(held < bucket.rule.kind.limit() / 2, "{held}: it was not killed in the middle");
    (relayed.load(Ordering::SeqCst), held, one, redis)
}

/// One stream: reserves, relays pieces, extends when it has to, until it may not. The doomed never settle.
async fn stream(meter: Meter, bucket: Bucket, piece: u64, reserve: u64, sums: Vec<Arc<AtomicU64>>, doomed: bool) {
    let Ok(mut reservation) = meter.reserve(&[charge(&bucket, reserve)]).await else { return };
    let mut relayed = 0;
    for _ in 0..20 {
        if reservation.left(bucket.rule.unit).unwrap() < piece
            && reservation.extend(used(&bucket, piece)).await.is_err()
        {
            break;
        }
        relayed += piece;
        reservation.progress(used(&bucket, relayed));
        for sum in &sums {
            sum.fetch_add(piece, Ordering::SeqCst);
        }
        // The pace of a model that writes.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if doomed {
        std::mem::forget(reservation);
    } else {
        reservation.settle(used(&bucket, relayed));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_on_three_replicas_with_one_killed_stays_within_a_token_limit() {
    // A day's window, so that nothing leaks back while the test runs.
    let kind = Kind::Rate { limit: 10_000, window: Duration::from_secs(86_400) };
    let limit = bucket("a", Unit::Tokens, kind);
    let (relayed, untold, _meter, _redis) = crowd(limit, 10, 30).await;
    // One heartbeat's worth at most, which in this test may be all that the dead one relayed; and the leak.
    assert!(relayed <= 10_000 + untold + 20, "{relayed} relayed, {untold} of them by the dead");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_on_three_replicas_with_one_killed_stays_within_a_dollar() {
    let (relayed, untold, meter, redis) = crowd(budget("a", DOLLAR), 1_000_000, 3_000_000).await;
    assert!(relayed <= DOLLAR + untold, "{relayed} relayed, {untold} of them by the dead");
    // It stays spent, for a replica that comes new as well.
    assert!(!fits(&meter, &budget("a", DOLLAR), 1_000_000).await);
    assert!(!fits(&replica(&redis, options()).await, &budget("a", DOLLAR), 1_000_000).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_window_the_full_limit_is_free_again() {
    let redis = Redis::start();
    let lease = FleetOptions { lease: Duration::from_secs(1), heartbeat: Duration::from_millis(100), ..options() };
    let limit = bucket("a", Unit::Tokens, Kind::Rate { limit: 1000, window: Duration::from_secs(2) });
    let one = replica(&redis, lease.clone()).await;
    let url = redis.url();
    let dead = limit.clone();
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let holds = doomed.spawn(async move {
        let meter = Meter::fleet(&MeterOptions::default(), lease, counters(&url), Clock::system());
        until(|| meter.state() == FleetState::Together).await;
        std::mem::forget(meter.reserve(&[charge(&dead, 900)]).await.unwrap());
    });
    holds.await.unwrap();
    assert!(!fits(&one, &limit, 101).await);
    doomed.shutdown_background();
    becomes(&one, &limit, 1000, true).await;
}

/// What a replica may do while Redis fails: no more than its share, never nothing, soon.
async fn lives_apart(meter: &Meter, requests: &Bucket, held: &Bucket) {
    let mut admitted = 0;
    for _ in 0..200 {
        admitted += u64::from(meter.reserve(&[charge(requests, 1)]).await.is_ok());
    }
    assert_eq!(meter.state(), FleetState::Apart);
    assert!(admitted >= 1 && admitted <= requests.rule.kind.limit() / 2, "{admitted}");
    assert!(fits(meter, held, 1).await && !fits(meter, held, held.rule.kind.limit()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_costs_one_wait_and_then_each_counts_for_itself() {
    let redis = Redis::start();
    let meter = replica(&redis, options()).await;
    let (requests, money) = (rate("a", Unit::Requests, 100), budget("a", 1000));
    meter.reserve(&[charge(&money, 400)]).await.unwrap().settle(used(&money, 400));
    let key = format!("{{test}}:b:{}", money.id());
    until(|| redis.command::<Option<String>>(&["HGET", &key, "l"]).as_deref() == Some("400")).await;
    redis.freeze();
    lives_apart(&meter, &requests, &money).await;
    assert_eq!(meter.failures(), 1);
    // Half of the rest of the budget, and what is spent of it is told afterwards.
    assert!(!fits(&meter, &money, 301).await);
    meter.reserve(&[charge(&money, 300)]).await.unwrap().settle(used(&money, 300));
    assert!(!fits(&meter, &money, 1).await);
    redis.thaw();
    until(|| meter.state() == FleetState::Together).await;
    let other = replica(&redis, options()).await;
    assert!(fits(&other, &money, 300).await && !fits(&other, &money, 301).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_died_and_came_back_empty_learns_what_was_spent_and_held() {
    let mut redis = Redis::start();
    let meter = replica(&redis, options()).await;
    let (requests, money, places) = (rate("a", Unit::Requests, 100), budget("a", 1000), slots("a", 4));
    meter.reserve(&[charge(&money, 400)]).await.unwrap().settle(used(&money, 400));
    exactly(&meter, &money, 600).await;
    let held = admitted(&meter, &[charge(&money, 100), charge(&places, 3)]).await;
    redis.kill();
    lives_apart(&meter, &requests, &budget("b", 100)).await;
    redis.run();
    until(|| meter.state() == FleetState::Together).await;
    let other = replica(&redis, options()).await;
    assert!(fits(&other, &money, 500).await && !fits(&other, &money, 501).await);
    assert!(fits(&other, &places, 1).await && !fits(&other, &places, 2).await);
    held.settle(used(&money, 50));
    becomes(&other, &money, 550, true).await;
    becomes(&other, &places, 4, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_in_the_middle_is_noticed_and_repaired() {
    let redis = Redis::start();
    let meter = replica(&redis, options()).await;
    let money = budget("a", 1000);
    meter.preload(&money, 300);
    exactly(&meter, &money, 700).await;
    admitted(&meter, &[charge(&money, 100)]).await.settle(used(&money, 100));
    exactly(&meter, &money, 600).await;
    let held = admitted(&meter, &[charge(&money, 200)]).await;
    let flushed: String = redis.command(&["FLUSHALL"]);
    assert_eq!(flushed, "OK");
    let flushed: String = redis.command(&["SCRIPT", "FLUSH"]);
    assert_eq!(flushed, "OK");
    until(|| meter.failures() == 1).await;
    until(|| meter.state() == FleetState::Together).await;
    let other = replica(&redis, options()).await;
    assert!(fits(&other, &money, 400).await && !fits(&other, &money, 401).await);
    drop(held);
    becomes(&other, &money, 600, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_means_that_nothing_is_admitted_without_redis() {
    let mut redis = Redis::start();
    let meter = replica(&redis, FleetOptions { on_failure: OnFailure::Closed, ..options() }).await;
    let bucket = rate("a", Unit::Requests, 100);
    assert!(meter.reserve(&[charge(&bucket, 1)]).await.is_ok());
    redis.kill();
    assert_eq!(meter.reserve(&[charge(&bucket, 1)]).await.unwrap_err(), Denied::Unavailable);
    redis.run();
    until(|| meter.state() == FleetState::Together).await;
    assert!(meter.reserve(&[charge(&bucket, 1)]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_answers_and_read_only_replicas_are_failures_too() {
    let redis = Redis::start();
    let meter = replica(&redis, options()).await;
    let bucket = rate("a", Unit::Requests, 100);
    let ok: String = redis.command(&["SET", "{test}:members", "not a hash"]);
    assert_eq!(ok, "OK");
    assert!(meter.reserve(&[charge(&bucket, 1)]).await.is_ok(), "counted here");
    assert_eq!(meter.state(), FleetState::Apart);
    let ok: i64 = redis.command(&["DEL", "{test}:members"]);
    assert_eq!(ok, 1);
    until(|| meter.state() == FleetState::Together).await;
    let ok: String = redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(ok, "OK");
    assert!(meter.reserve(&[charge(&bucket, 1)]).await.is_ok(), "counted here");
    assert_eq!(meter.state(), FleetState::Apart);
    let ok: String = redis.command(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(ok, "OK");
    until(|| meter.state() == FleetState::Together).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_outlives_an_outage_is_settled_once() {
    let redis = Redis::start();
    let meter = replica(&redis, options()).await;
    let money = budget("a", 1000);
    let mut stream = meter.reserve(&[charge(&money, 300)]).await.unwrap();
    stream.progress(used(&money, 100));
    redis.freeze();
    assert!(meter.reserve(&[charge(&money, 1)]).await.is_ok());
    stream.progress(used(&money, 200));
    redis.thaw();
    until(|| meter.state() == FleetState::Together).await;
    let other = replica(&redis, options()).await;
    exactly(&other, &money, 700).await;
    stream.settle(used(&money, 250));
    exactly(&other, &money, 750).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_agree_on_the_period_whatever_their_clocks_say() {
    let redis = Redis::start();
    let one = replica(&redis, options()).await;
    let money = budget("a", 100);
    one.reserve(&[charge(&money, 100)]).await.unwrap().settle(used(&money, 100));
    becomes(&one, &money, 1, false).await;
    // A replica whose wall clock is in another year.
    let clock = Clock::manual(super::MORNING + 400 * 86_400);
    let astray = Meter::fleet(&MeterOptions::default(), options(), counters(&redis.url()), clock);
    until(|| astray.state() == FleetState::Together).await;
    assert!(!fits(&astray, &budget("a", 100), 1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_closes_leaves_nothing_behind() {
    let redis = Redis::start();
    let (one, two) = (replica(&redis, options()).await, replica(&redis, options()).await);
    let (money, places) = (budget("a", 100), slots("a", 1));
    std::mem::forget(one.reserve(&[charge(&places, 1)]).await.unwrap());
    one.reserve(&[charge(&money, 90)]).await.unwrap().settle(used(&money, 80));
    one.close(Duration::from_secs(5)).await;
    assert!(fits(&two, &places, 1).await, "at once, without waiting for the lease");
    assert!(fits(&two, &money, 20).await && !fits(&two, &money, 21).await);
}

fn notices(redis: &Redis) -> Notices {
    let second = Duration::from_secs(1);
    let options = RedisOptions {
        url: Secret::new(redis.url()),
        user: None,
        password: None,
        prefix: "test".to_owned(),
        connect_timeout: second,
        answer_timeout: second,
    };
    Notices::new(options).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_reaches_every_subscriber_and_a_lost_connection_is_a_gap() {
    let mut redis = Redis::start();
    let (one, two) = (notices(&redis), notices(&redis));
    let mut inbox = one.subscribe(&["orders", "config"], 16);
    assert_eq!(inbox.recv().await, Some(Notice::Gap));
    assert_eq!(two.publish("orders", b"\x00block\xff").await.unwrap(), 1);
    assert_eq!(two.publish("elsewhere", b"x").await.unwrap(), 0);
    assert_eq!(two.publish("config", b"7").await.unwrap(), 1);
    let message = |topic: &str, payload: &[u8]| Notice::Message { topic: topic.to_owned(), payload: payload.to_vec() };
    assert_eq!(inbox.recv().await, Some(message("orders", b"\x00block\xff")));
    assert_eq!(inbox.recv().await, Some(message("config", b"7")));
    redis.kill();
    assert!(two.publish("orders", b"x").await.is_err());
    redis.run();
    assert_eq!(inbox.recv().await, Some(Notice::Gap));
    assert_eq!(two.publish("orders", b"again").await.unwrap(), 1);
    assert_eq!(inbox.recv().await, Some(message("orders", b"again")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_inbox_is_told_that_it_missed_something() {
    let redis = Redis::start();
    let one = notices(&redis);
    let mut inbox = one.subscribe(&["orders"], 2);
    assert_eq!(inbox.recv().await, Some(Notice::Gap));
    for _ in 0..10 {
        assert_eq!(one.publish("orders", b"x").await.unwrap(), 1);
    }
    let mut messages = 0;
    while let Some(Notice::Message { .. }) = inbox.recv().await {
        messages += 1;
    }
    assert!(messages < 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_before_the_answer_holds_nothing() {
    let redis = Redis::start();
    let meter = replica(&redis, options()).await;
    let (money, places) = (budget("a", 1000), slots("a", 100));
    let charges = [charge(&money, 10), charge(&places, 1)];
    for _ in 0..50 {
        let asking = meter.reserve(&charges);
        // Polled once, so that the question is on its way, and dropped.
        tokio::select! {
            biased;
            _ = asking => {}
            () = std::future::ready(()) => {}
        }
    }
    exactly(&meter, &money, 1000).await;
    exactly(&meter, &places, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_redis_delays_no_request_for_longer_than_allowed() {
    let redis = Redis::start();
    let patience = FleetOptions { timeout: Duration::from_millis(50), ..options() };
    let meter = replica(&redis, patience).await;
    let bucket = rate("a", Unit::Requests, 1000);
    let paused: String = redis.command(&["CLIENT", "PAUSE", "1500", "ALL"]);
    assert_eq!(paused, "OK");
    for _ in 0..100 {
        drop(meter.reserve(&[charge(&bucket, 1)]).await.unwrap());
    }
    assert_eq!(meter.state(), FleetState::Apart);
    assert_eq!(meter.failures(), 1, "only the first waited");
    assert_eq!(meter.ready(Duration::from_secs(20)).await, FleetState::Together);
}

/// Whatever is asked for, one reservation is one message to Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_is_one_command() {
    let redis = Redis::start();
    let quiet = FleetOptions { heartbeat: Duration::from_secs(5), ..options() };
    let meter = replica(&redis, quiet).await;
    let charges: Vec<Charge> = (0..8).map(|n| charge(&rate(&n.to_string(), Unit::Requests, 1000), 1)).collect();
    drop(meter.reserve(&charges).await.unwrap());
    let calls = || {
        let stats: String = redis.command(&["INFO", "commandstats"]);
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap().to_owned();
        line.split("calls=").nth(1).unwrap().split(',').next().unwrap().parse::<u64>().unwrap()
    };
    let before = calls();
    for _ in 0..50 {
        drop(meter.reserve(&charges).await.unwrap());
    }
    // A heartbeat may fall into it.
    assert!((50..=52).contains(&(calls() - before)), "{}", calls() - before);
}

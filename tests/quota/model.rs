//! Random lives of reservations against a model that is too simple to be wrong.

use std::time::Duration;

use portcullis::quota::{Amounts, Bucket, Charge, FleetState, Reservation, Unit};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Redis, budget, charge, local, options, rate, replica, slots};

/// One unit leaks per millisecond, so that the model needs no fractions.
const LIMIT: u64 = 60_000;

#[derive(Debug, Clone)]
enum Step {
    Reserve { tokens: u64, money: u64 },
    Progress { which: usize, percent: u64 },
    Extend { which: usize, tokens: u64 },
    Settle { which: usize, percent: u64 },
    Cancel { which: usize },
    Wait { millis: u64 },
    Jump { days: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..8_usize;
    prop_oneof![
        4 => (0..LIMIT * 6 / 5, 0..LIMIT).prop_map(|(tokens, money)| Step::Reserve { tokens: tokens / 2, money: money / 4 }),
        2 => (which.clone(), 0..=100_u64).prop_map(|(which, percent)| Step::Progress { which, percent }),
        1 => (which.clone(), 0..LIMIT / 4).prop_map(|(which, tokens)| Step::Extend { which, tokens }),
        2 => (which.clone(), 0..=100_u64).prop_map(|(which, percent)| Step::Settle { which, percent }),
        1 => which.prop_map(|which| Step::Cancel { which }),
        2 => (0..40_000_u64).prop_map(|millis| Step::Wait { millis }),
        1 => (-40..0_i64).prop_map(|days| Step::Jump { days }),
    ]
}

/// What the meter should think: a level that leaks, what was spent, what is held.
#[derive(Debug, Default)]
struct Model {
    level: u64,
    held: u64,
    spent: u64,
    held_money: u64,
    places: u64,
    open: Vec<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    tokens: u64,
    used: u64,
    money: u64,
    used_money: u64,
}

const PLACES: u64 = 4;

impl Model {
    fn fits(&self, tokens: u64, money: u64, places: u64) -> bool {
        self.level + self.held + tokens <= LIMIT
            && self.spent + self.held_money + money <= LIMIT
            && self.places + places <= PLACES
    }

    fn reserve(&mut self, tokens: u64, money: u64) {
        self.held += tokens;
        self.held_money += money;
        self.places += 1;
        self.open.push(Open { tokens, used: 0, money, used_money: 0 });
    }

    fn progress(&mut self, which: usize, used: u64, used_money: u64) {
        let open = &mut self.open[which];
        self.level += used - open.used;
        self.held -= used - open.used;
        self.spent += used_money - open.used_money;
        self.held_money -= used_money - open.used_money;
        (open.used, open.used_money) = (used, used_money);
    }

    fn end(&mut self, which: usize) {
        let open = self.open.swap_remove(which);
        self.held -= open.tokens - open.used;
        self.held_money -= open.money - open.used_money;
        self.places -= 1;
    }

    fn wait(&mut self, millis: u64) {
        self.level = self.level.saturating_sub(millis);
    }
}

fn buckets(name: &str) -> [Bucket; 3] {
    [rate(name, Unit::Tokens, LIMIT), budget(name, LIMIT), slots(name, PLACES)]
}

fn charges(buckets: &[Bucket; 3], tokens: u64, money: u64) -> Vec<Charge> {
    vec![charge(&buckets[0], tokens), charge(&buckets[1], money), charge(&buckets[2], 1)]
}

/// What is used after so many per cent of what was not used yet.
fn later(open: &Open, percent: u64) -> (u64, u64) {
    let on = |all: u64, used: u64| used + (all - used) * percent / 100;
    (on(open.tokens, open.used), on(open.money, open.used_money))
}

async fn live(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (meter, clock) = local();
    let buckets = buckets("a");
    let mut model = Model::default();
    let mut open: Vec<Reservation> = Vec::new();
    for step in steps {
        match step {
            Step::Reserve { tokens, money } => {
                let got = meter.reserve(&charges(&buckets, tokens, money)).await;
                prop_assert_eq!(got.is_ok(), model.fits(tokens, money, 1), "{:?} {:?}", got, model);
                if let Ok(got) = got {
                    model.reserve(tokens, money);
                    open.push(got);
                }
            }
            Step::Progress { which, percent } if which < open.len() => {
                let (tokens, nano_usd) = later(&model.open[which], percent);
                open[which].progress(Amounts { tokens, nano_usd });
                model.progress(which, tokens, nano_usd);
            }
            Step::Extend { which, tokens } if which < open.len() => {
                let got = open[which].extend(Amounts { tokens, nano_usd: 0 }).await;
                prop_assert_eq!(got.is_ok(), tokens == 0 || model.fits(tokens, 0, 0));
                if got.is_ok() {
                    model.held += tokens;
                    model.open[which].tokens += tokens;
                }
            }
            Step::Settle { which, percent } if which < open.len() => {
                let (tokens, nano_usd) = later(&model.open[which], percent);
                let spent = open.swap_remove(which).settle(Amounts { tokens, nano_usd });
                model.progress(which, tokens, nano_usd);
                model.end(which);
                prop_assert_eq!(spent[0].spent, model.spent);
            }
            Step::Cancel { which } if which < open.len() => {
                drop(open.swap_remove(which));
                model.end(which);
            }
            Step::Wait { millis } => {
                clock.advance(Duration::from_millis(millis));
                model.wait(millis);
            }
            Step::Jump { days } => clock.jump(days * 86_400),
            Step::Progress { .. } | Step::Extend { .. } | Step::Settle { .. } | Step::Cancel { .. } => {}
        }
        prop_assert!(model.level + model.held <= LIMIT && model.spent + model.held_money <= LIMIT);
        let left = |bucket: &Bucket| meter.headroom(bucket).remaining;
        prop_assert_eq!(left(&buckets[0]), LIMIT - model.level - model.held);
        prop_assert_eq!(left(&buckets[1]), LIMIT - model.spent - model.held_money);
        prop_assert_eq!(left(&buckets[2]), PLACES - model.places);
    }
    drop(open);
    clock.advance(Duration::from_secs(60));
    prop_assert_eq!(meter.headroom(&buckets[0]).remaining, LIMIT);
    prop_assert_eq!(meter.headroom(&buckets[2]).remaining, PLACES);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_life_in_one_process_is_as_the_model_says(steps in vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(steps))?;
    }
}

/// What the replicas of a fleet do, one after the other.
#[derive(Debug, Clone)]
enum Turn {
    Reserve { replica: usize, money: u64 },
    Progress { which: usize, percent: u64 },
    Settle { which: usize, percent: u64 },
    Cancel { which: usize },
    Crash { replica: usize },
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        5 => (0..3_usize, 0..LIMIT / 2).prop_map(|(replica, money)| Turn::Reserve { replica, money }),
        3 => (0..8_usize, 0..=100_u64).prop_map(|(which, percent)| Turn::Progress { which, percent }),
        2 => (0..8_usize, 0..=100_u64).prop_map(|(which, percent)| Turn::Settle { which, percent }),
        1 => (0..8_usize).prop_map(|which| Turn::Cancel { which }),
        1 => (0..3_usize).prop_map(|replica| Turn::Crash { replica }),
    ]
}

/// A fleet may think for a moment that less is free than is, but never that more is; in the end it knows exactly.
async fn live_together(redis: &Redis, name: &str, turns: Vec<Turn>) -> Result<(), TestCaseError> {
    let mut replicas =
        vec![replica(redis, options()).await, replica(redis, options()).await, replica(redis, options()).await];
    let buckets = buckets(name);
    let mut model = Model::default();
    let mut open: Vec<(usize, Reservation)> = Vec::new();
    for turn in turns {
        match turn {
            Turn::Reserve { replica, money } => {
                if let Ok(got) = replicas[replica].reserve(&charges(&buckets, 0, money)).await {
                    prop_assert!(model.fits(0, money, 1), "{:?} on top of {:?}", money, model);
                    model.reserve(0, money);
                    open.push((replica, got));
                }
            }
            Turn::Progress { which, percent } if which < open.len() => {
                let (tokens, nano_usd) = later(&model.open[which], percent);
                open[which].1.progress(Amounts { tokens, nano_usd });
                model.progress(which, tokens, nano_usd);
            }
            Turn::Settle { which, percent } if which < open.len() => {
                let (tokens, nano_usd) = later(&model.open[which], percent);
                open.swap_remove(which).1.settle(Amounts { tokens, nano_usd });
                model.progress(which, tokens, nano_usd);
                model.end(which);
            }
            Turn::Cancel { which } if which < open.len() => {
                drop(open.swap_remove(which));
                model.end(which);
            }
            Turn::Crash { replica } => {
                // It tells the last, then its lease ends with everything it holds.
                replicas[replica].close(Duration::from_secs(10)).await;
                while let Some(which) = open.iter().position(|(owner, _)| *owner == replica) {
                    std::mem::forget(open.swap_remove(which));
                    model.end(which);
                }
                replicas[replica] = super::replica(redis, options()).await;
            }
            Turn::Progress { .. } | Turn::Settle { .. } | Turn::Cancel { .. } => {}
        }
    }
    let free = LIMIT - model.spent - model.held_money;
    let places = PLACES - model.places;
    for meter in &replicas {
        for (bucket, free) in [(&buckets[1], free), (&buckets[2], places)] {
            super::until(|| meter.state() == FleetState::Together).await;
            super::exactly(meter, bucket, free).await;
        }
    }
    Ok(())
}

#[test]
fn any_life_of_a_fleet_admits_no_more_than_the_model_and_ends_as_it_says() {
    let redis = Redis::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config =
        ProptestConfig { cases: 30, failure_persistence: None, max_shrink_iters: 50, ..ProptestConfig::default() };
    let case = std::sync::atomic::AtomicU64::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&vec(turn(), 1..60), |turns| {
            let name = case.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
            runtime.block_on(live_together(&redis, &name, turns))
        })
        .unwrap();
}

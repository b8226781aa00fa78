//! What limits cost per request: `cargo bench --bench quota`. With `REDIS_URL` also what a fleet costs.
#![expect(clippy::expect_used, reason = "a measurement that cannot begin has failed")]

use std::sync::Arc;
use std::time::Duration;

use portcullis::quota::{
    Allowance, Amounts, Bucket, BudgetSpec, Calendar, Charge, Clock, FleetOptions, Kind, LimitSpec, Meter,
    MeterOptions, Need, Period, Plan, PriceBook, Prices, Rule, Scope, ScopeKind, Tokens, Unit, Usd, tokens,
};
use portcullis::store::redis::{Counters, RedisOptions};
use portcullis::types::{Caller, Secret, Usage};

fn main() {
    divan::main();
}

const WINDOW: Duration = Duration::from_secs(60);

fn rules() -> Vec<Arc<Rule>> {
    let calendar = Arc::new(Calendar::new(Period::Month, "Europe/Berlin").expect("a zone"));
    vec![
        Rule::new("requests/minute", Unit::Requests, Kind::Rate { limit: u64::MAX >> 20, window: WINDOW }),
        Rule::new("tokens/minute", Unit::Tokens, Kind::Rate { limit: 1 << 50, window: WINDOW }),
        Rule::new("tokens/day", Unit::Tokens, Kind::Rate { limit: 1 << 50, window: WINDOW * 1440 }),
        Rule::new("concurrent", Unit::Slots, Kind::Concurrent { limit: 1 << 50 }),
        Rule::new("user requests/minute", Unit::Requests, Kind::Rate { limit: u64::MAX >> 20, window: WINDOW }),
        Rule::new("team tokens/minute", Unit::Tokens, Kind::Rate { limit: 1 << 50, window: WINDOW }),
        Rule::new("team dollars", Unit::NanoUsd, Kind::Budget { limit: 1 << 50, calendar: Arc::clone(&calendar) }),
        Rule::new("tenant dollars", Unit::NanoUsd, Kind::Budget { limit: 1 << 50, calendar }),
    ]
}

/// Eight buckets reserved and settled, scopes hashed anew for each request.
#[divan::bench(args = [1, 100_000])]
fn eight_buckets(bencher: divan::Bencher<'_, '_>, callers: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let meter = Meter::local(&MeterOptions { max_entries: 2_000_000 }, Clock::system());
    let rules = rules();
    let mut caller = 0;
    bencher.bench_local(|| {
        caller = (caller + 1) % callers;
        let name = caller.to_string();
        let scopes =
            [Scope::new("key", &name), Scope::new("user", &name), Scope::new("team", "a"), Scope::new("tenant", "b")];
        let charges: Vec<Charge> = rules
            .iter()
            .zip(scopes.iter().cycle())
            .map(|(rule, scope)| Charge { bucket: Bucket { scope: *scope, rule: Arc::clone(rule) }, amount: 1 })
            .collect();
        let reservation = runtime.block_on(meter.reserve(&charges)).expect("admitted");
        reservation.settle(Amounts { tokens: 1, nano_usd: 1 })
    });
}

/// From a caller to its charges: who it is charged to, hashed anew.
#[divan::bench]
fn plan(bencher: divan::Bencher<'_, '_>) {
    let all = Allowance { requests_per_minute: 1, tokens_per_minute: 1, concurrent: 1, ..Allowance::default() };
    let limits = LimitSpec { per_user: all, per_key: all, per_address: all, ..LimitSpec::default() };
    let budget = BudgetSpec { name: "team".into(), scope: ScopeKind::Team, usd: Usd(1), ..BudgetSpec::default() };
    let plan = Plan::new("", &limits, &[budget]).expect("a plan");
    let caller = Caller {
        address: Some([192, 168, 178, 211].into()),
        tenant: Some("acme".into()),
        team: Some("research".into()),
        user: Some("somebody@example.com".into()),
        key: Some("key_0123456789".into()),
        ..Caller::default()
    };
    bencher.bench(|| plan.charges(divan::black_box(&caller), Some("gpt-4o"), Need { tokens: 5, nano_usd: 5 }));
}

/// One piece of an answer, told to eight buckets.
#[divan::bench]
fn progress(bencher: divan::Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let meter = Meter::local(&MeterOptions::default(), Clock::system());
    let scope = Scope::new("key", "a");
    let charges: Vec<Charge> =
        rules().into_iter().map(|rule| Charge { bucket: Bucket { scope, rule }, amount: 1 << 40 }).collect();
    let charges: Vec<Charge> = charges
        .into_iter()
        .map(|charge| if charge.bucket.rule.unit == Unit::Requests { Charge { amount: 1, ..charge } } else { charge })
        .collect();
    let mut reservation = runtime.block_on(meter.reserve(&charges)).expect("admitted");
    let mut used = 0;
    bencher.bench_local(|| {
        used += 1;
        reservation.progress(Amounts { tokens: used, nano_usd: used });
    });
}

fn prose(bytes: usize) -> String {
    let text = include_str!("../README.md");
    text.chars().cycle().take(bytes).collect()
}

/// Counting what was never seen before.
#[divan::bench(args = [200, 1024, 16_384])]
fn count_tokens(bencher: divan::Bencher<'_, '_>, bytes: usize) {
    tokens::load();
    let text = prose(bytes);
    let none = Tokens::new(0);
    bencher.counter(divan::counter::BytesCount::new(bytes)).bench(|| none.count("gpt-4o", divan::black_box(&text)));
}

/// Counting what a conversation repeats.
#[divan::bench(args = [1024, 16_384])]
fn recall_tokens(bencher: divan::Bencher<'_, '_>, bytes: usize) {
    let text = prose(bytes);
    let memo = Tokens::new(1000);
    memo.count("gpt-4o", &text);
    bencher.counter(divan::counter::BytesCount::new(bytes)).bench(|| memo.count("gpt-4o", divan::black_box(&text)));
}

#[divan::bench]
fn cost(bencher: divan::Bencher<'_, '_>) {
    let prices = PriceBook::new(Prices::shipped().expect("the shipped table"));
    let usage = Usage { input: 1000, cached: 500, output: 700, reasoning: 100 };
    bencher.bench(|| prices.cost(divan::black_box("moonshotai/kimi-k2"), &usage));
}

/// Eight buckets in a fleet, one after the other: a round trip and the script.
#[divan::bench]
fn eight_buckets_in_a_fleet(bencher: divan::Bencher<'_, '_>) {
    let Ok(url) = std::env::var("REDIS_URL") else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let second = Duration::from_secs(1);
    let options = RedisOptions {
        url: Secret::new(url),
        user: None,
        password: None,
        prefix: "bench".to_owned(),
        connect_timeout: second,
        answer_timeout: second,
    };
    let counters = Counters::new(options).expect("a URL");
    let meter = runtime.block_on(async {
        let meter = Meter::fleet(&MeterOptions::default(), FleetOptions::default(), counters, Clock::system());
        meter.ready(second).await;
        meter
    });
    let scope = Scope::new("key", "a");
    let charges: Vec<Charge> =
        rules().into_iter().map(|rule| Charge { bucket: Bucket { scope, rule }, amount: 1 }).collect();
    bencher.bench_local(|| {
        let reservation = runtime.block_on(meter.reserve(&charges)).expect("admitted");
        reservation.settle(Amounts { tokens: 1, nano_usd: 1 })
    });
}

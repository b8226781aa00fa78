//! Spend that is unlike before, callers that run in circles, budgets that come to an end. Time is an argument.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use super::bucket::{Kind, Scope};
use super::reservation::Spent;
use crate::types::runs;

/// When spend is unlike before.
#[derive(Debug, Clone, PartialEq)]
pub struct SpendOptions {
    /// Seconds of one sample.
    pub bucket: i64,
    /// Samples after which an old one counts half.
    pub half_life: f64,
    /// Samples before anything is judged.
    pub min_samples: u32,
    /// Standard deviations above the mean that are too many.
    pub z: f64,
    /// Spend in one sample that is never too much, whatever the mean.
    pub floor: u64,
    /// Scopes remembered; the one silent for longest is forgotten.
    pub max_tracked: usize,
}

impl Default for SpendOptions {
    fn default() -> Self {
        Self { bucket: 3600, half_life: 84.0, min_samples: 24, z: 4.0, floor: 1_000_000_000, max_tracked: 10_000 }
    }
}

/// Spend far above what is usual for a scope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surge {
    /// Spend in the sample that is under way.
    pub spent: u64,
    /// The mean of the samples before.
    pub mean: f64,
    /// Standard deviations above it.
    pub z: f64,
}

/// Watches the spend of many scopes against an exponentially weighted mean and variance of each (West 1979; half-life
/// of half a week by default, so that a baseline of seven days weighs three quarters).
#[derive(Debug)]
pub struct SpendWatch<K> {
    options: SpendOptions,
    baselines: Recent<K, Baseline>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Baseline {
    bucket: i64,
    spent: u64,
    mean: f64,
    variance: f64,
    samples: u32,
    reported: bool,
}

impl<K: Hash + Eq + Clone> SpendWatch<K> {
    /// Nothing is known yet.
    pub fn new(options: SpendOptions) -> Self {
        let most = options.max_tracked;
        Self { options, baselines: Recent::new(most) }
    }

    /// Adds what a request cost at `now` (Unix seconds). Says once per sample that it is too much.
    pub fn add(&mut self, scope: &K, cost: u64, now: i64) -> Option<Surge> {
        let bucket = now.div_euclid(self.options.bucket.max(1));
        let options = &self.options;
        let baseline = self.baselines.get(scope, now, || Baseline { bucket, ..Baseline::default() });
        baseline.advance(bucket, options);
        baseline.spent = baseline.spent.saturating_add(cost);
        if baseline.reported || baseline.samples < options.min_samples || baseline.spent <= options.floor {
            return None;
        }
        let deviation = baseline.variance.sqrt().max(baseline.mean * 0.1).max(1.0);
        let z = (baseline.spent as f64 - baseline.mean) / deviation;
        baseline.reported = z >= options.z;
        baseline.reported.then_some(Surge { spent: baseline.spent, mean: baseline.mean, z })
    }

    /// Scopes remembered.
    pub fn tracked(&self) -> usize {
        self.baselines.entries.len()
    }
}

impl Baseline {
    /// Closes the samples that have ended; silent ones count as nothing spent. A clock that goes back changes nothing.
    fn advance(&mut self, bucket: i64, options: &SpendOptions) {
        let ended = bucket.saturating_sub(self.bucket);
        if ended <= 0 {
            return;
        }
        self.sample(self.spent as f64, options);
        // After so many silent samples nothing is left of what was before.
        let silent = (ended - 1).min((options.half_life * 20.0) as i64 + 1);
        for _ in 0..silent {
            self.sample(0.0, options);
        }
        self.bucket = bucket;
        self.spent = 0;
        self.reported = false;
    }

    fn sample(&mut self, spent: f64, options: &SpendOptions) {
        // The first samples weigh alike, so that the mean does not begin at zero.
        let fading = 1.0 - 0.5_f64.powf(1.0 / options.half_life.max(1.0));
        let weight = fading.max(1.0 / (f64::from(self.samples) + 1.0));
        let distance = spent - self.mean;
        self.mean += weight * distance;
        self.variance = (1.0 - weight) * (self.variance + weight * distance * distance);
        self.samples = self.samples.saturating_add(1);
    }
}

/// When someone runs in circles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopOptions {
    /// Prompts of a caller that are compared.
    pub window: usize,
    /// Bits of 64 in which prints of near-identical prompts may differ.
    pub distance: u32,
    /// Near-identical prompts in the window that are too many.
    pub repeats: usize,
    /// Seconds in which so many may come: slower repetition is a schedule, not a loop.
    pub within: i64,
    /// Callers remembered; the one silent for longest is forgotten.
    pub max_tracked: usize,
}

impl Default for LoopOptions {
    fn default() -> Self {
        Self { window: 32, distance: 4, repeats: 16, within: 600, max_tracked: 10_000 }
    }
}

/// A caller that sends the same again and again, faster and faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loop {
    /// Near-identical prompts among the last.
    pub repeats: usize,
    /// Seconds they took.
    pub seconds: i64,
}

/// Watches for callers that run in circles: near-identical prompts whose rate does not fall.
#[derive(Debug)]
pub struct LoopWatch<K> {
    options: LoopOptions,
    callers: Recent<K, Trail>,
}

#[derive(Debug, Default)]
struct Trail {
    prompts: VecDeque<(u64, i64)>,
    reported: Option<i64>,
}

impl<K: Hash + Eq + Clone> LoopWatch<K> {
    /// Nobody is known yet.
    pub fn new(options: LoopOptions) -> Self {
        let most = options.max_tracked;
        Self { options, callers: Recent::new(most) }
    }

    /// Adds a prompt by its 64-bit print (`simhash`) at `now` (Unix seconds). Says once per `within` that it is a loop.
    pub fn add(&mut self, caller: &K, print: u64, now: i64) -> Option<Loop> {
        let options = &self.options;
        let trail = self.callers.get(caller, now, Trail::default);
        trail.prompts.push_back((print, now));
        while trail.prompts.len() > options.window.max(2) {
            trail.prompts.pop_front();
        }
        let alike = |&&(other, at): &&(u64, i64)| {
            (other ^ print).count_ones() <= options.distance && now.saturating_sub(at) <= options.within
        };
        let times: Vec<i64> = trail.prompts.iter().filter(alike).map(|&(_, at)| at).collect();
        let quiet = trail.reported.is_some_and(|at| now.saturating_sub(at) < options.within);
        if times.len() < options.repeats.max(2) || quiet || !rising(&times) {
            return None;
        }
        trail.reported = Some(now);
        Some(Loop { repeats: times.len(), seconds: now.saturating_sub(times.first().copied().unwrap_or(now)) })
    }

    /// Callers remembered.
    pub fn tracked(&self) -> usize {
        self.callers.entries.len()
    }
}

/// Whether the second half came at least as fast as the first.
fn rising(times: &[i64]) -> bool {
    let (Some(first), Some(last), Some(middle)) = (times.first(), times.last(), times.get(times.len() / 2)) else {
        return false;
    };
    last.saturating_sub(*middle) <= middle.saturating_sub(*first)
}

/// A 64-bit print of a text that changes little when the text does (Charikar 2002, over words).
pub fn simhash(text: &str) -> u64 {
    let mut votes = Votes::default();
    let mut vote = |word: &[u8]| votes.add(word_hash(word));
    if text.is_ascii() {
        runs::runs(text.as_bytes(), runs::of_no_space, vote);
    } else {
        text.split_whitespace().map(str::as_bytes).for_each(&mut vote);
    }
    votes.majority()
}

/// How many hashes have each bit set, for all bits at once: plane `n` holds bit `n` of the 64 counts.
#[derive(Default)]
struct Votes {
    planes: [u64; 13],
    cast: u32,
    /// The last few, counted together.
    waiting: [u64; 8],
}

impl Votes {
    /// So many are counted.
    const MOST: u32 = 4096;

    fn add(&mut self, hash: u64) {
        if self.cast == Self::MOST {
            return;
        }
        let at = self.cast % 8;
        self.waiting.get_mut(at as usize).into_iter().for_each(|place| *place = hash);
        self.cast += 1;
        if at == 7 {
            self.count();
        }
    }

    /// Adds eight hashes: four pairs, what they carry, and what that carries (Harley and Seal), then the eights.
    fn count(&mut self) {
        let [a, b, c, d, e, f, g, h] = std::mem::take(&mut self.waiting);
        let [ones, twos, fours, eights @ ..] = &mut self.planes;
        let two = [sum(ones, a, b), sum(ones, c, d), sum(ones, e, f), sum(ones, g, h)];
        let four = [sum(twos, two[0], two[1]), sum(twos, two[2], two[3])];
        let mut carried = sum(fours, four[0], four[1]);
        for plane in eights {
            (*plane, carried) = (*plane ^ carried, *plane & carried);
            if carried == 0 {
                break;
            }
        }
    }

    /// The bits that more than half of the hashes have set.
    fn majority(&mut self) -> u64 {
        // Those that still wait; a place that is empty adds nothing.
        self.count();
        let set = |bit: u32| self.planes.iter().rev().fold(0, |count, plane| count << 1 | (plane >> bit & 1) as u32);
        (0..64).fold(0, |print, bit| print | u64::from(set(bit) * 2 > self.cast) << bit)
    }
}

/// Adds two bits to a plane's; what is carried to the next.
fn sum(plane: &mut u64, one: u64, other: u64) -> u64 {
    let half = *plane ^ one;
    let carried = (*plane & one) | (half & other);
    *plane = half ^ other;
    carried
}

/// Mixed at the end so that short words reach every bit.
fn word_hash(word: &[u8]) -> u64 {
    let hash = runs::hash(word, 0);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

/// A budget of which a share was passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Warning {
    /// Which budget.
    pub name: Arc<str>,
    /// Whose.
    pub scope: Scope,
    /// The share that was passed, the highest of several at once.
    pub share: f64,
    /// What was spent.
    pub spent: u64,
    /// Of how much.
    pub limit: u64,
}

/// Warns of budgets once per share and period.
#[derive(Debug)]
pub struct BudgetWatch {
    warned: Recent<(Scope, Arc<str>), (i64, f64)>,
}

impl BudgetWatch {
    /// Remembers so many budgets; the one silent for longest is forgotten and may warn again.
    pub fn new(max_tracked: usize) -> Self {
        Self { warned: Recent::new(max_tracked) }
    }

    /// What `Reservation::settle` says, at `now` (Unix seconds), with the shares to warn at.
    pub fn add(&mut self, spent: &Spent, warn_at: &[f64], now: i64) -> Option<Warning> {
        let Kind::Budget { limit, .. } = &spent.rule.kind else { return None };
        let share = spent.spent as f64 / (*limit).max(1) as f64;
        let passed = warn_at.iter().copied().filter(|at| share >= *at).fold(0.0, f64::max);
        if passed <= 0.0 {
            return None;
        }
        let key = (spent.scope, Arc::clone(&spent.rule.name));
        let (period, warned) = self.warned.get(&key, now, || (spent.period, 0.0));
        if spent.period > *period {
            (*period, *warned) = (spent.period, 0.0);
        }
        if passed <= *warned || spent.period < *period {
            return None;
        }
        *warned = passed;
        let name = Arc::clone(&spent.rule.name);
        Some(Warning { name, scope: spent.scope, share: passed, spent: spent.spent, limit: *limit })
    }
}

/// A bounded map. When it is full, a quarter of it goes: those that were silent for longest.
#[derive(Debug)]
struct Recent<K, V> {
    entries: HashMap<K, (i64, V)>,
    most: usize,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most: most.max(1) }
    }

    fn get(&mut self, key: &K, now: i64, new: impl FnOnce() -> V) -> &mut V {
        if self.entries.len() >= self.most && !self.entries.contains_key(key) {
            self.make_room();
        }
        let (seen, value) = self.entries.entry(key.clone()).or_insert_with(|| (now, new()));
        *seen = now.max(*seen);
        value
    }

    fn make_room(&mut self) {
        let mut times: Vec<i64> = self.entries.values().map(|(seen, _)| *seen).collect();
        let going = (self.most / 4).max(1).min(times.len().saturating_sub(1));
        let (_, limit, _) = times.select_nth_unstable(going);
        let limit = *limit;
        let mut left = (self.most / 4).max(1);
        self.entries.retain(|_, (seen, _)| {
            let goes = *seen <= limit && left > 0;
            left -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::{Rule, Unit};
    use super::super::calendar::{Calendar, Period};
    use super::*;

    const HOUR: i64 = 3600;
    const DOLLAR: u64 = 1_000_000_000;

    #[test]
    fn words_are_the_same_in_any_text() {
        let words = "one two\tthree\n four\u{b}five\u{c}six\r\nseven ";
        let mut votes = Votes::default();
        words.split_whitespace().for_each(|word| votes.add(word_hash(word.as_bytes())));
        assert_eq!(simhash(words), votes.majority());
        assert_eq!(simhash("ännchen von tharau"), simhash(" ännchen\u{a0}von  tharau"));
        let more = "word ".repeat(10) + &"x ".repeat(5000);
        assert_eq!(simhash(&more), simhash(&format!("{more} and so much more")), "so many words count");
    }

    #[test]
    fn a_print_has_the_bits_that_more_than_half_of_the_hashes_have() {
        let (mut votes, mut counts, mut hash) = (Votes::default(), [0_i32; 64], 0x9e37_79b9_7f4a_7c15_u64);
        for cast in 1..=Votes::MOST {
            hash = (hash ^ hash << 13).rotate_left(17).wrapping_mul(0xff51_afd7_ed55_8ccd);
            votes.add(hash & !(1 << 5) | 1 << 9);
            counts.iter_mut().enumerate().for_each(|(bit, count)| match bit {
                5 => *count -= 1,
                9 => *count += 1,
                _ => *count += if hash >> bit & 1 == 1 { 1 } else { -1 },
            });
            let expected = (0..64).fold(0, |print, bit| print | u64::from(counts[bit] > 0) << bit);
            // Asked in between, a print is the same; asked seldom, eights are counted together.
            if cast % 37 == 0 || cast == Votes::MOST {
                assert_eq!(votes.majority(), expected, "{cast}");
            }
        }
    }

    #[test]
    fn ten_times_the_usual_spend_is_a_surge_and_is_said_once() {
        let mut watch = SpendWatch::new(SpendOptions::default());
        for hour in 0..100 {
            assert_eq!(watch.add(&"a", (9 + hour as u64 % 3) * DOLLAR, hour * HOUR), None);
        }
        assert_eq!(watch.add(&"a", 11 * DOLLAR, 100 * HOUR), None);
        let surge = watch.add(&"a", 90 * DOLLAR, 100 * HOUR + 60).unwrap();
        assert!(surge.z > 10.0 && (9.0e9..11.0e9).contains(&surge.mean), "{surge:?}");
        assert_eq!(watch.add(&"a", 90 * DOLLAR, 100 * HOUR + 61), None);
        assert!(watch.add(&"a", 90 * DOLLAR, 101 * HOUR).is_some());
    }

    #[test]
    fn little_money_and_short_histories_are_no_surge() {
        let mut watch = SpendWatch::new(SpendOptions::default());
        for hour in 0..100 {
            watch.add(&"cheap", 1000, hour * HOUR);
        }
        assert_eq!(watch.add(&"cheap", DOLLAR / 2, 100 * HOUR), None);
        watch.add(&"new", 1000, 0);
        assert_eq!(watch.add(&"new", 100 * DOLLAR, 5 * HOUR), None);
    }

    #[test]
    fn silence_counts_and_years_of_it_cost_nothing() {
        let mut watch = SpendWatch::new(SpendOptions::default());
        watch.add(&"a", 5 * DOLLAR, 0);
        assert!(watch.add(&"a", 5 * DOLLAR, i64::MAX / 2).is_some());
        assert_eq!(watch.add(&"a", DOLLAR, 0), None, "a clock that goes back");
    }

    #[test]
    fn the_same_prompt_faster_and_faster_is_a_loop() {
        let mut watch = LoopWatch::new(LoopOptions::default());
        let text =
            "Read the file report.txt, fix the failing test, run it again and report what is still wrong. ".repeat(4);
        let mut now = 0;
        let mut found = Vec::new();
        for turn in 0..32_i64 {
            now += 40 - turn;
            found.extend(watch.add(&"agent", simhash(&format!("{text} turn {turn}")), now));
        }
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].repeats >= 16);
    }

    #[test]
    fn a_schedule_and_a_conversation_are_no_loop() {
        let mut watch = LoopWatch::new(LoopOptions::default());
        for hour in 0..100 {
            assert_eq!(watch.add(&"cron", 7, hour * HOUR), None);
        }
        for turn in 0..100_u64 {
            let print = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert_eq!(watch.add(&"chat", print, turn as i64), None);
        }
    }

    #[test]
    fn each_share_of_a_budget_warns_once_per_period() {
        let calendar = Arc::new(Calendar::new(Period::Month, "UTC").unwrap());
        let rule = Rule::new("b", Unit::NanoUsd, Kind::Budget { limit: 100, calendar });
        let mut watch = BudgetWatch::new(10);
        let mut shares = Vec::new();
        for (period, amount) in [(1, 49), (1, 50), (1, 60), (1, 96), (1, 100), (2, 10), (1, 99), (2, 51)] {
            let spent = Spent { scope: Scope::new("key", "a"), rule: Arc::clone(&rule), period, spent: amount };
            shares.extend(watch.add(&spent, &[0.5, 0.8, 0.95], 0).map(|warning| (period, warning.share)));
        }
        assert_eq!(shares, [(1, 0.5), (1, 0.95), (2, 0.5)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut watch = LoopWatch::new(LoopOptions { max_tracked: 100, ..LoopOptions::default() });
        for caller in 0..10_000 {
            watch.add(&caller, 1, 5);
        }
        assert!(watch.tracked() <= 100);
    }
}

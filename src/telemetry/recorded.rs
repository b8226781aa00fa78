//! The metrics derived from Records: one call per request, made by the event reader and not by the data path.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};

use super::grid::Grid;
use super::names;
use crate::types::{
    Accounted, Action, ApiFamily, Decision, Dialect, Direction, Finding, Outcome, Record, RuleId, Uninspected, Verdict,
};

/// Rules that get a series of their own, upstreams likewise, refusal codes likewise; further ones share `other`.
const MAX_RULES: usize = 512;
const MAX_UPSTREAMS: usize = 64;
const MAX_CODES: usize = 128;
/// Models of the price table that get a series of their own.
const MAX_PRICED: usize = 128;
const OTHER: &str = "other";

const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
const ACCOUNTS: [&str; 3] = ["inspected", "exempt", "uninspected"];
const ATTEMPT_RESULTS: [&str; 3] = ["ok", "failed", "cut"];
const ATTEMPT_OK: usize = 0;
const ATTEMPT_FAILED: usize = 1;
const ATTEMPT_CUT: usize = 2;

/// The instruments.
pub(super) struct Recorded {
    requests: Grid<Counter<u64>, 4>,
    bytes: Grid<Counter<u64>, 3>,
    uninspected: Grid<Counter<u64>, 1>,
    decisions: Grid<Counter<u64>, 2>,
    scan: Grid<Histogram<f64>, 1>,
    overhead: BoundHistogram<f64>,
    request: BoundHistogram<f64>,
    held: BoundHistogram<f64>,
    hold: BoundHistogram<f64>,
    unmonitored: BoundCounter<u64>,
    gen_ai: GenAi,
    named: Mutex<Named>,
}

/// The series whose labels are only known once they are seen.
struct Named {
    rule_hits: Counter<u64>,
    rules: HashMap<(RuleId, Action), BoundCounter<u64>>,
    refusals: Counter<u64>,
    codes: HashMap<&'static str, BoundCounter<u64>>,
    attempts: Counter<u64>,
    seconds: Histogram<f64>,
    upstreams: HashMap<Arc<str>, Upstream>,
    cost: Counter<f64>,
    /// Models of the price table that were paid for.
    priced: HashSet<Arc<str>>,
}

/// One upstream's series.
struct Upstream {
    attempts: [BoundCounter<u64>; ATTEMPT_RESULTS.len()],
    seconds: [OnceLock<BoundHistogram<f64>>; DIALECTS],
}

/// The dialects, and one for requests that ended before theirs was known.
const DIALECTS: usize = Dialect::ALL.len() + 1;

fn dialects() -> Vec<&'static str> {
    Dialect::ALL.iter().map(|dialect| dialect.name()).chain(["none"]).collect()
}

fn dialect_index(dialect: Option<Dialect>) -> usize {
    dialect.map_or(Dialect::ALL.len(), |dialect| dialect as usize)
}

impl Recorded {
    /// The instruments of `meter`.
    pub(super) fn new(meter: &Meter) -> Self {
        let directions = || Direction::ALL.map(Direction::name).to_vec();
        let decisions = || Decision::ALL.map(Decision::name).to_vec();
        let lone = |metric| names::histogram(meter, metric).bind(&[]);
        let unmonitored = names::counter(meter, &names::UNMONITORED).bind(&[]);
        unmonitored.add(0);
        Self {
            requests: Grid::new(
                names::counter(meter, &names::REQUESTS),
                &names::REQUESTS,
                [dialects(), Outcome::ALL.map(Outcome::name).to_vec(), decisions(), STATUS_CLASSES.to_vec()],
            ),
            bytes: Grid::new(
                names::counter(meter, &names::BYTES),
                &names::BYTES,
                [dialects(), directions(), ACCOUNTS.to_vec()],
            ),
            uninspected: Grid::new(
                names::counter(meter, &names::UNINSPECTED),
                &names::UNINSPECTED,
                [Uninspected::ALL.map(Uninspected::name).to_vec()],
            )
            .start_at_zero(),
            decisions: Grid::new(
                names::counter(meter, &names::DECISIONS),
                &names::DECISIONS,
                [directions(), decisions()],
            ),
            scan: Grid::new(names::histogram(meter, &names::SCAN), &names::SCAN, [directions()]),
            overhead: lone(&names::OVERHEAD),
            request: lone(&names::REQUEST),
            held: lone(&names::HELD),
            hold: lone(&names::HOLD),
            unmonitored,
            gen_ai: GenAi::new(meter),
            named: Mutex::new(Named::new(meter)),
        }
    }

    /// Everything that one Record tells.
    pub(super) fn record(&self, record: &Record) {
        let dialect = dialect_index(record.dialect);
        let micros = record.micros;
        self.requests.add(
            [dialect, record.outcome as usize, record.decision as usize, usize::from(record.status / 100).min(5)],
            1,
        );
        self.request.record(seconds(micros.total));
        self.overhead.record(seconds(micros.overhead()));
        if record.monitoring_off {
            self.unmonitored.add(1);
        }
        self.bytes(dialect, Direction::Input, record.request_bytes);
        self.bytes(dialect, Direction::Output, record.response_bytes);
        for (reason, bytes) in &record.uninspected {
            self.uninspected.add([*reason as usize], *bytes);
        }
        self.verdict(Direction::Input, record.input.as_ref(), micros.scan.saturating_sub(micros.scan_output));
        self.verdict(Direction::Output, record.output.as_ref(), micros.scan_output);
        if record.stream && record.output.is_some() {
            self.held.record(as_f64(record.held_max));
            self.hold.record(seconds(micros.hold));
        }
        if record.attempts > 0 {
            self.gen_ai.record(record);
        }
        self.named(record, dialect);
    }

    fn bytes(&self, dialect: usize, direction: Direction, accounted: Accounted) {
        let accounts = [accounted.inspected, accounted.exempt, accounted.uninspected];
        for (account, bytes) in accounts.into_iter().enumerate().filter(|(_, bytes)| *bytes > 0) {
            self.bytes.add([dialect, direction as usize, account], bytes);
        }
    }

    fn verdict(&self, direction: Direction, verdict: Option<&Verdict>, scan: u64) {
        let Some(verdict) = verdict else { return };
        self.decisions.add([direction as usize, verdict.decision as usize], 1);
        self.scan.record([direction as usize], seconds(scan));
    }

    fn named(&self, record: &Record, dialect: usize) {
        let findings = || record.input.iter().chain(&record.output).flat_map(|verdict| &verdict.findings);
        let upstream = record.upstream.as_ref().filter(|_| record.attempts > 0);
        let paid = record.priced.as_ref().zip(record.cost);
        if upstream.is_none() && record.reason.is_none() && paid.is_none() && findings().next().is_none() {
            return;
        }
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in findings() {
            named.rule_hit(finding);
        }
        if let Some(code) = record.reason {
            named.refusal(code);
        }
        if let Some(upstream) = upstream {
            named.upstream(upstream, record, dialect);
        }
        if let Some((model, cost)) = paid {
            named.paid(model, cost);
        }
    }
}

impl Named {
    fn new(meter: &Meter) -> Self {
        Self {
            rule_hits: names::counter(meter, &names::RULE_HITS),
            rules: HashMap::new(),
            refusals: names::counter(meter, &names::REFUSALS),
            codes: HashMap::new(),
            attempts: names::counter(meter, &names::UPSTREAM_ATTEMPTS),
            seconds: names::histogram(meter, &names::UPSTREAM),
            upstreams: HashMap::new(),
            cost: names::money(meter, &names::COST),
            priced: HashSet::new(),
        }
    }

    fn rule_hit(&mut self, finding: &Finding) {
        let key = (finding.rule.clone(), finding.action);
        let other = (RuleId(Arc::from(OTHER)), finding.action);
        let counter = capped(&mut self.rules, MAX_RULES, key, other, |(rule, action)| {
            self.rule_hits.bind(&[
                KeyValue::new("rule", Arc::clone(&rule.0)),
                KeyValue::new("family", finding.family.name()),
                KeyValue::new("action", action.name()),
            ])
        });
        counter.add(1);
    }

    /// `cost` billionths of a US dollar were paid for an answer of `model`.
    fn paid(&mut self, model: &Arc<str>, cost: u64) {
        let known = self.priced.contains(model) || self.priced.len() < MAX_PRICED;
        let model = if known { Arc::clone(model) } else { Arc::from(OTHER) };
        self.priced.insert(Arc::clone(&model));
        self.cost.add(as_f64(cost) / 1e9, &[KeyValue::new("model", model)]);
    }

    fn refusal(&mut self, code: &'static str) {
        let bind = |code: &&'static str| self.refusals.bind(&[KeyValue::new("code", *code)]);
        capped(&mut self.codes, MAX_CODES, code, OTHER, bind).add(1);
    }

    fn upstream(&mut self, name: &Arc<str>, record: &Record, dialect: usize) {
        let bind = |name: &Arc<str>| Upstream {
            attempts: ATTEMPT_RESULTS.map(|result| {
                self.attempts.bind(&[KeyValue::new("upstream", Arc::clone(name)), KeyValue::new("result", result)])
            }),
            seconds: std::array::from_fn(|_| OnceLock::new()),
        };
        let known = if self.upstreams.contains_key(name) || self.upstreams.len() < MAX_UPSTREAMS {
            Arc::clone(name)
        } else {
            Arc::from(OTHER)
        };
        let upstream = self.upstreams.entry(Arc::clone(&known)).or_insert_with_key(bind);
        let last = match record.outcome {
            Outcome::UpstreamFailed => ATTEMPT_FAILED,
            Outcome::Abandoned | Outcome::Cut => ATTEMPT_CUT,
            Outcome::Served
            | Outcome::Refused
            | Outcome::PromptBlocked
            | Outcome::AnswerBlocked
            | Outcome::Internal => ATTEMPT_OK,
        };
        for (result, attempts) in [(ATTEMPT_FAILED, u64::from(record.attempts.saturating_sub(1))), (last, 1)] {
            if let Some(counter) = upstream.attempts.get(result).filter(|_| attempts > 0) {
                counter.add(attempts);
            }
        }
        if let Some(histogram) = upstream.seconds.get(dialect) {
            let bind = || {
                let dialect = dialects().get(dialect).copied().unwrap_or(OTHER);
                self.seconds.bind(&[KeyValue::new("upstream", known), KeyValue::new("dialect", dialect)])
            };
            histogram.get_or_init(bind).record(seconds(record.micros.upstream));
        }
    }
}

/// The entry of `key`, or of `other` once `max` keys are known.
fn capped<K: Eq + Hash, V>(
    map: &mut HashMap<K, V>,
    max: usize,
    key: K,
    other: K,
    make: impl FnOnce(&K) -> V,
) -> &mut V {
    let key = if map.len() < max || map.contains_key(&key) { key } else { other };
    map.entry(key).or_insert_with_key(make)
}

/// The metrics of the GenAI conventions, one set per dialect that names a model operation.
struct GenAi {
    duration: Histogram<f64>,
    first_chunk: Histogram<f64>,
    tokens: Histogram<f64>,
    series: [OnceLock<GenAiSeries>; Dialect::ALL.len()],
}

struct GenAiSeries {
    duration: BoundHistogram<f64>,
    first_chunk: BoundHistogram<f64>,
    input: BoundHistogram<f64>,
    output: BoundHistogram<f64>,
}

impl GenAi {
    fn new(meter: &Meter) -> Self {
        Self {
            duration: names::histogram(meter, &names::GEN_AI_DURATION),
            first_chunk: names::histogram(meter, &names::GEN_AI_FIRST_CHUNK),
            tokens: names::histogram(meter, &names::GEN_AI_TOKENS_USED),
            series: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    fn record(&self, record: &Record) {
        let Some(dialect) = record.dialect.filter(|dialect| !matches!(dialect, Dialect::Models | Dialect::Generic))
        else {
            return;
        };
        let Some(series) = self.series.get(dialect as usize) else { return };
        let series = series.get_or_init(|| self.bind(dialect));
        series.duration.record(seconds(record.micros.upstream));
        if record.stream && record.micros.first_chunk > 0 {
            series.first_chunk.record(seconds(record.micros.first_chunk));
        }
        if let Some(usage) = record.usage {
            series.input.record(as_f64(usage.input));
            series.output.record(as_f64(usage.output));
        }
    }

    fn bind(&self, dialect: Dialect) -> GenAiSeries {
        let operation = KeyValue::new("gen_ai.operation.name", dialect.operation());
        let provider = KeyValue::new("gen_ai.provider.name", provider(dialect.api_family()));
        let tokens = |kind: &'static str| {
            self.tokens.bind(&[operation.clone(), provider.clone(), KeyValue::new("gen_ai.token.type", kind)])
        };
        GenAiSeries {
            duration: self.duration.bind(&[operation.clone(), provider.clone()]),
            first_chunk: self.first_chunk.bind(&[operation.clone(), provider.clone()]),
            input: tokens("input"),
            output: tokens("output"),
        }
    }
}

/// `gen_ai.provider.name`: whose API is spoken, which is all a compatible server lets anybody know.
pub(super) const fn provider(family: ApiFamily) -> &'static str {
    match family {
        ApiFamily::OpenAi => "openai",
        ApiFamily::Anthropic => "anthropic",
    }
}

/// Microseconds as seconds.
fn seconds(micros: u64) -> f64 {
    as_f64(micros) / 1e6
}

/// Exact up to 2^53: a century in microseconds.
fn as_f64(value: u64) -> f64 {
    value as f64
}

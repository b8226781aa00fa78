//! What a request may use: reserved before it leaves, counted while it is answered, settled when it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::record::Flight;
use super::refuse::Refusal;
use super::route::Plan;
use crate::config::settings::Unpriced;
use crate::config::{Policy, Snapshot};
use crate::quota::anomaly::{BudgetWatch, Warning};
use crate::quota::{
    Amounts, Bucket, Charge, Denied, Headroom, Kind, Meter, Need, Plan as Charges, Price, Reservation, Rule, Scope,
    Spent, Tokens, Unit, Usd, tokens,
};
use crate::types::{Alarm, AlarmKind, Caller, Dialect, Measure, Order, Outcome, Record, Role, Uninspected, Usage};
use crate::wire::Prompt;

/// Texts whose tokens are remembered.
const MEMO: u64 = 65_536;

/// Budgets whose warnings are remembered.
const WATCHED: usize = 100_000;

/// What counts for all requests. Shared by all workers.
pub struct Counting {
    meter: Meter,
    tokens: Tokens,
    warnings: Mutex<BudgetWatch>,
}

/// What one request holds and has used.
pub(super) struct Charged {
    counting: Arc<Counting>,
    reservation: Option<Reservation>,
    charges: Arc<Charges>,
    own: Arc<Policy>,
    price: Option<Price>,
    /// Tokens of the prompt: counted, or guessed from its length where nothing is charged by tokens.
    input: u64,
}

impl Counting {
    /// Counts by this meter.
    pub fn new(meter: Meter) -> Self {
        Self { meter, tokens: Tokens::new(MEMO), warnings: Mutex::new(BudgetWatch::new(WATCHED)) }
    }

    /// The meter.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }
}

/// Reserves what a request may need of every limit, budget and order that is about it: all of it or nothing.
///
/// # Errors
/// Something of it is used up, or cannot be counted.
pub(super) async fn reserve(
    counting: &Arc<Counting>,
    snapshot: &Snapshot,
    plan: &Plan,
    caller: &Caller,
    limits: &[Arc<Order>],
    asked: Asked<'_, '_>,
    flight: &mut Flight,
) -> Result<Charged, Refusal> {
    let Asked { prompt, body } = asked;
    let (general, own) = (&snapshot.charges, &plan.policy.charges);
    let model = prompt.and_then(|prompt| prompt.model.as_deref());
    let price = model.and_then(|model| snapshot.prices.of(model)).cloned();
    let counts = general.counts_tokens() || own.counts_tokens();
    let input = match prompt {
        Some(prompt) if counts => counted(&counting.tokens, prompt),
        Some(prompt) => guessed(prompt),
        // Not read: about as many tokens as so many bytes are.
        None => in_tokens(body as u64),
    };
    let mut charged = Charged {
        counting: Arc::clone(counting),
        reservation: None,
        charges: Arc::clone(general),
        own: Arc::clone(&plan.policy),
        price,
        input,
    };
    if general.is_empty() && own.is_empty() && limits.is_empty() {
        return Ok(charged);
    }
    let output = match prompt {
        Some(prompt) => most_output(snapshot, prompt),
        None if body > 0 => snapshot.settings.limits.default_max_output,
        None => 0,
    };
    let need = Need::of(input, output, charged.price.as_ref());
    let mut charges = general.charges(caller, model, need);
    charges.extend(own.charges(caller, model, need));
    charges.extend(limits.iter().filter_map(|order| by_order(order)));
    let in_money = charges.iter().any(|charge| charge.bucket.rule.unit == Unit::NanoUsd);
    // A request that does not name its model could be for any.
    if in_money && charged.price.is_none() && need.tokens > 0 && snapshot.settings.prices.unpriced == Unpriced::Refuse {
        return Err(Refusal::unpriced());
    }
    if !charges.is_empty() {
        let reserved = counting.meter.reserve(&charges).await;
        charged.reservation = Some(reserved.map_err(|denied| refused(&denied, limits, flight))?);
    }
    Ok(charged)
}

/// An order that limits is a rate of its own.
fn by_order(order: &Order) -> Option<Charge> {
    let Measure::Limit { requests, seconds } = order.measure else { return None };
    let window = Duration::from_secs(u64::from(seconds.max(1)));
    let rule = Rule::new("order", Unit::Requests, Kind::Rate { limit: u64::from(requests), window });
    Some(Charge { bucket: Bucket { scope: Scope::new("order", &order.id), rule }, amount: 1 })
}

fn refused(denied: &Denied, limits: &[Arc<Order>], flight: &mut Flight) -> Refusal {
    let exceeded = match denied {
        Denied::Unavailable => return Refusal::limits_unavailable(),
        Denied::Exceeded(exceeded) => exceeded,
    };
    let by_order = limits.iter().find(|order| Scope::new("order", &order.id) == exceeded.bucket.scope);
    if let Some(order) = by_order {
        flight.note(|record| record.order = Some(Arc::clone(&order.id)));
    }
    let is_budget = exceeded.is_budget();
    let (scope, refusal) = match (exceeded.bucket.rule.unit, exceeded.retry_after) {
        _ if is_budget => ("budget", Refusal::insufficient_quota()),
        (Unit::Slots, _) => ("concurrency", Refusal::too_many_concurrent()),
        (Unit::Requests, Some(wait)) => ("requests", Refusal::rate_limited(wait)),
        (Unit::Tokens | Unit::NanoUsd, Some(wait)) => ("tokens", Refusal::tokens_limited(wait)),
        (Unit::Requests | Unit::Tokens | Unit::NanoUsd, None) => ("tokens", Refusal::over_limit()),
    };
    flight.metrics().limited(scope);
    refusal
}

/// What is asked for: the prompt where it was read, and the bytes of the body.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a, 'b> {
    pub(super) prompt: Option<&'a Prompt<'b>>,
    pub(super) body: usize,
}

/// Tokens of a prompt, by the tokenizer of its model.
fn counted(counter: &Tokens, prompt: &Prompt<'_>) -> u64 {
    let model = prompt.model.as_deref().unwrap_or_default();
    // Parameters such as the model's name are no part of what the model reads.
    let is_read = |role| role != Role::Parameter || prompt.dialect == Dialect::Generic;
    let read = prompt.spans.iter().filter(|span| is_read(span.role));
    let texts: u64 = read.map(|span| u64::from(counter.count(model, &span.text))).sum();
    let messages = prompt.spans.iter().filter(|span| !matches!(span.role, Role::Parameter | Role::Definition)).count();
    let media = prompt.opaque.iter().filter(|(_, why)| *why == Uninspected::Media).count() as u64;
    let media = media.saturating_mul(u64::from(tokens::Media::Image.tokens()));
    texts.saturating_add(u64::from(tokens::message_overhead(messages, 0))).saturating_add(media)
}

fn guessed(prompt: &Prompt<'_>) -> u64 {
    prompt.spans.iter().map(|span| roughly(&span.text)).sum()
}

/// About as many tokens as so many bytes of JSON or text are.
pub(super) fn in_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}

/// About as many tokens as a text has: five ASCII characters are one, and so is any other character.
pub(super) fn roughly(text: &str) -> u64 {
    let (mut ascii, mut other) = (0_usize, 0_usize);
    // So few that a byte counts them: many bytes go at once.
    for part in text.as_bytes().chunks(128) {
        let (mut plain, mut first) = (0_u8, 0_u8);
        for byte in part {
            plain = plain.wrapping_add(u8::from(byte.is_ascii()));
            first = first.wrapping_add(u8::from(*byte >= 0xC0));
        }
        ascii += usize::from(plain);
        other += usize::from(first);
    }
    (other as u64 + (ascii as u64 + 2) / 5).max(u64::from(!text.is_empty()))
}

fn most_output(snapshot: &Snapshot, prompt: &Prompt<'_>) -> u64 {
    match prompt.dialect {
        Dialect::Embeddings | Dialect::Models => 0,
        Dialect::Chat | Dialect::Completions | Dialect::Responses | Dialect::Messages | Dialect::Generic => {
            let each = snapshot.settings.limits.default_max_output;
            prompt.max_output().unwrap_or_else(|| each.saturating_mul(prompt.choices()))
        }
    }
}

impl Charged {
    /// Whether something may come to an end while an answer is relayed.
    pub(super) fn is_counted(&self) -> bool {
        self.reservation.is_some()
    }

    /// What was left when the request was let in: of requests, and of tokens.
    pub(super) fn headroom(&self) -> [Option<Headroom>; 2] {
        let of = |get: fn(&Reservation) -> Option<Headroom>| self.reservation.as_ref().and_then(get);
        [of(Reservation::requests), of(Reservation::tokens)]
    }

    /// So many tokens were answered so far.
    ///
    /// # Errors
    /// More than is held: the answer may only go on if more can be had.
    pub(super) fn answered(&mut self, output: u64) -> Result<(), More> {
        let used = self.amounts(&Usage { input: self.input, output, ..Usage::default() });
        let Some(reservation) = &mut self.reservation else { return Ok(()) };
        reservation.progress(used);
        let short = |unit| reservation.left(unit) == Some(0);
        if short(Unit::Tokens) || short(Unit::NanoUsd) { Err(More) } else { Ok(()) }
    }

    /// Asks for as much as `tokens` more of an answer cost. What it holds is on its way meanwhile: `hold` takes it back.
    pub(super) fn ask(&mut self, tokens: u64) -> Option<impl Future<Output = (Reservation, bool)> + Send + use<>> {
        let more = self.amounts(&Usage { output: tokens, ..Usage::default() });
        let mut reservation = self.reservation.take()?;
        Some(async move {
            let granted = reservation.extend(more).await.is_ok();
            (reservation, granted)
        })
    }

    /// Takes back what it holds.
    pub(super) fn hold(&mut self, reservation: Reservation) {
        self.reservation = Some(reservation);
    }

    fn amounts(&self, usage: &Usage) -> Amounts {
        let nano_usd = self.price.as_ref().map_or(0, |price| price.cost(usage));
        Amounts { tokens: usage.input.saturating_add(usage.output), nano_usd }
    }

    /// Ends it with what the record says was used, and completes the record. Alarms that follow are given back.
    pub(super) fn settle(self, record: &mut Record, output: u64) -> Vec<Alarm> {
        let is_whole = matches!(record.outcome, Outcome::Served | Outcome::AnswerBlocked) && record.finish.is_some();
        let was_used = was_used(record, output);
        match &mut record.usage {
            // What a provider says before the end of an answer is not all of it.
            Some(usage) if !is_whole && usage.output < output => {
                usage.output = output;
                record.estimated = true;
            }
            Some(_) => {}
            None if was_used => {
                record.usage = Some(Usage { input: self.input, output, ..Usage::default() });
                record.estimated = true;
            }
            None => {}
        }
        let usage = record.usage.unwrap_or_default();
        record.cost = self.price.as_ref().filter(|_| record.usage.is_some()).map(|price| price.cost(&usage));
        record.priced = record.cost.and(self.price.as_ref()).map(|price| Arc::from(price.model.as_str()));
        let amounts = self.amounts(&usage);
        let Some(reservation) = self.reservation else { return Vec::new() };
        let spent = reservation.settle(amounts);
        let mut warnings = self.counting.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let warned = |spent: &Spent| {
            let warn_at = self.charges.warn_at(&spent.rule).or_else(|| self.own.charges.warn_at(&spent.rule))?;
            let warning = warnings.add(spent, warn_at, record.time / 1_000_000)?;
            Some(alarm(record, &warning, spent.rule.unit))
        };
        spent.iter().filter_map(warned).collect()
    }
}

/// Whether a provider counts a request of which it does not say what it used: one that it answered, or was at work on
/// when it was given up. What it refused, or failed to answer, costs nothing.
fn was_used(record: &Record, output: u64) -> bool {
    let was_sent = record.attempts > 0;
    let given_up = matches!(record.outcome, Outcome::Abandoned | Outcome::Cut);
    was_sent && (output > 0 || record.status == 200 || (given_up && record.status == 0))
}

fn alarm(record: &Record, warning: &Warning, unit: Unit) -> Alarm {
    let amount = |number: u64| match unit {
        Unit::NanoUsd => format!("${}", Usd(number)),
        Unit::Requests | Unit::Tokens | Unit::Slots => number.to_string(),
    };
    let (spent, limit) = (amount(warning.spent), amount(warning.limit));
    Alarm {
        time: record.time,
        kind: AlarmKind::BudgetWarning,
        caller: record.caller.clone(),
        request: Some(record.id.clone()),
        message: format!("budget `{}` has reached {:.0} %: {spent} of {limit}", warning.name, warning.share * 100.0),
    }
}

/// `x-ratelimit-*` of requests and tokens. What the gate said of requests stays where it is tighter.
pub(super) fn rate_headers([requests, tokens]: [Option<Headroom>; 2], headers: &mut HeaderMap) {
    const NAMES: [[HeaderName; 3]; 2] = [
        [
            HeaderName::from_static("x-ratelimit-limit-requests"),
            HeaderName::from_static("x-ratelimit-remaining-requests"),
            HeaderName::from_static("x-ratelimit-reset-requests"),
        ],
        [
            HeaderName::from_static("x-ratelimit-limit-tokens"),
            HeaderName::from_static("x-ratelimit-remaining-tokens"),
            HeaderName::from_static("x-ratelimit-reset-tokens"),
        ],
    ];
    for ([limit, remaining, reset], headroom) in NAMES.into_iter().zip([requests, tokens]) {
        let Some(headroom) = headroom else { continue };
        let known = headers.get(&remaining).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if known.is_some_and(|known| known <= headroom.remaining) {
            continue;
        }
        headers.insert(limit, HeaderValue::from(headroom.limit));
        headers.insert(remaining, HeaderValue::from(headroom.remaining));
        if let Ok(value) = HeaderValue::from_str(&format!("{}ms", headroom.reset.as_millis())) {
            headers.insert(reset, value);
        }
    }
}

/// More is needed than is held.
#[derive(Debug)]
pub(super) struct More;

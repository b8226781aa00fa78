//! Rates, concurrency and memory -> `Admitted`, which gives everything back when it is dropped.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::live::Place;
use super::refuse::Refusal;
use crate::config::settings::Limits;
use crate::quota::{Allowance, Concurrency, Rate, RateLimits, Slot, Standing};
use crate::telemetry::Metrics;
use crate::types::Caller;

/// Shared by all workers: what every caller has used.
pub struct Gate {
    rates: ArcSwap<Rates>,
    addresses: Concurrency<IpAddr>,
    users: Concurrency<Arc<str>>,
    in_flight: Arc<AtomicUsize>,
    body_bytes: Arc<AtomicU64>,
    metrics: Metrics,
}

/// The rates in force, and the settings they were made from.
struct Rates {
    made_from: Limits,
    address: Option<RateLimits<IpAddr>>,
    user: Option<RateLimits<Arc<str>>>,
}

/// What a request holds before it is known whose it is.
pub(super) struct Entered {
    address: Option<Slot<IpAddr>>,
    running: Running,
    standing: Option<Standing>,
}

/// What a request holds while it runs.
pub struct Admitted {
    _address: Option<Slot<IpAddr>>,
    _user: Option<Slot<Arc<str>>>,
    _running: Running,
    body: BodyBytes,
    standing: Option<Standing>,
    place: Option<Place>,
}

struct Running(Arc<AtomicUsize>);

/// Bytes of request bodies held in memory on behalf of one request.
struct BodyBytes {
    total: Arc<AtomicU64>,
    held: u64,
}

impl Gate {
    /// Nothing used yet.
    pub fn new(limits: &Limits, metrics: Metrics) -> Self {
        Self {
            rates: ArcSwap::from_pointee(Rates::new(limits)),
            addresses: Concurrency::default(),
            users: Concurrency::default(),
            in_flight: Arc::default(),
            body_bytes: Arc::default(),
            metrics,
        }
    }

    /// Takes note of one request from `address`, before anything else is known of it: whatever it is refused for
    /// afterwards, it has used up some of what its address may send.
    ///
    /// # Errors
    /// A refusal that says when to come back.
    pub(super) fn enter(&self, limits: &Limits, address: Option<IpAddr>) -> Result<Entered, Refusal> {
        let running = Running::enter(&self.in_flight);
        if limits.max_in_flight > 0 && self.in_flight.load(Ordering::Relaxed) > limits.max_in_flight {
            self.metrics.limited("in_flight");
            return Err(Refusal::overloaded());
        }
        let network = address.map(network);
        let rates = self.rates_for(limits);
        let mut standing = None;
        if let (Some(rate), Some(address)) = (&rates.address, network) {
            standing = Some(self.take("address", rate.take(&address))?);
        }
        let slot = self.slot("address", limits.per_address.concurrent, network, &self.addresses)?;
        Ok(Entered { address: slot, running, standing })
    }

    /// Lets one request of `caller` in.
    ///
    /// # Errors
    /// A refusal that says when to come back.
    pub(super) fn admit(&self, limits: &Limits, caller: &Caller, entered: Entered) -> Result<Admitted, Refusal> {
        let Entered { address, running, mut standing } = entered;
        let rates = self.rates_for(limits);
        let name = caller.user_of_tenant();
        if let (Some(rate), Some(user)) = (&rates.user, &name) {
            let user = self.take("user", rate.take(user))?;
            standing = standing.filter(|address: &Standing| address.remaining < user.remaining).or(Some(user));
        }
        let user = self.slot("user", limits.per_user.concurrent, name, &self.users)?;
        Ok(Admitted {
            _address: address,
            _user: user,
            _running: running,
            body: BodyBytes { total: Arc::clone(&self.body_bytes), held: 0 },
            standing,
            place: None,
        })
    }

    /// Forgets callers that have been idle long enough. To be called now and then.
    pub fn forget_idle(&self) {
        let rates = self.rates.load();
        if let Some(rate) = &rates.address {
            rate.forget_idle();
        }
        if let Some(rate) = &rates.user {
            rate.forget_idle();
        }
    }

    /// The rates made from `limits`; a reload that changes them starts them afresh.
    fn rates_for(&self, limits: &Limits) -> arc_swap::Guard<Arc<Rates>> {
        let rates = self.rates.load();
        if rates.made_from == *limits {
            return rates;
        }
        self.rates.store(Arc::new(Rates::new(limits)));
        self.rates.load()
    }

    fn take(&self, scope: &'static str, taken: Result<Standing, Duration>) -> Result<Standing, Refusal> {
        taken.map_err(|wait| {
            self.metrics.limited(scope);
            Refusal::rate_limited(wait)
        })
    }

    fn slot<K: std::hash::Hash + Eq + Clone>(
        &self,
        scope: &'static str,
        limit: u64,
        key: Option<K>,
        counts: &Concurrency<K>,
    ) -> Result<Option<Slot<K>>, Refusal> {
        let (Some(key), true) = (key, limit > 0) else { return Ok(None) };
        match counts.take(key, u32::try_from(limit).unwrap_or(u32::MAX)) {
            Some(slot) => Ok(Some(slot)),
            None => {
                self.metrics.limited(scope);
                Err(Refusal::too_many_concurrent())
            }
        }
    }
}

impl Rates {
    fn new(limits: &Limits) -> Self {
        Self {
            made_from: limits.clone(),
            address: rate(&limits.per_address).map(|rate| RateLimits::new(rate, limits.max_tracked)),
            user: rate(&limits.per_user).map(|rate| RateLimits::new(rate, limits.max_tracked)),
        }
    }
}

fn rate(limit: &Allowance) -> Option<Rate> {
    let short = |number: u64| NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX));
    let per_minute = short(limit.requests_per_minute)?;
    Some(Rate { per_minute, burst: short(limit.burst).unwrap_or(per_minute) })
}

/// What counts as one address: IPv6 clients own a /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

impl Admitted {
    /// Accounts `bytes` more of request body in memory.
    ///
    /// # Errors
    /// When all requests together would hold more than `limit`.
    pub(super) fn hold(&mut self, bytes: u64, limit: u64) -> Result<(), Refusal> {
        let before = self.body.total.fetch_add(bytes, Ordering::Relaxed);
        self.body.held += bytes;
        if before + bytes > limit { Err(Refusal::overloaded()) } else { Ok(()) }
    }

    /// Among the requests under way, from now to its end.
    pub(super) fn take_place(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// The body has been sent on: its memory is free again.
    pub(super) fn release_body(&mut self) {
        self.body.release();
    }

    /// `x-ratelimit-*` of the tighter of the rates that applied.
    pub(super) fn rate_headers(&self, headers: &mut HeaderMap) {
        let Some(standing) = self.standing else { return };
        let reset = format!("{}ms", standing.reset.as_millis());
        headers.insert(HeaderName::from_static("x-ratelimit-limit-requests"), HeaderValue::from(standing.limit));
        headers
            .insert(HeaderName::from_static("x-ratelimit-remaining-requests"), HeaderValue::from(standing.remaining));
        if let Ok(reset) = HeaderValue::from_str(&reset) {
            headers.insert(HeaderName::from_static("x-ratelimit-reset-requests"), reset);
        }
    }
}

impl Running {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl BodyBytes {
    fn release(&mut self) {
        self.total.fetch_sub(self.held, Ordering::Relaxed);
        self.held = 0;
    }
}

impl Drop for BodyBytes {
    fn drop(&mut self) {
        self.release();
    }
}

//! The keys of token issuers: fetched at start, again before they grow old, and when a token names one nobody knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CACHE_CONTROL, USER_AGENT};
use hyper::{HeaderMap, Request, Uri};
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::identity_settings::JwksFetching;
use crate::config::token_keys::{KeyError, KeySet, is_safe_url};
use crate::config::tokens::{Issuer, KeySource, TokenKeys};
use crate::control::http::{Http, HttpError, Options, Reach};

/// Issuers whose keys are fetched at the same time.
const AT_ONCE: usize = 8;

/// With nothing to do, look again after this long.
const IDLE: Duration = Duration::from_secs(3600);

/// TLS towards issuers: the platform's authorities and those of a PEM text.
pub type TlsTowards = dyn Fn(Option<&str>) -> Result<ClientConfig, String> + Send + Sync;

/// Takes the new keys of an issuer.
pub type Publish = dyn Fn(&Arc<str>, &Arc<KeySet>) + Send + Sync;

/// What this part needs of the rest.
#[derive(Clone)]
pub struct Doors {
    /// The issuers in force and how to fetch. Asked before each round, so that a reload takes effect.
    pub current: Arc<dyn Fn() -> (Arc<TokenKeys>, JwksFetching) + Send + Sync>,
    /// Puts the new keys of an issuer in force: `TokenKeys::with_keys` on the Snapshot's, published.
    pub publish: Arc<Publish>,
    /// TLS towards issuers.
    pub tls: Arc<TlsTowards>,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nothing came within `identity.jwks.timeout`.
    #[error("no answer within the timeout")]
    Timeout,
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// TLS could not be set up.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
    /// An address that is none, or that the discovery document names and that is not safe.
    #[error("not an https address")]
    Address,
    /// Not a 200. Redirects are not followed.
    #[error("answered {0}")]
    Status(u16),
    /// Longer than `identity.jwks.max_body`, or it broke off.
    #[error("the answer is too long or incomplete")]
    Body,
    /// A discovery document that is none, or of another issuer.
    #[error("the discovery document is not this issuer's")]
    Discovery,
    /// Not keys.
    #[error("{0}")]
    Keys(#[from] KeyError),
}

/// When an issuer's keys are fetched next.
#[derive(Debug)]
struct Plan {
    source: KeySource,
    due: Instant,
    /// Until when wishes are not heard.
    closed: Option<Instant>,
    is_running: bool,
    /// Whether somebody waits for the outcome.
    is_wished: bool,
}

struct Done {
    issuer: Arc<str>,
    source: KeySource,
    outcome: Result<Fetched, FetchError>,
}

struct Fetched {
    keys: KeySet,
    fresh: Option<Duration>,
}

/// Keeps the keys of all issuers fresh until `stop`. Keys that are there stay in force when fetching fails.
pub async fn keep_fresh(doors: Doors, stop: CancellationToken) {
    let mut plans: BTreeMap<Arc<str>, Plan> = BTreeMap::new();
    let mut running: JoinSet<Done> = JoinSet::new();
    loop {
        let (keys, settings) = (doors.current)();
        adopt(&mut plans, &keys);
        let next = begin(&mut plans, &keys, &settings, &doors, &mut running);
        tokio::select! {
            () = stop.cancelled() => return,
            () = keys.wish().uttered() => {}
            () = sleep_until(next) => {}
            Some(done) = running.join_next() => match done {
                Ok(done) => finish(&mut plans, &keys, &settings, &doors, done),
                // A panic in a fetch: its plan is begun anew.
                Err(_) => forget_lost(&mut plans, settings.min_refresh.get()),
            }
        }
    }
}

/// Takes over which issuers there are, and what requests wish for.
fn adopt(plans: &mut BTreeMap<Arc<str>, Plan>, keys: &TokenKeys) {
    let now = Instant::now();
    let fetched = || keys.issuers().iter().filter(|issuer| issuer.source != KeySource::Given);
    let names: BTreeSet<&Arc<str>> = fetched().map(|issuer| &issuer.name).collect();
    plans.retain(|name, _| names.contains(name));
    for issuer in fetched() {
        let new =
            || Plan { source: issuer.source.clone(), due: now, closed: None, is_running: false, is_wished: false };
        let plan = plans.entry(Arc::clone(&issuer.name)).or_insert_with(new);
        if plan.source != issuer.source {
            *plan = new();
        }
    }
    for name in keys.wish().take() {
        if let Some(plan) = plans.get_mut(&name).filter(|plan| plan.closed.is_none()) {
            plan.is_wished = true;
            plan.due = plan.due.min(now);
        }
    }
    for (name, plan) in plans.iter_mut() {
        if plan.closed.is_some_and(|until| until <= now) {
            plan.closed = None;
            keys.wish().reopen(name);
        }
    }
}

/// Begins what is due; the moment of what comes next.
fn begin(
    plans: &mut BTreeMap<Arc<str>, Plan>,
    keys: &TokenKeys,
    settings: &JwksFetching,
    doors: &Doors,
    running: &mut JoinSet<Done>,
) -> Instant {
    let now = Instant::now();
    let mut next = now + IDLE;
    for issuer in keys.issuers() {
        let Some(plan) = plans.get_mut(&issuer.name) else { continue };
        next = plan.closed.map_or(next, |closed| next.min(closed));
        if plan.is_running {
            continue;
        }
        if plan.due <= now && running.len() < AT_ONCE {
            plan.is_running = true;
            running.spawn(fetch(issuer.clone(), settings.clone(), Arc::clone(&doors.tls)));
        } else if plan.due > now {
            next = next.min(plan.due);
        }
    }
    next
}

/// Publishes what came and plans the next fetch.
fn finish(plans: &mut BTreeMap<Arc<str>, Plan>, keys: &TokenKeys, settings: &JwksFetching, doors: &Doors, done: Done) {
    let Some(plan) = plans.get_mut(&done.issuer).filter(|plan| plan.source == done.source) else { return };
    let now = Instant::now();
    let (min, max) = (settings.min_refresh.get(), settings.max_refresh.get().max(settings.min_refresh.get()));
    let wait = match done.outcome {
        Ok(Fetched { keys, fresh }) => {
            let (count, left_out) = (keys.len(), keys.left_out());
            tracing::info!(issuer = %done.issuer, keys = count, left_out, "keys of token issuer fetched");
            (doors.publish)(&done.issuer, &Arc::new(keys));
            fresh.unwrap_or(max).clamp(min, max)
        }
        Err(error) => {
            tracing::warn!(issuer = %done.issuer, %error, "keys of token issuer not fetched, old ones stay");
            min
        }
    };
    plan.is_running = false;
    plan.due = now + wait;
    if plan.is_wished {
        plan.is_wished = false;
        // Long enough for those who wait to see that it is fulfilled.
        plan.closed = Some(now + settings.unknown_key_cooldown.get().max(Duration::from_secs(1)));
        keys.wish().fulfil(&done.issuer);
    }
}

fn forget_lost(plans: &mut BTreeMap<Arc<str>, Plan>, wait: Duration) {
    for plan in plans.values_mut().filter(|plan| plan.is_running) {
        plan.is_running = false;
        plan.due = Instant::now() + wait;
    }
}

async fn fetch(issuer: Issuer, settings: JwksFetching, tls: Arc<TlsTowards>) -> Done {
    let delays = ExponentialBuilder::default()
        .with_min_delay(settings.retry_delay.get())
        .with_max_delay(settings.max_refresh.get())
        .with_max_times(settings.retries)
        .with_jitter();
    let attempt = || async {
        match timeout(settings.timeout.get(), keys_of(&issuer, &settings, &*tls)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::Timeout),
        }
    };
    let outcome = attempt.retry(delays).await;
    Done { issuer: issuer.name.clone(), source: issuer.source.clone(), outcome }
}

/// The part of a discovery document that is needed.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

async fn keys_of(issuer: &Issuer, settings: &JwksFetching, tls: &TlsTowards) -> Result<Fetched, FetchError> {
    let tls = tls(issuer.ca.as_deref()).map_err(FetchError::Tls)?;
    let url = match &issuer.source {
        KeySource::Url(url) => url.clone(),
        KeySource::Discovery(url) => {
            let (_, text) = get(url, settings, tls.clone()).await?;
            let found: Discovered = serde_json::from_slice(&text).map_err(|_| FetchError::Discovery)?;
            if *found.issuer != *issuer.name {
                return Err(FetchError::Discovery);
            }
            if !is_safe_url(&found.jwks_uri) {
                return Err(FetchError::Address);
            }
            found.jwks_uri
        }
        KeySource::Given => return Err(FetchError::Address),
    };
    let (headers, text) = get(&url, settings, tls).await?;
    Ok(Fetched { keys: KeySet::from_jwks(&text)?, fresh: freshness(&headers) })
}

/// One GET, bounded. No redirect is followed: keys come from where the configuration says.
async fn get(url: &str, settings: &JwksFetching, tls: ClientConfig) -> Result<(HeaderMap, Bytes), FetchError> {
    let uri: Uri = url.parse().map_err(|_| FetchError::Address)?;
    let (timeout, max_answer) = (settings.timeout.get(), settings.max_body.len());
    let options = Options { connect: timeout, total: timeout, max_answer, kept: 0, reach: Reach::Anywhere };
    let request = Request::get(uri)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "portcullis")
        .body(Full::default())
        .map_err(|_| FetchError::Address)?;
    let answer = Http::new(tls, options).send(request).await.map_err(|error| match error {
        HttpError::Timeout(_) => FetchError::Timeout,
        HttpError::Trust(why) => FetchError::Tls(why),
        HttpError::Address | HttpError::Forbidden => FetchError::Address,
        HttpError::Connection(why) => FetchError::Connection(why),
        HttpError::Body(200) => FetchError::Body,
        HttpError::Body(status) => FetchError::Status(status),
    })?;
    let (parts, body) = answer.into_parts();
    match parts.status.as_u16() {
        200 => Ok((parts.headers, body)),
        status => Err(FetchError::Status(status)),
    }
}

/// How long `Cache-Control` lets an answer be used; `None` if it does not say.
fn freshness(headers: &HeaderMap) -> Option<Duration> {
    let mut fresh = None;
    for value in headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()) {
        for directive in value.split(',').map(str::trim) {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return Some(Duration::ZERO);
            }
            if name.eq_ignore_ascii_case("max-age") {
                fresh = argument.trim_matches('"').parse().ok().map(Duration::from_secs).or(fresh);
            }
        }
    }
    fresh
}

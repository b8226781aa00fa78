//! Alerts that systems outside send in: webhooks signed as Standard Webhooks has it (<https://www.standardwebhooks.com>).
//!
//! A delivery counts once. Which ids came lately is remembered here, by each replica for itself: no longer than their
//! timestamps would be accepted, and never given up before, so nothing can be replayed by sending much. What two replicas
//! take of the same alert is counted in one alert of the store by its fold.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, verify};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::App;
use super::super::error::ApiError;
use super::super::extract::Named;
use crate::soc::ingest::{MapError, Shape, map};
use crate::types::Secret;
use crate::types::unbase64;

/// Secrets of one source: the one in force, and those it takes the place of.
const MOST_SECRETS: usize = 4;
/// Signatures looked at of one delivery: senders sign with each secret they have.
const MOST_SIGNATURES: usize = 8;
/// Bytes of a delivery's id.
const MOST_ID: usize = 256;
const MINUTE: i64 = 60_000_000;

/// How deliveries are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestOptions {
    /// Bytes of one delivery.
    pub max_body: usize,
    /// Alerts of one delivery.
    pub max_alerts: usize,
    /// How far its timestamp may be from now, before or after.
    pub tolerance: Duration,
    /// Deliveries of one source in a minute, at once or spread over it; at least 1.
    pub per_minute: u32,
    /// Ids remembered of one source. With as many as fit no further delivery is taken until some are old enough.
    pub remembered: usize,
}

impl Default for IngestOptions {
    /// 256 KiB, 256 alerts, five minutes, 600 a minute, 10,000 ids (more than come while a timestamp counts).
    fn default() -> Self {
        let tolerance = Duration::from_secs(300);
        Self { max_body: 256 << 10, max_alerts: 256, tolerance, per_minute: 600, remembered: 10_000 }
    }
}

/// A system outside.
#[derive(Debug, Clone)]
pub struct IngestSource {
    /// Its name: part of the path and the alerts' `source`.
    pub name: String,
    /// `whsec_` and the base64 of 24 to 64 bytes; several while it changes from one to the next.
    pub secrets: Vec<Secret>,
}

/// Every system outside that may send alerts. Clones are the same.
#[derive(Clone)]
pub struct IngestSources(Arc<Inner>);

struct Inner {
    sources: BTreeMap<String, Source>,
    options: IngestOptions,
}

struct Source {
    keys: Vec<Key>,
    lately: Mutex<Lately>,
}

/// What came of one source lately. Times are Unix time in microseconds.
#[derive(Debug, Default)]
struct Lately {
    /// When the next delivery would come if all came evenly spread (GCRA).
    due: i64,
    /// Until when each id is remembered.
    ids: HashMap<Arc<str>, i64>,
}

impl IngestSources {
    /// These and no others.
    ///
    /// # Errors
    /// A name or a secret that is none, with the name of the source; never the secret.
    pub fn new(sources: Vec<IngestSource>, options: IngestOptions) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for IngestSource { name, secrets } in sources {
            let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
            if !(1..=64).contains(&name.len()) || !name.chars().all(fits) || name == "gateway" {
                return Err(format!("`{}` is no name of a source", name.escape_debug()));
            }
            if !(1..=MOST_SECRETS).contains(&secrets.len()) {
                return Err(format!("source {name} needs one to four secrets"));
            }
            let keys: Option<Vec<Key>> = secrets.iter().map(key).collect();
            let keys =
                keys.ok_or_else(|| format!("a secret of source {name} is whsec_ and the base64 of 24 to 64 bytes"))?;
            if all.insert(name.clone(), Source { keys, lately: Mutex::default() }).is_some() {
                return Err(format!("source {name} is there twice"));
            }
        }
        Ok(Self(Arc::new(Inner { sources: all, options })))
    }
}

fn key(secret: &Secret) -> Option<Key> {
    let bytes = unbase64(secret.expose().strip_prefix("whsec_")?)?;
    (24..=64).contains(&bytes.len()).then(|| Key::new(HMAC_SHA256, &bytes))
}

/// What a delivery says of itself.
struct Label {
    id: Arc<str>,
    /// As it was sent: the signature is over these letters.
    timestamp: String,
    /// Unix time in microseconds.
    time: i64,
    signatures: Vec<Vec<u8>>,
}

fn unsigned() -> ApiError {
    // One answer for an unknown source, a missing header and a wrong signature: it tells nobody which sources there are.
    ApiError::unauthenticated("invalid_signature", "There is no such source, or the delivery is not signed by it.")
}

impl Label {
    fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (Some(value), None) => value.to_str().map_err(|_| unsigned()),
                (Some(_), Some(_)) | (None, _) => Err(unsigned()),
            }
        };
        let (id, timestamp) = (one("webhook-id")?, one("webhook-timestamp")?);
        if !(1..=MOST_ID).contains(&id.len()) || timestamp.len() > 16 || !timestamp.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(unsigned());
        }
        let seconds: i64 = timestamp.parse().map_err(|_| unsigned())?;
        let signatures = one("webhook-signature")?.split(' ').filter_map(|text| unbase64(text.strip_prefix("v1,")?));
        Ok(Self {
            id: id.into(),
            timestamp: timestamp.to_owned(),
            time: seconds.saturating_mul(1_000_000),
            signatures: signatures.take(MOST_SIGNATURES).collect(),
        })
    }

    fn fresh(&self, now: i64, tolerance: i64) -> Result<(), ApiError> {
        if now.saturating_sub(self.time).saturating_abs() > tolerance {
            let told = "The timestamp is too old, or in the future.";
            return Err(ApiError::unauthenticated("stale_timestamp", told));
        }
        Ok(())
    }
}

impl Source {
    fn signed(&self, label: &Label, body: &[u8]) -> bool {
        let text = [label.id.as_bytes(), b".", label.timestamp.as_bytes(), b".", body].concat();
        // `verify` takes the same time wherever the first difference is.
        let by = |key: &Key| label.signatures.iter().any(|given| verify(key, &text, given).is_ok());
        self.keys.iter().any(by)
    }

    fn lately(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lately {
    /// Counts a delivery and remembers its id.
    fn take(&mut self, label: &Label, now: i64, options: &IngestOptions) -> Result<(), ApiError> {
        let busy = |wait: i64| {
            let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(0));
            ApiError::limited(wait, "too_many_alerts", "The source sends more than it may: send it again later.")
        };
        let due = self.due.max(now).saturating_add(MINUTE / i64::from(options.per_minute.max(1)));
        let over = due.saturating_sub(now).saturating_sub(MINUTE);
        if over > 0 {
            return Err(busy(over));
        }
        if self.ids.get(&label.id).is_some_and(|until| *until > now) {
            return Err(ApiError::conflict("replayed", "This delivery was taken before."));
        }
        if self.ids.len() >= options.remembered {
            self.ids.retain(|_, until| *until > now);
        }
        if self.ids.len() >= options.remembered {
            return Err(busy(MINUTE));
        }
        self.due = due;
        // A second longer than its timestamp counts.
        let until = label.time.saturating_add(micros(options.tolerance)).saturating_add(1_000_000);
        self.ids.insert(Arc::clone(&label.id), until);
        Ok(())
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// Alerts that were taken.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Ingested {
    /// The shape it was read as, of several the first: `portcullis`, `ocsf`, `ecs`, `crowdstrike`, `microsoft`.
    pub shape: String,
    /// How many.
    pub alerts: u32,
}

async fn body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(request.into_body(), limit).await.map_err(|_| {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", format!("A body has at most {limit} bytes."))
    })
}

/// Reads the body, one alert or a list of them, and hands them in: all, or none where one cannot be read.
fn hand_in(app: &App, source: &str, body: &[u8], now: i64) -> Result<Ingested, ApiError> {
    let most = app.soc()?.ingest.0.options.max_alerts;
    let value: Value =
        serde_json::from_slice(body).map_err(|_| ApiError::bad("invalid_json", "The body is not valid JSON."))?;
    let all = match value {
        Value::Array(all) => all,
        one => vec![one],
    };
    if all.is_empty() || all.len() > most {
        return Err(ApiError::invalid("alert_count", format!("A delivery has 1 to {most} alerts.")));
    }
    let shape = all.first().and_then(Shape::of).map_or("", Shape::name).to_owned();
    let read = |(place, value): (usize, &Value)| {
        let told = |problem: &MapError| match all.len() {
            1 => format!("It is {problem}."),
            _ => format!("Alert {place}, counted from 0, is {problem}."),
        };
        map(source, value, now).map_err(|problem| match problem {
            MapError::Unknown => ApiError::invalid("unknown_shape", told(&problem)),
            MapError::Invalid { .. } => ApiError::invalid("invalid_alert", told(&problem)),
        })
    };
    let drafts = all.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let alerts = u32::try_from(drafts.len()).unwrap_or(u32::MAX);
    if !app.station()?.intake.offer(drafts) {
        return Err(ApiError::unavailable("soc_busy", "As many alerts wait as may: send it again later."));
    }
    Ok(Ingested { shape, alerts })
}

/// Takes alerts of a system outside, one or a list of them: our own shape, OCSF, ECS, CrowdStrike or Microsoft; headers
/// `webhook-id`, `webhook-timestamp` and `webhook-signature`.
#[utoipa::path(post, path = "/api/v1/ingest/{source}", tag = "soc",
    params(("source" = String, Path, max_length = 64), ("webhook-id" = String, Header),
        ("webhook-timestamp" = String, Header), ("webhook-signature" = String, Header)),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 202, description = "Taken.", body = Ingested)))]
pub async fn ingest(
    State(app): State<App>,
    Named(name): Named<String>,
    request: Request,
) -> Result<(StatusCode, Json<Ingested>), ApiError> {
    let sources = &app.soc()?.ingest.0;
    let options = &sources.options;
    let label = Label::read(request.headers())?;
    let source = sources.sources.get(&name).ok_or_else(unsigned)?;
    let tolerance = micros(options.tolerance);
    label.fresh(app.now(), tolerance)?;
    let body = body(request, options.max_body).await?;
    if !source.signed(&label, &body) {
        return Err(unsigned());
    }
    // The body may have taken its time.
    let now = app.now();
    label.fresh(now, tolerance)?;
    source.lately().take(&label, now, options)?;
    match hand_in(&app, &name, &body, now) {
        Ok(taken) => Ok((StatusCode::ACCEPTED, Json(taken))),
        Err(error) => {
            // It was not taken: the sender may try again with the same id.
            source.lately().ids.remove(&label.id);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(id: &str, time: i64) -> Label {
        Label { id: id.into(), timestamp: String::new(), time, signatures: Vec::new() }
    }

    #[test]
    fn a_source_has_a_name_and_secrets_and_its_secret_is_not_told() {
        let new = |name: &str, secrets: &[&str]| {
            let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
            IngestSources::new(vec![IngestSource { name: name.into(), secrets }], IngestOptions::default()).err()
        };
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(new("siem-1", &[good]), None);
        for name in ["", "a b", "gateway", "a/b"] {
            assert!(new(name, &[good]).is_some(), "{name}");
        }
        assert!(new("siem", &[]).is_some() && new("siem", &[good; 5]).is_some());
        let told = new("siem", &["whsec_c2hvcnQ="]).unwrap();
        assert!(!told.contains("c2hvcnQ"), "{told}");
    }

    #[test]
    fn ids_are_remembered_as_long_as_their_timestamps_count_and_not_given_up_for_others() {
        let options = IngestOptions { per_minute: 1000, remembered: 2, ..IngestOptions::default() };
        let mut lately = Lately::default();
        assert!(lately.take(&label("a", 0), 0, &options).is_ok());
        assert_eq!(lately.take(&label("a", 0), 1, &options).unwrap_err().code(), "replayed");
        assert!(lately.take(&label("b", 0), 1, &options).is_ok());
        assert_eq!(lately.take(&label("c", 0), 1, &options).unwrap_err().code(), "too_many_alerts");
        let later = 301_000_001;
        assert!(lately.take(&label("c", later), later, &options).is_ok());
        assert_eq!(lately.ids.len(), 1);
    }

    #[test]
    fn a_source_sends_so_many_a_minute_at_once_or_spread() {
        let options = IngestOptions { per_minute: 3, ..IngestOptions::default() };
        let mut lately = Lately::default();
        let mut take = |id: &str, now: i64| lately.take(&label(id, now), now, &options).map_err(|error| error.code());
        assert_eq!([take("a", 0), take("b", 0), take("c", 0)], [Ok(()); 3]);
        assert_eq!(take("d", 0), Err("too_many_alerts"));
        assert_eq!((take("d", 20_000_000), take("e", 20_000_000)), (Ok(()), Err("too_many_alerts")));
    }
}

//! A detector over HTTP: one thread with a runtime of its own posts questions and reads answers, so many at once.

mod breaker;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Semaphore, mpsc};

use self::breaker::Breaker;
use super::contract::{self, RequestCaller, RequestText, Response};
use super::desk::{Answer, Job, Passage, Score};
use super::{Failure, HttpSpec, Tls};
use crate::telemetry::ModelCall;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Bytes of a label.
const MAX_LABEL: usize = 64;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Starts the thread. Returns what the service is known by.
///
/// # Errors
/// Its certificate authorities cannot be used, or there is no thread to be had.
pub(super) fn start(spec: &HttpSpec, name: &str, jobs: mpsc::Receiver<Job>, tls: Tls<'_>) -> Result<String, String> {
    let mut clear = HttpConnector::new();
    clear.set_nodelay(true);
    if spec.url.scheme_str() == Some("https") {
        clear.enforce_http(false);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls(spec.ca_pem.as_deref())?).https_only();
        spawn(spec, name, jobs, builder.enable_http1().wrap_connector(clear))?;
    } else {
        spawn(spec, name, jobs, clear)?;
    }
    Ok(blake3::hash(spec.url.to_string().as_bytes()).to_hex().chars().take(12).collect())
}

/// The service, and what every request to it carries.
struct Service<C> {
    client: Client<C, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
    max_answer: usize,
    send_caller: bool,
    breaker: Breaker,
    name: String,
}

fn spawn<C>(spec: &HttpSpec, name: &str, jobs: mpsc::Receiver<Job>, connector: C) -> Result<(), String>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(spec.max_concurrent)
        .build(connector);
    let service = Arc::new(Service {
        client,
        url: spec.url.clone(),
        headers: headers(spec)?,
        max_answer: spec.max_answer,
        send_caller: spec.send_caller,
        breaker: Breaker::new(spec.breaker_failures, spec.breaker_pause),
        name: name.to_owned(),
    });
    let most = spec.max_concurrent;
    let work = move || runtime.block_on(serve(service, jobs, most));
    std::thread::Builder::new().name(format!("model-{name}")).spawn(work).map(drop).map_err(|error| error.to_string())
}

fn headers(spec: &HttpSpec) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"))));
    if let Some(key) = &spec.api_key {
        let bearer = HeaderValue::try_from(format!("Bearer {}", key.expose()));
        let mut bearer = bearer.map_err(|_| "its key cannot be a header".to_owned())?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

/// Until nobody can ask any more.
async fn serve<C>(service: Arc<Service<C>>, mut jobs: mpsc::Receiver<Job>, most: usize)
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let room = Arc::new(Semaphore::new(most));
    while let Some(job) = jobs.recv().await {
        // Never closed. While all are taken, the queue fills up.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            let answer = service.guarded(&job).await;
            job.answer(answer);
            drop(permit);
        });
    }
}

impl<C> Service<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    /// Asks, if the breaker lets it.
    async fn guarded(&self, job: &Job) -> Answer {
        if job.is_late() {
            return Err(Failure::timeout());
        }
        if !self.breaker.lets_through(Instant::now()) {
            return Err(Failure::new(ModelCall::BreakerOpen, "left alone after several failures"));
        }
        let asked = tokio::time::timeout_at(job.deadline.into(), self.ask(job)).await;
        let answer = asked.unwrap_or_else(|_| Err(Failure::timeout()));
        match &answer {
            Ok(_) => self.breaker.succeeded(),
            // What it refuses is the caller's doing: it lives, and must not be taken from everybody else.
            Err(failure) if failure.call == ModelCall::Refused => self.breaker.succeeded(),
            Err(failure) => {
                if self.breaker.failed(Instant::now()) {
                    tracing::warn!(model = %self.name, %failure, "a model is left alone for a while");
                }
            }
        }
        answer
    }

    async fn ask(&self, job: &Job) -> Answer {
        let broken = |what: String| Failure::new(ModelCall::Broken, what);
        let body = serde_json::to_vec(&question(job, self.send_caller)).map_err(|error| broken(error.to_string()))?;
        let mut request = Request::builder().method(Method::POST).uri(self.url.clone());
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
            if let Ok(id) = HeaderValue::from_str(&job.request) {
                headers.insert(&X_REQUEST_ID, id);
            }
        }
        let request = request.body(Full::from(body)).map_err(|error| broken(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| {
            let what = if error.is_connect() { "no connection" } else { "the exchange failed" };
            Failure::new(ModelCall::Unreachable, what)
        })?;
        let status = response.status().as_u16();
        if status != 200 {
            let refused = (400..500).contains(&status) && !matches!(status, 401 | 403 | 408 | 429);
            let call = if refused { ModelCall::Refused } else { ModelCall::Status };
            return Err(Failure::new(call, format!("status {status}")));
        }
        let body = Limited::new(response.into_body(), self.max_answer).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                bad(format!("more than {} bytes", self.max_answer))
            } else {
                Failure::new(ModelCall::Unreachable, "the answer broke off")
            }
        })?;
        read(&job.passages, &body.to_bytes())
    }
}

fn question(job: &Job, send_caller: bool) -> contract::Request {
    let text =
        |(index, Passage { role, text }): (u32, &Passage)| RequestText { index, role: *role, text: text.clone() };
    contract::Request {
        version: contract::VERSION,
        id: job.request.clone(),
        texts: (0..).zip(&job.passages).map(text).collect(),
        caller: job.caller.clone().filter(|_| send_caller).map(|user| RequestCaller { user }),
    }
}

fn bad(what: impl Into<String>) -> Failure {
    Failure::new(ModelCall::BadAnswer, what)
}

/// The scores of an answer, in the order of the passages.
fn read(passages: &[Passage], body: &[u8]) -> Answer {
    // What a service says may quote the text: only the place of the error is told.
    let Response { results } = serde_json::from_slice(body).map_err(|error| {
        bad(format!("not what the contract says, at line {} column {}", error.line(), error.column()))
    })?;
    let mut scores = vec![None; passages.len()];
    for result in results {
        let at = usize::try_from(result.index).unwrap_or(usize::MAX);
        let (Some(slot), Some(passage)) = (scores.get_mut(at), passages.get(at)) else {
            return Err(bad(format!("there is no text {at}")));
        };
        if !(0.0..=1.0).contains(&result.score) {
            return Err(bad(format!("the score of text {at} is not between 0 and 1")));
        }
        let place =
            |given: Option<u32>, absent: usize| given.map_or(absent, |at| usize::try_from(at).unwrap_or(usize::MAX));
        let (start, end) = (place(result.start, 0), place(result.end, passage.text.len()));
        if passage.text.get(start..end).is_none() {
            return Err(bad(format!("the place in text {at} is none")));
        }
        let label = result.label.filter(|label| is_label(label)).map(Arc::from);
        if slot.replace(Score { probability: result.score, start, end, label }).is_some() {
            return Err(bad(format!("text {at} has two results")));
        }
    }
    let all: Option<Vec<Score>> = scores.into_iter().collect();
    all.ok_or_else(|| bad("a text has no result"))
}

/// Whether a label may stand in a record: it cannot be a piece of a text.
fn is_label(label: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(plain)
}

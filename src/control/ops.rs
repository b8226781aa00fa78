//! The ops listener: metrics, probes and `POST /reload`, on a socket of its own.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::telemetry::{ConnectionRefused, ListenerKind, Metrics};
use crate::types::ReloadOutcome;

/// Until the head of a request, and how long a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take to be written, and how long a scraper may keep one connection: probes and scrapers
/// reconnect.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);
/// After an accept that failed, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Asks for a reload and waits for how it went.
pub type ReloadAction = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ReloadOutcome> + Send>> + Send + Sync>;

/// What the probes report.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    draining: AtomicBool,
}

impl Health {
    /// The first Snapshot is published and the listeners are open.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// The process is on its way out: no new traffic, please.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the first Snapshot is published and the listeners are open.
    pub fn started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Whether the process is on its way out.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// Everything the ops listener serves.
#[derive(Clone)]
pub struct Ops {
    /// Rendered at `/metrics`.
    pub metrics: Metrics,
    /// Reported by the probes.
    pub health: Arc<Health>,
    /// Run by `POST /reload`.
    pub reload: ReloadAction,
}

impl Ops {
    /// Serves `listener` until `stop` is cancelled, at most `max_connections` at once; further ones are closed.
    pub async fn serve(self, listener: TcpListener, max_connections: usize, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "ops listener cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match Arc::clone(&slots).try_acquire_owned() {
                Ok(slot) => drop(connections.spawn(self.clone().connection(stream, slot, stop.clone()))),
                Err(_) => self.metrics.connection_refused(ConnectionRefused::Ops),
            }
        }
        connections.close();
        connections.wait().await;
    }

    async fn connection(self, stream: TcpStream, slot: OwnedSemaphorePermit, stop: CancellationToken) {
        let _open = self.metrics.connection(ListenerKind::Ops);
        let service = service_fn(|request| {
            let ops = self.clone();
            async move { Ok::<_, Infallible>(ops.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(64)
            .max_buf_size(16 << 10)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let deadline = tokio::time::sleep(CONNECTION_TIMEOUT);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = deadline => Ok(()),
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(HEADER_TIMEOUT, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!(%error, "ops connection ended");
        }
        drop(slot);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let verbose = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "verbose"));
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => self.metrics_page(),
            (&Method::GET | &Method::HEAD, "/livez" | "/healthz") => probe(&[("process", true)], verbose),
            (&Method::GET | &Method::HEAD, "/startupz") => probe(&[("started", self.health.started())], verbose),
            (&Method::GET | &Method::HEAD, "/readyz") => probe(&self.readiness(), verbose),
            (&Method::POST, "/reload") => self.reload(&request).await,
            (_, "/metrics" | "/livez" | "/healthz" | "/startupz" | "/readyz") => not_allowed("GET, HEAD"),
            (_, "/reload") => not_allowed("POST"),
            (_, _) => error(StatusCode::NOT_FOUND, "not_found", "There is nothing under this path."),
        }
    }

    fn readiness(&self) -> [(&'static str, bool); 3] {
        let room = self.metrics.event_queue().is_none_or(|queue| queue.waiting < queue.capacity);
        [
            ("snapshot_loaded", self.health.started()),
            ("not_draining", !self.health.draining()),
            ("event_queue_has_room", room),
        ]
    }

    fn metrics_page(&self) -> Response<Full<Bytes>> {
        match self.metrics.render() {
            Ok(text) => {
                let mut response = Response::new(Full::from(text));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Err(problem) => error(StatusCode::INTERNAL_SERVER_ERROR, "metrics_failed", &problem.to_string()),
        }
    }

    /// A page in a browser on this machine could send this, too; browsers say so with `Origin`.
    async fn reload(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.headers().contains_key(ORIGIN) {
            return error(StatusCode::FORBIDDEN, "cross_origin", "A reload cannot be asked for by a web page.");
        }
        let outcome = (self.reload)().await;
        let status = if outcome.problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        respond(status, &json!(outcome))
    }
}

/// 200 if every check holds, else 503.
fn probe(checks: &[(&'static str, bool)], verbose: bool) -> Response<Full<Bytes>> {
    let ok = checks.iter().all(|(_, holds)| *holds);
    let mut body = json!({ "status": if ok { "ok" } else { "unavailable" } });
    if verbose {
        body["checks"] = checks.iter().map(|(name, holds)| ((*name).to_owned(), json!(holds))).collect();
    }
    respond(if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

fn not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This method is not allowed here.");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn error(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    respond(status, &json!({ "error": { "code": code, "message": message } }))
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

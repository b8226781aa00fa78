//! The ops listener: metrics, probes and `POST /reload`, on a socket of its own.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
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
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::telemetry::{ConnectionRefused, ListenerKind, Metrics};
use crate::types::ReloadOutcome;

/// How long anybody may keep one connection, answers that are not read included: probes and scrapers reconnect.
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
    /// Until the head of a request is complete, and how long a connection may idle.
    pub header_timeout: Duration,
    /// Whether the store answers, where that counts for being ready.
    pub store: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
    /// Everything under `/api/`; `None` where there is no store.
    pub admin: Option<Router>,
    /// The web console: `/` and everything under `/console`.
    pub console: Option<Router>,
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
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "ops listener cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match Arc::clone(&slots).try_acquire_owned() {
                Ok(slot) => drop(connections.spawn(self.clone().connection(stream, from, slot, stop.clone()))),
                Err(_) => self.metrics.connection_refused(ConnectionRefused::Ops),
            }
        }
        connections.close();
        connections.wait().await;
    }

    async fn connection(
        self,
        stream: TcpStream,
        from: SocketAddr,
        slot: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) {
        let _open = self.metrics.connection(ListenerKind::Ops);
        let service = service_fn(|request| {
            let ops = self.clone();
            async move { Ok::<_, Infallible>(ops.route(request, from).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_headers(64)
            .max_buf_size(16 << 10)
            .serve_connection(TokioIo::new(stream), service)
            // The live feed is a WebSocket; from then on it has rules of its own.
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let deadline = tokio::time::sleep(CONNECTION_TIMEOUT);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = deadline => Ok(()),
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(self.header_timeout, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!(%error, "ops connection ended");
        }
        drop(slot);
    }

    /// The admin API and the console have their own ways; everything else is answered here.
    async fn route(&self, request: Request<Incoming>, from: SocketAddr) -> Response<Body> {
        let path = request.uri().path();
        let router = if path.starts_with("/api/") {
            &self.admin
        } else if path == "/" || path == "/console" || path.starts_with("/console/") {
            &self.console
        } else {
            &None
        };
        let Some(router) = router.clone() else { return self.answer(request).await.map(Body::new) };
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(from));
        router.oneshot(request).await.unwrap_or_else(|never| match never {})
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

    fn readiness(&self) -> Vec<(&'static str, bool)> {
        let room = self.metrics.event_queue().is_none_or(|queue| queue.waiting < queue.capacity);
        let mut checks = vec![
            ("snapshot_loaded", self.health.started()),
            ("not_draining", !self.health.draining()),
            ("event_queue_has_room", room),
        ];
        checks.extend(self.store.as_ref().map(|answers| ("store_answers", answers())));
        checks
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
    let status = if ok { "ok" } else { "unavailable" };
    let body = if verbose {
        let checks: serde_json::Map<String, Value> =
            checks.iter().map(|(name, holds)| ((*name).to_owned(), json!(holds))).collect();
        json!({ "status": status, "checks": checks })
    } else {
        json!({ "status": status })
    };
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;

    use super::{Health, Ops};
    use crate::telemetry::{Metrics, QueueDepth};
    use crate::types::{Generation, ReloadOutcome};

    const HEADER_TIMEOUT: Duration = Duration::from_millis(500);

    struct Server {
        address: std::net::SocketAddr,
        health: Arc<Health>,
        metrics: Metrics,
        broken: Arc<AtomicBool>,
        stop: CancellationToken,
    }

    async fn server(max_connections: usize) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (health, metrics) = (Arc::new(Health::default()), Metrics::new("portcullis").unwrap());
        let broken = Arc::new(AtomicBool::new(false));
        let reload = {
            let broken = Arc::clone(&broken);
            Arc::new(move || {
                let problems = if broken.load(Ordering::Relaxed) { vec!["gateway.toml:3: no".into()] } else { vec![] };
                let outcome =
                    ReloadOutcome { trigger: Arc::from("api"), generation: Generation(2), problems, warnings: vec![] };
                Box::pin(async move { outcome }) as std::pin::Pin<Box<dyn Future<Output = ReloadOutcome> + Send>>
            })
        };
        let stop = CancellationToken::new();
        let ops = Ops {
            metrics: metrics.clone(),
            health: Arc::clone(&health),
            reload,
            header_timeout: HEADER_TIMEOUT,
            store: None,
            admin: None,
            console: None,
        };
        tokio::spawn(ops.serve(listener, max_connections, stop.clone()));
        Server { address, health, metrics, broken, stop }
    }

    impl Server {
        /// Status and body of one request on a connection of its own.
        async fn ask(&self, head: &str) -> (u16, String) {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let request = format!("{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            answer(stream).await
        }
    }

    async fn answer(mut stream: TcpStream) -> (u16, String) {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, body.to_owned())
    }

    #[tokio::test]
    async fn probes_tell_the_life_of_the_process() {
        let server = server(8).await;
        assert_eq!(server.ask("GET /livez").await.0, 200);
        assert_eq!(server.ask("GET /healthz").await.0, 200);
        assert_eq!(server.ask("GET /startupz").await.0, 503);
        assert_eq!(server.ask("GET /readyz").await, (503, "{\"status\":\"unavailable\"}\n".into()));
        server.health.set_started();
        assert_eq!(server.ask("GET /startupz").await.0, 200);
        assert_eq!(server.ask("GET /readyz").await, (200, "{\"status\":\"ok\"}\n".into()));
        server.metrics.watch_event_queue(|| QueueDepth { waiting: 8, capacity: 8 });
        let (status, body) = server.ask("GET /readyz?verbose").await;
        assert_eq!(status, 503);
        assert_eq!(
            body,
            "{\"status\":\"unavailable\",\"checks\":{\"snapshot_loaded\":true,\"not_draining\":true,\
             \"event_queue_has_room\":false}}\n"
        );
        server.health.set_draining();
        assert!(server.ask("GET /readyz?verbose").await.1.contains("\"not_draining\":false"));
        assert_eq!(server.ask("GET /livez").await.0, 200, "a draining process is alive");
    }

    #[tokio::test]
    async fn metrics_are_served_as_prometheus_text() {
        let server = server(8).await;
        let (status, body) = server.ask("GET /metrics").await;
        assert_eq!(status, 200);
        assert!(body.contains("\nportcullis_connections{listener=\"ops\"} 1\n"), "{body}");
        assert!(body.contains("# TYPE portcullis_in_flight gauge\n"));
    }

    #[tokio::test]
    async fn a_reload_answers_with_its_outcome() {
        let server = server(8).await;
        let (status, body) = server.ask("POST /reload").await;
        assert_eq!(
            (status, body.as_str()),
            (200, "{\"trigger\":\"api\",\"generation\":2,\"problems\":[],\"warnings\":[]}\n")
        );
        server.broken.store(true, Ordering::Relaxed);
        let (status, body) = server.ask("POST /reload").await;
        assert_eq!(status, 422);
        assert!(body.contains("gateway.toml:3: no"));
        assert_eq!(server.ask("GET /reload").await.0, 405);
    }

    #[tokio::test]
    async fn a_web_page_cannot_ask_for_a_reload() {
        let server = server(8).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request =
            b"POST /reload HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let (status, body) = answer(stream).await;
        assert_eq!(status, 403);
        assert!(body.contains("\"code\":\"cross_origin\""));
    }

    #[tokio::test]
    async fn nothing_else_is_there() {
        let server = server(8).await;
        let (status, body) = server.ask("GET /").await;
        assert_eq!(status, 404);
        assert!(body.contains("\"code\":\"not_found\""));
        assert_eq!(server.ask("DELETE /metrics").await.0, 405);
    }

    #[tokio::test]
    async fn one_connection_too_many_is_closed_and_counted() {
        let server = server(1).await;
        let mut first = TcpStream::connect(server.address).await.unwrap();
        first.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut byte = [0; 1];
        first.read_exact(&mut byte).await.unwrap();
        let mut second = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(second.read(&mut byte).await.unwrap_or(0), 0, "the second connection was served");
        let text = server.metrics.render().unwrap();
        assert!(text.contains("portcullis_connections_refused_total{reason=\"ops\"} 1\n"));
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_cut() {
        let server = server(8).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: lo").await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(20 * HEADER_TIMEOUT, stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "the connection stayed open");
    }

    #[tokio::test]
    async fn stopping_closes_idle_connections() {
        let server = server(8).await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        idle.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut byte = [0; 1];
        idle.read_exact(&mut byte).await.unwrap();
        server.stop.cancel();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();
        assert!(TcpStream::connect(server.address).await.is_err(), "the listener is still open");
    }
}

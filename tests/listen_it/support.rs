//! A listener in this process with a handler that reads whole bodies, and clients that send raw bytes.

use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response};
use portcullis::config::settings::{Listener, Protocol, Settings};
use portcullis::config::units::Time;
use portcullis::proxy::listen::{
    self, Handler, Handshake, Observer, Peer, Refuse, Refused, Shutdown, TlsState, body_refusal, check_semantics,
    client_address,
};
use tokio::sync::mpsc;

/// What handlers and the listener saw.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) served: Mutex<Vec<String>>,
    pub(crate) subjects: Mutex<Vec<Option<Arc<str>>>>,
    pub(crate) refused: Mutex<Vec<Refused>>,
    pub(crate) refuses: Mutex<Vec<Refuse>>,
    pub(crate) handshakes: Mutex<Vec<Handshake>>,
    pub(crate) open: AtomicU32,
    pub(crate) dropped: AtomicU32,
}

impl Observer for Log {
    fn connection_opened(&self, _protocol: Protocol) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }
    fn connection_closed(&self, _protocol: Protocol) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
    fn connection_refused(&self, reason: Refused) {
        self.refused.lock().unwrap().push(reason);
    }
    fn handshake(&self, outcome: Handshake) {
        self.handshakes.lock().unwrap().push(outcome);
    }
    fn request_refused(&self, _peer: &Peer, refuse: &Refuse) {
        self.refuses.lock().unwrap().push(*refuse);
    }
}

struct Echo {
    log: Arc<Log>,
    settings: Settings,
}

struct Running(Arc<Log>, bool);

impl Drop for Running {
    fn drop(&mut self) {
        if !self.1 {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

impl Handler for Echo {
    type Body = AnyBody;

    async fn handle(self: Arc<Self>, peer: Arc<Peer>, request: Request<Incoming>) -> Response<AnyBody> {
        let mut running = Running(Arc::clone(&self.log), false);
        let (parts, body) = request.into_parts();
        if let Err(refuse) = check_semantics(&parts) {
            running.1 = true;
            return refused(refuse);
        }
        let collected = match body.collect().await {
            Ok(collected) => collected,
            Err(error) => {
                running.1 = true;
                return refused(body_refusal(&error).unwrap_or(Refuse::bad("the body did not arrive whole")));
            }
        };
        let body = collected.to_bytes();
        let line = format!("{} {} {}", parts.method, parts.uri, String::from_utf8_lossy(&body));
        self.log.served.lock().unwrap().push(line.clone());
        self.log.subjects.lock().unwrap().push(peer.tls.as_ref().and_then(|tls| tls.client_subject.clone()));
        let answer = match parts.uri.path() {
            "/address" => {
                let trusted = &self.settings.server.trusted_proxies;
                format!("{:?}", client_address(&peer, &parts.headers, trusted))
            }
            "/panic" => std::panic::panic_any("on purpose"),
            "/never" => std::future::pending().await,
            "/stream" => {
                running.1 = true;
                return Response::new(stream(peer));
            }
            "/flood" => return Response::new(BodyExt::boxed_unsync(Flood)),
            "/big" => "x".repeat(64 << 20),
            _ => line,
        };
        running.1 = true;
        Response::new(Full::new(Bytes::from(answer)).boxed_unsync())
    }
}

/// Sends `tick` for ever, and `end` when the connection is to be cut.
fn stream(peer: Arc<Peer>) -> AnyBody {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(Duration::from_millis(20));
        loop {
            let (text, last) = tokio::select! {
                () = peer.cut.cancelled() => ("end", true),
                _ = interval.tick() => ("tick", false),
            };
            if sender.send(Bytes::from_static(text.as_bytes())).await.is_err() || last {
                return;
            }
        }
    });
    BodyExt::boxed_unsync(Ticks(receiver))
}

/// Endless, and always ready.
struct Flood;

impl Body for Flood {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 16 << 10])))))
    }
}

struct Ticks(mpsc::Receiver<Bytes>);

impl Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn refused(refuse: Refuse) -> Response<AnyBody> {
    Response::builder()
        .status(refuse.status)
        .header("content-type", "application/json")
        .header("x-request-id", "req_handler")
        .body(Full::new(Bytes::from(refuse.body())).boxed_unsync())
        .unwrap()
}

pub(crate) struct Server {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) log: Arc<Log>,
    pub(crate) shutdown: Shutdown,
    workers: Vec<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Waits for the workers' own end.
    pub(crate) fn join(&mut self) {
        for worker in self.workers.drain(..) {
            worker.join().unwrap();
        }
    }

    pub(crate) fn served(&self) -> Vec<String> {
        self.log.served.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.now();
        for worker in self.workers.drain(..) {
            worker.join().ok();
        }
    }
}

pub(crate) fn listener(protocol: Protocol) -> Listener {
    Listener { protocol, address: Some(([127, 0, 0, 1], 0).into()), path: None, proxy_protocol: false }
}

/// Settings for tests: short deadlines, one plain listener.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings { listeners: vec![listener(Protocol::Http)], ..Settings::default() };
    settings.server.workers = 1;
    settings.server.drain_deadline = Time::from_millis(300);
    settings.http.header_timeout = Time::from_millis(300);
    settings.http.idle_timeout = Time::from_millis(300);
    settings.http.handshake_timeout = Time::from_millis(300);
    settings.http.write_timeout = Time::from_millis(300);
    settings
}

pub(crate) fn start(settings: &Settings, tls: Option<Arc<TlsState>>) -> Server {
    let bound = listen::bind(settings).unwrap();
    let addresses = bound.addresses();
    let (log, shutdown) = (Arc::new(Log::default()), Shutdown::new());
    let (handler_log, handler_settings) = (Arc::clone(&log), settings.clone());
    let make = move |_| Arc::new(Echo { log: Arc::clone(&handler_log), settings: handler_settings.clone() });
    let observer = Arc::clone(&log);
    let workers = bound.spawn_workers(make, tls, observer, &shutdown).unwrap();
    Server { addresses, log, shutdown, workers }
}

/// Longer than any deadline of [`settings`], short enough to fail soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends, and reads until the server closes.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(address);
    // The server may answer and close before it has read everything.
    socket.write_all(bytes).ok();
    read_to_end(&mut socket)
}

pub(crate) fn read_to_end(socket: &mut impl Read) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut space = [0; 64 << 10];
    let began = Instant::now();
    loop {
        match socket.read(&mut space) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&space[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
                return answer;
            }
            Err(error) => panic!("{error} after {:?} and {:?}", began.elapsed(), String::from_utf8_lossy(&answer)),
        }
    }
}

/// One answer read off a connection that stays open.
pub(crate) fn read_one(socket: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        assert_eq!(socket.read(&mut byte).unwrap(), 1, "closed after {:?}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
        if let Some(answer) = answers(&bytes).into_iter().next() {
            return answer;
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The `code` of an error in the shape every error has.
    pub(crate) fn error_code(&self) -> String {
        assert!(self.head.contains("content-type: application/json"), "{self:?}");
        assert!(self.head.contains("x-request-id: req_"), "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string(), "{self:?}");
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// The whole answers in `bytes`; interim ones are left out.
pub(crate) fn answers(bytes: &[u8]) -> Vec<Answer> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).to_lowercase();
        assert!(head.starts_with("http/1.1 ") || head.starts_with("http/1.0 "), "not an answer: {head:?}");
        let status = head[9..12].parse().unwrap();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |value| value.parse().unwrap());
        rest = &rest[end + 4..];
        if status == 100 {
            continue;
        }
        if rest.len() < length {
            break;
        }
        let (body, after) = rest.split_at(length);
        found.push(Answer { status, head, body: String::from_utf8_lossy(body).into_owned() });
        rest = after;
    }
    found
}

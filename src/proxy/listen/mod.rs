//! Sockets to requests: accept, TLS, strict HTTP/1 and HTTP/2, deadlines, caps, draining.
//!
//! Every worker is a thread with its own runtime that accepts from its own copy of each listening socket: a connection
//! and all that is done for it stay on one thread. A connection is `accept` -> (`preamble`: the PROXY header) ->
//! (`tls`) -> `http1` behind its `guard`, or `http2`.

mod accept;
mod bind;
mod caps;
mod chunked;
mod client;
mod dev;
mod forwarded;
mod framing;
mod guard;
mod http1;
mod http2;
mod preamble;
mod refuse;
mod semantics;
mod service;
mod shutdown;
mod stream;
mod tls;

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

pub use bind::{Bound, ListenError, bind};
pub use client::ClientCertificate;
pub use dev::{DevCertificate, ensure as dev_certificate};
pub use forwarded::client_address;
pub use guard::body_refusal;
pub use refuse::Refuse;
pub(super) use refuse::request_id;
pub use semantics::{check_semantics, check_size};
pub use shutdown::Shutdown;
pub use tls::{TlsError, TlsMaterial, TlsState};

use crate::config::settings::{Protocol, Settings};
use framing::HeadLimits;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// The TCP peer, or what the PROXY header of a trusted peer says. `None` on a Unix socket.
    pub address: Option<SocketAddr>,
    /// The TCP peer itself.
    pub socket: Option<SocketAddr>,
    /// On a Unix socket.
    pub local: bool,
    /// What the TLS handshake told.
    pub tls: Option<TlsInfo>,
    /// What the listener speaks.
    pub protocol: Protocol,
    /// Cancelled to end this connection now: whoever relays a stream on it ends it as its protocol says, at once; the
    /// connection is dropped a second later.
    pub cut: CancellationToken,
}

/// What a TLS handshake told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// The subject of a verified client certificate.
    pub client_subject: Option<Arc<str>>,
    /// All names in it.
    pub client: Option<Arc<ClientCertificate>>,
    /// The name the client asked for.
    pub sni: Option<Arc<str>>,
    /// The protocol that was agreed on: `h2` or `http/1.1`.
    pub alpn: Option<&'static str>,
}

/// What answers requests. One per worker; it never sees a request that breaks the framing rules of HTTP.
pub trait Handler: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Answers one request. Dropped when the client leaves.
    fn handle(
        self: Arc<Self>,
        peer: Arc<Peer>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}

/// Why a connection was closed before it was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// `server.max_connections_per_address`.
    AddressCap,
    /// A PROXY header from a peer that is not trusted.
    UntrustedProxy,
    /// A PROXY header that is malformed or late.
    ProxyHeader,
}

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handshake {
    /// Well.
    Done,
    /// The client broke it off or does not speak TLS.
    Failed,
    /// `http.handshake_timeout`.
    TimedOut,
}

/// What the listener tells about itself: for metrics and records. Called on the workers, so it must not block.
pub trait Observer: Send + Sync + 'static {
    /// A connection begins to be served.
    fn connection_opened(&self, _protocol: Protocol) {}
    /// It ended.
    fn connection_closed(&self, _protocol: Protocol) {}
    /// A connection was closed unserved.
    fn connection_refused(&self, _reason: Refused) {}
    /// A TLS handshake ended.
    fn handshake(&self, _outcome: Handshake) {}
    /// An HTTP/1 request was refused before any handler saw it, and answered.
    fn request_refused(&self, _peer: &Peer, _refuse: &Refuse) {}
}

/// The settings a connection keeps from its first byte to its last.
#[derive(Debug)]
pub(crate) struct Limits {
    head: HeadLimits,
    handshake_timeout: Duration,
    header_timeout: Duration,
    idle_timeout: Duration,
    write_timeout: Duration,
    /// What hyper may buffer of one HTTP/1 message: a whole head must fit.
    h1_buffer: usize,
    h2_max_streams: u32,
    h2_max_resets: usize,
    h2_max_header_list: u32,
    h2_stream_window: u32,
    h2_connection_window: u32,
    h2_keep_alive: Duration,
    trusted: Vec<IpNet>,
    per_address: usize,
    drain_deadline: Duration,
}

impl Limits {
    fn new(settings: &Settings) -> Self {
        let http = &settings.http;
        let head = HeadLimits {
            max_head: saturate(http.max_head.get()),
            max_target: saturate(http.max_target.get()),
            max_headers: http.max_headers,
        };
        let window = |size: u64| u32::try_from(size).unwrap_or(u32::MAX).clamp(65_535, (1 << 31) - 1);
        Self {
            head,
            handshake_timeout: http.handshake_timeout.get(),
            header_timeout: http.header_timeout.get(),
            idle_timeout: http.idle_timeout.get(),
            write_timeout: http.write_timeout.get(),
            h1_buffer: head.max_head.saturating_add(64 << 10),
            h2_max_streams: http.h2_max_streams,
            h2_max_resets: http.h2_max_resets,
            h2_max_header_list: u32::try_from(http.h2_max_header_list.get()).unwrap_or(u32::MAX),
            h2_stream_window: window(http.h2_stream_window.get()),
            h2_connection_window: window(http.h2_connection_window.get()),
            h2_keep_alive: http.h2_keep_alive.get(),
            trusted: settings.server.trusted_proxies.clone(),
            per_address: settings.server.max_connections_per_address,
            drain_deadline: settings.server.drain_deadline.get(),
        }
    }
}

fn saturate(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// The settings in force: reloads replace them, connections keep those they began with.
#[derive(Debug, Clone)]
pub struct Tuning {
    limits: Arc<ArcSwap<Limits>>,
}

impl Tuning {
    /// From `http` and `server`.
    pub fn new(settings: &Settings) -> Self {
        Self { limits: Arc::new(ArcSwap::from_pointee(Limits::new(settings))) }
    }

    /// For connections from now on. Listeners, workers and `server.max_connections` need a restart.
    pub fn replace(&self, settings: &Settings) {
        self.limits.store(Arc::new(Limits::new(settings)));
    }
}

/// Everything one connection needs while it lives.
pub(crate) struct Connection<H> {
    handler: Arc<H>,
    peer: Arc<Peer>,
    limits: Arc<Limits>,
    observer: Arc<dyn Observer>,
    shutdown: Shutdown,
}

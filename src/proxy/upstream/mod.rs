//! Upstreams: a pool of connections per worker, or the built-in rehearsal model.

mod body;
mod connect;
pub mod rehearsal;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::uri::Scheme;
use hyper::{Request, Response};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub(super) use self::body::AnswerBody;
use self::connect::Connector;
pub use self::tls::TlsConfigs;
use crate::config::Upstream;

type HttpClient = Client<Connector, Full<Bytes>>;

/// Bytes of an upstream's response head.
const MAX_HEAD: usize = 256 << 10;
/// Header fields in it.
const MAX_HEADERS: usize = 256;

/// The connections of one worker, by upstream. Rebuilt for an upstream whose settings changed.
pub(super) struct Pool {
    clients: Mutex<HashMap<Arc<str>, Pooled>>,
    tls: Arc<TlsConfigs>,
}

struct Pooled {
    made_for: Arc<Upstream>,
    client: HttpClient,
}

/// The upstream's certificate authorities cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS towards upstream {upstream}: {reason}")]
pub struct PoolError {
    upstream: Arc<str>,
    reason: String,
}

impl Pool {
    pub(super) fn new(tls: Arc<TlsConfigs>) -> Self {
        Self { clients: Mutex::new(HashMap::new()), tls }
    }

    /// Sends one request to `upstream`, over a pooled connection where there is one.
    pub(super) async fn send(
        &self,
        upstream: &Arc<Upstream>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, SendError> {
        let client = self.client(upstream)?;
        client.request(request).await.map_err(SendError::Http)
    }

    fn client(&self, upstream: &Arc<Upstream>) -> Result<HttpClient, SendError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pooled) = clients.get(&upstream.name)
            && (Arc::ptr_eq(&pooled.made_for, upstream) || *pooled.made_for == **upstream)
        {
            return Ok(pooled.client.clone());
        }
        let client = self.build(upstream)?;
        clients.insert(Arc::clone(&upstream.name), Pooled { made_for: Arc::clone(upstream), client: client.clone() });
        Ok(client)
    }

    fn build(&self, upstream: &Arc<Upstream>) -> Result<HttpClient, SendError> {
        let tls = if secure(upstream) { Some(self.tls.get(upstream).map_err(SendError::Setup)?) } else { None };
        let connector = Connector::new(tls, upstream.connect_timeout, upstream.http2);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_max_idle_per_host(upstream.max_idle)
            .pool_idle_timeout(upstream.idle_connection_timeout)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(MAX_HEAD)
            .http1_max_headers(MAX_HEADERS)
            .set_host(false);
        if upstream.http2 && !secure(upstream) {
            builder.http2_only(true);
        }
        Ok(builder.build(connector))
    }
}

fn secure(upstream: &Upstream) -> bool {
    upstream.base.as_ref().is_some_and(|base| base.scheme == Scheme::HTTPS)
}

/// Why nothing came back.
#[derive(Debug)]
pub(super) enum SendError {
    /// The client could not be built.
    Setup(PoolError),
    /// The exchange failed.
    Http(Error),
}

impl SendError {
    /// Whether the upstream was never reached, so that nothing was sent.
    pub(super) fn before_sending(&self) -> bool {
        match self {
            Self::Setup(_) => false,
            Self::Http(error) => error.is_connect(),
        }
    }
}

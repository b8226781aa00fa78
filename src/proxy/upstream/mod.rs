//! Upstreams: a pool of connections per worker, or the built-in rehearsal model.
//!
//! Where HTTP/1 is spoken the pool is `line`; where HTTP/2 may be, which many requests share, it is hyper-util's.

mod body;
mod connect;
mod line;
pub mod rehearsal;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::http::response;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Request, Uri};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub(super) use self::body::AnswerBody;
use self::connect::Connector;
pub(super) use self::line::LineBody;
use self::line::Lines;
pub use self::tls::TlsConfigs;
use super::identify::X_API_KEY;
use super::keys::Scrubber;
use crate::config::settings::UpstreamKind;
use crate::config::{Base, Upstream};

/// Bytes of an upstream's response head.
const MAX_HEAD: usize = 256 << 10;
/// Header fields in it.
const MAX_HEADERS: usize = 256;

/// The connections of one worker, by upstream. Rebuilt for an upstream whose settings changed.
pub(super) struct Pool {
    clients: Mutex<HashMap<Arc<str>, Arc<Client>>>,
    tls: Arc<TlsConfigs>,
}

/// The way to one upstream, and what every request to it carries.
pub(super) struct Client {
    made_for: Arc<Upstream>,
    base: Base,
    host: HeaderValue,
    credential: Option<(HeaderName, HeaderValue)>,
    keys: Scrubber,
    connections: Connections,
}

enum Connections {
    /// One request at a time on each.
    Http1(Lines),
    /// Those of HTTP/2 carry many.
    Shared(legacy::Client<Connector, Full<Bytes>>),
}

/// An upstream cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up upstream {upstream}: {reason}")]
pub struct PoolError {
    upstream: Arc<str>,
    reason: String,
}

impl Pool {
    pub(super) fn new(tls: Arc<TlsConfigs>) -> Self {
        Self { clients: Mutex::new(HashMap::new()), tls }
    }

    /// The way to `upstream`.
    ///
    /// # Errors
    /// Its certificate authorities cannot be loaded, or it has no address.
    pub(super) fn client(&self, upstream: &Arc<Upstream>) -> Result<Arc<Client>, PoolError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&upstream.name)
            && (Arc::ptr_eq(&client.made_for, upstream) || *client.made_for == **upstream)
        {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Client::new(upstream, &self.tls)?);
        clients.insert(Arc::clone(&upstream.name), Arc::clone(&client));
        Ok(client)
    }
}

impl Client {
    fn new(upstream: &Arc<Upstream>, tls: &TlsConfigs) -> Result<Self, PoolError> {
        let unusable = |reason: &str| PoolError { upstream: Arc::clone(&upstream.name), reason: reason.to_owned() };
        let base = upstream.base.clone().ok_or_else(|| unusable("it has no address"))?;
        let host = HeaderValue::from_str(base.authority.as_str()).map_err(|_| unusable("its host is no header"))?;
        let secure = base.scheme == Scheme::HTTPS;
        let tls = if secure { Some(tls.get(upstream)?) } else { None };
        let connector = Connector::new(tls, upstream.connect_timeout, upstream.http2);
        let connections = if upstream.http2 {
            Connections::Shared(shared(connector, upstream, secure))
        } else {
            let address = base.uri("/", None).map_err(|_| unusable("its address is no address"))?;
            Connections::Http1(Lines::new(connector, address, upstream))
        };
        let credential = credential(upstream);
        let keys = Scrubber::new(upstream.api_key.as_ref());
        Ok(Self { made_for: Arc::clone(upstream), base, host, credential, keys, connections })
    }

    /// What `Host` says.
    pub(super) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// The provider's key, where its API looks for it.
    pub(super) fn credential(&self) -> Option<(HeaderName, HeaderValue)> {
        self.credential.clone()
    }

    /// Takes the provider's key out of what it answers.
    pub(super) fn keys(&self) -> Scrubber {
        self.keys.clone()
    }

    /// The target of a request for a canonical path, in origin form.
    ///
    /// # Errors
    /// When path and query do not make a valid one.
    pub(super) fn target(&self, path: &str, query: Option<&str>) -> Result<Uri, hyper::http::Error> {
        let query = query.map_or([""; 2], |query| ["?", query]);
        let target = [&*self.base.prefix, path].into_iter().chain(query).collect::<String>();
        Ok(Uri::from(PathAndQuery::from_maybe_shared(Bytes::from(target))?))
    }

    /// Sends one request whose target is in origin form, over a pooled connection where there is one. While no upstream
    /// was reached, `request` stays what it is.
    pub(super) async fn send(
        &self,
        request: &mut Request<Full<Bytes>>,
    ) -> Result<(response::Parts, LineBody), SendError> {
        match &self.connections {
            Connections::Http1(lines) => {
                let (response, line) = lines.send(request).await?;
                let (head, body) = response.into_parts();
                Ok((head, LineBody::new(body, Some(line))))
            }
            Connections::Shared(client) => {
                let mut request = request.clone();
                *request.uri_mut() = self.absolute(request.uri()).map_err(SendError::Address)?;
                // Large, and not the common way.
                let response = Box::pin(client.request(request)).await.map_err(SendError::Shared)?;
                let (head, body) = response.into_parts();
                Ok((head, LineBody::new(body, None)))
            }
        }
    }

    fn absolute(&self, target: &Uri) -> Result<Uri, hyper::http::Error> {
        let mut parts = target.clone().into_parts();
        parts.scheme = Some(self.base.scheme.clone());
        parts.authority = Some(self.base.authority.clone());
        Ok(Uri::from_parts(parts)?)
    }
}

fn shared(connector: Connector, upstream: &Upstream, secure: bool) -> legacy::Client<Connector, Full<Bytes>> {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .pool_max_idle_per_host(upstream.max_idle)
        .pool_idle_timeout(upstream.idle_connection_timeout)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http1_max_buf_size(MAX_HEAD)
        .http1_max_headers(MAX_HEADERS)
        .set_host(false);
    if !secure {
        builder.http2_only(true);
    }
    builder.build(connector)
}

fn credential(upstream: &Upstream) -> Option<(HeaderName, HeaderValue)> {
    let key = upstream.api_key.as_ref()?.expose();
    let (name, value) = match upstream.kind {
        UpstreamKind::Openai => (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {key}"))),
        UpstreamKind::Anthropic => (X_API_KEY, HeaderValue::from_str(key)),
        UpstreamKind::Rehearsal => return None,
    };
    let mut value = value.ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The upstream was not reached.
    #[error("no connection")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The exchange failed.
    #[error(transparent)]
    Http(hyper::Error),
    /// One of the two, over a shared connection.
    #[error(transparent)]
    Shared(legacy::Error),
    /// The request's target cannot be written.
    #[error(transparent)]
    Address(hyper::http::Error),
}

impl SendError {
    /// Whether the upstream was never reached, so that nothing was sent.
    pub(super) fn before_sending(&self) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Shared(error) => error.is_connect(),
            Self::Http(_) | Self::Address(_) => false,
        }
    }
}

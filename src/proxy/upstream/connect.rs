//! A connection to an upstream, TLS included, within a deadline.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::Service;

/// What an upstream's connection runs over.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connects in clear, or over TLS when it has a configuration for it; never the other way round.
#[derive(Clone)]
pub(super) struct Connector {
    kind: Kind,
    timeout: Duration,
}

#[derive(Clone)]
enum Kind {
    Clear(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

impl Connector {
    pub(super) fn new(tls: Option<Arc<ClientConfig>>, timeout: Duration, http2: bool) -> Self {
        let mut clear = HttpConnector::new();
        clear.set_nodelay(true);
        clear.set_connect_timeout(Some(timeout));
        let kind = match tls {
            None => Kind::Clear(clear),
            Some(config) => {
                clear.enforce_http(false);
                let builder = HttpsConnectorBuilder::new().with_tls_config((*config).clone()).https_only();
                Kind::Tls(if http2 {
                    builder.enable_all_versions().wrap_connector(clear)
                } else {
                    builder.enable_http1().wrap_connector(clear)
                })
            }
        };
        Self { kind, timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let timeout = self.timeout;
        let connecting: Self::Future = match &mut self.kind {
            Kind::Clear(connector) => {
                let connecting = connector.call(uri);
                Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
            }
            Kind::Tls(connector) => Box::pin(connector.call(uri)),
        };
        Box::pin(async move {
            tokio::time::timeout(timeout, connecting)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "connecting took too long"))?
        })
    }
}

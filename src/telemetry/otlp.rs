//! OTLP over HTTP: protobuf, sent from a small runtime of its own so that a slow collector delays nobody.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Request, Response};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use tokio::runtime::{Builder, Handle, Runtime};

use super::Error;

/// How long one push may take.
const TIMEOUT: Duration = Duration::from_secs(10);
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The collector's base URL, if there is one.
pub(super) fn endpoint(configured: Option<&str>) -> Option<String> {
    let base = configured.map(str::to_owned).or_else(|| std::env::var(ENDPOINT).ok())?;
    let base = base.trim().trim_end_matches('/');
    (!base.is_empty()).then(|| base.to_owned())
}

/// Sends to the collector.
pub(super) struct Sender {
    runtime: Runtime,
    client: Arc<Client>,
}

impl Sender {
    /// Starts the runtime. The platform's CAs are only looked for if the endpoint speaks TLS.
    pub(super) fn start(endpoint: &str) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Exporter(error.to_string());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?;
        let tls = if endpoint.starts_with("https:") {
            tls.try_with_platform_verifier().map_err(|error| failed(&error))?
        } else {
            tls.with_root_certificates(rustls::RootCertStore::empty())
        }
        .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client { inner: HyperClient::new(connector, TIMEOUT, None), runtime: runtime.handle().clone() };
        Ok(Self { runtime, client: Arc::new(client) })
    }

    /// An exporter of metrics.
    pub(super) fn metrics(&self, endpoint: &str) -> Result<MetricExporter, Error> {
        MetricExporter::builder()
            .with_http()
            .with_shared_http_client(self.client())
            .with_endpoint(format!("{endpoint}/v1/metrics"))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| Error::Exporter(error.to_string()))
    }

    /// An exporter of spans.
    pub(super) fn spans(&self, endpoint: &str) -> Result<SpanExporter, Error> {
        SpanExporter::builder()
            .with_http()
            .with_shared_http_client(self.client())
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| Error::Exporter(error.to_string()))
    }

    /// Stops the runtime without waiting for it: this may be called from within another one.
    pub(super) fn stop(self) {
        self.runtime.shutdown_background();
    }

    fn client(&self) -> Arc<dyn HttpClient> {
        Arc::clone(&self.client) as Arc<dyn HttpClient>
    }
}

/// The SDK sends from threads without a runtime, hyper needs one: each push is carried over to ours.
#[derive(Debug)]
struct Client {
    inner: HyperClient<HttpsConnector<HttpConnector>>,
    runtime: Handle,
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let inner = self.inner.clone();
        let sent = self.runtime.spawn(async move { inner.send_bytes(request).await });
        Box::pin(async move { sent.await.map_err(|error| Box::new(error) as HttpError)? })
    }
}

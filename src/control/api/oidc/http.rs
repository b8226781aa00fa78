//! HTTP to the identity provider: no redirects, bounded answers, a time limit, the platform's trust store.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;

/// Bytes of one answer of the provider.
const MOST: usize = 1 << 20;

/// Why the provider could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpError {
    /// The CA file or the platform's trust store cannot be used.
    #[error("cannot trust anybody: {0}")]
    Trust(String),
    /// No answer.
    #[error("no answer: {0}")]
    Failed(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Asks the provider.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl Http {
    /// With the platform's trust store and the CAs of that PEM file.
    pub fn new(ca_file: Option<&Path>, timeout: Duration) -> Result<Self, HttpError> {
        let trust = |error: &dyn std::fmt::Display| HttpError::Trust(error.to_string());
        let extra: Vec<CertificateDer<'static>> = match ca_file {
            None => Vec::new(),
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<_, _>>)
                .map_err(|error| trust(&error))?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(|error| trust(&error))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| trust(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(timeout));
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(https), timeout })
    }

    /// One request and its whole answer.
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let failed = |error: &dyn std::fmt::Display| HttpError::Failed(error.to_string());
        let asking = async {
            let answer = self.client.request(request.map(Full::from)).await.map_err(|error| failed(&error))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MOST).collect().await.map_err(|error| failed(&error))?;
            Ok(HttpResponse::from_parts(parts, body.to_bytes().into()))
        };
        tokio::time::timeout(self.timeout, asking).await.map_err(|_| HttpError::Timeout(self.timeout))?
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

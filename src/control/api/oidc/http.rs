//! HTTP to the identity provider: no redirects, bounded answers, a time limit, the platform's trust store.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::Full;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};

use crate::config;
use crate::control::http::{self, HttpError, Options, Reach};

/// Bytes of one answer of the provider.
const MOST: usize = 1 << 20;

/// Unused connections to the provider that are kept: a login asks two or three times in a row.
const KEPT: usize = 2;

/// Asks the provider.
#[derive(Clone)]
pub struct Http(http::Http);

impl Http {
    /// With the platform's trust store and the CAs of that PEM file.
    pub fn new(ca_file: Option<&Path>, timeout: Duration) -> Result<Self, HttpError> {
        let pem = ca_file.map(std::fs::read_to_string).transpose();
        let pem = pem.map_err(|error| HttpError::Trust(error.to_string()))?;
        let tls = config::towards(pem.as_deref()).map_err(HttpError::Trust)?;
        let options =
            Options { connect: timeout, total: timeout, max_answer: MOST, kept: KEPT, reach: Reach::Anywhere };
        Ok(Self(http::Http::new(tls, options)))
    }

    /// One request and its whole answer.
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        Ok(self.0.send(request.map(Full::from)).await?.map(Into::into))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

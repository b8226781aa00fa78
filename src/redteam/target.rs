//! The one place that speaks HTTP: questions to any OpenAI-compatible `chat/completions`, each with a deadline.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use serde_json::Value;

use super::reply::Reply;
use crate::types::Secret;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// The longest answer.
const MAX_ANSWER: usize = 8 << 20;
/// What a gateway of ours adds to an answer of its built-in model.
const REHEARSAL: &str = "x-portcullis-rehearsal";
/// What gateways say a request is called.
const REQUEST: &str = "x-request-id";

/// Where trials go.
pub struct Target {
    client: Line,
    url: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

/// Another way to a target than its address: a gateway that tries itself.
pub trait Carry: Send + Sync {
    /// Sends a request of a trial, by the trial's id; what is wrong with the way is for people.
    fn carry(&self, trial: &str, request: Request<Full<Bytes>>) -> Carried<'_>;
}

/// An answer under way.
pub type Carried<'a> = Pin<Box<dyn Future<Output = Result<Response<Incoming>, String>> + Send + 'a>>;

enum Line {
    Own(Arc<dyn Carry>),
    Plain(Client<HttpConnector, Full<Bytes>>),
    Secure(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It is no address.
    #[error("the target must be http://HOST[:PORT][/PATH] or https://…, without user, password or query")]
    Url,
    /// The key has characters that no header takes.
    #[error("the key cannot be sent in a header")]
    Key,
    /// It would be readable on the way.
    #[error("a key is not sent over plain HTTP to another machine: use https")]
    KeyInTheClear,
    /// There is nothing to trust.
    #[error("TLS: {0}")]
    Tls(String),
}

/// An answer, and what its head says beside it.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) is_rehearsal: bool,
    /// How long to wait before asking again.
    pub(super) retry_after: Option<Duration>,
    /// The id that the target gave the request.
    pub(super) request: Option<String>,
}

impl Target {
    /// A target at `url`: a base URL (`/v1` where it has no path), or the endpoint itself. `tls` says whom to trust, and is
    /// asked for `https` only; `timeout` is for a whole answer.
    ///
    /// # Errors
    /// The address, the key or the trust cannot be used.
    pub fn new(
        url: &str,
        key: Option<&Secret>,
        timeout: Duration,
        tls: impl FnOnce() -> Result<ClientConfig, String>,
    ) -> Result<Self, TargetError> {
        let url = endpoint(url).ok_or(TargetError::Url)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("portcullis-redteam/", env!("CARGO_PKG_VERSION"))));
        if let Some(key) = key {
            let bearer = HeaderValue::try_from(format!("Bearer {}", key.expose()));
            let mut bearer = bearer.map_err(|_| TargetError::Key)?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let is_plain = url.scheme_str() != Some("https");
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if is_plain && key.is_some() && !here {
            return Err(TargetError::KeyInTheClear);
        }
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        let client = if !is_plain {
            tcp.enforce_http(false);
            let https = HttpsConnectorBuilder::new().with_tls_config(tls().map_err(TargetError::Tls)?).https_only();
            Line::Secure(builder.build(https.enable_http1().wrap_connector(tcp)))
        } else {
            Line::Plain(builder.build(tcp))
        };
        Ok(Self { client, url, headers, timeout })
    }

    /// A target that is reached by another way, which adds the credentials; `name` stands for it in reports.
    ///
    /// # Errors
    /// The name is no address.
    pub fn through(carry: Arc<dyn Carry>, name: &str, timeout: Duration) -> Result<Self, TargetError> {
        let url = endpoint(name).ok_or(TargetError::Url)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        Ok(Self { client: Line::Own(carry), url, headers, timeout })
    }

    /// The endpoint; it carries no credentials.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Asks once.
    ///
    /// # Errors
    /// There is no whole answer in time; the reason is for people.
    pub(super) async fn ask(&self, trial: &str, body: &Value) -> Result<Answer, String> {
        let asked = tokio::time::timeout(self.timeout, self.exchange(trial, body)).await;
        asked.unwrap_or_else(|_| Err(format!("no answer within {} s", self.timeout.as_secs())))
    }

    async fn exchange(&self, trial: &str, body: &Value) -> Result<Answer, String> {
        let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        let mut request = Request::post(self.url.clone()).body(Full::from(body)).map_err(|error| error.to_string())?;
        request.headers_mut().clone_from(&self.headers);
        let sent = match &self.client {
            Line::Own(carry) => return read(carry.carry(trial, request).await?).await,
            Line::Plain(client) => client.request(request).await,
            Line::Secure(client) => client.request(request).await,
        };
        read(sent.map_err(|error| told(&error))?).await
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, String> {
    let (head, body) = response.into_parts();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let seconds = text(RETRY_AFTER.as_str()).trim().parse::<u64>().ok().map(Duration::from_secs);
    let millis = text("retry-after-ms").trim().parse::<u64>().ok().map(Duration::from_millis);
    let content_type = text(CONTENT_TYPE.as_str()).to_ascii_lowercase();
    let is_rehearsal = text(REHEARSAL) == "true";
    let request = Some(text(REQUEST)).filter(|id| !id.is_empty() && id.len() <= 128).map(str::to_owned);
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
        let too_long = error.is::<LengthLimitError>();
        if too_long {
            format!("the answer has more than {MAX_ANSWER} bytes")
        } else {
            "the answer broke off".to_owned()
        }
    })?;
    let reply = Reply::read(head.status.as_u16(), &content_type, &body.to_bytes());
    Ok(Answer { reply, is_rehearsal, retry_after: millis.or(seconds), request })
}

/// An error with its causes; none of them quotes a request.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The endpoint of a base URL.
fn endpoint(url: &str) -> Option<Uri> {
    let given: Uri = url.parse().ok()?;
    let authority = given.authority()?.as_str();
    let scheme = given.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    if authority.contains('@') || given.query().is_some() {
        return None;
    }
    let path = match given.path().trim_end_matches('/') {
        "" => "/v1/chat/completions".to_owned(),
        path if path.ends_with("/chat/completions") => path.to_owned(),
        path => format!("{path}/chat/completions"),
    };
    format!("{scheme}://{authority}{path}").parse().ok()
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_leads_to_the_endpoint() {
        for (given, expected) in [
            ("http://gateway:8080", "http://gateway:8080/v1/chat/completions"),
            ("https://gateway/v1/", "https://gateway/v1/chat/completions"),
            ("https://gateway/openai/v1", "https://gateway/openai/v1/chat/completions"),
            ("https://gateway/v1/chat/completions", "https://gateway/v1/chat/completions"),
        ] {
            assert_eq!(endpoint(given).unwrap().to_string(), expected);
        }
        for given in ["gateway", "ftp://gateway", "http://user:pass@gateway/v1", "http://gateway/v1?key=1", ""] {
            assert!(endpoint(given).is_none(), "{given}");
        }
    }
}

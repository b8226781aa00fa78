//! The receivers, each in its own words.

mod elastic;
mod files;
mod hec;
mod notices;
mod otlp;
pub mod syslog;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use serde_json::Value;

pub use self::elastic::Elastic;
pub use self::files::{Files, FilesOptions};
pub use self::hec::Hec;
pub use self::notices::{Pager, Posts, Webhook};
pub use self::otlp::Otlp;
pub use self::syslog::Syslog;
use super::item::Item;
use crate::control::http::{Http, HttpError};
use crate::control::soc::notify::after;
use crate::telemetry::ExportFailure;

/// What became of one item of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// Not now.
    Later(String),
    /// Never: the reason.
    Refused(String),
}

/// Why nothing of a batch was taken, or not all of it. Says nothing of addresses and keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Trouble {
    /// For the metrics; `Refused`: the batch itself is at fault.
    pub why: ExportFailure,
    /// Not before this long, as the receiver wishes.
    pub after: Option<Duration>,
    /// For people.
    pub what: String,
}

impl Trouble {
    /// Without a wish of the receiver's.
    pub fn new(why: ExportFailure, what: impl Into<String>) -> Self {
        Self { why, after: None, what: what.into() }
    }
}

/// One receiver.
#[derive(Debug)]
pub enum Sink {
    /// A signed webhook.
    Webhook(Webhook),
    /// Slack.
    Slack(Posts),
    /// PagerDuty.
    Pager(Pager),
    /// CEF over syslog.
    Syslog(Syslog),
    /// Splunk.
    Splunk(Hec),
    /// Elasticsearch or OpenSearch.
    Elastic(Elastic),
    /// OCSF files.
    Files(Files),
    /// OpenTelemetry.
    Otlp(Otlp),
}

impl Sink {
    /// Sends a batch, once: what became of each item, in order.
    ///
    /// # Errors
    /// Nothing was taken, as far as is known. With `Refused` one of the items is at fault.
    pub async fn send(&self, items: &[Item]) -> Result<Vec<Fate>, Trouble> {
        match self {
            Self::Webhook(sink) => sink.send(items).await,
            Self::Slack(sink) => sink.send(items).await,
            Self::Pager(sink) => sink.send(items).await,
            Self::Syslog(sink) => sink.send(items).await,
            Self::Splunk(sink) => sink.send(items).await,
            Self::Elastic(sink) => sink.send(items).await,
            Self::Files(sink) => sink.send(items).await,
            Self::Otlp(sink) => sink.send(items).await,
        }
    }

    /// Whether it takes several items at once.
    pub const fn takes_many(&self) -> bool {
        match self {
            Self::Webhook(_) | Self::Slack(_) | Self::Pager(_) => false,
            Self::Syslog(_) | Self::Splunk(_) | Self::Elastic(_) | Self::Files(_) | Self::Otlp(_) => true,
        }
    }
}

/// Everything was taken.
fn all(items: &[Item]) -> Vec<Fate> {
    vec![Fate::Delivered; items.len()]
}

/// A POST whose answer is good (2xx).
async fn post(
    http: &Http,
    url: &Uri,
    headers: HeaderMap,
    content_type: &'static str,
    body: Bytes,
) -> Result<Response<Bytes>, Trouble> {
    post_unless(http, url, headers, content_type, body, |_| None).await
}

/// The same where a receiver says 400 of its settings too, which is no item's fault: `misset` reads what it said.
async fn post_unless(
    http: &Http,
    url: &Uri,
    headers: HeaderMap,
    content_type: &'static str,
    body: Bytes,
    misset: impl Fn(&Value) -> Option<String>,
) -> Result<Response<Bytes>, Trouble> {
    let wrong = || Trouble::new(ExportFailure::Denied, "the address is none");
    let mut request = Request::post(url.clone()).body(Full::new(body)).map_err(|_| wrong())?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let agent = HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(USER_AGENT, agent);
    let answer = match http.send(request).await {
        Ok(answer) => answer,
        // Whatever was said besides, the status says whether it was taken.
        Err(HttpError::Body(status @ 200..=299)) => {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
            answer
        }
        Err(error) => return Err(failed(&error)),
    };
    let status = answer.status().as_u16();
    if status == 400
        && let Some(what) = serde_json::from_slice(answer.body()).ok().and_then(|said| misset(&said))
    {
        return Err(Trouble::new(ExportFailure::Denied, format!("status 400: {what}")));
    }
    judge(status, after(&answer))?;
    Ok(answer)
}

/// Without what lies below, which may name the address.
fn failed(error: &HttpError) -> Trouble {
    match error {
        HttpError::Timeout(_) => Trouble::new(ExportFailure::Timeout, error.to_string()),
        HttpError::Connection(_) => Trouble::new(ExportFailure::Unreachable, "no connection, or it broke"),
        HttpError::Trust(_) | HttpError::Address | HttpError::Forbidden => {
            Trouble::new(ExportFailure::Denied, error.to_string())
        }
        HttpError::Body(status) => judge(*status, None)
            .err()
            .unwrap_or_else(|| Trouble::new(ExportFailure::Receiver, "the answer is too long or incomplete")),
    }
}

/// What a status means. What is about who asks or where is no item's fault: it waits until somebody has looked.
fn judge(status: u16, after: Option<Duration>) -> Result<(), Trouble> {
    let why = match status {
        200..=299 => return Ok(()),
        408 | 425 | 429 => ExportFailure::Throttled,
        500..=599 => ExportFailure::Receiver,
        400 | 406 | 409 | 411..=422 | 424 | 426 | 428 | 431 | 451 => ExportFailure::Refused,
        _ => ExportFailure::Denied,
    };
    Err(Trouble { why, after, what: format!("status {status}") })
}

/// The address with a path of the receiver's API behind it.
///
/// # Errors
/// It is none.
fn below(url: &str, path: &str) -> Result<Uri, &'static str> {
    format!("{}{path}", url.trim_end_matches('/')).parse().map_err(|_| "not an address")
}

/// A header with a secret in it.
fn secret_header(text: &str) -> Result<HeaderValue, &'static str> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "the secret cannot be a header")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_content_is_the_items_fault() {
        let why = |status| judge(status, None).err().map(|trouble| trouble.why);
        assert_eq!(why(204), None);
        for status in [400, 413, 422, 431] {
            assert_eq!(why(status), Some(ExportFailure::Refused), "{status}");
        }
        for status in [301, 302, 401, 403, 404, 405, 407, 410] {
            assert_eq!(why(status), Some(ExportFailure::Denied), "{status}");
        }
        assert_eq!((why(429), why(503)), (Some(ExportFailure::Throttled), Some(ExportFailure::Receiver)));
    }
}

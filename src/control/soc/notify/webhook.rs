//! Signed webhooks as Standard Webhooks has them (<https://www.standardwebhooks.com>): receivers verify with any of its libraries.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use bytes::Bytes;
use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::{Notice, NotifyError, clip, post};
use crate::control::http::Http;
use crate::types::Secret;
use crate::types::{base64, unbase64};

/// Secrets of one webhook: the one in force, and those it takes the place of.
const MOST_SECRETS: usize = 4;
/// Bytes of a notice's text that are sent.
const MOST_TEXT: usize = 16 << 10;

static ID: HeaderName = HeaderName::from_static("webhook-id");
static TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
static SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// One webhook.
#[derive(Debug)]
pub struct Webhook {
    http: Http,
    url: Uri,
    keys: Vec<Key>,
}

impl Webhook {
    /// A webhook at `url`, signed with each of `secrets` (`whsec_` and the base64 of 24 to 64 bytes): several while receivers
    /// change from one to the next.
    ///
    /// # Errors
    /// A secret that is none, none at all or more than four, or an address that is none. Says nothing of either.
    pub fn new(http: Http, url: &str, secrets: &[Secret]) -> Result<Self, &'static str> {
        let url = url.parse().map_err(|_| "not an address")?;
        Ok(Self { http, url, keys: keys(secrets)? })
    }

    pub(super) async fn send(&self, notice: &Notice) -> Result<(), NotifyError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let body = body(notice);
        let headers = headers(&self.keys, &notice.id, now, body.as_bytes());
        let headers = headers.ok_or_else(|| NotifyError::final_("an id that cannot be a header"))?;
        post(&self.http, &self.url, headers, Bytes::from(body)).await
    }
}

/// The keys of secrets.
///
/// # Errors
/// One that is none, none at all or more than four.
pub(in crate::control) fn keys(secrets: &[Secret]) -> Result<Vec<Key>, &'static str> {
    if !(1..=MOST_SECRETS).contains(&secrets.len()) {
        return Err("needs one to four secrets");
    }
    let keys: Option<Vec<Key>> = secrets.iter().map(key).collect();
    keys.ok_or("a secret is whsec_ and the base64 of 24 to 64 bytes")
}

/// The three headers of a message, sent at `seconds` (Unix time); `None`: its id cannot stand in one.
pub(in crate::control) fn headers(keys: &[Key], id: &str, seconds: u64, body: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let signatures = signatures(keys, id, seconds, body);
    for (name, value) in [(&ID, id), (&TIMESTAMP, &seconds.to_string()), (&SIGNATURE, &signatures)] {
        headers.insert(name, HeaderValue::from_str(value).ok()?);
    }
    Some(headers)
}

/// The key of a secret.
pub(super) fn key(secret: &Secret) -> Option<Key> {
    let bytes = unbase64(secret.expose().strip_prefix("whsec_")?)?;
    (24..=64).contains(&bytes.len()).then(|| Key::new(HMAC_SHA256, &bytes))
}

/// The signature by each key, one after the other. `seconds` is Unix time.
pub(super) fn signatures(keys: &[Key], id: &str, seconds: u64, body: &[u8]) -> String {
    let signed = [format!("{id}.{seconds}.").as_bytes(), body].concat();
    let one = |key| format!("v1,{}", base64(sign(key, &signed).as_ref()));
    keys.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What is sent: the same bytes for every try.
pub(super) fn body(notice: &Notice) -> String {
    let kind = if notice.resolved { "incident.resolved" } else { "incident.raised" };
    json!({
        "type": kind,
        "timestamp": notice.written_time(),
        "data": {
            "id": notice.id,
            "incident": notice.incident,
            "title": clip(&notice.title, MOST_TEXT),
            "severity": notice.level(),
            "text": clip(&notice.text, MOST_TEXT),
            "url": notice.url,
        },
    })
    .to_string()
}

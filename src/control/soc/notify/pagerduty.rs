//! PagerDuty's Events API, version 2: an incident there is opened and resolved by its `dedup_key`, which is our incident's id.

use bytes::Bytes;
use hyper::Uri;
use hyper::header::HeaderMap;
use serde_json::{Value, json};

use super::{Notice, NotifyError, clip, post};
use crate::control::http::Http;
use crate::types::{Secret, Severity};

/// Where events go unless the configuration says otherwise (a service region of its own).
pub(in crate::control) const EVENTS: &str = "https://events.pagerduty.com/v2/enqueue";
/// Bytes of a summary (PagerDuty takes 1,024 characters) and of a text.
const MOST_SUMMARY: usize = 1024;
const MOST_TEXT: usize = 16 << 10;

/// One service of PagerDuty.
#[derive(Debug)]
pub struct PagerDuty {
    http: Http,
    url: Uri,
    key: Secret,
}

impl PagerDuty {
    /// The service with this integration key, by way of `url` or else the usual address.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(http: Http, key: Secret, url: Option<&str>) -> Result<Self, &'static str> {
        Ok(Self { http, url: url.unwrap_or(EVENTS).parse().map_err(|_| "not an address")?, key })
    }

    pub(super) async fn send(&self, notice: &Notice) -> Result<(), NotifyError> {
        let body = body(notice, &self.key);
        post(&self.http, &self.url, HeaderMap::new(), Bytes::from(body.to_string())).await
    }
}

/// What is sent.
pub(in crate::control) fn body(notice: &Notice, key: &Secret) -> Value {
    let mut body = json!({
        "routing_key": key.expose(),
        "event_action": if notice.resolved { "resolve" } else { "trigger" },
        "dedup_key": notice.about(),
    });
    let Some(fields) = body.as_object_mut() else { return body };
    if !notice.resolved {
        let severity = match notice.severity {
            Severity::Critical => "critical",
            Severity::High => "error",
            Severity::Medium => "warning",
            Severity::Low | Severity::Informational => "info",
        };
        fields.insert(
            "payload".to_owned(),
            json!({
                "summary": clip(&notice.title, MOST_SUMMARY),
                "source": "portcullis",
                "severity": severity,
                "timestamp": notice.written_time(),
                "custom_details": { "text": clip(&notice.text, MOST_TEXT), "notice": notice.id },
            }),
        );
        fields.insert("client".to_owned(), json!("Portcullis"));
        if let Some(url) = &notice.url {
            fields.insert("client_url".to_owned(), json!(url));
        }
    }
    body
}

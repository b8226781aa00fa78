//! Receivers that take one item at a time: signed webhooks, Slack and PagerDuty. Their words are those of `soc::notify`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac::Key;
use bytes::Bytes;
use hyper::Uri;
use hyper::header::HeaderMap;
use serde_json::{Value, json};

use super::{Fate, Trouble, all, post, post_unless};
use crate::control::export::item::{Change, Item, Kind};
use crate::control::http::Http;
use crate::control::soc::notify::{Notice, pagerduty, slack, webhook};
use crate::telemetry::ExportFailure;
use crate::types::Secret;

const JSON: &str = "application/json";

/// The words of an item for people.
fn notice(item: &Item) -> Notice {
    Notice {
        id: Arc::from(item.id.as_str()),
        title: item.title.clone(),
        severity: item.severity,
        text: item.message.clone(),
        incident: Some(Arc::from(item.about.as_str())),
        url: None,
        resolved: item.change == Change::Ended,
        time: item.time,
    }
}

/// A signed webhook: every item is a message of its own.
#[derive(Debug)]
pub struct Webhook {
    http: Http,
    url: Uri,
    keys: Vec<Key>,
}

impl Webhook {
    /// Signed with each of these secrets: with two of them while receivers change from one to the other.
    ///
    /// # Errors
    /// A secret or an address that is none.
    pub fn new(http: Http, url: &str, secrets: &[Secret]) -> Result<Self, &'static str> {
        let url = url.parse().map_err(|_| "not an address")?;
        let keys = webhook::keys(secrets)?;
        Ok(Self { http, url, keys })
    }

    pub(super) async fn send(&self, items: &[Item]) -> Result<Vec<Fate>, Trouble> {
        for item in items {
            let body = body(item);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let headers = webhook::headers(&self.keys, &item.id, now, body.as_bytes())
                .ok_or_else(|| Trouble::new(ExportFailure::Refused, "an id that cannot be a header"))?;
            post(&self.http, &self.url, headers, JSON, Bytes::from(body)).await?;
        }
        Ok(all(items))
    }
}

/// The message of an item: the same bytes for every try.
fn body(item: &Item) -> String {
    let mut data = json!({
        "id": item.about, "kind": item.kind.name(), "change": item.change.name(), "severity": item.severity.name(),
        "title": item.title, "message": item.message, item.kind.name(): item.body,
    });
    if let (Some(content), Some(data)) = (&item.content, data.as_object_mut()) {
        data.insert("content".to_owned(), content.clone());
    }
    let kind = if item.kind == Kind::Test {
        "export.test".to_owned()
    } else {
        format!("{}.{}", item.kind.name(), item.change.name())
    };
    let time = jiff::Timestamp::from_microsecond(item.time).unwrap_or_default().to_string();
    json!({ "type": kind, "timestamp": time, "data": data }).to_string()
}

/// An incoming webhook of Slack, whose address is its key.
#[derive(Debug)]
pub struct Posts {
    http: Http,
    url: Secret,
}

impl Posts {
    /// The channel behind this address.
    ///
    /// # Errors
    /// It is none.
    pub fn new(http: Http, url: Secret) -> Result<Self, &'static str> {
        url.expose().parse::<Uri>().map_err(|_| "not an address")?;
        Ok(Self { http, url })
    }

    pub(super) async fn send(&self, items: &[Item]) -> Result<Vec<Fate>, Trouble> {
        let url = self.url.expose().parse().map_err(|_| Trouble::new(ExportFailure::Denied, "not an address"))?;
        for item in items {
            let body = Bytes::from(slack::body(&notice(item)).to_string());
            post(&self.http, &url, HeaderMap::new(), JSON, body).await?;
        }
        Ok(all(items))
    }
}

/// A service of PagerDuty: what an item is about is the key by which an incident there is opened and resolved.
#[derive(Debug)]
pub struct Pager {
    http: Http,
    url: Uri,
    key: Secret,
}

impl Pager {
    /// The service with this routing key, by way of `url` or else the usual address.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(http: Http, key: Secret, url: Option<&str>) -> Result<Self, &'static str> {
        let url = url.unwrap_or(pagerduty::EVENTS).parse().map_err(|_| "not an address")?;
        Ok(Self { http, url, key })
    }

    pub(super) async fn send(&self, items: &[Item]) -> Result<Vec<Fate>, Trouble> {
        for item in items {
            // Nobody is woken for a test, and nothing stays open after it.
            let notice = Notice { resolved: item.kind == Kind::Test || item.change == Change::Ended, ..notice(item) };
            let body = pagerduty::body(&notice, &self.key).to_string();
            post_unless(&self.http, &self.url, HeaderMap::new(), JSON, Bytes::from(body), misset).await?;
        }
        Ok(all(items))
    }
}

/// PagerDuty says 400 of a wrong key as well as of an event that it cannot read, and names what is wrong.
fn misset(said: &Value) -> Option<String> {
    let errors = said.get("errors").and_then(Value::as_array).into_iter().flatten();
    let mut told = errors.chain(said.get("message")).filter_map(Value::as_str);
    told.any(|told| told.contains("routing_key")).then(|| "the routing key is none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_told_from_an_event_that_is_none() {
        let said = |error: &str| {
            misset(&json!({ "status": "invalid event", "message": "Event object is invalid", "errors": [error] }))
        };
        assert!(said("Length of 'routing_key' is incorrect (should be 32 characters)").is_some());
        assert_eq!(said("'payload.severity' is invalid"), None);
        assert_eq!(misset(&Value::Null), None);
    }

    #[test]
    fn a_webhook_says_what_happened_to_what() {
        let item = Item::test("hook", "7", 1_000_000);
        let said: Value = serde_json::from_str(&body(&item)).unwrap();
        assert_eq!((&said["type"], &said["timestamp"]), (&json!("export.test"), &json!("1970-01-01T00:00:01Z")));
        assert_eq!(said["data"]["test"]["test"], true);
        assert!(said["data"].get("content").is_none());
    }
}

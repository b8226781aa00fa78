//! `_bulk` of Elasticsearch and OpenSearch: every event is created under an id of ours, so that what is sent twice is there once.

use bytes::Bytes;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Value, json};

use super::{Fate, Trouble, below, judge, post, secret_header};
use crate::control::export::item::Item;
use crate::control::http::Http;
use crate::telemetry::ExportFailure;
use crate::types::{Secret, base64};

/// Letters of a reason that are kept: it may quote what was sent.
const MOST_REASON: usize = 120;

/// One data stream or index.
#[derive(Debug)]
pub struct Elastic {
    http: Http,
    bulk: Uri,
    headers: HeaderMap,
}

impl Elastic {
    /// The index at `url`, for a user with that password, an API key, or nobody.
    ///
    /// # Errors
    /// An address or a secret that is none.
    pub fn new(
        http: Http,
        url: &str,
        index: &str,
        user: Option<&str>,
        secret: Option<&Secret>,
    ) -> Result<Self, &'static str> {
        let bulk = below(url, &format!("/{index}/_bulk"))?;
        let mut headers = HeaderMap::new();
        if let Some(secret) = secret {
            let told = match user {
                Some(user) => format!("Basic {}", base64(format!("{user}:{}", secret.expose()).as_bytes())),
                None => format!("ApiKey {}", secret.expose()),
            };
            headers.insert(AUTHORIZATION, secret_header(&told)?);
        }
        Ok(Self { http, bulk, headers })
    }

    pub(super) async fn send(&self, items: &[Item]) -> Result<Vec<Fate>, Trouble> {
        let mut body = String::new();
        for item in items {
            body.push_str(&json!({ "create": { "_id": item.id } }).to_string());
            body.push('\n');
            body.push_str(&document(item).to_string());
            body.push('\n');
        }
        let headers = self.headers.clone();
        let answer = post(&self.http, &self.bulk, headers, "application/x-ndjson", Bytes::from(body)).await?;
        let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let told = said.get("items").and_then(Value::as_array).filter(|told| told.len() == items.len());
        let told = told.ok_or_else(|| Trouble::new(ExportFailure::Receiver, "the answer is none of _bulk"))?;
        Ok(told.iter().map(fate).collect())
    }
}

/// The event with the field that data streams go by.
fn document(item: &Item) -> Value {
    let mut event = item.event();
    if let Some(fields) = event.as_object_mut() {
        let time = jiff::Timestamp::from_microsecond(item.time).unwrap_or_default().to_string();
        fields.insert("@timestamp".to_owned(), time.into());
    }
    event
}

/// What became of one item. One that is there already was delivered before.
fn fate(told: &Value) -> Fate {
    let result = told.get("create");
    let status = result.and_then(|result| result.get("status")?.as_u64()).unwrap_or(0);
    let kind = result.and_then(|result| result.pointer("/error/type")?.as_str()).unwrap_or("no reason");
    let kind: String = kind.chars().filter(|letter| !letter.is_control()).take(MOST_REASON).collect();
    match u16::try_from(status).unwrap_or(0) {
        409 => Fate::Delivered,
        status => match judge(status, None) {
            Ok(()) => Fate::Delivered,
            Err(trouble) if trouble.why == ExportFailure::Refused => Fate::Refused(format!("status {status}: {kind}")),
            Err(_) => Fate::Later(format!("status {status}: {kind}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_has_a_fate_of_its_own() {
        let of = |status: u16| fate(&json!({ "create": { "status": status, "error": { "type": "x\ny" } } }));
        assert_eq!((of(201), of(409)), (Fate::Delivered, Fate::Delivered));
        assert_eq!((of(429), of(503)), (Fate::Later("status 429: xy".into()), Fate::Later("status 503: xy".into())));
        assert_eq!(of(400), Fate::Refused("status 400: xy".into()));
        assert!(matches!(fate(&json!({})), Fate::Later(_)));
    }
}

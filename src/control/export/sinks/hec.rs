//! Splunk's HTTP Event Collector: events one after the other in a body, and, if wished, the indexer's acknowledgement.

use std::time::Duration;

use bytes::Bytes;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{Fate, Trouble, all, below, post, post_unless, secret_header};
use crate::control::export::item::Item;
use crate::control::http::Http;
use crate::telemetry::ExportFailure;
use crate::types::Secret;

static CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

/// How long to wait before asking again whether a batch was indexed.
const ASK: Duration = Duration::from_millis(500);

/// One collector.
#[derive(Debug)]
pub struct Hec {
    http: Http,
    events: Uri,
    acks: Uri,
    headers: HeaderMap,
    index: Option<String>,
    /// How long an acknowledgement may take; `None`: none is asked for.
    ack: Option<Duration>,
}

impl Hec {
    /// The collector at `url` (without a path), for `index` or the token's own.
    ///
    /// # Errors
    /// An address or a token that is none.
    pub fn new(
        http: Http,
        url: &str,
        token: &Secret,
        index: Option<String>,
        ack: Option<Duration>,
    ) -> Result<Self, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, secret_header(&format!("Splunk {}", token.expose()))?);
        if ack.is_some() {
            let channel = uuid::Uuid::new_v4().to_string();
            headers.insert(&CHANNEL, HeaderValue::from_str(&channel).map_err(|_| "no channel")?);
        }
        let (events, acks) = (below(url, "/services/collector/event")?, below(url, "/services/collector/ack")?);
        Ok(Self { http, events, acks, headers, index, ack })
    }

    pub(super) async fn send(&self, items: &[Item]) -> Result<Vec<Fate>, Trouble> {
        let body: String = items.iter().map(|item| self.event(item).to_string()).collect();
        let headers = self.headers.clone();
        let body = Bytes::from(body);
        let answer = post_unless(&self.http, &self.events, headers, "application/json", body, misset).await?;
        if let Some(limit) = self.ack {
            let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            let id = said.get("ackId").and_then(Value::as_u64);
            let id =
                id.ok_or_else(|| Trouble::new(ExportFailure::Receiver, "no ackId: acknowledgement is off there"))?;
            let asking = self.acknowledged(id);
            let late = || Trouble::new(ExportFailure::Timeout, format!("not acknowledged within {limit:?}"));
            tokio::time::timeout(limit, asking).await.map_err(|_| late())??;
        }
        Ok(all(items))
    }

    /// Asks until it was indexed.
    async fn acknowledged(&self, id: u64) -> Result<(), Trouble> {
        loop {
            let body = Bytes::from(json!({ "acks": [id] }).to_string());
            let answer = post(&self.http, &self.acks, self.headers.clone(), "application/json", body).await;
            // Whether it was indexed is not known, so it is no item's fault.
            let answer = answer.map_err(|trouble| Trouble { why: ExportFailure::Receiver, ..trouble })?;
            let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            if said.pointer(&format!("/acks/{id}")).and_then(Value::as_bool) == Some(true) {
                return Ok(());
            }
            tokio::time::sleep(ASK).await;
        }
    }

    fn event(&self, item: &Item) -> Value {
        let mut event = json!({
            "time": item.time as f64 / 1e6,
            "host": "portcullis",
            "source": format!("portcullis:{}", item.kind.name()),
            "sourcetype": "ocsf:json",
            "event": item.event(),
            "fields": {"event_id": item.id, "severity": item.severity.name(), "change": item.change.name()},
        });
        if let (Some(index), Some(fields)) = (&self.index, event.as_object_mut()) {
            fields.insert("index".to_owned(), index.clone().into());
        }
        event
    }
}

/// What a code says of the sink's settings or the collector's; `None` where it is about the events. Splunk's documentation of the
/// collector lists the codes.
fn misset(said: &Value) -> Option<String> {
    let code = said.get("code")?.as_u64()?;
    let what = match code {
        7 => "there is no such index for this token",
        10 => "a channel is asked for: acknowledgement is on there and off here",
        11 => "the channel is none",
        14 => "acknowledgement is off there and on here",
        16 => "the token is not taken from where it stands",
        _ => return None,
    };
    Some(format!("{what} (code {code})"))
}

//! Log records of OpenTelemetry (OTLP 1.x) over HTTP, in protobuf.

use bytes::Bytes;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderMap};
use prost::Message as _;
use serde_json::Value;

use super::{Fate, Trouble, all, below, post, secret_header};
use crate::control::export::item::Item;
use crate::control::http::Http;
use crate::telemetry::ExportFailure;
use crate::types::{Secret, Severity, base64};

/// Levels of nesting that are kept; what is deeper becomes text.
const DEEPEST: usize = 24;

/// One collector.
#[derive(Debug)]
pub struct Otlp {
    http: Http,
    url: Uri,
    headers: HeaderMap,
    service: String,
}

impl Otlp {
    /// The collector at `url` (without `/v1/logs`), for a user with that password, a bearer token, or nobody.
    ///
    /// # Errors
    /// An address or a secret that is none.
    pub fn new(
        http: Http,
        url: &str,
        service: String,
        user: Option<&str>,
        secret: Option<&Secret>,
    ) -> Result<Self, &'static str> {
        let mut headers = HeaderMap::new();
        if let Some(secret) = secret {
            let told = match user {
                Some(user) => format!("Basic {}", base64(format!("{user}:{}", secret.expose()).as_bytes())),
                None => format!("Bearer {}", secret.expose()),
            };
            headers.insert(AUTHORIZATION, secret_header(&told)?);
        }
        Ok(Self { http, url: below(url, "/v1/logs")?, headers, service })
    }

    pub(super) async fn send(&self, items: &[Item]) -> Result<Vec<Fate>, Trouble> {
        let body = Bytes::from(self.request(items).encode_to_vec());
        let answer = post(&self.http, &self.url, self.headers.clone(), "application/x-protobuf", body).await?;
        let rejected = Answer::decode(answer.body().clone()).ok().and_then(|said| said.partial_success);
        match rejected {
            // It does not say which: the others are sent again, each under the id it had.
            Some(partial) if partial.rejected > 0 => {
                Err(Trouble::new(ExportFailure::Refused, format!("{} records rejected", partial.rejected)))
            }
            _ => Ok(all(items)),
        }
    }

    fn request(&self, items: &[Item]) -> Logs {
        let resource = Resource { attributes: vec![text("service.name", &self.service)] };
        let scope = Scope { name: "portcullis.export".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scoped = ScopeLogs { scope: Some(scope), records: items.iter().map(record).collect() };
        Logs { resources: vec![ResourceLogs { resource: Some(resource), scopes: vec![scoped] }] }
    }
}

fn record(item: &Item) -> LogRecord {
    let number = match item.severity {
        Severity::Informational => 9,
        Severity::Low => 10,
        Severity::Medium => 13,
        Severity::High => 17,
        Severity::Critical => 21,
    };
    let time = u64::try_from(item.time).unwrap_or(0).saturating_mul(1000);
    let kind = item.kind.name();
    LogRecord {
        time,
        observed: time,
        severity: number,
        severity_text: item.severity.name().to_uppercase(),
        body: Some(any(&item.event(), 0)),
        attributes: vec![
            text("event.id", &item.id),
            text("portcullis.kind", kind),
            text("portcullis.change", item.change.name()),
            text("portcullis.about", &item.about),
        ],
        event_name: format!("portcullis.{kind}.{}", item.change.name()),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Any::Text(value.to_owned())) }) }
}

fn any(value: &Value, depth: usize) -> AnyValue {
    let inner = depth.saturating_add(1);
    let value = match value {
        Value::Null => None,
        Value::Bool(yes) => Some(Any::Yes(*yes)),
        Value::Number(number) => Some(match number.as_i64() {
            Some(number) => Any::Int(number),
            None => Any::Real(number.as_f64().unwrap_or(0.0)),
        }),
        Value::String(text) => Some(Any::Text(text.clone())),
        Value::Array(_) | Value::Object(_) if depth >= DEEPEST => Some(Any::Text(value.to_string())),
        Value::Array(items) => Some(Any::List(List { values: items.iter().map(|item| any(item, inner)).collect() })),
        Value::Object(fields) => {
            let pair = |(key, value): (&String, &Value)| KeyValue { key: key.clone(), value: Some(any(value, inner)) };
            Some(Any::Pairs(Pairs { values: fields.iter().map(pair).collect() }))
        }
    };
    AnyValue { value }
}

/// `ExportLogsServiceRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct Logs {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time: u64,
    #[prost(int32, tag = "2")]
    severity: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "11")]
    observed: u64,
    #[prost(string, tag = "12")]
    event_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Yes(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Real(f64),
    #[prost(message, tag = "5")]
    List(List),
    #[prost(message, tag = "6")]
    Pairs(Pairs),
}

#[derive(Clone, PartialEq, prost::Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pairs {
    #[prost(message, repeated, tag = "1")]
    values: Vec<KeyValue>,
}

/// `ExportLogsServiceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<Partial>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
}

//! Every way to say no, and the only place where one becomes HTTP, in the caller's dialect.

mod access;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::json;

use super::body::Body;
use super::listen::Refuse;
use crate::types::{ApiFamily, Outcome, RequestId, Verdict};
use crate::wire::{BadBody, BadBodyKind, errors};

/// Tells SDKs whether another attempt makes sense; it wins over the status.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why a request gets an error instead of an answer. What the client sees is `message`; it never quotes the request.
#[must_use]
#[derive(Debug)]
pub(super) struct Refusal(Box<Inner>);

/// Boxed, so that every `Result` on the road stays small.
#[derive(Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    kind: &'static str,
    message: Cow<'static, str>,
    param: Option<String>,
    headers: HeaderMap,
    details: Option<serde_json::Value>,
    /// Which stage of the road ended the request.
    outcome: Outcome,
    close: bool,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, kind: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            status,
            code,
            kind,
            message: message.into(),
            param: None,
            headers: HeaderMap::new(),
            details: None,
            outcome: Outcome::Refused,
            close: false,
        }))
    }

    fn invalid(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, code, "invalid_request_error", message)
    }

    fn forbidden(code: &'static str, message: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, "permission_denied", message).final_word()
    }

    fn server(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, code, "server_error", message)
    }

    pub(super) fn ending(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    fn final_word(self) -> Self {
        self.header(SHOULD_RETRY, HeaderValue::from_static("false"))
    }

    fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        self.header(RETRY_AFTER, HeaderValue::from(seconds.max(1))).header(RETRY_AFTER_MS, HeaderValue::from(millis))
    }

    /// Ends the connection after the answer: what follows on it cannot be trusted or is not wanted.
    fn closing(mut self) -> Self {
        self.0.close = true;
        self
    }

    /// The status that will be sent.
    pub(super) fn status(&self) -> u16 {
        self.0.status.as_u16()
    }

    /// The low-cardinality reason for records and metrics.
    pub(super) fn code(&self) -> &'static str {
        self.0.code
    }

    /// Which stage of the road ended the request.
    pub(super) fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    // The head.

    /// A head that is ambiguous or malformed.
    pub(super) fn bad_head(bad: Refuse) -> Self {
        let status = StatusCode::from_u16(bad.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::invalid(status, bad.code, bad.message).closing()
    }

    /// A path written to be read two ways.
    pub(super) fn bad_path() -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, "invalid_path", "The request path is not in canonical form.")
    }

    /// Nothing is served under this path.
    pub(super) fn endpoint_not_allowed(method_known: bool) -> Self {
        if method_known {
            Self::new(
                StatusCode::FORBIDDEN,
                "endpoint_not_allowed",
                "permission_denied",
                "This endpoint is not allowed by the gateway. A route in its configuration can open it.",
            )
            .final_word()
        } else {
            Self::invalid(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This method is not allowed here.")
                .final_word()
        }
    }

    /// No upstream is configured for this dialect.
    pub(super) fn no_upstream() -> Self {
        Self::server(StatusCode::SERVICE_UNAVAILABLE, "no_upstream", "No upstream is configured for this endpoint.")
    }

    // The body.

    /// A body that cannot be read in exactly one way.
    pub(super) fn bad_body(bad: &BadBody) -> Self {
        let code = match bad.kind {
            BadBodyKind::DuplicateKey => "duplicate_key",
            BadBodyKind::TooDeep | BadBodyKind::TooManyNodes | BadBodyKind::TooLong => "json_too_complex",
            BadBodyKind::Missing => "missing_required_parameter",
            BadBodyKind::WrongType | BadBodyKind::NotAnObject => "invalid_type",
            BadBodyKind::Unsupported => "unsupported_parameter",
            BadBodyKind::InvalidJson | BadBodyKind::InvalidUtf8 | BadBodyKind::LoneSurrogate => "invalid_json",
        };
        let mut refusal = Self::invalid(StatusCode::BAD_REQUEST, code, bad.message.clone());
        refusal.0.param = bad.param.clone();
        refusal
    }

    /// The client stopped sending, or sent less than it announced.
    pub(super) fn body_cut() -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, "incomplete_body", "The request body ended before it was complete.")
            .closing()
    }

    /// The client sends too slowly.
    pub(super) fn body_timeout() -> Self {
        Self::invalid(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The request body did not arrive in time.").closing()
    }

    /// More than `limit` bytes, as sent or as decoded.
    pub(super) fn too_large(limit: u64) -> Self {
        Self::invalid(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            format!("The request body is larger than {limit} bytes."),
        )
        .final_word()
        .closing()
    }

    /// Not JSON.
    pub(super) fn unsupported_media_type() -> Self {
        Self::invalid(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "This endpoint takes application/json in UTF-8.",
        )
    }

    /// A `Content-Encoding` we cannot read.
    pub(super) fn unsupported_encoding() -> Self {
        Self::invalid(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "The content encoding is not one of gzip, deflate, br, zstd.",
        )
    }

    /// An encoded body that does not decode.
    pub(super) fn bad_encoding() -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, "invalid_encoding", "The request body does not decode as announced.")
    }

    // The verdict.

    /// The prompt must not leave.
    pub(super) fn prompt_blocked(verdict: &Verdict, show_rules: bool) -> Self {
        let mut refusal = Self::invalid(
            StatusCode::BAD_REQUEST,
            "content_filter",
            "The prompt was blocked by the gateway's security policy.",
        )
        .final_word()
        .ending(Outcome::PromptBlocked);
        refusal.0.details = show_rules.then(|| rule_details(verdict));
        refusal
    }

    /// The answer must not reach the client.
    pub(super) fn answer_blocked(verdict: &Verdict, show_rules: bool) -> Self {
        let mut refusal = Self::invalid(
            StatusCode::BAD_REQUEST,
            "content_filter",
            "The answer was blocked by the gateway's security policy.",
        )
        .final_word()
        .ending(Outcome::AnswerBlocked);
        refusal.0.details = show_rules.then(|| rule_details(verdict));
        refusal
    }

    /// Something in the prompt cannot be inspected and the policy is to block then.
    pub(super) fn uninspected() -> Self {
        Self::invalid(
            StatusCode::BAD_REQUEST,
            "uninspected_content",
            "The request carries content that the gateway cannot inspect, and its policy is to refuse that.",
        )
        .final_word()
    }

    /// Inspection itself failed, and fails closed.
    pub(super) fn inspection_failed() -> Self {
        Self::server(StatusCode::SERVICE_UNAVAILABLE, "guardrail_unavailable", "The request could not be inspected.")
            .retry_after(Duration::from_secs(1))
    }

    // The upstream.

    /// No connection.
    pub(super) fn upstream_unreachable() -> Self {
        Self::server(StatusCode::BAD_GATEWAY, "upstream_unreachable", "The upstream could not be reached.")
            .ending(Outcome::UpstreamFailed)
    }

    /// No answer in time.
    pub(super) fn upstream_timeout() -> Self {
        Self::server(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "The upstream did not answer in time.")
            .ending(Outcome::UpstreamFailed)
    }

    /// An answer that is not one.
    pub(super) fn upstream_invalid(message: &'static str) -> Self {
        Self::server(StatusCode::BAD_GATEWAY, "upstream_invalid_response", message).ending(Outcome::UpstreamFailed)
    }

    /// The upstream's own error, of which only the status can be passed on.
    pub(super) fn upstream_status(status: StatusCode) -> Self {
        let message = format!("The upstream answered with status {}.", status.as_u16());
        Self::server(status, "upstream_error", message).ending(Outcome::UpstreamFailed)
    }

    /// Ended by the gateway: drain deadline or a standing order.
    pub(super) fn cut() -> Self {
        Self::server(StatusCode::SERVICE_UNAVAILABLE, "gateway_shutting_down", "The gateway is shutting down.")
            .retry_after(Duration::from_secs(1))
            .ending(Outcome::Cut)
            .closing()
    }

    /// A panic, or anything else that is our own fault.
    pub(super) fn internal() -> Self {
        Self::server(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The gateway failed on this request.")
            .ending(Outcome::Internal)
            .closing()
    }

    /// The refusal as HTTP, in the dialect of `family`.
    pub(super) fn into_response(self, family: ApiFamily, id: &RequestId) -> Response<Body> {
        let inner = *self.0;
        let body = errors::error_body(
            family,
            inner.status.as_u16(),
            inner.code,
            inner.kind,
            &inner.message,
            inner.param.as_deref(),
            &id.0,
            inner.details,
        );
        let mut response = Response::new(Body::full(Bytes::from(body)));
        *response.status_mut() = inner.status;
        *response.headers_mut() = inner.headers;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if inner.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Names the request in its answer, in the headers that SDKs of `family` read.
pub(super) fn identify(response: &mut Response<Body>, family: ApiFamily, id: &RequestId) {
    let Ok(value) = HeaderValue::from_str(&id.0) else { return };
    if family == ApiFamily::Anthropic {
        response.headers_mut().insert(HeaderName::from_static("request-id"), value.clone());
    }
    response.headers_mut().insert(REQUEST_ID, value);
}

fn rule_details(verdict: &Verdict) -> serde_json::Value {
    let rules: Vec<&str> = verdict.findings.iter().map(|finding| &*finding.rule.0).collect();
    json!({ "rules": rules, "risk": verdict.risk, "rule_set": verdict.rule_set.0 })
}

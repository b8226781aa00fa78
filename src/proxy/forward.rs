//! `Cleared` -> an upstream's answer: the request's head made ours, the key injected, retries while nothing was sent.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT,
    FORWARDED, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, VIA,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response};

use super::decode;
use super::identify::{API_KEY, X_API_KEY};
use super::inspect::Cleared;
use super::record::{Flight, micros_since};
use super::refuse::{REQUEST_ID, Refusal};
use super::route::Plan;
use super::upstream::{AnswerBody, Pool, SendError, rehearsal};
use crate::config::Upstream;
use crate::config::settings::UpstreamKind;

/// What belongs to one connection, never to the next one.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What a client says that an upstream must not hear from us: credentials, claims about addresses, framing.
const CLIENT_ONLY: [HeaderName; 19] = [
    AUTHORIZATION,
    X_API_KEY,
    API_KEY,
    COOKIE,
    HOST,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    EXPECT,
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// Never hop-by-hop, whatever `Connection` says: both sides need them to understand the message.
const END_TO_END: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH];

const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// An answer as it starts: its head, and its body still to come.
pub(super) struct Answer {
    pub(super) status: hyper::StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: AnswerBody,
    /// When the whole exchange must be over.
    pub(super) deadline: Instant,
}

/// Sends what was cleared, and waits for the head of the answer.
///
/// # Errors
/// The upstream cannot be reached, is too slow, or does not speak HTTP properly.
pub(super) async fn send(
    pool: &Pool,
    plan: &Plan,
    head: Parts,
    cleared: Cleared,
    flight: &mut Flight,
) -> Result<Answer, Refusal> {
    let upstream = &plan.upstream;
    let deadline = Instant::now() + upstream.total_timeout;
    if upstream.kind == UpstreamKind::Rehearsal {
        flight.note(|record| record.attempts = 1);
        return Ok(rehearse(plan, &head, cleared, deadline));
    }
    let method = head.method;
    let base = upstream.base.as_ref().ok_or_else(Refusal::no_upstream)?;
    let uri = base.uri(&plan.path, head.uri.query()).map_err(|_| Refusal::bad_path())?;
    let body = cleared.into_body();
    let headers = request_headers(head.headers, upstream, base.authority.as_str(), !body.is_empty());
    let waited = Instant::now();
    let mut delay = upstream.retry_delay;
    let mut attempt = 0;
    let response = loop {
        let last = attempt >= upstream.retries;
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers.clone();
        attempt += 1;
        let patience = deadline.min(Instant::now() + upstream.first_byte_timeout);
        match tokio::time::timeout_at(patience.into(), pool.send(upstream, request)).await {
            Ok(Ok(response)) => break Ok(response),
            Ok(Err(error)) if error.before_sending() && !last && Instant::now() + delay < deadline => {
                tracing::debug!(upstream = %upstream.name, attempt, "upstream could not be reached; trying again");
                tokio::time::sleep(delay).await;
                delay = delay.saturating_mul(2).min(Duration::from_secs(5));
            }
            Ok(Err(error)) => break Err(failed(upstream, &error)),
            Err(_) => break Err(Refusal::upstream_timeout()),
        }
    };
    flight.note(|record| {
        record.attempts = attempt;
        record.micros.upstream += micros_since(waited);
    });
    receive(response?, deadline)
}

fn failed(upstream: &Upstream, error: &SendError) -> Refusal {
    match error {
        SendError::Setup(error) => {
            tracing::error!(upstream = %upstream.name, %error, "upstream is not usable");
            Refusal::upstream_unreachable()
        }
        SendError::Http(error) if error.is_connect() => {
            tracing::warn!(upstream = %upstream.name, error = %chain(error), "upstream cannot be reached");
            Refusal::upstream_unreachable()
        }
        SendError::Http(error) => {
            tracing::warn!(upstream = %upstream.name, error = %chain(error), "upstream exchange failed");
            Refusal::upstream_invalid("The upstream did not answer properly.")
        }
    }
}

/// An error and its causes. Errors of the client library carry addresses and parse failures, never bodies or headers.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

/// The head of an answer; redirects and protocol switches are refused, never followed.
fn receive(response: Response<hyper::body::Incoming>, deadline: Instant) -> Result<Answer, Refusal> {
    let (head, body) = response.into_parts();
    if head.status.is_redirection() {
        return Err(Refusal::upstream_invalid("The upstream answered with a redirect, which is not followed."));
    }
    if head.status.is_informational() {
        return Err(Refusal::upstream_invalid("The upstream switched protocols unasked."));
    }
    let codings = decode::codings(head.headers.get_all(CONTENT_ENCODING))
        .ok_or_else(|| Refusal::upstream_invalid("The upstream used an unknown content encoding."))?;
    let mut headers = head.headers;
    strip_hop_by_hop(&mut headers);
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    if let Some(theirs) = headers.remove(REQUEST_ID) {
        headers.insert(HeaderName::from_static("x-upstream-request-id"), theirs);
    }
    Ok(Answer { status: head.status, headers, body: AnswerBody::decoding(body, &codings), deadline })
}

/// The client's headers, made ours.
fn request_headers(mut headers: HeaderMap, upstream: &Upstream, authority: &str, body: bool) -> HeaderMap {
    let client_key = upstream
        .forward_client_key
        .then(|| (headers.get(AUTHORIZATION).cloned(), headers.get(X_API_KEY).cloned(), headers.get(API_KEY).cloned()));
    strip_hop_by_hop(&mut headers);
    for name in CLIENT_ONLY {
        headers.remove(name);
    }
    if let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert(HOST, host);
    }
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    if body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some((authorization, x_api_key, api_key)) = client_key {
        for (name, value) in [(AUTHORIZATION, authorization), (X_API_KEY, x_api_key), (API_KEY, api_key)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    } else if let Some((name, value)) = credential(upstream) {
        headers.insert(name, value);
    }
    if upstream.kind == UpstreamKind::Anthropic && !headers.contains_key(ANTHROPIC_VERSION) {
        headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
    }
    headers
}

/// The provider's key, where its API looks for it.
fn credential(upstream: &Upstream) -> Option<(HeaderName, HeaderValue)> {
    let key = upstream.api_key.as_ref()?.expose();
    let (name, value) = match upstream.kind {
        UpstreamKind::Openai => (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {key}"))),
        UpstreamKind::Anthropic => (X_API_KEY, HeaderValue::from_str(key)),
        UpstreamKind::Rehearsal => return None,
    };
    let mut value = value.ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// Removes hop-by-hop headers, and those that `Connection` names. What must reach the other side is set afterwards, so
/// nobody can have it removed by naming it.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .filter(|name| !END_TO_END.contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The built-in model answers.
fn rehearse(plan: &Plan, head: &Parts, cleared: Cleared, deadline: Instant) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-portcullis-rehearsal"), HeaderValue::from_static("true"));
    let reply = rehearsal::respond(plan.dialect, head.method.as_str(), &plan.path, &cleared.into_body());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    let body = match reply.body {
        rehearsal::ReplyBody::Whole(bytes) => AnswerBody::Whole(Some(Bytes::from(bytes))),
        rehearsal::ReplyBody::Stream(events) => AnswerBody::Rehearsal(Box::pin(events)),
    };
    Answer { status: reply.status, headers, body, deadline }
}

//! `Cleared` -> an upstream's answer: the request's head made ours, the key injected, retries while nothing was sent.

use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::response;
use hyper::{HeaderMap, Request};

use super::deadline::until;
use super::decode;
use super::headers;
use super::identify::{API_KEY, X_API_KEY};
use super::inspect::Cleared;
use super::keys::Scrubber;
use super::record::{Flight, micros_since};
use super::refuse::{REQUEST_ID, Refusal};
use super::route::{ANTHROPIC_VERSION, Plan};
use super::upstream::{AnswerBody, Client, LineBody, Pool, SendError, rehearsal};
use crate::config::Upstream;
use crate::config::settings::UpstreamKind;

const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// An answer as it starts: its head, and its body still to come.
pub(super) struct Answer {
    pub(super) status: hyper::StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: AnswerBody,
    /// When the whole exchange must be over.
    pub(super) deadline: Instant,
    /// Takes the key it was asked with out of it.
    pub(super) keys: Scrubber,
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
    let started = Instant::now();
    let deadline = started + upstream.total_timeout;
    if upstream.kind == UpstreamKind::Rehearsal {
        flight.note(|record| record.attempts = 1);
        return Ok(rehearse(plan, &head, cleared, deadline));
    }
    let client = match pool.client(upstream) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(upstream = %upstream.name, %error, "upstream is not usable");
            flight.note(|record| record.attempts = 1);
            return Err(Refusal::upstream_unreachable());
        }
    };
    let target = client.target(&plan.path, head.uri.query()).map_err(|_| Refusal::bad_path())?;
    let body = cleared.into_body();
    let headers = request_headers(head.headers, plan, &client, !body.is_empty());
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = head.method;
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    let mut delay = upstream.retry_delay;
    let mut attempt = 0;
    let response = loop {
        let last = attempt >= upstream.retries;
        attempt += 1;
        flight.note(|record| record.attempts = attempt);
        let patience = || deadline.min(Instant::now() + upstream.first_byte_timeout);
        match until(pin!(client.send(&mut request)), patience).await {
            Some(Ok(response)) => break Ok(response),
            Some(Err(error)) if error.before_sending() && !last && Instant::now() + delay < deadline => {
                tracing::debug!(upstream = %upstream.name, attempt, "upstream could not be reached; trying again");
                tokio::time::sleep(delay).await;
                delay = delay.saturating_mul(2).min(Duration::from_secs(5));
            }
            Some(Err(error)) => break Err(failed(upstream, &error)),
            None => break Err(Refusal::upstream_timeout()),
        }
    };
    flight.note(|record| {
        record.micros.upstream += micros_since(started);
    });
    let (head, body) = response?;
    receive(head, body, deadline, client.keys())
}

fn failed(upstream: &Upstream, error: &SendError) -> Refusal {
    if error.before_sending() {
        tracing::warn!(upstream = %upstream.name, error = %chain(error), "upstream cannot be reached");
        return Refusal::upstream_unreachable();
    }
    tracing::warn!(upstream = %upstream.name, error = %chain(error), "upstream exchange failed");
    Refusal::upstream_invalid("The upstream did not answer properly.")
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
fn receive(head: response::Parts, body: LineBody, deadline: Instant, keys: Scrubber) -> Result<Answer, Refusal> {
    // 304 sends nobody elsewhere.
    if head.status.is_redirection() && head.status.as_u16() != 304 {
        return Err(Refusal::upstream_invalid("The upstream answered with a redirect, which is not followed."));
    }
    if head.status.is_informational() {
        return Err(Refusal::upstream_invalid("The upstream switched protocols unasked."));
    }
    let codings = decode::codings(head.headers.get_all(CONTENT_ENCODING))
        .ok_or_else(|| Refusal::upstream_invalid("The upstream used an unknown content encoding."))?;
    let mut headers = head.headers;
    headers::strip_answer(&mut headers);
    if let Some(theirs) = headers.remove(REQUEST_ID) {
        headers.insert(HeaderName::from_static("x-upstream-request-id"), theirs);
    }
    Ok(Answer { status: head.status, headers, body: AnswerBody::decoding(body, &codings), deadline, keys })
}

/// The client's headers, made ours.
fn request_headers(mut headers: HeaderMap, plan: &Plan, client: &Client, body: bool) -> HeaderMap {
    let upstream = &plan.upstream;
    for name in &*plan.strip {
        headers.remove(&**name);
    }
    let client_key = (upstream.forward_client_key && !plan.own_key)
        .then(|| (headers.get(AUTHORIZATION).cloned(), headers.get(X_API_KEY).cloned(), headers.get(API_KEY).cloned()));
    headers::strip_request(&mut headers);
    headers.insert(HOST, client.host());
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
    } else if let Some((name, value)) = client.credential() {
        headers.insert(name, value);
    }
    if upstream.kind == UpstreamKind::Anthropic && !headers.contains_key(ANTHROPIC_VERSION) {
        headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
    }
    headers
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
    Answer { status: reply.status, headers, body, deadline, keys: Scrubber::new(plan.upstream.api_key.as_ref()) }
}

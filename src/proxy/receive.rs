//! The request body: collected under size, time and rate limits, and decoded. What leaves here is what is inspected
//! and what is forwarded.

use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::admit::Admitted;
use super::deadline::until;
use super::decode::{self, Coding};
use super::listen;
use super::refuse::Refusal;
use crate::config::settings::Settings;

/// Bytes below which a body is copied.
const SMALL: usize = 4 << 10;
/// A request body may be this slow for so long before its rate is looked at.
const RATE_GRACE: Duration = Duration::from_secs(5);

/// The whole body, decoded. `started`: when its head was read.
///
/// # Errors
/// Too large, too slow, cut short, in an unknown coding, or not decodable.
pub(super) async fn body(
    settings: &Settings,
    headers: &HeaderMap,
    body: Incoming,
    started: Instant,
    admitted: &mut Admitted,
) -> Result<Bytes, Refusal> {
    let codings = codings(headers)?;
    let sent = collect(settings, body, started, admitted).await?;
    if codings.is_empty() {
        return Ok(sent);
    }
    let limits =
        decode::Limits { max: settings.body.max_request.get(), ratio: u64::from(settings.body.max_decode_ratio) };
    let decoded = Box::pin(decode::whole(sent, &codings, limits)).await.map_err(|error| match error {
        decode::Error::TooLarge(limit) => Refusal::too_large(limit),
        decode::Error::Corrupt => Refusal::bad_encoding(),
    })?;
    admitted.hold(decoded.len() as u64, settings.body.max_in_flight.get())?;
    Ok(decoded)
}

/// Refuses what is not JSON by its own word. A missing type is taken for JSON: the reader decides.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (first, second) = (types.next(), types.next());
    if second.is_some() {
        return Err(Refusal::unsupported_media_type());
    }
    let Some(value) = first else { return Ok(()) };
    let Ok(value) = value.to_str() else { return Err(Refusal::unsupported_media_type()) };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let json = essence.eq_ignore_ascii_case("application/json");
    let utf8 = parts.filter(|part| !part.is_empty()).all(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if json && utf8 { Ok(()) } else { Err(Refusal::unsupported_media_type()) }
}

fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Refusal> {
    decode::codings(headers.get_all(CONTENT_ENCODING)).ok_or_else(Refusal::unsupported_encoding)
}

async fn collect(
    settings: &Settings,
    mut body: Incoming,
    started: Instant,
    admitted: &mut Admitted,
) -> Result<Bytes, Refusal> {
    let limits = &settings.body;
    let max = limits.max_request.get();
    if body.size_hint().lower() > max {
        return Err(Refusal::too_large(max));
    }
    let deadline = started + settings.http.body_timeout.get();
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let mut received = 0_u64;
    loop {
        let wait = || patience(settings, started, received).min(deadline);
        let frame = match until(pin!(body.frame()), wait).await {
            None => return Err(Refusal::body_timeout()),
            Some(None) => break,
            Some(Some(Err(error))) => return Err(cut(&error)),
            Some(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        received += data.len() as u64;
        if received > max {
            return Err(Refusal::too_large(max));
        }
        admitted.hold(data.len() as u64, limits.max_in_flight.get())?;
        match first.take() {
            // One frame is the whole body most of the time: it is kept as it is, unless it is so small that a copy is
            // cheaper than the buffer that it would keep from being used again.
            None if whole.is_empty() && data.len() < SMALL => first = Some(Bytes::copy_from_slice(&data)),
            None if whole.is_empty() => first = Some(data),
            head => {
                if let Some(head) = head {
                    whole.reserve(expected.min(1 << 20).max(head.len() + data.len()));
                    whole.extend_from_slice(&head);
                }
                whole.extend_from_slice(&data);
            }
        }
        // Its length was announced, and this was the last of it: to ask for more would be to wait for a turn.
        if body.is_end_stream() {
            break;
        }
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

/// Why a body broke off: the listener knows when its framing was wrong.
fn cut(error: &hyper::Error) -> Refusal {
    match listen::body_refusal(error) {
        Some(bad) => Refusal::bad_head(bad),
        None => Refusal::body_cut(),
    }
}

/// When a body that has come this far is too slow.
fn patience(settings: &Settings, started: Instant, received: u64) -> Instant {
    let rate = settings.http.body_min_rate.get();
    let earned = received.checked_div(rate).map_or(settings.http.body_timeout.get(), Duration::from_secs);
    started + RATE_GRACE + earned
}

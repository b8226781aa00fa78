//! The way back: an upstream's answer, inspected whole here or handed to `relay` as a stream.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER, SERVER};
use hyper::{HeaderMap, Response, StatusCode};

use super::admit::Admitted;
use super::body::Body;
use super::charge;
use super::deadline::until;
use super::decode;
use super::forward::Answer;
use super::inspector::{Fed, Inspector};
use super::keys::Scrubber;
use super::live::Cancel;
use super::record::{Flight, micros_since};
use super::refuse::{self, Refusal};
use super::relay::{Relay, Way};
use super::route::Plan;
use crate::config::Snapshot;
use crate::config::settings::{BlockMode, Mode};
use crate::detect::leak::Known;
use crate::types::{ApiFamily, Channel, ChannelKind, Decision, Dialect, Direction, Verdict};
use crate::wire::{self, PieceKind};

/// An answer ready for the client, all but its record.
pub(super) struct Relayed {
    status: StatusCode,
    headers: HeaderMap,
    family: ApiFamily,
    payload: Payload,
}

enum Payload {
    /// The answer is its head.
    Nothing,
    Whole(Bytes, Admitted),
    Stream(Box<Relay>),
}

/// What stands where a blocked answer's text would have been.
pub(super) const BLOCKED_NOTICE: &str = "The answer was blocked by the gateway's security policy.";

/// Pieces of a whole answer below this size are copied rather than kept.
const SMALL_PIECE: usize = 4096;

/// Response headers whose values are set by protocol machinery, not by a model.
const PLAIN_HEADERS: [HeaderName; 8] = [
    CONTENT_TYPE,
    DATE,
    SERVER,
    RETRY_AFTER,
    HeaderName::from_static("x-upstream-request-id"),
    HeaderName::from_static("x-portcullis-rehearsal"),
    HeaderName::from_static("openai-processing-ms"),
    HeaderName::from_static("openai-version"),
];

/// Turns an upstream's answer into ours.
///
/// # Errors
/// An answer that is blocked, too large, too slow, or not what its dialect says.
pub(super) async fn relay(
    snapshot: &Arc<Snapshot>,
    plan: Plan,
    cut: &Cancel,
    answer: Answer,
    known: Option<Arc<Known>>,
    admitted: Admitted,
    flight: &mut Flight,
) -> Result<Relayed, Refusal> {
    let Answer { status, mut headers, body, deadline, keys } = answer;
    admitted.rate_headers(&mut headers);
    charge::rate_headers(flight.headroom(), &mut headers);
    let family = plan.dialect.api_family();
    let inspects = plan.inspects_answers(&snapshot.settings);
    let kind = if inspects { content_kind(&headers) } else { Kind::Exempt };
    let mut inspector = Inspector::new(snapshot, &plan, known, keys.clone()).keeping(flight.keeping());
    scrub_headers(&keys, &mut headers);
    if inspects {
        clean_headers(&mut inspector, &mut headers, plan.mode == Mode::Enforce);
    }
    if plan.head_only || matches!(status.as_u16(), 204 | 304) {
        if let Some((verdict, enforced)) = inspector.verdict() {
            flight.output(verdict, enforced.min(Decision::Redact));
        }
        return Ok(Relayed { status, headers, family, payload: Payload::Nothing });
    }
    let way = match kind {
        Kind::Exempt if status.is_success() => Way::Exempt,
        Kind::Exempt => {
            // Errors quote keys: they are read whole to take ours out, even where nothing is inspected.
            let context = Whole { snapshot, plan: &plan, keys, status, deadline };
            let text = context.keys.whole(context.collect(body, flight).await?);
            flight.note(|record| record.response_bytes.exempt = text.len() as u64);
            return Ok(Relayed { status, headers, family, payload: Payload::Whole(text, admitted) });
        }
        Kind::Events if status.is_success() => {
            Way::Events(Box::new(wire::Stream::new(plan.dialect, super::json_limits(&snapshot.settings))))
        }
        Kind::Events | Kind::Json | Kind::Other => {
            let context = Whole { snapshot, plan: &plan, keys, status, deadline };
            let text = context.collect(body, flight).await?;
            let text = if kind == Kind::Json {
                context.inspect(inspector, text, flight).await?
            } else {
                context.not_json(&text)?
            };
            return Ok(Relayed { status, headers, family, payload: Payload::Whole(text, admitted) });
        }
    };
    let relay = Relay::new(snapshot, plan, way, inspector, keys.of_bytes(), body, deadline, cut.clone(), admitted);
    Ok(Relayed { status, headers, family, payload: Payload::Stream(Box::new(relay)) })
}

impl Relayed {
    /// As HTTP. The record ends with the last byte of the body.
    pub(super) fn into_response(self, mut flight: Flight) -> Response<Body> {
        let id = flight.id();
        flight.note(|record| record.status = self.status.as_u16());
        let body = match self.payload {
            Payload::Nothing => Body::nothing(flight),
            Payload::Whole(bytes, admitted) => Body::full(bytes).carrying(flight, Some(admitted)),
            Payload::Stream(relay) => Body::relay(*relay, flight),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        refuse::identify(&mut response, self.family, &id);
        response
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Server-sent events.
    Events,
    Json,
    Other,
    /// Not to be inspected.
    Exempt,
}

fn content_kind(headers: &HeaderMap) -> Kind {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/event-stream") {
        Kind::Events
    } else if essence.eq_ignore_ascii_case("application/json") {
        Kind::Json
    } else {
        Kind::Other
    }
}

/// Removes headers in which something is found: whatever reaches the client was read.
fn clean_headers(inspector: &mut Inspector, headers: &mut HeaderMap, enforce: bool) {
    let found: Vec<HeaderName> = headers
        .iter()
        .filter(|(name, _)| !PLAIN_HEADERS.contains(name))
        .filter(|(_, value)| value.to_str().map_or(true, |value| inspector.whole(value) != Fed::Unchanged))
        .map(|(name, _)| name.clone())
        .collect();
    if !enforce {
        return;
    }
    for name in found {
        headers.remove(name);
    }
}

/// Removes headers that quote the provider's key, whatever the mode.
fn scrub_headers(keys: &Scrubber, headers: &mut HeaderMap) {
    let found: Vec<HeaderName> =
        headers.iter().filter(|(_, value)| keys.finds(value.as_bytes())).map(|(name, _)| name.clone()).collect();
    for name in found {
        headers.remove(name);
    }
}

/// An answer that is read to its end before anything of it leaves.
struct Whole<'a> {
    snapshot: &'a Snapshot,
    plan: &'a Plan,
    keys: Scrubber,
    status: StatusCode,
    deadline: Instant,
}

impl Whole<'_> {
    async fn collect(&self, mut body: super::upstream::AnswerBody, flight: &mut Flight) -> Result<Bytes, Refusal> {
        let max = self.snapshot.settings.body.max_response.get();
        let idle = self.plan.upstream.idle_timeout;
        let started = Instant::now();
        let too_large = || Refusal::upstream_invalid("The upstream's answer is too large.");
        if body.at_least() > max {
            return Err(too_large());
        }
        // Pieces, joined once at their exact size: a buffer that grows would hold large answers twice.
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut small = BytesMut::new();
        let mut size = 0;
        loop {
            let piece = match until(pin!(body.piece()), || self.deadline.min(Instant::now() + idle)).await {
                None => return Err(Refusal::upstream_timeout()),
                Some(None) => break,
                Some(Some(Err(_))) => return Err(Refusal::upstream_invalid("The upstream's answer broke off.")),
                Some(Some(Ok(piece))) => piece,
            };
            size += piece.len();
            if size as u64 > max {
                return Err(too_large());
            }
            // Each piece keeps the buffer it came in alive: small ones are copied together.
            if piece.len() < SMALL_PIECE {
                small.extend_from_slice(&piece);
            } else {
                if !small.is_empty() {
                    pieces.push(small.split().freeze());
                }
                pieces.push(piece);
            }
            if body.is_over() {
                break;
            }
        }
        if !small.is_empty() {
            pieces.push(small.freeze());
        }
        flight.note(|record| record.micros.upstream += micros_since(started));
        Ok(decode::joined(pieces, size))
    }

    /// An upstream that answers with something else than JSON: its status counts, its text stays here.
    fn not_json(&self, text: &Bytes) -> Result<Bytes, Refusal> {
        if self.status.is_success() && text.is_empty() {
            Ok(Bytes::new())
        } else if self.status.is_success() {
            Err(Refusal::upstream_invalid("The upstream did not answer with JSON."))
        } else {
            Err(Refusal::upstream_status(self.status))
        }
    }

    async fn inspect(&self, mut inspector: Inspector, text: Bytes, flight: &mut Flight) -> Result<Bytes, Refusal> {
        if text.is_empty() {
            return self.not_json(&text);
        }
        let mut started = Instant::now();
        let limits = super::json_limits(&self.snapshot.settings);
        let answer = match wire::read_answer(self.plan.dialect, &text, &limits) {
            Ok(answer) => answer,
            Err(_) if !self.status.is_success() => return Err(Refusal::upstream_status(self.status)),
            Err(_) => return Err(Refusal::upstream_invalid("The upstream's answer is not valid JSON.")),
        };
        if let Some(id) = &answer.id {
            flight.answered_as(id);
        }
        let mut edits = edits(&mut inspector, &answer);
        let mut reason = "content_filter";
        if let Some((approver, changes)) = self.plan.approver.as_ref().zip(edits.as_deref()) {
            let leaving = (!changes.is_empty()).then(|| answer.rebuild(changes));
            let leaving = leaving.as_deref().unwrap_or(&text);
            let asked = Instant::now();
            if let Err(why) = approver.whole(&mut inspector, &answer, leaving, &limits).await {
                (edits, reason) = (None, why.code());
            }
            flight.note(|record| record.micros.waited += micros_since(asked));
            started += asked.elapsed();
        }
        let blocked = edits.is_none();
        if let Some(edits) = edits.as_deref().filter(|_| inspector.keeps()) {
            keep(&mut inspector, &answer, edits, flight);
        }
        let rebuilt = match edits {
            None => Some(answer.blocked(&flight.id().0, &flight.model(), BLOCKED_NOTICE)),
            Some(edits) if edits.is_empty() => None,
            Some(edits) => Some(answer.rebuild(&edits)),
        };
        for (place, reason) in &answer.opaque {
            flight.uninspected(*reason, u64::from(place.len()));
        }
        let uninspected = answer.opaque.iter().map(|(place, _)| u64::from(place.len())).sum::<u64>();
        let (usage, finish) = (answer.usage, answer.finish);
        let size = rebuilt.as_ref().map_or(text.len(), Vec::len) as u64;
        flight.note(|record| {
            record.usage = usage;
            record.finish = finish;
            record.micros.scan_output += micros_since(started);
            record.micros.scan += micros_since(started);
            record.response_bytes.uninspected = uninspected.min(size);
            record.response_bytes.inspected = size.saturating_sub(uninspected);
        });
        let verdict = inspector.verdict();
        let refusal = blocked.then(|| verdict.as_ref().map(|(verdict, _)| self.refusal(verdict, reason))).flatten();
        if let Some((verdict, enforced)) = verdict {
            flight.output(verdict, if blocked { Decision::Block } else { enforced.min(Decision::Redact) });
        }
        let by_error = self.snapshot.settings.inspect.block_mode == BlockMode::Error || !self.status.is_success();
        match refusal {
            Some(refusal) if by_error => {
                flight.note(|record| record.response_bytes = crate::types::Accounted::default());
                Err(refusal)
            }
            Some(_) => {
                flight.end(crate::types::Outcome::AnswerBlocked, Some(reason));
                Ok(self.keys.whole(Bytes::from(rebuilt.unwrap_or_default())))
            }
            None => Ok(self.keys.whole(rebuilt.map_or(text, Bytes::from))),
        }
    }
}

impl Whole<'_> {
    fn refusal(&self, verdict: &Verdict, reason: &'static str) -> Refusal {
        match reason {
            "content_filter" => Refusal::answer_blocked(verdict, self.snapshot.settings.inspect.show_rules),
            unapproved => Refusal::tool_unapproved(unapproved),
        }
    }
}

/// Keeps the words of an answer as they go on: not the ids and names beside them.
fn keep(inspector: &mut Inspector, answer: &wire::Answer<'_>, edits: &[(usize, String)], flight: &mut Flight) {
    let all = answer.dialect == Dialect::Generic;
    for (index, piece) in answer.pieces.iter().enumerate() {
        let edited = edits.binary_search_by_key(&index, |(index, _)| *index).ok().and_then(|at| edits.get(at));
        let text = edited.map_or(&*piece.text, |(_, text)| text);
        match piece.kind {
            PieceKind::Delta => inspector.went_on(piece.channel, text),
            PieceKind::Copy if all || piece.channel.kind == ChannelKind::ToolCall => {
                inspector.line_went_on(piece.channel, text);
            }
            PieceKind::Copy | PieceKind::Token => {}
        }
    }
    if let Some(text) = inspector.kept() {
        flight.keep(Direction::Output, text, None);
    }
}

/// What each piece becomes where it changes; `None` when the answer is blocked.
fn edits(inspector: &mut Inspector, answer: &wire::Answer<'_>) -> Option<Vec<(usize, String)>> {
    let mut edits: Vec<(usize, String)> = Vec::new();
    let mut last: Vec<(Channel, usize)> = Vec::new();
    for (index, piece) in answer.pieces.iter().enumerate() {
        if piece.names_tool() && !inspector.allows(&piece.text) {
            return None;
        }
        let fed = match piece.kind {
            PieceKind::Copy => inspector.whole(&piece.text),
            PieceKind::Delta | PieceKind::Token => {
                match last.iter_mut().find(|(channel, _)| *channel == piece.channel) {
                    Some((_, at)) => *at = index,
                    None => last.push((piece.channel, index)),
                }
                inspector.feed(piece.channel, &piece.text)
            }
        };
        match fed {
            Fed::Unchanged => {}
            Fed::Instead(text) => edits.push((index, text)),
            Fed::Blocked(_) => return None,
        }
    }
    for (channel, index) in last {
        let rest = match inspector.finish(channel) {
            Fed::Unchanged => continue,
            Fed::Instead(rest) => rest,
            Fed::Blocked(_) => return None,
        };
        match edits.iter_mut().find(|(edited, _)| *edited == index) {
            Some((_, text)) => text.push_str(&rest),
            None => {
                let text = answer.pieces.get(index).map(|piece| piece.text.as_ref()).unwrap_or_default();
                edits.push((index, format!("{text}{rest}")));
            }
        }
    }
    // Text that was held and released again only moved between pieces: nothing is edited unless something was replaced.
    if !inspector.redacted() {
        return Some(Vec::new());
    }
    edits.sort_unstable_by_key(|(index, _)| *index);
    Some(edits)
}

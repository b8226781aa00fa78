//! The rehearsal model: a built-in offline stand-in that answers when no provider key is configured.
//!
//! It is deterministic, knows nothing and says so. It exists so that the gateway can be explored, demonstrated and
//! attacked with no provider: it speaks every dialect, streamed and not, with tools, structured output and usage.
//!
//! It reads the last user message. A tool whose name (or a word of it) is mentioned is called with arguments made from
//! its schema; a tool's result is quoted back. Some phrases, in a user message or a tool result, steer it; the ones
//! that make it misbehave exist so that the inspection of answers can be seen at work:
//!
//! | phrase | what it does |
//! |---|---|
//! | `rehearse: say TEXT` | answers exactly TEXT (the rest of the message) |
//! | `rehearse: N words` | an answer of N words, for watching a long stream (at most 20,000) |
//! | `rehearse: refuse` | a refusal |
//! | `rehearse: error 503` | an error of that status in place of an answer |
//! | `rehearse: leak a key` | a made-up provider key in mid-sentence (also `leak an aws key`, `leak a github token`, `leak a private key`) |
//! | `rehearse: leak a card number` | a made-up payment card number that passes the Luhn check |
//! | `rehearse: repeat the system text` | the system prompt, word for word (so does `leak the system prompt`, a wording that the prompt rules stop) |
//! | `rehearse: exfiltration link` | a Markdown image whose address carries data away |
//! | `rehearse: dangerous tool call` | a tool call that would delete the file system |
//!
//! Every secret it shows is generated from a hash of the request: none is, or ever was, anybody's.

mod ask;
mod chat;
mod completions;
mod dice;
mod embeddings;
mod messages;
mod mischief;
mod models;
mod responses;
mod schema;
mod sse;
mod think;

use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::Sleep;

use crate::types::{ApiFamily, Dialect};
use dice::Dice;

/// The name it gives itself in the `model` field of answers.
pub const MODEL: &str = "portcullis-rehearsal";

/// The pause before each word of a stream, so that a person sees it arrive.
pub const WORD_PAUSE: Duration = Duration::from_millis(15);

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `content-type`.
    pub content_type: &'static str,
    /// What follows the head.
    pub body: ReplyBody,
}

/// The body of an answer.
#[derive(Debug)]
pub enum ReplyBody {
    /// In one piece.
    Whole(Vec<u8>),
    /// Streamed, as `text/event-stream`.
    Stream(ReplyStream),
}

/// An answer as a sequence of server-sent events, each whole, with the pause that precedes it.
///
/// As an iterator it gives the pauses without taking them; `poll_next` takes them.
#[derive(Debug)]
pub struct ReplyStream {
    events: std::vec::IntoIter<(Duration, Bytes)>,
    waiting: Option<(Pin<Box<Sleep>>, Bytes)>,
}

impl ReplyStream {
    /// The next event, when its pause is over. Needs a tokio runtime with a timer.
    pub fn poll_next(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some((sleep, _)) = &mut self.waiting {
                ready!(sleep.as_mut().poll(context));
                return Poll::Ready(self.waiting.take().map(|(_, event)| event));
            }
            match self.events.next() {
                None => return Poll::Ready(None),
                Some((Duration::ZERO, event)) => return Poll::Ready(Some(event)),
                Some((pause, event)) => self.waiting = Some((Box::pin(tokio::time::sleep(pause)), event)),
            }
        }
    }
}

impl Iterator for ReplyStream {
    type Item = (Duration, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        self.events.next()
    }
}

/// What every answer needs besides the question.
struct Context {
    /// Unix time in seconds, for `created`.
    created: u64,
    /// The source of ids and made-up secrets.
    dice: Dice,
}

/// What a dialect makes of a request.
enum Made {
    /// One JSON value.
    Json(Value),
    /// Events.
    Events(Vec<(Duration, Bytes)>),
    /// An error to report in the dialect's form.
    Failed(Failure),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    status: u16,
    message: String,
    param: Option<&'static str>,
}

impl Failure {
    fn missing(param: &'static str) -> Self {
        Self { status: 400, message: format!("`{param}` is missing or not of the right type."), param: Some(param) }
    }
}

/// Answers a request: a stream when it says `"stream": true` and the dialect has streams.
///
/// `path` is canonical, without `/v1` (`/chat/completions`, `/models/x`). A `GET` has an empty body.
pub fn respond(dialect: Dialect, method: &str, path: &str, body: &[u8]) -> Reply {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut context = Context { created, dice: Dice::new(body) };
    let made = if dialect == Dialect::Models && matches!(method, "GET" | "HEAD") {
        models::answer(path, created)
    } else {
        match serde_json::from_slice::<Value>(body) {
            Ok(request) if request.is_object() => dispatch(dialect, path, &request, &mut context),
            _ => Made::Failed(Failure { status: 400, message: "The body is not a JSON object.".into(), param: None }),
        }
    };
    match made {
        Made::Json(value) => json_reply(StatusCode::OK, &value),
        Made::Events(events) => {
            let stream = ReplyStream { events: events.into_iter(), waiting: None };
            Reply { status: StatusCode::OK, content_type: "text/event-stream", body: ReplyBody::Stream(stream) }
        }
        Made::Failed(failure) => {
            let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            json_reply(status, &error_body(dialect, &failure))
        }
    }
}

fn dispatch(dialect: Dialect, path: &str, request: &Value, context: &mut Context) -> Made {
    let stream = request.get("stream").and_then(Value::as_bool).unwrap_or(false);
    match dialect {
        Dialect::Chat => chat::answer(request, stream, context),
        Dialect::Responses => responses::answer(request, stream, context),
        Dialect::Completions => completions::answer(request, stream, context),
        Dialect::Messages if path.ends_with("/count_tokens") => messages::count(request, context),
        Dialect::Messages => messages::answer(request, stream, context),
        Dialect::Embeddings => embeddings::answer(request),
        Dialect::Models | Dialect::Generic => Made::Failed(Failure {
            status: 404,
            message: "The rehearsal model does not answer this endpoint. Configure an upstream for it.".into(),
            param: None,
        }),
    }
}

fn json_reply(status: StatusCode, value: &Value) -> Reply {
    Reply { status, content_type: "application/json", body: ReplyBody::Whole(value.to_string().into_bytes()) }
}

fn error_body(dialect: Dialect, failure: &Failure) -> Value {
    let kind = match (dialect.api_family(), failure.status) {
        (_, 400) => "invalid_request_error",
        (ApiFamily::Anthropic, 404) => "not_found_error",
        (ApiFamily::OpenAi, 404) => "invalid_request_error",
        (ApiFamily::Anthropic, 429) => "rate_limit_error",
        (ApiFamily::OpenAi, 429) => "requests",
        (ApiFamily::Anthropic, 529) => "overloaded_error",
        (ApiFamily::Anthropic, _) => "api_error",
        (ApiFamily::OpenAi, _) => "server_error",
    };
    match dialect.api_family() {
        ApiFamily::OpenAi => json!({"error": {
            "message": failure.message, "type": kind, "param": failure.param, "code": null}}),
        ApiFamily::Anthropic => json!({"type": "error", "error": {"type": kind, "message": failure.message}}),
    }
}

#[cfg(test)]
mod tests;

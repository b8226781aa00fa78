//! The playground: a chat through the data path, by the gateway's own listener, as the account that is signed in.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Json;
use axum::body::{Body as Stream, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::super::App;
use super::super::change::Change;
use super::super::error::ApiError;
use super::super::extract::Body;
use super::super::guard::Principal;
use super::super::words::{Few, LongText, Word};
use super::verdict::{Tried, tried};
use super::{ChatModel, ChatOrder, ChatPiece};
use crate::types::AccessRole;

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// Whoever operates the application.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Speaker {
    const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    role: Speaker,
    /// What is said.
    content: LongText,
}

/// What is said to a model.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The conversation so far, the newest last; one at least.
    #[schema(value_type = Vec<Message>, min_items = 1, max_items = 200)]
    messages: Few<Message, 200>,
    /// The model.
    model: Word,
    /// The policy it is treated by, in place of the one that matches. For administrators.
    #[serde(default)]
    policy: Option<Word>,
    /// What would be enforced is only reported, to compare. For administrators.
    #[serde(default)]
    monitor: bool,
    /// The answer as it comes, as events of a stream (`text/event-stream`): `begun`, `text`, `refused`, `finished`, `broken`,
    /// and at last `ended`, with what the record says. Otherwise the whole as JSON.
    #[serde(default)]
    stream: bool,
}

/// A whole answer.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Answered {
    /// What the model said.
    pub text: String,
    /// What a client was told where it was refused or cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// Why the model ended, where it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
    /// What is wrong with the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// Whether the built-in model answered.
    pub rehearsal: bool,
    /// What the record says.
    pub record: Tried,
}

/// A refusal, in the words in which every client gets it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// The HTTP status; 200 where a stream was cut.
    pub status: u16,
    /// The error's code.
    pub code: String,
    /// What a client is told.
    pub message: String,
}

/// The models that the configuration names.
#[utoipa::path(get, path = "/api/v1/playground/models", tag = "trying",
    responses((status = 200, description = "The models.", body = Vec<ChatModel>)))]
pub async fn models(State(app): State<App>) -> Result<Json<Vec<ChatModel>>, ApiError> {
    Ok(Json(app.trying()?.chat.models()))
}

/// Says something to a model through the whole data path, as the account that asks.
#[utoipa::path(post, path = "/api/v1/playground", tag = "trying", request_body = Asked,
    responses((status = 200, description = "What came back.", body = Answered)))]
pub async fn ask(State(app): State<App>, who: Principal, Body(asked): Body<Asked>) -> Result<Response, ApiError> {
    let chat = std::sync::Arc::clone(&app.trying()?.chat);
    let messages: Vec<(String, String)> =
        asked.messages.into_iter().map(|one| (one.role.name().to_owned(), one.content.into())).collect();
    if messages.is_empty() {
        return Err(ApiError::invalid("no_messages", "There is nothing to say."));
    }
    let policy = asked.policy.map(String::from);
    if (policy.is_some() || asked.monitor) && !who.roles.any_of(&[AccessRole::Admin]) {
        let told = "Only administrators try another policy than their own, or turn its consequences off.";
        return Err(ApiError::forbidden("policy_not_allowed", told));
    }
    if let Some(name) = &policy {
        let known = app.doors.gateway.policies().await?;
        if !known.iter().any(|one| one.get("name").and_then(Value::as_str) == Some(name)) {
            return Err(ApiError::not_found("policy"));
        }
    }
    let model = String::from(asked.model);
    let change = Change::new("action", "playground.ask", who.actor(), format!("model/{model}"))
        .after(json!({ "policy": policy, "monitor": asked.monitor, "messages": messages.len() }));
    let order = ChatOrder { account: who.name.to_string(), model, messages, policy, monitor: asked.monitor };
    let pieces = change.make(&app, chat.ask(order)).await?;
    if asked.stream { Ok(streamed(app, pieces)) } else { Ok(Json(whole(&app, pieces).await).into_response()) }
}

async fn whole(app: &App, mut pieces: mpsc::Receiver<ChatPiece>) -> Answered {
    let mut answer = Answered::default();
    let mut id = String::new();
    while let Some(piece) = pieces.recv().await {
        match piece {
            ChatPiece::Begun { request, rehearsal } => (id, answer.rehearsal) = (request, rehearsal),
            ChatPiece::Text(text) => answer.text.push_str(&text),
            ChatPiece::Refused { status, code, message } => answer.refused = Some(Refused { status, code, message }),
            ChatPiece::Finished(why) => answer.finish = Some(why),
            ChatPiece::Broken(why) => answer.broken = Some(why),
        }
    }
    answer.record = if id.is_empty() { Tried::default() } else { tried(app, &id).await };
    answer
}

/// Events that may wait for a slow browser; then the answer waits, and with it the upstream.
const WAITING: usize = 16;

/// A body whose pieces are made elsewhere. Dropping it ends that.
struct Events(mpsc::Receiver<Bytes>);

impl axum::body::HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// Pieces to events until nobody listens any more, at last what the record says.
async fn tell(app: App, mut pieces: mpsc::Receiver<ChatPiece>, to: mpsc::Sender<Bytes>) {
    let mut id = String::new();
    loop {
        let piece = tokio::select! {
            piece = pieces.recv() => piece,
            () = to.closed() => return,
        };
        let Some(piece) = piece else { break };
        if let ChatPiece::Begun { request, .. } = &piece {
            id.clone_from(request);
        }
        if to.send(told(piece)).await.is_err() {
            return;
        }
    }
    let record = if id.is_empty() { Tried::default() } else { tried(&app, &id).await };
    // Whoever asked may have left.
    let _left = to.send(event("ended", &json!(record))).await;
}

fn streamed(app: App, pieces: mpsc::Receiver<ChatPiece>) -> Response {
    let (to, events) = mpsc::channel(WAITING);
    drop(tokio::spawn(tell(app, pieces, to)));
    let mut answer = Response::new(Stream::new(Events(events)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    answer
}

fn told(piece: ChatPiece) -> Bytes {
    match piece {
        ChatPiece::Begun { request, rehearsal } => {
            event("begun", &json!({ "request": request, "rehearsal": rehearsal }))
        }
        ChatPiece::Text(text) => event("text", &json!({ "text": text })),
        ChatPiece::Refused { status, code, message } => {
            event("refused", &json!({ "status": status, "code": code, "message": message }))
        }
        ChatPiece::Finished(why) => event("finished", &json!({ "finish": why })),
        ChatPiece::Broken(why) => event("broken", &json!({ "message": why })),
    }
}

fn event(name: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

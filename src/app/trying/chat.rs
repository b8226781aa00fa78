//! The playground's door: a question to the own data listener, its answer in pieces.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use super::own::{Own, lend};
use crate::config::Handle;
use crate::config::admin_settings::Trying as Settings;
use crate::config::issued::{IssuedKey, Lent};
use crate::config::settings::UpstreamKind;
use crate::control::Follower;
use crate::control::api::door::{DoorError, Reply};
use crate::control::api::trying::{Chat, ChatModel, ChatOrder, ChatPiece};

/// Pieces that may wait for a slow reader; then the answer waits, and with it the upstream.
const WAITING: usize = 64;
/// Bytes of an answer that is no stream, and of a line of one that is.
const MOST: usize = 4 << 20;
/// Tokens of an answer, where the provider has to be told.
const MOST_TOKENS: u32 = 4096;
/// The team and the agent of what comes from here.
const TEAM: &str = "playground";
/// Models that answer no chat.
const NO_CHAT: [&str; 9] =
    ["embed", "moderation", "realtime", "davinci", "babbage", "computer-use", "voyage", "instruct", "deep-research"];
/// The first models of the list.
const FIRST: [&str; 3] = ["gpt-4o-mini", "gpt-4o", "claude-sonnet-4"];

/// The door.
pub(super) struct Talk {
    own: Own,
    config: Arc<Handle>,
    follower: Follower,
    room: Arc<Semaphore>,
    timeout: Duration,
}

impl Talk {
    pub(super) fn new(own: Own, config: Arc<Handle>, follower: Follower, settings: &Settings) -> Self {
        let room = Arc::new(Semaphore::new(settings.chats));
        Self { own, config, follower, room, timeout: settings.timeout.get() }
    }

    /// Which API a model is asked by.
    fn kind(model: &str) -> UpstreamKind {
        if model.contains("claude") { UpstreamKind::Anthropic } else { UpstreamKind::Openai }
    }
}

impl Chat for Talk {
    fn ask(&self, order: ChatOrder) -> Reply<'_, mpsc::Receiver<ChatPiece>> {
        Box::pin(async move {
            let busy =
                |_| DoorError::Invalid("As many answers are under way as may be: wait for one to end.".to_owned());
            let permit = Arc::clone(&self.room).try_acquire_owned().map_err(busy)?;
            let request = request(&order).map_err(DoorError::Unavailable)?;
            let key = IssuedKey {
                family: format!("{TEAM}.{}", order.account).into(),
                name: TEAM.into(),
                team: Some(TEAM.into()),
                user: Some(order.account.as_str().into()),
                agent: Some(TEAM.into()),
                ..IssuedKey::default()
            };
            let lent = Lent { policy: order.policy.as_deref().map(Into::into), monitor: order.monitor };
            let loan = lend(&self.follower, key, lent).map_err(DoorError::Unavailable)?;
            let (sender, receiver) = mpsc::channel(WAITING);
            let (own, follower, timeout) = (self.own.clone(), self.follower.clone(), self.timeout);
            drop(tokio::spawn(async move {
                // Whatever ends it first: dropping the connection has the gateway cancel the upstream.
                tokio::select! {
                    ended = tokio::time::timeout(timeout, talk(&own, request, loan.bearer, &sender)) => {
                        let why = match ended {
                            Ok(Ok(())) => None,
                            Ok(Err(why)) => Some(why),
                            Err(_) => Some(format!("no whole answer within {} s", timeout.as_secs())),
                        };
                        if let Some(why) = why {
                            // Whoever asked may have left.
                            let _left = sender.send(ChatPiece::Broken(why)).await;
                        }
                    }
                    () = sender.closed() => {}
                }
                follower.take_back(&[loan.id]);
                drop(permit);
            }));
            Ok(receiver)
        })
    }

    fn models(&self) -> Vec<ChatModel> {
        let snapshot = self.config.load_full();
        let priced = snapshot.prices.prices().prices.iter().map(|price| price.model.as_str());
        let allowed = snapshot.policies.iter().filter_map(|policy| policy.written.models.as_ref()).flatten();
        let mut seen = BTreeSet::new();
        let names = FIRST.into_iter().chain(allowed.map(String::as_str)).chain(priced);
        let names = names.map(|name| name.trim_matches('*')).filter(|name| {
            let chats = !NO_CHAT.iter().any(|word| name.contains(word));
            !name.is_empty() && !name.contains(['*', ':']) && chats && seen.insert(name.to_owned())
        });
        names
            .filter_map(|name| {
                let kind = Self::kind(name);
                let upstream = snapshot.upstreams.of_kind(kind)?;
                let api = if kind == UpstreamKind::Anthropic { "anthropic" } else { "openai" };
                let rehearsal = upstream.kind == UpstreamKind::Rehearsal;
                Some(ChatModel { name: name.to_owned(), api: api.to_owned(), rehearsal })
            })
            .collect()
    }
}

fn request(order: &ChatOrder) -> Result<Request<Full<Bytes>>, String> {
    let said = |roles: &[&str]| -> Vec<Value> {
        let wanted = order.messages.iter().filter(|(role, _)| roles.contains(&role.as_str()));
        wanted.map(|(role, text)| json!({ "role": role, "content": text })).collect()
    };
    let (path, body) = match Talk::kind(&order.model) {
        UpstreamKind::Anthropic => {
            let systems = order.messages.iter().filter(|(role, _)| role == "system").map(|(_, text)| text.as_str());
            let system = systems.collect::<Vec<_>>().join("\n\n");
            let mut body = json!({
                "model": order.model, "max_tokens": MOST_TOKENS, "stream": true, "messages": said(&["user", "assistant"]),
            });
            if let (false, Some(fields)) = (system.is_empty(), body.as_object_mut()) {
                fields.insert("system".to_owned(), json!(system));
            }
            ("/v1/messages", body)
        }
        UpstreamKind::Openai | UpstreamKind::Rehearsal => {
            let messages = said(&["system", "user", "assistant"]);
            ("/v1/chat/completions", json!({ "model": order.model, "stream": true, "messages": messages }))
        }
    };
    let request = Request::post(path)
        .header(CONTENT_TYPE, "application/json")
        .header("anthropic-version", "2023-06-01")
        .body(Full::from(body.to_string()));
    request.map_err(|error| error.to_string())
}

/// What the listener says, piece by piece.
async fn talk(
    own: &Own,
    mut request: Request<Full<Bytes>>,
    bearer: hyper::header::HeaderValue,
    to: &mpsc::Sender<ChatPiece>,
) -> Result<(), String> {
    if !request.uri().path().ends_with("/messages") {
        request.headers_mut().remove("anthropic-version");
    }
    let answer = own.send(request, bearer).await?;
    let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let request = text("x-request-id").to_owned();
    let rehearsal = text("x-portcullis-rehearsal") == "true";
    let is_stream = text("content-type").starts_with("text/event-stream");
    put(to, ChatPiece::Begun { request, rehearsal }).await?;
    if is_stream { stream(answer, to).await } else { whole(answer, to).await }
}

async fn put(to: &mpsc::Sender<ChatPiece>, piece: ChatPiece) -> Result<(), String> {
    to.send(piece).await.map_err(|_| "nobody listens any more".to_owned())
}

async fn whole(answer: Response<Incoming>, to: &mpsc::Sender<ChatPiece>) -> Result<(), String> {
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), MOST).collect().await.map_err(|error| error.to_string())?;
    let said: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    match refused(status, &said) {
        Some(piece) => put(to, piece).await,
        None => Err(format!("the gateway answered {status} without a stream")),
    }
}

/// An error of either API.
fn refused(status: u16, said: &Value) -> Option<ChatPiece> {
    let error = said.get("error").filter(|error| !error.is_null())?;
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let code = text("code").or_else(|| text("type")).unwrap_or_default().to_owned();
    Some(ChatPiece::Refused { status, code, message: text("message").unwrap_or_default().to_owned() })
}

async fn stream(answer: Response<Incoming>, to: &mpsc::Sender<ChatPiece>) -> Result<(), String> {
    let mut body = answer.into_body();
    let mut waiting: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| "the answer broke off".to_owned())?;
        let Some(data) = frame.data_ref() else { continue };
        waiting.extend_from_slice(data);
        if waiting.len() > MOST {
            return Err("a line of the answer is too long".to_owned());
        }
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            let Ok(said) = serde_json::from_slice::<Value>(data.trim_ascii()) else { continue };
            for piece in pieces(&said) {
                put(to, piece).await?;
            }
        }
    }
    Ok(())
}

/// What an event of either API says.
fn pieces(said: &Value) -> Vec<ChatPiece> {
    if let Some(refused) = refused(200, said) {
        return vec![refused];
    }
    let text = |pointer: &str| said.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let words = text("/choices/0/delta/content").or_else(|| text("/delta/text"));
    let refusal = text("/choices/0/delta/refusal");
    let finish = text("/choices/0/finish_reason").or_else(|| text("/delta/stop_reason"));
    let words = words.or(refusal).map(|words| ChatPiece::Text(words.to_owned()));
    words.into_iter().chain(finish.map(|why| ChatPiece::Finished(why.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_both_apis_become_pieces() {
        let of = |text: &str| pieces(&serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"choices":[{"delta":{"content":"Hi"}}]}"#), [ChatPiece::Text("Hi".into())]);
        assert_eq!(
            of(r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#),
            [ChatPiece::Finished("content_filter".into())]
        );
        let delta = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Yo"}}"#;
        assert_eq!(of(delta), [ChatPiece::Text("Yo".into())]);
        let stop = r#"{"type":"message_delta","delta":{"stop_reason":"refusal"}}"#;
        assert_eq!(of(stop), [ChatPiece::Finished("refusal".into())]);
        let cut = r#"{"type":"error","error":{"type":"content_filter","message":"cut"}}"#;
        let refused = ChatPiece::Refused { status: 200, code: "content_filter".into(), message: "cut".into() };
        assert_eq!(of(cut), [refused]);
        assert!(of(r#"{"choices":[],"usage":{"prompt_tokens":3}}"#).is_empty());
    }
}

//! What a target sent back, whole or streamed, as far as a verdict needs it.

use bytes::Bytes;
use serde_json::Value;

use crate::wire::Splitter;

/// The longest event of a stream.
const MAX_EVENT: usize = 1 << 20;

/// An answer of the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The HTTP status.
    pub(super) status: u16,
    /// Everything the model says in it: text, a refusal of its own, the arguments of tool calls.
    pub(super) said: String,
    /// What of it is the text, to go on with a conversation.
    pub(super) text: String,
    /// Why the first choice ended.
    pub(super) finish: Option<String>,
    /// The error instead of an answer, or in the middle of a stream.
    pub(super) error: Option<Complaint>,
    /// Why it is no answer at all.
    pub(super) broken: Option<String>,
}

/// An error in OpenAI's form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Complaint {
    /// `code` and `type`, and those of an inner error, joined by blanks.
    pub(super) codes: String,
    pub(super) message: String,
}

impl Reply {
    /// Reads a body. `content_type` tells a stream from one JSON value.
    pub(super) fn read(status: u16, content_type: &str, body: &Bytes) -> Self {
        let mut reply = Self { status, ..Self::default() };
        if content_type.starts_with("text/event-stream") {
            reply.stream(body);
            return reply;
        }
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => reply.value(&value, "message"),
            Err(_) => reply.broken = Some("the answer is neither JSON nor an event stream".to_owned()),
        }
        reply
    }

    fn stream(&mut self, body: &Bytes) {
        let mut splitter = Splitter::new(MAX_EVENT);
        splitter.push(body.clone());
        let mut done = false;
        loop {
            let event = match splitter.next_event() {
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    self.broken = Some(error.to_string());
                    return;
                }
                None => match splitter.finish() {
                    Some(event) => event,
                    None => break,
                },
            };
            let Some(data) = event.data else { continue };
            if *data == *b"[DONE]" {
                done = true;
            } else if let Ok(value) = serde_json::from_slice::<Value>(&data) {
                self.value(&value, "delta");
            }
        }
        if !done && self.finish.is_none() && self.error.is_none() {
            self.broken = Some("the stream ended before its end".to_owned());
        }
    }

    /// A whole answer or a piece of one; `holder` is where a choice keeps what is said.
    fn value(&mut self, value: &Value, holder: &str) {
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            self.error = Some(complaint(error));
        }
        for choice in value.get("choices").and_then(Value::as_array).into_iter().flatten() {
            if let Some(finish) = choice.get("finish_reason").and_then(Value::as_str) {
                self.finish = Some(finish.to_owned());
            }
            let Some(message) = choice.get(holder) else { continue };
            let text = message.get("content").and_then(Value::as_str).unwrap_or_default();
            self.text.push_str(text);
            self.said.push_str(text);
            for key in ["refusal", "reasoning_content", "reasoning"] {
                self.said.push_str(message.get(key).and_then(Value::as_str).unwrap_or_default());
            }
            for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
                for at in ["/function/name", "/function/arguments", "/custom/input"] {
                    self.said.push_str(call.pointer(at).and_then(Value::as_str).unwrap_or_default());
                }
            }
        }
    }
}

fn complaint(error: &Value) -> Complaint {
    let at = |pointer: &str| error.pointer(pointer).and_then(Value::as_str);
    let codes: Vec<&str> = ["/code", "/type", "/innererror/code"].into_iter().filter_map(at).collect();
    let message = error.as_str().or_else(|| at("/message")).unwrap_or_default();
    Complaint { codes: codes.join(" "), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(body: &str) -> Reply {
        Reply::read(200, "text/event-stream; charset=utf-8", &Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn a_whole_answer_and_a_streamed_one_say_the_same() {
        let whole = r#"{"choices":[{"message":{"content":"So it is","refusal":null},"finish_reason":"stop"}]}"#;
        let whole = Reply::read(200, "application/json", &Bytes::from(whole));
        let streamed = stream(
            "data: {\"choices\":[{\"delta\":{\"content\":\"So it\"},\"finish_reason\":null}]}\n\n\
             data: {\"choices\":[{\"delta\":{\"content\":\" is\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        );
        assert_eq!(whole, streamed);
        assert_eq!(whole.said, "So it is");
    }

    #[test]
    fn a_stream_that_breaks_off_is_no_answer() {
        assert!(stream("data: {\"choices\":[{\"delta\":{\"content\":\"So\"}}]}\n\n").broken.is_some());
        assert!(Reply::read(200, "text/html", &Bytes::from("<html>")).broken.is_some());
    }

    #[test]
    fn errors_and_the_arguments_of_calls_are_read() {
        let error = r#"{"error":{"message":"no","type":"invalid_request_error","code":"content_filter"}}"#;
        let reply = Reply::read(400, "application/json", &Bytes::from(error));
        assert_eq!(reply.error.unwrap().codes, "content_filter invalid_request_error");
        let call = r#"{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"sh","arguments":"{\"x\":1}"}}]}}]}"#;
        assert_eq!(Reply::read(200, "application/json", &Bytes::from(call)).said, "sh{\"x\":1}");
    }
}

//! A client of the gateway that sees everything: status, headers, every byte, and whether the answer ended properly.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The framing says the body is whole.
    pub complete: bool,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The `data:` of every event, parsed; `[DONE]` as a string.
    pub fn events(&self) -> Vec<Value> {
        events(&self.text())
    }

    /// Fails unless this is an error in OpenAI's form with this status and code.
    #[track_caller]
    pub fn assert_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        let body = self.json();
        assert_eq!(body["error"]["code"], code, "{body}");
        assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string(), "{body}");
        assert!(self.header("x-request-id").is_some(), "every answer has a request id");
    }
}

/// The `data:` of every event in a text.
pub fn events(text: &str) -> Vec<Value> {
    let data = text.replace("\r\n", "\n");
    data.split("\n\n")
        .filter_map(|event| {
            let lines: Vec<&str> =
                event.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        })
        .map(|data| serde_json::from_str(&data).unwrap_or(Value::String(data)))
        .collect()
}

/// Every string at `pointer` of the events, joined.
pub fn joined(events: &[Value], pointer: &str) -> String {
    events.iter().filter_map(|event| event.pointer(pointer)?.as_str()).collect()
}

/// A `POST` of JSON bytes.
pub fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", "gateway.test")
        .header("content-type", "application/json")
        .header("authorization", "Bearer client-key")
        .body(Full::new(body.into()))
        .expect("a valid request")
}

/// A chat request with one user message.
pub fn ask(text: &str) -> Request<Full<Bytes>> {
    let body = serde_json::json!({"model": "m", "messages": [{"role": "user", "content": text}]});
    post("/v1/chat/completions", body.to_string())
}

/// A streamed chat request with one user message.
pub fn ask_streamed(text: &str) -> Request<Full<Bytes>> {
    let body = serde_json::json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": text}]});
    post("/v1/chat/completions", body.to_string())
}

/// Sends one request on its own connection; the head of the answer, its body still to come.
pub async fn open(address: SocketAddr, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
    let socket = TcpStream::connect(address).await.expect("the gateway accepts");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    sender.send_request(request).await
}

/// Sends one request on its own connection and reads the whole answer, for at most 20 seconds.
pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    within(20, async {
        let response = open(address, request).await.expect("an answer");
        collect(response).await
    })
    .await
}

/// Reads the rest of an answer.
pub async fn collect(response: Response<Incoming>) -> Answer {
    let (head, mut incoming) = response.into_parts();
    let (mut body, mut complete) = (Vec::new(), true);
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => body.extend(frame.data_ref().map(|data| data.to_vec()).unwrap_or_default()),
            Err(_) => complete = false,
        }
    }
    Answer { status: head.status.as_u16(), headers: head.headers, body, complete }
}

/// A connection that stays open for one request after another.
pub struct Connection {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
}

impl Connection {
    pub async fn to(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("the gateway accepts");
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.expect("HTTP");
        tokio::spawn(connection);
        Self { sender }
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        self.sender.ready().await?;
        Ok(collect(self.sender.send_request(request).await?).await)
    }
}

/// Writes raw bytes and reads until the gateway closes or `seconds` pass. What it said, and whether it closed.
pub async fn raw(address: SocketAddr, bytes: &[u8], seconds: u64) -> (String, bool) {
    let mut socket = TcpStream::connect(address).await.expect("the gateway accepts");
    // The gateway may answer and close before everything is written: that is its right.
    let (mut read, mut write) = socket.split();
    let mut said = Vec::new();
    let writing = async {
        drop(write.write_all(bytes).await);
        std::future::pending::<()>().await;
    };
    let reading = async {
        loop {
            match read.read_buf(&mut said).await {
                Ok(0) | Err(_) => return true,
                Ok(_) => {}
            }
        }
    };
    let closed = tokio::select! {
        closed = reading => closed,
        () = writing => false,
        () = tokio::time::sleep(std::time::Duration::from_secs(seconds)) => false,
    };
    (String::from_utf8_lossy(&said).into_owned(), closed)
}

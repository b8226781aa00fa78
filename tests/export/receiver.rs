//! A receiver that answers as a test says, and remembers what it was sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One request.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub headers: hyper::HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// JSON values one after the other, with or without line breaks between them.
    pub fn values(&self) -> Vec<Value> {
        serde_json::Deserializer::from_slice(&self.body).into_iter().map(Result::unwrap).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A status and a body.
pub type Reply = (u16, String);

type Play = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// The receiver.
pub struct Receiver {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    play: Arc<Mutex<Play>>,
    server: Option<tokio::task::JoinHandle<()>>,
}

impl Receiver {
    /// One that answers with this.
    pub async fn start(play: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let mut receiver = Self::down(play).await;
        receiver.up().await;
        receiver
    }

    /// One that nobody reaches until it is `up`.
    pub async fn down(play: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let play: Play = Arc::new(play);
        Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            play: Arc::new(Mutex::new(play)),
            server: None,
        }
    }

    pub async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.server = Some(tokio::spawn(serve(listener, Arc::clone(&self.seen), Arc::clone(&self.play))));
    }

    /// Everything of it ends at once, connections too.
    pub async fn fall(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            assert!(server.await.unwrap_err().is_cancelled());
        }
    }

    /// Answers with this from now on.
    pub fn play(&self, play: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *self.play.lock().unwrap() = Arc::new(play);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Vec<Seen>>>, play: Arc<Mutex<Play>>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (seen, play) = (Arc::clone(&seen), Arc::clone(&play));
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let (seen, play) = (Arc::clone(&seen), Arc::clone(&play));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let one = Seen { path: parts.uri.path().to_owned(), headers: parts.headers, body };
                let play = Arc::clone(&play.lock().unwrap());
                let (status, text) = play(&one);
                seen.lock().unwrap().push(one);
                let answer = Response::builder().status(status).header("location", "http://127.0.0.1:1/");
                Ok::<_, Infallible>(answer.body(Full::new(Bytes::from(text))).unwrap())
            }
        });
        connections.spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            // A client that goes away is no matter here.
            drop(http.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

/// What Splunk says to everything.
pub fn splunk(_: &Seen) -> Reply {
    (200, r#"{"text":"Success","code":0,"ackId":7}"#.to_owned())
}

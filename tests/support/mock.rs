//! A provider that does exactly what a test tells it, byte for byte, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One step of an answer.
#[derive(Debug, Clone)]
pub enum Act {
    /// These bytes.
    Send(Vec<u8>),
    /// These bytes, this many times.
    Repeat(Vec<u8>, u64),
    /// Nothing, for so long.
    Pause(Duration),
    /// Nothing, until the gateway closes.
    Hang,
    /// Waits until the test calls `Mock::go_on`.
    Wait,
    /// A reset instead of an orderly close.
    Reset,
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The gateway closed before the answer was over.
    pub cancelled: bool,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the gateway forwarded JSON")
    }
}

type Play = Arc<dyn Fn(&Seen) -> Vec<Act> + Send + Sync>;

/// The provider.
pub struct Mock {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    play: Mutex<Play>,
    seen: Mutex<Vec<Seen>>,
    now: AtomicUsize,
    most: AtomicUsize,
    go: tokio::sync::Notify,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Mock {
    /// Listens on a free port and answers every request with `acts`.
    pub async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            play: Mutex::new(Arc::new(move |_| acts.clone())),
            seen: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            go: tokio::sync::Notify::new(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, server }
    }

    /// Answers with `acts` from now on.
    pub fn play(&self, acts: Vec<Act>) {
        self.play_with(move |_| acts.clone());
    }

    /// Answers with what `play` makes of the request.
    pub fn play_with(&self, play: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) {
        *self.shared.play.lock().unwrap() = Arc::new(play);
    }

    /// Lets every answer that waits go on.
    pub fn go_on(&self) {
        self.shared.go.notify_waiters();
    }

    /// How many requests so far.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// The last request; a panic when there was none.
    pub fn last(&self) -> Seen {
        self.shared.seen.lock().unwrap().last().cloned().expect("the upstream was asked")
    }

    /// The most requests under way at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(connection(socket, Arc::clone(&shared)));
    }
}

async fn connection(mut socket: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut socket, &mut buffer).await {
        let play = Arc::clone(&*shared.play.lock().unwrap());
        let acts = play(&seen);
        let index = {
            let mut all = shared.seen.lock().unwrap();
            all.push(seen);
            all.len() - 1
        };
        let now = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most.fetch_max(now, Ordering::SeqCst);
        let end = perform(&mut socket, acts, &shared).await;
        shared.now.fetch_sub(1, Ordering::SeqCst);
        match end {
            End::KeptAlive => {}
            End::Cancelled => {
                shared.seen.lock().unwrap()[index].cancelled = true;
                return;
            }
            End::Closed => return,
        }
    }
}

enum End {
    KeptAlive,
    Closed,
    Cancelled,
}

async fn perform(socket: &mut TcpStream, acts: Vec<Act>, shared: &Shared) -> End {
    let mut keep = false;
    for act in acts {
        match act {
            Act::Send(bytes) => {
                keep |= says_keep_alive(&bytes);
                if socket.write_all(&bytes).await.is_err() {
                    return End::Cancelled;
                }
            }
            Act::Repeat(bytes, times) => {
                for _ in 0..times {
                    if socket.write_all(&bytes).await.is_err() {
                        return End::Cancelled;
                    }
                }
            }
            Act::Pause(time) => {
                tokio::select! {
                    () = tokio::time::sleep(time) => {}
                    () = closed(socket) => return End::Cancelled,
                }
            }
            Act::Hang => {
                closed(socket).await;
                return End::Cancelled;
            }
            Act::Wait => {
                tokio::select! {
                    () = shared.go.notified() => {}
                    () = closed(socket) => return End::Cancelled,
                }
            }
            Act::Reset => {
                // Closing with unsent or unread bytes and no lingering is a reset.
                socket2::SockRef::from(&*socket).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
                return End::Closed;
            }
        }
    }
    if keep { End::KeptAlive } else { End::Closed }
}

/// Canned answers say in their head whether the connection stays open.
fn says_keep_alive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 ") && bytes.windows(22).any(|window| window == b"connection: keep-alive")
}

async fn closed(socket: &mut TcpStream) {
    let mut byte = [0; 1];
    loop {
        match socket.peek(&mut byte).await {
            Ok(0) | Err(_) => return,
            // A pipelined request: the gateway never does that, but do not spin on it.
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Reads one request: head, then as many bytes as `content-length` or the chunks say.
async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at;
        }
        fill(socket, buffer).await?;
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let of = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let body = if of("transfer-encoding").is_some() {
        read_chunks(socket, buffer).await?
    } else {
        let length = of("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while buffer.len() < length {
            fill(socket, buffer).await?;
        }
        buffer.drain(..length).collect()
    };
    Some(Seen { method, target, headers, body, cancelled: false })
}

async fn read_chunks(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(at) = find(buffer, b"\r\n") {
                break at;
            }
            fill(socket, buffer).await?;
        };
        let size = usize::from_str_radix(std::str::from_utf8(&buffer[..line]).ok()?.split(';').next()?, 16).ok()?;
        while buffer.len() < line + 2 + size + 2 {
            fill(socket, buffer).await?;
        }
        body.extend_from_slice(&buffer[line + 2..line + 2 + size]);
        buffer.drain(..line + 2 + size + 2);
        if size == 0 {
            return Some(body);
        }
    }
}

async fn fill(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let read = socket.read_buf(buffer).await.ok()?;
    (read > 0).then_some(())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

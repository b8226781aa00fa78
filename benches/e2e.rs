//! What a request costs from end to end: `cargo bench --bench e2e` drives the built gateway between a client and a
//! provider of its own, all on this machine, in less than a minute.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that meets what it does not expect has failed; its figures are printed"
)]

mod support;

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Connections that ask for one thing after another.
const CONNECTIONS: usize = 8;
/// How long each figure is measured, after a start that is not.
const MEASURED: Duration = Duration::from_millis(2500);
const UNMEASURED: Duration = Duration::from_millis(300);
/// Events of one streamed answer.
const EVENTS: usize = 100;
/// Linux counts processor time in hundredths of a second, whatever the kernel's own clock.
const MICROS_PER_TICK: u64 = 10_000;
/// Bytes of one turn of a conversation.
const TURN: usize = 2_000;
/// Stands in a request where its number goes.
const NUMBER: &str = "0000000000";

const PROSE: &str = "The committee met on Tuesday to go over the budget for the coming year, and after a long talk agreed to \
                     keep the library open on Sundays. Nobody asked about the roof. ";
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"The library stays open.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}"#;
const EVENT: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" library\"},\"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[tokio::main]
async fn main() {
    // Cargo says so when it is a bench that is wanted; a test run, or a filter for another one, gets nothing.
    if !std::env::args().skip(1).eq(["--bench"]) {
        return;
    }
    let provider = support::provider(answer).await;
    let kinds = [
        Kind::new("300 B", 300, false),
        Kind::new("8 KB", 8_000, false),
        Kind::new("128 KB", 128_000, false),
        Kind::new("stream", 300, true),
    ];
    println!(
        "{CONNECTIONS} connections, every text new, {EVENTS} events in a stream; processor time of the gateway alone\n"
    );
    println!("{:8} {:22} {:>12} {:>10} {:>15}", "request", "by way of", "requests/s", "p50 us", "CPU us/request");
    for mode in [None, Some("off"), Some("enforce")] {
        let gateway = mode.map(|mode| Gateway::start(provider, mode));
        let address = gateway.as_ref().map_or(provider, |gateway| gateway.address);
        let way = mode.map_or("no gateway".to_owned(), |mode| format!("gateway, {mode}"));
        for kind in &kinds {
            let measured = measure(address, kind, gateway.as_ref()).await;
            let cpu = measured.cpu.map_or("-".to_owned(), |micros| format!("{micros:.1}"));
            println!("{:8} {way:22} {:>12.0} {:>10} {cpu:>15}", kind.name, measured.rate, measured.median.as_micros());
        }
    }
}

/// One kind of request.
struct Kind {
    name: &'static str,
    body: Vec<u8>,
    /// Where a number of its own is written into each turn, so that no text was seen before.
    numbers: Vec<usize>,
}

impl Kind {
    fn new(name: &'static str, size: usize, stream: bool) -> Self {
        let mut messages = Vec::new();
        let mut left = size;
        while left > 0 {
            let turn = left.min(TURN);
            let text: String = NUMBER.chars().chain(" ".chars()).chain(PROSE.chars().cycle()).take(turn).collect();
            messages.push(format!(r#"{{"role":"user","content":"{text}"}}"#));
            left -= turn;
        }
        let body = format!(r#"{{"model":"m","stream":{stream},"messages":[{}]}}"#, messages.join(","));
        let numbers = body.match_indices(NUMBER).map(|(at, _)| at).collect();
        Self { name, body: body.into_bytes(), numbers }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        static TURNS: AtomicU64 = AtomicU64::new(0);
        let mut body = self.body.clone();
        for at in &self.numbers {
            let digits = format!("{:010}", TURNS.fetch_add(1, Ordering::Relaxed));
            body[*at..*at + digits.len()].copy_from_slice(digits.as_bytes());
        }
        Request::post("/v1/chat/completions")
            .header("host", "gateway.test")
            .header("content-type", "application/json")
            .header("authorization", "Bearer client-key")
            .body(Full::new(Bytes::from(body)))
            .expect("a request")
    }
}

struct Measured {
    rate: f64,
    median: Duration,
    /// Microseconds of processor time per request.
    cpu: Option<f64>,
}

async fn measure(address: SocketAddr, kind: &Kind, gateway: Option<&Gateway>) -> Measured {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let socket = TcpStream::connect(address).await.expect("a connection");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.expect("HTTP");
        tokio::spawn(connection);
        connections.push(sender);
    }
    drive(&mut connections, kind, UNMEASURED).await;
    let (before, started) = (gateway.map(Gateway::cpu), Instant::now());
    let mut times = drive(&mut connections, kind, MEASURED).await;
    let took = started.elapsed();
    let spent = gateway.zip(before).map(|(gateway, before)| gateway.cpu() - before);
    assert!(!times.is_empty(), "nothing was answered");
    times.sort_unstable();
    let count = times.len() as f64;
    Measured {
        rate: count / took.as_secs_f64(),
        median: times[times.len() / 2],
        cpu: spent.map(|micros| micros as f64 / count),
    }
}

/// Asks on every connection, one request after another, for so long; how long each took.
async fn drive(connections: &mut [SendRequest<Full<Bytes>>], kind: &Kind, time: Duration) -> Vec<Duration> {
    let until = Instant::now() + time;
    let mut all = Vec::new();
    let work = connections.iter_mut().map(|sender| one_after_another(sender, kind, until));
    // All on this task: the client is not what is measured, and takes one core at most.
    let mut work: Vec<_> = work.map(Box::pin).collect();
    let mut done = vec![false; work.len()];
    std::future::poll_fn(|context| {
        for (future, done) in work.iter_mut().zip(&mut done) {
            if !*done && let Poll::Ready(times) = future.as_mut().poll(context) {
                *done = true;
                all.extend(times);
            }
        }
        if done.iter().all(|done| *done) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    all
}

async fn one_after_another(sender: &mut SendRequest<Full<Bytes>>, kind: &Kind, until: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    while Instant::now() < until {
        let request = kind.request();
        let started = Instant::now();
        sender.ready().await.expect("the connection stays open");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200, "every request is served");
        let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
        assert!(!body.is_empty());
        times.push(started.elapsed());
    }
    times
}

async fn answer(request: Request<Incoming>) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, hyper::Error> {
    let asked = request.into_body().collect().await?.to_bytes();
    let streamed = asked.windows(14).take(64).any(|window| window.starts_with(br#""stream":true"#));
    let (kind, body) = if streamed {
        ("text/event-stream", Events { left: EVENTS, pause: false }.boxed_unsync())
    } else {
        ("application/json", Full::new(Bytes::from_static(ANSWER.as_bytes())).boxed_unsync())
    };
    Ok(Response::builder().header("content-type", kind).body(body).expect("an answer"))
}

/// Events one by one: each is written before the next is made.
struct Events {
    left: usize,
    pause: bool,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.pause = !self.pause;
        if self.pause {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        let event = if left == 0 { LAST } else { EVENT };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(event.as_bytes())))))
    }
}

/// The gateway with its defaults, but for its ports and its provider.
struct Gateway {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Gateway {
    fn start(provider: SocketAddr, mode: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path();
        let settings = format!(
            "listeners = [{{ protocol = \"http\", address = \"127.0.0.1:0\" }}]\n[ops]\naddress = \"127.0.0.1:0\"\n\
             [inspect]\nmode = \"{mode}\"\n[upstreams.openai]\nkind = \"openai\"\nbase_url = \"http://{provider}/v1\"\n\
             api_key = \"sk-provider-0123456789abcdefghijklmnopqrstuv\"\n"
        );
        fs::write(path.join("gateway.toml"), settings).expect("gateway.toml");
        let log = fs::File::create(path.join("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("serve")
            .env_clear()
            .env("PORTCULLIS_ADDRESSES_FILE", path.join("addresses.json"))
            .current_dir(path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the gateway starts");
        let mut gateway = Self { child, address: provider, directory };
        let deadline = Instant::now() + Duration::from_secs(15);
        gateway.address = loop {
            if let Some(address) = gateway.listening() {
                break address;
            }
            assert!(Instant::now() < deadline, "the gateway does not start");
            std::thread::sleep(Duration::from_millis(20));
        };
        gateway
    }

    fn listening(&mut self) -> Option<SocketAddr> {
        let path = self.directory.path();
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("the gateway ended ({status}): {}", fs::read_to_string(path.join("log")).unwrap_or_default());
        }
        let addresses: Value = serde_json::from_str(&fs::read_to_string(path.join("addresses.json")).ok()?).ok()?;
        addresses["listeners"][0]["address"].as_str()?.parse().ok()
    }

    /// Processor time it has used, in microseconds; proc_pid_stat(5), `utime` and `stime`.
    fn cpu(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("its name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks"));
        ticks.sum::<u64>() * MICROS_PER_TICK
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

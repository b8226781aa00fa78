//! HTTP/1 connections to one upstream. A connection has no task of its own: whoever waits for an answer drives it, so
//! that a request costs no hand-over between tasks, and whoever gives up waiting closes it by dropping it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::{Request, Response, Uri};
use tower::Service;

use super::body::BodyError;
use super::connect::{Connector, Stream};
use super::{MAX_HEAD, MAX_HEADERS, SendError};
use crate::config::Upstream;
use crate::proxy::bell::Bell;

/// How often idle connections are looked at: those that are too old, or that the upstream closed, are closed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a connection that finds something to do is moved on before the other connections have their turn.
const TURNS: u32 = 16;

/// The connections of one worker to one upstream.
#[derive(Clone)]
pub(super) struct Lines {
    connector: Connector,
    address: Uri,
    resting: Arc<Resting>,
}

/// Connections that carry nothing now, the one used last at the end.
struct Resting {
    lines: Mutex<Vec<(Line, Instant)>>,
    max: usize,
    timeout: Duration,
    watched: Once,
}

/// One connection.
pub(in crate::proxy) struct Line(Box<Open>);

struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it ended.
    connection: Option<Connection<Stream, Full<Bytes>>>,
    /// Rung by whatever the connection waits for.
    bell: Arc<Bell>,
    waker: Waker,
    /// It rang, and the connection has not been polled since.
    rung: bool,
    home: Weak<Resting>,
}

impl Lines {
    pub(super) fn new(connector: Connector, address: Uri, upstream: &Upstream) -> Self {
        let (max, timeout) = (upstream.max_idle, upstream.idle_connection_timeout);
        Self {
            connector,
            address,
            resting: Arc::new(Resting { lines: Mutex::default(), max, timeout, watched: Once::new() }),
        }
    }

    /// Sends one request and waits for the head of its answer. A connection that had been closed before anything of the
    /// request was written is no reason to fail: the next one is taken. `request`, which must have a `Host`, is taken once
    /// there is a connection.
    pub(super) async fn send(
        &self,
        request: &mut Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Line), SendError> {
        loop {
            let (mut line, rested) = match self.resting.take() {
                Some(line) => (line, true),
                None => (Box::pin(self.connect()).await?, false),
            };
            line.0.rung = true;
            let mut answer = pin!(line.0.sender.try_send_request(std::mem::take(request)));
            let answered = poll_fn(|context| line.poll(context, |quiet| answer.as_mut().poll(quiet)));
            *request = match answered.await {
                Ok(response) => return Ok((response, line)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if rested => unsent,
                    _ => return Err(SendError::Http(error.into_error())),
                },
            };
        }
    }

    async fn connect(&self) -> Result<Line, SendError> {
        let stream = self.connector.clone().call(self.address.clone()).await.map_err(SendError::Connect)?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
        let (sender, connection) = builder.handshake(stream).await.map_err(SendError::Http)?;
        let (home, bell) = (Arc::downgrade(&self.resting), Bell::new());
        let waker = Waker::from(Arc::clone(&bell));
        Ok(Line(Box::new(Open { sender, connection: Some(connection), bell, waker, rung: true, home })))
    }
}

impl Line {
    /// Polls `what` comes over this connection, after moving the connection on: what can be written is written, what has
    /// come is read. Only that makes `what` ready, so it needs no waker of its own.
    fn poll<T>(&mut self, context: &mut Context<'_>, mut what: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let quiet = &mut Context::from_waker(Waker::noop());
        self.0.bell.wakes(context.waker());
        for _ in 0..TURNS {
            self.0.rung |= self.0.bell.mute();
            let mut polled = what(quiet);
            if polled.is_pending() && self.0.rung {
                self.drive();
                polled = what(quiet);
            }
            if polled.is_ready() {
                // Whoever got something asks again before it rests.
                self.0.rung |= self.0.bell.hear();
                return polled;
            }
            if self.0.bell.unmute() {
                return Poll::Pending;
            }
        }
        // It would go on for longer: the others have their turn first.
        self.0.rung |= self.0.bell.hear();
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn drive(&mut self) {
        self.0.rung = false;
        let Some(connection) = &mut self.0.connection else { return };
        // Its end reaches the answer that is waited for, as an error or as the end of a body.
        if Pin::new(connection).poll(&mut Context::from_waker(&self.0.waker)).is_ready() {
            self.0.connection = None;
        }
    }

    /// Whether it has ended.
    fn is_over(&self) -> bool {
        self.0.connection.is_none()
    }

    /// Looks whether it could carry a request. Nobody is woken by what happens to it afterwards.
    fn is_fit(&mut self) -> bool {
        self.0.bell.wakes(Waker::noop());
        self.drive();
        !self.is_over() && self.0.sender.is_ready()
    }

    /// The answer has been read to its end: keeps the connection for the next request if it is fit for one.
    pub(super) fn rest(mut self) {
        if let Some(home) = self.0.home.upgrade()
            && self.is_fit()
        {
            home.keep(self);
        }
    }
}

impl Resting {
    fn lock(&self) -> MutexGuard<'_, Vec<(Line, Instant)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last. Whether the upstream closed it meanwhile shows when it is used.
    fn take(&self) -> Option<Line> {
        let (line, since) = self.lock().pop()?;
        if since.elapsed() > self.timeout {
            // The others are older.
            self.lock().clear();
            return None;
        }
        Some(line)
    }

    fn keep(self: &Arc<Self>, line: Line) {
        let mut lines = self.lock();
        if lines.len() >= self.max {
            return;
        }
        self.watched.call_once(|| drop(tokio::spawn(watch(Arc::downgrade(self)))));
        lines.push((line, Instant::now()));
    }

    fn look(&self) {
        self.lock().retain_mut(|(line, since)| since.elapsed() <= self.timeout && line.is_fit());
    }
}

/// Closes idle connections in time, as long as their pool is in use.
async fn watch(resting: Weak<Resting>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(resting) = resting.upgrade() else { return };
        resting.look();
    }
}

/// The body of an answer, and the connection it comes over.
pub(in crate::proxy) struct LineBody {
    body: Incoming,
    /// `None`: it is driven elsewhere, or has been given back.
    line: Option<Line>,
}

impl LineBody {
    pub(super) fn new(body: Incoming, line: Option<Line>) -> Self {
        let mut this = Self { body, line };
        this.settle();
        this
    }

    /// The next data; `None` at the proper end. Trailers are not relayed.
    pub(super) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match ready!(self.poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_) => {}
                },
            }
        }
    }

    /// Bytes there are at least.
    pub(super) fn at_least(&self) -> u64 {
        self.body.size_hint().lower()
    }

    /// Whether nothing more can come.
    pub(super) fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut body = Pin::new(&mut self.body);
        let Some(line) = &mut self.line else { return body.poll_frame(context).map_err(|_| BodyError::Broken) };
        let polled = line.poll(context, |quiet| body.as_mut().poll_frame(quiet));
        match &polled {
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(_)) => self.settle(),
            // Nobody would ever wake us.
            Poll::Pending if line.is_over() => return Poll::Ready(Some(Err(BodyError::Broken))),
            Poll::Pending => {}
        }
        polled.map_err(|_| BodyError::Broken)
    }

    /// Gives the connection back as soon as the whole answer is here.
    fn settle(&mut self) {
        if self.is_over() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(line) = self.line.take() {
            line.rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use hyper::header::HOST;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::{Notify, mpsc};

    use super::*;

    /// What the upstream of a test does on each connection.
    #[derive(Clone)]
    enum Manner {
        /// Answers every request.
        Answers,
        /// Answers one request, and when it is told to, closes without a word.
        ClosesAfterOne(Arc<Notify>),
        /// Begins an answer and never ends it.
        NeverEnds,
    }

    async fn serve(mut socket: TcpStream, manner: Manner, gone: mpsc::Sender<()>) {
        let (mut seen, mut space) = (Vec::new(), [0; 1024]);
        while let Ok(count) = socket.read(&mut space).await
            && count > 0
        {
            seen.extend_from_slice(&space[..count]);
            if !seen.ends_with(b"\r\n\r\n") {
                continue;
            }
            seen.clear();
            let length = if matches!(manner, Manner::NeverEnds) { 9 } else { 2 };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\nok");
            socket.write_all(answer.as_bytes()).await.unwrap();
            if let Manner::ClosesAfterOne(close) = &manner {
                close.notified().await;
                break;
            }
        }
        drop(socket);
        gone.send(()).await.unwrap();
    }

    /// Connections to an upstream of that manner, how many it accepted, and a word for each that ended.
    async fn lines(manner: Manner) -> (Lines, Arc<AtomicU32>, mpsc::Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (accepted, (gone, ended)) = (Arc::new(AtomicU32::new(0)), mpsc::channel(8));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, manner.clone(), gone.clone()));
            }
        });
        let connector = Connector::new(None, Duration::from_secs(5), false);
        let resting =
            Resting { lines: Mutex::default(), max: 4, timeout: Duration::from_secs(60), watched: Once::new() };
        (Lines { connector, address, resting: Arc::new(resting) }, accepted, ended)
    }

    async fn ask(lines: &Lines) -> LineBody {
        let mut request = Request::builder().uri("/").header(HOST, "upstream").body(Full::default()).unwrap();
        let (response, line) = lines.send(&mut request).await.unwrap();
        LineBody::new(response.into_body(), Some(line))
    }

    async fn read(mut body: LineBody) -> Vec<u8> {
        let mut whole = Vec::new();
        while let Some(piece) = poll_fn(|context| body.poll_data(context)).await {
            whole.extend_from_slice(&piece.unwrap());
        }
        whole
    }

    #[tokio::test]
    async fn one_connection_carries_one_request_after_the_other() {
        let (lines, accepted, _ended) = lines(Manner::Answers).await;
        for _ in 0..3 {
            assert_eq!(read(ask(&lines).await).await, b"ok");
        }
        assert_eq!(accepted.load(Ordering::SeqCst), 1);
        let (one, other) = tokio::join!(ask(&lines), ask(&lines));
        assert_eq!((read(one).await, read(other).await), (b"ok".to_vec(), b"ok".to_vec()));
        assert_eq!(accepted.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_while_it_rested_costs_no_request() {
        let close = Arc::new(Notify::new());
        let (lines, accepted, mut ended) = lines(Manner::ClosesAfterOne(Arc::clone(&close))).await;
        for connection in 1..4 {
            assert_eq!(read(ask(&lines).await).await, b"ok");
            assert_eq!(accepted.load(Ordering::SeqCst), connection);
            assert_eq!(lines.resting.lock().len(), 1);
            close.notify_one();
            ended.recv().await.unwrap();
            // Its end has to arrive here as well.
            while lines.resting.lock().iter_mut().any(|(line, _)| line.is_fit()) {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_given_up_closes_its_connection() {
        let (lines, accepted, mut ended) = lines(Manner::NeverEnds).await;
        let mut body = ask(&lines).await;
        assert_eq!(poll_fn(|context| body.poll_data(context)).await.unwrap().unwrap(), "ok");
        drop(body);
        ended.recv().await.unwrap();
        drop(ask(&lines).await);
        assert_eq!(accepted.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn connections_that_are_too_old_or_dead_are_closed() {
        let (lines, _accepted, mut ended) = lines(Manner::Answers).await;
        assert_eq!(read(ask(&lines).await).await, b"ok");
        lines.resting.look();
        assert_eq!(lines.resting.lock().len(), 1);
        if let Some((_, since)) = lines.resting.lock().first_mut() {
            *since -= Duration::from_secs(61);
        }
        lines.resting.look();
        assert_eq!(lines.resting.lock().len(), 0);
        ended.recv().await.unwrap();
    }
}

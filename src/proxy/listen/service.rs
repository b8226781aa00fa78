//! Between hyper and the handler: counts what is in flight, and turns a panic into one 500.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::refuse::{Refuse, request_id};
use super::{Handler, Peer};

const PANICKED: Refuse = Refuse::new(500, "internal_error", "the gateway failed on this request");

/// What one connection has in flight.
#[derive(Debug)]
pub(super) struct Exchange {
    calls: AtomicU32,
    done: AtomicU32,
    opened: Instant,
    /// HTTP/2 only: one clock per answer being sent.
    sending: Option<Mutex<Vec<Weak<SendClock>>>>,
}

/// When the protocol last took a frame of an answer, in milliseconds since the connection opened, plus one; 0 while
/// the answer itself has nothing to send.
type SendClock = AtomicU64;

impl Exchange {
    /// For a new connection; `watch_sending` for [`Exchange::stalled`].
    pub(super) fn new(watch_sending: bool) -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicU32::new(0),
            done: AtomicU32::new(0),
            opened: Instant::now(),
            sending: watch_sending.then(|| Mutex::new(Vec::new())),
        })
    }

    /// Requests given to the handler so far.
    pub(super) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Acquire)
    }

    /// Of those, how many are over: answered to the last byte, or dropped.
    pub(super) fn done(&self) -> u32 {
        self.done.load(Ordering::Acquire)
    }

    /// Whether some answer has had something to send for longer than `limit` and the client would not take it.
    pub(super) fn stalled(&self, limit: Duration) -> bool {
        let Some(sending) = &self.sending else { return false };
        let now = self.clock();
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let mut sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stalled = false;
        sending.retain(|clock| {
            let Some(clock) = clock.upgrade() else { return false };
            let since = clock.load(Ordering::Relaxed);
            stalled |= since != 0 && now.saturating_sub(since) > limit;
            true
        });
        stalled
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn start(self: &Arc<Self>) -> InFlight {
        self.calls.fetch_add(1, Ordering::AcqRel);
        let clock = self.sending.as_ref().map(|sending| {
            let clock = Arc::new(SendClock::new(0));
            sending.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&clock));
            clock
        });
        InFlight { exchange: Arc::clone(self), clock }
    }
}

/// One request, from the call to the last byte of its answer's body.
#[derive(Debug)]
struct InFlight {
    exchange: Arc<Exchange>,
    clock: Option<Arc<SendClock>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.exchange.done.fetch_add(1, Ordering::AcqRel);
    }
}

/// The handler as hyper wants it.
pub(super) struct Service<H> {
    pub(super) handler: Arc<H>,
    pub(super) peer: Arc<Peer>,
    pub(super) exchange: Arc<Exchange>,
}

impl<H: Handler> hyper::service::Service<Request<Incoming>> for Service<H> {
    type Response = Response<Answer<H::Body>>;
    type Error = Infallible;
    type Future = Call<H::Body>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_flight = self.exchange.start();
        let future = Arc::clone(&self.handler).handle(Arc::clone(&self.peer), request);
        Call { future: Box::pin(future), in_flight: Some(in_flight) }
    }
}

/// A request being answered.
pub(super) struct Call<B> {
    future: Pin<Box<dyn Future<Output = Response<B>> + Send>>,
    /// Goes with the answer.
    in_flight: Option<InFlight>,
}

impl<B> Future for Call<B> {
    type Output = Result<Response<Answer<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(response)) => Some(response),
            Err(_) => None,
        };
        let in_flight = self.in_flight.take();
        Poll::Ready(Ok(match outcome {
            Some(response) => response.map(|body| Answer { inner: Inner::Handler(body), in_flight }),
            None => {
                tracing::error!("a request panicked");
                own_response(&PANICKED, in_flight)
            }
        }))
    }
}

fn own_response<B>(refuse: &Refuse, in_flight: Option<InFlight>) -> Response<Answer<B>> {
    let mut response = Response::new(Answer { inner: Inner::Own(Some(Bytes::from(refuse.body()))), in_flight });
    *response.status_mut() = StatusCode::from_u16(refuse.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::try_from(request_id()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// The body of an answer; while it lives, its request is in flight.
pub(super) struct Answer<B> {
    inner: Inner<B>,
    in_flight: Option<InFlight>,
}

enum Inner<B> {
    Handler(B),
    Own(Option<Bytes>),
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let poll = match &mut this.inner {
            Inner::Handler(body) => Pin::new(body).poll_frame(cx),
            Inner::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        };
        if let Some(InFlight { exchange, clock: Some(clock) }) = &this.in_flight {
            clock.store(if poll.is_ready() { exchange.clock() } else { 0 }, Ordering::Relaxed);
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Handler(body) => body.is_end_stream(),
            Inner::Own(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Handler(body) => body.size_hint(),
            Inner::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}

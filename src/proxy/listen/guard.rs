//! Between the socket and hyper: gives hyper whole, strictly checked requests, one at a time, and nothing else.

use std::error::Error;
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::framing::Framing;
use super::refuse::Refuse;
use super::service::Exchange;
use super::stream::Stream;

/// How long hyper's state and buffers stay in memory while no request comes.
const PARK_AFTER: Duration = Duration::from_millis(250);
/// Bytes of the next requests that are read while one is being answered; beyond them a client's leaving is noticed
/// only when it is written to.
const READ_AHEAD: usize = 16 << 10;
/// The first bytes of an HTTP/2 connection; RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the guard refused in the body of a request, if that is why reading it failed.
pub fn body_refusal(error: &(dyn Error + 'static)) -> Option<Refuse> {
    let mut error = Some(error);
    while let Some(cause) = error {
        if let Some(cause) = cause.downcast_ref::<io::Error>()
            && let Some(refuse) = cause.get_ref().and_then(|inner| inner.downcast_ref::<Refuse>())
        {
            return Some(*refuse);
        }
        error = cause.source();
    }
    None
}

/// What waiting for a head ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// A whole, sound head is there.
    Head,
    /// The client speaks HTTP/2.
    Preface,
    /// The client left, or has to.
    Closed,
    /// What came is refused.
    Refused,
}

/// A socket that only lets sound requests through. After [`Guard::pass_through`] it lets everything through.
#[derive(Debug)]
pub(super) struct Guard {
    io: Stream,
    framing: Framing,
    /// Read, and not yet given to hyper.
    stash: BytesMut,
    /// How many bytes of `stash` are checked and may go.
    ready: usize,
    raw: bool,
    detect_h2: bool,
    end_of_file: bool,
    /// hyper was told the connection ended, so that it hands the socket back.
    parked: bool,
    refused: Option<Refuse>,
    broken_body: Option<Refuse>,
    exchange: Option<Arc<Exchange>>,
    /// Heads given to hyper since [`Guard::enter`].
    heads: u32,
    /// Written and not yet flushed.
    dirty: bool,
    /// How many answers were over when hyper last had nothing left to write.
    flushed: u32,
    /// hyper was told to wait until its answer is out.
    waiting: bool,
    /// When the last answer was out; `None` while one is being made.
    idle_since: Option<Instant>,
    park: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl Guard {
    /// Around a fresh connection. `detect_h2`: an HTTP/2 preface may come instead of a request.
    pub(super) fn new(io: Stream, framing: Framing, detect_h2: bool, write_timeout: Duration) -> Self {
        Self {
            io,
            framing,
            stash: BytesMut::new(),
            ready: 0,
            raw: false,
            detect_h2,
            end_of_file: false,
            parked: false,
            refused: None,
            broken_body: None,
            exchange: None,
            heads: 0,
            dirty: false,
            flushed: 0,
            waiting: false,
            idle_since: None,
            park: None,
            write_timeout,
            write_timer: None,
        }
    }

    /// From now on every byte passes: the connection is HTTP/2.
    pub(super) fn pass_through(&mut self) {
        self.raw = true;
    }

    /// Before hyper gets it.
    pub(super) fn enter(&mut self, exchange: Arc<Exchange>) {
        self.exchange = Some(exchange);
        self.heads = 1;
        self.flushed = 0;
        self.idle_since = None;
        self.parked = false;
    }

    /// After hyper gave it back.
    pub(super) fn leave(&mut self) {
        self.exchange = None;
        self.heads = 0;
        self.park = None;
        self.waiting = false;
        self.write_timer = None;
    }

    /// Whether hyper gave the socket back because nothing was going on.
    pub(super) fn is_parked(&self) -> bool {
        self.parked && !self.end_of_file
    }

    /// Whether there is something to answer instead of hyper.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Whether everything the client sent was read as whole requests.
    pub(super) fn is_between_requests(&self) -> bool {
        !self.framing.in_body() && self.stash.is_empty() && self.broken_body.is_none()
    }

    /// When the last answer was finished.
    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since.unwrap_or_else(Instant::now)
    }

    /// Whether a head has begun to arrive.
    pub(super) fn has_partial_head(&self) -> bool {
        !self.stash.is_empty()
    }

    /// Refuses whatever the client sends next.
    pub(super) fn refuse(&mut self, refuse: Refuse) {
        self.refused.get_or_insert(refuse);
    }

    /// The socket, and what has yet to be answered on it.
    pub(super) fn into_parts(self) -> (Stream, Option<Refuse>) {
        (self.io, self.refused)
    }

    /// Reads until a whole head is there, without hyper. `None` once, when the first bytes of a head have come and
    /// `started` is false: the caller's deadline changes then.
    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>, started: bool) -> Poll<Option<Waited>> {
        loop {
            if !self.stash.is_empty() {
                if let Some(waited) = self.look_at_stash() {
                    return Poll::Ready(Some(waited));
                }
                if !started {
                    return Poll::Ready(None);
                }
            }
            // On the stack, so that an idle connection owns no buffer.
            let mut space = [MaybeUninit::<u8>::uninit(); 4096];
            let mut buf = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.stash.extend_from_slice(buf.filled()),
                Ok(()) | Err(_) => return Poll::Ready(Some(Waited::Closed)),
            }
        }
    }

    fn look_at_stash(&mut self) -> Option<Waited> {
        if self.detect_h2 {
            let common = self.stash.len().min(PREFACE.len());
            if self.stash.get(..common) == PREFACE.get(..common) {
                return (common == PREFACE.len()).then_some(Waited::Preface);
            }
            self.detect_h2 = false;
        }
        match self.admit_head() {
            Ok(true) => Some(Waited::Head),
            Ok(false) => None,
            Err(refuse) => {
                self.refuse(refuse);
                Some(Waited::Refused)
            }
        }
    }

    /// Looks for a head in the stash; `true`: it may go to hyper.
    fn admit_head(&mut self) -> Result<bool, Refuse> {
        let Some(length) = self.framing.head(&self.stash)? else { return Ok(false) };
        self.ready = length;
        Ok(true)
    }

    fn count_head(&mut self) {
        self.heads = self.heads.wrapping_add(1);
        self.idle_since = None;
    }

    /// Whether an answer is being made, or not yet with the client.
    fn is_busy(&self) -> bool {
        self.flushed != self.heads
    }

    /// Tells hyper the connection ended; it then hands the socket back.
    fn hand_back(&mut self) -> Poll<io::Result<()>> {
        self.parked = true;
        Poll::Ready(Ok(()))
    }

    fn give_ready(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.ready.min(buf.remaining());
        buf.put_slice(self.stash.get(..count).unwrap_or_default());
        self.stash.advance(count);
        self.ready -= count;
        if self.stash.is_empty() {
            self.stash = BytesMut::new();
        }
    }

    /// Body bytes that were read together with what came before them.
    fn admit_body(&mut self) {
        let (sound, outcome) = self.framing.body(&self.stash);
        self.ready = sound;
        self.broken_body = outcome.err();
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            self.end_of_file = true;
            return Poll::Ready(Ok(true));
        }
        let (sound, outcome) = self.framing.body(new);
        match outcome {
            Ok(()) => self.stash.extend_from_slice(new.get(sound..).unwrap_or_default()),
            Err(refuse) => self.broken_body = Some(refuse),
        }
        buf.set_filled(before + sound);
        Poll::Ready(Ok(sound > 0))
    }

    /// Between requests, with nothing read ahead. `true`: `buf` has something, or the connection ended.
    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => return if self.poll_park(cx) { Poll::Ready(Ok(false)) } else { Poll::Pending },
        }
        let new = buf.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            self.end_of_file = true;
            return Poll::Ready(Ok(true));
        }
        let sound = match self.framing.head(new) {
            Ok(Some(length)) => {
                self.count_head();
                let (body, outcome) = self.framing.body(new.get(length..).unwrap_or_default());
                self.broken_body = outcome.err();
                length + body
            }
            Ok(None) => 0,
            Err(refuse) => {
                self.refuse(refuse);
                0
            }
        };
        self.stash.extend_from_slice(new.get(sound..).unwrap_or_default());
        buf.set_filled(before + sound);
        Poll::Ready(Ok(sound > 0))
    }

    /// While an answer is on its way: reads ahead a little, so that a client's leaving is noticed.
    fn poll_busy(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        while !self.end_of_file && self.stash.len() < READ_AHEAD {
            let Poll::Ready(outcome) = Pin::new(&mut self.io).poll_read(cx, buf) else { break };
            outcome?;
            let new = buf.filled().get(before..).unwrap_or_default();
            self.end_of_file = new.is_empty();
            self.stash.extend_from_slice(new);
            buf.set_filled(before);
        }
        if self.end_of_file {
            return Poll::Ready(Ok(()));
        }
        self.waiting = true;
        Poll::Pending
    }

    /// Whether nothing has happened for long enough to give hyper's memory back.
    fn poll_park(&mut self, cx: &mut Context<'_>) -> bool {
        let due = *self.idle_since.get_or_insert_with(Instant::now) + PARK_AFTER;
        let timer = self.park.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // The timer is left running over many requests and only set anew when it fires: setting it costs more than
        // reading the clock.
        while timer.as_mut().poll(cx).is_ready() {
            if due <= Instant::now() {
                return true;
            }
            timer.as_mut().reset(due);
        }
        false
    }

    fn poll_guarded(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.ready > 0 {
                self.give_ready(buf);
                return Poll::Ready(Ok(()));
            }
            if let Some(refuse) = self.broken_body {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refuse)));
            }
            if self.framing.in_body() {
                if !self.stash.is_empty() {
                    self.admit_body();
                } else if ready!(self.poll_body(cx, buf))? {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            if self.is_busy() {
                return self.poll_busy(cx, buf);
            }
            if self.refused.is_some() {
                return self.hand_back();
            }
            if !self.stash.is_empty() {
                match self.admit_head() {
                    Ok(true) => self.count_head(),
                    Ok(false) => return self.hand_back(),
                    Err(refuse) => self.refuse(refuse),
                }
                continue;
            }
            if ready!(self.poll_head(cx, buf))? {
                return Poll::Ready(Ok(()));
            }
            if self.refused.is_none() && self.broken_body.is_none() {
                return self.hand_back();
            }
        }
    }

    /// Whether hyper is writing an answer of its own: to a head that no handler call came of.
    fn is_hypers_own(&self) -> bool {
        !self.raw && self.exchange.as_ref().is_some_and(|exchange| exchange.calls() != self.heads)
    }

    fn swallow(&mut self, status_line: &[u8]) {
        let status = status_line.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        self.refuse(match status {
            Some(status @ (414 | 431)) => Refuse::new(status, "headers_too_large", "the request head is too large"),
            _ => Refuse::bad("the request head is malformed"),
        });
    }

    fn track_write(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.dirty = true;
            self.write_timer = None;
            return outcome;
        }
        self.poll_write_timer(cx)?;
        Poll::Pending
    }

    fn poll_write_timer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let limit = self.write_timeout;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if timer.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.raw {
            return this.poll_guarded(cx, buf);
        }
        if this.stash.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        this.ready = this.stash.len();
        this.give_ready(buf);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_hypers_own() {
            this.swallow(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = Pin::new(&mut this.io).poll_write(cx, buf);
        this.track_write(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_hypers_own() {
            this.swallow(bufs.first().map_or(&[], |first| first));
            return Poll::Ready(Ok(bufs.iter().map(|part| part.len()).sum()));
        }
        let outcome = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.track_write(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.dirty {
            match Pin::new(&mut this.io).poll_flush(cx) {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => {
                    this.poll_write_timer(cx)?;
                    return Poll::Pending;
                }
            }
            this.dirty = false;
        }
        // hyper flushes the socket only when its own buffer is empty, so what is over now has left.
        if let Some(exchange) = &this.exchange {
            this.flushed = exchange.done();
        }
        if !this.raw && this.waiting && !this.is_busy() && !this.framing.in_body() {
            this.waiting = false;
            this.idle_since = Some(Instant::now());
            if this.poll_park(cx) || !this.stash.is_empty() || this.refused.is_some() {
                // hyper believes a read is still pending and would not ask again.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.raw {
            // hyper has flushed; what becomes of the socket is decided when it has given it back.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

//! A streamed answer on its way to the client: events in, through the windows, events out. It may redact, hold and cut.

mod endings;
mod held;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use hyper::body::Frame;

use self::held::Hold;
use super::admit::Admitted;
use super::approve::Approver;
use super::body::Cut;
use super::charge::in_tokens;
use super::clock::Clock;
use super::events::{Events, Fault};
use super::inspector::Inspector;
use super::keys::Scrub;
use super::live::Cancel;
use super::record::Flight;
use super::route::Plan;
use super::upstream::AnswerBody;
use crate::config::Snapshot;
use crate::quota::Reservation;
use crate::types::{Accounted, Decision, Outcome};
use crate::wire;

/// Bytes gathered before the client is given a turn.
const ENOUGH: usize = 32 << 10;

/// How a stream is treated.
pub(super) enum Way {
    /// Relayed as it comes; its bytes are exempt.
    Exempt,
    /// Read event by event.
    Events(Box<wire::Stream>),
}

/// A stream under way. It owns what must end with it: the record, the admission, the deadlines, the windows.
pub(super) struct Relay {
    body: AnswerBody,
    events: Option<Events>,
    out: BytesMut,
    keys: Scrub,
    state: State,
    clock: Clock,
    flight: Option<Flight>,
    _admitted: Admitted,
    /// More of a limit that is nearly used up, asked for.
    asking: Option<Asking>,
    /// Asks people about tool calls, where the policy says so.
    approver: Option<Approver>,
    /// What people were asked and have not answered.
    hold: Option<Hold>,
    /// Bytes relayed that nobody read.
    unread: u64,
    sent: u64,
}

/// What the stream holds, and whether it got more.
type Asking = Pin<Box<dyn Future<Output = (Reservation, bool)> + Send>>;

/// Tokens of an answer asked for at once, beyond what was set aside for it.
const MORE: u64 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// More may come.
    Open,
    /// What is in `out` is the last.
    Last,
    /// What is in `out` is the last, and then the connection breaks, so that nobody takes it for complete.
    Broken,
}

impl Relay {
    #[expect(
        clippy::too_many_arguments,
        reason = "one caller; each is a different thing that must end with the stream"
    )]
    pub(super) fn new(
        snapshot: &Arc<Snapshot>,
        plan: Plan,
        way: Way,
        inspector: Inspector,
        keys: Scrub,
        body: AnswerBody,
        deadline: Instant,
        cut: Cancel,
        admitted: Admitted,
    ) -> Self {
        let now = Instant::now();
        let idle = plan.upstream.idle_timeout;
        let events = match way {
            Way::Exempt => None,
            Way::Events(stream) => Some(Events::new(&plan, *stream, inspector, &snapshot.settings.body)),
        };
        let clock = Clock::new(now, idle, deadline, cut);
        Self {
            body,
            events,
            out: BytesMut::new(),
            keys,
            state: State::Open,
            clock,
            flight: None,
            _admitted: admitted,
            asking: None,
            approver: plan.approver,
            hold: None,
            unread: 0,
            sent: 0,
        }
    }

    /// Takes the record on board: it ends with the stream.
    pub(super) fn board(&mut self, flight: Flight) {
        self.flight = Some(flight);
    }

    pub(super) fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        loop {
            if (this.out.len() >= ENOUGH || (this.state != State::Open && !this.out.is_empty()))
                && let Some(frame) = this.frame()
            {
                return Poll::Ready(Some(Ok(frame)));
            }
            match this.state {
                State::Last => {
                    if let Some(frame) = this.rest() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    this.close();
                    return Poll::Ready(None);
                }
                State::Broken => {
                    this.close();
                    return Poll::Ready(Some(Err(Cut)));
                }
                State::Open => {}
            }
            if this.asks(context) {
                return Poll::Pending;
            }
            if this.hold.is_some() {
                // What came before the call leaves before it is waited for.
                if !this.out.is_empty()
                    && let Some(frame) = this.frame()
                {
                    return Poll::Ready(Some(Ok(frame)));
                }
                if this.waits(context) {
                    return Poll::Pending;
                }
                continue;
            }
            match this.body.poll_piece(context) {
                Poll::Ready(Some(Ok(piece))) => this.take(&piece),
                Poll::Ready(Some(Err(_))) => this.fail("upstream_broke_off", "The upstream's answer broke off."),
                Poll::Ready(None) => this.end(),
                Poll::Pending => {
                    if !this.out.is_empty()
                        && let Some(frame) = this.frame()
                    {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    if this.waited_too_long(context) {
                        continue;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether it is still open if the stream may go on: nothing of it is read meanwhile.
    fn asks(&mut self, context: &mut Context<'_>) -> bool {
        let Some(asking) = &mut self.asking else { return false };
        match asking.as_mut().poll(context) {
            Poll::Pending => !self.waited_too_long(context),
            Poll::Ready((reservation, granted)) => {
                self.asking = None;
                if let Some(charged) = self.flight.as_mut().and_then(Flight::charged) {
                    charged.hold(reservation);
                }
                if !granted {
                    self.used_up();
                }
                false
            }
        }
    }

    /// What may leave of `out`: nothing, when all of it may be the beginning of the provider's key.
    fn frame(&mut self) -> Option<Frame<Bytes>> {
        let piece = self.keys.piece(self.out.split().freeze());
        self.sending(piece)
    }

    /// What waited and turned out to be no key.
    fn rest(&mut self) -> Option<Frame<Bytes>> {
        let rest = self.keys.finish();
        self.sending(rest)
    }

    fn sending(&mut self, piece: Bytes) -> Option<Frame<Bytes>> {
        self.sent += piece.len() as u64;
        (!piece.is_empty()).then(|| Frame::data(piece))
    }

    /// A piece of the answer as the network cut it.
    fn take(&mut self, piece: &Bytes) {
        let now = Instant::now();
        self.clock.upstream += u64::try_from((now - self.clock.last_piece).as_micros()).unwrap_or(u64::MAX);
        self.clock.first_piece.get_or_insert(now);
        if let Some(flight) = &self.flight {
            flight.metrics().stream_chunk();
        }
        // A stream that never pauses never gets to `waited_too_long`.
        if self.clock.cut.token().is_cancelled() {
            return self.cut();
        }
        if now >= self.clock.deadline {
            return self.fail("upstream_timeout", "The upstream's answer took too long.");
        }
        let Some(events) = &mut self.events else {
            self.out.extend_from_slice(piece);
            self.clock.last_piece = now;
            self.unread += piece.len() as u64;
            return self.count(in_tokens(self.unread));
        };
        let taken = events.take(piece, &mut self.out);
        if let Some(flight) = self.flight.as_mut().filter(|flight| flight.wants_id())
            && let Some(id) = events.answer_id()
        {
            flight.answered_as(id);
        }
        let answered = events.answered();
        self.clock.last_piece = Instant::now();
        events.scanned(self.clock.last_piece - now, self.clock.last_piece);
        self.settle(taken);
        self.count(answered);
    }

    /// So many tokens were answered so far: more is asked for where that is more than is held.
    fn count(&mut self, answered: u64) {
        if let Some(flight) = &mut self.flight
            && flight.answered(answered).is_err()
            && self.state == State::Open
            && self.asking.is_none()
        {
            self.asking = flight.charged().and_then(|charged| charged.ask(MORE)).map(|more| Box::pin(more) as Asking);
        }
    }

    /// The upstream closed its side properly.
    fn end(&mut self) {
        match &mut self.events {
            None => {
                self.state = State::Last;
                self.outcome(Outcome::Served, None);
            }
            Some(events) => {
                let ended = events.end(&mut self.out);
                self.settle(ended);
                if self.state == State::Open && self.hold.is_none() {
                    self.state = State::Last;
                    self.outcome(Outcome::Served, None);
                }
            }
        }
    }

    fn settle(&mut self, taken: Result<(), Fault>) {
        match taken {
            Ok(()) => {}
            Err(Fault::Blocked) => {
                self.outcome(Outcome::AnswerBlocked, Some("content_filter"));
                self.last();
            }
            Err(Fault::Waits) => self.ask_people(),
            Err(Fault::Invalid) => self.fail("upstream_invalid_response", "The upstream's stream is not valid."),
            Err(Fault::Incomplete) => self.fail("upstream_broke_off", "The upstream's answer ended too early."),
        }
    }

    /// Our own fault: nothing more can be said properly.
    pub(super) fn panicked(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.metrics().panicked();
            flight.end(Outcome::Internal, Some("internal_error"));
        }
        self.out.clear();
        self.state = State::Broken;
        self.body = AnswerBody::Whole(None);
    }

    /// Nothing more is wanted of the upstream.
    fn last(&mut self) {
        self.state = State::Last;
        self.body = AnswerBody::Whole(None);
    }

    /// Whether a deadline or an order ended the stream while nothing came.
    fn waited_too_long(&mut self, context: &mut Context<'_>) -> bool {
        if self.clock.cutting.as_mut().poll(context).is_ready() {
            self.cut();
            return true;
        }
        while self.clock.timer.as_mut().poll(context).is_ready() {
            let due = self.clock.deadline.min(self.clock.last_piece + self.clock.idle);
            if due <= Instant::now() {
                self.fail("upstream_timeout", "The upstream stopped answering.");
                return true;
            }
            self.clock.timer.as_mut().reset(due.into());
        }
        false
    }

    fn outcome(&mut self, outcome: Outcome, reason: Option<&'static str>) {
        if let Some(flight) = &mut self.flight {
            flight.end(outcome, reason);
        }
    }

    /// Completes the record and lets it go.
    fn close(&mut self) {
        self.end_hold();
        let Some(mut flight) = self.flight.take() else { return };
        let clock = &self.clock;
        let first =
            clock.first_piece.map(|first| u64::try_from((first - clock.started).as_micros()).unwrap_or(u64::MAX));
        let (upstream, sent) = (clock.upstream, self.sent);
        flight.note(|record| {
            record.micros.first_chunk = record.micros.upstream + first.unwrap_or(0);
            record.micros.upstream += upstream;
        });
        match &mut self.events {
            None => flight.note(|record| record.response_bytes = Accounted { exempt: sent, ..Accounted::default() }),
            Some(events) => {
                let blocked = events.blocked();
                if let Some((verdict, enforced)) = events.verdict() {
                    flight.output(verdict, if blocked { Decision::Block } else { enforced.min(Decision::Redact) });
                }
                events.describe(&mut flight, sent);
            }
        }
    }
}

impl Drop for Relay {
    /// The client left, or the connection broke: the record still tells what was seen. Dropping `body` cancels the
    /// upstream.
    fn drop(&mut self) {
        self.close();
    }
}

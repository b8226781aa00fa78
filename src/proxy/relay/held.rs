//! A stream in which tool calls wait for people: nothing is read of it, and the client is told that it is alive.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::{Relay, State};
use crate::proxy::approve::{Unapproved, Waiting};
use crate::proxy::record::micros_since;
use crate::types::Outcome;

/// What people were asked.
pub(super) struct Hold {
    waiting: Waiting,
    since: Instant,
    every: Duration,
    keep_alive: Pin<Box<Sleep>>,
}

impl Relay {
    /// Asks people whether what waits may go on.
    pub(super) fn ask_people(&mut self) {
        let asked = self.events.as_ref().map(|events| events.asked()).unwrap_or_default();
        let Some(approver) = &self.approver else { return self.unapproved(Unapproved::Refused) };
        match approver.hold(asked) {
            Err(why) => self.unapproved(why),
            Ok(waiting) => {
                let every = approver.keep_alive();
                let (since, keep_alive) = (Instant::now(), Box::pin(tokio::time::sleep(every)));
                self.hold = Some(Hold { waiting, since, every, keep_alive });
                if let Some(events) = &mut self.events {
                    events.hands_over(since);
                }
            }
        }
    }

    /// Whether there is nothing to do but wait for people. The upstream's deadlines do not run meanwhile.
    pub(super) fn waits(&mut self, context: &mut Context<'_>) -> bool {
        let Some(hold) = &mut self.hold else { return false };
        if self.clock.cutting.as_mut().poll(context).is_ready() {
            self.end_hold();
            self.cut();
            return false;
        }
        if let Poll::Ready(granted) = hold.waiting.as_mut().poll(context) {
            self.end_hold();
            if granted {
                self.go_on()
            } else {
                self.unapproved(Unapproved::Refused)
            }
            return false;
        }
        if hold.keep_alive.as_mut().poll(context).is_pending() {
            return true;
        }
        let next = Instant::now() + hold.every;
        hold.keep_alive.as_mut().reset(next.into());
        if let Some(events) = &self.events {
            self.out.extend_from_slice(events.keep_alive());
        }
        false
    }

    /// Nobody is waited for any more; the time that took is nobody's deadline.
    pub(super) fn end_hold(&mut self) {
        let Some(hold) = self.hold.take() else { return };
        let waited = hold.since.elapsed();
        self.clock.deadline += waited;
        self.clock.last_piece = Instant::now();
        if let Some(flight) = &mut self.flight {
            flight.note(|record| record.micros.waited += micros_since(hold.since));
        }
    }

    /// What waited leaves, and what came behind it is read.
    fn go_on(&mut self) {
        let Some(events) = &mut self.events else { return };
        let started = Instant::now();
        let went = events.granted(&mut self.out);
        let (over, now) = (events.is_over(), Instant::now());
        events.scanned(now - started, now);
        self.settle(went);
        if over && self.state == State::Open && self.hold.is_none() {
            self.state = State::Last;
            self.outcome(Outcome::Served, None);
        }
    }

    fn unapproved(&mut self, why: Unapproved) {
        self.outcome(Outcome::AnswerBlocked, Some(why.code()));
        if let Some(events) = &mut self.events {
            events.refused(&mut self.out);
        }
        self.last();
    }
}

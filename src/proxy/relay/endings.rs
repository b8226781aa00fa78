//! How a stream ends before its end: the upstream fails, a limit is used up, the gateway cuts it.

use std::sync::Arc;

use super::{Relay, State};
use crate::types::Outcome;

impl Relay {
    /// Ends the stream as an error of the upstream, in its dialect where it has one.
    pub(super) fn fail(&mut self, code: &'static str, message: &str) {
        self.outcome(Outcome::UpstreamFailed, Some(code));
        match &mut self.events {
            Some(events) => {
                events.end_error(code, message, &mut self.out);
                self.last();
            }
            None => self.state = State::Broken,
        }
    }

    /// A limit or a budget ends it.
    pub(super) fn used_up(&mut self) {
        self.outcome(Outcome::Cut, Some("limit_reached"));
        match &mut self.events {
            Some(events) => {
                let message = "The answer was cut: a limit of the gateway is used up.";
                events.end_error("rate_limit_exceeded", message, &mut self.out);
                self.last();
            }
            None => self.state = State::Broken,
        }
    }

    /// The gateway ends it: drain deadline or a standing order.
    pub(super) fn cut(&mut self) {
        let (code, message) = match self.clock.cut.order() {
            None => ("gateway_shutting_down", "The gateway is shutting down."),
            Some(_) => ("blocked_by_order", "Access is suspended by an order of the operator."),
        };
        self.outcome(Outcome::Cut, Some(code));
        if let (Some(flight), Some(order)) = (&mut self.flight, self.clock.cut.order()) {
            flight.note(|record| record.order = Some(Arc::clone(&order.id)));
        }
        match &mut self.events {
            Some(events) => {
                events.end_error(code, message, &mut self.out);
                self.last();
            }
            None => self.state = State::Broken,
        }
    }
}

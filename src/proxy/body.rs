//! The body of our answer: nothing, a whole text, or an answer still being relayed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::admit::Admitted;
use super::record::Flight;
use super::relay::Relay;

/// What the listener hands to the connection.
pub struct Body(Kind);

enum Kind {
    /// None, by what was asked or answered. Its length is not told: it would be taken for that of another answer.
    Nothing,
    /// A whole text, and what must live until it is sent.
    Full { bytes: Option<Bytes>, rest: Option<Box<Rest>> },
    /// A stream under inspection.
    Relay(Pin<Box<Relay>>),
}

/// What belongs to a request until its last byte is handed over: its record, and what it was admitted with.
struct Rest {
    flight: Flight,
    _admitted: Option<Admitted>,
}

/// A stream was ended on purpose before its proper end, so that the client cannot take it for complete.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut")]
pub struct Cut;

impl Body {
    /// A whole text.
    pub(super) fn full(bytes: Bytes) -> Self {
        Self(Kind::Full { bytes: Some(bytes), rest: None })
    }

    /// The answer ends with its head, and `flight` with it: nobody polls a body that is not sent.
    pub(super) fn nothing(mut flight: Flight) -> Self {
        flight.served();
        Self(Kind::Nothing)
    }

    /// A stream.
    pub(super) fn relay(mut relay: Relay, flight: Flight) -> Self {
        relay.board(flight);
        Self(Kind::Relay(Box::pin(relay)))
    }

    /// Lets `flight` end when the whole text has been handed over. Nobody polls an empty text: it ends here.
    pub(super) fn carrying(self, mut flight: Flight, admitted: Option<Admitted>) -> Self {
        match self.0 {
            Kind::Full { bytes, .. } => {
                if bytes.as_ref().is_none_or(Bytes::is_empty) {
                    flight.served();
                }
                Self(Kind::Full { bytes, rest: Some(Box::new(Rest { flight, _admitted: admitted })) })
            }
            Kind::Nothing | Kind::Relay(_) => self,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.0 {
            Kind::Nothing => Poll::Ready(None),
            Kind::Full { bytes, rest } => {
                let taken = bytes.take().filter(|bytes| !bytes.is_empty());
                if let Some(mut rest) = rest.take() {
                    rest.flight.served();
                }
                Poll::Ready(taken.map(|bytes| Ok(Frame::data(bytes))))
            }
            Kind::Relay(relay) => {
                // Law 13: a panic costs this answer, not the other streams of its connection.
                catch_unwind(AssertUnwindSafe(|| relay.as_mut().poll_frame(context))).unwrap_or_else(|_| {
                    relay.panicked();
                    Poll::Ready(Some(Err(Cut)))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full { bytes, .. } => bytes.as_ref().is_none_or(Bytes::is_empty),
            Kind::Nothing | Kind::Relay(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full { bytes, .. } => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Nothing | Kind::Relay(_) => SizeHint::default(),
        }
    }
}

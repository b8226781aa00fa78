//! The rehearsal model's stream, word by word at the pace it asks for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::Sleep;

use super::rehearsal::ReplyStream;

/// Events, each after its pause.
pub(in crate::proxy) struct Paced {
    events: ReplyStream,
    next: Option<(Pin<Box<Sleep>>, Bytes)>,
}

impl Paced {
    /// Nothing said yet.
    pub(in crate::proxy) fn new(events: ReplyStream) -> Self {
        Self { events, next: None }
    }

    /// The next event, when it is due.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.next.is_none() {
            let Some((pause, event)) = self.events.next() else { return Poll::Ready(None) };
            self.next = Some((Box::pin(tokio::time::sleep(pause)), event));
        }
        if let Some((pause, _)) = &mut self.next {
            ready!(pause.as_mut().poll(context));
        }
        Poll::Ready(self.next.take().map(|(_, event)| event))
    }
}

//! One streamed answer, event by event.

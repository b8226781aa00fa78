//! Law 13: a panic costs one request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// The future panicked. What it borrowed is still whole as far as the type system can tell, and is only used to answer.
#[derive(Debug)]
pub(super) struct Panicked;

/// Runs `future`; a panic inside it becomes an error.
pub(super) async fn caught<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panicked> {
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_and_a_value_stays_one() {
        assert!(caught(pin!(async { panic!("on purpose") })).await.is_err());
        assert_eq!(caught(pin!(async { 7 })).await.unwrap(), 7);
    }
}

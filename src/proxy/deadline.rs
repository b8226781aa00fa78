//! Waiting with an end. The timer is only set once there is something to wait for: most of the time there is not.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// What `future` comes to, or `None` when `deadline()` passes first. `deadline` is asked once, at the first wait.
pub(super) async fn until<F: Future>(future: Pin<&mut F>, deadline: impl FnOnce() -> Instant) -> Option<F::Output> {
    let mut future = future;
    let mut deadline = Some(deadline);
    let mut timer = pin!(None::<Sleep>);
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        if let Some(deadline) = deadline.take() {
            timer.set(Some(sleep_until(deadline().into())));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(context).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

/// What `future` comes to, or `None` when `cut` is cancelled first.
pub(super) async fn unless_cut<F: Future>(cut: &CancellationToken, future: Pin<&mut F>) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = cut.cancelled() => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn what_is_there_is_not_waited_for_and_what_never_comes_ends() {
        let never = || -> Instant { panic!("nothing to wait for") };
        assert_eq!(until(pin!(ready(7)), never).await, Some(7));
        assert_eq!(until(pin!(pending::<()>()), Instant::now).await, None);
    }
}

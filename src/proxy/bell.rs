//! Who is woken, and when that is worth a turn of the task: a connection is one task, and what happens within it would
//! otherwise have the whole of it polled again and again.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Something has happened.
const RUNG: u8 = 1;
/// Whoever listens is at work and will look again before it rests: the task need not be woken.
const MUTED: u8 = 2;

/// Rung by what a part of a task waits for; wakes the task.
pub(super) struct Bell {
    state: AtomicU8,
    task: Mutex<Waker>,
}

impl Bell {
    /// One that has rung: there is something to do first.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(RUNG), task: Mutex::new(Waker::noop().clone()) })
    }

    /// From now on the task of `waker` is woken.
    pub(super) fn wakes(&self, waker: &Waker) {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(waker);
    }

    /// Whether it has rung since it was muted or heard last.
    fn has_rung(&self) -> bool {
        self.state.load(Ordering::Acquire) & RUNG != 0
    }

    /// Mutes it. Whether it had rung.
    pub(super) fn mute(&self) -> bool {
        self.state.swap(MUTED, Ordering::AcqRel) & RUNG != 0
    }

    /// Lets it wake the task again, unless it rang while it was muted: then it stays muted, and there is more to do.
    pub(super) fn unmute(&self) -> bool {
        self.state.compare_exchange(MUTED, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Lets it wake the task again in any case. Whether it rang while it was muted.
    pub(super) fn hear(&self) -> bool {
        self.state.swap(0, Ordering::AcqRel) & RUNG != 0
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(RUNG, Ordering::AcqRel) == 0 {
            self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}

/// A future that is polled along with a busy one, but only the first time and after it was woken. A signal that hardly
/// ever comes costs one load then, where polling it with every step of a connection would take its locks.
pub(super) struct Quiet<F> {
    inside: F,
    bell: Arc<Bell>,
}

impl<F: Future + Unpin> Quiet<F> {
    pub(super) fn new(inside: F) -> Self {
        Self { inside, bell: Bell::new() }
    }
}

impl<F: Future + Unpin> Future for Quiet<F> {
    type Output = F::Output;

    /// Always to be polled by the same task: a connection's, from its first step to its last.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if !self.bell.has_rung() {
            return Poll::Pending;
        }
        self.bell.wakes(context.waker());
        self.bell.hear();
        let waker = Waker::from(Arc::clone(&self.bell));
        Pin::new(&mut self.inside).poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[tokio::test]
    async fn a_quiet_future_is_polled_when_it_was_woken_and_not_otherwise() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<u32>();
        let polls = Arc::new(AtomicU32::new(0));
        let (mut receiver, count) = (Box::pin(receiver), Arc::clone(&polls));
        let counted = poll_fn(move |context| {
            count.fetch_add(1, Ordering::Relaxed);
            receiver.as_mut().poll(context)
        });
        let mut quiet = pin!(Quiet::new(counted));
        for _ in 0..5 {
            assert!(poll_fn(|context| Poll::Ready(quiet.as_mut().poll(context).is_pending())).await);
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        tokio::spawn(async move { sender.send(7) });
        assert_eq!(quiet.await.unwrap(), 7);
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_rings_while_it_is_muted_wakes_nobody_and_is_not_forgotten() {
        let (bell, task) = (Bell::new(), Bell::new());
        bell.wakes(&Waker::from(Arc::clone(&task)));
        assert!(task.hear(), "a new one has rung");
        assert!(bell.mute());
        let waker = Waker::from(Arc::clone(&bell));
        waker.wake_by_ref();
        assert!(!bell.unmute() && !task.has_rung());
        assert!(bell.mute() && bell.unmute());
        waker.wake_by_ref();
        assert!(task.hear());
        waker.wake_by_ref();
        assert!(!task.has_rung(), "it was told already");
        assert!(bell.mute() && !bell.hear());
    }
}

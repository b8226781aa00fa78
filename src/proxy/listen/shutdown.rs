//! How the listener ends: stop accepting, drain until the deadline, end streams, drop what is left.

use tokio_util::sync::CancellationToken;

/// Starts the end. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    cut: CancellationToken,
    now: CancellationToken,
}

impl Shutdown {
    /// Nothing is ending yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accept no more; idle connections close; running requests may go on until `server.drain_deadline`, then
    /// [`super::Peer::cut`] is cancelled, and shortly afterwards they are dropped.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// End now: everything is dropped.
    pub fn now(&self) {
        self.drain.cancel();
        self.cut.cancel();
        self.now.cancel();
    }

    /// Whether the end has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Resolves when draining begins.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    pub(super) async fn ended(&self) {
        self.now.cancelled().await;
    }

    /// Tells every relay to end its stream.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// A token for one connection.
    pub(super) fn connection(&self) -> CancellationToken {
        self.cut.child_token()
    }
}

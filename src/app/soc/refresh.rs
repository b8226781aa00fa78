//! Has what remedies changed read into the Snapshot: at once while little happens, together while much does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::control::Follower;
use crate::control::soc::remedies::Refresh;

/// A look rests so many times as long as the one before took: with thousands of orders in force each takes a while.
const REST: u32 = 4;

/// The longest rest.
const MOST_REST: Duration = Duration::from_millis(200);

/// When the last look began, and when the next may.
type Last = Option<(Instant, Instant)>;

/// Looks for whoever asks; one look does for all who asked before it began.
pub(super) fn refresh(follower: Follower) -> Refresh {
    let last: Arc<Mutex<Last>> = Arc::default();
    Arc::new(move || {
        let (follower, last) = (follower.clone(), Arc::clone(&last));
        Box::pin(async move { look(&follower, &last).await })
    })
}

async fn look(follower: &Follower, last: &Mutex<Last>) {
    let asked = Instant::now();
    let mut last = last.lock().await;
    if let Some((began, next)) = *last {
        if began > asked {
            return;
        }
        tokio::time::sleep_until(next).await;
    }
    let began = Instant::now();
    if let Err(error) = follower.look().await {
        tracing::warn!(%error, "a remedy is in the store, and in force when the store is read next");
    }
    let ended = Instant::now();
    let rest = ended.duration_since(began).saturating_mul(REST).min(MOST_REST);
    *last = Some((began, ended + rest));
}

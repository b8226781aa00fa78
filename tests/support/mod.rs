//! What the integration tests stand on: a scripted upstream, the gateway as a child process, a client, canned answers.

pub mod answers;
pub mod client;
pub mod gateway;
pub mod mock;

use std::future::Future;
use std::time::Duration;

/// Fails a test that hangs, rather than the whole run.
pub async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), future).await {
        Ok(value) => value,
        Err(_) => panic!("not done within {seconds} s"),
    }
}

/// Waits until `ready` says so, looking every few milliseconds; the value it gives, or a panic after `seconds`.
pub async fn until<T>(seconds: u64, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {seconds} s for {what}");
        ticks.tick().await;
    }
}

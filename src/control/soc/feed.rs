//! The feed of the store, told to everybody who watches here, whichever replica wrote it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::hub::{Hub, Published};
use crate::store::{Database, StoreError};
use crate::types::soc::FeedEntry;

/// Entries read at once.
const PAGE: u32 = 500;

/// The store's feed and the hub it goes to. Clones are the same feed.
#[derive(Clone)]
pub struct Feed {
    database: Database,
    hub: Hub,
}

impl Feed {
    /// From this store into this hub.
    pub fn new(database: Database, hub: Hub) -> Self {
        Self { database, hub }
    }

    /// The store.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Who watches.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Tells what was just written here, after whatever other replicas wrote before it. What cannot be told now is told when
    /// the store is looked at next.
    pub async fn publish(&self, entries: Vec<FeedEntry>) {
        if let Published::Missing { .. } = self.hub.publish(entries)
            && let Err(error) = self.catch_up().await
        {
            tracing::warn!(%error, "the feed cannot be read: what is new is told later");
        }
    }

    /// Reads what the hub has not told yet, and tells it.
    ///
    /// # Errors
    /// Of the store.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let Some(mut last) = self.hub.last() else {
            self.hub.begin_after(self.database.feed_head().await?);
            return Ok(());
        };
        loop {
            let page = self.database.feed_after(last, PAGE).await?;
            let (Some(end), full) = (page.last().map(|entry| entry.seq), page.len() >= PAGE as usize) else {
                return Ok(());
            };
            // Entries that are not kept any more leave a hole: what is there is told from after it.
            if page.first().is_some_and(|first| first.seq > last.saturating_add(1)) {
                self.hub.begin_after(page.first().map_or(last, |first| first.seq.saturating_sub(1)));
            }
            self.hub.publish(page);
            last = end;
            if !full {
                return Ok(());
            }
        }
    }

    /// Looks for what other replicas wrote every `every`, until `stop`.
    pub async fn follow(self, every: Duration, stop: CancellationToken) {
        loop {
            if let Err(error) = self.catch_up().await {
                tracing::debug!(%error, "the feed cannot be read");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }
}

//! Keeps the library: playbooks, anew whenever they change, and incidents from when they are closed.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::feed::Feed;
use super::hub::{News, Subscription};
use super::knowledge::Knowledge;
use super::library::Passage;
use crate::config::soc_files::SocFiles;
use crate::store::StoreError;
use crate::types::Generation;
use crate::types::soc::{Analysis, FeedEntry, FeedKind, Incident, IncidentState};

/// Past incidents that are put into the library at start.
const PAST: u32 = 1000;

/// Keeps it until `stop`; `published` changes with every reload.
pub async fn keep(
    knowledge: Arc<Knowledge>,
    feed: Feed,
    mut published: watch::Receiver<Generation>,
    stop: CancellationToken,
) {
    let hub = feed.hub().clone();
    let mut watching = hub.subscribe(None).ok();
    let mut files = (knowledge.files)();
    found(&knowledge, &files).await;
    if let Err(error) = past(&knowledge, &feed).await {
        tracing::warn!(%error, "past incidents cannot be read: the analyst does without");
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = published.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = (knowledge.files)();
                if now.playbooks != files.playbooks {
                    found(&knowledge, &now).await;
                }
                files = now;
            }
            news = next(&mut watching) => {
                let heard = match news {
                    News::Entry(entry) => heed(&knowledge, &feed, &entry).await,
                    News::Behind { after } => {
                        if let Some(watching) = &mut watching {
                            watching.caught_up(hub.last().unwrap_or(after));
                        }
                        past(&knowledge, &feed).await
                    }
                    News::Closed => return,
                };
                if let Err(error) = heard {
                    tracing::warn!(%error, "an incident that was closed is not in the library before the next start");
                }
            }
        }
    }
}

/// What is new; never, where nothing can be watched.
async fn next(watching: &mut Option<Subscription>) -> News {
    match watching {
        Some(watching) => watching.next().await,
        None => std::future::pending().await,
    }
}

async fn found(knowledge: &Knowledge, files: &SocFiles) {
    let sections = files.playbooks.sections().map(|section| Passage {
        id: Arc::clone(&section.anchor),
        title: format!("{}: {}", section.title, section.heading),
        text: section.text.to_string(),
    });
    let left_out = knowledge.library.found(sections.collect()).await;
    if left_out > 0 {
        tracing::warn!(left_out, "sections of playbooks do not fit into the library");
    }
}

async fn past(knowledge: &Knowledge, feed: &Feed) -> Result<(), StoreError> {
    let past = feed.database().past_incidents(PAST).await?;
    knowledge.library.add(past.iter().map(|past| passage(&past.incident, &past.found)).collect()).await;
    Ok(())
}

/// An incident was closed: what was made of it is something to learn from.
async fn heed(knowledge: &Knowledge, feed: &Feed, entry: &FeedEntry) -> Result<(), StoreError> {
    let closed = entry.kind == FeedKind::Incident
        && entry.body.get("state").and_then(|state| state.as_str()) == Some(IncidentState::Closed.name());
    if closed
        && let Ok(incident) = serde_json::from_value::<Incident>(entry.body.clone())
        && incident.merged_into.is_none()
    {
        let analysis: Option<Analysis> = feed.database().analysis_of(&incident.id).await?;
        let found = analysis.map(|analysis| analysis.found).unwrap_or_default();
        knowledge.library.add(vec![passage(&incident, &found)]).await;
    }
    Ok(())
}

fn passage(incident: &Incident, found: &serde_json::Map<String, serde_json::Value>) -> Passage {
    Passage {
        id: Arc::clone(&incident.id),
        title: incident.title.clone(),
        text: found.get("analyse").map(ToString::to_string).unwrap_or_default(),
    }
}

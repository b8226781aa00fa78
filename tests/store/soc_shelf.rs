//! The library follows playbooks that change and incidents that are closed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::config::soc_files::{SocFiles, SocFilesNow};
use portcullis::control::soc::Feed;
use portcullis::control::soc::breaker::Limits as BreakerLimits;
use portcullis::control::soc::hub::{Hub, HubLimits};
use portcullis::control::soc::library::{Library, LibraryLimits};
use portcullis::control::soc::notify::Channels;
use portcullis::control::soc::shelf;
use portcullis::soc::playbook::{Playbooks, Source};
use portcullis::store::Database;
use portcullis::store::soc::IncidentChange;
use portcullis::telemetry::Metrics;
use portcullis::types::Generation;
use portcullis::types::soc::{IncidentState, LogKind};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::both;
use crate::home::{Home, until};
use crate::rows::MONDAY;
use crate::soc_things::{closed, ids, incident, knowledge, line};

both!(playbooks_are_read_anew_and_closed_incidents_are_found);

fn files(heading: &str) -> Arc<SocFiles> {
    let text = format!(
        "---\nid: own\ntitle: Our own\nfamilies: [prompt_injection]\nseverity: low\nsteps:\n  \
         - {{action: monitor, reason: \"We watch.\"}}\n---\n## {heading}\n\nLook at it.\n"
    );
    let playbooks = Playbooks::new(&[Source { name: "own.md".to_owned(), text }]).unwrap();
    Arc::new(SocFiles { playbooks, ..SocFiles::default() })
}

/// Raises an incident and closes it.
async fn close(database: &Database, feed: &Feed, id: &str) {
    let known = incident(id, "many", &format!("user:{id}"));
    database.raise_incident(&known, &[], &line(LogKind::Raised, "raised")).await.unwrap();
    let change = IncidentChange {
        state: Some(IncidentState::Closed),
        closed: Some(closed("resolved")),
        ..IncidentChange::default()
    };
    let (_, entries) = database.change_incident(id, &change, None, MONDAY, &[]).await.unwrap();
    feed.publish(entries).await;
}

async fn playbooks_are_read_anew_and_closed_incidents_are_found(home: Home) {
    let database = home.open().await;
    let metrics = Metrics::new("portcullis").unwrap();
    let feed = Feed::new(database.clone(), Hub::new(HubLimits { entries: 64, subscribers: 2 }, metrics.clone()));
    feed.catch_up().await.unwrap();
    let library =
        Arc::new(Library::new(LibraryLimits::default(), Box::new(|_| Vec::new()), None, metrics.clone()).unwrap());
    let current = Arc::new(Mutex::new(files("How it was")));
    let now: SocFilesNow = {
        let current = Arc::clone(&current);
        Arc::new(move || Arc::clone(&current.lock().unwrap()))
    };
    let channels = Arc::new(Channels::new([], BreakerLimits::default(), metrics));
    let knowledge = knowledge(now, Arc::clone(&library), channels);
    let published = watch::Sender::new(Generation(1));
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(shelf::keep(knowledge, feed.clone(), published.subscribe(), stop.clone()));
    let all = || -> Vec<String> { library.under("playbook/").iter().map(|one| one.title.clone()).collect() };
    until("the playbook is there", || all().iter().any(|title| title.contains("How it was"))).await;

    *current.lock().unwrap() = files("How it is");
    published.send_replace(Generation(2));
    until("the new one is there", || all().iter().any(|title| title.contains("How it is"))).await;
    assert!(!all().iter().any(|title| title.contains("How it was")), "and the old one is not: {:?}", all());

    close(&database, &feed, "inc_1").await;
    until("the incident is there", || library.get("inc_1").is_some()).await;
    // One that is the same as another teaches nothing.
    for id in ["inc_2", "inc_3"] {
        let known = incident(id, "many", &format!("user:{id}"));
        database.raise_incident(&known, &[], &line(LogKind::Raised, "raised")).await.unwrap();
    }
    let merged = line(LogKind::Merged, "merged");
    let (_, entries) =
        database.merge_incidents(&"inc_2".into(), &ids(["inc_3"]), &closed("duplicate"), &merged).await.unwrap();
    feed.publish(entries).await;
    close(&database, &feed, "inc_4").await;
    until("a later one is there", || library.get("inc_4").is_some()).await;
    assert!(library.get("inc_3").is_none());
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), keeping).await.unwrap().unwrap();
}

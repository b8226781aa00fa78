//! Builds the security operations centre: its files, channels and models, its reader of events, and the tasks behind it.

mod outside;
mod refresh;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::outside::{CONNECT, MODEL_ANSWER, channels, ingest, scorer, wrong};
pub(super) use self::outside::{model, secret};
use self::refresh::refresh;
use super::Error;
use super::backing::{self, Backing};
use crate::config::Handle;
use crate::config::settings::Settings;
use crate::config::soc_files::SocFilesNow;
use crate::config::soc_settings::Soc as SocSettings;
use crate::control::Follower;
use crate::control::api::soc::Soc as Door;
use crate::control::api::soc::ingest::IngestSources;
use crate::control::api::soc::live::{Live, LiveOptions};
use crate::control::soc::analyst::{Analyst, AnalystOptions};
use crate::control::soc::approvals::Approvals;
use crate::control::soc::breaker::Limits as BreakerLimits;
use crate::control::soc::desk::{Desk, DeskOptions, Watch, desk};
use crate::control::soc::embeddings::Embeddings;
use crate::control::soc::feed::Feed;
use crate::control::soc::hub::{Hub, HubLimits};
use crate::control::soc::knowledge::{Knowledge, PlanLimits, Text};
use crate::control::soc::library::{Library, LibraryLimits};
use crate::control::soc::model::{EndpointOptions, inspect, inspect_answer};
use crate::control::soc::planner::Planner;
use crate::control::soc::remedies::{Remedies, RemedyOptions};
use crate::control::soc::shelf;
use crate::control::soc::station::Station;
use crate::soc::remedy::Retry;
use crate::soc::search::Vectors;
use crate::soc::{CorrelateOptions, FoldOptions};
use crate::telemetry::{Metrics, ModelPurpose};
use crate::types::Role;

/// How often the store is looked at for work of the analyst, for remedies, and for what other replicas wrote.
const EVERY: Duration = Duration::from_millis(250);

/// Entries of the feed kept for those who are slow.
const FEED_KEPT: usize = 4096;

/// Vectors of texts remembered.
const REMEMBERED: u64 = 8192;

/// Events that one alert may count.
const MOST_FOLDED: u64 = 1_000_000;

/// Sections and past incidents that are retrieved for one incident.
const RETRIEVED: usize = 6;

/// Blast figures look back so many hours.
const BLAST_HOURS: u32 = 24;

/// The parts that run, and what the admin API uses.
pub(super) struct Soc {
    watch: Option<Watch>,
    analyst: Vec<Analyst>,
    remedies: Vec<Remedies>,
    knowledge: Arc<Knowledge>,
    handle: Arc<Handle>,
    /// What the admin API uses.
    station: Station,
    /// Its settings of the live feed, and who may send alerts.
    live: LiveOptions,
    ingest: IngestSources,
}

/// What it is built from.
pub(super) struct From<'a> {
    pub(super) settings: &'a Settings,
    pub(super) handle: &'a Arc<Handle>,
    pub(super) backing: &'a Backing,
    pub(super) follower: &'a Follower,
    pub(super) metrics: &'a Metrics,
    pub(super) ending: &'a Arc<AtomicBool>,
}

/// Builds it; `None` where it is switched off.
///
/// # Errors
/// Files that are wrong, secrets that are not set, addresses that are none.
pub(super) fn build(from: &From<'_>) -> Result<Option<(Desk, Soc)>, Error> {
    let settings = &from.settings.soc;
    if !settings.enabled {
        return Ok(None);
    }
    let files: SocFilesNow = {
        let handle = Arc::clone(from.handle);
        Arc::new(move || Arc::clone(&handle.load().soc))
    };
    let limits = HubLimits { entries: FEED_KEPT.max(settings.live.queue), subscribers: settings.live.subscribers + 2 };
    let feed = Feed::new(from.backing.database.clone(), Hub::new(limits, from.metrics.clone()));
    let channels = Arc::new(channels(settings, from.metrics)?);
    let folds =
        FoldOptions { within: micros(settings.fold_within.get()), most: MOST_FOLDED, tracked: settings.tracked };
    let judges = (folds, CorrelateOptions { tracked: settings.tracked });
    let options = DeskOptions {
        queue: settings.queue,
        waiting: settings.queue,
        recall: micros(Duration::from_secs(24 * 3600)),
        analyse: settings.analyse_from,
    };
    let catalogue = Arc::clone(from.handle);
    let titles = Arc::new(move |id: &str| {
        let snapshot = catalogue.load();
        snapshot.rules.threats().get(id).map(|threat| Arc::clone(&threat.title))
    });
    let ending = Arc::clone(from.ending);
    let (reader, intake, watch) = desk(Arc::clone(&files), titles, judges, feed.clone(), options, ending);

    let knowledge = Arc::new(Knowledge {
        library: Arc::new(library(settings, &files().playbooks, from.metrics)?),
        files,
        channels: Arc::clone(&channels),
        model: model(settings, false)?.map(|model| model.counted(from.metrics.clone(), ModelPurpose::Analyst)),
        reviewer: model(settings, true)?.map(|model| model.counted(from.metrics.clone(), ModelPurpose::Reviewer)),
        guard: {
            let handle = Arc::clone(from.handle);
            Arc::new(move || handle.load().settings.soc.guardrails())
        },
        inspect: {
            let handle = Arc::clone(from.handle);
            Arc::new(move |text| match text {
                Text::Question(text) => inspect(&handle.load_full(), Role::Tool, text),
                Text::Answer(text) => inspect_answer(&handle.load_full(), text),
            })
        },
        scorer: scorer(from.handle),
        limits: PlanLimits {
            lifetime: micros(settings.plan_expires.get()),
            most_steps: settings.guard.most_steps,
            overlap: settings.analyst.overlap,
            hours: BLAST_HOURS,
            retrieved: RETRIEVED,
        },
    });
    let trail = from.backing.trail.clone();
    let outside = backing::options(&from.settings.store)?.content_key;
    let approvals = Approvals::new(feed.clone(), trail.clone(), outside, micros(settings.approval_expires.get()));
    let retry = Retry {
        first: micros(settings.retry_delay.get()),
        longest: micros(settings.retry_longest.get()),
        tries: settings.tries,
        give_up_after: micros(settings.give_up_after.get()),
    };
    let refresh = refresh(from.follower.clone());
    let acting = RemedyOptions { every: EVERY, lease: settings.lease.get(), retry };
    let remedies = Remedies::new(feed.clone(), trail.clone(), channels, refresh, acting);
    let working = AnalystOptions {
        every: EVERY,
        share: settings.share,
        lease: settings.lease.get(),
        tries: settings.tries,
        retry: settings.retry_delay.get(),
        alerts: u32::try_from(settings.alerts_read).unwrap_or(u32::MAX),
    };
    let analyst = Analyst::new(feed.clone(), Arc::clone(&knowledge), approvals.clone(), working);
    let planner = Planner::new(feed.clone(), trail, Arc::clone(&knowledge));
    let station = Station {
        feed,
        intake,
        approvals,
        planner,
        remedies: remedies.clone(),
        library: Arc::clone(&knowledge.library),
    };
    let soc = Soc {
        watch: Some(watch),
        analyst: vec![analyst; settings.workers],
        remedies: vec![remedies; settings.workers],
        knowledge,
        handle: Arc::clone(from.handle),
        station,
        live: LiveOptions {
            sockets: settings.live.subscribers,
            per_account: settings.live.per_account,
            heartbeat: settings.live.heartbeat.get(),
            ..LiveOptions::default()
        },
        ingest: ingest(settings)?,
    };
    Ok(Some((reader, soc)))
}

impl Soc {
    /// Its feed.
    pub(super) fn feed(&self) -> Feed {
        self.station.feed.clone()
    }

    /// What the admin API uses.
    pub(super) fn door(&self) -> Door {
        Door { station: self.station.clone(), live: Live::new(self.live), ingest: self.ingest.clone() }
    }

    /// Starts its tasks. They end at `stop`, but for the one that writes alerts: that is ended last, by what is returned.
    pub(super) fn run(&mut self, stop: &CancellationToken) -> Option<Last> {
        for analyst in self.analyst.drain(..) {
            tokio::spawn(analyst.run(stop.clone()));
        }
        for remedies in self.remedies.drain(..) {
            tokio::spawn(remedies.run(stop.clone()));
        }
        let (knowledge, feed) = (Arc::clone(&self.knowledge), self.station.feed.clone());
        tokio::spawn(shelf::keep(knowledge, feed, self.handle.subscribe(), stop.clone()));
        tokio::spawn(self.station.feed.clone().follow(EVERY, stop.clone()));
        let watch = self.watch.take()?;
        let stop = CancellationToken::new();
        Some(Last { task: tokio::spawn(watch.run(stop.clone())), stop })
    }
}

/// The task that writes alerts.
pub(super) struct Last {
    task: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

impl Last {
    /// Writes what was handed in so far, and ends.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("the task that writes alerts panicked");
        }
    }
}

fn library(
    settings: &SocSettings,
    playbooks: &crate::soc::playbook::Playbooks,
    metrics: &Metrics,
) -> Result<Library, Error> {
    let vectors = Vectors::fit(playbooks.sections().map(|section| &*section.text));
    let vectorizer = Box::new(move |text: &str| vectors.of(text).into_iter().collect());
    let outside = &settings.embeddings;
    let embeddings = match &outside.base_url {
        None => None,
        Some(base_url) => {
            let options = EndpointOptions {
                base_url: base_url.clone(),
                model: outside.model.clone(),
                key: secret(outside.api_key_env.as_deref(), outside.api_key_file.as_deref())?,
                ca: None,
                connect: CONNECT,
                timeout: outside.timeout.get(),
                max_answer: MODEL_ANSWER,
            };
            let made = Embeddings::new(&options, BreakerLimits::default(), REMEMBERED, metrics.clone());
            Some(made.map_err(wrong("embeddings"))?.in_batches(outside.batch))
        }
    };
    Library::new(LibraryLimits::default(), vectorizer, embeddings, metrics.clone())
        .map_err(|error| Error::Soc(error.to_string()))
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

//! The attack lab's door: the red team's cases against the own data listener, one run at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::HeaderValue;
use tokio::sync::Notify;

use super::own::{Own, lend};
use crate::config::Handle;
use crate::config::admin_settings::Trying as Settings;
use crate::config::issued::{IssuedKey, Lent};
use crate::control::Follower;
use crate::control::api::door::{DoorError, Reply};
use crate::control::api::trying::lab::{LabBody, LabResult, LabTally, Seen};
use crate::control::api::trying::{Lab, LabCase, LabOrder};
use crate::redteam::{self, Carried, Carry, Judged, Minimum, Options, Outcome, Pack, Run, Target, Watch, report};
use crate::store::lab::LabRow;
use crate::store::soc::{AlertFilter, RemedyFilter};
use crate::store::{self, Database};
use crate::types::visible;

/// The team and the agent of what comes from here; the keys and users of each run begin with it.
const TEAM: &str = "attack-lab";
/// How often results are written.
const EVERY: Duration = Duration::from_millis(250);
/// How long after the last trial the operations centre is watched.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// Alerts and remedies that are looked at, and shown.
const LOOKED_AT: u32 = 1000;
const SHOWN: usize = 200;
/// Characters of what came of a trial.
const TOLD: usize = 300;

/// The door.
pub(super) struct Range {
    inner: Arc<Inner>,
}

struct Inner {
    own: Own,
    config: Arc<Handle>,
    follower: Follower,
    database: Database,
    timeout: Duration,
    concurrency: usize,
    keep: u32,
    pack: Pack,
    going: Mutex<Option<(String, Arc<AtomicBool>)>>,
}

impl Range {
    pub(super) fn new(
        own: Own,
        config: Arc<Handle>,
        follower: Follower,
        database: Database,
        settings: &Settings,
    ) -> Self {
        // The built-in packs are read by a test.
        let pack = redteam::read(&redteam::builtin()).unwrap_or_default();
        let (timeout, concurrency, keep) = (settings.timeout.get(), settings.concurrency, settings.runs);
        let going = Mutex::default();
        Self { inner: Arc::new(Inner { own, config, follower, database, timeout, concurrency, keep, pack, going }) }
    }
}

impl Lab for Range {
    fn cases(&self) -> Vec<LabCase> {
        let mut cases: BTreeMap<String, LabCase> = BTreeMap::new();
        for trial in redteam::plan(&self.inner.pack, 1, &[], false) {
            let known = cases.entry(trial.case().to_owned()).or_insert_with(|| LabCase {
                id: trial.case().to_owned(),
                title: trial.title.to_string(),
                family: trial.family.to_string(),
                severity: trial.severity.name().to_owned(),
                expect: trial.expects().to_owned(),
                ways: 0,
            });
            known.ways = known.ways.saturating_add(1);
        }
        cases.into_values().collect()
    }

    fn begin(&self, order: LabOrder) -> Reply<'_, ()> {
        Box::pin(async move {
            let stop = Arc::new(AtomicBool::new(false));
            let turn = Turn::take(&self.inner, &order.id, &stop)?;
            let now = store::now();
            let body = LabBody {
                families: order.families.clone(),
                cases: order.cases.clone(),
                seed: order.seed,
                model: order.model.clone(),
                ..LabBody::default()
            };
            let row = LabRow {
                id: order.id.clone(),
                started: now,
                touched: now,
                ended: None,
                state: "running".to_owned(),
                rule_set: self.inner.config.load().rules.hash().0.to_string(),
                by: order.by.clone(),
                body: serde_json::to_string(&body).unwrap_or_default(),
            };
            let inserted = self.inner.database.insert_lab_run(&row, self.inner.keep).await;
            inserted.map_err(|error| DoorError::Unavailable(error.to_string()))?;
            drop(tokio::spawn(turn.work(order, row, body, stop)));
            Ok(())
        })
    }

    fn cancel(&self, run: &str) -> bool {
        let going = self.inner.going.lock().unwrap_or_else(PoisonError::into_inner);
        match &*going {
            Some((id, stop)) if id == run => {
                stop.store(true, Ordering::Relaxed);
                true
            }
            Some(_) | None => false,
        }
    }
}

/// What trials came to and is not written yet: at most as many as were planned.
#[derive(Default)]
struct Desk {
    planned: u32,
    results: Vec<(u32, LabResult)>,
}

struct Onlooker {
    desk: Mutex<Desk>,
    stop: Arc<AtomicBool>,
}

impl Watch for Onlooker {
    fn planned(&self, trials: usize) {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).planned = u32::try_from(trials).unwrap_or(u32::MAX);
    }

    fn judged(&self, at: usize, judged: &Judged) {
        let result = (u32::try_from(at).unwrap_or(u32::MAX), result_of(judged));
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).results.push(result);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn result_of(judged: &Judged) -> LabResult {
    let trial = &judged.trial;
    LabResult {
        id: trial.id.clone(),
        title: trial.title.to_string(),
        family: trial.family.to_string(),
        severity: trial.severity.name().to_owned(),
        expected: trial.expects().to_owned(),
        outcome: judged.outcome.name().to_owned(),
        actual: visible(&judged.reason, TOLD),
        status: judged.status,
        micros: u64::try_from(judged.took.as_micros()).unwrap_or(u64::MAX),
        requests: judged.requests.clone(),
    }
}

/// Each trial is a user of its own with a key of its own, so that what is done about one of them does not end the others.
struct Callers {
    own: Own,
    follower: Follower,
    run: String,
    keys: Mutex<BTreeMap<String, (HeaderValue, Arc<str>)>>,
}

impl Callers {
    fn bearer(&self, trial: &str) -> Result<HeaderValue, String> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bearer, _)) = keys.get(trial) {
            return Ok(bearer.clone());
        }
        let user: Arc<str> = format!("{}{trial}", prefix(&self.run)).into();
        let key = IssuedKey {
            family: Arc::clone(&user),
            name: TEAM.into(),
            team: Some(TEAM.into()),
            user: Some(user),
            agent: Some(TEAM.into()),
            ..IssuedKey::default()
        };
        let loan = lend(&self.follower, key, Lent::default())?;
        keys.insert(trial.to_owned(), (loan.bearer.clone(), loan.id));
        Ok(loan.bearer)
    }

    fn take_back(&self) {
        let keys = std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner));
        let ids: Vec<Arc<str>> = keys.into_values().map(|(_, id)| id).collect();
        if !ids.is_empty() {
            self.follower.take_back(&ids);
        }
    }
}

/// However the run ends.
impl Drop for Callers {
    fn drop(&mut self) {
        self.take_back();
    }
}

/// How the users and keys of a run begin.
fn prefix(run: &str) -> String {
    let end = run.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
    format!("{TEAM}.{}.", run.get(end..).unwrap_or_default())
}

impl Carry for Callers {
    fn carry(&self, trial: &str, request: Request<Full<Bytes>>) -> Carried<'_> {
        let bearer = self.bearer(trial);
        Box::pin(async move { self.own.send(request, bearer?).await })
    }
}

/// The one run that goes on. The next can begin when it is dropped, whatever became of it.
struct Turn(Arc<Inner>);

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.going.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Turn {
    fn take(inner: &Arc<Inner>, run: &str, stop: &Arc<AtomicBool>) -> Result<Self, DoorError> {
        let mut going = inner.going.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((other, _)) = &*going {
            return Err(DoorError::Invalid(format!("The run {other} goes on: there is one at a time.")));
        }
        *going = Some((run.to_owned(), Arc::clone(stop)));
        drop(going);
        Ok(Self(Arc::clone(inner)))
    }

    /// The work; a panic in it is told of the run.
    async fn work(self, order: LabOrder, row: LabRow, body: LabBody, stop: Arc<AtomicBool>) {
        let (inner, mut broken) = (&self.0, row.clone());
        let Err(error) = tokio::spawn(Arc::clone(inner).work(order, row, body, stop)).await else { return };
        tracing::error!(run = %broken.id, %error, "a run of the attack lab broke off");
        let known = inner.database.lab_run(&broken.id).await.ok().flatten();
        let body = known.map_or_else(|| broken.body.clone(), |known| known.body);
        let mut body: LabBody = serde_json::from_str(&body).unwrap_or_default();
        body.problem = Some("It broke off: a fault of the gateway, which its log tells of.".to_owned());
        (broken.state, broken.ended) = ("failed".to_owned(), Some(store::now()));
        inner.close(&mut broken, &body).await;
    }
}

impl Inner {
    async fn work(self: Arc<Self>, order: LabOrder, mut row: LabRow, mut body: LabBody, stop: Arc<AtomicBool>) {
        let onlooker = Arc::new(Onlooker { desk: Mutex::default(), stop: Arc::clone(&stop) });
        let keys = Mutex::default();
        let (own, follower) = (self.own.clone(), self.follower.clone());
        let callers = Arc::new(Callers { own, follower, run: order.id.clone(), keys });
        let over = Notify::new();
        let running = async {
            let ran = self.run(&order, &onlooker, &callers).await;
            over.notify_one();
            ran
        };
        let writing = async {
            loop {
                let last = tokio::select! {
                    () = over.notified() => true,
                    () = tokio::time::sleep(EVERY) => false,
                };
                self.write(&onlooker, &mut row, &mut body).await;
                if last {
                    break;
                }
            }
        };
        let (ran, ()) = tokio::join!(running, writing);
        callers.take_back();
        row.state = match &ran {
            Ok(_) if stop.load(Ordering::Relaxed) => "cancelled",
            Ok(_) => "done",
            Err(_) => "failed",
        }
        .to_owned();
        if let Ok(run) = &ran {
            body.rehearsal = run.is_rehearsal;
            let reports = [format!("{:#}\n", report::json(run)), report::junit(run), report::html(run)];
            if let Err(error) = self.database.keep_lab_reports(&row.id, reports).await {
                tracing::warn!(%error, "a report of the attack lab was not kept");
            }
            // What the operations centre makes of it comes a little later.
            tokio::time::sleep(AFTERWARDS).await;
        }
        body.problem = ran.err();
        row.ended = Some(store::now());
        self.seen(&row, &mut body).await;
        self.close(&mut row, &body).await;
    }

    async fn run(&self, order: &LabOrder, onlooker: &Arc<Onlooker>, callers: &Arc<Callers>) -> Result<Run, String> {
        let way: Arc<dyn Carry> = Arc::<Callers>::clone(callers);
        let target = Target::through(way, "http://localhost", self.timeout).map_err(|error| error.to_string())?;
        let options = Options {
            seed: order.seed,
            model: order.model.clone(),
            concurrency: self.concurrency.max(1),
            families: order.families.clone(),
            cases: order.cases.clone(),
            minimum: Minimum { pass: 0.95, benign: 0.95 },
        };
        let watch: Arc<dyn Watch> = Arc::<Onlooker>::clone(onlooker);
        redteam::watched(target, &self.pack, &options, Some(watch)).await.map_err(|error| error.to_string())
    }

    /// Writes what came in since the last time.
    async fn write(&self, onlooker: &Onlooker, row: &mut LabRow, body: &mut LabBody) {
        let (planned, results) = {
            let mut desk = onlooker.desk.lock().unwrap_or_else(PoisonError::into_inner);
            (desk.planned, std::mem::take(&mut desk.results))
        };
        body.planned = planned;
        for (_, result) in &results {
            let family = body.by_family.entry(result.family.clone()).or_default();
            count(&mut body.tally, &result.outcome);
            count(family, &result.outcome);
        }
        let written: Vec<(u32, String)> =
            results.iter().filter_map(|(at, result)| Some((*at, serde_json::to_string(result).ok()?))).collect();
        row.touched = store::now();
        row.body = serde_json::to_string(body).unwrap_or_default();
        let done = match self.database.add_lab_results(&row.id, &written, row.touched).await {
            Ok(()) => self.database.change_lab_run(row).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "results of the attack lab were not written");
        }
    }

    async fn close(&self, row: &mut LabRow, body: &LabBody) {
        row.touched = store::now();
        row.body = serde_json::to_string(body).unwrap_or_default();
        if let Err(error) = self.database.change_lab_run(row).await {
            tracing::warn!(%error, "the end of a run of the attack lab was not written");
        }
    }

    /// Alerts that the run's callers raised, and remedies that answer to them.
    async fn seen(&self, row: &LabRow, body: &mut LabBody) {
        let prefix = prefix(&row.id);
        let filter = AlertFilter { from: Some(row.started), ..AlertFilter::default() };
        let alerts = self.database.alerts(&filter, LOOKED_AT).await.unwrap_or_default();
        let ours = alerts
            .into_iter()
            .filter(|alert| alert.caller.user.as_deref().is_some_and(|user| user.starts_with(&prefix)));
        let ours: Vec<_> = ours.collect();
        let remedies = self.database.remedies(&RemedyFilter::default(), LOOKED_AT).await.unwrap_or_default();
        for remedy in remedies.into_iter().filter(|remedy| remedy.made >= row.started) {
            let target = remedy.target.as_ref().and_then(|target| serde_json::to_string(target).ok());
            let is_against = target.is_some_and(|target| target.contains(&prefix));
            let answers = remedy.incident.is_some() && ours.iter().any(|alert| alert.incident == remedy.incident);
            if (is_against || answers) && body.remedies.len() < SHOWN {
                let title = format!("{}: {}", remedy.action.name().replace('_', " "), remedy.reason);
                let (id, word) = (remedy.id.to_string(), remedy.state.name().to_owned());
                body.remedies.push(Seen { id, title: visible(&title, TOLD), word });
            }
        }
        body.alerts.extend(ours.into_iter().take(SHOWN).map(|alert| Seen {
            id: alert.id.to_string(),
            title: visible(&alert.title, TOLD),
            word: alert.severity.name().to_owned(),
        }));
    }
}

fn count(tally: &mut LabTally, outcome: &str) {
    let slot = match outcome {
        word if word == Outcome::Passed.name() => &mut tally.passed,
        word if word == Outcome::Failed.name() => &mut tally.failed,
        word if word == Outcome::Inconclusive.name() => &mut tally.inconclusive,
        _ => &mut tally.error,
    };
    *slot = slot.saturating_add(1);
}

//! The analyst and the remedies, ended wherever they wait for something: whoever goes on brings it to the same end, once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use portcullis::config::soc_files::SocFiles;
use portcullis::config::soc_settings::Soc as Settings;
use portcullis::control::audit::{self, Trail};
use portcullis::control::soc::Feed;
use portcullis::control::soc::analyst::{Analyst, AnalystOptions};
use portcullis::control::soc::approvals::Approvals;
use portcullis::control::soc::breaker::Limits as BreakerLimits;
use portcullis::control::soc::hub::{Hub, HubLimits};
use portcullis::control::soc::knowledge::{Scorer, ScorerNow, Scores};
use portcullis::control::soc::library::{Library, LibraryLimits};
use portcullis::control::soc::notify::Channels;
use portcullis::control::soc::remedies::{Remedies, RemedyOptions};
use portcullis::soc::remedy::Retry;
use portcullis::store::audit::AuditFilter;
use portcullis::store::soc::{AlertWrite, PlanFilter, RemedyFilter};
use portcullis::store::{Database, now};
use portcullis::telemetry::Metrics;
use portcullis::types::soc::{Alert, Analysis, Incident, LogKind, Phase, PlanState, RemedyState};
use portcullis::types::{Family, Severity};
use tokio_util::sync::CancellationToken;

use crate::both;
use crate::home::Home;
use crate::soc_things::{alert, analysis, caller, incident, knowledge, line};

both!(
    what_is_ended_anywhere_comes_to_the_same_end_once,
    a_model_that_reads_claims_measures_them_and_words_do_without_it,
);

/// How long a step is somebody's own.
const LEASE: Duration = Duration::from_millis(150);

/// A future that is not asked again after so many times.
struct Ended<F> {
    work: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for Ended<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(()) };
        self.left = left;
        self.work.as_mut().poll(context).map(drop)
    }
}

/// The analyst and the remedies of one process.
struct Workers {
    analyst: Analyst,
    remedies: Remedies,
}

impl Workers {
    fn new(database: &Database, trail: &Trail) -> Self {
        Self::reading(database, trail, Arc::new(|| None))
    }

    /// With this model to read claims.
    fn reading(database: &Database, trail: &Trail, scorer: ScorerNow) -> Self {
        let metrics = Metrics::new("portcullis").unwrap();
        let feed = Feed::new(database.clone(), Hub::new(HubLimits { entries: 64, subscribers: 1 }, metrics.clone()));
        let files = Arc::new(SocFiles::read(&Settings::default()).unwrap());
        let library = Library::new(LibraryLimits::default(), Box::new(|_| Vec::new()), None, metrics.clone()).unwrap();
        let channels = Arc::new(Channels::new([], BreakerLimits::default(), metrics));
        let now = Arc::new(move || Arc::clone(&files));
        let mut knowledge = knowledge(now, Arc::new(library), Arc::clone(&channels));
        Arc::get_mut(&mut knowledge).unwrap().scorer = scorer;
        let approvals = Approvals::new(feed.clone(), trail.clone(), None, 3_600_000_000);
        let every = Duration::from_millis(1);
        let options = AnalystOptions { every, share: 1.0, lease: LEASE, tries: 1000, retry: every, alerts: 64 };
        let retry = Retry { first: 1000, longest: 1000, tries: 1000, give_up_after: 3_600_000_000 };
        let acting = RemedyOptions { every, lease: LEASE, retry };
        Self {
            analyst: Analyst::new(feed.clone(), knowledge, approvals, options),
            remedies: Remedies::new(feed, trail.clone(), channels, Arc::new(|| Box::pin(async {})), acting),
        }
    }

    async fn run(self, stop: CancellationToken) {
        tokio::join!(self.analyst.run(stop.clone()), self.remedies.run(stop));
    }
}

/// An incident that a limit is the answer to, which nobody has to approve.
async fn raise(database: &Database, number: usize) -> Incident {
    let user = format!("mallory-{number}");
    let one = Alert {
        severity: Severity::High,
        count: 5,
        first: now(),
        last: now(),
        verdict: portcullis::types::soc::Verdicted { risk: 0.9, false_positive: 2, ..Default::default() },
        ..alert(&format!("alt_{number}"), &user)
    };
    database.write_alerts(&[AlertWrite::New(one.clone())]).await.unwrap();
    let raised = Incident {
        severity: Severity::High,
        families: vec![Family::PromptInjection],
        caller: caller(&user),
        risk: 0.9,
        false_positive: 2,
        opened: now(),
        updated: now(),
        ..incident(&format!("inc_{number}"), "SOC-INC-0001", &format!("user:{user}"))
    };
    database.raise_incident(&raised, &[Arc::clone(&one.id)], &line(LogKind::Raised, "raised")).await.unwrap();
    let begun = Analysis { began: now(), updated: now(), ..analysis(&format!("anl_{number}"), &raised.id) };
    database.begin_analysis(&begun).await.unwrap();
    raised
}

/// Whether everything is done that is to be done about an incident.
async fn done(database: &Database, incident: &Incident) -> bool {
    let analysis = database.analysis_of(&incident.id).await.unwrap().unwrap();
    let filter = PlanFilter { incident: Some(incident.id.to_string()), ..PlanFilter::default() };
    let plans = database.plans(&filter, 10).await.unwrap();
    analysis.phase == Phase::Done && plans.iter().all(|plan| plan.state == PlanState::Carried)
}

/// Works until it is done, at most half a minute.
async fn finish(database: &Database, trail: &Trail, incident: &Incident) {
    let stop = CancellationToken::new();
    let workers = tokio::spawn(Workers::new(database, trail).run(stop.clone()));
    let waiting = async {
        while !done(database, incident).await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes to its end");
    stop.cancel();
    workers.await.unwrap();
}

/// That the whole of it happened, and once.
async fn happened_once(database: &Database, trail: &Trail, incident: &Incident, when: usize) {
    let id = Some(incident.id.to_string());
    let plans = database.plans(&PlanFilter { incident: id.clone(), ..PlanFilter::default() }, 10).await.unwrap();
    assert_eq!(plans.len(), 1, "one plan, ended at {when}");
    let remedies = database.remedies(&RemedyFilter { incident: id, ..RemedyFilter::default() }, 10).await.unwrap();
    assert_eq!(remedies.len(), 1, "one remedy, ended at {when}: {remedies:?}");
    let remedy = &remedies[0];
    assert_eq!(remedy.state, RemedyState::Applied, "ended at {when}");
    let orders = database.live_orders(now()).await.unwrap();
    let given = orders.iter().filter(|order| order.made_by == remedy.id).count();
    assert_eq!(given, 1, "one order, ended at {when}");
    let lines = database.log_of(&incident.id, 0, 100).await.unwrap();
    let said = |kind| lines.iter().filter(|line| line.entry.kind == kind).count();
    let failed = lines.iter().filter(|line| line.entry.text.contains("took too long")).count();
    assert_eq!(said(LogKind::Analysis) - failed, 4, "each step once, ended at {when}: {lines:?}");
    assert_eq!(said(LogKind::Remedy), 1, "ended at {when}: {lines:?}");
    trail.flush().await.unwrap();
    let acted =
        AuditFilter { kind: Some("action".to_owned()), actor: Some("gateway".to_owned()), ..AuditFilter::default() };
    let written = trail.query(&acted, 1000).await.unwrap();
    assert!(written.iter().any(|row| row.body.contains(&*remedy.once)), "the trail shows it, ended at {when}");
}

async fn what_is_ended_anywhere_comes_to_the_same_end_once(home: Home) {
    let database = home.open().await;
    let directory = home.folder.path().join("audit");
    let trail = Trail::open(database.clone(), audit::Options { directory, ..audit::Options::default() }).await.unwrap();
    let mut when = 0;
    // Until it comes to its end before it is ended.
    loop {
        let incident = raise(&database, when).await;
        let workers = Workers::new(&database, &trail);
        Ended { work: Box::pin(workers.run(CancellationToken::new())), left: when }.await;
        let whole = done(&database, &incident).await;
        finish(&database, &trail, &incident).await;
        happened_once(&database, &trail, &incident, when).await;
        if whole {
            break;
        }
        when += 1;
    }
    assert!(when > 20, "there is more to it than {when} waits");
}

/// A model that gives every claim this, or none an answer.
fn scorer(score: Option<f32>) -> ScorerNow {
    Arc::new(move || {
        let answer = move |pairs: Vec<(String, String)>| -> Scores {
            assert!(pairs.iter().all(|(claim, text)| !claim.is_empty() && !text.is_empty()), "{pairs:?}");
            let scores = score.map(|score| vec![score; pairs.len()]).ok_or_else(|| "it is late".to_owned());
            Box::pin(async { scores })
        };
        Some(Scorer { score: Box::new(answer), least: 0.5 })
    })
}

async fn a_model_that_reads_claims_measures_them_and_words_do_without_it(home: Home) {
    let database = home.open().await;
    let directory = home.folder.path().join("audit");
    let trail = Trail::open(database.clone(), audit::Options { directory, ..audit::Options::default() }).await.unwrap();
    let cases = [(Some(0.9), "cross_encoder", true), (Some(0.1), "cross_encoder", false), (None, "words", true)];
    for (number, (score, measure, ok)) in cases.into_iter().enumerate() {
        let incident = raise(&database, number).await;
        let workers = Workers::reading(&database, &trail, scorer(score));
        let analysis = loop {
            workers.analyst.round("w").await.unwrap();
            let analysis = database.analysis_of(&incident.id).await.unwrap().unwrap();
            if analysis.phase.ended() {
                break analysis;
            }
        };
        assert_eq!(analysis.phase, Phase::Done, "{analysis:?}");
        let verified = &analysis.found["verify"];
        assert_eq!((&verified["measure"], &verified["ok"]), (&measure.into(), &ok.into()), "{verified}");
        let plan = database.plan(analysis.plan.as_ref().unwrap()).await.unwrap().unwrap();
        assert_eq!(plan.state == PlanState::Refused, !ok, "{plan:?}");
        let problem = verified["measure_problem"].as_str();
        assert_eq!(problem, score.is_none().then_some("it is late"), "{verified}");
        let lines = database.log_of(&incident.id, 0, 100).await.unwrap();
        let told = lines.iter().any(|line| line.entry.text.contains("measured by their words: it is late"));
        assert_eq!(told, score.is_none(), "{lines:?}");
        let scores = verified["scores"].as_array().map_or(0, Vec::len);
        assert_eq!(scores > 0, score.is_some(), "{verified}");
    }
}

//! The analyst: retrieve, analyse, plan, verify. Each step is leased, done and written down with the next one, so that a crash
//! repeats at most one step, and a step that is repeated comes to the same: ids follow from the analysis' own.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::approvals::Approvals;
use super::feed::Feed;
use super::found::{Analysed, StepError, found, kept, retrieve, scored, still_open};
use super::knowledge::Knowledge;
use super::opinion::{opinion, review};
use crate::soc::analyse::{Retrieved, analyse};
use crate::soc::plan::{Asked, approvals as asked_approvals, body_json, hash, propose};
use crate::soc::subjects;
use crate::soc::support::Scored;
use crate::soc::verify::{Known, verify};
use crate::store::soc::{AlertFilter, PlanFilter};
use crate::store::{StoreError, now};
use crate::types::Subject;
use crate::types::soc::{Alert, Analysis, Blast, Incident, LogEntry, LogKind, Phase, Plan, PlanBody, PlanState};

/// How often plans are looked for that are approved and were not carried out.
const CARRY_ON: Duration = Duration::from_secs(5);

/// The longest rest after a step: some take long because somebody outside does.
const MOST_REST: Duration = Duration::from_secs(1);

/// Plans that wait, looked at in one round.
const WAITING: u32 = 200;

/// How often plans are looked for that nobody approved in time.
const EXPIRE: Duration = Duration::from_secs(1);

/// Subjects whose figures are counted.
const SUBJECTS: usize = 12;

/// How the analyst works.
#[derive(Debug, Clone, Copy)]
pub struct AnalystOptions {
    /// How often the store is looked at for work.
    pub every: Duration,
    /// The share of the time that is worked while there is work, 0.01 to 1.
    pub share: f32,
    /// How long a step may take; after that another replica may do it.
    pub lease: Duration,
    /// Failures of a step after which it is given up.
    pub tries: u32,
    /// The wait after a failure; doubles each time.
    pub retry: Duration,
    /// Alerts of an incident that are looked at, the newest.
    pub alerts: u32,
}

/// Works on incidents. Clones are the same.
#[derive(Clone)]
pub struct Analyst {
    feed: Feed,
    knowledge: Arc<Knowledge>,
    approvals: Approvals,
    options: AnalystOptions,
}

impl Analyst {
    /// With this knowledge.
    pub fn new(feed: Feed, knowledge: Arc<Knowledge>, approvals: Approvals, options: AnalystOptions) -> Self {
        Self { feed, knowledge, approvals, options }
    }

    /// Does what is due, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let worker = format!("analyst-{}", uuid::Uuid::now_v7().simple());
        let (mut looked, mut expired) = (None, None);
        loop {
            if due(&mut looked, CARRY_ON)
                && let Err(error) = self.carry_on().await
            {
                tracing::warn!(%error, "plans that are approved cannot be looked for");
            }
            if due(&mut expired, EXPIRE)
                && let Err(error) = self.expire().await
            {
                tracing::warn!(%error, "plans that nobody approved in time cannot be looked for");
            }
            let began = tokio::time::Instant::now();
            let rest = match self.round(&worker).await {
                // A storm of incidents is worked off a little later, and nobody else notices.
                Ok(true) => began.elapsed().mul_f32((1.0 / self.options.share.clamp(0.01, 1.0)) - 1.0),
                Ok(false) => self.options.every,
                Err(error) => {
                    tracing::warn!(%error, "the analyst cannot look for work");
                    self.options.every
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest.min(MOST_REST)) => {}
            }
        }
    }

    /// One look for work: whether there was some. Goes on with what it finds to the end, or to a step that fails.
    ///
    /// # Errors
    /// Of the store.
    pub async fn round(&self, worker: &str) -> Result<bool, StoreError> {
        let leased = self.feed.database().lease_analysis(worker, self.until(), now()).await?;
        let Some(mut analysis) = leased else { return Ok(false) };
        let mut records = None;
        while !analysis.phase.ended() {
            let step = tokio::time::timeout(self.options.lease, self.step(&mut analysis, worker, &mut records)).await;
            let problem = match step {
                Ok(Ok(())) => continue,
                // The lease is lost: whoever has it goes on.
                Ok(Err(StepError::Store(StoreError::Conflict(why)))) => {
                    tracing::debug!(%why, analysis = %analysis.id, "a step was done by somebody else");
                    return Ok(true);
                }
                Ok(Err(error)) => error,
                Err(_) => StepError::Broken("it took too long".to_owned()),
            };
            self.put_off(analysis, worker, &problem).await?;
            return Ok(true);
        }
        Ok(true)
    }

    /// Until when what is leased now is this worker's.
    fn until(&self) -> i64 {
        now().saturating_add(micros(self.options.lease))
    }

    /// Ends plans that nobody approved in time.
    async fn expire(&self) -> Result<(), StoreError> {
        let (_, entries) = self.feed.database().expire_plans(now()).await?;
        self.feed.publish(entries).await;
        Ok(())
    }

    /// Plans that nobody has to approve, or that all who are needed have approved, and that were not carried out because the
    /// gateway ended in between.
    async fn carry_on(&self) -> Result<(), StoreError> {
        let waiting = PlanFilter { state: Some(PlanState::Waiting), ..PlanFilter::default() };
        let database = self.feed.database();
        let mut plans = database.plans(&waiting, WAITING).await?;
        // Most wait for people who have said nothing yet.
        plans.retain(|plan| plan.needed == 0);
        plans.extend(database.plans_spoken_of().await?.into_iter().filter(|plan| plan.needed > 0));
        for plan in plans {
            if let Err(error) = self.approvals.carry_if_approved(plan).await {
                tracing::warn!(%error, "a plan that is approved was not carried out yet");
            }
        }
        Ok(())
    }

    async fn put_off(&self, mut analysis: Analysis, worker: &str, problem: &StepError) -> Result<(), StoreError> {
        analysis.failures = analysis.failures.saturating_add(1);
        analysis.problem = Some(problem.to_string());
        tracing::warn!(%problem, analysis = %analysis.id, phase = analysis.phase.name(), "a step of the analyst failed");
        let text = format!("{} failed: {problem}", analysis.phase.name());
        let log = [said(LogKind::Analysis, text, &analysis.id)];
        let database = self.feed.database();
        let given_up = analysis.failures >= self.options.tries || matches!(problem, StepError::Gone(_));
        let entries = if given_up {
            analysis.phase = Phase::Failed;
            database.advance_analysis(&analysis, worker, now(), None, &log).await
        } else {
            let doubled = 1_i64.checked_shl(analysis.failures.saturating_sub(1).min(16)).unwrap_or(i64::MAX);
            let due = now().saturating_add(micros(self.options.retry).saturating_mul(doubled));
            database.retry_analysis(&analysis, worker, now(), due, &log).await
        };
        match entries {
            Ok(entries) => self.feed.publish(entries).await,
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Does the step that is next, and writes down what it found. Until it is written the analysis stays as it is.
    async fn step(
        &self,
        known: &mut Analysis,
        worker: &str,
        records: &mut Option<(Incident, Vec<Alert>)>,
    ) -> Result<(), StepError> {
        let mut analysis = known.clone();
        self.step_of(&mut analysis, worker, records).await?;
        *known = analysis;
        Ok(())
    }

    async fn step_of(
        &self,
        analysis: &mut Analysis,
        worker: &str,
        records: &mut Option<(Incident, Vec<Alert>)>,
    ) -> Result<(), StepError> {
        let (incident, alerts) = match records.take() {
            Some(known) => known,
            None => self.incident(&analysis.incident).await?,
        };
        let (next, found, plan, text) = match analysis.phase {
            Phase::Retrieve => {
                let retrieved = retrieve(&self.feed, &self.knowledge, &incident, &alerts).await;
                let text = format!(
                    "found {} sections of playbooks and {} past incidents",
                    retrieved.sections.len(),
                    retrieved.past.len()
                );
                (Phase::Analyse, ("retrieve", kept(&retrieved)?), None, text)
            }
            Phase::Analyse => {
                let retrieved: Retrieved = found(analysis, "retrieve")?;
                let blasts = self.blasts(&incident, &alerts).await?;
                let findings = analyse(&incident, &alerts, &blasts, &retrieved);
                let opinion = opinion(&self.knowledge, &incident, &alerts, &retrieved).await;
                let text = findings.what_happened.clone();
                let all = json!({ "findings": findings, "blasts": blasts, "opinion": opinion });
                (Phase::Plan, ("analyse", all), None, text)
            }
            Phase::Plan => {
                let known = Analysed::of(analysis, &incident, &alerts)?;
                let scored = scored(&self.knowledge, &known).await;
                let body = self.plan(analysis, &incident, &alerts, &known, &scored);
                let mut text = format!("proposes: {}", body.summary);
                if let Some(problem) = &scored.problem {
                    text = format!("{text} Its claims are measured by their words: {problem}.");
                }
                // Verification goes by the same scores.
                analysis.found.insert("scored".to_owned(), kept(&scored)?);
                (Phase::Verify, ("plan", kept(&body)?), None, text)
            }
            Phase::Verify => {
                let (plan, verified) = self.verify(analysis, &incident, &alerts).await?;
                let text = match plan.state {
                    PlanState::Refused => format!("the plan is refused: {}", plan.reasons.join("; ")),
                    _ if plan.needed == 0 => "the plan may run by itself".to_owned(),
                    _ => format!("the plan waits for {} to approve it", plan.needed),
                };
                analysis.plan = Some(Arc::clone(&plan.id));
                (Phase::Done, ("verify", verified), Some(plan), text)
            }
            Phase::Done | Phase::Failed => return Ok(()),
        };
        let (name, value) = found;
        analysis.found.insert(name.to_owned(), value);
        (analysis.phase, analysis.failures, analysis.problem) = (next, 0, None);
        analysis.updated = now();
        let log = [said(LogKind::Analysis, text, &analysis.id)];
        let database = self.feed.database();
        if !next.ended() {
            // Renewed with each step, and what was read for this one does for the next, unless it was closed meanwhile.
            let times = (now(), self.until());
            let (now_is, entries) = database.go_on_with_analysis(analysis, worker, times, &log).await?;
            self.feed.publish(entries).await;
            let now_is = still_open(now_is)?;
            // What joined it meanwhile is read too.
            *records = (now_is.alerts == incident.alerts).then_some((now_is, alerts));
            return Ok(());
        }
        let entries = database.advance_analysis(analysis, worker, now(), plan.as_ref(), &log).await?;
        self.feed.publish(entries).await;
        if let Some(plan) = plan.filter(|plan| plan.state == PlanState::Waiting && plan.needed == 0)
            && let Err(error) = self.approvals.carry_if_approved(plan).await
        {
            // The worker that looks for plans nobody has to approve finds it again.
            tracing::warn!(%error, analysis = %analysis.id, "a plan that needs nobody was not carried out yet");
        }
        Ok(())
    }

    async fn incident(&self, id: &str) -> Result<(Incident, Vec<Alert>), StepError> {
        let database = self.feed.database();
        let incident = still_open(database.incident(id).await?)?;
        let filter = AlertFilter { incident: Some(id.to_owned()), ..AlertFilter::default() };
        let alerts = database.alerts(&filter, self.options.alerts).await?;
        Ok((incident, alerts))
    }

    async fn blasts(&self, incident: &Incident, alerts: &[Alert]) -> Result<Vec<(Subject, Blast)>, StoreError> {
        let mut blasts = Vec::new();
        for subject in subjects(incident, alerts).into_iter().take(SUBJECTS) {
            let blast = blast(&self.feed, &subject, self.knowledge.limits.hours).await?;
            blasts.push((subject, blast));
        }
        Ok(blasts)
    }

    fn plan(
        &self,
        analysis: &Analysis,
        incident: &Incident,
        alerts: &[Alert],
        known: &Analysed,
        scored: &Scored,
    ) -> PlanBody {
        let id: Arc<str> = format!("pln_{}", analysis.id.trim_start_matches("anl_")).into();
        let files = (self.knowledge.files)();
        propose(&Asked {
            plan: &id,
            incident,
            alerts,
            findings: &known.findings,
            retrieved: &known.retrieved,
            evidence: &known.evidence,
            responses: &files.responses,
            playbooks: &files.playbooks,
            blasts: &known.blasts,
            channels: &self.knowledge.channel_names(),
            suggested: &known.opinion.actions,
            overlap: self.knowledge.limits.overlap,
            scored,
            most_steps: self.knowledge.limits.most_steps,
        })
    }

    async fn verify(
        &self,
        analysis: &Analysis,
        incident: &Incident,
        alerts: &[Alert],
    ) -> Result<(Plan, Value), StepError> {
        let body: PlanBody = found(analysis, "plan")?;
        let known = Analysed::of(analysis, incident, alerts)?;
        // An analysis that an older version began has none.
        let scored: Option<Scored> = found(analysis, "scored")?;
        let subjects = subjects(incident, alerts);
        let verified = verify(
            &body,
            &(self.knowledge.guard)(),
            &Known {
                subjects: Some(&subjects),
                evidence: &known.evidence,
                scored: &scored.unwrap_or_default(),
                channels: &self.knowledge.channel_names(),
                approvals: asked_approvals(&body, &(self.knowledge.files)().playbooks),
                by_person: false,
            },
        );
        let text = body_json(&body);
        let mut reasons = if verified.ok { verified.why.clone() } else { verified.problems.clone() };
        let mut ok = verified.ok;
        if ok && let Some(problem) = review(&self.knowledge, &text).await {
            ok = false;
            reasons = vec![problem];
        }
        // Counted from when the plan was made, so that a repeated step says the same.
        let made = analysis.updated;
        let plan = Plan {
            id: Arc::clone(&body.plan),
            incident: Some(Arc::clone(&incident.id)),
            hash: hash(&text),
            body: text,
            proposer: Arc::from("analyst"),
            made,
            expires: made.saturating_add(self.knowledge.limits.lifetime),
            needed: verified.needed,
            state: if ok { PlanState::Waiting } else { PlanState::Refused },
            reasons,
        };
        Ok((plan, kept(&verified)?))
    }
}

/// Whom an order about this subject would have hit in the last `hours`.
pub(super) async fn blast(feed: &Feed, subject: &Subject, hours: u32) -> Result<Blast, StoreError> {
    let since = now().saturating_sub(i64::from(hours).saturating_mul(3_600_000_000));
    let hit = feed.database().blast(subject, since).await?;
    Ok(Blast { requests: hit.requests, callers: hit.callers, clean: hit.clean, hours })
}

/// Whether something that is done every so often is to be done now; says that it is.
fn due(last: &mut Option<tokio::time::Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= every);
    if due {
        *last = Some(tokio::time::Instant::now());
    }
    due
}

fn said(kind: LogKind, text: String, about: &Arc<str>) -> LogEntry {
    LogEntry { time: now(), kind, actor: Arc::from("analyst"), text, about: Some(Arc::clone(about)) }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

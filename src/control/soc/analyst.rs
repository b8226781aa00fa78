//! The analyst: retrieve, analyse, plan, verify. Each step is leased, done and written down with the next one, so that a crash
//! repeats at most one step, and a step that is repeated comes to the same: ids follow from the analysis' own.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::approvals::Approvals;
use super::feed::Feed;
use super::knowledge::Knowledge;
use super::opinion::{Opinion, opinion, review};
use crate::soc::analyse::{Findings, Past, Retrieved, analyse};
use crate::soc::plan::{Asked, approvals as asked_approvals, body_json, hash, propose};
use crate::soc::subjects;
use crate::soc::support::Evidence;
use crate::soc::verify::{Known, verify};
use crate::store::soc::{AlertFilter, PlanFilter};
use crate::store::{StoreError, now};
use crate::types::Subject;
use crate::types::soc::{
    Alert, Analysis, Blast, Incident, IncidentState, LogEntry, LogKind, Phase, Plan, PlanBody, PlanState,
};

/// How often plans are looked for that are approved and were not carried out.
const CARRY_ON: Duration = Duration::from_secs(5);

/// The longest rest after a step: some take long because somebody outside does.
const MOST_REST: Duration = Duration::from_secs(1);

/// Plans that wait, looked at in one round.
const WAITING: u32 = 200;

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

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to analyse any more.
    #[error("{0}")]
    Gone(String),
    /// What an earlier step found cannot be read.
    #[error("{0}")]
    Broken(String),
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
        let mut looked: Option<tokio::time::Instant> = None;
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= CARRY_ON) {
                looked = Some(tokio::time::Instant::now());
                if let Err(error) = self.carry_on().await {
                    tracing::warn!(%error, "plans that are approved cannot be looked for");
                }
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

    /// One look for work: whether there was some.
    ///
    /// # Errors
    /// Of the store.
    pub async fn round(&self, worker: &str) -> Result<bool, StoreError> {
        let database = self.feed.database();
        let (_, entries) = database.expire_plans(now()).await?;
        self.feed.publish(entries).await;
        let until = now().saturating_add(micros(self.options.lease));
        let Some(mut analysis) = database.lease_analysis(worker, until, now()).await? else { return Ok(false) };
        let step = tokio::time::timeout(self.options.lease, self.step(&mut analysis, worker)).await;
        let problem = match step {
            Ok(Ok(())) => return Ok(true),
            // The lease is lost: whoever has it goes on.
            Ok(Err(StepError::Store(StoreError::Conflict(why)))) => {
                tracing::debug!(%why, analysis = %analysis.id, "a step was done by somebody else");
                return Ok(true);
            }
            Ok(Err(error)) => error,
            Err(_) => StepError::Broken("it took too long".to_owned()),
        };
        self.put_off(analysis, worker, &problem).await?;
        Ok(true)
    }

    /// Plans that nobody has to approve, or that all who are needed have approved, and that were not carried out because the
    /// gateway ended in between.
    async fn carry_on(&self) -> Result<(), StoreError> {
        let waiting = PlanFilter { state: Some(PlanState::Waiting), ..PlanFilter::default() };
        for plan in self.feed.database().plans(&waiting, WAITING).await? {
            // Most wait for people who have said nothing yet.
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

    /// Does the step that is next, and writes down what it found.
    async fn step(&self, analysis: &mut Analysis, worker: &str) -> Result<(), StepError> {
        let (incident, alerts) = self.incident(&analysis.incident).await?;
        let (next, found, plan, text) = match analysis.phase {
            Phase::Retrieve => {
                let retrieved = self.retrieve(&incident, &alerts).await;
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
                let body = self.plan(analysis, &incident, &alerts)?;
                let text = format!("proposes: {}", body.summary);
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
        let incident = database.incident(id).await?;
        let incident = incident.ok_or_else(|| StepError::Gone("the incident is not there any more".to_owned()))?;
        if incident.state == IncidentState::Closed {
            return Err(StepError::Gone("the incident is closed".to_owned()));
        }
        let filter = AlertFilter { incident: Some(id.to_owned()), ..AlertFilter::default() };
        let alerts = database.alerts(&filter, self.options.alerts).await?;
        Ok((incident, alerts))
    }

    async fn retrieve(&self, incident: &Incident, alerts: &[Alert]) -> Retrieved {
        let families = incident.families.iter().map(|family| family.name().replace('_', " "));
        let titles = alerts.iter().take(8).map(|alert| alert.title.clone());
        let query: Vec<String> = std::iter::once(incident.title.clone()).chain(families).chain(titles).collect();
        let (most, files) = (self.knowledge.limits.retrieved, (self.knowledge.files)());
        let mut retrieved = Retrieved::default();
        for hit in self.knowledge.library.search(&query.join(" "), most.saturating_mul(2)).await {
            if let Some(section) = files.playbooks.section(&hit.id) {
                if retrieved.sections.len() < most {
                    retrieved.sections.push(section.clone());
                }
            } else if retrieved.past.len() < most
                && *hit.id != *incident.id
                && let Ok(Some(past)) = self.feed.database().incident(&hit.id).await
                && let Some(closed) = past.closed
            {
                let (incident, closed, families) = (past.id, closed.reason, past.families);
                retrieved.past.push(Past { incident, closed, families });
            }
        }
        retrieved
    }

    async fn blasts(&self, incident: &Incident, alerts: &[Alert]) -> Result<Vec<(Subject, Blast)>, StoreError> {
        let mut blasts = Vec::new();
        for subject in subjects(incident, alerts).into_iter().take(SUBJECTS) {
            let blast = blast(&self.feed, &subject, self.knowledge.limits.hours).await?;
            blasts.push((subject, blast));
        }
        Ok(blasts)
    }

    fn plan(&self, analysis: &Analysis, incident: &Incident, alerts: &[Alert]) -> Result<PlanBody, StepError> {
        let retrieved: Retrieved = found(analysis, "retrieve")?;
        let analysed = analysis.found.get("analyse").cloned().unwrap_or_default();
        let findings: Findings = part(&analysed, "findings")?;
        let blasts: Vec<(Subject, Blast)> = part(&analysed, "blasts")?;
        let opinion: Opinion = part(&analysed, "opinion")?;
        let id: Arc<str> = format!("pln_{}", analysis.id.trim_start_matches("anl_")).into();
        let evidence = Evidence::new(incident, alerts, &retrieved, &blasts);
        let files = (self.knowledge.files)();
        Ok(propose(&Asked {
            plan: &id,
            incident,
            alerts,
            findings: &findings,
            retrieved: &retrieved,
            evidence: &evidence,
            responses: &files.responses,
            playbooks: &files.playbooks,
            blasts: &blasts,
            channels: &self.knowledge.channel_names(),
            suggested: &opinion.actions,
            overlap: self.knowledge.limits.overlap,
            most_steps: self.knowledge.limits.most_steps,
        }))
    }

    async fn verify(
        &self,
        analysis: &Analysis,
        incident: &Incident,
        alerts: &[Alert],
    ) -> Result<(Plan, Value), StepError> {
        let body: PlanBody = found(analysis, "plan")?;
        let retrieved: Retrieved = found(analysis, "retrieve")?;
        let analysed = analysis.found.get("analyse").cloned().unwrap_or_default();
        let blasts: Vec<(Subject, Blast)> = part(&analysed, "blasts")?;
        let subjects = subjects(incident, alerts);
        let verified = verify(
            &body,
            &(self.knowledge.guard)(),
            &Known {
                subjects: Some(&subjects),
                evidence: &Evidence::new(incident, alerts, &retrieved, &blasts),
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

fn kept(value: &impl serde::Serialize) -> Result<Value, StepError> {
    serde_json::to_value(value).map_err(|error| StepError::Broken(error.to_string()))
}

fn part<T: DeserializeOwned>(value: &Value, name: &str) -> Result<T, StepError> {
    let value = value.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|error| StepError::Broken(format!("{name}: {error}")))
}

fn found<T: DeserializeOwned>(analysis: &Analysis, name: &str) -> Result<T, StepError> {
    let value = analysis.found.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|error| StepError::Broken(format!("{name}: {error}")))
}

fn said(kind: LogKind, text: String, about: &Arc<str>) -> LogEntry {
    LogEntry { time: now(), kind, actor: Arc::from("analyst"), text, about: Some(Arc::clone(about)) }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

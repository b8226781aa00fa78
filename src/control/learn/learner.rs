//! Works on proposals: writes variations, makes candidates of some, tries them on the others, on harmless texts and on recent
//! traffic. What passes goes into the shadow, where it counts and decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::desk::hash;
use super::harmless::Harmless;
use super::import::compile;
use super::model::written;
use super::work::Work;
use super::{micros, rewrite};
use crate::config::Handle;
use crate::control::audit::{Entry, Kind, Trail};
use crate::control::soc::feed::Feed;
use crate::control::soc::found::StepError;
use crate::control::soc::model::ChatModel;
use crate::learn::{self, Candidate, Figures, Gates, Variation};
use crate::store::{StoreError, Vault, now};
use crate::telemetry::Metrics;
use crate::types::learn::{GATEWAY, LearnPhase, Proposal, ProposalState, Report, Variant};
use crate::types::{Family, Role};

/// The shares of a lease after which the work gives up by itself, and after which it is given up.
const WORK: f32 = 0.7;
const LAST: f32 = 0.85;

/// What a variation that a language model wrote is called.
pub(super) const BY_MODEL: &str = "model";

/// How proposals are worked on.
#[derive(Debug, Clone, Copy)]
pub struct LearnerOptions {
    /// How often the store is looked at for work.
    pub every: Duration,
    /// The share of the time that is worked.
    pub share: f32,
    /// How long a step may take.
    pub lease: Duration,
    /// Failures of a step after which it is given up.
    pub tries: u32,
    /// The wait after a failure; doubles each time.
    pub retry: Duration,
    /// What a candidate has to pass.
    pub gates: Gates,
    /// What looking at a text may take on average, in microseconds for a KiB.
    pub max_micros: f32,
    /// Recent prompts it is tried on, and how far back they reach.
    pub traffic: (u32, Duration),
}

/// What it works with.
pub struct LearnerParts {
    /// The store, and who watches.
    pub feed: Feed,
    /// The audit trail.
    pub trail: Trail,
    /// The Snapshot.
    pub config: Arc<Handle>,
    /// Opens stored content.
    pub vault: Arc<Vault>,
    /// Harmless texts.
    pub harmless: Harmless,
    /// A language model that writes variations.
    pub model: Option<ChatModel>,
    /// What is counted.
    pub metrics: Metrics,
}

/// The task.
pub struct Learner {
    parts: LearnerParts,
    options: LearnerOptions,
}

/// What is learned from.
pub(super) struct Lesson {
    pub(super) text: String,
    pub(super) family: Family,
    pub(super) role: Role,
}

/// What became of the candidates.
pub(super) struct Tried {
    /// The rules and how they did, the best first.
    pub(super) all: Vec<(Candidate, Figures)>,
    /// Texts of traffic.
    pub(super) traffic: usize,
}

impl Learner {
    /// With these parts.
    pub fn new(parts: LearnerParts, options: LearnerOptions) -> Self {
        Self { parts, options }
    }

    /// Does what is due, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let worker = format!("learner-{}", uuid::Uuid::now_v7().simple());
        loop {
            let rest = match self.round(&worker).await {
                Ok(true) => Duration::ZERO,
                Ok(false) => self.options.every,
                Err(error) => {
                    tracing::warn!(%error, "there is no looking for proposals to work on");
                    self.options.every
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// One look for work: whether there was some.
    ///
    /// # Errors
    /// Of the store.
    pub async fn round(&self, worker: &str) -> Result<bool, StoreError> {
        let database = self.parts.feed.database();
        let until = now().saturating_add(micros(self.options.lease));
        let Some((mut proposal, attempts)) = database.lease_proposal(worker, until, now()).await? else {
            return Ok(false);
        };
        if attempts > self.options.tries {
            // Whoever tried it did not live to say so.
            self.put_off(proposal, worker, &StepError::Gone("it was begun too often and never finished".to_owned()))
                .await?;
            return Ok(true);
        }
        let step = tokio::time::timeout(self.time(LAST), self.step(&mut proposal, worker)).await;
        let problem = match step {
            Ok(Ok(())) => return Ok(true),
            // The lease is lost: whoever has it goes on.
            Ok(Err(StepError::Store(StoreError::Conflict(why)))) => {
                tracing::debug!(%why, proposal = %proposal.id, "a step was done by somebody else");
                return Ok(true);
            }
            Ok(Err(error)) => error,
            Err(_) => StepError::Broken("it took too long".to_owned()),
        };
        self.put_off(proposal, worker, &problem).await?;
        Ok(true)
    }

    /// A share of the lease: what is left of it is for writing down how it went.
    fn time(&self, share: f32) -> Duration {
        self.options.lease.mul_f32(share)
    }

    async fn put_off(&self, mut proposal: Proposal, worker: &str, problem: &StepError) -> Result<(), StoreError> {
        proposal.failures = proposal.failures.saturating_add(1);
        proposal.problem = Some(problem.to_string());
        tracing::warn!(%problem, proposal = %proposal.id, phase = proposal.phase.name(), "a step of learning failed");
        let doubled = 1_i64.checked_shl(proposal.failures.saturating_sub(1).min(16)).unwrap_or(i64::MAX);
        let due = now().saturating_add(micros(self.options.retry).saturating_mul(doubled));
        if proposal.failures >= self.options.tries || matches!(problem, StepError::Gone(_)) {
            proposal.reasons = vec![problem.to_string()];
            end(&mut proposal, ProposalState::Refused);
        }
        match self.parts.feed.database().advance_proposal(&proposal, worker, now(), due).await {
            Ok(entries) => self.parts.feed.publish(entries).await,
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Does the step that is next, and writes down what came of it.
    async fn step(&self, proposal: &mut Proposal, worker: &str) -> Result<(), StepError> {
        let lesson = self.lesson(proposal).await?;
        match proposal.phase {
            LearnPhase::Vary => {
                proposal.variations = self.vary(&lesson, proposal).await?;
                proposal.phase = LearnPhase::Try;
                self.parts.metrics.learn().varied(proposal.variations.len());
            }
            LearnPhase::Try => {
                let tried = self.try_out(lesson, proposal).await?;
                self.conclude(proposal, &tried).await?;
            }
            LearnPhase::Done => return Ok(()),
        }
        (proposal.failures, proposal.problem, proposal.updated) = (0, None, now());
        let entries = self.parts.feed.database().advance_proposal(proposal, worker, now(), now()).await?;
        if proposal.phase == LearnPhase::Done {
            self.count(proposal);
        }
        self.parts.feed.publish(entries).await;
        Ok(())
    }

    async fn lesson(&self, proposal: &Proposal) -> Result<Lesson, StepError> {
        if let Some(id) = &proposal.report {
            let report = self.parts.feed.database().report_of(id).await?;
            let Some(Report { text, family, role, .. }) = report.filter(|report| !report.text.is_empty()) else {
                return Err(StepError::Gone("the report is not there any more".to_owned()));
            };
            return Ok(Lesson { text, family: family.unwrap_or(Family::PromptInjection), role });
        }
        let set = compile(&self.parts.config, &proposal.rules).map_err(StepError::Gone)?;
        let first = set.rules().first();
        let told = first.and_then(|rule| Some((rule.examples.positive.first()?, rule)));
        let (text, rule) = told.ok_or_else(|| StepError::Gone("there is no rule with an example".to_owned()))?;
        Ok(Lesson { text: text.clone(), family: rule.family, role: rule.roles.any() })
    }

    async fn vary(&self, lesson: &Lesson, proposal: &Proposal) -> Result<Vec<Variant>, StepError> {
        let (text, seed) = (lesson.text.clone(), seed(&proposal.id));
        let own = tokio::task::spawn_blocking(move || learn::vary(&text, seed)).await;
        let own = own.map_err(|error| StepError::Broken(error.to_string()))?;
        let kept = |one: Variation| Variant { kind: one.kind.name().into(), text: one.text, held_back: one.held_back };
        let mut all: Vec<Variant> = own.into_iter().map(kept).collect();
        if let Some(model) = &self.parts.model {
            match written(model, &lesson.text).await {
                // Every third is held back, as `Miss` does it.
                Ok(texts) => all.extend(texts.into_iter().enumerate().map(|(nth, text)| Variant {
                    kind: BY_MODEL.into(),
                    text,
                    held_back: nth % 3 == 2,
                })),
                Err(why) => tracing::warn!(why, proposal = %proposal.id, "the language model wrote no variations"),
            }
        }
        Ok(all)
    }

    /// Prompts of late, as far as they are kept: one text each.
    async fn traffic(&self) -> Result<Vec<String>, StoreError> {
        let (limit, since) = self.options.traffic;
        let contents = self.parts.feed.database().recent_prompts(now().saturating_sub(micros(since)), limit).await?;
        let opened = contents.iter().filter_map(|content| self.parts.vault.open(content).ok());
        Ok(opened.collect())
    }

    async fn try_out(&self, lesson: Lesson, proposal: &Proposal) -> Result<Tried, StepError> {
        let benign = self.parts.harmless.get().await?;
        let traffic = self.traffic().await?;
        let work = Work {
            lesson,
            benign,
            traffic,
            snapshot: self.parts.config.load_full(),
            given: (proposal.report.is_none())
                .then(|| Candidate { rules: proposal.rules.clone(), ids: proposal.ids.clone() }),
            stem: proposal.stem.to_string(),
            variations: proposal.variations.clone(),
            options: LearnerOptions {
                gates: Gates { allow_harmless: proposal.insisted, ..self.options.gates },
                ..self.options
            },
            until: Instant::now() + self.time(WORK),
        };
        let tried = tokio::task::spawn_blocking(move || work.run()).await;
        tried.map_err(|error| StepError::Broken(error.to_string()))?.map_err(StepError::Broken)
    }

    /// What follows from how the candidates did.
    async fn conclude(&self, proposal: &mut Proposal, tried: &Tried) -> Result<(), StepError> {
        Self::decide(proposal, tried);
        let action = if proposal.state == ProposalState::Shadow { "learn.shadow" } else { "learn.refuse" };
        let entry = Entry::new(Kind::Action, GATEWAY, format!("proposal/{}", proposal.id))
            .detail("action", action)
            .detail("rules", proposal.ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>())
            .detail("hash", &*proposal.hash);
        let written = self.parts.trail.append(entry).await;
        written.map(drop).map_err(|error| StoreError::Unavailable(error.to_string()).into())
    }

    fn decide(proposal: &mut Proposal, tried: &Tried) {
        proposal.figures = tried
            .all
            .iter()
            .map(|(candidate, figures)| {
                json!({ "rules": candidate.ids, "figures": figures, "traffic_texts": tried.traffic })
            })
            .collect();
        let Some((best, figures)) = tried.all.first() else {
            proposal.reasons = vec!["nothing in the text tells it from harmless texts".to_owned()];
            end(proposal, ProposalState::Refused);
            return;
        };
        proposal.reasons.clone_from(&figures.reasons);
        if proposal.report.is_some() {
            let report = proposal.report.clone().unwrap_or_else(|| "".into());
            let origin = [("report", &*report), ("proposal", &*proposal.id)];
            proposal.rules = rewrite::with_origin(&best.rules, &origin);
            proposal.ids.clone_from(&best.ids);
            if let Some(title) = title(&best.rules) {
                proposal.title = title.into();
            }
        }
        proposal.hash = hash(&proposal.rules);
        end(proposal, if figures.passed { ProposalState::Shadow } else { ProposalState::Refused });
    }

    fn count(&self, proposal: &Proposal) {
        let metrics = self.parts.metrics.learn();
        metrics.judged(proposal.state == ProposalState::Shadow, proposal.ids.len());
        let figure = |name: &str, part: &str| {
            let first = proposal.figures.first().and_then(|one| one.get("figures")?.get(name)?.get(part)?.as_u64());
            first.unwrap_or(0)
        };
        if proposal.state == ProposalState::Shadow {
            let of = |part: &str| figure("benign", part).saturating_add(figure("traffic", part));
            metrics.harmless(of("all"), of("hit"));
        }
        let all = figure("held_back_after", "all");
        metrics.held_back(all, figure("held_back_before", "hit"), figure("held_back_after", "hit"));
    }
}

fn end(proposal: &mut Proposal, state: ProposalState) {
    (proposal.state, proposal.phase, proposal.since) = (state, LearnPhase::Done, now());
}

/// The number that everything random about a proposal comes from.
fn seed(id: &str) -> u64 {
    let digest = blake3::hash(id.as_bytes());
    digest.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The title of the first rule of a file.
fn title(rules: &str) -> Option<String> {
    let line = rules.lines().find_map(|line| line.strip_prefix("title: "))?;
    Some(line.trim_matches(['\'', '"']).to_owned())
}

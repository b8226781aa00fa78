//! Sends every trial of a plan, so many at once, and collects what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::dice::Dice;
use super::judge::{Outcome, judge, refusal};
use super::pack::{Message, Pack, Speaker};
use super::plan::{Trial, messages, plan};
use super::reply::Reply;
use super::report::SHOWN;
use super::score::{Judged, Minimum, Run};
use super::target::Target;
use crate::types::visible;

/// How often a target that says it is asked too often is asked again.
const RETRIES: u32 = 4;
/// The longest it is waited in between, whatever the target says.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How long it is waited where the target does not say.
const USUAL_WAIT: Duration = Duration::from_secs(2);
/// Errors one after another, without an answer in between, after which the rest is not sent any more.
const PATIENCE: usize = 24;
/// What is asked before anything else.
const FIRST: &str = "What is the capital of France?";

/// How a run goes.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed of all texts.
    pub seed: u64,
    /// The model trials name.
    pub model: String,
    /// Trials in flight.
    pub concurrency: usize,
    /// The families to try; empty: all.
    pub families: Vec<String>,
    /// The cases to try, with their disguises; empty: all.
    pub cases: Vec<String>,
    /// What must be reached.
    pub minimum: Minimum,
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Nothing is chosen.
    #[error("no case is of these families")]
    Nothing,
    /// The target does not answer at all.
    #[error("{url} does not answer: {why}")]
    Unreachable {
        /// Where it was asked.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// It answers the first, harmless question with an error that is not about its content.
    #[error("{url} does not serve: {why}")]
    NotServing {
        /// Where it was asked.
        url: String,
        /// What it said.
        why: String,
    },
}

/// Looks on while trials are sent.
pub trait Watch: Send + Sync {
    /// So many will be sent.
    fn planned(&self, trials: usize);
    /// This became of one; `at` is its place in the plan.
    fn judged(&self, at: usize, judged: &Judged);
    /// Whether the rest is not to be sent.
    fn is_stopped(&self) -> bool;
}

/// What every trial needs.
struct Sender {
    target: Target,
    watch: Option<Arc<dyn Watch>>,
    model: String,
    /// Makes the end users of this run others than those of the one before.
    run: u64,
    /// Errors since the last answer.
    errors: AtomicUsize,
}

/// Asks something harmless first, then sends every trial.
///
/// # Errors
/// There is nothing to send, or nobody to send it to.
pub async fn run(target: Target, pack: &Pack, options: &Options) -> Result<Run, Stopped> {
    watched(target, pack, options, None).await
}

/// The same while somebody looks on, who may stop it: what was not sent then is in the run as an error.
///
/// # Errors
/// There is nothing to send, or nobody to send it to.
pub async fn watched(
    target: Target,
    pack: &Pack,
    options: &Options,
    watch: Option<Arc<dyn Watch>>,
) -> Result<Run, Stopped> {
    let (started_at, began) = (jiff::Timestamp::now(), Instant::now());
    let url = target.url();
    let run = uuid::Uuid::now_v7().as_u64_pair();
    let (model, errors) = (options.model.clone(), AtomicUsize::new(0));
    let sender = Sender { target, watch, model, run: run.0 ^ run.1, errors };
    let sender = Arc::new(sender);
    let is_rehearsal = sender.first(&url).await?;
    let mut trials = plan(pack, options.seed, &options.families, is_rehearsal);
    let cases = &options.cases;
    trials.retain(|trial| cases.is_empty() || cases.iter().any(|case| *case == *trial.case()));
    if trials.is_empty() {
        return Err(Stopped::Nothing);
    }
    if let Some(watch) = &sender.watch {
        watch.planned(trials.len());
    }
    let judged = Arc::clone(&sender).all(trials, options.concurrency).await;
    Ok(Run {
        target: url,
        model: options.model.clone(),
        seed: options.seed,
        is_rehearsal,
        minimum: options.minimum,
        started_at: started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        took: began.elapsed(),
        judged,
    })
}

impl Sender {
    /// Whether the target serves at all, and whether its model is the built-in one.
    async fn first(&self, url: &str) -> Result<bool, Stopped> {
        let asked = [Message { role: Speaker::User, content: FIRST.to_owned(), tool: None }];
        let body = self.body(&asked, "first", false);
        let url = || url.to_owned();
        let (reply, is_rehearsal, _) =
            self.ask("first", &body).await.map_err(|why| Stopped::Unreachable { url: url(), why })?;
        if refusal(&reply).is_some() {
            // It refuses what is harmless: that is for the trials to show.
            return Ok(is_rehearsal);
        }
        let said = reply.error.map(|error| format!("{} {}", error.codes, error.message));
        match (reply.status, said.or(reply.broken)) {
            (200, None) => Ok(is_rehearsal),
            (status, why) => {
                let why = visible(&format!("status {status} {}", why.unwrap_or_default()), SHOWN);
                Err(Stopped::NotServing { url: url(), why: why.trim_end().to_owned() })
            }
        }
    }

    async fn all(self: Arc<Self>, trials: Vec<Trial>, concurrency: usize) -> Vec<Judged> {
        let room = Arc::new(Semaphore::new(concurrency.max(1)));
        let mut going = JoinSet::new();
        let mut done: Vec<Option<Judged>> = trials.iter().map(|_| None).collect();
        let trials: Vec<Arc<Trial>> = trials.into_iter().map(Arc::new).collect();
        for (at, trial) in trials.iter().enumerate() {
            // Never closed.
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
            let (sender, trial) = (Arc::clone(&self), Arc::clone(trial));
            going.spawn(async move {
                let judged = sender.trial(trial).await;
                if let Some(watch) = &sender.watch {
                    watch.judged(at, &judged);
                }
                drop(permit);
                (at, judged)
            });
        }
        while let Some(ended) = going.join_next().await {
            if let Ok((at, judged)) = ended
                && let Some(slot) = done.get_mut(at)
            {
                *slot = Some(judged);
            }
        }
        let lost = |trial: &Arc<Trial>| failed(trial, "the trial did not end".to_owned());
        trials.iter().zip(done).map(|(trial, judged)| judged.unwrap_or_else(|| lost(trial))).collect()
    }

    async fn trial(&self, trial: Arc<Trial>) -> Judged {
        if self.watch.as_ref().is_some_and(|watch| watch.is_stopped()) {
            return failed(&trial, "not sent: the run was stopped".to_owned());
        }
        let began = Instant::now();
        let judged = self.sent(trial).await;
        Judged { took: began.elapsed(), ..judged }
    }

    async fn sent(&self, trial: Arc<Trial>) -> Judged {
        if self.errors.load(Ordering::Relaxed) >= PATIENCE {
            return failed(&trial, "not sent: the target failed too often".to_owned());
        }
        let mut said = trial.opening.clone();
        let mut replies: Vec<Reply> = Vec::new();
        let mut requests = Vec::new();
        let mut steps = trial.steps.iter();
        loop {
            let body = self.body(&said, &trial.id, trial.streamed);
            match self.ask(&trial.id, &body).await {
                Ok((reply, _, request)) => {
                    replies.push(reply);
                    requests.extend(request);
                }
                Err(why) => {
                    self.errors.fetch_add(1, Ordering::Relaxed);
                    return Judged { requests, ..failed(&trial, why) };
                }
            }
            let Some(last) = replies.last().filter(|reply| reply.status == 200 && refusal(reply).is_none()) else {
                break;
            };
            let Some(next) = steps.next() else { break };
            said.push(Message { role: Speaker::Assistant, content: last.text.clone(), tool: None });
            said.push(Message { role: Speaker::User, content: next.clone(), tool: None });
        }
        let (outcome, reason) = judge(&trial.expected, &replies);
        if outcome == Outcome::Error {
            self.errors.fetch_add(1, Ordering::Relaxed);
        } else {
            self.errors.store(0, Ordering::Relaxed);
        }
        let status = replies.last().map(|reply| reply.status);
        Judged { trial, outcome, reason, status, requests, took: Duration::ZERO }
    }

    /// Asks, and again where the target says that it is asked too often.
    async fn ask(&self, trial: &str, body: &Value) -> Result<(Reply, bool, Option<String>), String> {
        let mut left = RETRIES;
        loop {
            let answer = self.target.ask(trial, body).await?;
            if answer.reply.status != 429 || left == 0 {
                return Ok((answer.reply, answer.is_rehearsal, answer.request));
            }
            left = left.saturating_sub(1);
            tokio::time::sleep(answer.retry_after.unwrap_or(USUAL_WAIT).min(MAX_WAIT)).await;
        }
    }

    fn body(&self, said: &[Message], id: &str, streamed: bool) -> Value {
        let user = Dice::new(self.run, &[id]).draw("abcdefghijklmnopqrstuvwxyz", 16);
        json!({ "model": self.model, "messages": messages(said), "stream": streamed, "user": format!("redteam-{user}") })
    }
}

fn failed(trial: &Arc<Trial>, reason: String) -> Judged {
    let (trial, requests) = (Arc::clone(trial), Vec::new());
    Judged { trial, outcome: Outcome::Error, reason, status: None, requests, took: Duration::ZERO }
}

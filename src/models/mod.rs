//! Room for other people's models: a second opinion on the texts of a prompt, from a classifier in an ONNX file or from a
//! service over HTTP.
//!
//! Both are asked through [`Model::ask`] and answer from threads of their own, within a deadline. An answer is a
//! probability and a place; [`Model::finding`] makes an ordinary finding of it, judged with all others. What failing means
//! is for whoever asked to carry out: [`Policy::fails_open`].

pub mod contract;
mod desk;
mod failure;
mod http;
mod memory;
mod onnx;
mod opinion;
mod passage;
mod spec;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot};

use self::desk::{Answer, Job, Passage, Score, hand_in};
use self::failure::Complaints;
pub use self::failure::Failure;
use self::memory::{Key, Memory};
pub use self::onnx::{BUILT_IN as HAS_ONNX, CrossEncoder, CrossSpec};
pub use self::opinion::{Opinion, Scale, in_question};
use self::passage::{Cut, passages};
pub use self::spec::{EngineSpec, HttpSpec, Kind, OnnxSpec, Policy, Scores, Spec, Stamp, When};
use crate::telemetry::ModelCall;
use crate::types::{Role, RuleId};

/// TLS towards a service, with these further CAs (PEM).
pub type Tls<'t> = &'t dyn Fn(Option<&str>) -> Result<ClientConfig, String>;

/// Every model, ordered by name.
#[derive(Debug, Default)]
pub struct Models(Vec<Arc<Model>>);

/// One model, ready to be asked.
pub struct Model {
    spec: Spec,
    engine: Arc<Engine>,
    rule: RuleId,
    /// What its findings are called: name, identity.
    title: Arc<str>,
}

/// What answers: kept by a reload that changes only what answers are worth.
struct Engine {
    desk: mpsc::Sender<Job>,
    cut: Cut,
    memory: Memory,
    complaints: Complaints,
    /// Twelve hexadecimal digits of what it was made from.
    identity: String,
}

/// One text of a prompt.
#[derive(Debug, Clone)]
pub struct Text<'t> {
    /// Who is said to have written it.
    pub role: Role,
    /// The text.
    pub text: &'t str,
    /// Bytes of it where something was found: read first where not all of it is read.
    pub focus: Vec<Range<usize>>,
}

/// For whom a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct Who<'w> {
    /// The request's id.
    pub request: &'w str,
    /// The user, if there is one: outcomes are remembered for each apart.
    pub tenant: Option<&'w str>,
}

/// A question under way.
#[derive(Debug)]
#[must_use]
pub struct Asked {
    /// What is known already, by text.
    known: Vec<Option<Opinion>>,
    /// What was asked: which text, and the place of each of its passages in it.
    asked: Vec<(usize, Option<Key>, Vec<Range<usize>>)>,
    reply: Reply,
    deadline: Instant,
}

#[derive(Debug)]
enum Reply {
    /// Everything was known.
    Nothing,
    Failed(Failure),
    Waiting(oneshot::Receiver<Answer>),
}

impl Models {
    /// Loads and starts what `specs` describe. What `before` has already is taken from it.
    ///
    /// Takes as long as models take to load: not for an async worker.
    ///
    /// # Errors
    /// Every model that cannot be had, by name, with the reason.
    pub fn build(
        specs: &[Spec],
        before: Option<&Arc<Self>>,
        tls: Tls<'_>,
    ) -> Result<Arc<Self>, Vec<(Arc<str>, String)>> {
        let (mut models, mut problems) = (Vec::new(), Vec::new());
        for spec in specs {
            let known = before.and_then(|before| before.iter().find(|model| model.spec.name == spec.name));
            match known {
                Some(model) if model.spec == *spec => models.push(Arc::clone(model)),
                Some(model) if model.spec.engine == spec.engine => {
                    models.push(Arc::new(Model::new(spec.clone(), Arc::clone(&model.engine))));
                }
                Some(_) | None => match Engine::start(spec, tls) {
                    Ok(engine) => models.push(Arc::new(Model::new(spec.clone(), Arc::new(engine)))),
                    Err(problem) => problems.push((Arc::clone(&spec.name), problem)),
                },
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let same = |before: &&Arc<Self>| {
            before.0.len() == models.len() && before.iter().zip(&models).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        Ok(before.filter(same).map_or_else(|| Arc::new(Self(models)), Arc::clone))
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Model {
    fn new(spec: Spec, engine: Arc<Engine>) -> Self {
        let rule = RuleId(format!("PC-MDL-{}", spec.name.to_ascii_uppercase()).into());
        let title = format!("Model {} ({})", spec.name, engine.identity).into();
        Self { spec, engine, rule, title }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// What is asked and what follows.
    pub fn policy(&self) -> &Policy {
        &self.spec.policy
    }

    /// What it was made from: twelve hexadecimal digits.
    pub fn identity(&self) -> &str {
        &self.engine.identity
    }

    /// Begins to ask about texts: what is not remembered goes into the queue. Never waits.
    pub fn ask(&self, who: Who<'_>, texts: &[Text<'_>]) -> Asked {
        let engine = &self.engine;
        let deadline = Instant::now() + self.spec.engine.timeout;
        let (mut known, mut asked, mut cut) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        for (index, text) in texts.iter().enumerate() {
            let key = engine.memory.key(who, text);
            let opinion = key.as_ref().and_then(|key| engine.memory.recall(key));
            if opinion.is_none() {
                let ranges = passages(text.text, &text.focus, &engine.cut);
                bytes += ranges.iter().map(Range::len).sum::<usize>();
                if bytes <= self.spec.engine.max_bytes {
                    let texts = ranges.iter().filter_map(|range| text.text.get(range.clone()));
                    cut.extend(texts.map(|part| Passage { role: text.role, text: part.to_owned() }));
                }
                asked.push((index, key, ranges));
            }
            known.push(opinion);
        }
        let reply = if asked.is_empty() {
            Reply::Nothing
        } else if bytes > self.spec.engine.max_bytes {
            Reply::Failed(Failure::new(ModelCall::TooMuch, format!("{bytes} bytes are in question")))
        } else {
            let (reply, answer) = oneshot::channel();
            let (request, caller) = (who.request.to_owned(), who.tenant.map(str::to_owned));
            match hand_in(&engine.desk, Job { request, caller, passages: cut, deadline, reply }) {
                Ok(()) => Reply::Waiting(answer),
                Err(failure) => Reply::Failed(failure),
            }
        };
        Asked { known, asked, reply, deadline }
    }

    /// Waits for the answer: an opinion per text, in their order.
    ///
    /// # Errors
    /// There is none, for whatever reason; it has been logged.
    pub async fn answer(&self, asked: Asked) -> Result<Vec<Opinion>, Failure> {
        let Asked { known, asked, reply, deadline } = asked;
        let answer = match reply {
            Reply::Nothing => Ok(Vec::new()),
            Reply::Failed(failure) => Err(failure),
            Reply::Waiting(answer) => match tokio::time::timeout_at(deadline.into(), answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(gone()),
                Err(_) => Err(Failure::timeout()),
            },
        };
        self.settle(known, asked, answer)
    }

    /// The same outside of a runtime.
    ///
    /// # Errors
    /// As above.
    pub fn answer_blocking(&self, asked: Asked) -> Result<Vec<Opinion>, Failure> {
        let Asked { known, asked, reply, .. } = asked;
        let answer = match reply {
            Reply::Nothing => Ok(Vec::new()),
            Reply::Failed(failure) => Err(failure),
            // Whoever answers keeps the deadline.
            Reply::Waiting(answer) => answer.blocking_recv().unwrap_or_else(|_| Err(gone())),
        };
        self.settle(known, asked, answer)
    }

    /// What is known and what was answered, put together and remembered.
    fn settle(
        &self,
        mut known: Vec<Option<Opinion>>,
        asked: Vec<(usize, Option<Key>, Vec<Range<usize>>)>,
        answer: Answer,
    ) -> Result<Vec<Opinion>, Failure> {
        let engine = &self.engine;
        let failed = |failure: Failure| {
            engine.complaints.complain(&self.spec.name, &failure);
            failure
        };
        let mut scores = answer.map_err(failed)?.into_iter();
        for (index, key, ranges) in asked {
            let mut worst = Opinion::default();
            for range in ranges {
                let missing = || failed(Failure::new(ModelCall::BadAnswer, "a text has no score"));
                let Score { probability, start, end, label } = scores.next().ok_or_else(missing)?;
                if probability >= worst.probability {
                    worst = Opinion { probability, start: range.start + start, end: range.start + end, label };
                }
            }
            if let Some(key) = key {
                engine.memory.remember(key, worst.clone());
            }
            if let Some(slot) = known.get_mut(index) {
                *slot = Some(worst);
            }
        }
        Ok(known.into_iter().map(Option::unwrap_or_default).collect())
    }
}

impl Asked {
    /// Whether anything had to be asked: what is remembered is no call.
    pub fn is_call(&self) -> bool {
        !self.asked.is_empty()
    }
}

fn gone() -> Failure {
    Failure::new(ModelCall::Broken, "it went away without an answer")
}

impl Engine {
    fn start(spec: &Spec, tls: Tls<'_>) -> Result<Self, String> {
        let EngineSpec { queue, remember, max_windows, kind, .. } = &spec.engine;
        let (desk, jobs) = mpsc::channel(*queue);
        let (cut, identity) = match kind {
            Kind::Onnx(onnx) => {
                // A token of ordinary text is about four bytes.
                let bytes = |tokens: usize| tokens * 4;
                let identity = onnx::start(onnx, &spec.name, jobs)?;
                let (size, overlap) = (bytes(onnx.max_tokens), bytes(onnx.stride));
                (Cut { whole: size * max_windows, size, overlap, most: *max_windows }, identity)
            }
            Kind::Http(service) => {
                let identity = http::start(service, &spec.name, jobs, tls)?;
                let size = service.max_passage;
                (Cut { whole: size, size, overlap: (size / 8).min(512), most: *max_windows }, identity)
            }
        };
        Ok(Self { desk, cut, memory: Memory::new(*remember), complaints: Complaints::default(), identity })
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("spec", &self.spec)
            .field("identity", &self.engine.identity)
            .finish_non_exhaustive()
    }
}

//! The classifier as a whole, and the threads it runs on.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::labels::Labels;
use super::network::Network;
use super::windows::Windows;
use crate::models::desk::{Answer, Job, Passage, Score};
use crate::models::{Failure, OnnxSpec};
use crate::telemetry::ModelCall;
use crate::types::Role;

/// The first run, in which memory is laid out, may take this long.
const FIRST_RUN: Duration = Duration::from_secs(60);

/// A tokenizer, a network and what its outputs mean.
struct Classifier {
    windows: Windows,
    network: Network,
    labels: Labels,
    batch: usize,
}

/// Loads the classifier, tries it on a text, and starts its threads. Returns what it is known by: a digest of its files
/// and of what decides its answers.
///
/// # Errors
/// It cannot be loaded or does not run.
pub(in crate::models) fn start(spec: &OnnxSpec, name: &str, jobs: mpsc::Receiver<Job>) -> Result<String, String> {
    let (classifier, identity) = Classifier::load(spec)?;
    let classifier = Arc::new(classifier);
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..spec.threads {
        let (classifier, jobs) = (Arc::clone(&classifier), Arc::clone(&jobs));
        let thread = std::thread::Builder::new().name(format!("model-{name}-{number}"));
        thread.spawn(move || work(&classifier, &jobs)).map_err(|error| error.to_string())?;
    }
    Ok(identity)
}

/// Until nobody can ask any more.
fn work(classifier: &Classifier, jobs: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // One thread waits in the queue, the others for it.
        let Some(job) = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv() else { return };
        let broke = |_| Err(Failure::new(ModelCall::Broken, "it panicked"));
        let answer = catch_unwind(AssertUnwindSafe(|| classifier.answer(&job))).unwrap_or_else(broke);
        job.answer(answer);
    }
}

impl Classifier {
    fn load(spec: &OnnxSpec) -> Result<(Self, String), String> {
        let file = |name: &str| read(&spec.directory, name);
        let (model, tokens) = (file("model.onnx")?, file("tokenizer.json")?);
        let config = if spec.directory.join("config.json").is_file() { Some(file("config.json")?) } else { None };
        let config = config.map(String::from_utf8).transpose().map_err(|_| "config.json: is not UTF-8".to_owned())?;
        let prepare = |exactly: Option<usize>| {
            let classifier = Self {
                windows: Windows::new(&tokens, spec.max_tokens, spec.stride)?,
                network: Network::new(&model, &spec.directory, exactly)?,
                labels: Labels::new(&spec.attack, config.as_deref(), spec.scores)?,
                batch: spec.batch.max(1),
            };
            classifier.try_out().map(|()| classifier)
        };
        // Some networks say they take windows of any length, and do not.
        let classifier = prepare(None).or_else(|problem| prepare(Some(spec.max_tokens)).map_err(|_| problem))?;
        let mut identity = blake3::Hasher::new();
        identity.update(&model).update(&tokens).update(config.unwrap_or_default().as_bytes());
        identity.update(format!("{:?}", (&spec.attack, spec.scores, spec.max_tokens, spec.stride)).as_bytes());
        Ok((classifier, identity.finalize().to_hex().chars().take(12).collect()))
    }

    /// Runs it once, so that what is wrong with it shows before anybody depends on it.
    fn try_out(&self) -> Result<(), String> {
        let window = self.windows.of("Is this thing on?")?;
        let outputs = self.network.run(&window).map_err(|error| format!("model.onnx: {error}"))?;
        self.labels.fit(outputs.first().map_or(0, Vec::len))?;
        let text = "Two windows of different lengths are run together. ".repeat(self.batch * 4);
        let passages = ["One.", &text].map(|text| Passage { role: Role::User, text: text.to_owned() });
        let (reply, _answer) = oneshot::channel();
        let deadline = Instant::now() + FIRST_RUN;
        let job = Job { request: String::new(), caller: None, passages: passages.to_vec(), deadline, reply };
        self.answer(&job).map(drop).map_err(|failure| format!("model.onnx: {}", failure.detail))
    }

    /// The worst window of each passage.
    fn answer(&self, job: &Job) -> Answer {
        let broke = |error: String| Failure::new(ModelCall::Broken, error);
        let mut windows = Vec::new();
        for (at, passage) in job.passages.iter().enumerate() {
            if job.is_late() {
                return Err(Failure::timeout());
            }
            windows.extend(self.windows.of(&passage.text).map_err(broke)?.into_iter().map(|window| (at, window)));
        }
        // Windows of about the same length side by side: what is filled up costs as much as what is read.
        windows.sort_by_key(|(_, window)| window.ids.len());
        let mut scores = vec![Score { probability: -1.0, start: 0, end: 0, label: None }; job.passages.len()];
        for together in windows.chunks(self.batch) {
            if job.is_late() {
                return Err(Failure::timeout());
            }
            let inputs: Vec<_> = together.iter().map(|(_, window)| window.clone()).collect();
            let outputs = self.network.run(&inputs).map_err(broke)?;
            if outputs.len() != together.len() {
                return Err(broke(format!("{} rows for {} windows", outputs.len(), together.len())));
            }
            for ((at, window), outputs) in together.iter().zip(outputs) {
                let (probability, label) = self.labels.judge(&outputs);
                if let Some(worst) = scores.get_mut(*at).filter(|worst| probability > worst.probability) {
                    *worst = Score { probability, start: window.start, end: window.end, label };
                }
            }
        }
        Ok(scores)
    }
}

pub(super) fn read(directory: &Path, name: &str) -> Result<Vec<u8>, String> {
    fs::read(directory.join(name)).map_err(|error| format!("{name}: cannot be read: {error}"))
}

//! The cross-encoder at work: pairs of texts as windows, what its outputs mean, and its threads.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Deserialize;
use tokio::sync::mpsc;

use super::cross::{CrossSpec, Pairs, Scores};
use super::network::Network;
use super::windows::Windows;
use super::work::read;
use crate::models::Failure;
use crate::telemetry::ModelCall;

/// Windows that are run together.
const BATCH: usize = 8;

/// What is read of a model's `config.json`.
#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    id2label: BTreeMap<String, String>,
}

struct Reader {
    windows: Windows,
    network: Network,
    /// The output that means that a text supports another; the only one, where there is one.
    supports: Option<usize>,
}

/// Loads the model, tries it on a pair, and starts its threads.
///
/// # Errors
/// It cannot be loaded or does not run.
pub(super) fn start_pairs(spec: &CrossSpec, jobs: mpsc::Receiver<Pairs>) -> Result<(), String> {
    let reader = Arc::new(Reader::load(spec)?);
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..spec.threads.max(1) {
        let (reader, jobs) = (Arc::clone(&reader), Arc::clone(&jobs));
        let thread = std::thread::Builder::new().name(format!("model-pairs-{number}"));
        thread.spawn(move || work(&reader, &jobs)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Until nobody can ask any more.
fn work(reader: &Reader, jobs: &Mutex<mpsc::Receiver<Pairs>>) {
    loop {
        // One thread waits in the queue, the others for it.
        let Some(job) = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv() else { return };
        let late = || job.reply.is_closed() || Instant::now() >= job.deadline;
        let broke = |_| Err(Failure::new(ModelCall::Broken, "it panicked"));
        let scores = catch_unwind(AssertUnwindSafe(|| reader.scores(&job.pairs, &late))).unwrap_or_else(broke);
        if job.reply.send(scores).is_err() {
            tracing::trace!("a cross-encoder's answer came too late");
        }
    }
}

impl Reader {
    fn load(spec: &CrossSpec) -> Result<Self, String> {
        let file = |name: &str| read(&spec.directory, name);
        let (model, tokens) = (file("model.onnx")?, file("tokenizer.json")?);
        let config: Config = if spec.directory.join("config.json").is_file() {
            serde_json::from_slice(&file("config.json")?).map_err(|error| format!("config.json: {error}"))?
        } else {
            Config::default()
        };
        let named = |(at, name): (&String, &String)| {
            let name = name.to_ascii_lowercase();
            (name.starts_with("entail") || name.starts_with("support")).then(|| at.parse().ok()).flatten()
        };
        let supports = config.id2label.iter().find_map(named);
        let prepare = |exactly: Option<usize>| {
            let windows = Windows::new(&tokens, spec.max_tokens, 0)?;
            let reader = Self { windows, network: Network::new(&model, &spec.directory, exactly)?, supports };
            reader.try_out().map(|()| reader)
        };
        // Some networks say they take windows of any length, and do not.
        prepare(None).or_else(|problem| prepare(Some(spec.max_tokens)).map_err(|_| problem))
    }

    /// Runs it once, on windows of different lengths.
    fn try_out(&self) -> Result<(), String> {
        let pairs =
            [("Is it on?".to_owned(), "It is on.".to_owned()), ("Two.".to_owned(), "One two three. ".repeat(200))];
        self.scores(&pairs, &|| false).map(drop).map_err(|failure| format!("model.onnx: {}", failure.detail))
    }

    /// The best window of each pair: support may stand anywhere in a text.
    fn scores(&self, pairs: &[(String, String)], late: &dyn Fn() -> bool) -> Scores {
        let broke = |error: String| Failure::new(ModelCall::Broken, error);
        let mut windows = Vec::new();
        for (at, (claim, text)) in pairs.iter().enumerate() {
            if late() {
                return Err(Failure::timeout());
            }
            windows.extend(self.windows.of_pair(claim, text).map_err(broke)?.into_iter().map(|window| (at, window)));
        }
        windows.sort_by_key(|(_, window)| window.ids.len());
        let mut scores = vec![0.0_f32; pairs.len()];
        for together in windows.chunks(BATCH) {
            if late() {
                return Err(Failure::timeout());
            }
            let inputs: Vec<_> = together.iter().map(|(_, window)| window.clone()).collect();
            let outputs = self.network.run(&inputs).map_err(broke)?;
            if outputs.len() != together.len() {
                return Err(broke(format!("{} rows for {} windows", outputs.len(), together.len())));
            }
            for ((at, _), outputs) in together.iter().zip(outputs) {
                let score = self.supported(&outputs).map_err(broke)?;
                if let Some(best) = scores.get_mut(*at) {
                    *best = best.max(score);
                }
            }
        }
        Ok(scores)
    }

    fn supported(&self, outputs: &[f32]) -> Result<f32, String> {
        if outputs.iter().any(|output| !output.is_finite()) {
            return Err("an output is no number".to_owned());
        }
        if let [only] = outputs {
            return Ok(1.0 / (1.0 + (-only).exp()));
        }
        let own = self.supports.and_then(|at| outputs.get(at)).ok_or_else(|| {
            format!("it has {} outputs, and config.json calls none of them entailment or support", outputs.len())
        })?;
        let most = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let all: f32 = outputs.iter().map(|output| (output - most).exp()).sum();
        Ok((own - most).exp() / all)
    }
}

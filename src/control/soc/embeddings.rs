//! Vectors of texts by a model behind an OpenAI-compatible endpoint: bounded, remembered, left alone while it fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use moka::sync::Cache;
use serde::Deserialize;
use serde_json::json;

use super::breaker::{Breaker, Limits};
use super::model::{Endpoint, EndpointOptions, ModelError};
use crate::telemetry::{Metrics, ModelPurpose};

/// Texts of one question.
const MOST_TEXTS: usize = 64;
/// Bytes of a text that are shown to the model: embedding models read about 8,000 tokens.
const MOST_BYTES: usize = 16 << 10;
/// Numbers of one vector: more than any model known gives.
const MOST_NUMBERS: usize = 8192;

/// A vector of length 1.
pub type Dense = Arc<[f32]>;

/// Makes vectors.
pub struct Embeddings {
    endpoint: Endpoint,
    model: String,
    breaker: Mutex<Breaker>,
    /// By hash of the text.
    known: Cache<[u8; 32], Dense>,
    batch: usize,
    metrics: Metrics,
}

impl Embeddings {
    /// A model that is left alone as `limits` says, and whose last `remembered` vectors are.
    ///
    /// # Errors
    /// An address, key or certificate authorities that cannot be used.
    pub fn new(options: &EndpointOptions, limits: Limits, remembered: u64, metrics: Metrics) -> Result<Self, String> {
        Ok(Self {
            endpoint: Endpoint::new(options, "embeddings")?,
            model: options.model.clone(),
            breaker: Mutex::new(Breaker::new(limits)),
            known: Cache::new(remembered),
            batch: MOST_TEXTS,
            metrics,
        })
    }

    /// Asks for at most so many texts at once; 64 without this.
    #[must_use]
    pub fn in_batches(self, batch: usize) -> Self {
        Self { batch: batch.max(1), ..self }
    }

    /// The texts of one question.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The vectors of at most [`Self::batch`] texts, in their order, by one question at most.
    ///
    /// # Errors
    /// Too many texts, or the model does not answer as it should.
    pub async fn vectors(&self, texts: &[&str]) -> Result<Vec<Dense>, ModelError> {
        if texts.len() > self.batch {
            return Err(ModelError::TooLong(texts.iter().map(|text| text.len()).sum()));
        }
        let texts: Vec<&str> = texts.iter().map(|text| clip(text)).collect();
        let hashes: Vec<[u8; 32]> = texts.iter().map(|text| *blake3::hash(text.as_bytes()).as_bytes()).collect();
        let mut found: Vec<Option<Dense>> = hashes.iter().map(|hash| self.known.get(hash)).collect();
        let missing: Vec<&str> =
            texts.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(text, _)| *text).collect();
        if !missing.is_empty() {
            let mut made = self.guarded(&missing).await?.into_iter();
            for (slot, hash) in found.iter_mut().zip(hashes).filter(|(slot, _)| slot.is_none()) {
                let vector = made.next().ok_or(ModelError::Malformed)?;
                self.known.insert(hash, Arc::clone(&vector));
                *slot = Some(vector);
            }
        }
        found.into_iter().collect::<Option<_>>().ok_or(ModelError::Malformed)
    }

    /// Asks, if the breaker lets it, and counts.
    async fn guarded(&self, texts: &[&str]) -> Result<Vec<Dense>, ModelError> {
        let started = Instant::now();
        let admitted = self.breaker.lock().unwrap_or_else(PoisonError::into_inner).lets_through(started);
        let outcome = if admitted { self.ask(texts).await } else { Err(ModelError::BreakerOpen) };
        if admitted {
            let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
            match &outcome {
                Ok(_) => breaker.succeeded(),
                Err(error) => {
                    if breaker.failed(Instant::now()) {
                        tracing::warn!(%error, "the embeddings model is left alone for a while");
                    }
                }
            }
        }
        let call = outcome.as_ref().err().map_or(crate::telemetry::ModelCall::Ok, ModelError::call);
        self.metrics.soc().model(ModelPurpose::Embeddings, call, started.elapsed().as_secs_f64());
        outcome
    }

    async fn ask(&self, texts: &[&str]) -> Result<Vec<Dense>, ModelError> {
        let question = json!({ "model": self.model, "input": texts, "encoding_format": "float" });
        read(&self.endpoint.ask(&question).await?, texts.len())
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f32>,
}

/// So many vectors of one length, in the order of the texts.
fn read(answer: &[u8], texts: usize) -> Result<Vec<Dense>, ModelError> {
    let Answer { data } = serde_json::from_slice(answer).map_err(|_| ModelError::Malformed)?;
    let mut vectors: Vec<Option<Dense>> = vec![None; texts];
    let length = data.first().map_or(0, |first| first.embedding.len());
    if !(1..=MOST_NUMBERS).contains(&length) {
        return Err(ModelError::Malformed);
    }
    for Embedding { index, embedding } in data {
        let slot = vectors.get_mut(index).ok_or(ModelError::Malformed)?;
        if embedding.len() != length || slot.is_some() {
            return Err(ModelError::Malformed);
        }
        *slot = Some(unit(embedding).ok_or(ModelError::Malformed)?);
    }
    vectors.into_iter().collect::<Option<_>>().ok_or(ModelError::Malformed)
}

/// The same direction with length 1; `None` where it has none.
fn unit(mut vector: Vec<f32>) -> Option<Dense> {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if !length.is_finite() || length <= 0.0 {
        return None;
    }
    for number in &mut vector {
        *number /= length;
    }
    Some(vector.into())
}

fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_BYTES)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control::soc::notify::tests::{self, receiver};
    use crate::telemetry::Metrics;

    fn embeddings(base_url: &str, metrics: &Metrics) -> Embeddings {
        let second = Duration::from_secs(5);
        let options = EndpointOptions {
            base_url: base_url.to_owned(),
            model: "embed".into(),
            key: None,
            ca: None,
            connect: second,
            timeout: second,
            max_answer: 1 << 20,
        };
        let limits = Limits { failures: 1, pause: Duration::from_secs(3600) };
        Embeddings::new(&options, limits, 100, metrics.clone()).unwrap()
    }

    #[tokio::test]
    async fn vectors_come_in_the_order_of_the_texts_and_are_asked_for_once() {
        let body = r#"{"data": [{"index": 1, "embedding": [0.0, 5.0]}, {"index": 0, "embedding": [3.0, 4.0]}]}"#;
        let third = r#"{"data": [{"index": 0, "embedding": [1.0, 0.0]}]}"#;
        let (url, mut seen) = receiver(vec![tests::Answer::new(200, body), tests::Answer::new(200, third)]).await;
        let model = embeddings(&url, &Metrics::new("portcullis").unwrap());
        let made = model.vectors(&["one", "two"]).await.unwrap();
        assert_eq!(made.iter().map(|vector| vector.to_vec()).collect::<Vec<_>>(), [vec![0.6, 0.8], vec![0.0, 1.0]]);
        assert_eq!(seen.recv().await.unwrap().json()["input"], json!(["one", "two"]));
        let again = model.vectors(&["two", "three", "one"]).await.unwrap();
        assert_eq!((&*again[0], &*again[1], &*again[2]), (&*made[1], &[1.0, 0.0][..], &*made[0]));
        assert_eq!(seen.recv().await.unwrap().json()["input"], json!(["three"]), "the others are known");
    }

    #[tokio::test]
    async fn a_model_that_fails_is_counted_and_left_alone() {
        let (url, mut seen) = receiver(vec![tests::Answer::new(500, "")]).await;
        let metrics = Metrics::new("portcullis").unwrap();
        let model = embeddings(&url, &metrics);
        assert!(matches!(model.vectors(&["one"]).await, Err(ModelError::Status(500))));
        assert!(matches!(model.vectors(&["one"]).await, Err(ModelError::BreakerOpen)));
        assert!(seen.recv().await.is_some() && seen.try_recv().is_err(), "asked once");
        let text = metrics.render().unwrap();
        for result in ["status", "breaker_open"] {
            let line = format!("portcullis_soc_model_calls_total{{purpose=\"embeddings\",result=\"{result}\"}} 1");
            assert!(text.contains(&line), "{line} is missing");
        }
    }

    #[test]
    fn answers_that_are_not_one_vector_per_text_are_refused() {
        for answer in [
            "[]",
            r#"{"data": []}"#,
            r#"{"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1.0]}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 1.0]}]}"#,
            r#"{"data": [{"index": 0, "embedding": [0.0]}, {"index": 1, "embedding": [1.0]}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1e39]}, {"index": 1, "embedding": [1.0]}]}"#,
        ] {
            assert!(read(answer.as_bytes(), 2).is_err(), "{answer}");
        }
    }
}

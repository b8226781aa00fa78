//! What the analyst reads: sections of playbooks, and incidents that are closed, found by words and by likeness.
//!
//! Two rankings, BM25 over words and the cosine of vectors, are fused by reciprocal ranks (Cormack, Clarke and Büttcher, SIGIR
//! 2009, with their k of 60): ranks can be added where scores cannot. Vectors are deterministic ones always, and a model's where
//! one is asked. The two kinds are never compared with each other: a model's rank a query only when every passage has one.

mod rank;
mod words;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use self::rank::Sparse;
use self::rank::{cosine, dot, fuse};
use self::words::Words;
use super::embeddings::{Dense, Embeddings};
use crate::telemetry::{Metrics, SearchBy};

/// Hits of one search at most.
const MOST_HITS: usize = 100;
/// How deep each ranking goes, for each hit that is asked for, and at least: what is ranked low by both may still come up.
const DEPTH: usize = 4;
const LEAST_DEPTH: usize = 50;

/// A text that can be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Its id: `playbook/injection#3`, `inc_...`. A passage takes the place of the one with the same id.
    pub id: Arc<str>,
    /// In a few words.
    pub title: String,
    /// The text.
    pub text: String,
}

/// A passage that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The passage's id.
    pub id: Arc<str>,
    /// The sum of its reciprocal ranks; at most 2/61.
    pub score: f32,
    /// Its place by words, from 1; `None`: not among them.
    pub bm25_rank: Option<usize>,
    /// Its place by likeness, from 1; `None`: not among them.
    pub vector_rank: Option<usize>,
}

/// How much a library holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LibraryLimits {
    /// Passages in all. Those that were added go, the oldest first; those it was founded with stay.
    pub passages: usize,
    /// Bytes of one passage's text; longer ones are cut.
    pub bytes: usize,
}

impl Default for LibraryLimits {
    fn default() -> Self {
        Self { passages: 5000, bytes: 16 << 10 }
    }
}

/// The library could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the index of words: {0}")]
pub struct LibraryError(String);

/// Makes a vector of a text without asking anybody: dimensions, each with its weight. The same text gives the same one.
pub type Vectorizer = dyn Fn(&str) -> Vec<(u32, f32)> + Send + Sync;

/// Passages, ready to be searched. Clones are the same library.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

struct Inner {
    shelf: RwLock<Shelf>,
    /// Held while something is put in: two at once must not leave different things on the shelf and in the index.
    putting: Mutex<()>,
    words: Words,
    vectorizer: Box<Vectorizer>,
    embeddings: Option<Embeddings>,
    limits: LibraryLimits,
    metrics: Metrics,
}

#[derive(Default)]
struct Shelf {
    passages: HashMap<Arc<str>, Kept>,
    /// Those that were added, the oldest first.
    added: VecDeque<Arc<str>>,
}

struct Kept {
    passage: Arc<Passage>,
    sparse: Sparse,
    dense: Option<Dense>,
    /// Whether it was there before anything was added.
    founding: bool,
}

impl Library {
    /// An empty library.
    ///
    /// # Errors
    /// There are no threads to be had for the index.
    pub fn new(
        limits: LibraryLimits,
        vectorizer: Box<Vectorizer>,
        embeddings: Option<Embeddings>,
        metrics: Metrics,
    ) -> Result<Self, LibraryError> {
        let words = Words::new().map_err(|error| LibraryError(error.to_string()))?;
        let (shelf, putting) = (RwLock::default(), Mutex::default());
        Ok(Self(Arc::new(Inner { shelf, putting, words, vectorizer, embeddings, limits, metrics })))
    }

    /// Puts these passages where those are that the library was founded with before: playbooks, at start and when they change.
    /// How many did not fit.
    pub async fn found(&self, passages: Vec<Passage>) -> usize {
        self.put(passages, true).await
    }

    /// Adds passages, such as incidents that are closed. How many did not fit, because those it was founded with take all places.
    pub async fn add(&self, passages: Vec<Passage>) -> usize {
        self.put(passages, false).await
    }

    /// A passage by its id.
    pub fn get(&self, id: &str) -> Option<Arc<Passage>> {
        self.0.read(|shelf| shelf.passages.get(id).map(|kept| Arc::clone(&kept.passage)))
    }

    /// The passages whose ids begin so, by their ids.
    pub fn under(&self, prefix: &str) -> Vec<Arc<Passage>> {
        let mut found: Vec<Arc<Passage>> = self.0.read(|shelf| {
            let under = shelf.passages.values().filter(|kept| kept.passage.id.starts_with(prefix));
            under.map(|kept| Arc::clone(&kept.passage)).collect()
        });
        found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        found
    }

    /// How many passages there are.
    pub fn len(&self) -> usize {
        self.0.read(|shelf| shelf.passages.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The passages that fit a query best, at most `limit` (and at most 100) of them. Words of the query are words, whatever signs
    /// stand among them: there is no query language that a prompt could speak.
    pub async fn search(&self, query: &str, limit: usize) -> Vec<Hit> {
        let query = clip(query, self.0.limits.bytes).to_owned();
        let dense = self.embed(&query).await;
        let inner = Arc::clone(&self.0);
        // Thousands of vectors are compared: not between two packets of somebody's answer.
        let ranking = tokio::task::spawn_blocking(move || inner.rank(&query, dense.as_ref(), limit.min(MOST_HITS)));
        ranking.await.unwrap_or_default()
    }

    async fn put(&self, passages: Vec<Passage>, founding: bool) -> usize {
        let inner = Arc::clone(&self.0);
        let putting = tokio::task::spawn_blocking(move || inner.put(passages, founding));
        let left_out = putting.await.unwrap_or_default();
        self.complete().await;
        left_out
    }

    /// Asks the model for vectors of passages that have none, until it has none to give.
    async fn complete(&self) {
        while self.complete_some().await {}
    }

    /// One question's worth of it. Whether that brought something and more is missing.
    async fn complete_some(&self) -> bool {
        let Some(embeddings) = &self.0.embeddings else { return false };
        let missing = self.0.missing();
        if missing.is_empty() {
            return false;
        }
        let texts: Vec<String> = missing.iter().map(|passage| whole(passage)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let Ok(vectors) = embeddings.vectors(&texts).await else { return false };
        self.0.learn(&missing, vectors);
        true
    }

    /// The query's vector by the model, where every passage has one too.
    async fn embed(&self, query: &str) -> Option<Dense> {
        let Some(embeddings) = &self.0.embeddings else {
            self.0.metrics.soc().searched(SearchBy::Own);
            return None;
        };
        // What failed before may work now; one question at most, since somebody waits.
        self.complete_some().await;
        let vector = match embeddings.vectors(&[query]).await {
            Ok(vectors) if self.0.missing().is_empty() => vectors.into_iter().next(),
            Ok(_) | Err(_) => None,
        };
        self.0.metrics.soc().searched(if vector.is_some() { SearchBy::Model } else { SearchBy::Fallback });
        vector
    }
}

impl Inner {
    fn read<T>(&self, look: impl FnOnce(&Shelf) -> T) -> T {
        look(&self.shelf.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, passages: Vec<Passage>, founding: bool) -> usize {
        let made: Vec<Kept> = passages
            .into_iter()
            .map(|mut passage| {
                passage.text.truncate(passage.text.floor_char_boundary(self.limits.bytes));
                let sparse = Sparse::new((self.vectorizer)(&whole(&passage)));
                Kept { passage: Arc::new(passage), sparse, dense: None, founding }
            })
            .collect();
        let _putting = self.putting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        let mut gone = if founding { shelf.take_founded() } else { Vec::new() };
        let mut come: Vec<Arc<Passage>> = Vec::new();
        let mut left_out = 0_usize;
        for kept in made {
            let id = Arc::clone(&kept.passage.id);
            if shelf.passages.len() >= self.limits.passages && !shelf.passages.contains_key(&id) {
                let Some(oldest) = shelf.added.pop_front() else {
                    left_out = left_out.saturating_add(1);
                    continue;
                };
                shelf.passages.remove(&oldest);
                come.retain(|passage| passage.id != oldest);
                gone.push(oldest);
            }
            shelf.added.retain(|known| *known != id);
            if !founding {
                shelf.added.push_back(Arc::clone(&id));
            }
            come.retain(|passage| passage.id != id);
            come.push(Arc::clone(&kept.passage));
            gone.push(Arc::clone(&id));
            shelf.passages.insert(id, kept);
        }
        drop(shelf);
        if let Err(error) = self.words.replace(&gone, &come) {
            tracing::warn!(%error, "passages can be found by likeness only");
        }
        left_out
    }

    /// Passages without a model's vector, as many as one question takes.
    fn missing(&self) -> Vec<Arc<Passage>> {
        let most = self.embeddings.as_ref().map_or(0, Embeddings::batch);
        self.read(|shelf| {
            let without = shelf.passages.values().filter(|kept| kept.dense.is_none());
            without.take(most).map(|kept| Arc::clone(&kept.passage)).collect()
        })
    }

    fn learn(&self, passages: &[Arc<Passage>], vectors: Vec<Dense>) {
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        for (passage, vector) in passages.iter().zip(vectors) {
            // Another one may have taken its place meanwhile.
            if let Some(kept) = shelf.passages.get_mut(&passage.id).filter(|kept| Arc::ptr_eq(&kept.passage, passage)) {
                kept.dense = Some(vector);
            }
        }
    }

    fn rank(&self, query: &str, dense: Option<&Dense>, limit: usize) -> Vec<Hit> {
        let depth = limit.saturating_mul(DEPTH).max(LEAST_DEPTH);
        let by_words = self.words.search(query, depth).unwrap_or_else(|error| {
            tracing::warn!(%error, "passages were searched by likeness only");
            Vec::new()
        });
        let sparse = Sparse::new((self.vectorizer)(query));
        self.read(|shelf| {
            let likeness = |kept: &Kept| match dense {
                Some(dense) => kept.dense.as_ref().map_or(0.0, |own| dot(own, dense)),
                None => cosine(&kept.sparse, &sparse),
            };
            let mut alike: Vec<(f32, &Arc<str>)> = shelf
                .passages
                .iter()
                .map(|(id, kept)| (likeness(kept), id))
                .filter(|(likeness, _)| *likeness > 0.0)
                .collect();
            alike.sort_by(|(a, first), (b, second)| b.total_cmp(a).then_with(|| first.cmp(second)));
            alike.truncate(depth);
            let by_likeness: Vec<&Arc<str>> = alike.into_iter().map(|(_, id)| id).collect();
            let by_words: Vec<&Arc<str>> =
                by_words.iter().filter_map(|id| shelf.passages.get_key_value(id.as_str()).map(|(id, _)| id)).collect();
            fuse(&by_words, &by_likeness, limit)
        })
    }
}

impl Shelf {
    /// Takes away what the library was founded with.
    fn take_founded(&mut self) -> Vec<Arc<str>> {
        let founded = self.passages.iter().filter(|(_, kept)| kept.founding);
        let founded: Vec<Arc<str>> = founded.map(|(id, _)| Arc::clone(id)).collect();
        for id in &founded {
            self.passages.remove(id);
        }
        founded
    }
}

/// What vectors are made of.
fn whole(passage: &Passage) -> String {
    [&*passage.title, "\n", &*passage.text].concat()
}

fn clip(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

#[cfg(test)]
mod tests;

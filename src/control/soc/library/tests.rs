//! The library, with vectors of its own and with a model's.

use std::time::Duration;

use super::*;
use crate::control::soc::breaker::Limits;
use crate::control::soc::model::EndpointOptions;
use crate::control::soc::notify::tests::{Answer, receiver};

/// Each word is a dimension: enough to tell what ranks by likeness and what by words.
fn vectorizer() -> Box<Vectorizer> {
    Box::new(|text| {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let dimension =
            |word: &str| blake3::hash(word.to_lowercase().get(..3).unwrap_or(word).as_bytes()).as_bytes()[0];
        words.map(|word| (u32::from(dimension(word)), 1.0)).collect()
    })
}

fn library(passages: usize, embeddings: Option<Embeddings>, metrics: &Metrics) -> Library {
    let limits = LibraryLimits { passages, bytes: 200 };
    Library::new(limits, vectorizer(), embeddings, metrics.clone()).unwrap()
}

fn passage(id: &str, title: &str, text: &str) -> Passage {
    Passage { id: Arc::from(id), title: title.to_owned(), text: text.to_owned() }
}

fn playbooks() -> Vec<Passage> {
    vec![
        passage("playbook/injection#1", "Prompt injection", "Limit the rate of the session and look at its prompts."),
        passage(
            "playbook/exfiltration#1",
            "Data exfiltration",
            "Terminate the session and block the address for an hour.",
        ),
        passage(
            "playbook/spend#1",
            "Spend anomaly",
            "Compare the budget with the ledger and ask the owner of the key.",
        ),
    ]
}

fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| &*hit.id).collect()
}

#[tokio::test]
async fn what_fits_best_by_words_and_likeness_comes_first() {
    let metrics = Metrics::new("portcullis").unwrap();
    let library = library(10, None, &metrics);
    assert!(library.search("injection", 3).await.is_empty(), "there is nothing yet");
    assert_eq!(library.found(playbooks()).await, 0);
    let hits = library.search("block the address of an exfiltration", 3).await;
    assert_eq!((&*hits[0].id, hits[0].bm25_rank, hits[0].vector_rank), ("playbook/exfiltration#1", Some(1), Some(1)));
    assert_eq!(library.search("injections", 3).await[0].bm25_rank, None, "found by likeness alone");
    assert_eq!(library.search("the session", 1).await.len(), 1);
    assert_eq!(library.search("the session", 0).await, []);
    assert_eq!(library.get("playbook/spend#1").unwrap().title, "Spend anomaly");
    assert!(metrics.render().unwrap().contains("portcullis_soc_searches_total{by=\"own\"} 5"));
}

#[tokio::test]
async fn a_query_is_words_whatever_signs_stand_in_it() {
    let library = library(10, None, &Metrics::new("portcullis").unwrap());
    library.found(playbooks()).await;
    let plain = library.search("session id playbook spend", 5).await;
    let hostile = library.search("+session -id:\"playbook/spend#1\" AND NOT (spend^9 OR * [a TO z]", 5).await;
    assert!(ids(&hostile).contains(&"playbook/spend#1") && !plain.is_empty());
    assert!(library.search("\u{0}\"\"((", 5).await.is_empty());
    assert!(!library.search(&"session ".repeat(100_000), 5).await.is_empty());
}

#[tokio::test]
async fn added_passages_are_found_replaced_and_forgotten_oldest_first() {
    let library = library(5, None, &Metrics::new("portcullis").unwrap());
    library.found(playbooks()).await;
    assert_eq!(library.add(vec![passage("inc_1", "Zebra", "first"), passage("inc_2", "Zebra", "second")]).await, 0);
    assert_eq!(library.search("zebra", 9).await.iter().filter(|hit| hit.bm25_rank.is_some()).count(), 2);
    // The same id again: newer now, and once only.
    assert_eq!(library.add(vec![passage("inc_1", "Okapi", "first")]).await, 0);
    assert_eq!((library.len(), library.search("okapi", 1).await[0].bm25_rank), (5, Some(1)));
    assert_eq!(library.add(vec![passage("inc_3", "Zebra", "third")]).await, 0);
    assert!(library.get("inc_2").is_none() && library.get("inc_1").is_some() && library.len() == 5);
    assert_eq!(library.search("second", 9).await.iter().filter(|hit| hit.bm25_rank.is_some()).count(), 0);
    // Many at once: the last ones stay, and playbooks do.
    let many = (10..20).map(|n| passage(&format!("inc_{n}"), "Zebra", "many")).collect();
    assert_eq!(library.add(many).await, 0);
    assert!(
        library.get("inc_19").is_some() && library.get("inc_17").is_none() && library.get("playbook/spend#1").is_some()
    );
    assert_eq!(library.search("many", 9).await.iter().filter(|hit| hit.bm25_rank.is_some()).count(), 2);
    // New playbooks take the place of the old ones and leave incidents alone.
    assert_eq!(library.found(vec![passage("playbook/new#1", "New", "brand")]).await, 0);
    assert!(library.get("playbook/spend#1").is_none() && library.get("inc_19").is_some() && library.len() == 3);
    assert!(library.search("ledger", 9).await.iter().all(|hit| hit.bm25_rank.is_none()));
}

#[tokio::test]
async fn what_does_not_fit_is_told() {
    let library = library(2, None, &Metrics::new("portcullis").unwrap());
    assert_eq!(library.found(playbooks()).await, 1);
    assert_eq!(library.add(vec![passage("inc_1", "Zebra", "")]).await, 1);
    assert_eq!(library.len(), 2);
    library.found(vec![passage("long", "Long", &"é".repeat(500))]).await;
    assert_eq!(library.get("long").unwrap().text.len(), 200);
}

fn embeddings(url: &str, metrics: &Metrics) -> Embeddings {
    let second = Duration::from_secs(5);
    let options = EndpointOptions {
        base_url: url.to_owned(),
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
async fn a_models_vectors_rank_and_its_failure_falls_back_to_our_own() {
    let metrics = Metrics::new("portcullis").unwrap();
    let vectors = |rows: &[[f32; 2]]| {
        let data: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| serde_json::json!({ "index": index, "embedding": row }))
            .collect();
        Answer::new(200, &serde_json::json!({ "data": data }).to_string())
    };
    let answers = vec![
        vectors(&[[1.0, 0.0]]),
        vectors(&[[0.0, 1.0]]),
        // The query, near the second.
        vectors(&[[0.1, 0.9]]),
        Answer::new(500, ""),
    ];
    let (url, _seen) = receiver(answers).await;
    let library = library(10, Some(embeddings(&url, &metrics)), &metrics);
    library.found(vec![passage("one", "Zebra", "stripes")]).await;
    library.add(vec![passage("two", "Okapi", "legs")]).await;
    let hits = library.search("animals", 2).await;
    assert_eq!((ids(&hits), hits[0].vector_rank), (vec!["two", "one"], Some(1)));
    // The model fails: own vectors, which know the word's first letters.
    let hits = library.search("zebras", 2).await;
    assert_eq!((ids(&hits), hits[0].vector_rank), (vec!["one"], Some(1)));
    // A passage that the model has not seen is found as well while it is left alone.
    library.add(vec![passage("three", "Gnu", "horns")]).await;
    assert_eq!(ids(&library.search("horns", 2).await), ["three"]);
    let text = metrics.render().unwrap();
    for line in ["portcullis_soc_searches_total{by=\"model\"} 1", "portcullis_soc_searches_total{by=\"fallback\"} 2"] {
        assert!(text.contains(line), "{line} is missing");
    }
}

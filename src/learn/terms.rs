//! Which words and pairs of words tell an attack from harmless texts.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Miss;
use super::benign::{Benign, numbers};
use crate::detect::learned::fold::{self, Token, pair};
use crate::detect::learned::{NEAR, Term, read};
use crate::detect::normalize::{self, Budget};

/// Of a hundred harmless texts a telling word is in so many at most, a pair in a thousand.
const COMMON: (f64, f64) = (0.05, 0.004);

/// The share of the texts built from that a term is in at least.
const SUPPORT: f64 = 0.2;

/// Single words and pairs at most.
const MOST: (usize, usize) = (26, 36);

/// What a pair weighs beside a word that is as rare.
const PAIR: f64 = 0.6;

/// Bytes of the reported text that are learned from.
const LONGEST: usize = 4 << 10;

/// A text rules are made from, in the reading that says most.
#[derive(Debug, Clone)]
pub(super) struct Doc {
    pub(super) text: String,
    pub(super) words: Vec<Token>,
}

impl Doc {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), words: read(text) }
    }

    /// A word as it is written.
    pub(super) fn written(&self, word: &Token) -> &str {
        self.text.get(word.start as usize..word.end as usize).unwrap_or_default()
    }
}

/// The reported text, and what rules are made from besides, each in the reading that is most like it.
pub(super) fn docs(miss: &Miss<'_>) -> (Doc, Vec<Doc>) {
    let text = miss.text.trim();
    let text = text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text);
    let plain = |text: &str| {
        let (folded, views) = normalize::readings(text, &Budget::default());
        let others = folded.into_iter().chain(views.views).map(|view| view.text);
        let readings: Vec<Doc> = [text.to_owned()].into_iter().chain(others).map(|text| Doc::new(&text)).collect();
        readings
    };
    // Of the report itself the reading that most of its variations are like is not known: the one with most words.
    let own = plain(text).into_iter().rev().max_by_key(known_words).unwrap_or_else(|| Doc::new(text));
    let classes: HashSet<u64> = own.words.iter().map(|word| word.class).collect();
    let alike = |doc: &Doc| {
        let theirs: HashSet<u64> = doc.words.iter().map(|word| word.class).collect();
        theirs.intersection(&classes).count()
    };
    let others = miss.built_from().filter_map(|text| plain(text).into_iter().rev().max_by_key(&alike)).collect();
    (own, others)
}

/// How many words of a reading look like words.
fn known_words(doc: &Doc) -> usize {
    let wordy = |word: &&Token| {
        let written = doc.written(word);
        (2..=16).contains(&written.chars().count()) && written.chars().all(char::is_alphabetic)
    };
    doc.words.iter().filter(wordy).count()
}

/// A term and how much it tells.
#[derive(Debug, Clone)]
pub(super) struct Telling {
    pub(super) term: Term,
    /// The share of harmless texts it is in.
    pub(super) common: f64,
}

/// The most telling terms, words before pairs, each with a weight.
pub(super) fn telling(own: &Doc, docs: &[Doc], benign: &Benign) -> Vec<Telling> {
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    let mut support: HashMap<u64, u32> = HashMap::new();
    let mut pairs: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let in_own: HashSet<u64> = {
        let mut found = HashSet::new();
        numbers(&own.words, |number| {
            found.insert(number);
        });
        found
    };
    let all: Vec<&Doc> = [own].into_iter().chain(docs).collect();
    for doc in &all {
        let mut seen = HashSet::new();
        for (at, word) in doc.words.iter().enumerate() {
            let written = doc.written(word);
            if !written.chars().any(char::is_alphabetic) || written.len() > 40 {
                continue;
            }
            names.entry(word.class).or_insert_with(|| fold::name(written));
            seen.insert(word.class);
            for first in doc.words.get(at.saturating_sub(NEAR as usize)..at).unwrap_or_default() {
                let number = pair(first.class, word.class);
                if first.class != word.class && names.contains_key(&first.class) {
                    pairs.insert(number, (first.class, word.class));
                    seen.insert(number);
                }
            }
        }
        seen.into_iter().for_each(|number| *support.entry(number).or_default() += 1);
    }
    let share = |number: &u64| f64::from(support.get(number).copied().unwrap_or(0)) / all.len() as f64;
    let good = |number: &u64| in_own.contains(number) || share(number) >= SUPPORT;
    let wanted: HashSet<u64> = names.keys().chain(pairs.keys()).copied().filter(|number| good(number)).collect();
    let counts = benign.counts(&wanted);
    let count = benign.len().max(1) as f64;
    let weigh = |number: u64, first: &str, second: Option<&str>| -> Option<Telling> {
        let met = f64::from(counts.get(&number).copied().unwrap_or(0));
        let (most, part) = if second.is_some() { (COMMON.1, PAIR) } else { (COMMON.0, 1.0) };
        if !wanted.contains(&number) || met > (most * count).max(1.0) {
            return None;
        }
        let rare = ((count + 20.0) / (met + 0.5)).ln();
        let weight = (rare * share(&number).sqrt() * part) as f32;
        let term = Term { first: first.to_owned(), second: second.map(str::to_owned), weight };
        Some(Telling { term, common: met / count })
    };
    let mut words: Vec<Telling> = names.iter().filter_map(|(class, name)| weigh(*class, name, None)).collect();
    let mut joined: Vec<Telling> = pairs
        .iter()
        .filter_map(|(number, (first, second))| weigh(*number, names.get(first)?, Some(names.get(second)?)))
        .collect();
    let heavier = |a: &Telling, b: &Telling| {
        let key = |one: &Telling| (one.term.first.clone(), one.term.second.clone());
        b.term.weight.total_cmp(&a.term.weight).then_with(|| key(a).cmp(&key(b)))
    };
    words.sort_by(heavier);
    words.truncate(MOST.0);
    joined.sort_by(heavier);
    joined.truncate(MOST.1);
    words.append(&mut joined);
    words
}

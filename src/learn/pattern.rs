//! Pattern rules: three or four telling words in their order, with short gaps.

use std::collections::{BTreeSet, HashMap};

use super::benign::Benign;
use super::terms::{Doc, Telling};
use crate::detect::learned::fold::{self, Class, Token, synonyms};

/// Telling words that are combined.
const WORDS: usize = 12;

/// Words between two of a combination at most.
const GAP: u32 = 8;

/// Combinations of a rule at most.
const MOST: usize = 4;

/// Words that can stand at one place of a pattern at most.
const ALTERNATIVES: usize = 14;

/// Patterns of a rule and the literals of which each match has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patterns {
    pub(super) patterns: Vec<String>,
    pub(super) prefilter: Vec<String>,
    /// The combinations, for the title.
    pub(super) words: Vec<Vec<String>>,
}

/// The few combinations that are in most of the texts and in no harmless one.
pub(super) fn patterns(own: &Doc, docs: &[Doc], terms: &[Telling], benign: &Benign) -> Option<Patterns> {
    let singles: Vec<(&Telling, Class)> = terms
        .iter()
        .filter(|one| one.term.second.is_none() && one.term.first.chars().count() > 2)
        .map(|one| (one, fold::class(&one.term.first)))
        .take(WORDS)
        .collect();
    let order: Vec<(usize, u32)> = in_order(own, &singles);
    let all: Vec<&Doc> = docs.iter().chain([own]).collect();
    let mut possible: Vec<(Vec<usize>, BTreeSet<usize>)> = Vec::new();
    for combination in combinations(&order) {
        let classes: Vec<Class> = combination.iter().filter_map(|at| Some(singles.get(*at)?.1)).collect();
        let hit: BTreeSet<usize> =
            all.iter().enumerate().filter(|(_, doc)| follows(&doc.words, &classes)).map(|(at, _)| at).collect();
        if hit.len() > 1 || combination.len() == order.len() {
            possible.push((combination, hit));
        }
    }
    let mut chosen: Vec<Vec<usize>> = Vec::new();
    let mut covered: BTreeSet<usize> = BTreeSet::new();
    // Those that are in most texts first; whether a harmless text has one is looked at only then.
    while chosen.len() < MOST {
        let gain = |(_, hit): &(Vec<usize>, BTreeSet<usize>)| hit.difference(&covered).count();
        let best = possible.iter().enumerate().max_by_key(|(at, one)| (gain(one), one.0.len(), usize::MAX - at));
        let Some((at, gained)) = best.map(|(at, one)| (at, gain(one))).filter(|(_, gained)| *gained > 0) else { break };
        let (combination, hit) = possible.swap_remove(at);
        let classes: Vec<Class> = combination.iter().filter_map(|at| Some(singles.get(*at)?.1)).collect();
        if gained > 0 && !benign.texts().any(|text| follows(&text.words, &classes)) {
            covered.extend(hit);
            chosen.push(combination);
        }
    }
    if chosen.is_empty() {
        return None;
    }
    let written = as_written(&all);
    let mut result = Patterns { patterns: Vec::new(), prefilter: Vec::new(), words: Vec::new() };
    for combination in chosen {
        let own: Vec<&(&Telling, Class)> = combination.iter().filter_map(|at| singles.get(*at)).collect();
        let places: Vec<Vec<String>> =
            own.iter().map(|(one, class)| alternatives(&one.term.first, *class, &written)).collect();
        // The rarest word is looked for.
        let rarest =
            own.iter().enumerate().min_by(|a, b| a.1.0.common.total_cmp(&b.1.0.common)).map_or(0, |(at, _)| at);
        let literals: Option<Vec<String>> =
            places.get(rarest).map(|words| words.iter().map(|word| literal(word)).collect::<Option<Vec<String>>>())?;
        let Some(literals) = literals else { continue };
        let gap = format!(r"\w{{0,6}}\W{{1,3}}(?:\w{{1,20}}\W{{1,3}}){{0,{GAP}}}");
        let place = |words: &Vec<String>| {
            let edge =
                if words.iter().all(|word| word.starts_with(|letter: char| letter.is_ascii())) { r"\b" } else { "" };
            format!("{edge}(?:{})", words.join("|"))
        };
        result.patterns.push(format!("(?i){}", places.iter().map(place).collect::<Vec<_>>().join(&gap)));
        result.prefilter.extend(literals);
        result.words.push(own.iter().map(|(one, _)| one.term.first.clone()).collect());
    }
    result.prefilter.sort();
    result.prefilter.dedup();
    (!result.patterns.is_empty()).then_some(result)
}

/// The telling words in the order in which the report has them, each with its first place.
fn in_order(own: &Doc, singles: &[(&Telling, Class)]) -> Vec<(usize, u32)> {
    let place = |class: Class| own.words.iter().find(|word| word.class == class).map(|word| word.nth);
    let mut order: Vec<(usize, u32)> =
        singles.iter().enumerate().filter_map(|(at, (_, class))| Some((at, place(*class)?))).collect();
    order.sort_by_key(|(_, nth)| *nth);
    order
}

/// Three or four of the words that follow each other near enough; two where there are no more.
fn combinations(order: &[(usize, u32)]) -> Vec<Vec<usize>> {
    let near = |a: &(usize, u32), b: &(usize, u32)| b.1 > a.1 && b.1 - a.1 <= GAP + 1;
    let mut found = Vec::new();
    for (one, a) in order.iter().enumerate() {
        for (two, b) in order.iter().enumerate().skip(one + 1).filter(|(_, b)| near(a, b)) {
            for (three, c) in order.iter().enumerate().skip(two + 1).filter(|(_, c)| near(b, c)) {
                found.push(vec![a.0, b.0, c.0]);
                let fourth = order.iter().skip(three + 1).filter(|d| near(c, d));
                found.extend(fourth.map(|d| vec![a.0, b.0, c.0, d.0]));
            }
        }
    }
    found
}

/// Whether the classes follow each other with gaps that are short enough.
fn follows(words: &[Token], classes: &[Class]) -> bool {
    let Some((first, rest)) = classes.split_first() else { return true };
    words.iter().enumerate().filter(|(_, word)| word.class == *first).any(|(at, _)| goes_on(words, at, rest))
}

fn goes_on(words: &[Token], at: usize, classes: &[Class]) -> bool {
    let Some((next, rest)) = classes.split_first() else { return true };
    let behind = words.iter().enumerate().skip(at + 1).take(GAP as usize + 1);
    behind.filter(|(_, word)| word.class == *next).any(|(at, _)| goes_on(words, at, rest))
}

/// By class: the words as the texts have them.
fn as_written(docs: &[&Doc]) -> HashMap<Class, BTreeSet<String>> {
    let mut written: HashMap<Class, BTreeSet<String>> = HashMap::new();
    for doc in docs {
        for word in &doc.words {
            let text = doc.written(word).to_lowercase();
            if text.chars().all(char::is_alphabetic) && text.chars().count() > 2 {
                written.entry(word.class).or_default().insert(text);
            }
        }
    }
    written
}

/// What can stand for a class, without what only has another ending.
fn alternatives(name: &str, class: Class, written: &HashMap<Class, BTreeSet<String>>) -> Vec<String> {
    let group = synonyms().group(name).unwrap_or_default();
    let of_group = group.iter().map(|word| fold::stem(word)).filter(|stem| stem.chars().count() > 2);
    let seen = written.get(&class).into_iter().flatten().cloned();
    let mut all: Vec<String> = of_group.chain(seen).collect();
    all.sort_by_key(|word| word.chars().count());
    let mut kept: Vec<String> = Vec::new();
    for word in all {
        if !kept.iter().any(|known| word.starts_with(known.as_str())) && kept.len() < ALTERNATIVES {
            kept.push(word);
        }
    }
    kept
}

/// The longest run of ASCII letters of a word; `None` if it is too short to look for.
fn literal(word: &str) -> Option<String> {
    let longest = word.split(|letter: char| !letter.is_ascii()).max_by_key(|part| part.len())?;
    (longest.len() >= 3).then(|| longest.to_owned())
}

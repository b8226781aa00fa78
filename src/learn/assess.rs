//! Whether a reported text has any sign of an attack: a report may be a mistake, or meant to have harmless texts blocked.
//!
//! Signs are what words mean (the concepts of the classifier's lexicon, in some forty languages) when they stand near
//! each other: "forget" near "rules", "send" near "data". Beside them counts what the classifier thinks, long before it
//! would report anything: of attacks it misses most have ten times the points of ordinary texts.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::benign::Benign;
use crate::detect::RuleSet;
use crate::detect::classify::features::words;
use crate::detect::classify::lexicon::{Lexicon, Meaning};
use crate::types::Role;

use super::trial::findings;

/// What words mean.
const LEXICON: &str = include_str!("../../rules/model/lexicon.txt");

/// Words that are near each other.
const NEAR: usize = 10;

/// Points of the classifier from which on a text is suspected, and from which on a sign beside them is enough. One of seven
/// texts of `rules/benign`, from which nothing learns, has the first, one of four the second. Of ordinary prompts of unseen
/// sources 2.8 % have the first and 6 % the second. To be measured anew when the classifier is trained anew.
const SUSPECTED: f32 = 0.72;
const SUSPECTED_WITH_SIGN: f32 = 0.36;

/// Signs that are enough where there is no classifier.
const FEWEST: usize = 2;

/// The share of harmless texts that a telling word is in at most.
const COMMON: f64 = 0.05;

/// Telling words of which a report has at least so many.
const TELLING: usize = 5;

/// A sign of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// Rules or limits are to be dropped.
    Override,
    /// What is hidden is to be told.
    Disclosure,
    /// A password, key or code is asked for.
    Secret,
    /// Somebody without limits is to be played.
    Persona,
    /// Something is to be called, sent, paid or deleted.
    Deed,
    /// Nobody is to know.
    Concealment,
    /// Somebody with a say is said to allow it.
    Authority,
    /// Harm or deceit.
    Harm,
    /// The model is told how to answer.
    Steering,
}

/// What a report reads like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Different words that few harmless texts have.
    pub telling: usize,
    /// Signs of an attack.
    pub signs: Vec<Sign>,
    /// Points of the classifier and of the rules in force, whichever are more; far fewer than would be reported.
    pub suspicion: f32,
    /// Whether a person should look before anything is learned from it.
    pub is_harmless: bool,
}

impl Reading {
    /// Why it reads harmless, for people.
    pub fn why(&self) -> String {
        if self.telling < TELLING {
            return format!("{} telling words, at least {TELLING} are needed", self.telling);
        }
        let (points, signs) = ((self.suspicion * 100.0).round() / 100.0, self.signs.len());
        format!("{points} points of the classifier and {signs} signs of an attack")
    }
}

/// What a report reads like to the rules in force and beside the benign corpus.
pub fn assess(text: &str, role: Role, benign: &Benign, in_force: &RuleSet) -> Reading {
    let signs = signs(text);
    let found: f32 = findings(in_force, role, text).iter().map(|finding| finding.score).fold(0.0, |all, own| all + own);
    let opinion = in_force.suspicion(text);
    let suspicion = opinion.unwrap_or_default().max(found);
    let is_suspected = suspicion >= SUSPECTED
        || suspicion >= SUSPECTED_WITH_SIGN && !signs.is_empty()
        || opinion.is_none() && signs.len() >= FEWEST;
    let telling = telling(text, benign);
    Reading { telling, is_harmless: telling < TELLING || !is_suspected, signs, suspicion }
}

/// Different words that few harmless texts have.
fn telling(text: &str, benign: &Benign) -> usize {
    let own = crate::detect::learned::read(text);
    let lettered = own.iter().filter(|word| {
        let written = text.get(word.start as usize..word.end as usize).unwrap_or_default();
        written.chars().any(char::is_alphabetic)
    });
    let classes: std::collections::HashSet<u64> = lettered.map(|word| word.class).collect();
    let counts = benign.counts(&classes);
    let most = COMMON * benign.len() as f64;
    classes.iter().filter(|class| f64::from(counts.get(class).copied().unwrap_or(0)) <= most.max(1.0)).count()
}

fn lexicon() -> &'static Lexicon {
    static OWN: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::parse(LEXICON).unwrap_or_default());
    &OWN
}

/// The bits of some concepts.
fn concepts(names: &[&str]) -> Meaning {
    let own = lexicon().names().iter().enumerate().filter(|(_, name)| names.contains(&name.as_str()));
    own.fold(0, |bits, (at, _)| bits | 1 << at)
}

/// Concepts of which one of the first near one of the second is a sign.
const NEAR_EACH_OTHER: [(Sign, &[&str], &[&str]); 13] = [
    (Sign::Override, &["drop", "stop", "free"], &["order", "ethics", "refuse"]),
    (Sign::Override, &["fresh", "now"], &["order"]),
    (Sign::Override, &["obey"], &["order", "fresh"]),
    (Sign::Disclosure, &["reveal", "convert", "write"], &["inner", "order"]),
    (Sign::Disclosure, &["reveal", "convert"], &["prior"]),
    (Sign::Secret, &["secret"], &["reveal", "convert", "send", "inner"]),
    (Sign::Persona, &["persona"], &["free", "model", "ethics"]),
    (Sign::Deed, &["send", "tool", "drop"], &["data", "money", "link", "secret"]),
    (Sign::Deed, &["tool"], &["send", "link"]),
    (Sign::Authority, &["authority"], &["grant", "order", "must", "drop"]),
    (Sign::Harm, &["harm", "deceive"], &["write", "tool", "send", "money", "secret"]),
    (Sign::Steering, &["must"], &["answer", "obey"]),
    (Sign::Steering, &["model", "you"], &["obey", "must", "free"]),
];

/// Words for what nobody is to know.
const CONCEALMENT: [&str; 28] = [
    "silently",
    "quietly",
    "secretly",
    "covertly",
    "discreetly",
    "unnoticed",
    "hide",
    "conceal",
    "mention",
    "nobody",
    "heimlich",
    "unbemerkt",
    "stillschweigend",
    "niemandem",
    "erwähne",
    "verschweige",
    "discrètement",
    "secrètement",
    "cache",
    "personne",
    "silence",
    "silencio",
    "ocultamente",
    "secretamente",
    "ocultes",
    "menciones",
    "nadie",
    "sigilo",
];

fn signs(text: &str) -> Vec<Sign> {
    let mut meanings: Vec<Meaning> = Vec::new();
    let mut hidden = false;
    words(text, |word| {
        let letters = text.get(word.start as usize..word.end as usize).unwrap_or_default();
        if letters.chars().next().is_some_and(char::is_alphanumeric) {
            meanings.push(lexicon().meaning(letters));
            hidden |= CONCEALMENT.contains(&letters.to_lowercase().as_str());
        }
    });
    let near = |first: Meaning, second: Meaning| {
        meanings.iter().enumerate().filter(|(_, own)| **own & first != 0).any(|(at, _)| {
            let around = meanings.iter().enumerate().skip(at.saturating_sub(NEAR)).take(NEAR * 2 + 1);
            around.filter(|(other, _)| *other != at).any(|(_, own)| own & second != 0)
        })
    };
    let mut signs: Vec<Sign> = NEAR_EACH_OTHER
        .iter()
        .filter(|(_, first, second)| near(concepts(first), concepts(second)))
        .map(|(sign, ..)| *sign)
        .collect();
    if hidden {
        signs.push(Sign::Concealment);
    }
    signs.sort_unstable();
    signs.dedup();
    signs
}

//! Groundedness: whether what a plan claims is supported by what was recorded or retrieved.
//!
//! A claim is supported where it cites evidence that exists, where enough of its words stand in that evidence, and where
//! every figure of it does. It is a check on words, not on meaning: it catches what was made up. Where a model has read each
//! claim with its evidence, its scores stand in for the share of words; citations and figures are looked at all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::analyse::{Figures, Retrieved};
use crate::types::Subject;
use crate::types::soc::{Alert, Blast, Claim, Incident};

/// Words of one piece of evidence that are kept.
const MAX_WORDS: usize = 4096;
/// Bytes of the text of one piece of evidence that are kept, and of what one claim is read with.
const MAX_TEXT: usize = 16 << 10;
const MAX_READ: usize = 64 << 10;
/// Words that say nothing of the matter.
const EMPTY: [&str; 52] = [
    "a", "about", "after", "all", "an", "and", "any", "are", "as", "at", "be", "been", "before", "but", "by", "come",
    "for", "from", "had", "has", "have", "in", "is", "it", "its", "like", "most", "no", "not", "of", "on", "one", "or",
    "other", "say", "than", "that", "the", "their", "them", "then", "they", "thi", "this", "to", "wa", "was", "were",
    "what", "which", "with", "within",
];

/// What can be cited: ids of the incident, of alerts and their requests, of past incidents, anchors of playbooks, and
/// `blast/N`, each with the words and figures that stand there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    known: BTreeMap<Arc<str>, Piece>,
}

/// What stands in one piece of evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Piece {
    words: BTreeSet<String>,
    text: String,
}

/// What a model that reads a claim with its evidence said: how far each claim is supported.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scored {
    /// For each claim, in their order, 0 to 1. Empty: words are counted instead.
    pub scores: Vec<f32>,
    /// From so much on a claim is supported.
    pub least: f32,
    /// Why there are no scores, where there should be.
    pub problem: Option<String>,
}

impl Scored {
    /// What the measure is called: `cross_encoder` or `words`.
    pub fn measure(&self) -> &'static str {
        if self.scores.is_empty() { "words" } else { "cross_encoder" }
    }
}

/// How far claims are supported.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grounded {
    /// The share of claims that are, 0 to 1; 0 where there is none.
    pub score: f32,
    /// Those that are not, with the reason.
    pub unsupported: Vec<String>,
    /// Cited ids that do not exist.
    pub unknown: Vec<Arc<str>>,
}

impl Evidence {
    /// What was recorded of an incident and retrieved for it. `blasts` are the figures of its callers.
    pub fn new(incident: &Incident, alerts: &[Alert], retrieved: &Retrieved, blasts: &[(Subject, Blast)]) -> Self {
        let mut evidence = Self::default();
        let figures = Figures::new(incident, alerts);
        evidence.add(&incident.id, &format!("{} {} {}", incident.title, incident.threats.join(" "), figures.words()));
        for alert in alerts {
            let threats = alert.threats.iter().map(|threat| format!("{} {}", threat.id, threat.title));
            let proofs = alert.proofs.iter().map(|proof| format!("{} {}", proof.rule, proof.title));
            let own = Figures::new(incident, std::slice::from_ref(alert)).words();
            let known: Vec<String> = threats.chain(proofs).chain(alert.verdict.reasons.iter().cloned()).collect();
            let text = format!("{} {} {} {own} {}", alert.title, alert.message, alert.rule, known.join(" "));
            evidence.add(&alert.id, &text);
            for request in &alert.requests {
                evidence.add(request, &text);
            }
        }
        for section in &retrieved.sections {
            evidence.add(&section.anchor, &format!("playbook {} {} {}", section.title, section.heading, section.text));
        }
        for past in &retrieved.past {
            evidence.add(&past.incident, &past.words());
        }
        for (number, blast) in (1..).zip(blasts) {
            evidence.add(&blast_id(number), &blast_words(blast));
        }
        evidence
    }

    /// Adds words to what can be cited as `id`.
    pub fn add(&mut self, id: &Arc<str>, text: &str) {
        let known = self.known.entry(Arc::clone(id)).or_default();
        for word in words(text) {
            if known.words.len() < MAX_WORDS {
                known.words.insert(word);
            }
        }
        push(&mut known.text, text, MAX_TEXT);
    }

    /// Each claim with the text of what it cites, for a model that reads both.
    pub fn pairs(&self, claims: &[Claim]) -> Vec<(String, String)> {
        let pair = |claim: &Claim| {
            let mut read = String::new();
            for piece in claim.support.iter().filter_map(|id| self.known.get(id)) {
                // Requests of an alert stand for the same text.
                if !read.contains(&piece.text) {
                    push(&mut read, &piece.text, MAX_READ);
                }
            }
            (claim.text.clone(), read)
        };
        claims.iter().map(pair).collect()
    }

    /// Whether there is something that can be cited so.
    pub fn has(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    /// How far these claims are supported; `overlap` is the share of a claim's words, 0 to 1, that its evidence must have
    /// where there are no scores for these claims.
    pub fn grounds(&self, claims: &[Claim], overlap: f32, scored: &Scored) -> Grounded {
        let scores: &[f32] = if scored.scores.len() == claims.len() { &scored.scores } else { &[] };
        let mut grounded = Grounded::default();
        let mut supported = 0_u16;
        for (number, claim) in (1_u16..).zip(claims) {
            grounded.unknown.extend(claim.support.iter().filter(|id| !self.has(id)).cloned());
            let score = scores.get(usize::from(number).saturating_sub(1)).map(|score| (*score, scored.least));
            match self.missing(claim, overlap, score) {
                None => supported = supported.saturating_add(1),
                Some(why) => grounded.unsupported.push(format!("claim {number}: {why}")),
            }
        }
        let all = u16::try_from(claims.len()).unwrap_or(u16::MAX);
        grounded.score = if all == 0 { 0.0 } else { f32::from(supported) / f32::from(all) };
        grounded
    }

    /// Why a claim is not supported; `score` is what a model gives it and what it needs.
    fn missing(&self, claim: &Claim, overlap: f32, score: Option<(f32, f32)>) -> Option<String> {
        if claim.support.is_empty() {
            return Some("it cites nothing".to_owned());
        }
        if !claim.support.iter().all(|id| self.has(id)) {
            return Some("it cites what does not exist".to_owned());
        }
        let cited: Vec<_> = claim.support.iter().filter_map(|id| self.known.get(id)).collect();
        let stands = |word: &String| cited.iter().any(|piece| piece.words.contains(word));
        let wanted: BTreeSet<String> = words(&claim.text).collect();
        if wanted.is_empty() {
            return Some("it says nothing".to_owned());
        }
        let figure = |word: &&String| word.bytes().all(|byte| byte.is_ascii_digit());
        if wanted.iter().filter(figure).any(|word| !stands(word)) {
            return Some("a figure of it does not stand in its evidence".to_owned());
        }
        if let Some((score, least)) = score {
            return (score < least)
                .then(|| format!("the model gives it {:.0} percent, at least {:.0}", score * 100.0, least * 100.0));
        }
        let (found, all) = (wanted.iter().filter(|word| stands(word)).count(), wanted.len());
        let share = |n: usize| f32::from(u16::try_from(n).unwrap_or(u16::MAX));
        let enough = share(found) >= overlap * share(all);
        (!enough).then(|| format!("{found} of its {all} words stand in its evidence"))
    }
}

/// What the figures of a caller are cited as.
pub(super) fn blast_id(number: u32) -> Arc<str> {
    format!("blast/{number}").into()
}

/// The figures of a caller in words.
pub(super) fn blast_words((subject, blast): &(Subject, Blast)) -> String {
    use super::say::{count, subject as kind};
    format!(
        "The {} sent {} of {} in {}, {} without a finding.",
        kind(subject),
        count(blast.requests, "request"),
        count(blast.callers, "caller"),
        count(u64::from(blast.hours), "hour"),
        blast.clean
    )
}

/// Adds a text on a line of its own, as far as there is room.
fn push(all: &mut String, text: &str, most: usize) {
    if !all.is_empty() {
        all.push('\n');
    }
    let room = most.saturating_sub(all.len());
    all.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
}

/// The words of a text that say something, in small letters and without the `s` of a plural.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).filter_map(
        |word| {
            let stem = word.strip_suffix('s').filter(|stem| stem.len() > 2).unwrap_or(&word);
            (!EMPTY.contains(&stem)).then(|| stem.to_owned())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        let mut evidence = Evidence::default();
        evidence.add(&"alt_1".into(), "7 injections from one user, refused by the gateway");
        evidence.add(&"alt_2".into(), "Customer records in an answer: 3 rows");
        evidence
    }

    fn claim(text: &str, support: &[&str]) -> Claim {
        Claim { text: text.into(), support: support.iter().map(|id| Arc::from(*id)).collect() }
    }

    #[test]
    fn a_claim_needs_words_figures_and_evidence_that_exists() {
        let why = |text: &str, support: &[&str]| {
            evidence().grounds(&[claim(text, support)], 0.6, &Scored::default()).unsupported.join(" ")
        };
        assert_eq!(why("A user sent 7 injections", &["alt_1"]), "");
        assert_eq!(why("The gateway refused 7 injections", &["alt_1"]), "");
        assert_eq!(
            why("The gateway refused 9 injections", &["alt_1"]),
            "claim 1: a figure of it does not stand in its evidence"
        );
        assert_eq!(
            why("The database was deleted by hackers", &["alt_1"]),
            "claim 1: 0 of its 3 words stand in its evidence"
        );
        assert_eq!(why("7 injections", &[]), "claim 1: it cites nothing");
        assert_eq!(why("7 injections", &["alt_1", "alt_9"]), "claim 1: it cites what does not exist");
        assert_eq!(why("of the and", &["alt_1"]), "claim 1: it says nothing");
        assert_eq!(why("3 customer records", &["alt_1"]), "claim 1: a figure of it does not stand in its evidence");
        assert_eq!(why("3 customer records and 7 injections", &["alt_1", "alt_2"]), "");
    }

    #[test]
    fn the_score_is_the_share_that_is_supported() {
        let claims = [claim("7 injections", &["alt_1"]), claim("all is lost", &["alt_1"]), claim("x", &["no"])];
        let grounded = evidence().grounds(&claims, 0.6, &Scored::default());
        assert!((grounded.score - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(grounded.unknown, [Arc::from("no")]);
        assert_eq!(grounded.unsupported.len(), 2);
        assert_eq!(evidence().grounds(&[], 0.6, &Scored::default()).score, 0.0);
    }
    #[test]
    fn a_models_scores_stand_in_for_words_but_not_for_citations_and_figures() {
        let claims = [
            claim("The database was deleted by hackers", &["alt_1"]),
            claim("A user sent 7 injections", &["alt_1"]),
            claim("A user sent 9 injections", &["alt_1"]),
            claim("7 injections", &["alt_9"]),
        ];
        let scored = Scored { scores: vec![0.9, 0.2, 1.0, 1.0], least: 0.5, problem: None };
        let grounded = evidence().grounds(&claims, 0.6, &scored);
        assert_eq!(
            grounded.unsupported,
            [
                "claim 2: the model gives it 20 percent, at least 50",
                "claim 3: a figure of it does not stand in its evidence",
                "claim 4: it cites what does not exist"
            ]
        );
        // Scores of other claims are none of these.
        let words = evidence().grounds(claims.get(..1).unwrap(), 0.6, &scored);
        assert_eq!(words.unsupported, ["claim 1: 0 of its 3 words stand in its evidence"]);
    }

    #[test]
    fn a_claim_is_read_with_what_it_cites() {
        let mut evidence = evidence();
        evidence.add(&"req_1".into(), "7 injections from one user, refused by the gateway");
        let pairs = evidence.pairs(&[claim("a", &["alt_1", "req_1", "alt_2", "no"]), claim("b", &[])]);
        let first = "7 injections from one user, refused by the gateway\nCustomer records in an answer: 3 rows";
        assert_eq!(pairs, [("a".to_owned(), first.to_owned()), ("b".to_owned(), String::new())]);
        evidence.add(&"long".into(), &"ä".repeat(MAX_TEXT));
        let long = evidence.pairs(&[claim("c", &["long"])]).pop().unwrap().1;
        assert_eq!(long.len(), MAX_TEXT);
    }
}

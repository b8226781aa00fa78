//! From a report to rules that would have caught it.

use super::Miss;
use super::benign::{Benign, Harmless};
use super::fit::{self, Fitted};
use super::pattern::{self, Patterns};
use super::terms::{self, Doc, Telling};
use super::write::Document;
use crate::detect::learned::Weights;
use crate::types::RuleId;

/// How wide a rule of weighed words is: the share of the report's score, and of its telling words, from widest.
const WIDTHS: [(f32, f32); 3] = [(0.36, 0.3), (0.5, 0.4), (0.65, 0.55)];

/// Rules that may be put in force together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// A rule file.
    pub rules: String,
    /// The ids of its rules.
    pub ids: Vec<RuleId>,
}

/// Rules that would have caught a miss, best first; none where too little of it tells it from harmless texts.
pub fn propose(miss: &Miss<'_>, benign: &Benign) -> Vec<Candidate> {
    let (own, docs) = terms::docs(miss);
    let terms = terms::telling(&own, &docs, benign);
    let maker = Maker { miss, benign, docs: &docs };
    let fitted = fit::fit(&own, &docs, &terms, benign);
    let patterns = pattern::patterns(&own, &docs, &terms, benign);
    let mut all = Vec::new();
    let mut known: Vec<Weights> = Vec::new();
    for (share, telling) in WIDTHS {
        let Some((fitted, weights)) = fitted.as_ref().and_then(|own| Some((own, own.with(share, telling)?))) else {
            continue;
        };
        if !known.contains(&weights) {
            all.push(maker.candidate(Some((fitted, &weights)), None));
            known.push(weights);
        }
    }
    if let Some(patterns) = &patterns {
        let strictest = known.last().and_then(|weights| Some((fitted.as_ref()?, weights)));
        if strictest.is_some() {
            all.push(maker.candidate(strictest, Some((patterns, &terms))));
        }
        all.push(maker.candidate(None, Some((patterns, &terms))));
    }
    all
}

struct Maker<'a> {
    miss: &'a Miss<'a>,
    benign: &'a Benign,
    docs: &'a [Doc],
}

impl Maker<'_> {
    fn candidate(&self, weighed: Option<(&Fitted, &Weights)>, patterns: Option<(&Patterns, &[Telling])>) -> Candidate {
        // Words that people added stay where they can be forgotten again.
        let of_file = |text: &'_ Harmless| if text.category.is_empty() { usize::MAX } else { text.text.len() };
        let texts: Vec<(&str, usize)> = self.benign.texts().map(|text| (text.text.as_str(), of_file(text))).collect();
        let nearest = weighed.map_or(&[][..], |(fitted, _)| &fitted.nearest);
        let mut negative: Vec<&str> = nearest
            .iter()
            .filter_map(|at| texts.get(*at))
            .filter(|(_, size)| *size <= 600)
            .map(|(text, _)| *text)
            .take(2)
            .collect();
        if negative.is_empty() {
            negative.extend(texts.iter().find(|(_, size)| *size <= 600).map(|(text, _)| *text));
        }
        if negative.is_empty() {
            negative.push("What is on the menu today?");
        }
        let mut documents = Vec::new();
        let mut ids = Vec::new();
        let mut add = |positive: &[&str], write: &dyn Fn(&Document<'_>) -> String| {
            let number = documents.len() + 1;
            let document = Document { miss: self.miss, number, positive, negative: &negative };
            ids.push(RuleId(document.id().into()));
            documents.push(write(&document));
        };
        if let Some((_, weights)) = weighed {
            let reader = weights.reader();
            let found = |doc: &&Doc| {
                let best = reader.best(&doc.words);
                best.score >= weights.threshold * 1.1 && best.telling >= weights.telling
            };
            let more = self.docs.iter().filter(found).map(|doc| doc.text.as_str()).take(2);
            let positive: Vec<&str> = [self.miss.text].into_iter().chain(more).collect();
            add(&positive, &|document| document.weighed(weights));
        }
        if let Some((patterns, _)) = patterns {
            add(&[self.miss.text], &|document| document.patterns(patterns));
        }
        Candidate { rules: documents.join("---\n"), ids }
    }
}

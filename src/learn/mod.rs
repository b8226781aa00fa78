//! Learning from a missed attack: what else it could be said as, rules that would have caught it, and whether such a rule
//! may be put in force. Pure and repeatable: the same report, corpus and seed give the same rules and figures.
//!
//! [`vary`] says an attack otherwise and holds some of that back; [`propose`] makes [`Candidate`] rules from the rest;
//! a [`Trial`] tries one on what was held back, on the [`Benign`] corpus and on traffic, and its [`Figures`] say whether
//! it passes the [`Gates`]. [`assess`] tells reports that read harmless from attacks.

mod assess;
mod benign;
mod encode;
mod figures;
mod fit;
mod frames;
mod kinds;
mod pattern;
mod propose;
mod reword;
mod terms;
mod trial;
mod vary;
mod write;

use crate::types::{Family, Role};

pub use assess::{Reading, Sign, assess};
pub use benign::{Benign, Harmless};
pub use figures::{Caught, Figures, Gates, OfKind};
pub use kinds::Kind;
pub use propose::{Candidate, propose};
pub use trial::{Progress, Trial, try_out};
pub use vary::vary;

/// An attack said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variation {
    /// How it was changed.
    pub kind: Kind,
    /// The text.
    pub text: String,
    /// Only to try rules on; no rule is made from it.
    pub held_back: bool,
}

/// A reported attack that nothing stopped.
#[derive(Debug, Clone, Copy)]
pub struct Miss<'a> {
    /// What the ids of its rules begin with: `LRN-` and six hexadecimal digits in capitals.
    pub id: &'a str,
    /// The text that was reported.
    pub text: &'a str,
    /// What it is.
    pub family: Family,
    /// Who is said to have written it.
    pub role: Role,
    /// It said otherwise, by [`vary`].
    pub variations: &'a [Variation],
    /// It said otherwise by others, for example a language model: untrusted texts. Every third is held back.
    pub others: &'a [String],
}

impl<'a> Miss<'a> {
    /// Texts that rules are made from, besides the reported one.
    pub fn built_from(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let own = self.variations.iter().filter(|one| !one.held_back).map(|one| one.text.as_str());
        own.chain(self.others.iter().enumerate().filter(|(nth, _)| nth % 3 != 2).map(|(_, text)| text.as_str()))
    }

    /// Texts that rules are only tried on.
    pub fn held_back(&self) -> impl Iterator<Item = (Kind, &'a str)> + use<'a> {
        let own = self.variations.iter().filter(|one| one.held_back).map(|one| (one.kind, one.text.as_str()));
        let others = self.others.iter().enumerate().filter(|(nth, _)| nth % 3 == 2);
        own.chain(others.map(|(_, text)| (Kind::Paraphrase, text.as_str())))
    }
}

#[cfg(test)]
mod tests;

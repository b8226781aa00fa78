//! The catalogues of threats that rules refer to, each with its version.
//!
//! ```yaml
//! kind: threats
//! catalogue: OWASP Top 10 for LLM Applications
//! version: "2026"
//! threats: { 'LLM01:2026': Prompt Injection }
//! ```
//!
//! An id that is given again by a later source has the later title.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::documents::documents;
use super::load::Lines;
use super::problem::Problem;
use super::rule::Source;

/// What stands behind a threat's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threat {
    /// For people.
    pub title: Arc<str>,
    /// The catalogue's name.
    pub catalogue: Arc<str>,
    /// The catalogue's version.
    pub version: Arc<str>,
}

/// Threats by id (`LLM01:2026`, `AML.T0051.000`).
pub type Threats = BTreeMap<Arc<str>, Threat>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Threats,
}

/// A document as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(rename = "kind")]
    _kind: Kind,
    catalogue: Arc<str>,
    version: Arc<str>,
    threats: BTreeMap<Arc<str>, Arc<str>>,
}

/// Whether a document holds threats and no rule.
pub(super) fn is_one(text: &str) -> bool {
    text.lines().any(|line| line.strip_prefix("kind:").is_some_and(|kind| kind.trim() == "threats"))
}

/// Every threat of the sources.
pub(super) fn read(sources: &[Source], problems: &mut Vec<Problem>) -> Threats {
    let mut threats = Threats::new();
    for source in sources {
        for (first, text) in documents(&source.text).into_iter().filter(|(_, text)| is_one(text)) {
            match serde_saphyr::from_str::<Raw>(text) {
                Ok(Raw { catalogue, version, threats: named, .. }) => {
                    threats.extend(named.into_iter().map(|(id, title)| {
                        let (catalogue, version) = (Arc::clone(&catalogue), Arc::clone(&version));
                        (id, Threat { title, catalogue, version })
                    }));
                }
                Err(error) => problems.push(Lines::new(&source.name, first, text).unread(&error)),
            }
        }
    }
    threats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_catalogue_adds_and_renames() {
        let document = |version: &str, threats: &str| Source {
            name: format!("{version}.yaml"),
            text: format!("kind: threats\ncatalogue: C\nversion: \"{version}\"\nthreats:\n{threats}"),
        };
        let sources = [document("1", "  X1: One\n  X2: Two\n"), document("2", "  X2: Second\n  X3: Third\n")];
        let mut problems = Vec::new();
        let threats = read(&sources, &mut problems);
        let told: Vec<_> = threats.iter().map(|(id, own)| format!("{id} {} {}", own.title, own.version)).collect();
        assert_eq!(told, ["X1 One 1", "X2 Second 2", "X3 Third 2"]);
        assert!(problems.is_empty(), "{problems:?}");
        let broken = Source { name: "b.yaml".into(), text: "kind: threats\ncatalogue: C\nthreats: {}\n".into() };
        read(&[broken], &mut problems);
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

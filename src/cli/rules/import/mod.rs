//! Rules of other tools as ours. Nothing is dropped in silence: what cannot be said is told with the reason.

mod atr;
mod draft;
mod gitleaks;
mod pattern;
mod sigma;
#[cfg(test)]
mod tests;

use self::draft::Draft;
use crate::detect::Budget;
use crate::types::Family;

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// gitleaks TOML.
    Gitleaks,
    /// Sigma YAML.
    Sigma,
    /// Agent-threat-rule YAML.
    Atr,
}

/// A rule as it was found, or its name and why it cannot be read.
type Found = Result<Draft, (String, String)>;

/// What became of a rule.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What the other tool calls it.
    pub(crate) name: String,
    /// The rule, or why there is none.
    pub(crate) result: Result<Imported, String>,
}

/// A rule that was taken over.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) id: String,
    /// Its document.
    pub(crate) document: String,
    /// What of it was not taken over.
    pub(crate) notes: Vec<String>,
}

/// How to import.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options<'a> {
    pub(crate) format: Format,
    /// The family of every rule, instead of what the format says.
    pub(crate) family: Option<Family>,
    /// Where repetitions without an end stop; without it such a rule is not taken over.
    pub(crate) bound: Option<u32>,
    pub(crate) budget: &'a Budget,
}

impl Format {
    /// The part of an id that says where a rule comes from.
    pub(crate) const fn theme(self) -> &'static str {
        match self {
            Self::Gitleaks => "GL",
            Self::Sigma => "SIGMA",
            Self::Atr => "ATR",
        }
    }
}

/// The documents of a YAML file, at least one.
fn documents(text: &str) -> Result<Vec<serde_json::Value>, String> {
    let documents: Vec<_> = serde_saphyr::from_multiple(text).map_err(|error| error.without_snippet().to_string())?;
    if documents.is_empty() { Err("it holds no rule".into()) } else { Ok(documents) }
}

/// What a document calls itself.
fn name(nth: usize, rule: &serde_json::Value) -> String {
    let text = |key: &str| rule.get(key).and_then(serde_json::Value::as_str);
    text("id").or(text("title")).map_or_else(|| format!("document {}", nth + 1), str::to_owned)
}

/// A draft with the title and description of a document.
fn draft(name: &str, family: Family, rule: &serde_json::Value) -> Draft {
    let text = |key: &str| rule.get(key).and_then(serde_json::Value::as_str);
    let mut draft = Draft::new(name.to_owned(), family);
    if let Some(title) = text("title") {
        draft.title = title.to_owned();
    }
    if let Some(description) = text("description") {
        draft.gain = description.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    draft
}

/// Imports the rules of one file; `next` is the number of the next id, and is moved on.
///
/// # Errors
/// When the file cannot be read as what it is said to be.
pub(crate) fn import(text: &str, options: &Options<'_>, next: &mut u32) -> Result<Vec<Outcome>, String> {
    let found = match options.format {
        Format::Gitleaks => gitleaks::read(text)?,
        Format::Sigma => sigma::read(text)?,
        Format::Atr => atr::read(text)?,
    };
    Ok(found.into_iter().map(|found| one(found, options, next)).collect())
}

fn one(found: Found, options: &Options<'_>, next: &mut u32) -> Outcome {
    let mut draft = match found {
        Ok(draft) => draft,
        Err((name, reason)) => return Outcome { name, result: Err(reason) },
    };
    draft.family = options.family.unwrap_or(draft.family);
    let name = draft.name.clone();
    if *next > 9999 {
        return Outcome { name, result: Err("there are no ids left: 9999 is the last".into()) };
    }
    let id = format!("SITE-{}-{:04}", options.format.theme(), next);
    let result = draft.finish(&id, options.bound, options.budget).map(|(document, notes)| {
        *next += 1;
        Imported { id, document, notes }
    });
    Outcome { name, result }
}

/// The texts of a list.
fn strings<'v>(values: impl Iterator<Item = Option<&'v str>>) -> Vec<String> {
    values.flatten().map(str::to_owned).collect()
}

//! A rule on its way in: written as one of ours, then tried as the loader and its own cases would.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::pattern;
use crate::detect::{Budget, Directions, RuleSet, Source};
use crate::types::{Family, Severity};

/// Points of an imported rule: it is reported, and adds to no block.
const SCORE: u16 = 1;
/// Most examples of each kind.
const EXAMPLES: usize = 3;
/// Texts made up for an example before none is found.
const TRIES: u64 = 8;
/// What no imported rule should find.
const HARMLESS: [&str; 3] = [
    "Which trains run to the coast on a Sunday morning?",
    "Thanks, the report reads well now.",
    "Please shorten this paragraph to two sentences.",
];
/// Shortest prefilter literal.
const SHORTEST: usize = 3;

/// A rule of another tool as far as ours can say it.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// What the other tool calls it.
    pub(super) name: String,
    pub(super) title: String,
    pub(super) family: Family,
    pub(super) gain: String,
    pub(super) severity: Severity,
    pub(super) directions: Directions,
    /// Words of which a text must have one.
    pub(super) keywords: Vec<String>,
    /// Selections by name, each with its patterns.
    pub(super) selections: Vec<(String, Vec<String>)>,
    pub(super) condition: Option<String>,
    pub(super) entropy: Option<f64>,
    /// Threat ids by catalogue, as in a rule's `references`.
    pub(super) references: BTreeMap<&'static str, Vec<String>>,
    pub(super) positive: Vec<String>,
    pub(super) negative: Vec<String>,
    pub(super) false_positives: Vec<String>,
    /// What was not taken over, in words.
    pub(super) notes: Vec<String>,
}

impl Draft {
    /// A draft without anything to look for.
    pub(super) fn new(name: String, family: Family) -> Self {
        Self {
            title: name.clone(),
            name,
            family,
            gain: "As the imported rule's description says.".into(),
            severity: Severity::Medium,
            directions: Directions::Input,
            keywords: Vec::new(),
            selections: Vec::new(),
            condition: None,
            entropy: None,
            references: BTreeMap::new(),
            positive: Vec::new(),
            negative: Vec::new(),
            false_positives: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The rule as a document that our loader takes and whose cases hold, and what to say about it.
    ///
    /// # Errors
    /// In words: what about it cannot be expressed.
    pub(super) fn finish(
        mut self,
        id: &str,
        bound: Option<u32>,
        budget: &Budget,
    ) -> Result<(String, Vec<String>), String> {
        let mut hirs = Vec::new();
        for (name, patterns) in &mut self.selections {
            for written in patterns {
                if let Some(bound) = bound
                    && let Some(shorter) = pattern::bounded(written, bound)?
                {
                    self.notes.push(format!("{name}: repetitions without an end stop at {bound}"));
                    *written = shorter;
                }
                let hir = pattern::parse(written)?;
                if !name.starts_with("not_") {
                    hirs.push(hir);
                }
                // What stands between two percent signs must not be read as the name of a list.
                if written.matches('%').count() > 1 && !written.contains("\\%") {
                    *written = written.replace('%', "\\x25");
                }
            }
        }
        self.notes.dedup();
        if hirs.is_empty() {
            return Err("it has no pattern for texts".into());
        }
        let given = self.positive.len();
        self.examples(&hirs);
        let mut refused = None;
        for draft in self.ways(&hirs) {
            match draft.tried(id, budget, given) {
                Ok(done) => return Ok(done),
                Err(reason) => refused = refused.or(Some(reason)),
            }
        }
        Err(refused.unwrap_or_else(|| "it has no literal to look for first".into()))
    }

    /// Texts that the patterns should match, after those that came with the rule.
    fn examples(&mut self, hirs: &[regex_syntax::hir::Hir]) {
        for seed in 1..=TRIES {
            let parts: Vec<String> = hirs.iter().map(|hir| pattern::sample(hir, seed)).collect();
            let text = parts.join(" ");
            let word = self.keywords.first().filter(|word| !text.to_ascii_lowercase().contains(word.as_str()));
            let text = word.map_or(text.clone(), |word| format!("{word} {text}"));
            self.positive.extend([text.clone(), format!(" {text} "), format!("\"{text}\"\n")]);
        }
        self.positive.retain(|text| !text.trim().is_empty());
        self.negative.extend(HARMLESS.map(str::to_owned));
    }

    /// The ways to say it, the best first.
    fn ways(&self, hirs: &[regex_syntax::hir::Hir]) -> Vec<Self> {
        let usable = |word: &String| word.is_ascii() && word.trim().len() >= SHORTEST;
        let words: BTreeSet<String> =
            self.keywords.iter().map(|word| word.to_ascii_lowercase()).filter(usable).collect();
        let read: BTreeSet<String> = hirs.iter().flat_map(pattern::literals).collect();
        let mut ways = Vec::new();
        for directions in [Some(self.directions), (self.directions == Directions::Both).then_some(Directions::Input)] {
            let Some(directions) = directions else { continue };
            for prefilter in [&words, &read] {
                if prefilter.is_empty() && directions != Directions::Output {
                    continue;
                }
                ways.push(Self { keywords: prefilter.iter().cloned().collect(), directions, ..self.clone() });
            }
        }
        // The words may stand anywhere in the text: then they are a selection of their own.
        if !words.is_empty() && self.directions != Directions::Output {
            let mut way = Self { keywords: words.iter().cloned().collect(), ..self.clone() };
            way.directions = Directions::Input;
            let any = words.iter().map(|word| regex_syntax::escape(word)).collect::<Vec<_>>().join("|");
            let names: Vec<&str> = self.selections.iter().map(|(name, _)| name.as_str()).collect();
            let (not, any_of): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| name.starts_with("not_"));
            let whole = self.condition.clone().unwrap_or_else(|| {
                let excluded: String = not.iter().fold(String::new(), |mut all, name| {
                    write!(all, " and not {name}").ok();
                    all
                });
                format!("({}){excluded}", any_of.join(" or "))
            });
            way.condition = Some(format!("sel_keyword and ({whole})"));
            way.selections.push(("sel_keyword".into(), vec![format!("(?i)(?:{any})")]));
            ways.push(way);
        }
        ways
    }

    /// Compiles it and runs its cases; examples that do not hold are left out.
    fn tried(mut self, id: &str, budget: &Budget, mut given: usize) -> Result<(String, Vec<String>), String> {
        let rules = self.compiled(id, budget)?;
        let failed: BTreeSet<String> = rules.self_test().into_iter().map(|problem| problem.path).collect();
        for (list, name) in [(&mut self.positive, "positive"), (&mut self.negative, "negative")] {
            let mut nth = 0;
            list.retain(|_| {
                nth += 1;
                let holds = !failed.contains(&format!("{id}.examples.{name}[{}]", nth - 1));
                if name == "positive" && nth <= given && !holds {
                    self.notes.push(format!("its example {nth} does not match here and was left out"));
                }
                holds
            });
        }
        given = given.min(self.positive.len());
        if self.positive.is_empty() {
            return Err("no text could be made that it matches, and a rule needs an example".into());
        }
        if self.negative.is_empty() {
            return Err("it matches every ordinary text tried".into());
        }
        self.positive.truncate(EXAMPLES.max(given));
        self.negative.truncate(EXAMPLES.max(self.negative.len().saturating_sub(HARMLESS.len())));
        match self.compiled(id, budget)?.self_test().first() {
            Some(problem) => Err(problem.message.clone()),
            None => Ok((self.document(id), self.notes)),
        }
    }

    fn compiled(&self, id: &str, budget: &Budget) -> Result<RuleSet, String> {
        let source = Source { name: "import".into(), text: self.document(id) };
        RuleSet::compile(&[source], None, &BTreeMap::new(), budget).map_err(|problems| {
            let mut told: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
            told.dedup();
            told.join("; ")
        })
    }

    /// The document, comments included.
    fn document(&self, id: &str) -> String {
        let mut out = format!("# Imported: {}\n", on_one_line(&self.name));
        let mut line = |text: std::fmt::Arguments<'_>| {
            out.push_str(&text.to_string());
            out.push('\n');
        };
        for note in &self.notes {
            line(format_args!("# Not taken over: {}", on_one_line(note)));
        }
        line(format_args!("id: {id}\ntitle: {}\nfamily: {}", quoted(&self.title), self.family.name()));
        let severity = format!("{:?}", self.severity).to_lowercase();
        line(format_args!("gain: {}\nseverity: {severity}\nscore: {SCORE}", quoted(&self.gain)));
        let direction = format!("{:?}", self.directions).to_lowercase();
        line(format_args!("direction: {direction}\naction: flag"));
        if !self.references.is_empty() {
            line(format_args!("references:"));
            for (catalogue, ids) in &self.references {
                line(format_args!(
                    "  {catalogue}: [{}]",
                    ids.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(", ")
                ));
            }
        }
        line(format_args!("detection:"));
        if self.directions != Directions::Output {
            let words: Vec<String> = self.keywords.iter().map(|word| quoted(word)).collect();
            line(format_args!("  prefilter: [{}]", words.join(", ")));
        }
        for (name, patterns) in &self.selections {
            line(format_args!("  {name}:"));
            patterns.iter().for_each(|pattern| line(format_args!("    - {}", quoted(pattern))));
        }
        if let Some(condition) = &self.condition {
            line(format_args!("  condition: {}", quoted(condition)));
        }
        if let Some(bits) = self.entropy {
            line(format_args!("validate: entropy({bits})"));
        }
        line(format_args!("examples:"));
        for (name, list) in [("positive", &self.positive), ("negative", &self.negative)] {
            line(format_args!("  {name}:"));
            list.iter().for_each(|text| line(format_args!("    - {}", quoted(text))));
        }
        if !self.false_positives.is_empty() {
            line(format_args!("false_positives:"));
            self.false_positives.iter().for_each(|text| line(format_args!("  - {}", quoted(text))));
        }
        out
    }
}

/// A YAML scalar.
fn quoted(text: &str) -> String {
    if text.chars().any(char::is_control) {
        return serde_json::Value::from(text).to_string();
    }
    format!("'{}'", text.replace('\'', "''"))
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

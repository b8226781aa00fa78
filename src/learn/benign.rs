//! The benign corpus: texts that no learned rule may match.
//!
//! | line | meaning |
//! |---|---|
//! | `@category benign:x`, `@language de` | hold for the lines after them |
//! | `# ...` | a comment |
//! | anything else | a text; `\n`, `\t` and `\\` stand for what they stand for everywhere |

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::detect::Problem;
use crate::detect::learned::fold::{Token, pair};
use crate::detect::learned::{NEAR, read};

/// Bytes of a text at most.
const LONGEST: usize = 64 << 10;

/// A harmless text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Harmless {
    /// The text.
    pub text: String,
    /// What it is, `benign:...`; empty if nobody said.
    pub category: String,
    /// Its language; empty if nobody said.
    pub language: String,
    /// Its words.
    pub(super) words: Vec<Token>,
}

impl Harmless {
    fn new(text: String, category: &str, language: &str) -> Arc<Self> {
        let words = read(&text);
        Arc::new(Self { text, category: category.to_owned(), language: language.to_owned(), words })
    }
}

/// Texts that no learned rule may match, read once.
#[derive(Debug, Clone, Default)]
pub struct Benign {
    texts: Vec<Arc<Harmless>>,
}

impl Benign {
    /// Reads corpus files, each a name and its contents.
    ///
    /// # Errors
    /// Every line that is wrong.
    pub fn read(sources: &[(&str, &str)]) -> Result<Self, Vec<Problem>> {
        let (mut texts, mut problems) = (Vec::new(), Vec::new());
        let mut seen = HashMap::new();
        for (file, contents) in sources {
            let (mut category, mut language) = ("", "");
            for (number, line) in (1_u32..).zip(contents.lines()) {
                let mut wrong = |message: String| {
                    let (file, path) = ((*file).to_owned(), String::new());
                    problems.push(Problem { file, line: Some(number), path, message });
                };
                if line.trim().is_empty() || line.starts_with("# ") || line.trim() == "#" {
                    continue;
                }
                if let Some(order) = line.strip_prefix('@') {
                    match order.split_once(' ').map(|(name, value)| (name, value.trim())) {
                        Some(("category", name)) if name.starts_with("benign:") => category = name,
                        Some(("category", name)) => wrong(format!("the category `{name}` must begin with `benign:`")),
                        Some(("language", name)) if (2..=8).contains(&name.len()) => language = name,
                        Some(("language", name)) => wrong(format!("`{name}` is no language, write for example `de`")),
                        _ => wrong(format!("unknown line `@{}`; there are @category and @language", shown(order))),
                    }
                    continue;
                }
                let text = match unescaped(line) {
                    Ok(text) => text,
                    Err(message) => {
                        wrong(message);
                        continue;
                    }
                };
                if category.is_empty() {
                    wrong("a text before the first @category".into());
                } else if text.len() > LONGEST {
                    wrong(format!("{} bytes, at most {LONGEST}", text.len()));
                } else if let Some((file, line)) = seen.insert(text.clone(), (*file, number)) {
                    wrong(format!("the same text as {file}:{line}"));
                } else {
                    texts.push(Harmless::new(text, category, language));
                }
            }
        }
        if problems.is_empty() { Ok(Self { texts }) } else { Err(problems) }
    }

    /// With more texts, behind those it has.
    #[must_use]
    pub fn with<T: Into<String>>(&self, more: impl IntoIterator<Item = T>) -> Self {
        let mut texts = self.texts.clone();
        texts.extend(more.into_iter().map(|text| Harmless::new(text.into(), "", "")));
        Self { texts }
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The texts, in order.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &Harmless> {
        self.texts.iter().map(AsRef::as_ref)
    }

    /// In how many texts each of some words and pairs is.
    pub(super) fn counts(&self, wanted: &HashSet<u64>) -> HashMap<u64, u32> {
        let mut counts = HashMap::new();
        let mut own = HashSet::new();
        for text in &self.texts {
            own.clear();
            numbers(&text.words, |number| {
                if wanted.contains(&number) {
                    own.insert(number);
                }
            });
            own.iter().for_each(|number| *counts.entry(*number).or_default() += 1);
        }
        counts
    }
}

/// Calls `each` with the number of every word and of every pair of near words.
pub(super) fn numbers(words: &[Token], mut each: impl FnMut(u64)) {
    for (at, word) in words.iter().enumerate() {
        each(word.class);
        let before = words.get(at.saturating_sub(NEAR as usize)..at).unwrap_or_default();
        before.iter().for_each(|first| each(pair(first.class, word.class)));
    }
}

fn shown(text: &str) -> &str {
    text.get(..text.floor_char_boundary(24)).unwrap_or_default()
}

fn unescaped(line: &str) -> Result<String, String> {
    let mut out = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('\\') => out.push('\\'),
                Some(other) => return Err(format!("`\\{other}` means nothing; a backslash is written `\\\\`")),
                None => return Err("a backslash at the end; write `\\\\`".into()),
            },
            letter => out.push(letter),
        }
    }
    Ok(out)
}

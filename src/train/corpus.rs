//! Texts to learn from, in the two forms they come in.
//!
//! Rows are JSON lines `{text, label, category, source}`. A corpus file holds texts of our own words, one a line:
//!
//! | line | meaning |
//! |---|---|
//! | `@label attack`, `@category family:detail`, `@role tool` | hold for the lines after them |
//! | `$name = this \| that` | a list; `{name}` in a text picks from it |
//! | `%3 text` | up to three different texts are drawn from this line; without it 4 where lists occur, else 1 |
//! | `U: ... \|\| A: ...` | a conversation, one turn after another |
//! | `# ...` | a comment |
//!
//! `\n`, `\t` and `\\` stand for what they stand for everywhere.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::noise;
use super::rng::Rng;
use crate::detect::normalize::{self, Budget};

/// Texts drawn from a line with lists that does not say how many.
const DRAWN: usize = 4;

/// Lists within lists within lists.
const DEEPEST: usize = 6;

/// A text to learn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The text; of a conversation the turns of user and assistant, a line each.
    pub text: String,
    /// Whether it is an attack.
    pub attack: bool,
    /// `family:detail`.
    pub category: String,
    /// Where it comes from: what is learned from one source is tried on the others.
    pub source: String,
}

#[derive(Deserialize)]
struct Row {
    text: String,
    label: u8,
    category: String,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

/// Families that other detectors answer for: keys, personal data, payloads, answers, and what an operator may allow.
const OTHERS: [&str; 7] = ["secret", "pii", "phi", "financial", "completion", "harmful_request", "malicious_input"];

/// The texts an example teaches with: a harmless one with every other reading of it, of an attack that shows in other
/// readings only those.
pub fn readings(examples: Vec<Example>) -> Vec<Example> {
    let mut all = noise::made(&examples);
    for one in examples {
        let views = normalize::views(&one.text, &Budget::default()).views;
        let hidden = one.attack && views.iter().any(|view| !view.disguises.is_empty());
        let read = |text: String| Example { text, ..one.clone() };
        all.extend(views.into_iter().map(|view| read(view.text)));
        if !hidden {
            all.push(one);
        }
    }
    all
}

/// Reads JSON lines; `source` is the file's name.
///
/// # Errors
/// The first line that is no row, by number.
pub fn rows(source: &str, text: &str) -> Result<Vec<Example>, String> {
    let mut examples = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let row: Row = serde_json::from_str(line).map_err(|error| format!("line {number}: {error}"))?;
        let family = row.category.split(':').next().unwrap_or_default();
        let attack = row.label == 1;
        // With a detail it is a payload of shell or file names, which rules know by their structure.
        let payload = family == "system_manipulation" && row.category.contains(':');
        if attack && (payload || OTHERS.contains(&family)) {
            continue;
        }
        let text = conversation(&row.text).unwrap_or(row.text);
        examples.push(Example { text, attack, category: row.category, source: source.to_owned() });
    }
    Ok(examples)
}

/// The turns of a conversation written as a JSON list of messages, without the operator's own.
pub fn conversation(text: &str) -> Option<String> {
    if !text.trim_start().starts_with("[{") {
        return None;
    }
    let turns: Vec<Turn> = serde_json::from_str(text).ok()?;
    let said = turns.iter().filter(|turn| turn.role != "system").map(|turn| turn.content.as_str());
    Some(said.collect::<Vec<_>>().join("\n"))
}

/// Reads a corpus file; `source` is its name. The same file gives the same texts.
///
/// # Errors
/// A line that says something unknown, by number.
pub fn corpus(source: &str, text: &str) -> Result<Vec<Example>, String> {
    let lists = lists(text);
    let mut rng = Rng::named(source);
    let (mut attack, mut category) = (false, String::new());
    let mut examples = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with("# ") || list(line).is_some() {
            continue;
        }
        match line.strip_prefix('@').and_then(|order| order.split_once(' ')) {
            Some(("label", label)) => {
                attack = match label.trim() {
                    "attack" => true,
                    "benign" => false,
                    _ => return Err(format!("line {number}: the label must be attack or benign")),
                };
                continue;
            }
            Some(("category", name)) => {
                name.trim().clone_into(&mut category);
                continue;
            }
            Some(("role", _)) => continue,
            Some(_) | None => {}
        }
        let (times, line) = drawn(line);
        let slots = lists.keys().any(|name| line.contains(&format!("{{{name}}}")));
        let times = times.unwrap_or(if slots { DRAWN } else { 1 });
        let mut seen = BTreeSet::new();
        for _ in 0..times {
            let text = turns(&unescaped(&filled(line, &lists, &mut rng, 0)));
            if seen.insert(text.clone()) {
                examples.push(Example { text, attack, category: category.clone(), source: source.to_owned() });
            }
        }
    }
    Ok(examples)
}

/// `$name = this | that`.
fn list(line: &str) -> Option<(&str, &str)> {
    let (name, options) = line.strip_prefix('$')?.split_once('=')?;
    let name = name.trim();
    (!name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_'))
        .then_some((name, options))
}

fn lists(text: &str) -> BTreeMap<&str, Vec<String>> {
    let own = |options: &str| {
        let options = options.replace("\\|", "\u{1}");
        options.split('|').map(|option| option.trim().replace('\u{1}', "|")).collect()
    };
    text.lines().filter_map(list).map(|(name, options)| (name, own(options))).collect()
}

/// How many texts a line asks for, and the rest of the line.
fn drawn(line: &str) -> (Option<usize>, &str) {
    let parts = line.strip_prefix('%').and_then(|rest| rest.split_once(' '));
    match parts.and_then(|(count, rest)| Some((count.parse().ok()?, rest))) {
        Some((count, rest)) => (Some(count), rest),
        None => (None, line),
    }
}

fn filled(text: &str, lists: &BTreeMap<&str, Vec<String>>, rng: &mut Rng, depth: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let slot = after.split_once('}').and_then(|(name, after)| Some((lists.get(name)?, after)));
        match slot {
            Some((options, after)) if depth < DEEPEST => {
                out.push_str(&filled(rng.pick(options).map_or("", String::as_str), lists, rng, depth + 1));
                rest = after;
            }
            Some(_) | None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.as_str().chars().next()) {
            ('\\', Some(next @ ('n' | 't' | '\\'))) => {
                letters.next();
                out.push(match next {
                    'n' => '\n',
                    't' => '\t',
                    _ => '\\',
                });
            }
            _ => out.push(letter),
        }
    }
    out
}

/// A conversation's turns, a line each; any other text unchanged.
fn turns(text: &str) -> String {
    let spoken = |turn: &str| ["U: ", "A: ", "S: "].iter().any(|who| turn.starts_with(who));
    if !text.contains(" || ") || !spoken(text) {
        return text.to_owned();
    }
    let said = text.split(" || ").filter(|turn| !turn.starts_with("S: "));
    said.map(|turn| if spoken(turn) { turn.get(3..).unwrap_or_default() } else { turn }).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_file_is_read_as_its_table_says() {
        let text = "# words\n@label attack\n@category prompt_injection:test\n$what = rules | {more}\n$more = orders\n\
                    %8 Drop the {what}, {}\n### now\\nthis\n@label benign\nU: hi || A: hello || U: bye\n";
        let read = corpus("own", text).unwrap();
        let texts: Vec<&str> = read.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        assert!(texts.contains(&"Drop the rules, {}") && texts.contains(&"Drop the orders, {}"));
        assert_eq!(texts[2..], ["### now\nthis", "hi\nhello\nbye"]);
        assert!(read[0].attack && !read[3].attack);
        assert_eq!(corpus("own", text).unwrap(), read);
        assert!(corpus("own", "@label round").is_err());
    }

    #[test]
    fn rows_of_other_detectors_are_left_out() {
        let text = "{\"text\":\"a\",\"label\":1,\"category\":\"secret:x\"}\n\
                    {\"text\":\"[{\\\"role\\\":\\\"system\\\",\\\"content\\\":\\\"s\\\"},{\\\"role\\\":\\\"user\\\",\\\"content\\\":\\\"u\\\"}]\",\"label\":0,\"category\":\"benign\"}";
        let read = rows("file", text).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].text, "u");
        assert!(rows("file", "{").is_err());
    }
}

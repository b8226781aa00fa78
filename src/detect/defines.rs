//! Lists and macros: names for what many patterns share, written `%name%` where it is used.
//!
//! ```yaml
//! kind: defines
//! lists: { forget_verbs: [ignore, disregard, 'set aside'] }   # words as they are read; a space is any short white space
//! macros: { few_words: '(?:\w{1,20}\s{1,3}){0,4}' }           # a piece of a pattern
//! append: { forget_verbs: [unlearn] }                         # words added to a list of another file
//! ```
//!
//! A definition replaces one of the same name from an earlier source, so a site's file outlives updates of the pack.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::load::Lines;
use super::pattern;
use super::problem::Problem;

/// Shortest name: `%2e%` in a pattern is no use of one.
const MIN_NAME: usize = 3;
/// How deep macros may be made of macros.
const MAX_DEPTH: usize = 8;
/// Bytes of a pattern when everything in it is put in place.
const MAX_EXPANDED: usize = 64 << 10;

/// Everything defined, by name.
#[derive(Debug, Default)]
pub(super) struct Defines {
    named: BTreeMap<String, Definition>,
}

/// What stands behind a name.
#[derive(Debug)]
struct Definition {
    what: What,
    /// The position of the source it comes from.
    from: usize,
    lines: Lines,
}

#[derive(Debug)]
enum What {
    List(Vec<String>),
    Macro(String),
}

/// Words added to a list once all lists are known.
#[derive(Debug)]
pub(super) struct Addition {
    name: String,
    words: Vec<String>,
    lines: Lines,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Defines,
}

/// A document of definitions as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(rename = "kind")]
    _kind: Kind,
    #[serde(default)]
    lists: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    macros: BTreeMap<String, String>,
    #[serde(default)]
    append: BTreeMap<String, Vec<String>>,
}

/// Whether a document holds definitions, or something else that is no rule.
pub(super) fn is_one(text: &str) -> bool {
    text.lines().any(|line| line.strip_prefix("kind:").is_some())
}

/// Whether a document holds definitions or threats. Those that say which events are alerts, which alerts incidents, or what is
/// done about them, packs of attack scenarios and frameworks of controls are not read here, though they may stand in the same directories.
pub(super) fn is_defining(text: &str) -> bool {
    let said = text.lines().find_map(|line| line.strip_prefix("kind:"));
    let kind = said.map(|said| said.split('#').next().unwrap_or_default().trim());
    kind.is_some_and(|kind| !matches!(kind, "alert" | "compliance" | "incident" | "redteam" | "responses"))
}

impl Defines {
    /// Reads a document of source number `from`; its additions are for [`Defines::finish`].
    pub(super) fn read(
        &mut self,
        from: usize,
        lines: &Lines,
        text: &str,
        additions: &mut Vec<Addition>,
        problems: &mut Vec<Problem>,
    ) {
        let raw: Raw = match serde_saphyr::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                problems.push(lines.unread(&error));
                return;
            }
        };
        let lists = raw.lists.into_iter().map(|(name, words)| (name, What::List(words)));
        let macros = raw.macros.into_iter().map(|(name, fragment)| (name, What::Macro(fragment)));
        for (name, what) in lists.chain(macros) {
            let part = format!("{}.{name}", what.kind());
            let problem = |message: String| lines.problem("defines", &part, message);
            if !is_name(&name) {
                let message = format!("a name has {MIN_NAME} or more letters a to z and underscores, a letter first");
                problems.push(problem(message));
                continue;
            }
            if let What::List(words) = &what
                && (words.is_empty() || words.iter().any(|word| word.trim().is_empty()))
            {
                problems.push(problem("a list has at least one word, and none is empty".into()));
                continue;
            }
            if self.named.get(&name).is_some_and(|known| known.from == from) {
                problems.push(problem("is defined twice in this file".into()));
                continue;
            }
            self.named.insert(name, Definition { what, from, lines: lines.clone() });
        }
        let lines = || lines.clone();
        additions.extend(raw.append.into_iter().map(|(name, words)| Addition { name, words, lines: lines() }));
    }

    /// Adds the additions in order, and checks that every macro is a pattern of its own.
    pub(super) fn finish(&mut self, additions: Vec<Addition>, problems: &mut Vec<Problem>) {
        for Addition { name, words, lines } in additions {
            let problem = |message: &str| lines.problem("defines", &format!("append.{name}"), message);
            match self.named.get_mut(&name).map(|known| &mut known.what) {
                _ if words.iter().any(|word| word.trim().is_empty()) => problems.push(problem("no word is empty")),
                Some(What::List(list)) => {
                    let new: Vec<String> = words.into_iter().filter(|word| !list.contains(word)).collect();
                    list.extend(new);
                }
                Some(What::Macro(_)) => problems.push(problem("is a macro; words are added to lists only")),
                None => problems.push(problem("no list has this name")),
            }
        }
        for (name, known) in &self.named {
            let What::Macro(fragment) = &known.what else { continue };
            let checked = self.expand(fragment).and_then(|pattern| pattern::parse(&pattern).map(|_| ()));
            if let Err(message) = checked {
                problems.push(known.lines.problem("defines", &format!("macros.{name}"), message));
            }
        }
    }

    /// `pattern` with everything it names put in place.
    ///
    /// # Errors
    /// In words: a name that nothing defines, a macro made of itself, or a pattern that grows too long.
    pub(super) fn expand(&self, pattern: &str) -> Result<String, String> {
        self.expand_at(pattern, 0)
    }

    fn expand_at(&self, pattern: &str, depth: usize) -> Result<String, String> {
        let mut out = String::with_capacity(pattern.len());
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            rest = after;
            let Some((name, after)) = after.split_once('%').filter(|(name, _)| is_name(name)) else {
                out.push('%');
                continue;
            };
            rest = after;
            let known = self.named.get(name).ok_or_else(|| {
                format!(
                    "`%{name}%` is neither a list nor a macro; a percent sign that is meant as one is written `[%]`"
                )
            })?;
            if depth >= MAX_DEPTH {
                return Err(format!("`%{name}%` is made of itself, or macros are nested more than {MAX_DEPTH} deep"));
            }
            out.push_str("(?:");
            match &known.what {
                What::List(words) => {
                    let words: Vec<String> = words.iter().map(|word| escaped(word)).collect();
                    out.push_str(&words.join("|"));
                }
                What::Macro(fragment) => out.push_str(&self.expand_at(fragment, depth + 1)?),
            }
            out.push(')');
            if out.len() > MAX_EXPANDED {
                return Err(format!("has more than {} KiB with all names put in place", MAX_EXPANDED >> 10));
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The literals of a prefilter; `%name%` stands for all words of a list.
    ///
    /// # Errors
    /// In words: a name that is not a list's.
    pub(super) fn literals(&self, prefilter: Vec<String>) -> Result<Vec<String>, String> {
        let mut literals = Vec::with_capacity(prefilter.len());
        for literal in prefilter {
            let inner = literal.strip_prefix('%').and_then(|rest| rest.strip_suffix('%'));
            let Some(name) = inner.filter(|name| is_name(name)) else {
                literals.push(literal);
                continue;
            };
            match self.named.get(name).map(|known| &known.what) {
                Some(What::List(words)) => literals.extend(words.iter().map(|word| word.to_ascii_lowercase())),
                Some(What::Macro(_)) => return Err(format!("`%{name}%` is a macro; literals come from lists")),
                None => return Err(format!("no list is named `{name}`")),
            }
        }
        Ok(literals)
    }
}

impl What {
    /// The key it is written under.
    fn kind(&self) -> &'static str {
        match self {
            Self::List(_) => "lists",
            Self::Macro(_) => "macros",
        }
    }
}

fn is_name(name: &str) -> bool {
    name.len() >= MIN_NAME
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_lowercase())
}

/// A word as a pattern: itself, and a short run of white space for each space.
fn escaped(word: &str) -> String {
    let parts: Vec<String> = word.split_whitespace().map(regex_syntax::escape).collect();
    parts.join(r"\s{1,3}")
}

#[cfg(test)]
mod tests {
    use super::super::load::Lines;
    use super::*;

    fn read(sources: &[&str]) -> (Defines, Vec<String>) {
        let (mut defines, mut additions, mut problems) = (Defines::default(), Vec::new(), Vec::new());
        for (from, text) in sources.iter().enumerate() {
            defines.read(from, &Lines::new("d.yaml", 1, text), text, &mut additions, &mut problems);
        }
        defines.finish(additions, &mut problems);
        (defines, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_stand_for_words_and_pieces_of_patterns() {
        let text = "kind: defines\nlists:\n  verbs: [drop, 'set aside', 'a.b']\nmacros:\n  gap: '\\s{1,3}'\n  verb_gap: '%verbs%%gap%'\n";
        let (defines, problems) = read(&[text]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(defines.expand(r"\b%verbs%\b").unwrap(), r"\b(?:drop|set\s{1,3}aside|a\.b)\b");
        assert_eq!(defines.expand("%verb_gap%x").unwrap(), r"(?:(?:drop|set\s{1,3}aside|a\.b)(?:\s{1,3}))x");
        assert_eq!(defines.expand("50%|%2e%2f 5%, 6%").unwrap(), "50%|%2e%2f 5%, 6%");
        assert_eq!(
            defines.literals(vec!["x y".into(), "%verbs%".into()]).unwrap(),
            ["x y", "drop", "set aside", "a.b"]
        );
        assert!(defines.expand("%nothing%").unwrap_err().contains("neither a list nor a macro"));
        assert!(defines.literals(vec!["%gap%".into()]).is_err());
    }

    #[test]
    fn a_later_source_replaces_and_adds() {
        let pack = "kind: defines\nlists:\n  verbs: [drop]\n  nouns: [rule]\n";
        let site = "kind: defines\nlists:\n  nouns: [law]\nappend:\n  verbs: [shed, drop]\n";
        let (defines, problems) = read(&[pack, site]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(defines.expand("%verbs% %nouns%").unwrap(), "(?:drop|shed) (?:law)");
        // What is added stays when an update redefines the list.
        let (defines, _) = read(&[site, pack]);
        assert_eq!(defines.expand("%verbs%").unwrap(), "(?:drop|shed)");
    }

    #[test]
    fn problems_name_file_and_line() {
        let cases = [
            ("kind: defines\nmacros:\n  loop_a: '%loop_b%'\n  loop_b: '%loop_a%'\n", "d.yaml:3: defines.macros.loop_a"),
            ("kind: defines\nmacros:\n  open: '(a'\n", "d.yaml:3: defines.macros.open"),
            ("kind: defines\nlists:\n  ab: [x]\n", "d.yaml:3: defines.lists.ab: a name has"),
            ("kind: defines\nlists:\n  words: []\n", "d.yaml:3: defines.lists.words: a list has"),
            ("kind: defines\nappend:\n  words: [x]\n", "d.yaml:3: defines.append.words: no list"),
            (
                "kind: defines\nmacros:\n  words: x\nlists:\n  words: [x]\n",
                "d.yaml:3: defines.macros.words: is defined twice",
            ),
            ("kind: defines\nlist: {}\n", "d.yaml:2"),
            ("kind: rules\n", "d.yaml:1"),
        ];
        for (text, expected) in cases {
            let (_, problems) = read(&[text]);
            assert!(problems.first().is_some_and(|problem| problem.starts_with(expected)), "{text}: {problems:?}");
        }
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let mut text = String::from("kind: defines\nmacros:\n  m_a: 'aaaaaaaaaaaaaaaa'\n");
        for (name, of) in ["b", "c", "d", "e", "f", "g"].iter().zip(["a", "b", "c", "d", "e", "f"]) {
            text.push_str(&format!("  m_{name}: '{}'\n", format!("%m_{of}%").repeat(10)));
        }
        let (_, problems) = read(&[&text]);
        assert!(problems.iter().any(|problem| problem.contains("KiB")), "{problems:?}");
    }
}

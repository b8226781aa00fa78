//! Playbooks: standard procedures as Markdown files with a front matter, cut into sections that can be found and cited.
//!
//! ```markdown
//! ---
//! id: repeated-injection
//! title: Repeated injection by one caller
//! families: [prompt_injection]
//! severity: medium
//! events: 3
//! threats: ['LLM01:2026']
//! steps:
//!   - {action: rate_limit, target: caller, requests: 5, seconds: 120, lasts: 1h}
//! ---
//! ## What it looks like
//! ...
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::front::{MAX_STEPS, RawStep, at, line_of, unread};
use super::problem::Problem;
use crate::types::{Family, Severity};

pub use super::front::{Target, Template, When};

/// Bytes of one playbook.
const MAX_TEXT: usize = 64 << 10;
/// Sections of one playbook.
const MAX_SECTIONS: usize = 64;
/// Playbooks in use at once.
const MAX_PLAYBOOKS: usize = 1024;
/// Characters of an id.
const MAX_ID: usize = 64;

/// A file with a playbook.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it is called in problems.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// One playbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playbook {
    /// Lower-case letters, digits and `-`.
    pub id: Arc<str>,
    /// In a few words.
    pub title: Arc<str>,
    /// When it holds.
    pub when: When,
    /// The catalogued threats it is about.
    pub threats: Vec<Arc<str>>,
    /// What to do.
    pub steps: Vec<Template>,
    /// People who must approve at least; `None`: the settings say.
    pub approvals: Option<u8>,
    /// Its text, cut at the headings.
    pub sections: Vec<Section>,
}

/// A part of a playbook that can be found and cited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// `playbook/ID#N`, counted from 1.
    pub anchor: Arc<str>,
    /// The playbook's id.
    pub playbook: Arc<str>,
    /// The playbook's title.
    pub title: Arc<str>,
    /// The heading.
    pub heading: Arc<str>,
    /// What stands below it.
    pub text: Arc<str>,
}

/// The front matter as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    id: Arc<str>,
    title: Arc<str>,
    #[serde(default)]
    families: Vec<Family>,
    #[serde(default)]
    rules: Vec<Arc<str>>,
    severity: Severity,
    #[serde(default)]
    events: u64,
    #[serde(default)]
    with: Option<Target>,
    #[serde(default)]
    likely_false: bool,
    #[serde(default)]
    threats: Vec<Arc<str>>,
    #[serde(default)]
    steps: Vec<RawStep>,
    #[serde(default)]
    approvals: Option<u8>,
}

impl Playbook {
    /// Reads a playbook.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with the line.
    pub fn read(name: &str, text: &str) -> Result<Self, Problem> {
        if text.len() > MAX_TEXT {
            return Err(at(name, 1, format!("has {} bytes, at most {MAX_TEXT}", text.len())));
        }
        let (front, body, before) = parted(name, text)?;
        // The line with `---` stands before the front matter.
        let raw: Front = serde_saphyr::from_str(front).map_err(|error| unread(name, 1, &error))?;
        let wrong = |key: &str, message: String| at(name, line_of(front, key, 0, 1), message);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if raw.id.is_empty() || raw.id.len() > MAX_ID || !raw.id.bytes().all(plain) {
            return Err(wrong("id", format!("an id has 1 to {MAX_ID} lower-case letters, digits and `-`")));
        }
        if raw.title.trim().is_empty() || raw.title.chars().any(char::is_control) {
            return Err(wrong("title", "a title is one line of words".to_owned()));
        }
        if raw.families.is_empty() && raw.rules.is_empty() && !raw.likely_false {
            return Err(wrong("id", "say what it is about: `families`, `rules` or `likely_false`".to_owned()));
        }
        if raw.steps.len() > MAX_STEPS {
            return Err(wrong("steps", format!("has {} steps, at most {MAX_STEPS}", raw.steps.len())));
        }
        if raw.approvals.is_some_and(|people| people > 2) {
            return Err(wrong("approvals", "is 0, 1 or 2".to_owned()));
        }
        let mut steps = Vec::new();
        for (nth, step) in raw.steps.into_iter().enumerate() {
            let wrong = |message| at(name, line_of(front, "action", nth, 1), message);
            steps.push(step.checked().map_err(wrong)?);
        }
        let sections = sections(name, &raw.id, &raw.title, body, before)?;
        let when = When {
            families: raw.families,
            rules: raw.rules,
            severity: Some(raw.severity),
            events: raw.events,
            with: raw.with,
            likely_false: raw.likely_false,
        };
        let (threats, approvals) = (raw.threats, raw.approvals);
        Ok(Self { id: raw.id, title: raw.title, when, threats, steps, approvals, sections })
    }
}

/// Front matter, what follows, and how many lines stand before that.
fn parted<'a>(name: &str, text: &'a str) -> Result<(&'a str, &'a str, u32), Problem> {
    let opening = "a playbook begins with a front matter between two lines `---`";
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else {
        return Err(at(name, 1, opening));
    };
    let mut length = 0_usize;
    for (line, number) in rest.split_inclusive('\n').zip(2_u32..) {
        let after = length.saturating_add(line.len());
        if line.trim_end() == "---" {
            let (front, _) = rest.split_at_checked(length).unwrap_or((rest, ""));
            let (_, body) = rest.split_at_checked(after).unwrap_or((rest, ""));
            return Ok((front, body, number));
        }
        length = after;
    }
    Err(at(name, 1, opening))
}

/// The text cut at its headings of the second rank. What stands before the first heading is a section of its own.
fn sections(name: &str, id: &Arc<str>, title: &Arc<str>, body: &str, before: u32) -> Result<Vec<Section>, Problem> {
    let mut found: Vec<(String, String)> = vec![(title.to_string(), String::new())];
    let mut fenced = false;
    for (line, number) in body.lines().zip(before.saturating_add(1)..) {
        fenced ^= line.trim_start().starts_with("```");
        match line.strip_prefix("## ").filter(|_| !fenced) {
            Some(heading) if heading.trim().is_empty() => {
                return Err(at(name, number, "a heading says something"));
            }
            Some(heading) => found.push((heading.trim().to_owned(), String::new())),
            None => {
                if let Some((_, text)) = found.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    found.retain(|(_, text)| !text.trim().is_empty());
    if found.is_empty() {
        return Err(at(name, before.saturating_add(1), "says nothing: write sections below `## ` headings"));
    }
    if found.len() > MAX_SECTIONS {
        return Err(at(name, 1, format!("has {} sections, at most {MAX_SECTIONS}", found.len())));
    }
    let section = |(number, (heading, text)): (usize, (String, String))| Section {
        anchor: format!("playbook/{id}#{number}").into(),
        playbook: Arc::clone(id),
        title: Arc::clone(title),
        heading: heading.into(),
        text: text.trim().into(),
    };
    Ok((1..).zip(found).map(section).collect())
}

/// Every playbook, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Playbooks {
    all: BTreeMap<Arc<str>, Playbook>,
}

impl Playbooks {
    /// Reads every source; a later playbook replaces an earlier one of the same id.
    ///
    /// # Errors
    /// What is wrong, of every source.
    pub fn new(sources: &[Source]) -> Result<Self, Vec<Problem>> {
        let mut all = BTreeMap::new();
        let mut problems = Vec::new();
        for source in sources {
            match Playbook::read(&source.name, &source.text) {
                Ok(playbook) => {
                    all.insert(Arc::clone(&playbook.id), playbook);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if all.len() > MAX_PLAYBOOKS {
            problems.push(at("playbooks", 1, format!("there are {}, at most {MAX_PLAYBOOKS}", all.len())));
        }
        if problems.is_empty() { Ok(Self { all }) } else { Err(problems) }
    }

    /// The playbook of this id.
    pub fn get(&self, id: &str) -> Option<&Playbook> {
        self.all.get(id)
    }

    /// Every playbook, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Playbook> {
        self.all.values()
    }

    /// Every section, by playbook and place: what is searched.
    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        self.all.values().flat_map(|playbook| &playbook.sections)
    }

    /// The section that is cited as `anchor`.
    pub fn section(&self, anchor: &str) -> Option<&Section> {
        let (id, _) = anchor.strip_prefix("playbook/")?.split_once('#')?;
        self.get(id)?.sections.iter().find(|section| *section.anchor == *anchor)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soc::examples;
    use crate::types::soc::RemedyAction;

    const FRONT: &str = "---\nid: one\ntitle: One\nfamilies: [jailbreak]\nseverity: low\n";

    fn told(text: &str) -> String {
        Playbook::read("p.md", text).unwrap_err().to_string()
    }

    #[test]
    fn a_playbook_is_cut_at_its_headings() {
        let text = format!(
            "{FRONT}steps:\n  - {{action: rate_limit, target: caller, requests: 5, seconds: 120, lasts: 1h}}\n---\n\
             Before.\n\n## What it is\nText.\n```\n## no heading\n```\n## Empty\n\n## Undo\nLift it.\n"
        );
        let playbook = Playbook::read("p.md", &text).unwrap();
        let shown: Vec<_> =
            playbook.sections.iter().map(|part| format!("{} {}: {}", part.anchor, part.heading, part.text)).collect();
        assert_eq!(
            shown,
            [
                "playbook/one#1 One: Before.",
                "playbook/one#2 What it is: Text.\n```\n## no heading\n```",
                "playbook/one#3 Undo: Lift it."
            ]
        );
        let step = &playbook.steps[0];
        assert_eq!(step.action, RemedyAction::RateLimit { requests: 5, seconds: 120 });
        assert_eq!((step.target, step.lasts, step.spread), (Some(Target::Caller), Some(3600), 1));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert_eq!(told("id: one"), "p.md:1: a playbook begins with a front matter between two lines `---`");
        assert_eq!(told("---\nid: one\n"), "p.md:1: a playbook begins with a front matter between two lines `---`");
        assert!(
            told("---\nid: One!\ntitle: x\nfamilies: [jailbreak]\nseverity: low\n---\nText\n").starts_with("p.md:2: ")
        );
        assert!(told("---\nid: one\ntitle: x\nseverity: low\n---\nText\n").contains("say what it is about"));
        assert!(told("---\nid: one\ntitle: x\nseverity: dire\n---\nText\n").starts_with("p.md:4"));
        assert!(told(&format!("{FRONT}colour: red\n---\nText\n")).starts_with("p.md:6"));
        assert!(told(&format!("{FRONT}---\n\n")).starts_with("p.md:7: says nothing"));
        assert!(told(&format!("{FRONT}---\nText\n## \nText\n")).starts_with("p.md:8: a heading"));
        assert!(told(&format!("{FRONT}approvals: 3\n---\nText\n")).starts_with("p.md:6: is 0, 1 or 2"));
        assert!(told(&"x".repeat(MAX_TEXT + 1)).contains("at most 65536"));
    }

    #[test]
    fn steps_that_cannot_be_are_told() {
        let step = |step: &str| {
            let steps = "steps:\n  - {action: monitor}\n";
            told(&format!("{FRONT}{steps}  - {{{step}}}\n---\nText\n"))
        };
        for (given, expected) in [
            ("action: dance", "p.md:8: `dance` is no action: use monitor, rate_limit"),
            ("action: rate_limit, target: caller", "rate_limit needs `requests` and `seconds`"),
            ("action: rate_limit, target: caller, requests: 0, seconds: 9", "both at least 1"),
            ("action: rate_limit, requests: 5, seconds: 9", "rate_limit needs a `target`"),
            ("action: monitor, target: user", "monitor is done to nobody"),
            ("action: monitor, requests: 5", "mean nothing to monitor"),
            ("action: monitor, channel: x", "`channel` means nothing"),
            ("action: block_address, target: user", "block_address needs `target: address`"),
            ("action: suspend_user", "suspend_user needs `target: user`"),
            ("action: revoke_key, target: key, lasts: 1h", "revoke_key has no duration"),
            ("action: suspend_user, target: user, lasts: soon", "`soon` is no duration"),
            ("action: tighten_policy, target: user, spread: 0", "`spread` is 1 to 16"),
            ("action: suspend_user, target: user, reason: \"a\\tb\"", "`reason` is one line"),
        ] {
            let told = step(given);
            assert!(told.contains(expected), "{given}: {told}");
        }
    }

    #[test]
    fn later_playbooks_replace_earlier_ones_and_every_problem_is_told() {
        let source = |title: &str| Source {
            name: format!("{title}.md"),
            text: format!("---\nid: one\ntitle: {title}\nfamilies: [jailbreak]\nseverity: low\n---\nText\n"),
        };
        let playbooks = Playbooks::new(&[source("A"), source("B")]).unwrap();
        assert_eq!((playbooks.len(), &*playbooks.get("one").unwrap().title), (1, "B"));
        assert_eq!(playbooks.section("playbook/one#1").map(|section| &*section.text), Some("Text"));
        for unknown in ["playbook/one#2", "playbook/two#1", "one#1", ""] {
            assert_eq!(playbooks.section(unknown), None);
        }
        let bad = Source { name: "bad.md".into(), text: "no".into() };
        assert_eq!(Playbooks::new(&[bad.clone(), source("A"), bad]).unwrap_err().len(), 2);
    }

    #[test]
    fn shipped_playbooks_say_everything_they_have_to() {
        let playbooks = examples::playbooks();
        assert!(playbooks.len() >= 14, "{}", playbooks.len());
        let wanted = [
            "What it looks like",
            "How to confirm it",
            "What to do",
            "How to undo it",
            "When to close it",
            "Whom to tell",
        ];
        for playbook in playbooks.iter() {
            let headings: Vec<_> = playbook.sections.iter().map(|section| &*section.heading).collect();
            assert_eq!(headings, wanted, "{}", playbook.id);
            assert!(!playbook.steps.is_empty(), "{}", playbook.id);
            for section in &playbook.sections {
                let words = section.text.split_whitespace().count();
                assert!(words >= 12, "{}: {} has {words} words", section.anchor, section.heading);
            }
        }
    }
}

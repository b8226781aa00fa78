//! Packs: YAML files of cases, those in the binary and a site's own. Every problem of a file is told at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use rust_embed::RustEmbed;
use serde::Deserialize;

use super::canary::Kind;
use super::disguise::Disguise;
use crate::types::Severity;

/// The packs built into the binary.
#[derive(RustEmbed)]
#[folder = "rules/redteam/"]
#[include = "*.yaml"]
struct Builtin;

/// Bytes of one text of a case.
const MAX_TEXT: usize = 64 << 10;
/// Cases of one run.
const MAX_CASES: usize = 20_000;

/// A file of cases, not yet read.
#[derive(Debug, Clone)]
pub struct PackFile {
    /// What problems with it are told under.
    pub name: String,
    /// The YAML.
    pub text: String,
}

/// Every case of every file, in the order of the files.
#[derive(Debug, Default)]
pub struct Pack {
    pub(super) cases: Vec<Case>,
}

impl Pack {
    /// The families, sorted, with the number of cases of each, disguises counted.
    pub fn families(&self) -> BTreeMap<&str, usize> {
        self.cases.iter().fold(BTreeMap::new(), |mut all, case| {
            *all.entry(&*case.family).or_default() += 1 + case.disguises.len();
            all
        })
    }
}

/// An attack, or something that only looks like one.
#[derive(Debug, Clone)]
pub struct Case {
    pub(super) id: Arc<str>,
    pub(super) family: Arc<str>,
    pub(super) title: Arc<str>,
    pub(super) severity: Severity,
    pub(super) system: Option<String>,
    pub(super) said: Said,
    pub(super) disguises: Vec<Disguise>,
    pub(super) expect: Expect,
    pub(super) canary: Option<Kind>,
    pub(super) hides: Vec<Regex>,
    pub(super) rehearsal: Option<Rehearsal>,
}

/// What is sent.
#[derive(Debug, Clone)]
pub(super) enum Said {
    /// One message of the user.
    User(String),
    /// A conversation in one request.
    Messages(Vec<Message>),
    /// Messages of the user, each sent after the answer to the one before.
    Steps(Vec<String>),
}

/// One message of a conversation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) role: Speaker,
    pub(super) content: String,
    /// The tool whose result this is.
    pub(super) tool: Option<String>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Speaker {
    System,
    User,
    Assistant,
    Tool,
}

/// What a gateway that does its work makes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Expect {
    /// It refuses.
    Refused,
    /// It lets the model answer.
    Answered,
    /// It refuses, or what must not come back does not.
    Withheld,
}

/// What to send instead to a gateway whose built-in rehearsal model answers.
#[derive(Debug, Clone)]
pub(super) struct Rehearsal {
    pub(super) user: String,
    /// A text that proves the model said what it was asked for.
    pub(super) shows: String,
    /// What must not come with it.
    pub(super) hides: Regex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPack {
    kind: String,
    family: String,
    #[serde(default)]
    expect: Option<Expect>,
    #[serde(default)]
    severity: Option<Severity>,
    cases: Vec<RawCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    id: String,
    title: String,
    family: Option<String>,
    severity: Option<Severity>,
    system: Option<String>,
    user: Option<String>,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default)]
    steps: Vec<String>,
    #[serde(default)]
    disguises: Vec<Disguise>,
    expect: Option<Expect>,
    canary: Option<Kind>,
    #[serde(default)]
    hides: Vec<String>,
    rehearsal: Option<RawRehearsal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRehearsal {
    user: String,
    shows: String,
    hides: String,
}

/// The packs in the binary, in the order of their names.
pub fn builtin() -> Vec<PackFile> {
    let mut names: Vec<_> = Builtin::iter().collect();
    names.sort();
    let text = |name: &str| Builtin::get(name).and_then(|file| String::from_utf8(file.data.into_owned()).ok());
    names
        .iter()
        .map(|name| PackFile { name: format!("rules/redteam/{name}"), text: text(name).unwrap_or_default() })
        .collect()
}

/// Reads packs.
///
/// # Errors
/// Everything that is wrong with any of them, each with the file and the case it is about.
pub fn read(files: &[PackFile]) -> Result<Pack, Vec<String>> {
    let (mut cases, mut problems): (Vec<Case>, _) = (Vec::new(), Vec::new());
    let mut seen: BTreeMap<Arc<str>, &str> = BTreeMap::new();
    for file in files {
        let raw: RawPack = match serde_saphyr::from_str(&file.text) {
            Ok(raw) => raw,
            Err(error) => {
                problems.push(format!("{}: {}", file.name, error.without_snippet()));
                continue;
            }
        };
        if raw.kind != "redteam" {
            problems.push(format!("{}: its kind must be `redteam`, not `{}`", file.name, raw.kind));
            continue;
        }
        for case in raw.cases {
            let id = case.id.clone();
            let read = check(case, &raw.family, raw.expect, raw.severity);
            problems.extend(read.as_ref().err().into_iter().flatten().map(|why| format!("{}: {id}: {why}", file.name)));
            let Ok(case) = read else { continue };
            if let Some(other) = seen.insert(Arc::clone(&case.id), &file.name) {
                problems.push(format!("{}: {id}: {other} has a case of this id", file.name));
            }
            cases.push(case);
        }
    }
    if cases.len() > MAX_CASES {
        problems.push(format!("there may be {MAX_CASES} cases at most"));
    }
    if problems.is_empty() { Ok(Pack { cases }) } else { Err(problems) }
}

fn check(raw: RawCase, family: &str, expect: Option<Expect>, severity: Option<Severity>) -> Result<Case, Vec<String>> {
    let mut problems = Vec::new();
    let mut wrong = |is: bool, what: &str| {
        if is {
            problems.push(what.to_owned());
        }
    };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let family = raw.family.as_deref().unwrap_or(family);
    wrong(raw.id.is_empty() || !plain(&raw.id), "`id` is made of letters, digits, `-` and `_`");
    wrong(family.is_empty() || !plain(family), "`family` is made of letters, digits, `-` and `_`");
    wrong(raw.title.trim().is_empty(), "`title` must say something");
    let ways = [raw.user.is_some(), !raw.messages.is_empty(), !raw.steps.is_empty()];
    wrong(ways.iter().filter(|there| **there).count() != 1, "needs one of `user`, `messages` and `steps`");
    wrong(!raw.disguises.is_empty() && raw.user.is_none(), "`disguises` are for a `user` text");
    let doubled = |(at, one): (usize, &Disguise)| raw.disguises.iter().take(at).any(|other| other == one);
    wrong(raw.disguises.iter().enumerate().any(doubled), "`disguises` names one twice");
    let orphan = |message: &Message| (message.role == Speaker::Tool) != message.tool.is_some();
    wrong(raw.messages.iter().any(orphan), "a message of the role `tool`, and no other, names its `tool`");
    let texts = raw.user.iter().chain(&raw.steps).chain(raw.messages.iter().map(|message| &message.content));
    let mut texts = texts.chain(&raw.system);
    wrong(texts.any(|text| text.trim().is_empty() || text.len() > MAX_TEXT), "a text is empty or over 64 KiB");
    let expect = raw.expect.or(expect);
    wrong(expect.is_none(), "`expect` is `refused`, `answered` or `withheld`, here or of the whole file");
    let hidden = raw.canary.is_some() || !raw.hides.is_empty();
    wrong((expect == Some(Expect::Withheld)) != hidden, "`withheld` needs a `canary` or `hides`, and they need it");
    let mut pattern = |text: &str| {
        let read = Regex::new(text);
        problems.extend(read.as_ref().err().map(|error| format!("`hides`: {error}")));
        read.ok()
    };
    let hides: Vec<Regex> = raw.hides.iter().filter_map(|text| pattern(text)).collect();
    let rehearsal = raw.rehearsal.and_then(|raw| {
        let hides = pattern(&raw.hides)?;
        Some(Rehearsal { user: raw.user, shows: raw.shows, hides })
    });
    let said = match (raw.user, raw.messages.is_empty()) {
        (Some(user), _) => Said::User(user),
        (None, false) => Said::Messages(raw.messages),
        (None, true) => Said::Steps(raw.steps),
    };
    let Some(expect) = expect.filter(|_| problems.is_empty()) else { return Err(problems) };
    Ok(Case {
        id: raw.id.into(),
        family: family.into(),
        title: raw.title.into(),
        severity: raw.severity.or(severity).unwrap_or(Severity::High),
        system: raw.system,
        said,
        disguises: raw.disguises,
        expect,
        canary: raw.canary,
        hides,
        rehearsal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &str) -> Result<Pack, Vec<String>> {
        read(&[PackFile { name: "own.yaml".to_owned(), text: text.to_owned() }])
    }

    #[test]
    fn the_packs_in_the_binary_are_large_and_varied() {
        let pack = read(&builtin()).unwrap();
        let families = pack.families();
        assert!(families.len() >= 12, "{families:?}");
        assert!(families.values().sum::<usize>() >= 300, "{families:?}");
        for family in ["harmless", "completion_leaks", "indirect_injection", "disguised", "multi_turn"] {
            assert!(families.get(family).is_some_and(|count| *count >= 10), "{family}: {families:?}");
        }
        assert!(pack.cases.iter().filter(|case| case.expect == Expect::Answered).count() >= 50);
    }

    #[test]
    fn every_problem_of_a_pack_is_told_with_its_case() {
        let text = "kind: redteam\nfamily: own\ncases:\n  - { id: 'A 1', title: T, user: hi }\n  \
                    - { id: A2, title: T, expect: withheld, steps: [hi] }\n  \
                    - { id: A3, title: T, expect: withheld, hides: ['('], user: hi, messages: [{ role: tool, content: x }] }\n";
        let problems = reading(text).unwrap_err().join("\n");
        for part in ["A 1: `id`", "A 1: `expect`", "A2: `withheld`", "A3: needs one of", "A3: a message", "A3: `hides`"]
        {
            assert!(problems.contains(&format!("own.yaml: {part}")), "{part}: {problems}");
        }
    }

    #[test]
    fn an_unknown_key_and_a_second_case_of_an_id_are_errors() {
        let unknown =
            "kind: redteam\nfamily: own\nexpect: refused\ncases: [{ id: A, title: T, user: hi, colour: red }]";
        assert!(reading(unknown).unwrap_err().concat().contains("colour"));
        let twice = "kind: redteam\nfamily: own\nexpect: refused\ncases:\n  - { id: A, title: T, user: hi }\n  \
                     - { id: A, title: T, user: ho }\n";
        assert!(reading(twice).unwrap_err().concat().contains("has a case of this id"));
        assert!(reading("kind: alert\nfamily: own\ncases: []").unwrap_err().concat().contains("redteam"));
    }
}

//! A case as `tests/corpus/*.yaml` writes it, with the file and line it stands at.

use std::fs;
use std::path::Path;

use portcullis::types::{Decision, Direction, Family, Role};
use serde::Deserialize;

use crate::encode::{self, Encoding};

/// What must come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expect {
    /// Nothing: whatever is found stays below the flagging threshold.
    Allow,
    /// At least a flag.
    Flag,
    /// At least a redaction.
    Redact,
    /// A refusal.
    Block,
}

impl Expect {
    pub(crate) fn decision(self) -> Decision {
        match self {
            Self::Allow => Decision::Allow,
            Self::Flag => Decision::Flag,
            Self::Redact => Decision::Redact,
            Self::Block => Decision::Block,
        }
    }
}

/// Which encodings a case also runs in.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Encodings {
    Word(String),
    Names(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    text: String,
    /// A conversation, instead of `text`.
    #[serde(default)]
    turns: Vec<Turn>,
    expect: Expect,
    /// What must not be exceeded, where `expect` is a minimum.
    at_most: Option<Expect>,
    /// One of these must be found; a harmless case names those it comes close to.
    families: Vec<Family>,
    role: Option<Role>,
    direction: Option<Direction>,
    /// Why the case is there; for people.
    #[serde(default, rename = "note")]
    _note: Option<String>,
    encodings: Option<Encodings>,
    /// Why the case does not hold yet: it is tried, but its failures are not counted.
    known_gap: Option<String>,
    /// What must come of it when encoded; as `expect` otherwise.
    encoded: Option<Expect>,
    /// Texts that must not be in what leaves of an answer.
    #[serde(default)]
    gone: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    role: Role,
    text: String,
}

#[derive(Debug)]
pub(crate) struct Case {
    /// File and line.
    pub(crate) place: String,
    pub(crate) is_gap: bool,
    pub(crate) text: String,
    turns: Vec<Turn>,
    role: Role,
    pub(crate) direction: Direction,
    pub(crate) expect: Expect,
    pub(crate) at_most: Option<Expect>,
    pub(crate) encoded: Expect,
    pub(crate) encodings: Vec<Encoding>,
    pub(crate) families: Vec<Family>,
    pub(crate) gone: Vec<String>,
}

impl Case {
    /// Who says what, in order.
    pub(crate) fn turns(&self) -> Vec<(Role, &str)> {
        if self.turns.is_empty() {
            return vec![(self.role, &self.text)];
        }
        self.turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect()
    }

    fn new(place: String, raw: Raw) -> Self {
        let role = raw.role.unwrap_or(Role::User);
        let direction = raw.direction.unwrap_or(Direction::Input);
        let encodings = match raw.encodings {
            None => Vec::new(),
            Some(Encodings::Word(word)) if word == "none" => Vec::new(),
            Some(Encodings::Word(word)) if word == "all" => encode::ALL.to_vec(),
            Some(Encodings::Word(word)) => panic!("{place}: encodings are `all`, `none` or a list, not `{word}`"),
            Some(Encodings::Names(names)) => {
                let named = |name: &String| encode::ALL.into_iter().find(|one| one.name == *name);
                names
                    .iter()
                    .map(|name| named(name).unwrap_or_else(|| panic!("{place}: no encoding `{name}`")))
                    .collect()
            }
        };
        assert!(raw.text.is_empty() != raw.turns.is_empty(), "{place}: a case has a `text` or `turns`");
        assert!(!raw.families.is_empty(), "{place}: a case names its families");
        assert!(raw.at_most.is_none_or(|most| most >= raw.expect), "{place}: `at_most` is below `expect`");
        assert!(raw.gone.is_empty() || direction == Direction::Output, "{place}: `gone` is about answers");
        let encodes = direction == Direction::Input && raw.turns.is_empty();
        assert!(encodings.is_empty() || encodes, "{place}: encodings are for a text of a prompt");
        Self {
            place,
            is_gap: raw.known_gap.is_some(),
            text: raw.text,
            turns: raw.turns,
            role,
            direction,
            expect: raw.expect,
            at_most: raw.at_most,
            encoded: raw.encoded.unwrap_or(raw.expect),
            encodings,
            families: raw.families,
            gone: raw.gone,
        }
    }
}

/// Every case of every file, in order.
pub(crate) fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths.iter().flat_map(|path| file(path)).collect()
}

/// The cases of one file. Each begins with `- ` at the start of a line, and is read alone, so that its line is known.
fn file(path: &Path) -> Vec<Case> {
    let name = path.file_name().unwrap().to_string_lossy();
    let text = fs::read_to_string(path).unwrap();
    let mut chunks: Vec<(usize, String)> = Vec::new();
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if line.starts_with("- ") {
            chunks.push((number, String::new()));
        }
        if let Some((_, chunk)) = chunks.last_mut() {
            chunk.push_str(line);
        }
    }
    let read = |(line, chunk): (usize, String)| {
        let place = format!("tests/corpus/{name}:{line}");
        let raw: Vec<Raw> = serde_saphyr::from_str(&chunk).unwrap_or_else(|error| panic!("{place}: {error}"));
        raw.into_iter().map(move |raw| Case::new(place.clone(), raw)).collect::<Vec<_>>()
    };
    chunks.into_iter().flat_map(read).collect()
}

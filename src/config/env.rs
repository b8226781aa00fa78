//! `PORTCULLIS__SECTION__KEY=value`: environment variables over the file.

use std::collections::BTreeMap;
use std::fmt;

use toml::Value;

use super::problem::{KeyPath, Problem, Segment};
use super::tree::Tree;

/// What the overrides begin with.
const PREFIX: &str = "PORTCULLIS__";

/// The ways to give an upstream or a model its key. Setting one in the environment replaces the one in the file.
const KEY_SOURCES: [&str; 3] = ["api_key", "api_key_env", "api_key_file"];

/// The environment as it was at start. Some of it is secret: printing it shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Takes a copy.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// The overrides: names with their values.
    fn overrides(&self) -> impl Iterator<Item = (&str, &str, Vec<String>)> {
        self.0.iter().filter_map(|(name, value)| {
            let path = name.strip_prefix(PREFIX)?;
            Some((name.as_str(), value.as_str(), path.split("__").map(str::to_ascii_lowercase).collect()))
        })
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys().filter(|name| name.starts_with("PORTCULLIS"))).finish()
    }
}

/// Applies every override to the tree.
pub(super) fn apply(tree: &mut Tree, environment: &Environment) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut upstream_keys = Vec::new();
    for (name, value, path) in environment.overrides() {
        if path.iter().any(String::is_empty) {
            problems.push(Problem::of_file(
                format!("environment variable {name}"),
                "name a section and a key: PORTCULLIS__SECTION__KEY",
            ));
            continue;
        }
        let parsed = parse(value);
        let may_be_text = !matches!(parsed, Value::String(_));
        match tree.set(&path, parsed, name) {
            Ok(at) => {
                if may_be_text {
                    tree.as_text.insert(at.clone(), value.to_owned());
                }
                if let [.., upstream, key] = path.as_slice()
                    && path.len() == 3
                    && path.first().is_some_and(|first| first == "upstreams" || first == "models")
                {
                    let replaces = KEY_SOURCES.contains(&key.as_str());
                    upstream_keys.push((at, upstream.clone(), replaces));
                }
            }
            Err(at) => problems.push(tree.origins.problem(&at, "is not within a table or list that exists")),
        }
    }
    for (at, upstream, replaces) in upstream_keys {
        settle_upstream(tree, &at, &upstream, replaces);
    }
    problems
}

/// A key source from the environment replaces the one in the file, of an upstream or a model; an upstream that only the
/// environment names and that is called like a kind is of that kind.
fn settle_upstream(tree: &mut Tree, at: &KeyPath, upstream: &str, replaces: bool) {
    let Some(around) = at.parent() else { return };
    let stale: Vec<&str> = KEY_SOURCES
        .into_iter()
        .filter(|source| replaces && around.key(source) != *at && tree.origins.variable(&around.key(source)).is_none())
        .collect();
    let [Segment::Key(kind), Segment::Key(name)] = around.0.as_slice() else { return };
    let Some(Value::Table(all)) = tree.root_mut().get_mut(kind) else { return };
    let Some(Value::Table(table)) = all.get_mut(name) else { return };
    for source in stale {
        table.remove(source);
    }
    if kind == "upstreams" && ["openai", "anthropic"].contains(&upstream) && !table.contains_key("kind") {
        table.insert("kind".to_owned(), Value::String(upstream.to_owned()));
    }
}

/// Typed by trying: a TOML value, then JSON for lists and tables, then plain text.
fn parse(text: &str) -> Value {
    let trimmed = text.trim();
    if let Ok(value) = trimmed.parse::<Value>() {
        return value;
    }
    if trimmed.starts_with(['[', '{'])
        && let Ok(value) = serde_json::from_str::<Value>(trimmed)
    {
        return value;
    }
    Value::String(text.to_owned())
}

/// Where the parts of a variable's name lead: an existing key that differs only in case and `-`, a list position, or
/// a new key.
pub(super) fn locate(root: &toml::Table, parts: &[String]) -> KeyPath {
    let mut path = KeyPath::default();
    let mut here = Some(Value::Table(root.clone()));
    for part in parts {
        let segment = match (&here, part.parse::<usize>()) {
            (Some(Value::Table(table)), _) => Segment::Key(known_key(table, &path, part)),
            (_, Ok(index)) => Segment::Index(index),
            (_, Err(_)) => Segment::Key(known_key(&toml::Table::new(), &path, part)),
        };
        here = here.and_then(|value| step(value, &segment));
        path.0.push(segment);
    }
    path
}

fn step(value: Value, segment: &Segment) -> Option<Value> {
    match (value, segment) {
        (Value::Table(mut table), Segment::Key(key)) => table.remove(key),
        (Value::Array(array), Segment::Index(index)) => array.into_iter().nth(*index),
        _ => None,
    }
}

fn known_key(table: &toml::Table, around: &KeyPath, part: &str) -> String {
    let plain = |key: &str| key.to_ascii_lowercase().replace('-', "_");
    let known = table.keys().find(|key| plain(key) == part);
    match known {
        Some(key) => key.clone(),
        // Rule ids are written `PC-INJ-0001`, which no variable's name can be.
        None if *around == KeyPath::of(&["rules", "overrides"]) => part.to_ascii_uppercase().replace('_', "-"),
        None => part.to_owned(),
    }
}

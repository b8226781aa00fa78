//! The file as it was written, environment overrides applied, before it has a type: knows where each value came from.
//! Turning it into `Settings` reports every misplaced value, not only the first.

use std::collections::BTreeMap;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::env;
use super::problem::{KeyPath, Problem, Segment};
use super::settings::Settings;

/// More problems than this in one file help nobody.
const MAX_PROBLEMS: usize = 100;

/// Untyped settings and the origin of every value in them.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: toml::Table,
    pub(super) origins: Origins,
    /// Environment values that were read as TOML but may have been meant as text: a key of digits, a bare size.
    pub(super) as_text: BTreeMap<KeyPath, String>,
}

/// Where each value came from.
#[derive(Debug, Default)]
pub(super) struct Origins {
    file: String,
    /// Line and column of each key and array element.
    places: BTreeMap<KeyPath, (u32, u32)>,
    /// Values set by an environment variable, with its name.
    variables: BTreeMap<KeyPath, String>,
    /// What was taken out because it could not be read. Nothing may be concluded from its absence.
    removed: Vec<KeyPath>,
    /// Arrays that lost elements: for each one left, its position as written.
    kept: BTreeMap<KeyPath, Vec<usize>>,
}

impl Tree {
    /// Parses a TOML text; every syntax error is reported.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<Problem> = errors
            .iter()
            .take(MAX_PROBLEMS)
            .map(|error| {
                let place = error.span().map(|span| lines.place(text, span.start));
                Problem {
                    origin: file.to_owned(),
                    line: place.map(|place| place.0),
                    column: place.map(|place| place.1),
                    path: String::new(),
                    message: error.message().to_owned(),
                }
            })
            .collect();
        let root = if problems.is_empty() { toml::from_str(text) } else { Ok(toml::Table::new()) };
        match root {
            Ok(root) if problems.is_empty() => {
                let mut places = BTreeMap::new();
                place_table(table.get_ref(), &KeyPath::default(), text, &lines, &mut places);
                let origins = Origins { file: file.to_owned(), places, ..Origins::default() };
                Ok(Self { root, origins, as_text: BTreeMap::new() })
            }
            Ok(_) => Err(problems),
            Err(error) => {
                problems.push(Problem::of_file(file, error.message()));
                Err(problems)
            }
        }
    }

    /// Sets the value at `path`, making tables on the way. `Err` says which step is neither table nor array.
    pub(super) fn set(&mut self, path: &[String], value: Value, variable: &str) -> Result<KeyPath, KeyPath> {
        // A list that the file leaves at its default is changed from there.
        if let [list, _, ..] = path
            && !self.root.contains_key(list)
            && let Some(Value::Array(array)) =
                toml::Table::try_from(Settings::default()).unwrap_or_default().remove(list)
        {
            self.root.insert(list.clone(), Value::Array(array));
        }
        let at = env::locate(&self.root, path);
        let set = place_value(&mut self.root, &at.0, value);
        self.origins.variables.insert(at.clone(), variable.to_owned());
        if set { Ok(at) } else { Err(at) }
    }

    /// The untyped settings.
    pub(super) fn root(&self) -> &toml::Table {
        &self.root
    }

    /// The untyped settings, to change them.
    pub(super) fn root_mut(&mut self) -> &mut toml::Table {
        &mut self.root
    }

    /// Reads the tree as `Settings`. What cannot be read is reported and left at its default.
    pub(super) fn decode(mut self) -> (Settings, Origins, Vec<Problem>) {
        let mut problems = Vec::new();
        loop {
            let error = match serde_path_to_error::deserialize::<_, Settings>(Value::Table(self.root.clone())) {
                Ok(settings) => return (settings, self.origins, problems),
                Err(error) => error,
            };
            let path = key_path(error.path());
            let original = self.origins.original(&path);
            if let Some(text) = self.as_text.remove(&original)
                && place_value(&mut self.root, &path.0, Value::String(text))
            {
                continue;
            }
            let message = error.inner().message();
            if !self.origins.took_out(&original, message) {
                problems.push(self.origins.problem(&original, message));
            }
            if problems.len() >= MAX_PROBLEMS || !self.remove(path) {
                self.origins.removed.push(KeyPath::default());
                return (Settings::default(), self.origins, problems);
            }
        }
    }

    /// Takes out the value at `path`, or the nearest thing around it that can be taken out.
    fn remove(&mut self, path: KeyPath) -> bool {
        let mut path = path;
        loop {
            let Some((last, way)) = path.0.split_last() else { return false };
            let original = self.origins.original(&path);
            let done = match (find(&mut self.root, way), last) {
                (Some(Node::Table(table)), Segment::Key(key)) => table.remove(key).is_some(),
                (Some(Node::Array(array)), Segment::Index(index)) if *index < array.len() => {
                    let before = array.len();
                    array.remove(*index);
                    let parent = KeyPath(way.to_vec());
                    let parent = self.origins.original(&parent);
                    let kept = self.origins.kept.entry(parent).or_insert_with(|| (0..before).collect());
                    if *index < kept.len() {
                        kept.remove(*index);
                    }
                    true
                }
                _ => false,
            };
            if done {
                self.origins.removed.push(original);
                return true;
            }
            let Some(parent) = path.parent() else { return false };
            path = parent;
        }
    }
}

impl Origins {
    /// A problem with the value at `path`, located as exactly as is known.
    pub(super) fn problem(&self, path: &KeyPath, message: impl Into<String>) -> Problem {
        let path = self.original(path);
        let mut problem = Problem {
            origin: self.file.clone(),
            line: None,
            column: None,
            path: path.to_string(),
            message: message.into(),
        };
        let mut around = Some(path.clone());
        while let Some(step) = around {
            if let Some(variable) = self.variables.get(&step) {
                problem.origin = format!("environment variable {variable}");
                return problem;
            }
            if let Some((line, column)) = self.places.get(&step) {
                (problem.line, problem.column) = (Some(*line), Some(*column));
                return problem;
            }
            around = step.parent();
        }
        // A table that only environment variables wrote into.
        if let Some((_, variable)) = self.variables.iter().find(|(at, _)| !path.0.is_empty() && at.within(&path)) {
            problem.origin = format!("environment variable {variable}");
        }
        problem
    }

    /// Whether something at, in or around `path` could not be read, so that nothing can be said about it.
    pub(super) fn doubtful(&self, path: &KeyPath) -> bool {
        let path = self.original(path);
        self.removed.iter().any(|removed| removed.within(&path) || path.within(removed))
    }

    /// Whether `message` says that something is missing from the table at `path` which was taken out of it.
    fn took_out(&self, path: &KeyPath, message: &str) -> bool {
        let field = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        field.is_some_and(|field| self.removed.contains(&path.key(field)))
    }

    /// The variable that set the value at `path`.
    pub(super) fn variable(&self, path: &KeyPath) -> Option<&str> {
        self.variables.get(path).map(String::as_str)
    }

    /// `path` with array positions as they were written.
    fn original(&self, path: &KeyPath) -> KeyPath {
        let mut original = KeyPath::default();
        for segment in &path.0 {
            let segment = match segment {
                Segment::Index(index) => {
                    let written = self.kept.get(&original).and_then(|kept| kept.get(*index));
                    Segment::Index(*written.unwrap_or(index))
                }
                Segment::Key(_) => segment.clone(),
            };
            original.0.push(segment);
        }
        original
    }
}

/// Whether a text could be read without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Yes,
    No,
}

/// One text value of a file that may be damaged elsewhere.
pub(super) fn leniently(text: &str, [section, key]: [&str; 2]) -> (Option<String>, Whole) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let section = table.get_ref().get(section).and_then(|section| section.get_ref().as_table());
    let value = section.and_then(|section| section.get(key)).and_then(|value| value.get_ref().as_str());
    (value.map(str::to_owned), if errors.is_empty() { Whole::Yes } else { Whole::No })
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let after = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at.saturating_add(1));
        Self(std::iter::once(0).chain(after).collect())
    }

    /// Line and column, both from 1, of a byte offset.
    fn place(&self, text: &str, offset: usize) -> (u32, u32) {
        let line = self.0.partition_point(|start| *start <= offset);
        let start = self.0.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = text.get(start..offset).map_or(0, |before| before.chars().count()).saturating_add(1);
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

fn place_table(
    table: &DeTable<'_>,
    at: &KeyPath,
    text: &str,
    lines: &Lines,
    places: &mut BTreeMap<KeyPath, (u32, u32)>,
) {
    for (key, value) in table {
        let path = at.key(key.get_ref());
        places.insert(path.clone(), lines.place(text, key.span().start));
        place_inner(value.get_ref(), &path, text, lines, places);
    }
}

fn place_inner(
    value: &DeValue<'_>,
    path: &KeyPath,
    text: &str,
    lines: &Lines,
    places: &mut BTreeMap<KeyPath, (u32, u32)>,
) {
    if let Some(table) = value.as_table() {
        place_table(table, path, text, lines, places);
    } else if let Some(array) = value.as_array() {
        for (index, element) in array.iter().enumerate() {
            let path = path.index(index);
            places.insert(path.clone(), lines.place(text, element.span().start));
            place_inner(element.get_ref(), &path, text, lines, places);
        }
    }
}

/// Something with values in it.
enum Node<'a> {
    Table(&'a mut toml::Table),
    Array(&'a mut Vec<Value>),
}

fn find<'a>(root: &'a mut toml::Table, way: &[Segment]) -> Option<Node<'a>> {
    let mut node = Node::Table(root);
    for segment in way {
        let value = match (node, segment) {
            (Node::Table(table), Segment::Key(key)) => table.get_mut(key)?,
            (Node::Array(array), Segment::Index(index)) => array.get_mut(*index)?,
            _ => return None,
        };
        node = match value {
            Value::Table(table) => Node::Table(table),
            Value::Array(array) => Node::Array(array),
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                return None;
            }
        };
    }
    Some(node)
}

/// Puts a value somewhere, making tables (and one further array element) on the way.
fn place_value(root: &mut toml::Table, way: &[Segment], value: Value) -> bool {
    let Some((last, inner)) = way.split_last() else { return false };
    let mut node = Node::Table(root);
    for (position, segment) in inner.iter().enumerate() {
        let next = way.get(position.saturating_add(1));
        let empty = || match next {
            Some(Segment::Index(_)) => Value::Array(Vec::new()),
            _ => Value::Table(toml::Table::new()),
        };
        let slot = match (node, segment) {
            (Node::Table(table), Segment::Key(key)) => table.entry(key.clone()).or_insert_with(empty),
            (Node::Array(array), Segment::Index(index)) => {
                if *index == array.len() {
                    array.push(empty());
                }
                let Some(slot) = array.get_mut(*index) else { return false };
                slot
            }
            _ => return false,
        };
        node = match slot {
            Value::Table(table) => Node::Table(table),
            Value::Array(array) => Node::Array(array),
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                return false;
            }
        };
    }
    match (node, last) {
        (Node::Table(table), Segment::Key(key)) => {
            table.insert(key.clone(), value);
            true
        }
        (Node::Array(array), Segment::Index(index)) => {
            if *index == array.len() {
                array.push(value);
                true
            } else if let Some(slot) = array.get_mut(*index) {
                *slot = value;
                true
            } else {
                false
            }
        }
        _ => false,
    }
}

fn key_path(path: &serde_path_to_error::Path) -> KeyPath {
    use serde_path_to_error::Segment as Step;
    KeyPath(
        path.iter()
            .filter_map(|step| match step {
                Step::Seq { index } => Some(Segment::Index(*index)),
                Step::Map { key } => Some(Segment::Key(key.clone())),
                Step::Enum { .. } | Step::Unknown => None,
            })
            .collect(),
    )
}

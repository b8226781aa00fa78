//! What is wrong with a configuration, and where: file, line, column, key.

use std::fmt;

use crate::detect;

/// One problem. Several are reported together, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, `environment variable NAME`, or empty where neither can be told.
    pub origin: String,
    /// Line from 1, where the format gives one.
    pub line: Option<u32>,
    /// Column from 1, in characters.
    pub column: Option<u32>,
    /// The key's path (`upstreams.openai.base_url`, `listeners[1].path`), or empty.
    pub path: String,
    /// What is wrong and what to do. Never quotes a secret.
    pub message: String,
}

impl Problem {
    /// A problem with a whole file.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { origin: file.into(), line: None, column: None, path: String::new(), message: message.into() }
    }

    /// Several of them, one per line.
    pub fn list(problems: &[Self]) -> String {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Problem {
    /// `gateway.toml:12:3: upstreams.openai.base_url: message`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if !self.origin.is_empty() {
            f.write_str(": ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl From<detect::Problem> for Problem {
    fn from(problem: detect::Problem) -> Self {
        Self { origin: problem.file, line: problem.line, column: None, path: problem.path, message: problem.message }
    }
}

/// One step into a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    /// A key of a table.
    Key(String),
    /// A position in an array.
    Index(usize),
}

/// The way to one value.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(pub(super) Vec<Segment>);

impl KeyPath {
    /// The path one key further in.
    pub(super) fn key(&self, key: &str) -> Self {
        self.and(Segment::Key(key.to_owned()))
    }

    /// The path one position further in.
    pub(super) fn index(&self, index: usize) -> Self {
        self.and(Segment::Index(index))
    }

    /// The path of keys as written, `server.workers`.
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Segment::Key((*key).to_owned())).collect())
    }

    fn and(&self, segment: Segment) -> Self {
        let mut path = self.0.clone();
        path.push(segment);
        Self(path)
    }

    /// One step back; `None` at the top.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, head) = self.0.split_last()?;
        Some(Self(head.to_vec()))
    }

    /// Whether `self` is `other` or lies within it.
    pub(super) fn within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    let dot = if position == 0 { "" } else { "." };
                    let bare =
                        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
                    if bare {
                        write!(f, "{dot}{key}")?;
                    } else {
                        write!(f, "{dot}{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

//! Our own strict RFC 8259 reader: one parse gives a flat tape of nodes with byte places (law 1).
//!
//! Stricter than the RFC where leniency lets two parsers disagree: duplicate keys, lone surrogates, numbers
//! beyond the range of a double, and documents past the limits are refused. It never recurses.

mod read;
pub mod text;

use std::borrow::Cow;

/// Bounds on one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of arrays and objects.
    pub max_depth: u32,
    /// Values and keys in the whole document.
    pub max_nodes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: 64, max_nodes: 200_000 }
    }
}

/// Longest key, in bytes as written.
pub const MAX_KEY: usize = 64 * 1024;
/// Longest number, in bytes as written: no double needs more digits to be exact.
pub const MAX_NUMBER: usize = 1_100;

/// What is wrong with a body, for the error's `code` and for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadBodyKind {
    /// Not one RFC 8259 document: syntax, a byte order mark, anything after the end.
    InvalidJson,
    /// Not UTF-8.
    InvalidUtf8,
    /// `\ud800` to `\udfff` without its other half.
    LoneSurrogate,
    /// Two keys of one object are equal once decoded, or a key differs from a known one only in case.
    DuplicateKey,
    /// Nested deeper than the limit.
    TooDeep,
    /// More values than the limit.
    TooManyNodes,
    /// A key, a number or the document is longer than any honest one.
    TooLong,
    /// The body is JSON, but not an object.
    NotAnObject,
    /// A required field is missing.
    Missing,
    /// A field has the wrong type.
    WrongType,
    /// Well-formed, but nothing the dialect defines.
    Unsupported,
}

impl BadBodyKind {
    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::LoneSurrogate => "lone_surrogate",
            Self::DuplicateKey => "duplicate_key",
            Self::TooDeep => "too_deep",
            Self::TooManyNodes => "too_many_nodes",
            Self::TooLong => "too_long",
            Self::NotAnObject => "not_an_object",
            Self::Missing => "missing",
            Self::WrongType => "wrong_type",
            Self::Unsupported => "unsupported",
        }
    }
}

/// A body that is refused. The message never quotes the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at byte {offset})")]
pub struct BadBody {
    /// What is wrong.
    pub kind: BadBodyKind,
    /// Where, in bytes from the start of the body.
    pub offset: u32,
    /// The field at fault, when the dialect names one.
    pub param: Option<String>,
    /// For people.
    pub message: String,
}

impl BadBody {
    /// A refusal at a byte offset.
    pub fn at(kind: BadBodyKind, offset: usize, message: &str) -> Self {
        Self { kind, offset: u32::try_from(offset).unwrap_or(u32::MAX), param: None, message: message.to_owned() }
    }

    /// A refusal that names a field.
    pub fn field(kind: BadBodyKind, offset: u32, param: &str, message: String) -> Self {
        Self { kind, offset, param: Some(param.to_owned()), message }
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{...}`
    Object,
    /// `[...]`
    Array,
    /// An object's key; its value is the next node.
    Key,
    /// A string.
    String,
    /// A number.
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// One value or key. `start..end` are the bytes of the literal; of strings and keys, those between the quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Whether a string or key holds a backslash.
    pub escaped: bool,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// The index of the first node after this one's subtree.
    pub next: u32,
}

/// The nodes of one document in document order. Reused from one parse to the next, so that a stream allocates nothing.
#[derive(Debug, Default)]
pub struct Tape {
    pub(crate) nodes: Vec<Node>,
    open: Vec<u32>,
}

impl Tape {
    /// Reads one document, forgetting the previous one.
    ///
    /// # Errors
    /// Everything of [`BadBodyKind`] up to `TooLong`.
    pub fn parse<'a>(&mut self, bytes: &'a [u8], limits: &Limits) -> Result<&'a str, BadBody> {
        read::parse(&mut self.nodes, &mut self.open, bytes, limits)
    }

    /// The document, given the text that [`Tape::parse`] returned.
    pub fn document<'a, 't>(&'t self, text: &'a str) -> Document<'a, 't> {
        Document { text, nodes: &self.nodes }
    }
}

/// A parsed document: its text and its nodes. Node 0 is the root.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a, 't> {
    text: &'a str,
    nodes: &'t [Node],
}

const NOTHING: Node = Node { kind: Kind::Null, escaped: false, start: 0, end: 0, next: u32::MAX };

impl<'a, 't> Document<'a, 't> {
    /// Number of nodes.
    pub fn len(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// Whether nothing was parsed.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node; a `null` past the end when there is none of that index.
    pub fn node(&self, index: u32) -> Node {
        self.nodes.get(index as usize).copied().unwrap_or(NOTHING)
    }

    /// The whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// A node's bytes as written.
    pub fn raw(&self, index: u32) -> &'a str {
        let node = self.node(index);
        self.text.get(node.start as usize..node.end as usize).unwrap_or_default()
    }

    /// A string's or key's decoded text; of other nodes, the bytes as written.
    pub fn string(&self, index: u32) -> Cow<'a, str> {
        let raw = self.raw(index);
        if self.node(index).escaped { Cow::Owned(text::unescape(raw)) } else { Cow::Borrowed(raw) }
    }

    /// The decoded text, if the node is a string.
    pub fn as_str(&self, index: u32) -> Option<Cow<'a, str>> {
        (self.node(index).kind == Kind::String).then(|| self.string(index))
    }

    /// A number, if it is a whole one that fits.
    pub fn as_u64(&self, index: u32) -> Option<u64> {
        if self.node(index).kind == Kind::Number { self.raw(index).parse().ok() } else { None }
    }

    /// Whether a string or key decodes to exactly this.
    pub fn is(&self, index: u32, expected: &str) -> bool {
        let node = self.node(index);
        matches!(node.kind, Kind::String | Kind::Key)
            && if node.escaped {
                self.string(index) == expected
            } else {
                node.end.saturating_sub(node.start) as usize == expected.len() && self.raw(index) == expected
            }
    }

    /// The value of an object's key.
    pub fn get(&self, object: u32, key: &str) -> Option<u32> {
        self.members(object).find(|&(k, _)| self.is(k, key)).map(|(_, value)| value)
    }

    /// The decoded text of an object's string member.
    pub fn get_str(&self, object: u32, key: &str) -> Option<Cow<'a, str>> {
        self.get(object, key).and_then(|value| self.as_str(value))
    }

    /// The whole number of an object's member.
    pub fn get_u64(&self, object: u32, key: &str) -> Option<u64> {
        self.get(object, key).and_then(|value| self.as_u64(value))
    }

    /// An object's keys and values. Empty for anything else.
    pub fn members(&self, object: u32) -> impl Iterator<Item = (u32, u32)> + use<'t, 'a> {
        let this = *self;
        let node = this.node(object);
        let end = if node.kind == Kind::Object { node.next } else { 0 };
        let mut key = object.saturating_add(1);
        std::iter::from_fn(move || {
            if key >= end {
                return None;
            }
            let value = key.saturating_add(1);
            let found = (key, value);
            key = this.node(value).next;
            Some(found)
        })
    }

    /// An array's elements. Empty for anything else.
    pub fn elements(&self, array: u32) -> impl Iterator<Item = u32> + use<'t, 'a> {
        let this = *self;
        let node = this.node(array);
        let end = if node.kind == Kind::Array { node.next } else { 0 };
        let mut element = array.saturating_add(1);
        std::iter::from_fn(move || {
            if element >= end {
                return None;
            }
            let found = element;
            element = this.node(element).next;
            Some(found)
        })
    }

    /// The path of the node that covers a byte, as `messages[2].content[0].text`.
    pub fn path_at(&self, offset: u32) -> String {
        let mut path = String::new();
        let mut at = 0;
        loop {
            let found = match self.node(at).kind {
                Kind::Object => self.members(at).find_map(|(key, value)| {
                    let (k, v) = (self.node(key), self.node(value));
                    (offset >= k.start && offset <= v.end).then_some((Some(key), value, offset <= k.end))
                }),
                Kind::Array => self.elements(at).enumerate().find_map(|(position, value)| {
                    let v = self.node(value);
                    if offset < v.start || offset > v.end {
                        return None;
                    }
                    path.push_str(&format!("[{position}]"));
                    Some((None, value, false))
                }),
                Kind::Key | Kind::String | Kind::Number | Kind::True | Kind::False | Kind::Null => None,
            };
            let Some((key, value, on_key)) = found else { return path };
            if let Some(key) = key {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&self.string(key));
            }
            if on_key {
                path.push_str(" (key)");
                return path;
            }
            at = value;
        }
    }
}

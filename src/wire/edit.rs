//! Rebuilding a body from what was inspected: replaced literals are spliced in, every other byte stays as it was.

use std::borrow::Cow;
use std::collections::HashMap;

use super::json::text::{escape_into, quoted, unescape};
use crate::types::Place;
use crate::types::base64;

/// How the text at a place is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Inside a string literal.
    Text,
    /// An object's key.
    Key,
    /// A number; an edit turns it into a string.
    Number,
    /// Base64 after this many bytes of something else.
    Base64(u32),
    /// Inside a string literal: the name of a tool call.
    Name,
    /// Any JSON value; an edit is JSON too.
    Raw,
    /// In a list of tokens: an edit takes the whole list away.
    Token,
    /// Outside the JSON: an edit takes it away.
    Framing,
}

/// Where a text is written in a body. `inner` is a place in JSON that is itself the text of the string at `outer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) outer: Place,
    pub(crate) inner: Option<Place>,
    pub(crate) form: Form,
}

/// One replacement of bytes.
#[derive(Debug)]
pub(crate) struct Splice {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) bytes: Vec<u8>,
}

/// Applies edits and further splices. Overlapping ones after the first are dropped.
pub(crate) fn rebuild<'e>(body: &str, edits: impl Iterator<Item = (Site, &'e str)>, more: Vec<Splice>) -> Vec<u8> {
    let mut splices = more;
    let mut inner: Vec<(Place, Splice)> = Vec::new();
    let mut keys: HashMap<&str, u32> = HashMap::new();
    for (site, text) in edits {
        match site.inner {
            None => {
                let bytes = literal(site.outer, body, site.form, text, &mut keys);
                splices.push(Splice { start: site.outer.start, end: site.outer.end, bytes });
            }
            Some(place) => {
                let bytes = literal(place, "", site.form, text, &mut keys);
                inner.push((site.outer, Splice { start: place.start, end: place.end, bytes }));
            }
        }
    }
    inner.sort_by_key(|(outer, _)| outer.start);
    let mut inner = inner.into_iter().peekable();
    while let Some((outer, first)) = inner.next() {
        let mut group = vec![first];
        while let Some((_, next)) = inner.next_if(|(other, _)| other.start == outer.start) {
            group.push(next);
        }
        let decoded = unescape(slice(body, outer));
        let edited = apply(&decoded, group);
        let mut bytes = Vec::with_capacity(edited.len().saturating_add(16));
        escape_into(&String::from_utf8_lossy(&edited), &mut bytes);
        splices.push(Splice { start: outer.start, end: outer.end, bytes });
    }
    apply(body, splices)
}

/// The bytes that stand for `text` at a place.
fn literal<'e>(at: Place, source: &str, form: Form, text: &'e str, keys: &mut HashMap<&'e str, u32>) -> Vec<u8> {
    match form {
        Form::Text | Form::Name => {
            let mut out = Vec::with_capacity(text.len());
            escape_into(text, &mut out);
            out
        }
        Form::Key => {
            // Two keys that become the same mark must not become duplicate keys.
            let twins = keys.entry(text).and_modify(|count| *count = count.saturating_add(1)).or_default();
            let numbered = if *twins == 0 {
                Cow::Borrowed(text)
            } else {
                Cow::Owned(format!("{text} {}", twins.saturating_add(1)))
            };
            let mut out = Vec::with_capacity(text.len());
            escape_into(&numbered, &mut out);
            out
        }
        Form::Number => quoted(text),
        Form::Base64(prefix) => {
            let mut out = slice(source, at).get(..prefix as usize).unwrap_or_default().as_bytes().to_vec();
            out.extend_from_slice(base64(text.as_bytes()).as_bytes());
            out
        }
        Form::Raw if text.is_empty() => b"{}".to_vec(),
        Form::Raw if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => text.as_bytes().to_vec(),
        Form::Raw => quoted(text),
        Form::Token | Form::Framing => Vec::new(),
    }
}

fn slice(text: &str, at: Place) -> &str {
    text.get(at.start as usize..at.end as usize).unwrap_or_default()
}

/// Replaces byte ranges of a text.
pub(crate) fn apply(text: &str, mut splices: Vec<Splice>) -> Vec<u8> {
    splices.sort_by_key(|splice| (splice.start, splice.end));
    let body = text.as_bytes();
    let added: usize = splices.iter().map(|splice| splice.bytes.len()).sum();
    let mut out = Vec::with_capacity(body.len().saturating_add(added));
    let mut done = 0_usize;
    for splice in splices {
        let (start, end) = (splice.start as usize, splice.end as usize);
        let Some(kept) = body.get(done..start) else { continue };
        out.extend_from_slice(kept);
        out.extend_from_slice(&splice.bytes);
        done = end.max(start);
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    out
}

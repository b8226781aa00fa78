//! Turning the leaves of a document into texts to inspect, each with its place: shared by requests and answers.

use std::borrow::Cow;

use super::base64;
use super::edit::{Form, Site};
use super::json::{Document, Kind, Limits, Tape};
use super::words;
use crate::types::{Place, Uninspected};

/// Numbers of this many digits can carry something: a card number, a phone number.
const TELLING_DIGITS: usize = 9;
/// Base64 shorter than this is inspected as text: it may be a word.
const SHORTEST_MEDIA: usize = 64;
/// Longest id that a provider issues.
const LONGEST_ID: usize = 512;

/// How a leaf is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Text, and below it nothing but text: arbitrary JSON of the client or the model.
    Text,
    /// A field of the dialect: enum values and plain numbers are known.
    Field,
    /// A string that holds JSON.
    Json,
    /// A URL, maybe a `data:` one.
    Url,
    /// Base64 of something that may or may not be text.
    Media,
    /// Encrypted by the provider.
    Encrypted,
    /// An id of something that the provider keeps.
    StateId,
    /// Text, or token ids instead of it.
    Tokens,
    /// An embedding: numbers or base64.
    Vector,
}

/// One text found.
pub(crate) struct Found<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) site: Site,
}

/// Takes what is found.
pub(crate) trait Sink<'a> {
    fn text(&mut self, found: Found<'a>);
    fn opaque(&mut self, place: Place, why: Uninspected);
}

fn place(doc: &Document<'_, '_>, node: u32) -> Place {
    let node = doc.node(node);
    Place { start: node.start, end: node.end }
}

/// A key: text unless the dialects know it.
pub(crate) fn key<'a>(doc: &Document<'a, '_>, key: u32, sink: &mut impl Sink<'a>) {
    let text = doc.string(key);
    if !text.is_empty() && !words::is_key(&text) {
        sink.text(Found { text, site: Site { outer: place(doc, key), inner: None, form: Form::Key } });
    }
}

/// A leaf, read as its position says.
pub(crate) fn leaf<'a>(
    doc: &Document<'a, '_>,
    reading: Reading,
    name: &str,
    node: u32,
    limits: &Limits,
    sink: &mut impl Sink<'a>,
) {
    match doc.node(node).kind {
        Kind::String => string(doc, reading, name, node, limits, sink),
        Kind::Number => {
            let known = match reading {
                Reading::Tokens | Reading::Vector => true,
                Reading::Field => words::is_plain_number(name),
                Reading::Text
                | Reading::Json
                | Reading::Url
                | Reading::Media
                | Reading::Encrypted
                | Reading::StateId => false,
            };
            if !known && is_telling(doc.raw(node)) {
                let site = Site { outer: place(doc, node), inner: None, form: Form::Number };
                sink.text(Found { text: Cow::Borrowed(doc.raw(node)), site });
            }
        }
        Kind::Object | Kind::Array | Kind::Key | Kind::True | Kind::False | Kind::Null => {}
    }
}

fn is_telling(number: &str) -> bool {
    number.len() >= TELLING_DIGITS && number.bytes().filter(u8::is_ascii_digit).count() >= TELLING_DIGITS
}

fn string<'a>(
    doc: &Document<'a, '_>,
    reading: Reading,
    name: &str,
    node: u32,
    limits: &Limits,
    sink: &mut impl Sink<'a>,
) {
    let outer = place(doc, node);
    if outer.is_empty() {
        return;
    }
    let text = doc.string(node);
    if words::is_fixed_value(name, &text) {
        return;
    }
    match reading {
        Reading::Json if inner_json(&text, outer, limits, sink) => return,
        Reading::Encrypted if base64::is_base64(&text) => return sink.opaque(outer, Uninspected::Opaque),
        Reading::StateId if is_id(&text) => return sink.opaque(outer, Uninspected::Opaque),
        Reading::Vector if base64::is_base64(&text) => return sink.opaque(outer, Uninspected::Vector),
        Reading::Url | Reading::Media if text.starts_with("data:") => {
            let header = text.find(";base64,").map(|at| at.saturating_add(8));
            let payload = header.and_then(|at| text.get(at..)).filter(|payload| base64::is_base64(payload));
            if let (Some(header), Some(payload)) = (header, payload) {
                return media(payload, header, outer, &text, sink);
            }
        }
        Reading::Media if text.len() >= SHORTEST_MEDIA && base64::is_base64(&text) => {
            return media(&text, 0, outer, &text, sink);
        }
        Reading::Text
        | Reading::Field
        | Reading::Json
        | Reading::Url
        | Reading::Media
        | Reading::Encrypted
        | Reading::StateId
        | Reading::Tokens
        | Reading::Vector => {}
    }
    sink.text(Found { text, site: Site { outer, inner: None, form: Form::Text } });
}

/// Base64 after `header` bytes of a string: its text if it is text, else opaque.
fn media<'a>(payload: &str, header: usize, outer: Place, whole: &str, sink: &mut impl Sink<'a>) {
    let head_length = payload.len().min(256) & !3;
    let looks_like_text = |bytes: &[u8]| {
        let valid = match std::str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(_) => 0,
        };
        let control = |b: &u8| *b < 0x20 && !matches!(b, b'\n' | b'\r' | b'\t' | 0x0c);
        valid > 0 && !bytes.iter().any(control)
    };
    let head = payload.get(..head_length).filter(|head| !head.is_empty()).unwrap_or(payload);
    let text = base64::decode(head)
        .filter(|bytes| looks_like_text(bytes))
        .and_then(|_| base64::decode(payload))
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(text) = text else {
        // The header is the client's own text and short: a media type. Odd ones are read as text.
        let plain =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'+' | b'.' | b'-' | b';' | b'=' | b',');
        let header_text = whole.get(..header).unwrap_or_default();
        if header > 128 || !header_text.bytes().all(plain) {
            let site = Site { outer, inner: None, form: Form::Text };
            return sink.text(Found { text: Cow::Owned(whole.to_owned()), site });
        }
        return sink.opaque(outer, Uninspected::Media);
    };
    let form = Form::Base64(u32::try_from(header).unwrap_or(0));
    sink.text(Found { text: Cow::Owned(text), site: Site { outer, inner: None, form } });
}

fn is_id(text: &str) -> bool {
    text.len() <= LONGEST_ID
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'/' | b'='))
}

/// The leaves of JSON inside a string. False when the string is no single unambiguous document.
pub(crate) fn inner_json<'a>(text: &str, outer: Place, limits: &Limits, sink: &mut impl Sink<'a>) -> bool {
    let mut tape = Tape::default();
    let Ok(text) = tape.parse(text.as_bytes(), limits) else { return false };
    let doc = tape.document(text);
    let mut name = Cow::Borrowed("");
    for index in 0..doc.len() {
        let node = doc.node(index);
        let form = match node.kind {
            Kind::Key => {
                name = doc.string(index);
                if words::is_key(&name) {
                    continue;
                }
                Form::Key
            }
            Kind::String if words::is_fixed_value(&name, &doc.string(index)) => continue,
            Kind::String => Form::Text,
            Kind::Number if is_telling(doc.raw(index)) => Form::Number,
            Kind::Object | Kind::Array | Kind::Number | Kind::True | Kind::False | Kind::Null => continue,
        };
        let inner = Some(place(&doc, index));
        if node.start < node.end {
            let text = Cow::Owned(doc.string(index).into_owned());
            sink.text(Found { text, site: Site { outer, inner, form } });
        }
    }
    true
}

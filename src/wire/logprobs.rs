//! Lists of log probabilities spell an answer a second time, token by token: checked against the text they are of.

use std::borrow::Cow;

use super::answer::{Piece, PieceKind};
use super::edit::{Form, Site};
use super::json::{Document, Kind};
use super::walk::Visit;
use crate::types::{Channel, ChannelKind, Place};

/// The part number of the channel that the tokens of a choice make when they do not spell its text.
pub(crate) const TOKENS: u32 = u32::MAX;
/// An alternative token of this many bytes is inspected on its own; a shorter one can carry nothing.
const TELLING_ALTERNATIVE: usize = 8;

/// The pieces of a `logprobs` value: none when its tokens spell the text beside it.
pub(crate) fn pieces<'a>(doc: &Document<'a, '_>, visit: Visit<'_>, channel: Channel) -> Vec<Piece<'a>> {
    let mut out = Vec::new();
    let list = visit.value;
    let beside = beside(doc, visit.parent);
    if doc.node(list).kind == Kind::Array {
        spelled(doc, list, beside.as_deref(), channel, &mut out);
        return out;
    }
    for (key, value) in doc.members(list) {
        match doc.string(key).as_ref() {
            "content" => spelled(doc, value, beside.as_deref(), channel, &mut out),
            "refusal" => spelled(doc, value, refusal(doc, visit.parent).as_deref(), channel, &mut out),
            "tokens" => spelled(doc, value, beside.as_deref(), channel, &mut out),
            "top_logprobs" => alternatives(doc, value, channel, &mut out),
            _ => {
                every_string(doc, key, value, channel, &mut out);
            }
        }
    }
    out
}

/// The text that a list of tokens in `parent` is said to be of.
fn beside<'a>(doc: &Document<'a, '_>, parent: u32) -> Option<Cow<'a, str>> {
    doc.get_str(parent, "text").or_else(|| doc.get_str(parent, "delta")).or_else(|| {
        let message = doc.get(parent, "message").or_else(|| doc.get(parent, "delta"))?;
        doc.get_str(message, "content")
    })
}

fn refusal<'a>(doc: &Document<'a, '_>, parent: u32) -> Option<Cow<'a, str>> {
    let message = doc.get(parent, "message").or_else(|| doc.get(parent, "delta"))?;
    doc.get_str(message, "refusal")
}

fn spelled<'a>(doc: &Document<'a, '_>, list: u32, text: Option<&str>, channel: Channel, out: &mut Vec<Piece<'a>>) {
    let mut spelled: Vec<u8> = Vec::new();
    let mut honest = true;
    for entry in doc.elements(list) {
        let token = token_of(doc, entry);
        match bytes_of(doc, entry) {
            Some(bytes) => {
                // A token of part of a character is written in some escaped way; its bytes are what counts.
                honest &= std::str::from_utf8(&bytes).is_ok_and(|text| token.as_deref() == Some(text))
                    || std::str::from_utf8(&bytes).is_err() && token.as_ref().is_some_and(|t| t.len() <= 32);
                spelled.extend_from_slice(&bytes);
            }
            None => spelled.extend_from_slice(token.unwrap_or_default().as_bytes()),
        }
        if doc.node(entry).kind == Kind::Object {
            honest &= doc
                .members(entry)
                .all(|(key, _)| matches!(doc.string(key).as_ref(), "token" | "bytes" | "logprob" | "top_logprobs"));
            if let Some(top) = doc.get(entry, "top_logprobs") {
                alternatives(doc, top, channel, out);
            }
        }
    }
    if honest && (spelled == text.unwrap_or_default().as_bytes()) {
        return;
    }
    for entry in doc.elements(list) {
        let node = doc.node(entry);
        let place = Place { start: node.start, end: node.end };
        if let Some(token) = token_of(doc, entry) {
            out.push(piece(channel, PieceKind::Token, token, place));
        }
        if let Some(bytes) = bytes_of(doc, entry) {
            out.push(piece(channel, PieceKind::Copy, Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()), place));
        }
        for (key, value) in doc.members(entry) {
            if !matches!(doc.string(key).as_ref(), "token" | "bytes" | "logprob" | "top_logprobs") {
                every_string(doc, key, value, channel, out);
            }
        }
    }
}

/// The token of an entry: itself, or its `token`.
fn token_of<'a>(doc: &Document<'a, '_>, entry: u32) -> Option<Cow<'a, str>> {
    doc.as_str(entry).or_else(|| doc.get_str(entry, "token"))
}

fn bytes_of(doc: &Document<'_, '_>, entry: u32) -> Option<Vec<u8>> {
    let list = doc.get(entry, "bytes").filter(|&list| doc.node(list).kind == Kind::Array)?;
    Some(doc.elements(list).filter_map(|byte| doc.as_u64(byte).and_then(|b| u8::try_from(b).ok())).collect())
}

fn alternatives<'a>(doc: &Document<'a, '_>, list: u32, channel: Channel, out: &mut Vec<Piece<'a>>) {
    let node = doc.node(list);
    for index in list..node.next.min(doc.len()) {
        if matches!(doc.node(index).kind, Kind::String | Kind::Key) && doc.raw(index).len() >= TELLING_ALTERNATIVE {
            let found = doc.node(index);
            let text = doc.string(index);
            if !super::words::is_key(&text) {
                out.push(piece(channel, PieceKind::Copy, text, Place { start: found.start, end: found.end }));
            }
        }
    }
}

fn every_string<'a>(doc: &Document<'a, '_>, key: u32, value: u32, channel: Channel, out: &mut Vec<Piece<'a>>) {
    for index in key..doc.node(value).next.min(doc.len()) {
        let node = doc.node(index);
        if matches!(node.kind, Kind::String | Kind::Key) && node.start < node.end {
            let text = doc.string(index);
            if !super::words::is_key(&text) {
                out.push(piece(channel, PieceKind::Copy, text, Place { start: node.start, end: node.end }));
            }
        }
    }
}

fn piece<'a>(channel: Channel, kind: PieceKind, text: Cow<'a, str>, place: Place) -> Piece<'a> {
    let channel = Channel { choice: channel.choice, part: TOKENS, kind: ChannelKind::Other };
    Piece { channel, kind, text, place, site: Site { outer: place, inner: None, form: Form::Token } }
}

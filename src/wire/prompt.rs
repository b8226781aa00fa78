//! The neutral prompt: every text in a request that a model could read, with its role and its place in the body.

use std::borrow::Cow;

use super::collect::{self, Found, Reading, Sink};
use super::dialect;
use super::edit::{self, Site};
use super::json::{BadBody, BadBodyKind, Document, Kind, Limits, Tape};
use super::walk::{Visit, Visitor, walk};
use super::words;
use crate::types::{Dialect, Place, Role, SpanIndex, Uninspected};

/// One text of a request.
#[derive(Debug, Clone)]
pub struct Span<'a> {
    /// Decoded: what the model would read.
    pub text: Cow<'a, str>,
    /// The literal in the body it is written in (for JSON inside a string, the outer string).
    pub place: Place,
    /// Who is said to have written it.
    pub role: Role,
    site: Site,
}

/// A request as the detectors see it. An unedited one is forwarded as the bytes it came in.
#[derive(Debug)]
pub struct Prompt<'a> {
    /// The wire format it was read as.
    pub dialect: Dialect,
    /// The model asked for.
    pub model: Option<Cow<'a, str>>,
    /// Whether a streamed answer was asked for.
    pub stream: bool,
    /// The end user as the client names them: `user`, `safety_identifier` or `metadata.user_id`.
    pub user: Option<Cow<'a, str>>,
    /// The answer this goes on from (`previous_response_id`), where the provider keeps the conversation.
    pub previous: Option<Cow<'a, str>>,
    /// The conversation it belongs to (`conversation`), where the provider keeps it.
    pub conversation: Option<Cow<'a, str>>,
    /// Every string, unknown key and long number, in document order.
    pub spans: Vec<Span<'a>>,
    /// What could not be read, and why.
    pub opaque: Vec<(Place, Uninspected)>,
    text: &'a str,
    tape: Tape,
}

/// What a position in a request means: who wrote it, and how it is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) zone: Zone,
    pub(crate) role: Role,
}

/// The kinds of places in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// The body's own object.
    Top,
    /// A list of messages or items.
    Turns,
    /// A message, an item, a content part, or anything inside one that the dialect defines.
    Turn,
    /// A value that is read as it stands; below a container, everything.
    Value(Reading),
}

impl At {
    pub(crate) const fn value(reading: Reading, role: Role) -> Self {
        Self { zone: Zone::Value(reading), role }
    }
}

/// Reads a request body.
///
/// # Errors
/// [`BadBody`] when the body is not one unambiguous JSON document, or lacks what the dialect requires (`param` names it).
pub fn read_prompt<'a>(dialect: Dialect, body: &'a [u8], limits: &Limits) -> Result<Prompt<'a>, BadBody> {
    let mut prompt = Prompt {
        dialect,
        model: None,
        stream: false,
        user: None,
        previous: None,
        conversation: None,
        spans: Vec::new(),
        opaque: Vec::new(),
        text: "",
        tape: Tape::default(),
    };
    if dialect == Dialect::Models && body.is_empty() {
        return Ok(prompt);
    }
    prompt.tape.nodes.reserve((body.len() / 24).clamp(16, 256));
    prompt.text = prompt.tape.parse(body, limits)?;
    let doc = prompt.tape.document(prompt.text);
    let request = dialect::request(dialect);
    if dialect != Dialect::Generic {
        if doc.node(0).kind != Kind::Object {
            return Err(BadBody::at(BadBodyKind::NotAnObject, 0, "the body must be a JSON object"));
        }
        (request.require)(&doc)?;
    }
    prompt.model = doc.get_str(0, "model");
    prompt.stream = doc.get(0, "stream").is_some_and(|value| doc.node(value).kind == Kind::True);
    prompt.user = doc
        .get_str(0, "safety_identifier")
        .or_else(|| doc.get_str(0, "user"))
        .or_else(|| doc.get(0, "metadata").and_then(|metadata| doc.get_str(metadata, "user_id")));
    if dialect == Dialect::Responses {
        prompt.previous = doc.get_str(0, "previous_response_id");
        let named = || doc.get(0, "conversation").and_then(|object| doc.get_str(object, "id"));
        prompt.conversation = doc.get_str(0, "conversation").or_else(named);
    }
    let mut reader =
        Reader { request, limits, role: Role::Parameter, spans: Vec::with_capacity(8), opaque: Vec::new() };
    walk(&doc, request.root, &mut reader)?;
    (prompt.spans, prompt.opaque) = (reader.spans, reader.opaque);
    Ok(prompt)
}

impl<'a> Prompt<'a> {
    /// Every text with its span and role, for detectors.
    pub fn texts(&self) -> Vec<(SpanIndex, Role, &str)> {
        (0..).map(SpanIndex).zip(&self.spans).map(|(index, span)| (index, span.role, &*span.text)).collect()
    }

    /// Where a span is, as `messages[2].content[0].text`.
    pub fn path_of(&self, span: SpanIndex) -> String {
        let Some(span) = self.spans.get(span.0 as usize) else { return String::new() };
        let doc = self.tape.document(self.text);
        let mut path = doc.path_at(span.place.start);
        if let Some(inner) = span.site.inner {
            let decoded = super::json::text::unescape(
                self.text.get(span.place.start as usize..span.place.end as usize).unwrap_or_default(),
            );
            let mut tape = Tape::default();
            if let Ok(text) = tape.parse(decoded.as_bytes(), &Limits::default()) {
                path.push_str(" -> ");
                path.push_str(&tape.document(text).path_at(inner.start));
            }
        }
        path
    }

    /// Bytes of the body that the spans and the reader account for, and bytes that nobody could read. They sum to its length.
    pub fn accounted(&self) -> (u64, u64) {
        let opaque: u64 = self.opaque.iter().map(|(place, _)| u64::from(place.len())).sum();
        let all = self.text.len() as u64;
        (all.saturating_sub(opaque), opaque.min(all))
    }

    /// The body with some spans replaced and, if given, a hardening system message added in the dialect's way.
    /// Everything else is byte for byte as it came.
    pub fn rebuild(&self, edits: &[(SpanIndex, String)], system: Option<&str>) -> Vec<u8> {
        self.rebuild_with(edits, system, Vec::new())
    }

    /// The same, and a stream is asked to say what it used.
    pub fn rebuild_asking(&self, edits: &[(SpanIndex, String)], system: Option<&str>) -> Vec<u8> {
        self.rebuild_with(edits, system, vec![super::demands::ask_usage(&self.document())])
    }

    pub(super) fn document(&self) -> Document<'a, '_> {
        self.tape.document(self.text)
    }

    fn rebuild_with(
        &self,
        edits: &[(SpanIndex, String)],
        system: Option<&str>,
        mut more: Vec<edit::Splice>,
    ) -> Vec<u8> {
        let doc = self.document();
        let harden = dialect::request(self.dialect).harden;
        more.extend(system.and_then(|message| harden(&doc, message)));
        let sites = edits
            .iter()
            .filter_map(|(index, text)| self.spans.get(index.0 as usize).map(|span| (span.site, text.as_str())));
        edit::rebuild(self.text, sites, more)
    }
}

struct Reader<'a, 'r> {
    request: &'r dialect::Request,
    limits: &'r Limits,
    role: Role,
    spans: Vec<Span<'a>>,
    opaque: Vec<(Place, Uninspected)>,
}

impl<'a> Sink<'a> for Reader<'a, '_> {
    fn text(&mut self, found: Found<'a>) {
        self.spans.push(Span { text: found.text, place: found.site.outer, role: self.role, site: found.site });
    }

    fn opaque(&mut self, place: Place, why: Uninspected) {
        self.opaque.push((place, why));
    }
}

impl<'a> Visitor<'a> for Reader<'a, '_> {
    type At = At;

    fn enter(&mut self, doc: &Document<'a, '_>, at: At, visit: Visit<'_>) -> Result<At, BadBody> {
        Ok((self.request.enter)(doc, at, visit))
    }

    fn key(&mut self, doc: &Document<'a, '_>, at: At, key: u32) -> Result<(), BadBody> {
        let raw = doc.raw(key);
        if !doc.node(key).escaped && words::is_key(raw) {
            return Ok(());
        }
        let structural = matches!(at.zone, Zone::Top | Zone::Turns | Zone::Turn);
        if structural && words::is_case_variant(&doc.string(key)) {
            return Err(BadBody::at(
                BadBodyKind::DuplicateKey,
                doc.node(key).start as usize,
                "a key differs from a known one only in case",
            ));
        }
        self.role = match at.role {
            Role::Definition | Role::Tool => at.role,
            Role::System | Role::Developer | Role::User | Role::Assistant | Role::Parameter => Role::Parameter,
        };
        collect::key(doc, key, self);
        Ok(())
    }

    fn leaf(&mut self, doc: &Document<'a, '_>, at: At, visit: Visit<'_>) -> Result<(), BadBody> {
        self.role = at.role;
        let reading = match at.zone {
            Zone::Value(reading) => reading,
            Zone::Top | Zone::Turns | Zone::Turn => Reading::Field,
        };
        collect::leaf(doc, reading, visit.key, visit.value, self.limits, self);
        Ok(())
    }

    fn container(&mut self, doc: &Document<'a, '_>, at: At, visit: Visit<'_>) -> Result<bool, BadBody> {
        let node = doc.node(visit.value);
        let tokens = at.zone == Zone::Value(Reading::Tokens)
            && node.kind == Kind::Array
            && doc.node(visit.value.saturating_add(1)).kind == Kind::Number
            && node.next > visit.value.saturating_add(1);
        if tokens {
            self.opaque.push((Place { start: node.start, end: node.end }, Uninspected::TokenIds));
        }
        Ok(true)
    }
}

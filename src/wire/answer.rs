//! A whole JSON answer, or the JSON of one streamed event, as texts in channels.

use std::borrow::Cow;

use super::collect::{self, Found, Reading, Sink};
use super::dialect;
use super::edit::{self, Form, Site, Splice};
use super::json::{BadBody, Document, Kind, Limits, Tape};
use super::logprobs;
use super::walk::{Visit, Visitor, walk};
use super::words;
use crate::types::{Channel, ChannelKind, Dialect, FinishReason, Place, Uninspected, Usage};

/// What a piece is to its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PieceKind {
    /// The next part of the channel's text.
    Delta,
    /// A text complete in itself, or all of a text again: inspected on its own.
    Copy,
    /// The next token of a list of log probabilities that does not spell the text it is said to be of: the next part of
    /// its own channel. (A list that does spell it is not repeated as pieces.) An edit of any kind removes the list.
    Token,
}

/// One text of an answer.
#[derive(Debug, Clone)]
pub struct Piece<'a> {
    /// Which flow of text it belongs to.
    pub channel: Channel,
    /// How.
    pub kind: PieceKind,
    /// Decoded: what the client would read.
    pub text: Cow<'a, str>,
    /// The literal it is written in (for JSON inside a string, the outer string).
    pub place: Place,
    pub(crate) site: Site,
}

impl Piece<'_> {
    /// Whether it is the name of a tool that is called.
    pub fn names_tool(&self) -> bool {
        self.site.form == Form::Name && self.channel.kind == ChannelKind::ToolCall
    }
}

/// A JSON answer. An unedited one is forwarded as the bytes it came in.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The wire format it was read as.
    pub dialect: Dialect,
    /// Every text in it.
    pub pieces: Vec<Piece<'a>>,
    /// What a next request may name to go on from it, where the provider keeps conversations.
    pub id: Option<Cow<'a, str>>,
    /// The model that answered, as it says.
    pub model: Option<Cow<'a, str>>,
    /// The provider's count.
    pub usage: Option<Usage>,
    /// Why it ended; of several choices, the first one's.
    pub finish: Option<FinishReason>,
    /// What could not be read, and why.
    pub opaque: Vec<(Place, Uninspected)>,
    body: &'a str,
    tokens: Vec<TokenList>,
}

/// A list of log probabilities: goes when a text inside `around` is edited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenList {
    pub(crate) list: Place,
    pub(crate) around: Place,
}

/// What a position in an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) zone: Zone,
    pub(crate) channel: Channel,
    pub(crate) kind: PieceKind,
}

/// The kinds of places in answers and events. Each dialect uses those it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// The body's own object.
    Top,
    /// The list of choices, output items or content blocks.
    List,
    /// A choice, output item, content block or event.
    Entry,
    /// A message or delta inside a choice, a content part inside an item.
    Inside,
    /// The list of content parts or tool calls inside that.
    Parts,
    /// A tool call, or its function.
    Call,
    /// Log probabilities.
    Tokens,
    /// A value that is read as it stands; below a container, everything.
    Value(Reading),
}

/// The channel of text that belongs to no other.
pub(crate) const OTHER: Channel = Channel { choice: 0, part: 0, kind: ChannelKind::Other };

impl Spot {
    /// The body of an answer or event.
    pub(crate) const TOP: Self = Self { zone: Zone::Top, channel: OTHER, kind: PieceKind::Delta };

    /// Text of no channel in particular, inspected on its own.
    pub(crate) const fn other(self, reading: Reading) -> Self {
        let channel = Channel { choice: self.channel.choice, part: 0, kind: ChannelKind::Other };
        Self { zone: Zone::Value(reading), channel, kind: PieceKind::Copy }
    }

    /// Text of a channel of the same choice.
    pub(crate) const fn text(self, part: u32, kind: ChannelKind, piece: PieceKind) -> Self {
        let channel = Channel { choice: self.channel.choice, part, kind };
        Self { zone: Zone::Value(Reading::Text), channel, kind: piece }
    }

    /// A choice or item, by its own index or its position.
    pub(crate) fn choice(self, index: Option<u64>, position: u32) -> Self {
        let choice = index.and_then(|index| u32::try_from(index).ok()).unwrap_or(position);
        Self { channel: Channel { choice, ..self.channel }, ..self }
    }

    /// A tool call of the same choice.
    pub(crate) const fn call(self, part: u32) -> Self {
        let channel = Channel { choice: self.channel.choice, part, kind: ChannelKind::ToolCall };
        Self { zone: Zone::Call, channel, kind: self.kind }
    }

    /// The same channel, further inside.
    pub(crate) const fn inside(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }
}

/// Reads a whole JSON answer, error bodies included.
///
/// # Errors
/// [`BadBody`] when the body is not one unambiguous JSON document.
pub fn read_answer<'a>(dialect: Dialect, body: &'a [u8], limits: &Limits) -> Result<Answer<'a>, BadBody> {
    let mut tape = Tape::default();
    tape.nodes.reserve((body.len() / 24).clamp(16, 256));
    let text = tape.parse(body, limits)?;
    let doc = tape.document(text);
    let answer = dialect::answer(dialect);
    let mut reader = Reader::new(answer.enter, limits);
    walk(&doc, Spot::TOP, &mut reader)?;
    Ok(Answer {
        dialect,
        pieces: reader.pieces,
        id: doc.get_str(0, "id").filter(|_| dialect == Dialect::Responses),
        model: doc.get_str(0, "model"),
        usage: (answer.usage)(&doc, 0),
        finish: (answer.finish)(&doc),
        opaque: reader.opaque,
        body: text,
        tokens: reader.tokens,
    })
}

impl Answer<'_> {
    /// The body with some pieces replaced; everything else is byte for byte as it came. Log probabilities of an edited
    /// text become `null`.
    pub fn rebuild(&self, edits: &[(usize, String)]) -> Vec<u8> {
        rebuild(self.body, &self.pieces, &self.tokens, edits, None)
    }

    /// Bytes of the body that the pieces and the reader account for, and bytes that nobody could read. They sum to its length.
    pub fn accounted(&self) -> (u64, u64) {
        accounted(self.body.len(), &self.opaque)
    }

    /// What to send instead of an answer that is blocked: the same shape without a word of the upstream's, ended by a
    /// content filter. `id` is the gateway's request id, `model` what the client asked for.
    pub fn blocked(&self, id: &str, model: &str, notice: &str) -> Vec<u8> {
        (dialect::answer(self.dialect).blocked)(id, model, notice, self.usage.unwrap_or_default())
    }
}

/// Splits a length into what was read and what was opaque.
pub(crate) fn accounted(length: usize, opaque: &[(Place, Uninspected)]) -> (u64, u64) {
    let all = length as u64;
    let unread = opaque.iter().map(|(place, _)| u64::from(place.len())).sum::<u64>().min(all);
    (all.saturating_sub(unread), unread)
}

/// Splices edited pieces into a body and removes the token lists that would betray the originals.
pub(crate) fn rebuild(
    body: &str,
    pieces: &[Piece<'_>],
    tokens: &[TokenList],
    edits: &[(usize, String)],
    more: Option<Splice>,
) -> Vec<u8> {
    let edited = || edits.iter().filter_map(|(index, text)| pieces.get(*index).map(|piece| (piece, text.as_str())));
    let mut starts: Vec<u32> = edited().map(|(piece, _)| piece.place.start).collect();
    starts.sort_unstable();
    // The first edit at or after the beginning of what the list is about: places nest, so its start tells.
    let is_hit = |around: Place| {
        let first = starts.get(starts.partition_point(|&start| start < around.start));
        first.is_some_and(|&start| start < around.end)
    };
    let gone = tokens
        .iter()
        .filter(|list| is_hit(list.around))
        .map(|list| Splice { start: list.list.start, end: list.list.end, bytes: b"null".to_vec() })
        .chain(more)
        .collect();
    let in_json = |piece: &Piece<'_>| !matches!(piece.site.form, Form::Token | Form::Framing);
    edit::rebuild(body, edited().filter(|(piece, _)| in_json(piece)).map(|(p, t)| (p.site, t)), gone)
}

/// The classification of one dialect.
pub(crate) type Enter = fn(&Document<'_, '_>, Spot, Visit<'_>) -> Spot;

/// Collects pieces while walking.
pub(crate) struct Reader<'a, 'r> {
    enter: Enter,
    limits: &'r Limits,
    /// Whether a tool call's arguments come in fragments, which are no JSON by themselves.
    fragments: bool,
    spot: Spot,
    pub(crate) pieces: Vec<Piece<'a>>,
    pub(crate) opaque: Vec<(Place, Uninspected)>,
    pub(crate) tokens: Vec<TokenList>,
}

impl<'r> Reader<'_, 'r> {
    pub(crate) fn new(enter: Enter, limits: &'r Limits) -> Self {
        Self {
            enter,
            limits,
            fragments: false,
            spot: Spot::TOP,
            pieces: Vec::new(),
            opaque: Vec::new(),
            tokens: Vec::new(),
        }
    }

    /// For an event of a stream.
    pub(crate) fn fragments(enter: Enter, limits: &'r Limits, fragments: bool) -> Self {
        Self { fragments, ..Self::new(enter, limits) }
    }

    fn is_fragment(&self, at: Spot) -> bool {
        self.fragments && at.channel.kind == ChannelKind::ToolCall && matches!(at.zone, Zone::Value(_))
    }
}

impl<'a> Sink<'a> for Reader<'a, '_> {
    fn text(&mut self, found: Found<'a>) {
        let (channel, kind) = (self.spot.channel, self.spot.kind);
        self.pieces.push(Piece { channel, kind, text: found.text, place: found.site.outer, site: found.site });
    }

    fn opaque(&mut self, place: Place, why: Uninspected) {
        self.opaque.push((place, why));
    }
}

impl<'a> Visitor<'a> for Reader<'a, '_> {
    type At = Spot;

    fn enter(&mut self, doc: &Document<'a, '_>, at: Spot, visit: Visit<'_>) -> Result<Spot, BadBody> {
        Ok((self.enter)(doc, at, visit))
    }

    fn key(&mut self, doc: &Document<'a, '_>, at: Spot, key: u32) -> Result<(), BadBody> {
        if !doc.node(key).escaped && words::is_key(doc.raw(key)) {
            return Ok(());
        }
        self.spot = at.other(Reading::Text);
        collect::key(doc, key, self);
        Ok(())
    }

    fn leaf(&mut self, doc: &Document<'a, '_>, at: Spot, visit: Visit<'_>) -> Result<(), BadBody> {
        self.spot = at;
        let reading = match at.zone {
            Zone::Value(reading) => reading,
            Zone::Top | Zone::List | Zone::Entry | Zone::Inside | Zone::Parts | Zone::Call | Zone::Tokens => {
                self.spot = at.other(Reading::Field);
                Reading::Field
            }
        };
        let is_name = visit.key == "name" && at.channel.kind == ChannelKind::ToolCall;
        if (self.is_fragment(at) || is_name) && doc.node(visit.value).kind == Kind::String {
            let node = doc.node(visit.value);
            let outer = Place { start: node.start, end: node.end };
            let form = if visit.key == "name" { Form::Name } else { Form::Text };
            if !outer.is_empty() {
                self.text(Found { text: doc.string(visit.value), site: Site { outer, inner: None, form } });
            }
            return Ok(());
        }
        collect::leaf(doc, reading, visit.key, visit.value, self.limits, self);
        Ok(())
    }

    fn container(&mut self, doc: &Document<'a, '_>, at: Spot, visit: Visit<'_>) -> Result<bool, BadBody> {
        let node = doc.node(visit.value);
        let place = Place { start: node.start, end: node.end };
        if at.zone == Zone::Tokens {
            let around = doc.node(visit.parent);
            self.tokens.push(TokenList { list: place, around: Place { start: around.start, end: around.end } });
            self.pieces.extend(logprobs::pieces(doc, visit, at.channel));
            return Ok(false);
        }
        if self.is_fragment(at) {
            // Arguments as a JSON value instead of a string: one fragment, whole.
            if node.next > visit.value.saturating_add(1) {
                self.spot = at;
                let text = Cow::Borrowed(doc.raw(visit.value));
                self.text(Found { text, site: Site { outer: place, inner: None, form: Form::Raw } });
            }
            return Ok(false);
        }
        let vector = at.zone == Zone::Value(Reading::Vector)
            && node.kind == Kind::Array
            && doc.node(visit.value.saturating_add(1)).kind == Kind::Number;
        if vector {
            self.opaque.push((place, Uninspected::Vector));
        }
        Ok(true)
    }
}

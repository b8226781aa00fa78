//! One streamed answer: what each event says, and how it is rewritten, held back, completed and ended.
//!
//! The caller's part, for each event, in this order:
//! 1. `read` it and inspect the chunk's pieces: `Delta` and `Token` ones through the window of their channel, `Copy` ones
//!    on their own. A channel in `closes` ends with this event: finish its window into the channel's last `Delta` piece of
//!    this chunk or, if it has none, send `flush(channel, rest)` first.
//! 2. If `tool.part`, give the event to `hold`; else send what `rewrite` gives: without edits that is the event's own
//!    bytes, unless its number in the stream had to change.
//!    Calls in `tool.done` are complete: judge each `call`, then send `release` — before the event, unless it was held.

mod calls;
mod memo;

use std::borrow::Cow;

use bytes::Bytes;

pub use calls::ToolCall;

use self::calls::Calls;
use self::memo::Memo;
use super::answer::{self, OTHER, Piece, PieceKind, Reader, Spot, TokenList};
use super::dialect::{self, Select, Signs, Template};
use super::edit::{Form, Site, Splice};
use super::json::{BadBody, BadBodyKind, Kind, Limits, Tape};
use super::sse::SseEvent;
use super::walk::walk;
use crate::types::{Channel, ChannelKind, Dialect, FinishReason, Place, Uninspected, Usage};

/// How many channels and calls of one stream may be open at a time.
const MOST_CHANNELS: usize = 1_024;

/// What one event says.
#[derive(Debug, Default)]
pub struct Chunk<'a> {
    /// Its texts, but for those of tool calls (see [`Stream::call`]) and for fields that repeat an earlier event's.
    pub pieces: Vec<Piece<'a>>,
    /// The channels whose text ends with this event.
    pub closes: Vec<Channel>,
    /// What it has to do with tool calls.
    pub tool: ToolPhase,
    /// The provider's count so far.
    pub usage: Option<Usage>,
    /// Why the answer, or one choice of it, ended.
    pub finish: Option<FinishReason>,
    /// Nothing that counts follows.
    pub terminal: bool,
    /// It tells what was used, and nothing else: the event that `stream_options.include_usage` asks for.
    pub only_usage: bool,
    /// What could not be read, and why. Places are in the event's data.
    pub opaque: Vec<(Place, Uninspected)>,
    text: &'a str,
    tokens: Vec<TokenList>,
    sequence: Option<(Place, u64)>,
}

/// What an event has to do with tool calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolPhase {
    /// It belongs to a call that is not cleared yet, or must stay behind one: hold it.
    pub part: bool,
    /// The calls that are complete with this event.
    pub done: Vec<Channel>,
}

/// The state of one streamed answer.
#[derive(Debug)]
pub struct Stream {
    dialect: Dialect,
    limits: Limits,
    tape: Tape,
    memo: Memo,
    /// Channels that had text and have not ended.
    open: Vec<Channel>,
    calls: Calls,
    /// What events that were passed on said about themselves; `learnt` is the newest event's, not yet passed on.
    template: Template,
    learnt: Template,
    /// The newest event's own number, and by how many events of ours later ones are shifted.
    sequence: u64,
    shift: u64,
    usage: Option<Usage>,
}

impl Stream {
    /// The state before the first event.
    pub fn new(dialect: Dialect, limits: Limits) -> Self {
        Self {
            dialect,
            limits,
            tape: Tape::default(),
            memo: Memo::default(),
            open: Vec::new(),
            calls: Calls::default(),
            template: Template::default(),
            learnt: Template::default(),
            sequence: 0,
            shift: 0,
            usage: None,
        }
    }

    /// Reads one event. Reading the next one says that this one was passed on, as it was or rewritten.
    ///
    /// # Errors
    /// [`BadBody`] when its data is neither JSON nor the dialect's end mark: it cannot be inspected.
    pub fn read<'a>(&mut self, event: &'a SseEvent) -> Result<Chunk<'a>, BadBody> {
        if self.template != self.learnt {
            self.template.clone_from(&self.learnt);
        }
        let mut chunk = Chunk::default();
        self.memo.settle();
        self.framing(event, &mut chunk)?;
        let Some(data) = event.data.as_deref().filter(|data| !data.is_empty()) else { return Ok(chunk) };
        if data.trim_ascii() == b"[DONE]" {
            return Ok(self.end(chunk));
        }
        let spec = dialect::answer(self.dialect);
        chunk.text = self.tape.parse(data, &self.limits)?;
        let doc = self.tape.document(chunk.text);
        let mut reader = Reader::fragments(spec.enter, &self.limits, self.dialect != Dialect::Responses);
        walk(&doc, Spot::TOP, &mut reader)?;
        let mut signs = Signs::default();
        (dialect::streaming(self.dialect).note)(&doc, &mut signs, &mut self.learnt);
        if doc.get(0, "error").is_some_and(|error| doc.node(error).kind != Kind::Null) {
            signs.terminal = true;
            signs.ends.push(Select::All);
        }
        if let Some(number) = doc.get(0, "sequence_number")
            && let Some(sequence) = doc.as_u64(number)
        {
            let node = doc.node(number);
            chunk.sequence = Some((Place { start: node.start, end: node.end }, sequence));
            self.sequence = sequence;
        }
        chunk.only_usage = matches!(self.dialect, Dialect::Chat | Dialect::Completions)
            && signs.usage.is_some()
            && doc.get(0, "choices").is_some_and(|choices| doc.elements(choices).next().is_none());
        (chunk.opaque, chunk.tokens) = (reader.opaque, reader.tokens);
        self.sort(reader.pieces, &mut chunk);
        self.conclude(signs, &mut chunk);
        if self.open.len().saturating_add(self.calls.len()) > MOST_CHANNELS {
            return Err(BadBody::at(
                BadBodyKind::Unsupported,
                0,
                "the answer has too many choices, parts or calls at once",
            ));
        }
        Ok(chunk)
    }

    /// The upstream ended without its end mark: everything open ends, every call is as complete as it gets.
    pub fn finish(&mut self) -> Chunk<'static> {
        self.sequence = self.sequence.saturating_add(1);
        self.end(Chunk::default())
    }

    /// The event's bytes with some pieces replaced; without edits its own bytes, not copied, unless an inserted event
    /// shifted its number. Log probabilities of an edited text become `null`.
    pub fn rewrite(&mut self, event: &SseEvent, chunk: &Chunk<'_>, edits: &[(usize, String)]) -> Bytes {
        let edited = || edits.iter().filter_map(|(index, text)| chunk.pieces.get(*index).map(|piece| (piece, text)));
        for (piece, text) in edited() {
            self.memo.forget(&piece.text);
            self.learnt.replace(&piece.text, text);
        }
        let bare = edited().any(|(piece, _)| piece.site.form == Form::Framing);
        let sequence = chunk.sequence.filter(|_| self.shift > 0).map(|(place, number)| {
            let bytes = number.saturating_add(self.shift).to_string().into_bytes();
            Splice { start: place.start, end: place.end, bytes }
        });
        if edits.is_empty() && sequence.is_none() {
            return event.raw.clone();
        }
        if chunk.text.is_empty() {
            // Comments only, or the end mark with an odd name or comment beside it.
            return match event.data.as_deref() {
                Some(data) if !data.is_empty() => SseEvent { name: None, ..event.clone() }.with_data(data, true),
                _ => Bytes::new(),
            };
        }
        let data = answer::rebuild(chunk.text, &chunk.pieces, &chunk.tokens, edits, sequence);
        if bare {
            SseEvent { name: known_name(event), ..event.clone() }.with_data(&data, true)
        } else {
            event.with_data(&data, false)
        }
    }

    /// A new event that carries held text of a channel. Empty when the text must wait behind a held call (it is kept
    /// there), or when the channel has no event of its own.
    pub fn flush(&mut self, channel: Channel, text: &str) -> Bytes {
        if text.is_empty() {
            return Bytes::new();
        }
        let number = self.sequence.saturating_add(self.shift);
        let template = if self.template.started { &self.template } else { &self.learnt };
        let Some((name, data)) = (dialect::streaming(self.dialect).flush)(template, channel, text, number) else {
            return Bytes::new();
        };
        self.shift = self.shift.saturating_add(1);
        let mut out = Vec::new();
        SseEvent::write(name.as_deref().map(str::as_bytes), data.to_string().as_bytes(), &mut out);
        let bytes = Bytes::from(out);
        if self.calls.is_holding() && dialect::streaming(self.dialect).sequential {
            self.calls.queue(bytes, Vec::new());
            return Bytes::new();
        }
        bytes
    }

    /// Keeps an event until the calls it belongs to are released.
    pub fn hold(&mut self, event: &SseEvent, chunk: &Chunk<'_>, edits: &[(usize, String)]) {
        let bytes = self.rewrite(event, chunk, edits);
        let channels = self.calls.touched();
        self.calls.queue(bytes, channels);
    }

    /// What a next request may name to go on from this answer, once it is said and where the provider keeps
    /// conversations.
    pub fn answer_id(&self) -> Option<&str> {
        Some(self.learnt.id.as_str()).filter(|id| self.dialect == Dialect::Responses && !id.is_empty())
    }

    /// Bytes of events held.
    pub fn held(&self) -> usize {
        self.calls.held()
    }

    /// A call that is complete: its name and its arguments, to be judged.
    pub fn call(&self, channel: Channel) -> Option<ToolCall<'_>> {
        self.calls.call(channel, &self.limits)
    }

    /// The name and the arguments of a complete call as they will leave with these edits of it; `None` where its events
    /// do not agree on them. Arguments that come only at once, not in fragments, are those before edits.
    pub fn leaving(&self, channel: Channel, edits: &[(Channel, usize, String)]) -> Option<(String, String)> {
        self.calls.leaving(channel, edits, &self.limits)
    }

    /// What tells the client that the stream is alive, and nothing else.
    pub fn keep_alive(&self) -> &'static [u8] {
        match self.dialect {
            Dialect::Messages => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
            Dialect::Chat
            | Dialect::Responses
            | Dialect::Completions
            | Dialect::Embeddings
            | Dialect::Models
            | Dialect::Generic => b": waiting for approval\n\n",
        }
    }

    /// The held events of the calls that are complete, in their order. `edits` replaces pieces of calls: which call,
    /// which of its pieces, by what.
    pub fn release(&mut self, edits: &[(Channel, usize, String)]) -> Bytes {
        self.calls.release(self.dialect, edits, &self.limits)
    }

    /// The dialect's end of an answer that a filter cut off. What is held is dropped; nothing may follow.
    pub fn end_blocked(&mut self, notice: &str) -> Bytes {
        // What was held never began for the client.
        self.template.open.retain(|&open| !self.calls.has_part(open) || self.dialect != Dialect::Messages);
        self.calls = Calls::default();
        let number = self.sequence.saturating_add(self.shift);
        let usage = self.usage.unwrap_or_default();
        Bytes::from((dialect::streaming(self.dialect).end_blocked)(&self.template, notice, number, usage))
    }

    /// The dialect's error event. What is held is dropped; nothing may follow.
    pub fn end_error(&mut self, code: &str, message: &str) -> Bytes {
        self.calls = Calls::default();
        let number = self.sequence.saturating_add(self.shift);
        Bytes::from((dialect::streaming(self.dialect).end_error)(code, message, number))
    }

    /// Comments, ids and unknown fields of the framing, and an event name nobody knows, are text a client can read.
    fn framing<'a>(&mut self, event: &'a SseEvent, chunk: &mut Chunk<'a>) -> Result<(), BadBody> {
        let name = event.name.iter().filter(|name| !is_known_name(name));
        for line in event.other.iter().chain(name) {
            let text = std::str::from_utf8(line)
                .map_err(|e| BadBody::at(BadBodyKind::InvalidUtf8, e.valid_up_to(), "the event is not valid UTF-8"))?;
            if !self.memo.repeats(text) {
                let place = Place { start: 0, end: 0 };
                let site = Site { outer: place, inner: None, form: Form::Framing };
                chunk.pieces.push(Piece {
                    channel: OTHER,
                    kind: PieceKind::Copy,
                    text: Cow::Borrowed(text),
                    place,
                    site,
                });
            }
        }
        Ok(())
    }

    /// Tool calls' fragments go to their calls, repeated fields go nowhere, everything else is the caller's.
    fn sort<'a>(&mut self, mut pieces: Vec<Piece<'a>>, chunk: &mut Chunk<'a>) {
        self.calls.next_event();
        pieces.retain(|piece| {
            let is_call = piece.channel.kind == ChannelKind::ToolCall;
            match piece.kind {
                PieceKind::Copy if is_call && self.dialect == Dialect::Responses => true,
                PieceKind::Copy | PieceKind::Delta if is_call => {
                    self.calls.add(piece);
                    false
                }
                PieceKind::Copy => piece.channel.kind != ChannelKind::Other || !self.memo.repeats(&piece.text),
                PieceKind::Delta | PieceKind::Token => {
                    if !self.open.contains(&piece.channel) {
                        self.open.push(piece.channel);
                    }
                    true
                }
            }
        });
        if chunk.pieces.is_empty() {
            chunk.pieces = pieces;
        } else {
            chunk.pieces.append(&mut pieces);
        }
    }

    fn conclude(&mut self, signs: Signs, chunk: &mut Chunk<'_>) {
        for (channel, name) in signs.begins {
            self.calls.begin(channel, &name);
        }
        for (channel, said) in signs.says {
            self.calls.says(channel, said);
        }
        let sequential = dialect::streaming(self.dialect).sequential;
        chunk.tool.part = self.calls.is_touched() || (sequential && self.calls.is_holding());
        for select in &signs.ends {
            self.open.retain(|channel| {
                let ends = select.takes(*channel);
                if ends {
                    chunk.closes.push(*channel);
                }
                !ends
            });
            self.calls.complete(*select, &mut chunk.tool.done);
        }
        if let Some(usage) = signs.usage {
            let known = self.usage.unwrap_or_default();
            // Anthropic counts the input at the start and the output at the end.
            self.usage = Some(Usage {
                input: usage.input.max(known.input),
                cached: usage.cached.max(known.cached),
                output: usage.output.max(known.output),
                reasoning: usage.reasoning.max(known.reasoning),
            });
            chunk.usage = self.usage;
        }
        chunk.finish = signs.finish;
        chunk.terminal = signs.terminal;
    }

    fn end<'a>(&mut self, mut chunk: Chunk<'a>) -> Chunk<'a> {
        self.calls.next_event();
        let signs = Signs { ends: vec![Select::All], terminal: true, ..Signs::default() };
        self.conclude(signs, &mut chunk);
        chunk.tool.part = false;
        chunk
    }
}

fn is_known_name(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| super::words::is_fixed_value("type", name))
}

fn known_name(event: &SseEvent) -> Option<Bytes> {
    event.name.clone().filter(|name| is_known_name(name))
}

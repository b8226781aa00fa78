//! Tool calls of a stream: gathered from their fragments, their events held until the verdict on the whole.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::types::{Channel, ChannelKind, Dialect, Place};
use crate::wire::answer::{self, Piece, PieceKind, Reader, Spot};
use crate::wire::collect::{self, Found, Sink};
use crate::wire::dialect::{self, Said, Select};
use crate::wire::edit::{self, Form, Site};
use crate::wire::json::{Limits, Tape};
use crate::wire::sse::{self, SseEvent};
use crate::wire::walk::walk;

/// A complete tool call.
#[derive(Debug)]
pub struct ToolCall<'s> {
    /// Which one.
    pub channel: Channel,
    /// Its name.
    pub name: &'s str,
    /// Its arguments, as sent.
    pub arguments: &'s str,
    /// The name, then the arguments: every leaf and unknown key if they are JSON, else the text as it is.
    pub pieces: Vec<Piece<'s>>,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    held: Vec<Held>,
    bytes: usize,
    /// The calls that the newest event has a part in.
    touched: Vec<Channel>,
}

#[derive(Debug)]
struct Call {
    channel: Channel,
    name: String,
    arguments: String,
    /// What one event says that all of them are.
    said: Option<Said>,
    /// Two events say different things.
    contradicts: bool,
    complete: bool,
}

#[derive(Debug)]
struct Held {
    bytes: Bytes,
    channels: Vec<Channel>,
}

impl Calls {
    pub(super) fn next_event(&mut self) {
        self.touched.clear();
    }

    pub(super) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    pub(super) fn touched(&self) -> Vec<Channel> {
        self.touched.clone()
    }

    pub(super) fn is_holding(&self) -> bool {
        !self.calls.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn has_part(&self, part: u32) -> bool {
        self.calls.iter().any(|call| call.channel.part == part)
    }

    pub(super) fn held(&self) -> usize {
        let text: usize = self.calls.iter().map(|call| call.name.len().saturating_add(call.arguments.len())).sum();
        self.bytes.saturating_add(text)
    }

    pub(super) fn queue(&mut self, bytes: Bytes, channels: Vec<Channel>) {
        self.bytes = self.bytes.saturating_add(bytes.len());
        // A slice would keep the whole chunk it came in alive for as long as the call takes.
        self.held.push(Held { bytes: Bytes::copy_from_slice(&bytes), channels });
    }

    /// A call begins, or goes on without text.
    pub(super) fn begin(&mut self, channel: Channel, name: &str) {
        self.entry(channel).name.push_str(name);
    }

    /// An event says what all arguments of a call are. Of a call that has not begun, or is over, nothing is kept.
    pub(super) fn says(&mut self, channel: Channel, said: Said) {
        let Some(call) = self.calls.iter_mut().find(|call| call.channel == channel) else { return };
        match (&call.said, &said) {
            (Some(Said::Arguments(known)), Said::Arguments(now)) => call.contradicts |= known != now,
            _ => call.said = Some(said),
        }
    }

    /// The name and the arguments of a complete call as they will leave.
    pub(super) fn leaving(
        &self,
        channel: Channel,
        edits: &[(Channel, usize, String)],
        limits: &Limits,
    ) -> Option<(String, String)> {
        let call = self.calls.iter().find(|call| call.channel == channel && !call.contradicts)?;
        let edited = call.edited(edits, limits);
        let (name, arguments) = edited.unwrap_or_else(|| (call.name.clone(), call.arguments.clone()));
        match &call.said {
            Some(Said::Arguments(said)) if !call.arguments.is_empty() && *said != call.arguments => None,
            Some(Said::Arguments(said)) if call.arguments.is_empty() => Some((name, said.clone())),
            Some(Said::Whole(said)) => Some((name, said.clone())),
            Some(Said::Arguments(_)) | None => Some((name, arguments)),
        }
    }

    /// Adds a fragment.
    pub(super) fn add(&mut self, piece: &Piece<'_>) {
        let call = self.entry(piece.channel);
        if is_name(piece) { call.name.push_str(&piece.text) } else { call.arguments.push_str(&piece.text) }
    }

    fn entry(&mut self, channel: Channel) -> &mut Call {
        if !self.touched.contains(&channel) {
            self.touched.push(channel);
        }
        let known = self.calls.iter().position(|call| call.channel == channel).unwrap_or_else(|| {
            self.calls.push(Call {
                channel,
                name: String::new(),
                arguments: String::new(),
                said: None,
                contradicts: false,
                complete: false,
            });
            self.calls.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "the position was found, or is that of the call just added")]
        &mut self.calls[known]
    }

    pub(super) fn complete(&mut self, select: Select, done: &mut Vec<Channel>) {
        for call in self.calls.iter_mut().filter(|call| !call.complete && select.takes(call.channel)) {
            call.complete = true;
            done.push(call.channel);
        }
    }

    pub(super) fn call(&self, channel: Channel, limits: &Limits) -> Option<ToolCall<'_>> {
        let call = self.calls.iter().find(|call| call.channel == channel)?;
        Some(ToolCall { channel, name: &call.name, arguments: &call.arguments, pieces: call.pieces(limits) })
    }

    /// Takes out the complete calls and their events.
    pub(super) fn release(&mut self, dialect: Dialect, edits: &[(Channel, usize, String)], limits: &Limits) -> Bytes {
        let (complete, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.calls).into_iter().partition(|c| c.complete);
        self.calls = rest;
        let waiting = |held: &Held| self.calls.iter().any(|call| held.channels.contains(&call.channel));
        let (kept, events): (Vec<_>, Vec<_>) = std::mem::take(&mut self.held).into_iter().partition(waiting);
        self.held = kept;
        self.bytes = self.held.iter().map(|held| held.bytes.len()).sum();
        let mut rewritten: Vec<Rewritten> = complete
            .iter()
            .filter_map(|call| call.edited(edits, limits).map(|texts| Rewritten { texts, ..Rewritten::of(call) }))
            .collect();
        let mut out = BytesMut::with_capacity(events.iter().map(|held| held.bytes.len()).sum());
        for held in events {
            if held.channels.iter().any(|channel| rewritten.iter().any(|call| call.channel == *channel)) {
                out.extend_from_slice(&rewrite(held.bytes, dialect, limits, &mut rewritten));
            } else {
                out.extend_from_slice(&held.bytes);
            }
        }
        out.freeze()
    }
}

/// An edited call on its way out: its first fragments carry the new texts, the later ones nothing.
struct Rewritten {
    channel: Channel,
    texts: (String, String),
}

impl Rewritten {
    fn of(call: &Call) -> Self {
        Self { channel: call.channel, texts: (String::new(), String::new()) }
    }
}

impl Call {
    fn pieces(&self, limits: &Limits) -> Vec<Piece<'static>> {
        let place = Place { start: 0, end: u32::try_from(self.arguments.len()).unwrap_or(u32::MAX) };
        let mut leaves = Leaves { channel: self.channel, pieces: Vec::new() };
        let name = Place { start: 0, end: u32::try_from(self.name.len()).unwrap_or(u32::MAX) };
        leaves.text(Found {
            text: Cow::Owned(self.name.clone()),
            site: Site { outer: name, inner: None, form: Form::Text },
        });
        if !self.arguments.is_empty() && !collect::inner_json(&self.arguments, place, limits, &mut leaves) {
            let site = Site { outer: place, inner: None, form: Form::Text };
            leaves.text(Found { text: Cow::Owned(self.arguments.clone()), site });
        }
        leaves.pieces
    }

    /// The new name and arguments, if any edit is of this call.
    fn edited(&self, edits: &[(Channel, usize, String)], limits: &Limits) -> Option<(String, String)> {
        let own: Vec<_> = edits.iter().filter(|(channel, _, _)| *channel == self.channel).collect();
        if own.is_empty() {
            return None;
        }
        let pieces = self.pieces(limits);
        let mut name = self.name.clone();
        let mut whole = None;
        let mut leaves: Vec<(Site, &str)> = Vec::new();
        for (_, index, text) in own {
            match (*index, pieces.get(*index)) {
                (0, _) => name.clone_from(text),
                (_, Some(piece)) => match piece.site.inner {
                    Some(inner) => leaves.push((Site { outer: inner, inner: None, form: piece.site.form }, text)),
                    None => whole = Some(text.clone()),
                },
                (_, None) => {}
            }
        }
        let spliced = || edit::rebuild(&self.arguments, leaves.into_iter(), Vec::new());
        let arguments = whole.unwrap_or_else(|| String::from_utf8_lossy(&spliced()).into_owned());
        Some((name, arguments))
    }
}

struct Leaves {
    channel: Channel,
    pieces: Vec<Piece<'static>>,
}

impl Sink<'static> for Leaves {
    fn text(&mut self, found: Found<'static>) {
        let (channel, kind) = (self.channel, PieceKind::Copy);
        self.pieces.push(Piece { channel, kind, text: found.text, place: found.site.outer, site: found.site });
    }

    fn opaque(&mut self, _: Place, _: crate::types::Uninspected) {}
}

fn is_name(piece: &Piece<'_>) -> bool {
    piece.site.form == Form::Name
}

/// A held event with the fragments of edited calls replaced. One that cannot be read again is dropped.
fn rewrite(raw: Bytes, dialect: Dialect, limits: &Limits, calls: &mut [Rewritten]) -> Bytes {
    let event: SseEvent = sse::parse(raw, 0);
    let Some(data) = event.data.as_deref() else { return event.raw };
    let mut tape = Tape::default();
    let Ok(text) = tape.parse(data, limits) else { return Bytes::new() };
    let spec = dialect::answer(dialect);
    let mut reader = Reader::fragments(spec.enter, limits, dialect != Dialect::Responses);
    if walk(&tape.document(text), Spot::TOP, &mut reader).is_err() {
        return Bytes::new();
    }
    let mut edits: Vec<(usize, String)> = Vec::new();
    for (index, piece) in reader.pieces.iter().enumerate() {
        let fragment = piece.channel.kind == ChannelKind::ToolCall
            && (piece.kind == PieceKind::Delta || dialect != Dialect::Responses);
        let call = calls.iter_mut().find(|call| call.channel == piece.channel);
        if let Some(call) = call.filter(|_| fragment) {
            let (name, arguments) = &mut call.texts;
            edits.push((index, std::mem::take(if is_name(piece) { name } else { arguments })));
        }
    }
    event.with_data(&answer::rebuild(text, &reader.pieces, &[], &edits, None), false)
}

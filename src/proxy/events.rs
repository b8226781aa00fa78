//! One streamed answer, event by event: each text through its channel's window, each tool call judged whole.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::answer::BLOCKED_NOTICE;
use super::approve::Asked;
use super::charge::roughly;
use super::hold::HoldClock;
use super::inspector::{Fed, Inspector};
use super::record::Flight;
use super::route::Plan;
use crate::config::settings::Body;
use crate::types::{Accounted, Channel, Decision, Dialect, Direction, FinishReason, Uninspected, Usage, Verdict};
use crate::wire::stream::{Chunk, Stream};
use crate::wire::{PieceKind, Splitter, SseEvent};

/// Why a stream cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something in it must not reach the client. The dialect's end is written.
    Blocked,
    /// It cannot be read, or one part of it is too large.
    Invalid,
    /// It ended before its end.
    Incomplete,
    /// Calls in it may only leave when people say so: `asked` tells which.
    Waits,
}

/// The events of one answer.
pub(super) struct Events {
    splitter: Splitter,
    stream: Stream,
    inspector: Inspector,
    max_tool_call: usize,
    /// Whether the client did not ask what was used.
    hides_usage: bool,
    /// Whether the dialect says when an answer is complete.
    says_its_end: bool,
    ended: bool,
    /// The upstream has said all.
    over: bool,
    blocked: bool,
    pending: Option<Box<Pending>>,
    /// Tools that people let this answer call.
    granted: Vec<String>,
    hold: HoldClock,
    held_max: usize,
    scan: Duration,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
    uninspected: Vec<(Uninspected, u64)>,
    /// Tokens so far, roughly.
    answered: u64,
}

/// Calls that wait for people.
struct Pending {
    asked: Vec<Asked>,
    edits: Vec<(Channel, usize, String)>,
    words: Vec<(Channel, String)>,
    /// What leaves behind them.
    after: Bytes,
}

impl Events {
    /// Nothing read yet.
    pub(super) fn new(plan: &Plan, stream: Stream, inspector: Inspector, limits: &Body) -> Self {
        let size = |size: crate::config::units::Size| usize::try_from(size.get()).unwrap_or(usize::MAX);
        Self {
            splitter: Splitter::new(size(limits.max_event)),
            stream,
            inspector,
            max_tool_call: size(limits.max_tool_call),
            hides_usage: plan.asks_usage,
            says_its_end: plan.dialect != Dialect::Generic,
            ended: false,
            over: false,
            blocked: false,
            pending: None,
            granted: Vec::new(),
            hold: HoldClock::default(),
            held_max: 0,
            scan: Duration::ZERO,
            usage: None,
            finish: None,
            uninspected: Vec::new(),
            answered: 0,
        }
    }

    /// The next bytes of the stream; what may go on is appended to `out`.
    pub(super) fn take(&mut self, piece: &Bytes, out: &mut BytesMut) -> Result<(), Fault> {
        self.splitter.push(piece.clone());
        self.go_on(out)
    }

    fn go_on(&mut self, out: &mut BytesMut) -> Result<(), Fault> {
        while let Some(event) = self.splitter.next_event() {
            self.event(&event.map_err(|_| Fault::Invalid)?, out)?;
        }
        Ok(())
    }

    /// The stream is over: what is left of it, then its proper end, or the fault that it has none.
    pub(super) fn end(&mut self, out: &mut BytesMut) -> Result<(), Fault> {
        self.over = true;
        if let Some(rest) = self.splitter.finish() {
            self.event(&rest, out).map_err(|fault| if fault == Fault::Invalid { Fault::Incomplete } else { fault })?;
        }
        if self.says_its_end && !self.ended {
            return Err(Fault::Incomplete);
        }
        let chunk = self.stream.finish();
        self.close(&chunk, &mut Vec::new(), out)?;
        self.release(&chunk, out)
    }

    /// The dialect's error event.
    pub(super) fn end_error(&mut self, code: &str, message: &str, out: &mut BytesMut) {
        let event = self.stream.end_error(code, message);
        out.extend_from_slice(&event);
    }

    fn event(&mut self, event: &SseEvent, out: &mut BytesMut) -> Result<(), Fault> {
        let chunk = self.stream.read(event).map_err(|_| Fault::Invalid)?;
        self.note(&chunk);
        let mut edits = self.texts(&chunk, out)?;
        self.close(&chunk, &mut edits, out)?;
        edits.retain(|(index, text)| chunk.pieces.get(*index).is_none_or(|piece| piece.text != text.as_str()));
        if chunk.tool.part {
            self.stream.hold(event, &chunk, &edits);
            if self.stream.held() > self.max_tool_call {
                return Err(Fault::Invalid);
            }
            return self.release(&chunk, out);
        }
        let released = self.release(&chunk, out);
        if chunk.only_usage && self.hides_usage {
            return released;
        }
        let rewritten = match released {
            Ok(()) | Err(Fault::Waits) => self.stream.rewrite(event, &chunk, &edits),
            Err(fault) => return Err(fault),
        };
        match &mut self.pending {
            Some(pending) => pending.after = rewritten,
            None => out.extend_from_slice(&rewritten),
        }
        released
    }

    fn note(&mut self, chunk: &Chunk<'_>) {
        self.ended |= chunk.terminal || chunk.finish.is_some();
        self.usage = chunk.usage.or(self.usage);
        let texts = chunk.pieces.iter().filter(|piece| piece.kind == PieceKind::Delta);
        self.answered += texts.map(|piece| roughly(&piece.text)).sum::<u64>() + u64::from(chunk.tool.part);
        self.finish = self.finish.or(chunk.finish);
        for (place, reason) in &chunk.opaque {
            let bytes = u64::from(place.len());
            match self.uninspected.iter_mut().find(|(known, _)| known == reason) {
                Some((_, sum)) => *sum += bytes,
                None => self.uninspected.push((*reason, bytes)),
            }
        }
    }

    /// Every text of an event; which pieces change, and into what.
    fn texts(&mut self, chunk: &Chunk<'_>, out: &mut BytesMut) -> Result<Vec<(usize, String)>, Fault> {
        let mut edits = Vec::new();
        for (index, piece) in chunk.pieces.iter().enumerate() {
            // A call that no event before told of, so that it cannot wait.
            let unasked = piece.names_tool() && !chunk.tool.part && self.inspector.awaits(&piece.text);
            if unasked && !self.granted.iter().any(|tool| *tool == *piece.text) {
                self.inspector.unapproved(&piece.text);
                return Err(self.block(out));
            }
            let fed = match piece.kind {
                PieceKind::Copy => self.inspector.whole(&piece.text),
                PieceKind::Delta | PieceKind::Token => self.inspector.feed(piece.channel, &piece.text),
            };
            if piece.kind == PieceKind::Delta {
                self.inspector.went_on(piece.channel, fed.or(&piece.text));
            }
            match fed {
                Fed::Unchanged => {}
                Fed::Instead(text) => edits.push((index, text)),
                Fed::Blocked(before) => {
                    if piece.kind == PieceKind::Delta {
                        out.extend_from_slice(&self.stream.flush(piece.channel, &before));
                    }
                    return Err(self.block(out));
                }
            }
        }
        Ok(edits)
    }

    /// Ends channels: what they held goes into their last piece of this event, or into an event of its own before it.
    fn close(&mut self, chunk: &Chunk<'_>, edits: &mut Vec<(usize, String)>, out: &mut BytesMut) -> Result<(), Fault> {
        for channel in &chunk.closes {
            let rest = match self.inspector.finish(*channel) {
                Fed::Unchanged => continue,
                Fed::Instead(rest) => rest,
                Fed::Blocked(_) => return Err(self.block(out)),
            };
            if rest.is_empty() {
                continue;
            }
            self.inspector.went_on(*channel, &rest);
            match last_delta(chunk, *channel) {
                None => out.extend_from_slice(&self.stream.flush(*channel, &rest)),
                Some((index, text)) => match edits.iter_mut().find(|(edited, _)| *edited == index) {
                    Some((_, edit)) => edit.push_str(&rest),
                    None => edits.push((index, format!("{text}{rest}"))),
                },
            }
        }
        Ok(())
    }

    /// Judges the calls that are complete with this event, and lets their events go.
    fn release(&mut self, chunk: &Chunk<'_>, out: &mut BytesMut) -> Result<(), Fault> {
        if chunk.tool.done.is_empty() {
            return Ok(());
        }
        let mut edits = Vec::new();
        let mut words = Vec::new();
        let mut waits: Vec<Channel> = Vec::new();
        for channel in &chunk.tool.done {
            let Some(call) = self.stream.call(*channel) else { continue };
            if !self.inspector.allows(call.name) {
                return Err(self.block(out));
            }
            if self.inspector.awaits(call.name) {
                waits.push(*channel);
            }
            for (index, piece) in call.pieces.iter().enumerate() {
                let fed = self.inspector.whole(&piece.text);
                if self.inspector.keeps() {
                    words.push((*channel, fed.or(&piece.text).to_owned()));
                }
                match fed {
                    Fed::Unchanged => {}
                    // Held for a moment and the same after all: the events leave as they came.
                    Fed::Instead(text) if text == *piece.text => {}
                    Fed::Instead(text) => edits.push((*channel, index, text)),
                    Fed::Blocked(_) => return Err(self.block(out)),
                }
            }
        }
        if waits.is_empty() {
            self.let_go(&edits, words, out);
            return Ok(());
        }
        let leaving = waits.iter().map(|channel| self.stream.leaving(*channel, &edits));
        let asked = leaving.map(|call| call.and_then(|(tool, arguments)| Asked::new(&tool, &arguments)));
        // A call that cannot be told exactly is not asked about, and does not leave.
        let Some(asked) = asked.collect::<Option<Vec<Asked>>>() else {
            self.inspector.unapproved("");
            return Err(self.block(out));
        };
        self.pending = Some(Box::new(Pending { asked, edits, words, after: Bytes::new() }));
        Err(Fault::Waits)
    }

    fn let_go(&mut self, edits: &[(Channel, usize, String)], words: Vec<(Channel, String)>, out: &mut BytesMut) {
        out.extend_from_slice(&self.stream.release(edits));
        for (channel, text) in words {
            self.inspector.line_went_on(channel, &text);
        }
    }

    /// The calls that wait for people.
    pub(super) fn asked(&self) -> &[Asked] {
        self.pending.as_ref().map(|pending| &*pending.asked).unwrap_or_default()
    }

    /// What waited may go on, and what came behind it is read.
    pub(super) fn granted(&mut self, out: &mut BytesMut) -> Result<(), Fault> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let Pending { asked, edits, words, after } = *pending;
        self.granted.extend(asked.iter().map(|asked| asked.tool().to_owned()));
        self.let_go(&edits, words, out);
        out.extend_from_slice(&after);
        self.go_on(out)?;
        if self.over { self.end(out) } else { Ok(()) }
    }

    /// What waits may not go on: the dialect's end of a blocked answer.
    pub(super) fn refused(&mut self, out: &mut BytesMut) {
        let Some(pending) = self.pending.take() else { return };
        for asked in &pending.asked {
            self.inspector.unapproved(asked.tool());
        }
        let _blocked = self.block(out);
    }

    /// What is held from now on waits for people, which is counted elsewhere.
    pub(super) fn hands_over(&mut self, now: Instant) {
        self.hold.mark(false, now);
    }

    /// What tells the client that the stream is alive.
    pub(super) fn keep_alive(&self) -> &'static [u8] {
        self.stream.keep_alive()
    }

    /// Whether the upstream has said all.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    fn block(&mut self, out: &mut BytesMut) -> Fault {
        self.blocked = true;
        let end = self.stream.end_blocked(BLOCKED_NOTICE);
        out.extend_from_slice(&end);
        Fault::Blocked
    }

    /// `took` was spent inspecting until `now`: keeps what the record tells of it.
    pub(super) fn scanned(&mut self, took: Duration, now: Instant) {
        self.scan += took;
        let held = self.inspector.held() + self.stream.held();
        self.held_max = self.held_max.max(held);
        self.hold.mark(held > 0, now);
    }

    /// The answer's id, once it is said.
    pub(super) fn answer_id(&self) -> Option<&str> {
        self.stream.answer_id()
    }

    /// Tokens so far: what the provider says, or roughly.
    pub(super) fn answered(&self) -> u64 {
        self.usage.map_or(0, |usage| usage.output).max(self.answered)
    }

    /// Whether it was blocked.
    pub(super) fn blocked(&self) -> bool {
        self.blocked
    }

    /// The verdict on everything seen, and what of it was carried out.
    pub(super) fn verdict(&mut self) -> Option<(Verdict, Decision)> {
        self.inspector.verdict()
    }

    /// Completes the record of a stream of which `sent` bytes went on.
    pub(super) fn describe(&mut self, flight: &mut Flight, sent: u64) {
        if let Some(text) = self.inspector.kept() {
            flight.keep(Direction::Output, text, None);
        }
        let scan = u64::try_from(self.scan.as_micros()).unwrap_or(u64::MAX);
        let uninspected = self.uninspected.iter().map(|(_, bytes)| bytes).sum::<u64>().min(sent);
        for (reason, bytes) in self.uninspected.drain(..) {
            flight.uninspected(reason, bytes);
        }
        let (usage, finish, held_max, hold) = (self.usage, self.finish, self.held_max as u64, self.hold.longest());
        flight.note(|record| {
            record.usage = usage;
            record.finish = finish;
            record.held_max = held_max;
            record.micros.hold = hold;
            record.micros.scan += scan;
            record.micros.scan_output = scan;
            record.response_bytes = Accounted { inspected: sent - uninspected, exempt: 0, uninspected };
        });
    }
}

/// The last piece of a channel's own text in an event.
fn last_delta<'c>(chunk: &'c Chunk<'_>, channel: Channel) -> Option<(usize, &'c str)> {
    let piece = |(index, piece): (usize, &'c crate::wire::Piece<'_>)| {
        (piece.kind == PieceKind::Delta && piece.channel == channel).then_some((index, &*piece.text))
    };
    chunk.pieces.iter().enumerate().rev().find_map(piece)
}

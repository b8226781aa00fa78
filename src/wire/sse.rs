//! Server-sent events, split incrementally whatever the chunking (WHATWG HTML, section 9.2.6).
//!
//! An event keeps the exact bytes it came in, so that an unedited one is forwarded byte for byte. Bytes are not decoded
//! here: a character cut by a chunk is whole again once its event is.

use bytes::{Bytes, BytesMut};

/// An event is longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a server-sent event is longer than {limit} bytes")]
pub struct TooLong {
    /// The limit, in bytes.
    pub limit: usize,
}

/// One event: everything up to and including a blank line. One without data (comments only, a lone blank line)
/// is no event to a client, but its bytes are relayed all the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The exact bytes, blank line included.
    pub raw: Bytes,
    /// The `event` field.
    pub name: Option<Bytes>,
    /// The `data` lines, joined with newlines. `None` without any.
    pub data: Option<Bytes>,
    /// What else a client could read: comments, ids, unknown fields, without their line ends.
    pub other: Vec<Bytes>,
    /// Where a single data line is in `raw`.
    pub(crate) data_at: Option<(usize, usize)>,
}

/// Splits a byte stream into events.
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    /// The beginning of an event that came in earlier chunks.
    partial: BytesMut,
    chunk: Bytes,
    edge: Edge,
    first: bool,
}

/// Where in a line the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// Something is on the line.
    InLine,
    /// Nothing is on the line yet.
    Start,
    /// After a CR that ended a line: a LF here belongs to it.
    AfterCr,
}

impl Splitter {
    /// A splitter that refuses events longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, partial: BytesMut::new(), chunk: Bytes::new(), edge: Edge::Start, first: true }
    }

    /// Adds the next bytes of the stream. Take all events with [`Splitter::next_event`] before the next push.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut both = BytesMut::from(&*self.chunk);
            both.extend_from_slice(&chunk);
            self.chunk = both.freeze();
        }
    }

    /// The next complete event, if there is one.
    pub fn next_event(&mut self) -> Option<Result<SseEvent, TooLong>> {
        if self.chunk.is_empty() {
            return None;
        }
        let Some(end) = self.find_end() else {
            let rest = std::mem::take(&mut self.chunk);
            if self.partial.len().saturating_add(rest.len()) > self.limit {
                return Some(Err(TooLong { limit: self.limit }));
            }
            self.partial.extend_from_slice(&rest);
            return None;
        };
        let tail = self.chunk.split_to(end.min(self.chunk.len()));
        if self.partial.len().saturating_add(tail.len()) > self.limit {
            return Some(Err(TooLong { limit: self.limit }));
        }
        let raw = if self.partial.is_empty() {
            tail
        } else {
            self.partial.extend_from_slice(&tail);
            self.partial.split().freeze()
        };
        Some(Ok(self.parse(raw)))
    }

    /// What is left when the stream ends without a blank line. A client may or may not read it.
    pub fn finish(&mut self) -> Option<SseEvent> {
        let mut rest = self.partial.split();
        rest.extend_from_slice(&std::mem::take(&mut self.chunk));
        (!rest.is_empty()).then(|| self.parse(rest.freeze()))
    }

    /// Bytes waiting for their event to become whole.
    pub fn held(&self) -> usize {
        self.partial.len().saturating_add(self.chunk.len())
    }

    /// One past the end of the event in `chunk`, remembering where in a line the chunk ends.
    fn find_end(&mut self) -> Option<usize> {
        let mut at = 0_usize;
        loop {
            let rest = self.chunk.get(at..).filter(|rest| !rest.is_empty())?;
            let step = memchr::memchr2(b'\r', b'\n', rest);
            match (step, rest.first()) {
                (Some(0), Some(b'\n')) if self.edge == Edge::AfterCr => {
                    self.edge = Edge::Start;
                    at = at.saturating_add(1);
                }
                (Some(0), Some(&byte)) => {
                    at = at.saturating_add(1);
                    let blank = self.edge != Edge::InLine;
                    self.edge = if byte == b'\r' { Edge::AfterCr } else { Edge::Start };
                    if blank {
                        return Some(self.with_line_feed(at, byte));
                    }
                }
                (Some(length), _) => {
                    self.edge = Edge::InLine;
                    at = at.saturating_add(length);
                }
                (None, _) => {
                    self.edge = Edge::InLine;
                    return None;
                }
            }
        }
    }

    /// Takes the LF of a CRLF into the event, if it is there already. If it comes later it opens the next one.
    fn with_line_feed(&mut self, at: usize, byte: u8) -> usize {
        if byte == b'\r' && self.chunk.get(at) == Some(&b'\n') {
            self.edge = Edge::Start;
            at.saturating_add(1)
        } else {
            at
        }
    }

    fn parse(&mut self, raw: Bytes) -> SseEvent {
        let skip = if std::mem::take(&mut self.first) && raw.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        parse(raw, skip)
    }
}

pub(crate) fn parse(raw: Bytes, skip: usize) -> SseEvent {
    let mut event = SseEvent::default();
    let mut joined: Option<BytesMut> = None;
    let mut start = skip;
    while let Some(rest) = raw.get(start..).filter(|rest| !rest.is_empty()) {
        let length = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let end = start.saturating_add(length);
        let line = raw.get(start..end).unwrap_or_default();
        let colon = memchr::memchr(b':', line);
        let (field, value) = line.split_at_checked(colon.unwrap_or(line.len())).unwrap_or((line, &[]));
        let lead = if value.get(1) == Some(&b' ') { 2 } else { value.len().min(1) };
        let from = start.saturating_add(field.len()).saturating_add(lead).min(end);
        match (field, &mut joined, &event.data) {
            (b"data", Some(all), _) => {
                all.extend_from_slice(b"\n");
                all.extend_from_slice(raw.get(from..end).unwrap_or_default());
            }
            (b"data", None, Some(first)) => {
                let mut all = BytesMut::from(&**first);
                all.extend_from_slice(b"\n");
                all.extend_from_slice(raw.get(from..end).unwrap_or_default());
                event.data_at = None;
                joined = Some(all);
            }
            (b"data", None, None) => {
                event.data = Some(raw.slice(from..end));
                event.data_at = Some((from, end));
            }
            (b"event", _, _) => event.name = Some(raw.slice(from..end)),
            _ if line.is_empty() => {}
            _ => event.other.push(raw.slice(start..end)),
        }
        start = end.saturating_add(1);
    }
    if let Some(all) = joined {
        event.data = Some(all.freeze());
    }
    event.raw = raw;
    event
}

impl SseEvent {
    /// An event of our own making.
    pub(crate) fn write(name: Option<&[u8]>, data: &[u8], out: &mut Vec<u8>) {
        if let Some(name) = name {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(name);
            out.push(b'\n');
        }
        out.extend_from_slice(b"data: ");
        // A line break in JSON is only ever white space between tokens.
        out.extend(data.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        out.extend_from_slice(b"\n\n");
    }

    /// The same event with other data; `bare` leaves out everything but its name.
    pub(crate) fn with_data(&self, data: &[u8], bare: bool) -> Bytes {
        let mut out = Vec::with_capacity(self.raw.len().saturating_add(data.len()));
        match self.data_at {
            Some((start, end)) if !bare => {
                out.extend_from_slice(self.raw.get(..start).unwrap_or_default());
                out.extend_from_slice(data);
                out.extend_from_slice(self.raw.get(end..).unwrap_or_default());
            }
            _ => Self::write(self.name.as_deref(), data, &mut out),
        }
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(input: &[u8], size: usize) -> Vec<SseEvent> {
        let mut splitter = Splitter::new(1 << 20);
        let mut events = Vec::new();
        for chunk in input.chunks(size) {
            splitter.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = splitter.next_event() {
                events.push(event.unwrap());
            }
        }
        events.extend(splitter.finish());
        events
    }

    const MIXED: &str = "\u{feff}: hi\n\nevent: a\ndata: 1\n\ndata:2\r\ndata: 3\r\n\r\nid: 7\rdata:  4é\r\rretry: 1\ndata\n\n\ndata: last";

    #[test]
    fn any_chunking_gives_the_same_events_and_every_byte_once() {
        let whole: Vec<_> = split(MIXED.as_bytes(), usize::MAX).iter().map(summary).collect();
        assert_eq!(
            whole,
            [
                (None, None, vec![": hi".to_owned()]),
                (Some("a".to_owned()), Some("1".to_owned()), vec![]),
                (None, Some("2\n3".to_owned()), vec![]),
                (None, Some(" 4é".to_owned()), vec!["id: 7".to_owned()]),
                (None, Some(String::new()), vec!["retry: 1".to_owned()]),
                (None, None, vec![]),
                (None, Some("last".to_owned()), vec![]),
            ]
        );
        for size in 1..MIXED.len() {
            let events = split(MIXED.as_bytes(), size);
            assert_eq!(events.iter().map(summary).collect::<Vec<_>>(), whole, "chunks of {size}");
            let bytes: Vec<u8> = events.iter().flat_map(|event| event.raw.to_vec()).collect();
            assert_eq!(bytes, MIXED.as_bytes());
        }
    }

    fn summary(event: &SseEvent) -> (Option<String>, Option<String>, Vec<String>) {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        (event.name.as_ref().map(text), event.data.as_ref().map(text), event.other.iter().map(text).collect())
    }

    #[test]
    fn a_line_feed_after_a_cut_is_no_second_blank_line() {
        let mut splitter = Splitter::new(100);
        splitter.push(Bytes::from_static(b"data: 1\r\n\r"));
        let first = splitter.next_event().unwrap().unwrap();
        assert_eq!(&first.raw[..], b"data: 1\r\n\r");
        splitter.push(Bytes::from_static(b"\ndata: 2\r\n\r\n"));
        let second = splitter.next_event().unwrap().unwrap();
        assert_eq!((&second.raw[..], second.data.as_deref()), (&b"\ndata: 2\r\n\r\n"[..], Some(&b"2"[..])));
        assert!(splitter.next_event().is_none());
    }

    #[test]
    fn an_event_within_one_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
        let mut splitter = Splitter::new(100);
        splitter.push(chunk.clone());
        let event = splitter.next_event().unwrap().unwrap();
        assert_eq!(event.raw.as_ptr(), chunk.as_ptr());
        assert_eq!(event.data.unwrap().as_ptr(), chunk[6..].as_ptr());
    }

    #[test]
    fn a_long_event_is_refused_before_it_is_whole() {
        let mut splitter = Splitter::new(10);
        splitter.push(Bytes::from_static(b"data: 123456"));
        assert_eq!(splitter.next_event(), Some(Err(TooLong { limit: 10 })));
    }
}

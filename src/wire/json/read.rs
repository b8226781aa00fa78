//! The reader itself: a loop over bytes with an explicit stack of open containers.

use std::borrow::Cow;

use super::text::{hex4, plain_run, unescape};
use super::{BadBody, BadBodyKind, Kind, Limits, MAX_KEY, MAX_NUMBER, Node};

/// Up to this many keys, comparing each with each is quicker than sorting.
const FEW_KEYS: usize = 12;

pub(super) fn parse<'a>(
    nodes: &mut Vec<Node>,
    open: &mut Vec<u32>,
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<&'a str, BadBody> {
    nodes.clear();
    open.clear();
    if u32::try_from(bytes.len()).is_err() {
        return Err(BadBody::at(BadBodyKind::TooLong, 0, "the body is longer than 4 GiB"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| BadBody::at(BadBodyKind::InvalidUtf8, e.valid_up_to(), "the body is not valid UTF-8"))?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(BadBody::at(BadBodyKind::InvalidJson, 0, "the body starts with a byte order mark"));
    }
    Reader { text, bytes, at: 0, nodes, open, limits }.run()?;
    Ok(text)
}

struct Reader<'a, 't> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    nodes: &'t mut Vec<Node>,
    /// The indices of the containers that are open, outermost first.
    open: &'t mut Vec<u32>,
    limits: &'t Limits,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
}

impl Reader<'_, '_> {
    fn run(&mut self) -> Result<(), BadBody> {
        let mut expect = Expect::Value;
        loop {
            self.space();
            let Some(byte) = self.peek() else { return self.end(expect) };
            expect = match (expect, byte) {
                (Expect::Value | Expect::ValueOrEnd, b'"') => self.string(Kind::String)?,
                (Expect::Key | Expect::KeyOrEnd, b'"') => self.key()?,
                (Expect::CommaOrEnd, b',') => self.comma()?,
                (Expect::Value | Expect::ValueOrEnd, b'{') => self.begin(Kind::Object)?,
                (Expect::Value | Expect::ValueOrEnd, b'[') => self.begin(Kind::Array)?,
                (Expect::CommaOrEnd | Expect::KeyOrEnd, b'}') => self.close(Kind::Object)?,
                (Expect::CommaOrEnd | Expect::ValueOrEnd, b']') => self.close(Kind::Array)?,
                (Expect::Value | Expect::ValueOrEnd, b'-' | b'0'..=b'9') => self.number()?,
                (Expect::Value | Expect::ValueOrEnd, b't') => self.word(b"true", Kind::True)?,
                (Expect::Value | Expect::ValueOrEnd, b'f') => self.word(b"false", Kind::False)?,
                (Expect::Value | Expect::ValueOrEnd, b'n') => self.word(b"null", Kind::Null)?,
                (Expect::CommaOrEnd, _) if self.open.is_empty() => {
                    return Err(self.bad("something follows the document"));
                }
                _ => return Err(self.bad("not valid JSON")),
            };
        }
    }

    fn end(&self, expect: Expect) -> Result<(), BadBody> {
        if expect == Expect::CommaOrEnd && self.open.is_empty() {
            Ok(())
        } else if self.nodes.is_empty() {
            Err(self.bad("the body is empty"))
        } else {
            Err(self.bad("the document is cut short"))
        }
    }

    fn bad(&self, message: &str) -> BadBody {
        BadBody::at(BadBodyKind::InvalidJson, self.at, message)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.step();
        }
    }

    /// Adds a node. Offsets fit: the length was checked.
    fn push(&mut self, kind: Kind, escaped: bool, start: usize, end: usize) -> Result<u32, BadBody> {
        let index = self.nodes.len();
        if index >= self.limits.max_nodes as usize {
            return Err(BadBody::at(BadBodyKind::TooManyNodes, start, "the document has too many values"));
        }
        let index = index as u32;
        self.nodes.push(Node { kind, escaped, start: start as u32, end: end as u32, next: index.saturating_add(1) });
        Ok(index)
    }

    fn begin(&mut self, kind: Kind) -> Result<Expect, BadBody> {
        if self.open.len() >= self.limits.max_depth as usize {
            return Err(BadBody::at(BadBodyKind::TooDeep, self.at, "the document is nested too deeply"));
        }
        let index = self.push(kind, false, self.at, self.at)?;
        self.open.push(index);
        self.step();
        Ok(if kind == Kind::Object { Expect::KeyOrEnd } else { Expect::ValueOrEnd })
    }

    fn close(&mut self, kind: Kind) -> Result<Expect, BadBody> {
        let next = self.nodes.len() as u32;
        let end = self.at.saturating_add(1) as u32;
        let Some(index) = self.open.pop() else { return Err(self.bad("not valid JSON")) };
        match self.nodes.get_mut(index as usize) {
            Some(node) if node.kind == kind => {
                node.next = next;
                node.end = end;
            }
            _ => return Err(self.bad("brackets do not match")),
        }
        if kind == Kind::Object {
            self.refuse_duplicates(index)?;
        }
        self.step();
        Ok(Expect::CommaOrEnd)
    }

    fn comma(&mut self) -> Result<Expect, BadBody> {
        let Some(container) = self.open.last().and_then(|&index| self.nodes.get(index as usize)) else {
            return Err(self.bad("something follows the document"));
        };
        let expect = if container.kind == Kind::Object { Expect::Key } else { Expect::Value };
        self.step();
        Ok(expect)
    }

    fn key(&mut self) -> Result<Expect, BadBody> {
        let start = self.at;
        self.string(Kind::Key)?;
        if self.at.saturating_sub(start) > MAX_KEY {
            return Err(BadBody::at(BadBodyKind::TooLong, start, "a key is too long"));
        }
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.bad("a key without a colon"));
        }
        self.step();
        Ok(Expect::Value)
    }

    fn string(&mut self, kind: Kind) -> Result<Expect, BadBody> {
        self.step();
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            self.at = self.at.saturating_add(plain_run(rest));
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.bad("a control character in a string")),
                None => return Err(self.bad("a string is cut short")),
            }
        }
        self.push(kind, escaped, start, self.at)?;
        self.step();
        Ok(Expect::CommaOrEnd)
    }

    fn escape(&mut self) -> Result<(), BadBody> {
        let length = match self.bytes.get(self.at.saturating_add(1)) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => match self.hex_after(self.at) {
                None => return Err(self.bad("a bad escape in a string")),
                Some(0xd800..0xdc00) => {
                    let second = self.at.saturating_add(6);
                    let is_escape = self.bytes.get(second..second.saturating_add(2)) == Some(b"\\u");
                    match self.hex_after(second) {
                        Some(0xdc00..0xe000) if is_escape => 12,
                        _ => return Err(self.lone_surrogate()),
                    }
                }
                Some(0xdc00..0xe000) => return Err(self.lone_surrogate()),
                Some(_) => 6,
            },
            _ => return Err(self.bad("a bad escape in a string")),
        };
        self.at = self.at.saturating_add(length);
        Ok(())
    }

    fn hex_after(&self, escape: usize) -> Option<u32> {
        let start = escape.saturating_add(2);
        self.bytes.get(start..start.saturating_add(4)).and_then(hex4)
    }

    fn lone_surrogate(&self) -> BadBody {
        BadBody::at(BadBodyKind::LoneSurrogate, self.at, "half of a surrogate pair in a string")
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.step();
        }
        self.at.saturating_sub(start)
    }

    fn number(&mut self) -> Result<Expect, BadBody> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.step();
        }
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return Err(self.bad("a malformed number"));
        }
        if self.peek() == Some(b'.') {
            self.step();
            if self.digits() == 0 {
                return Err(self.bad("a malformed number"));
            }
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.step();
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.step();
            }
            if self.digits() == 0 {
                return Err(self.bad("a malformed number"));
            }
        }
        if self.at.saturating_sub(start) > MAX_NUMBER {
            return Err(BadBody::at(BadBodyKind::TooLong, start, "a number is too long"));
        }
        // Beyond a double, readers disagree: infinity, an error, or a big number.
        let finite = || self.text.get(start..self.at).and_then(|t| t.parse::<f64>().ok()).is_some_and(f64::is_finite);
        if (exponent || whole > 308) && !finite() {
            return Err(BadBody::at(BadBodyKind::TooLong, start, "a number is out of range"));
        }
        self.push(Kind::Number, false, start, self.at)?;
        Ok(Expect::CommaOrEnd)
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<Expect, BadBody> {
        let start = self.at;
        let end = start.saturating_add(word.len());
        if self.bytes.get(start..end) != Some(word) {
            return Err(self.bad("not valid JSON"));
        }
        self.push(kind, false, start, end)?;
        self.at = end;
        Ok(Expect::CommaOrEnd)
    }

    /// Refuses an object with two keys that some reader could take for the same: equal once decoded, or equal up
    /// to a NUL (readers with C strings).
    fn refuse_duplicates(&self, object: u32) -> Result<(), BadBody> {
        let keys = || {
            let mut at = (object as usize).saturating_add(1);
            std::iter::from_fn(move || {
                let key = self.nodes.get(at)?;
                at = self.nodes.get(at.saturating_add(1))?.next as usize;
                Some(key)
            })
        };
        let mut plain = 0_usize;
        let mut escaped = false;
        for key in keys() {
            plain = plain.saturating_add(1);
            escaped |= key.escaped;
        }
        if !escaped && plain <= FEW_KEYS {
            for (position, key) in keys().enumerate().skip(1) {
                let length = key.end.saturating_sub(key.start);
                let same_length = |earlier: &&Node| earlier.end.saturating_sub(earlier.start) == length;
                let mut twins = keys().take(position).filter(same_length);
                if twins.any(|earlier| self.raw(earlier) == self.raw(key)) {
                    return Err(duplicate(key));
                }
            }
            return Ok(());
        }
        let mut decoded: Vec<(Cow<'_, str>, &Node)> = keys().map(|key| (self.until_nul(key), key)).collect();
        decoded.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let twin = decoded.windows(2).find_map(|pair| match pair {
            [a, b] if a.0 == b.0 => Some(if a.1.start > b.1.start { a.1 } else { b.1 }),
            _ => None,
        });
        twin.map_or(Ok(()), |key| Err(duplicate(key)))
    }

    fn raw(&self, node: &Node) -> &str {
        self.text.get(node.start as usize..node.end as usize).unwrap_or_default()
    }

    fn until_nul(&self, key: &Node) -> Cow<'_, str> {
        let raw = self.raw(key);
        if !key.escaped {
            return Cow::Borrowed(raw);
        }
        let mut decoded = unescape(raw);
        if let Some(nul) = decoded.find('\0') {
            decoded.truncate(nul);
        }
        Cow::Owned(decoded)
    }
}

fn duplicate(key: &Node) -> BadBody {
    BadBody::at(BadBodyKind::DuplicateKey, key.start as usize, "an object has the same key twice")
}

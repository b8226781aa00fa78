//! The values a text carries: parameters, JSON strings, headers, the end or the quote of a short sentence.

use super::decode::{Plain, decode};
use super::gate::{odd_quote, suspicious};
use super::prose::{self, Prose};
use super::{LONGEST, MOST_ROWS};

/// Most values looked at in one text.
const MOST: usize = 64;
/// Longest structured text (JSON, a request) taken apart, in bytes.
const LONGEST_BODY: usize = 64 * 1024;

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the whole text.
    Whole,
    /// In a field of something structured.
    Field,
    /// At the end of a short sentence, or quoted in it.
    Tail,
}

/// One value with its readings.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) place: Place,
    /// As written.
    pub(super) written: &'a str,
    /// What the text says before it.
    pub(super) head: &'a str,
    /// The name of its field, lower case.
    pub(super) name: String,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Plain words of the whole text.
    pub(super) prose_words: usize,
    /// It stands inside a sentence, or in JSON, where much may be written.
    pub(super) spoken_in: bool,
    /// The whole text speaks of code.
    pub(super) technical: bool,
    /// It was encoded as no honest encoder does.
    pub(super) forced: bool,
    readings: Vec<(u128, String)>,
}

impl Value<'_> {
    /// It stands in a sentence that does not speak of code.
    pub(super) fn spoken(&self) -> bool {
        !self.technical && (self.head.chars().next().is_some_and(char::is_uppercase) || self.head.ends_with(": "))
    }

    /// As written and decoded, in lower case, different ones only; each with the set of its ASCII bytes.
    pub(super) fn readings(&self) -> impl Iterator<Item = (u128, &str)> {
        self.readings.iter().map(|(bytes, text)| (*bytes, text.as_str()))
    }
}

/// Values of one text, as they are found.
struct Values<'a> {
    text: &'a str,
    prose: &'a Prose,
    /// Values found now stand in a sentence or in JSON.
    lenient: bool,
    /// Values found now are strings of JSON.
    json: bool,
    found: Vec<Value<'a>>,
}

/// Takes `text` apart.
pub(super) fn values<'a>(text: &'a str, prose: &'a Prose) -> Vec<Value<'a>> {
    let mut values = Values { text, prose, lenient: false, json: false, found: Vec::new() };
    let trimmed = text.trim();
    let structured = trimmed.len() <= LONGEST_BODY;
    if structured && (trimmed.starts_with(['{', '['])) {
        values.json(trimmed);
    }
    if structured && is_request(trimmed) {
        values.request(trimmed);
        return values.found;
    }
    if trimmed.len() > LONGEST || trimmed.lines().count() > MOST_ROWS {
        return values.found;
    }
    if !trimmed.contains('\n') {
        values.query(trimmed, 0);
        values.header(trimmed);
        values.literal(trimmed);
    }
    if prose.asks || prose.words_without_sql > prose::MOST {
        return values.found;
    }
    values.add(Place::Whole, "", trimmed);
    if prose.words >= 1 {
        values.tails(trimmed);
    }
    values.found
}

impl<'a> Values<'a> {
    fn add(&mut self, place: Place, name: &str, written: &'a str) {
        let written = written.trim_matches([' ', '\t', '\r', '\n']);
        if written.is_empty() || written.len() > LONGEST || self.found.len() >= MOST {
            return;
        }
        if place == Place::Field
            && (self.lenient || name.is_empty())
            && !suspicious(written.as_bytes())
            && !written.contains(['(', ':', ','])
        {
            return;
        }
        if self.found.iter().any(|known| known.written == written && (known.place == place || place == Place::Tail)) {
            return;
        }
        let lower = written.to_ascii_lowercase();
        let lower = if self.json { unescaped(lower) } else { lower };
        let mut readings = Vec::new();
        let hidden = memchr::memchr3(b'%', b'&', b'\\', lower.as_bytes()).is_some() || lower.contains("0x");
        let plain = if hidden { decode(&lower) } else { Plain::default() };
        if !lower.contains(char::is_whitespace) && lower.contains('+') {
            readings.push(decode(&lower.replace('+', " ")).text);
        }
        if hidden && plain.text != lower {
            readings.push(plain.text);
        }
        readings.push(lower);
        // In a field every detector looks.
        let own = if place == Place::Field && !self.lenient { u128::MAX } else { set(written) };
        let readings = readings.into_iter().map(|text| (own | set(&text), text)).collect();
        let start = (written.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let (end, forced) = (start + written.len(), plain.forced);
        let head = self.text.get(..start).unwrap_or_default();
        self.found.push(Value {
            place,
            written,
            head,
            name: name.to_ascii_lowercase(),
            start,
            end,
            prose_words: self.prose.words,
            spoken_in: self.lenient,
            technical: self.prose.technical,
            forced,
            readings,
        });
    }

    /// `a=1&b=2`, alone, at the start of a text or behind the `?` of an address.
    fn query(&mut self, text: &'a str, depth: usize) {
        let starts = memchr::memchr_iter(b'?', text.as_bytes()).map(|at| at + 1);
        for start in [0].into_iter().chain(starts.take(4)) {
            let Some(rest) = text.get(start..) else { continue };
            let Some((name, value)) = named(rest) else { continue };
            self.add(Place::Field, name, value);
            // An address inside a sentence ends where the sentence goes on, or with it.
            for piece in rest.split('&').filter(|piece| piece.len() < rest.len()) {
                if let Some((name, value)) = named(piece) {
                    self.add(Place::Field, name, value);
                    if depth == 0 && value.contains('?') {
                        self.query(value, 1);
                    }
                }
            }
        }
        // Names can carry something too.
        if !text.contains(char::is_whitespace) && (text.starts_with('/') || text.contains("://")) {
            self.add(Place::Field, "", text);
        }
    }

    /// `Name: value` on one line.
    fn header(&mut self, text: &'a str) {
        let Some((name, value)) = text.split_once(':') else { return };
        let token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let lower = name.to_ascii_lowercase();
        let known = ["host", "cookie", "referer", "range", "origin", "accept", "authorization", "from", "forwarded"];
        if !token
            || name.is_empty()
            || !(name.contains('-') && value.starts_with(' ') || known.contains(&lower.as_str()))
        {
            return;
        }
        if lower == "cookie" {
            for piece in value.split(';') {
                if let Some((name, value)) = piece.split_once('=') {
                    self.add(Place::Field, name, value);
                }
            }
        }
        if !(lower.starts_with("accept") || lower == "host") {
            self.query(value.trim(), 1);
        }
        self.add(Place::Field, &lower, value);
    }

    /// Every string of a JSON text, well formed or not.
    fn json(&mut self, text: &'a str) {
        let before = std::mem::replace(&mut self.lenient, true);
        let mut name = "";
        let mut rest = text;
        while let Some(open) = rest.find('"') {
            let inner = rest.get(open + 1..).unwrap_or_default();
            let Some(close) = closing(inner) else { break };
            let string = inner.get(..close).unwrap_or_default();
            let after = inner.get(close + 1..).unwrap_or_default();
            if after.trim_start().starts_with(':') {
                name = string;
            } else {
                self.json = string.contains('\\');
                self.add(Place::Field, name, string);
                self.json = false;
            }
            rest = after;
        }
        // A string whose own quotes were not escaped.
        if text.len() <= LONGEST
            && let Some((before, value)) = text.split_once("\": \"").or_else(|| text.split_once("\":\""))
            && let Some((value, _)) = value.rsplit_once('"')
        {
            let name = before.rsplit('"').next().unwrap_or_default();
            self.add(Place::Field, name, value);
        }
        self.lenient = before;
    }

    /// An HTTP request: its target, headers and body.
    fn request(&mut self, text: &'a str) {
        let (head, body) = text.split_once("\r\n\r\n").or_else(|| text.split_once("\n\n")).unwrap_or((text, ""));
        let mut lines = head.lines();
        if let Some(first) = lines.next() {
            let target = first.split_once(' ').map_or("", |(_, rest)| rest);
            let target = target.rsplit_once(" HTTP/").map_or(target, |(target, _)| target);
            self.query(target, 0);
            self.add(Place::Field, "target", target);
        }
        lines.take(40).for_each(|line| self.header(line));
        let body = body.trim();
        if body.starts_with(['{', '[']) {
            self.json(body);
        } else if body.len() <= LONGEST {
            self.query(body, 0);
            if named(body).is_none() || body.contains(char::is_whitespace) {
                self.add(Place::Field, "body", body);
            }
        }
    }

    /// The literal a query compares with, where there is one.
    fn literal(&mut self, text: &'a str) {
        let text = text.trim_end_matches(|letter: char| letter == ';' || letter.is_whitespace());
        if let Some((_, value)) = text.split_once("= '")
            && let Some(value) = value.strip_suffix('\'')
            && !value.contains('\'')
        {
            self.lenient = true;
            self.add(Place::Field, "literal", value);
            self.lenient = false;
        }
    }

    /// Fields of a tail that has some.
    fn nested(&mut self, tail: &'a str) {
        if self.prose.technical || tail.contains('\n') || self.text.starts_with('<') {
            return;
        }
        let before = std::mem::replace(&mut self.lenient, true);
        if tail.starts_with('{') {
            self.json(tail);
        }
        if let Some((name, value)) = named(tail) {
            self.add(Place::Field, name, value);
        }
        self.lenient = before;
    }

    /// What a sentence leads up to: behind its colon, between its quotes, from its first odd word on.
    fn tails(&mut self, text: &'a str) {
        if let Some((before, value)) = text.split_once(": ")
            && before.split_whitespace().count() <= 10
        {
            self.add(Place::Tail, "", value);
            self.nested(value);
        }
        for quote in ['"', '`', '\''] {
            let opens = |at: &usize| at.checked_sub(1).and_then(|at| text.as_bytes().get(at)) == Some(&b' ');
            let open = text.match_indices(quote).map(|(at, _)| at).find(opens);
            if let Some(open) = open
                && let Some(close) = text.rfind(quote)
                && close > open + 1
                && let Some(inner) = text.get(open + 1..close)
            {
                self.add(Place::Tail, "", inner);
            }
        }
        let odd = |token: &str| {
            token.bytes().any(|byte| matches!(byte, b'#'..=b'&' | b'*' | b'+' | b'/' | b';'..=b'>' | b'@' | b'['..=b'^' | b'`' | b'{'..=b'~'))
                || odd_quote(token.as_bytes())
                || token.contains("--")
        };
        let (mut first, mut sign, mut last, mut nth) = (None, None, 0, 0);
        // Where words of SQL, or numbers, begin that go on up to here.
        let mut keywords: Option<usize> = None;
        for token in text.split_whitespace() {
            let start = (token.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            if odd(token) {
                first = first.or((nth > 0).then(|| keywords.unwrap_or(start)));
                sign = sign.or((nth > 0).then_some(start));
                last = start + token.len();
            }
            keywords = is_keyword(token).then(|| keywords.unwrap_or(start));
            nth += 1;
        }
        if let Some(first) = first {
            self.nested(text.get(first..).unwrap_or_default());
            self.add(Place::Tail, "", text.get(first..).unwrap_or_default());
            // The keyword may have been a word of the sentence.
            if let Some(sign) = sign.filter(|sign| *sign > first) {
                self.add(Place::Tail, "", text.get(sign..).unwrap_or_default());
            }
            // What goes on behind it may be prose again.
            if text.len() > last + 3 {
                self.add(Place::Tail, "", text.get(first..last).unwrap_or_default());
            }
        }
    }
}

/// A JSON string without the escapes of JSON; those that name a letter by its code are left to the decoder.
fn unescaped(text: String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('f' | 'b') => out.push('\x0c'),
            Some(plain @ ('"' | '\\' | '/')) => out.push(plain),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// The ASCII bytes of a text.
fn set(text: &str) -> u128 {
    text.bytes().filter(u8::is_ascii).fold(0, |all, byte| all | 1 << byte)
}

/// A word SQL goes on with, or a number.
fn is_keyword(token: &str) -> bool {
    const WORDS: [&str; 19] = [
        "or", "and", "union", "all", "select", "order", "by", "group", "having", "where", "not", "like", "null",
        "exec", "distinct", "limit", "waitfor", "delay", "xor",
    ];
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(token)) || token.bytes().all(|byte| byte.is_ascii_digit())
}

/// `name=value` at the start of a text.
fn named(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let byte =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'$' | b'%');
    (!name.is_empty() && name.len() <= 40 && name.bytes().all(byte) && !value.starts_with('=')).then_some((name, value))
}

/// Where a JSON string ends.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'"', bytes).find(|at| {
        let before = bytes.get(..*at).unwrap_or_default();
        before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
    })
}

/// Whether a text begins like an HTTP request.
fn is_request(text: &str) -> bool {
    const METHODS: [&str; 9] = ["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
    let first = text.lines().next().unwrap_or_default();
    first.split_once(' ').is_some_and(|(method, rest)| {
        METHODS.contains(&method) && (rest.contains(" HTTP/") || rest.starts_with('/') && !text.contains('\n'))
    })
}

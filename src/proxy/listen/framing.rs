//! Where one HTTP/1 request ends and the next begins: RFC 9112, read strictly. Pure; hyper only sees what passes here.

use memchr::memchr;

use super::chunked::Chunked;
use super::refuse::Refuse;

/// What surrounds the target in a request line: the longest method we know, two spaces and the version.
const REQUEST_LINE_REST: usize = 32;

/// The caps of one request head.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLimits {
    /// Bytes of the whole head.
    pub(super) max_head: usize,
    /// Bytes of the request target.
    pub(super) max_target: usize,
    /// Header fields.
    pub(super) max_headers: usize,
}

/// Follows the requests of one connection: head, body by its framing, next head.
#[derive(Debug)]
pub(super) struct Framing {
    limits: HeadLimits,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Head),
    /// That many bytes of body remain.
    Length(u64),
    Chunked(Box<Chunked>),
}

/// What is known of a head that is still arriving. Offsets count from its first byte.
#[derive(Debug, Default)]
struct Head {
    line: usize,
    searched: usize,
    blank_before: bool,
    request_line: bool,
    version_10: bool,
    fields: usize,
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// Before the first request of a connection.
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self { limits, state: State::Head(Head::default()) }
    }

    /// Whether a request's body is still arriving.
    pub(super) fn in_body(&self) -> bool {
        !matches!(self.state, State::Head(_))
    }

    /// Reads a head. `bytes` are all bytes since its first one, at each call again. `Some(n)`: the head is its first `n`
    /// bytes, and what follows is for [`Framing::body`] if [`Framing::in_body`], else the next head.
    pub(super) fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refuse> {
        let State::Head(head) = &mut self.state else { return Ok(Some(0)) };
        while let Some(rest) = bytes.get(head.searched..) {
            let Some(found) = memchr(b'\n', rest) else {
                head.partial(bytes, &self.limits)?;
                return Ok(None);
            };
            let end = head.searched + found;
            let line = bytes.get(head.line..end).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(Refuse::bad("a line of the request head does not end in CRLF"));
            };
            head.line = end + 1;
            head.searched = end + 1;
            if head.line > self.limits.max_head {
                return Err(HEAD_TOO_LARGE);
            }
            if !head.request_line {
                if line.is_empty() && !head.blank_before {
                    head.blank_before = true;
                } else {
                    head.read_request_line(line, &self.limits)?;
                }
            } else if line.is_empty() {
                let length = head.line;
                self.state = head.body()?;
                return Ok(Some(length));
            } else {
                head.read_field(line, &self.limits)?;
            }
        }
        Ok(None)
    }

    /// Reads body bytes: how many of them belong to the body and are sound, and what is wrong with the next one. Fewer
    /// than given without an error: the request ends there.
    pub(super) fn body(&mut self, bytes: &[u8]) -> (usize, Result<(), Refuse>) {
        match &mut self.state {
            State::Head(_) => (0, Ok(())),
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.state = State::Head(Head::default());
                }
                (taken, Ok(()))
            }
            State::Chunked(chunked) => {
                let (taken, outcome) = chunked.read(bytes);
                match outcome {
                    Ok(true) => {
                        self.state = State::Head(Head::default());
                        (taken, Ok(()))
                    }
                    Ok(false) => (taken, Ok(())),
                    Err(refuse) => (taken, Err(refuse)),
                }
            }
        }
    }
}

const HEAD_TOO_LARGE: Refuse = Refuse::new(431, "headers_too_large", "the request head is too large");
pub(super) const TARGET_TOO_LONG: Refuse = Refuse::new(414, "target_too_long", "the request target is too long");
pub(super) const TOO_MANY_HEADERS: Refuse =
    Refuse::new(431, "too_many_headers", "the request has too many header fields");

impl Head {
    /// What can be said of a line before its end has come: so that nonsense is answered, not waited for.
    fn partial(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<(), Refuse> {
        let line = bytes.get(self.line..).unwrap_or_default();
        let fresh = bytes.get(self.searched..).unwrap_or_default();
        self.searched = bytes.len();
        if !self.request_line {
            if let Some(first) = line.first()
                && !first.is_ascii_uppercase()
                && *first != b'\r'
            {
                return Err(Refuse::bad("this is not an HTTP request"));
            }
            if line.len() > limits.max_target + REQUEST_LINE_REST {
                return Err(TARGET_TOO_LONG);
            }
        }
        if bytes.len() > limits.max_head {
            return Err(HEAD_TOO_LARGE);
        }
        let checked = fresh.strip_suffix(b"\r").unwrap_or(fresh);
        if has_control(checked) {
            return Err(Refuse::bad("the request head has a control character"));
        }
        Ok(())
    }

    fn read_request_line(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), Refuse> {
        self.request_line = true;
        let malformed = Refuse::bad("the request line is not METHOD SP target SP HTTP/1.1");
        let space = memchr(b' ', line).ok_or(malformed)?;
        let (method, rest) = line.split_at_checked(space).ok_or(malformed)?;
        let rest = rest.get(1..).ok_or(malformed)?;
        if method.is_empty()
            || method.len() > 24
            || !method.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-')
        {
            return Err(Refuse::bad("the request method is not upper-case letters"));
        }
        let (target, version) = rest.len().checked_sub(9).and_then(|at| rest.split_at_checked(at)).ok_or(malformed)?;
        match version {
            b" HTTP/1.1" => {}
            b" HTTP/1.0" => self.version_10 = true,
            [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Refuse::new(505, "http_version_not_supported", "this HTTP version is not served here"));
            }
            _ => return Err(malformed),
        }
        if method == b"CONNECT" || method == b"TRACE" {
            return Err(Refuse::new(405, "method_not_allowed", "this method is not allowed"));
        }
        if target.len() > limits.max_target {
            return Err(TARGET_TOO_LONG);
        }
        check_target(method, target)
    }

    fn read_field(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), Refuse> {
        self.fields += 1;
        if self.fields > limits.max_headers {
            return Err(TOO_MANY_HEADERS);
        }
        let colon = line.iter().position(|byte| !is_token(*byte)).unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let Some((b':', value)) = value.split_first().filter(|_| !name.is_empty()) else {
            return Err(Refuse::bad("a header name is empty or has a character that is not allowed there"));
        };
        if has_control(value) {
            return Err(Refuse::bad("a header value has a control character"));
        }
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(Refuse::bad("more than one Content-Length"));
                }
                self.length = Some(read_length(value)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked {
                    return Err(Refuse::bad("more than one Transfer-Encoding"));
                }
                if trim_start(value) != b"chunked" {
                    return Err(Refuse::bad("the only Transfer-Encoding served here is chunked"));
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// The state after this head; RFC 9112, section 6.3, with every doubt refused.
    fn body(&self) -> Result<State, Refuse> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refuse::bad("both Content-Length and Transfer-Encoding")),
            (true, None) if self.version_10 => Err(Refuse::bad("Transfer-Encoding in HTTP/1.0")),
            (true, None) => Ok(State::Chunked(Box::new(Chunked::new()))),
            (false, None | Some(0)) => Ok(State::Head(Self::default())),
            (false, Some(length)) => Ok(State::Length(length)),
        }
    }
}

/// Origin form, absolute form with `http` or `https`, or `OPTIONS *`; only characters of RFC 3986 and `[` `]`.
fn check_target(method: &[u8], target: &[u8]) -> Result<(), Refuse> {
    let absolute = |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    let form = match target {
        [b'/', ..] => true,
        b"*" => method == b"OPTIONS",
        _ => absolute(b"http://") || absolute(b"https://"),
    };
    if !form {
        return Err(Refuse::bad("the request target has no form that is served here"));
    }
    if !target.iter().all(|byte| is_target(*byte)) {
        return Err(Refuse::bad("the request target has a character that is not allowed there"));
    }
    Ok(())
}

/// `1*DIGIT` without a superfluous zero: what every reader takes for the same number.
fn read_length(value: &[u8]) -> Result<u64, Refuse> {
    let odd = Refuse::bad("Content-Length is not a plain decimal number");
    let digits = trim_start(value);
    if digits.is_empty() || digits.len() > 18 || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return Err(odd);
    }
    digits.iter().try_fold(
        0u64,
        |sum, byte| {
            if byte.is_ascii_digit() { Ok(sum * 10 + u64::from(byte - b'0')) } else { Err(odd) }
        },
    )
}

/// Spaces before a value. In the two framing fields nothing else around it passes.
fn trim_start(value: &[u8]) -> &[u8] {
    let spaces = value.iter().take_while(|byte| **byte == b' ').count();
    value.get(spaces..).unwrap_or_default()
}

/// Branch-free, so that it runs sixteen bytes at a time.
pub(super) fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |bad, byte| bad | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7f))
}

/// `tchar` of RFC 9110, section 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

/// The characters of RFC 3986, and brackets, which clients put into queries.
fn is_target(byte: u8) -> bool {
    TARGET.get(usize::from(byte)).copied().unwrap_or(false)
}

static TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
static TARGET: [bool; 256] = table(b"-._~!$&'()*+,;=:@/?%[]");

/// Letters, digits and `extra`.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time: an index out of bounds would not build")]
const fn table(extra: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < extra.len() {
        table[extra[at] as usize] = true;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use hyper::Uri;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { max_head: 4096, max_target: 1024, max_headers: 20 };

    /// Requests found in `bytes` when they arrive in `parts`, and the refusal that ended it. Works as the guard does:
    /// what is not yet taken is shown again.
    fn read(parts: &[&[u8]]) -> (Vec<Vec<u8>>, Option<Refuse>) {
        let mut framing = Framing::new(LIMITS);
        let (mut stash, mut message, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            stash.extend_from_slice(part);
            loop {
                let taken = if framing.in_body() {
                    let (taken, outcome) = framing.body(&stash);
                    if let Err(refuse) = outcome {
                        return (whole, Some(refuse));
                    }
                    taken
                } else {
                    match framing.head(&stash) {
                        Ok(Some(length)) => length,
                        Ok(None) => 0,
                        Err(refuse) => return (whole, Some(refuse)),
                    }
                };
                if taken == 0 {
                    break;
                }
                message.extend(stash.drain(..taken));
                if !framing.in_body() {
                    whole.push(std::mem::take(&mut message));
                }
            }
        }
        (whole, None)
    }

    const SOUND: [&str; 4] = [
        "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nGET / HTTP/",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\na\r\n\r\n1F\r\n0123456789012345678901234567890\r\n0\r\nX-Sum: 1\r\n\r\n",
        "\r\nPOST /0 HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
    ];

    #[test]
    fn requests_end_where_they_end_however_they_arrive() {
        let all = SOUND.concat().into_bytes();
        let expected: Vec<Vec<u8>> = SOUND.iter().map(|request| request.as_bytes().to_vec()).collect();
        assert_eq!(read(&[&all]), (expected.clone(), None));
        let bytes: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(read(&bytes), (expected.clone(), None));
        for one in 0..all.len() {
            for two in (one..all.len()).step_by(7) {
                let parts = [&all[..one], &all[one..two], &all[two..]];
                assert_eq!(read(&parts), (expected.clone(), None), "{one} {two}");
            }
        }
    }

    #[test]
    fn a_refusal_does_not_depend_on_how_the_bytes_arrive() {
        for (bytes, message) in [
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", "CRLF"),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "header name"),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", "longer"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n", "chunk size"),
        ] {
            for parts in
                [vec![bytes.as_bytes()], bytes.as_bytes().chunks(1).collect(), bytes.as_bytes().chunks(3).collect()]
            {
                let (whole, refuse) = read(&parts);
                assert!(whole.is_empty());
                assert!(refuse.unwrap().message.contains(message), "{bytes:?} {refuse:?}");
            }
        }
    }

    #[test]
    fn nonsense_is_answered_before_its_end() {
        for bytes in [
            "\u{16}\u{3}\u{1}",
            "{",
            "\u{0}",
            "get",
            "GET / HTTP/1.1\r\nX: \u{0}",
            "GET / HTTP/1.1\nHost",
            "GET /\r\n",
            "\n",
        ] {
            assert!(read(&[bytes.as_bytes()]).1.is_some(), "{bytes:?}");
        }
        let long = "x".repeat(5000);
        assert_eq!(read(&[format!("GET /{long}").as_bytes()]).1.map(|refuse| refuse.status), Some(414));
        assert_eq!(read(&[format!("GET / HTTP/1.1\r\nX: {long}").as_bytes()]).1.map(|refuse| refuse.status), Some(431));
    }

    #[test]
    fn hyper_takes_every_target_that_passes() {
        for byte in 0..=255 {
            for target in [&[b'/', b'a', byte][..], &[b'/', b'?', byte]] {
                if check_target(b"GET", target).is_ok() {
                    assert!(Uri::try_from(target).is_ok(), "{byte:#04x}");
                }
            }
        }
    }

    #[test]
    fn lengths_beyond_any_body_are_refused_not_wrapped() {
        assert_eq!(read_length(b" 999999999999999999").ok(), Some(999_999_999_999_999_999));
        assert!(read_length(b"1000000000000000000").is_err());
        let mut chunked = Chunked::new();
        assert!(chunked.read(b"FFFFFFFFFFFFFFFF\r\n").1.is_err());
    }
}

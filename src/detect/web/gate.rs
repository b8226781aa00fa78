//! A cheap look at a text, before anything is taken apart: prose has too few signs to hide a payload.

/// Share of signs from which on a long text is looked at: one in so many bytes.
const SPARSE: usize = 40;
/// Texts up to this many bytes are looked at for a single sign; fewer than 256, so that a byte counts them.
const SHORT: usize = 200;
/// Longest word looked at for its own shape, in bytes.
const WORD: usize = 64;

/// Whether a text can be anything but prose.
pub(super) fn suspicious(text: &[u8]) -> bool {
    if text.len() > SHORT {
        return signs(text) * SPARSE >= text.len() || serialised(text);
    }
    let shares = text.iter().fold(0_u64, |sum, byte| sum + SHARES.get(usize::from(*byte)).copied().unwrap_or(0));
    let count = |nth: u32| shares >> (8 * nth) & 0xff;
    let (signs, quotes, dashes, opens) = (count(0), count(1), count(2), count(3));
    let (colons, dots, lines) = (count(4), count(5), count(6));
    if signs > 1 || signs == 1 && (text.len() <= 48 || opens + colons > 0) {
        return true;
    }
    quotes > 0 && odd_quote(text) && (signs > 0 || text.len() <= 24 || quote_goes_on(text))
        || dashes > 1 && text.array_windows().any(|pair| pair == b"--")
        || opens + colons > 0 && (is_word(text) || opens > 0 && text.array_windows().any(|pair| calls(*pair)))
        || colons > 0 && describes_sender(text)
        || dots > 0 && is_word(text) && dotted(text)
        || lines > 0 && queries(text)
        || number_goes_on(text)
        || serialised(text)
}

/// A header whose value is told by its words alone.
fn describes_sender(text: &[u8]) -> bool {
    [
        b"user-agent:".as_slice(),
        b"range:",
        b"x-original-url:",
        b"x-rewrite-url:",
        b"transfer-encoding:",
        b"x-filename:",
        b"content-disposition:",
    ]
    .iter()
    .any(|name| text.get(..name.len()).is_some_and(|own| own.eq_ignore_ascii_case(name)))
}

/// One word: `http:a.example`, `phpinfo()`.
fn is_word(text: &[u8]) -> bool {
    text.len() <= WORD && memchr::memchr3(b' ', b'\n', b'\t', text).is_none()
}

/// `$(`, `('`, `a(`, `)(`: an opening parenthesis as calls have it.
fn calls(pair: [u8; 2]) -> bool {
    match pair {
        [before, b'('] => before.is_ascii_alphanumeric() || matches!(before, b'$' | b')' | b'_'),
        [b'(', after] => matches!(after, b'\'' | b'"'),
        _ => false,
    }
}

/// `..2fetc`, `.env`.
fn dotted(text: &[u8]) -> bool {
    let start = text.trim_ascii_start();
    start.first() == Some(&b'.') || start.array_windows().any(|pair| pair == b"..")
}

/// A query over a name such as no prose has: `select a_b from c`.
fn queries(text: &[u8]) -> bool {
    text.array_windows().any(|five: &[u8; 5]| five.eq_ignore_ascii_case(b"elect") || five == b" from")
}

/// How serialised objects and packed data begin.
fn serialised(text: &[u8]) -> bool {
    const STARTS: [&[u8]; 7] = [b"rO0AB", b"aced0005", b"ACED0005", b"H4sIAAAA", b"gASV", b"AAEAAAD/////", b"BAh"];
    matches!(text.first(), Some(b'r' | b'a' | b'A' | b'H' | b'g' | b'B'))
        && STARTS.iter().any(|start| text.starts_with(start))
        && memchr::memchr(b' ', text).is_none()
}

/// By byte, in counters of 8 bits: a sign, a quote, a dash, an opening parenthesis, a colon, a dot, a low line.
#[expect(clippy::indexing_slicing, reason = "a wrong index would not compile")]
static SHARES: [u64; 256] = {
    let mut all = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte] = match byte as u8 {
            b'\'' | b'"' => 1 << 8,
            b'-' => 1 << 16,
            b'(' => 1 << 24,
            b':' => 1 << 32,
            b'.' => 1 << 40,
            b'_' => 1 << 48,
            other => is_sign(other) as u64,
        };
        byte += 1;
    }
    all
};

/// Signs that prose hardly uses.
fn signs(text: &[u8]) -> usize {
    let mut all = 0;
    for part in text.chunks(128) {
        let count: u8 = part.iter().map(|byte| u8::from(is_sign(*byte))).fold(0, u8::wrapping_add);
        all += usize::from(count);
    }
    all
}

#[inline]
const fn is_sign(byte: u8) -> bool {
    // # $ % &   * +   /   ; < = >   @   [ \ ] ^   `   { | } ~. Without branches, so that many bytes go at once.
    (byte.wrapping_sub(b'#') < 4)
        | (byte.wrapping_sub(b'*') < 2)
        | (byte == b'/')
        | (byte.wrapping_sub(b';') < 4)
        | (byte == b'@')
        | (byte.wrapping_sub(b'[') < 4)
        | (byte == b'`')
        | (byte.wrapping_sub(b'{') < 4)
}

/// A quote that is no apostrophe: not between two letters.
pub(super) fn odd_quote(text: &[u8]) -> bool {
    let letter = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphabetic);
    memchr::memchr2_iter(b'\'', b'"', text).any(|at| !letter(at.checked_sub(1)) || !letter(Some(at + 1)))
}

/// A quote with a word of SQL behind it.
fn quote_goes_on(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'\'', b'"', text).any(|at| goes_on(text.get(at + 1..).unwrap_or_default()))
}

/// A number at the start with a word of SQL behind it, also without a space between.
fn number_goes_on(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    if !matches!(text.first(), Some(b'0'..=b'9' | b'-')) {
        return false;
    }
    let inside = |byte: &&u8| byte.is_ascii_digit() || matches!(**byte, b'-' | b'.');
    let digits = text.iter().take_while(inside).count();
    digits > 0 && digits < 24 && goes_on(text.get(digits..).unwrap_or_default())
}

/// Whether a word SQL goes on with comes next.
fn goes_on(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 16] = [
        b"or",
        b"and",
        b"union",
        b"order",
        b"having",
        b"group",
        b"like",
        b"is",
        b"xor",
        b"not",
        b"limit",
        b"rlike",
        b"regexp",
        b"procedure",
        b"e0union",
        b"e(",
    ];
    let skipped = text.iter().take_while(|byte| matches!(byte, b' ' | b')' | b'\'' | b'"')).count();
    let rest = text.get(skipped..).unwrap_or_default();
    WORDS.iter().any(|word| rest.get(..word.len()).is_some_and(|own| own.eq_ignore_ascii_case(word)))
}

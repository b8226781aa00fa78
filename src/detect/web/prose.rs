//! How much of a text is prose, and whether it asks about code.

use std::sync::LazyLock;

/// Share of signs from which on a long text is looked at: one in so many bytes.
const SPARSE: usize = 40;
/// Plain words from which on a text is prose, whatever it contains.
pub(super) const MOST: usize = 16;
/// Texts up to this many bytes are looked at for a single sign.
const SHORT: usize = 200;

/// The words around a value.
#[derive(Debug, Default)]
pub(super) struct Prose {
    /// Plain words.
    pub(super) words: usize,
    /// Plain words that are not words of SQL.
    pub(super) words_without_sql: usize,
    /// It asks, explains or is about defence.
    pub(super) asks: bool,
    /// It speaks of code.
    pub(super) technical: bool,
}

/// A cheap look: whether a text has enough signs to be anything but prose.
pub(super) fn suspicious(text: &[u8]) -> bool {
    if text.len() > SHORT {
        return signs(text) * SPARSE >= text.len();
    }
    let shares = text.iter().fold(0_u64, |sum, byte| sum + SHARES.get(usize::from(*byte)).copied().unwrap_or(0));
    let count = |nth: u32| shares >> (16 * nth) & 0xffff;
    let (signs, quotes, dashes, opens) = (count(0), count(1), count(2), count(3));
    if signs > 1 || signs == 1 && text.len() <= 48 {
        return true;
    }
    // One word with a colon or a call in it: `http:a.example`, `phpinfo()`.
    let one = |text: &[u8]| text.len() <= 64 && memchr::memchr3(b' ', b'\n', b'\t', text).is_none();
    quotes > 0 && odd_quote(text) && (signs > 0 || text.len() <= 24 || quote_goes_on(text))
        || dashes > 1 && text.array_windows().any(|pair| pair == b"--")
        || opens > 0 && (one(text) || text.array_windows().any(|pair| matches!(pair, b"$(" | b"('")))
}

/// By byte, in counters of 16 bits: a sign, a quote, a dash, a colon or an opening parenthesis.
#[expect(clippy::indexing_slicing, reason = "a wrong index would not compile")]
static SHARES: [u64; 256] = {
    let mut all = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte] = match byte as u8 {
            b'\'' | b'"' => 1 << 16,
            b'-' => 1 << 32,
            b':' | b'(' => 1 << 48,
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
    memchr::memchr2_iter(b'\'', b'"', text).any(|at| {
        let rest = text.get(at + 1..).unwrap_or_default();
        let skipped = rest.iter().take_while(|byte| matches!(byte, b' ' | b')' | b'\'' | b'"')).count();
        let rest = rest.get(skipped..).unwrap_or_default();
        [b"or".as_slice(), b"and", b"union", b"order", b"having", b"group", b"like", b"is", b"xor", b"not", b"limit"]
            .iter()
            .any(|word| rest.get(..word.len()).is_some_and(|own| own.eq_ignore_ascii_case(word)))
    })
}

impl Prose {
    /// Counts the words of `text`, until it is prose whatever follows.
    pub(super) fn of(text: &str) -> Self {
        let mut own = Self::default();
        let (mut first, mut opens) = (true, false);
        for token in text.split_ascii_whitespace() {
            let Some(word) = plain_word(token) else { continue };
            let kinds = KINDS.get(word);
            // Scripts without spaces between words.
            let weight = if word.is_ascii() { 1 } else { 1 + word.chars().count() / 8 };
            own.words += weight;
            own.words_without_sql += if kinds & KIND_SQL == 0 { weight } else { 0 };
            own.asks |= kinds & KIND_ASKS != 0;
            opens |= first && kinds & KIND_OPENS != 0;
            own.technical |= kinds & KIND_TECHNICAL != 0;
            first = false;
            if own.words_without_sql > MOST {
                break;
            }
        }
        let end = text.trim_end();
        own.asks |= opens && own.words >= 2;
        own.asks |= own.words_without_sql >= 3 && (end.ends_with('?') || end.ends_with('？'));
        own
    }
}

/// A word of letters, without the signs of a sentence around it.
fn plain_word(token: &str) -> Option<&str> {
    let word = token.trim_start_matches(['"', '\'', '(']);
    let word = word.trim_end_matches(['.', ',', '!', '?', ':', ';', '"', '\'', ')']);
    let inside = |byte: u8| byte.is_ascii_alphabetic() || byte >= 0x80 || matches!(byte, b'\'' | b'-');
    let plain = word.bytes().all(inside) && word.bytes().next().is_some_and(|byte| byte != b'-' && byte != b'\'');
    (plain && (word.len() > 1 || matches!(word, "a" | "A" | "I"))).then_some(word)
}

const KIND_ASKS: u8 = 1;
const KIND_OPENS: u8 = 2;
const KIND_TECHNICAL: u8 = 4;
const KIND_SQL: u8 = 8;

/// The kinds of words that have one.
static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::new);

/// Words by a hash of their letters without case.
struct Kinds(Vec<Vec<(&'static str, u8)>>);

impl Kinds {
    const SLOTS: usize = 1024;

    fn new() -> Self {
        let mut slots: Vec<Vec<(&'static str, u8)>> = vec![Vec::new(); Self::SLOTS];
        for (list, kind) in [(ASKS, KIND_ASKS), (OPENERS, KIND_OPENS), (TECHNICAL, KIND_TECHNICAL), (SQL, KIND_SQL)] {
            for word in list {
                let Some(slot) = slots.get_mut(Self::slot(word)) else { continue };
                match slot.iter_mut().find(|(known, _)| known == word) {
                    Some((_, kinds)) => *kinds |= kind,
                    None => slot.push((word, kind)),
                }
            }
        }
        Self(slots)
    }

    fn slot(word: &str) -> usize {
        let hash = word.bytes().fold(0_u32, |hash, byte| (hash ^ u32::from(byte | 0x20)).wrapping_mul(0x0100_0193));
        (hash ^ hash >> 15) as usize % Self::SLOTS
    }

    fn get(&self, word: &str) -> u8 {
        let slot = self.0.get(Self::slot(word)).map(Vec::as_slice).unwrap_or_default();
        slot.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map_or(0, |(_, kinds)| *kinds)
    }
}

/// Words of questions, lessons and defence.
const ASKS: &[&str] = &[
    "attack",
    "attacker",
    "attackers",
    "attacks",
    "avoid",
    "block",
    "blocked",
    "blocks",
    "bypass",
    "compile",
    "convert",
    "correct",
    "csrf",
    "cve",
    "dangerous",
    "debug",
    "deprecated",
    "describe",
    "detect",
    "detecting",
    "detection",
    "detects",
    "developers",
    "difference",
    "documentation",
    "equivalent",
    "escape",
    "escaping",
    "example",
    "examples",
    "explain",
    "explained",
    "explaining",
    "explains",
    "exploit",
    "exploits",
    "filtered",
    "fix",
    "generate",
    "how",
    "implement",
    "injection",
    "injections",
    "insecure",
    "lesson",
    "lint",
    "linter",
    "malicious",
    "meaning",
    "means",
    "mitigate",
    "mitigation",
    "optimise",
    "optimize",
    "owasp",
    "payload",
    "payloads",
    "pentest",
    "prevent",
    "preventing",
    "prevention",
    "prevents",
    "protect",
    "protects",
    "refactor",
    "regex",
    "rewrite",
    "sanitise",
    "sanitize",
    "sanitizing",
    "should",
    "simplify",
    "snippet",
    "syntax",
    "troubleshoot",
    "tutorial",
    "understand",
    "unsafe",
    "vulnerabilities",
    "vulnerability",
    "vulnerable",
    "what",
    "what's",
    "which",
    "why",
    "xss",
];

/// Words that make a question of a text they open.
const OPENERS: &[&str] =
    &["are", "can", "could", "create", "do", "does", "is", "review", "teach", "when", "where", "who", "would", "write"];

/// Words of those who write about code.
const TECHNICAL: &[&str] = &[
    "bash",
    "cd",
    "class",
    "code",
    "command",
    "commands",
    "component",
    "css",
    "directory",
    "error",
    "exec",
    "expression",
    "file",
    "files",
    "folder",
    "following",
    "function",
    "given",
    "html",
    "install",
    "java",
    "javascript",
    "json",
    "line",
    "loop",
    "method",
    "output",
    "php",
    "print",
    "program",
    "python",
    "queries",
    "query",
    "regex",
    "returns",
    "run",
    "running",
    "script",
    "shell",
    "sql",
    "statement",
    "string",
    "sudo",
    "template",
    "terminal",
    "use",
    "uses",
    "using",
];

/// Words of SQL, which are no prose.
const SQL: &[&str] = &[
    "all",
    "alter",
    "analyse",
    "and",
    "as",
    "asc",
    "begin",
    "between",
    "by",
    "case",
    "cast",
    "columns",
    "create",
    "database",
    "declare",
    "delay",
    "delete",
    "desc",
    "distinct",
    "div",
    "drop",
    "else",
    "end",
    "exec",
    "execute",
    "exists",
    "from",
    "grant",
    "group",
    "having",
    "id",
    "if",
    "immediate",
    "in",
    "information",
    "insert",
    "into",
    "is",
    "join",
    "like",
    "limit",
    "master",
    "name",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outfile",
    "password",
    "procedure",
    "regexp",
    "rlike",
    "schema",
    "select",
    "set",
    "shutdown",
    "table",
    "tables",
    "then",
    "top",
    "truncate",
    "union",
    "update",
    "user",
    "username",
    "users",
    "values",
    "varchar",
    "waitfor",
    "when",
    "where",
    "xor",
];

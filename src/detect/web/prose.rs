//! How much of a text is prose, and whether it asks about code.

/// Share of signs from which on a long text is looked at: one in so many bytes.
const SPARSE: usize = 40;
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
    let signs = signs(text);
    if signs == 0 {
        return text.len() <= SHORT && (text.windows(2).any(|pair| pair == b"--") || odd_quote(text));
    }
    text.len() <= SHORT || signs * SPARSE >= text.len()
}

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
    // # $ % &   * +   /   ; < = >   @   [ \ ] ^   `   { | } ~
    byte.wrapping_sub(b'#') < 4
        || byte.wrapping_sub(b'*') < 2
        || byte == b'/'
        || byte.wrapping_sub(b';') < 4
        || byte == b'@'
        || byte.wrapping_sub(b'[') < 4
        || byte == b'`'
        || byte.wrapping_sub(b'{') < 4
}

/// A quote that is no apostrophe: not between two letters.
pub(super) fn odd_quote(text: &[u8]) -> bool {
    let letter = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphabetic);
    memchr::memchr2_iter(b'\'', b'"', text).any(|at| !letter(at.checked_sub(1)) || !letter(Some(at + 1)))
}

impl Prose {
    /// Counts the words of `text`.
    pub(super) fn of(text: &str) -> Self {
        let mut own = Self::default();
        let mut first = true;
        for token in text.split_whitespace() {
            let word = token.trim_matches(|letter: char| letter.is_ascii_punctuation());
            let plain = |letter: char| letter.is_alphabetic() || matches!(letter, '\'' | '-' | '’');
            let inner = token
                .trim_start_matches(['"', '\'', '('])
                .trim_end_matches(['.', ',', '!', '?', ':', ';', '"', '\'', ')']);
            if word.is_empty() || word.len() != inner.len() || !word.chars().all(plain) {
                continue;
            }
            if word.len() == 1 && !matches!(word, "a" | "A" | "I") {
                continue;
            }
            let lower = word.to_ascii_lowercase();
            // Scripts without spaces between words.
            let weight = if word.is_ascii() { 1 } else { 1 + word.chars().count() / 8 };
            own.words += weight;
            own.words_without_sql += if SQL.contains(&lower.as_str()) { 0 } else { weight };
            own.asks |= ASKS.contains(&lower.as_str()) || first && OPENERS.contains(&lower.as_str());
            own.technical |= TECHNICAL.contains(&lower.as_str());
            first = false;
        }
        let end = text.trim_end();
        own.asks |= own.words_without_sql >= 3 && (end.ends_with('?') || end.ends_with('？'));
        own
    }
}

/// Words of questions, lessons and defence.
const ASKS: &[&str] = &[
    "what",
    "what's",
    "how",
    "why",
    "which",
    "explain",
    "explains",
    "explained",
    "explaining",
    "prevent",
    "prevents",
    "preventing",
    "prevention",
    "detect",
    "detects",
    "detecting",
    "detection",
    "example",
    "examples",
    "meaning",
    "means",
    "protect",
    "protects",
    "sanitize",
    "sanitise",
    "sanitizing",
    "escape",
    "escaping",
    "vulnerable",
    "vulnerability",
    "vulnerabilities",
    "attack",
    "attacks",
    "attacker",
    "attackers",
    "injection",
    "injections",
    "payload",
    "payloads",
    "mitigate",
    "mitigation",
    "difference",
    "understand",
    "tutorial",
    "lesson",
    "owasp",
    "xss",
    "csrf",
    "cve",
    "pentest",
    "refactor",
    "debug",
    "optimise",
    "optimize",
    "compile",
    "syntax",
    "regex",
    "linter",
    "deprecated",
    "documentation",
    "troubleshoot",
    "developers",
    "dangerous",
    "malicious",
    "block",
    "blocked",
    "blocks",
    "filtered",
    "unsafe",
    "insecure",
    "bypass",
    "exploit",
    "exploits",
    "avoid",
    "rewrite",
    "lint",
    "fix",
    "convert",
    "should",
    "equivalent",
    "correct",
    "snippet",
    "implement",
    "generate",
    "simplify",
    "describe",
];

/// Words that make a question of a text they open.
const OPENERS: &[&str] =
    &["is", "are", "can", "could", "does", "do", "would", "when", "where", "who", "review", "write", "create", "teach"];

/// Words of those who write about code.
const TECHNICAL: &[&str] = &[
    "code",
    "function",
    "method",
    "query",
    "queries",
    "statement",
    "script",
    "command",
    "commands",
    "shell",
    "bash",
    "python",
    "javascript",
    "java",
    "php",
    "html",
    "sql",
    "css",
    "json",
    "regex",
    "class",
    "loop",
    "terminal",
    "output",
    "returns",
    "error",
    "file",
    "files",
    "directory",
    "folder",
    "install",
    "print",
    "using",
    "use",
    "uses",
    "given",
    "program",
    "expression",
    "template",
    "component",
    "string",
    "line",
    "following",
];

/// Words of SQL, which are no prose.
const SQL: &[&str] = &[
    "select",
    "union",
    "all",
    "from",
    "where",
    "and",
    "or",
    "order",
    "by",
    "group",
    "having",
    "limit",
    "like",
    "null",
    "insert",
    "into",
    "values",
    "update",
    "set",
    "delete",
    "drop",
    "table",
    "database",
    "create",
    "as",
    "distinct",
    "exec",
    "execute",
    "declare",
    "varchar",
    "waitfor",
    "delay",
    "in",
    "not",
    "is",
    "between",
    "user",
    "users",
    "username",
    "password",
    "name",
    "id",
    "begin",
    "end",
    "if",
    "else",
    "case",
    "when",
    "then",
    "exists",
    "join",
    "on",
    "shutdown",
    "truncate",
    "alter",
    "grant",
    "procedure",
    "analyse",
    "outfile",
    "rlike",
    "regexp",
    "xor",
    "div",
    "desc",
    "asc",
    "immediate",
    "offset",
    "top",
    "cast",
    "master",
    "information",
    "schema",
    "tables",
    "columns",
];

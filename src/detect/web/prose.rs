//! How much of a text is prose, and whether it asks about code.

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
    let signs = signs(text);
    if signs > 0 {
        return text.len() <= SHORT || signs * SPARSE >= text.len();
    }
    if text.len() > SHORT {
        return false;
    }
    // One word with a colon or a call in it: `http:a.example`, `phpinfo()`.
    let one = |text: &[u8]| text.len() <= 64 && memchr::memchr3(b' ', b'\n', b'\t', text).is_none();
    memchr::memmem::find(text, b"--").is_some()
        || odd_quote(text)
        || one(text) && memchr::memchr2(b'(', b':', text).is_some()
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
            if own.words_without_sql > MOST {
                break;
            }
            // Scripts without spaces between words.
            let weight = if word.is_ascii() { 1 } else { 1 + word.chars().count() / 8 };
            own.words += weight;
            own.words_without_sql += if SQL.binary_search(&lower.as_str()).is_ok() { 0 } else { weight };
            own.asks |=
                ASKS.binary_search(&lower.as_str()).is_ok() || first && OPENERS.binary_search(&lower.as_str()).is_ok();
            own.technical |= TECHNICAL.binary_search(&lower.as_str()).is_ok();
            first = false;
        }
        let end = text.trim_end();
        own.asks |= own.words_without_sql >= 3 && (end.ends_with('?') || end.ends_with('？'));
        own
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

#[cfg(test)]
mod tests {
    use super::{ASKS, OPENERS, SQL, TECHNICAL};

    #[test]
    fn lists_are_sorted() {
        for list in [ASKS, OPENERS, SQL, TECHNICAL] {
            assert!(list.is_sorted());
        }
    }
}

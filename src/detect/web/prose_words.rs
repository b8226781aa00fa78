//! Words that tell what a text around a value is about.

/// It asks, explains or is about defence.
pub(super) const KIND_ASKS: u8 = 1;
/// It asks where it opens a text.
pub(super) const KIND_OPENS: u8 = 2;
/// It is a word of those who write about code.
pub(super) const KIND_TECHNICAL: u8 = 4;
/// It is a word of SQL.
pub(super) const KIND_SQL: u8 = 8;

/// Words of questions, lessons and defence.
pub(super) const ASKS: &[&str] = &["attack", "attacker", "attackers", "attacks", "avoid", "block", "blocked", "blocks", "bypass", "compile", "convert", "correct", "csrf", "cve", "dangerous", "debug", "deprecated", "describe", "detect", "detecting", "detection", "detects", "developers", "difference", "documentation", "equivalent", "escape", "escaping", "example", "examples", "explain", "explained", "explaining", "explains", "exploit", "exploits", "filtered", "fix", "generate", "how", "implement", "injection", "injections", "insecure", "lesson", "lint", "linter", "malicious", "meaning", "means", "mitigate", "mitigation", "optimise", "optimize", "owasp", "payload", "payloads", "pentest", "prevent", "preventing", "prevention", "prevents", "protect", "protects", "refactor", "regex", "rewrite", "sanitise", "sanitize", "sanitizing", "should", "simplify", "snippet", "syntax", "troubleshoot", "tutorial", "understand", "unsafe", "vulnerabilities", "vulnerability", "vulnerable", "what", "what's", "which", "why", "xss"];

/// Words that make a question of a text they open.
pub(super) const OPENERS: &[&str] = &["are", "can", "could", "create", "do", "does", "is", "review", "teach", "when", "where", "who", "would", "write"];

/// Words of those who write about code.
pub(super) const TECHNICAL: &[&str] = &["bash", "cd", "class", "code", "command", "commands", "component", "css", "directory", "error", "exec", "expression", "file", "files", "folder", "following", "function", "given", "html", "install", "java", "javascript", "json", "line", "loop", "method", "output", "php", "print", "program", "python", "queries", "query", "regex", "returns", "run", "running", "script", "shell", "sql", "statement", "string", "sudo", "template", "terminal", "use", "uses", "using"];

/// Words of SQL, which are no prose.
pub(super) const SQL: &[&str] = &["all", "alter", "analyse", "and", "as", "asc", "begin", "between", "by", "case", "cast", "columns", "create", "database", "declare", "delay", "delete", "desc", "distinct", "div", "drop", "else", "end", "exec", "execute", "exists", "from", "grant", "group", "having", "id", "if", "immediate", "in", "information", "insert", "into", "is", "join", "like", "limit", "master", "name", "not", "null", "offset", "on", "or", "order", "outfile", "password", "procedure", "regexp", "rlike", "schema", "select", "set", "shutdown", "table", "tables", "then", "top", "truncate", "union", "update", "user", "username", "users", "values", "varchar", "waitfor", "when", "where", "xor"];

/// The same in Spanish, Portuguese, French, German, Italian, Dutch, Polish, Russian, Turkish and Indonesian.
pub(super) const ASKS_ELSEWHERE: &[&str] = &["cómo", "qué", "cuál", "explica", "explícame", "explicar", "significa", "ejemplo", "prevenir", "evitar", "vulnerabilidad", "inyección", "ataque", "explique", "exemplo", "vulnerabilidade", "injeção", "porque", "pourquoi", "quelle", "quelles", "quels", "expliquer", "expliquez", "signifie", "exemple", "éviter", "prévenir", "vulnérabilité", "attaque", "empêcher", "wie", "warum", "wieso", "welche", "welcher", "welches", "erkläre", "erklären", "bedeutet", "beispiel", "verhindern", "vermeiden", "sicherheitslücke", "angriff", "schützen", "perché", "spiega", "spiegami", "spiegare", "esempio", "prevenire", "evitare", "vulnerabilità", "attacco", "iniezione", "hoe", "waarom", "welke", "uitleggen", "betekent", "voorbeeld", "voorkomen", "kwetsbaarheid", "aanval", "dlaczego", "wyjaśnij", "oznacza", "przykład", "zapobiec", "podatność", "как", "Как", "почему", "Почему", "объясни", "Объясни", "объясните", "означает", "пример", "предотвратить", "уязвимость", "атака", "инъекция", "что", "Что", "nasıl", "neden", "açıkla", "örnek", "saldırı", "önlemek", "anlamı", "nedir", "jelaskan", "bagaimana", "mengapa", "contoh"];

/// The same where words are not set apart: Chinese, Japanese, Korean.
pub(super) const ASKS_UNSPACED: &[&str] = &["如何", "什么", "为什么", "解释", "どう", "説明", "なぜ", "어떻게", "설명", "무엇", "왜"];

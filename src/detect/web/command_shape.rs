//! What separators, arguments and names look like where a command was appended.

use super::command_names::RISKY;
use super::command_spelling::{Program, program};

/// `echo a$(expr 3 + 4)`, `printf a > /tmp/b`.
pub(super) fn writes(name: &str, rest: &str) -> bool {
    let shown = rest.split([';', '|', '&', '\n']).next().unwrap_or_default();
    matches!(name, "echo" | "printf" | "print")
        && (shown.contains("$(")
            || shown.contains("> /")
            || shown.contains(">/")
            || shown.contains("=%")
            || shown.contains('*'))
}

/// A separator that was encoded: nothing people do to a text.
pub(super) fn hides_separator(written: &str) -> bool {
    let lower = |at: usize| written.as_bytes().get(at).map(u8::to_ascii_lowercase);
    memchr::memchr_iter(b'%', written.as_bytes()).any(|at| {
        matches!(
            (lower(at + 1), lower(at + 2)),
            (Some(b'3'), Some(b'b'))
                | (Some(b'2'), Some(b'6'))
                | (Some(b'7'), Some(b'c'))
                | (Some(b'0'), Some(b'a' | b'd'))
                | (Some(b'6'), Some(b'0'))
        )
    })
}

/// It ends as values do: with a digit, a quote or a parenthesis, or it is an address or a file.
pub(super) fn ends_like_value(text: &str) -> bool {
    let single = !text.contains(char::is_whitespace);
    single
        && (text.contains(['@', '=', '.'])
            || text
                .bytes()
                .next_back()
                .is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'\'' | b'"' | b')')))
}

/// Arguments that only commands have.
pub(super) fn points(name: &str, arguments: &str, word: bool) -> bool {
    const NUMERIC: [&str; 12] =
        ["init", "telinit", "sleep", "ping", "ping6", "timeout", "kill", "expr", "nc", "ncat", "start-sleep", "usleep"];
    let begins = match arguments.strip_prefix('/') {
        Some(rest) => !rest.starts_with(' ') && !rest.is_empty() || rest.trim_start().starts_with('-'),
        None => arguments.starts_with(['-', '$', '%', '~', '<', '>', '"', '\'']) && arguments.len() > 1,
    };
    let digit = arguments.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    let first = arguments.split_whitespace().next().unwrap_or_default();
    let inside = if word {
        arguments.contains("://")
            || arguments.contains(":\\")
            || first.contains(['/', '\\', '.']) && !first.ends_with('.')
    } else {
        arguments.contains(['/', '\\', ':', '.'])
    };
    begins || inside || digit && (NUMERIC.contains(&name) || !word)
}

/// `a=who;b=ami;$a$b`, `$'\x69'`, `for i in 1 2;do id`, `. /tmp/x`: a command that is not written out.
pub(super) fn built(after: &str) -> bool {
    let text = after.trim_start();
    let expands = text.strip_prefix('$').is_some_and(|rest| {
        rest.starts_with(['{', '\'', '(', '"'])
            || rest.starts_with(|letter: char| letter.is_ascii_alphabetic()) && !rest.contains(' ')
    });
    let assigned = text.split_once('=').is_some_and(|(name, rest)| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && rest.split_once([';', '&']).is_some_and(|(_, rest)| rest.contains(&format!("${name}")))
    });
    let loops = ["for ", "while ", "until ", "if "].iter().any(|word| text.starts_with(word))
        && [";do ", "; do ", ";then ", "; then "].iter().any(|word| text.contains(word));
    let batch = text.starts_with("for /") && text.contains(" in (")
        || text.starts_with("if exist ")
        || text.starts_with("@echo");
    let sourced = text.strip_prefix(". ").is_some_and(|rest| rest.starts_with(['/', '~']));
    expands || assigned || loops || batch || sourced
}

/// `calc.exe`, `get-childitem`.
pub(super) fn is_file_or_cmdlet(name: &str) -> bool {
    let file = [".exe", ".bat", ".ps1", ".vbs"].iter().any(|end| name.len() > end.len() && name.ends_with(end));
    file || is_cmdlet(name)
}

pub(super) const VERBS: [&str; 16] = [
    "get",
    "set",
    "new",
    "invoke",
    "start",
    "stop",
    "remove",
    "add",
    "import",
    "export",
    "out",
    "write",
    "select",
    "where",
    "foreach",
    "convertto",
];

pub(super) const NOUNS: [&str; 24] = [
    "process",
    "service",
    "childitem",
    "content",
    "item",
    "object",
    "webrequest",
    "restmethod",
    "expression",
    "command",
    "sleep",
    "job",
    "executionpolicy",
    "wmiobject",
    "ciminstance",
    "localuser",
    "acl",
    "eventlog",
    "location",
    "variable",
    "type",
    "module",
    "string",
    "host",
];

/// `get-childitem`: a verb and a noun of PowerShell.
pub(super) fn is_cmdlet(name: &str) -> bool {
    name.split_once('-').is_some_and(|(verb, noun)| VERBS.contains(&verb) && NOUNS.contains(&noun))
}

/// A program, also behind one that runs it: `time id`, `nohup id`, `sudo -u x id`.
pub(super) fn wrapped(after: &str) -> Option<(Program, &str)> {
    let (outer, rest) = program(after)?;
    if !WRAPPERS.contains(&outer.name.as_str()) {
        return Some((outer, rest));
    }
    let inner = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter.is_whitespace());
    match program(inner) {
        Some((program, rest)) if RISKY.contains(&program.name) && !inner.starts_with('-') => Some((program, rest)),
        _ => Some((outer, rest)),
    }
}

/// Programs that run another.
pub(super) const WRAPPERS: [&str; 12] =
    ["time", "nohup", "nice", "ionice", "env", "xargs", "eval", "exec", "command", "sudo", "timeout", "setsid"];

/// Arguments no ordinary pipeline has.
pub(super) fn dangerous(arguments: &str) -> bool {
    [
        "/etc/", "http", "system(", "-e", "-r", "-c ", "$((", "sleep", "%", "<?", "/tmp", "c:", "/var/www", ".php",
        "/dev/",
    ]
    .iter()
    .any(|part| arguments.contains(part))
}

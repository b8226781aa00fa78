//! Code, serialised objects and lookups that run on a server.

use super::Confidence::{self, Certain, Likely};
use super::carrier::{Place, Value};
use super::code_names::{SURE, WRITTEN};
use super::list::list;

list!(SURE_LIST, SURE);
list!(WRITTEN_LIST, WRITTEN);

/// Whether a reading of a value is code of a server.
pub(super) fn look(value: &Value<'_>, text: &str) -> Option<Confidence> {
    if !text.contains(['(', '{', '$', '<', '!', '_', '.', ':', '=', '[', '/']) {
        return None;
    }
    if serialised(text) {
        return Some(Certain);
    }
    if breaks_out(text) {
        return Some(if value.place == Place::Field { Certain } else { Likely });
    }
    let written = !SURE_LIST.any(text);
    if written && !WRITTEN_LIST.any(text) {
        return None;
    }
    let short = text.len() <= 200 && text.lines().count() <= 2;
    let words = text.split_whitespace().count();
    match value.place {
        Place::Field if written => (text.len() <= 600).then_some(Likely),
        Place::Field => Some(Certain),
        Place::Whole | Place::Tail if !written => (text.len() <= 800).then_some(Certain),
        Place::Whole if short && (words <= 6 || text.starts_with("eval(compile(")) && strays(text) => Some(Likely),
        Place::Whole if text.starts_with('{') && text.contains("\"__proto__\"") => Some(Certain),
        Place::Tail if short && value.spoken() && (words <= 2 || strays(text)) => Some(Likely),
        Place::Whole | Place::Tail => None,
    }
}

/// `preg_replace('/a/e', 'b')`, `new java.lang.ProcessBuilder("id").start()`: one call and nothing else.
fn single_call(text: &str) -> bool {
    let text = text.trim().trim_end_matches(';');
    let text = text.strip_prefix("new ").unwrap_or(text);
    let name = text.split('(').next().unwrap_or_default();
    let named = !name.is_empty()
        && name.len() <= 60
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'[' | b']' | b'\''));
    // Not what developers write all day.
    let daily = ["print", "console", "require", "import", "len", "str", "chr", "var_dump", "print_r", "open", "fopen"];
    named && text.ends_with([')', '}']) && !daily.iter().any(|own| name == *own || name.starts_with(&format!("{own}.")))
}

/// `'.print(6*7).'`, `';print(6*7);//`: a call put between the ends of two strings, or before a comment.
fn breaks_out(text: &str) -> bool {
    let text = text.trim();
    let Some(rest) = text.strip_prefix(['\'', '"']).filter(|rest| rest.len() <= 200 && rest.contains('(')) else {
        return false;
    };
    let called = rest.split('(').next().unwrap_or_default();
    let name = called.trim_start_matches([')', ';', '.', '+', ' ', '}', '@']);
    let named =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
    let joined = rest.starts_with('.') && (text.ends_with(".'") || text.ends_with(".\""))
        || rest.starts_with('+') && text.ends_with("+'")
        || rest.starts_with('+') && text.ends_with("+\"");
    let ended = rest.starts_with([';', ')']) && rest.contains(';') && (text.ends_with("//") || text.ends_with('#'));
    named && (joined || ended)
}

/// Begins as an injected call does: with what ends the expression before it, or with the call itself.
fn strays(text: &str) -> bool {
    let ended = text.starts_with([';', '\'', '"', ')', '}', '|', '&', '`', '{', '$']);
    let called = [
        "system(",
        "exec(",
        "eval(",
        "passthru(",
        "shell_exec(",
        "phpinfo(",
        "__import__(",
        "popen(",
        "<?php system",
        "<?php passthru",
        "<?php exec",
        "<?php eval",
        "<?php phpinfo",
        "<?=`",
        "<?php echo shell",
        "<?php @eval",
        "os.system(",
        "new java.lang",
        "java.lang.",
        "process.mainmodule",
        "eval(",
        "require('child_process').exec",
        "__proto__[",
        "[__proto__",
        "constructor[",
        "global.process",
    ];
    ended
        || single_call(text)
        || called.iter().any(|start| text.starts_with(start))
        || text.contains("<?php system(")
        || text.contains("<?php passthru(")
}

/// `O:8:"Example":1:{`, `a:1:{s:4:`.
fn serialised(text: &str) -> bool {
    ["o:", "a:", "c:"].iter().any(|start| {
        text.match_indices(start).take(6).any(|(at, _)| {
            let rest = text.get(at + start.len()..).unwrap_or_default();
            let rest = rest.strip_prefix('+').unwrap_or(rest);
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let after = rest.get(digits..).unwrap_or_default();
            let alone = text
                .get(..at)
                .and_then(|before| before.chars().next_back())
                .is_none_or(|letter| !letter.is_ascii_alphanumeric());
            digits > 0
                && digits < 5
                && alone
                && (after.starts_with(":\"") || after.starts_with(":{") && rest.contains(";"))
        })
    })
}

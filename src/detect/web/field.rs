//! What is no honest value of a named parameter, though people write it elsewhere: bare calls, names of a server's own
//! objects, single commands.

use super::Confidence::{self, Certain, Likely};
use super::Detector;
use super::carrier::{Place, Value};
use super::command_names::{RISKY, WORDS};
use super::field_names::{CODE, FUNCTIONS, SCRIPT};
use super::strict;

/// Whether a reading of a named field holds what it should not.
pub(super) fn look(value: &Value<'_>, text: &str) -> Option<(Detector, Confidence)> {
    if packed(value.written) {
        return Some((Detector::Code, Certain));
    }
    if value.place == Place::Whole && text.len() <= 200 && !text.contains("//") {
        let hidden = text.contains("/*!") || text.contains("/**/") && text.matches("/**/").count() > 1;
        return hidden.then_some((Detector::Sql, Likely));
    }
    if value.place != Place::Field || value.name.is_empty() || value.spoken_in || text.len() > 1000 {
        return None;
    }
    let likely = |detector| Some((detector, Likely));
    match () {
        () if text.contains("/*!") => Some((Detector::Sql, Certain)),
        () if text.contains("/**/") => likely(Detector::Sql),
        () if SCRIPT.any(text) || text.contains("javascript:") && !text.contains("javascript: ") => {
            likely(Detector::Script)
        }
        () if CODE.any(text) || value.name.contains("__proto__") || value.name.contains("constructor.prototype") => {
            likely(Detector::Code)
        }
        () if !text.starts_with('=') && calls(text) => likely(Detector::Code),
        () if command(text) => likely(Detector::Command),
        () if text.contains("(|(") || text.contains(")(&") => likely(Detector::Query),
        () => strict::look(value, text),
    }
}

/// Objects as Java, Python, .NET, Ruby and gzip write them, in hex or Base64.
fn packed(text: &str) -> bool {
    const STARTS: [(&str, usize); 8] = [
        ("rO0AB", 8),
        ("aced0005", 10),
        ("ACED0005", 10),
        ("H4sIAAAA", 16),
        ("gASV", 24),
        ("AAEAAAD/////", 14),
        ("BAh", 16),
        ("KztAAU", 8),
    ];
    let known = STARTS.iter().any(|(start, least)| text.starts_with(start) && text.len() >= *least);
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'%' | b'-' | b'_');
    known && text.bytes().all(base64) && (!text.starts_with("BAh") || text.bytes().any(|byte| byte.is_ascii_digit()))
}

/// `abs(1)`, `system(ls)`, `(system)(ls)`, `$a('id')`: a call without a space before its parenthesis.
fn calls(text: &str) -> bool {
    let mut opened = text.match_indices('(').take(20);
    opened.any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let name =
            before.rsplit(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap_or_default();
        let variable = before.strip_prefix('$').is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        FUNCTIONS.contains(name) || variable || before.ends_with(')') && text.starts_with('(')
    })
}

/// A single command with an option, a path or an address behind it.
fn command(text: &str) -> bool {
    let hidden = text
        .as_bytes()
        .array_windows()
        .any(|[sign, high, low]| *sign == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    if hidden || text.contains("//") && !text.contains(' ') {
        return false;
    }
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim_start();
    let program = first.trim_start_matches(['{', '(']).split(',').next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or(program);
    let known = RISKY.contains(program);
    let option = rest
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '-'));
    let word = WORDS.contains(program);
    let pointed = rest.starts_with(['/', '$', '~', '|', '>'])
        && !(word && rest.get(1..2).is_none_or(|next| next == " "))
        || rest.contains(":\\")
        || rest.contains("/etc/")
        || rest.contains("> /")
        || rest.contains(" >/");
    let address = rest.split('.').count() == 4
        && rest.split(['.', ' ']).all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let usual = [
        ("ps", "aux"),
        ("ps", "-ef"),
        ("net", "user"),
        ("net", "view"),
        ("net", "localgroup"),
        ("net", "use"),
        ("uname", "-"),
        ("dir", "c:"),
        ("tasklist", "/"),
        ("ipconfig", "/"),
        ("for", "/f"),
        ("if", "exist"),
        ("if", "["),
        ("busybox", ""),
        ("cmd", "/"),
        ("cmd.exe", ""),
        ("powershell", ""),
        ("powershell.exe", ""),
    ];
    let told = !rest.is_empty() && usual.iter().any(|(own, next)| *own == program && rest.starts_with(next));
    let brace = text.starts_with('{') && known && first.contains(',');
    let loops = ["; do ", "; then ", ";do ", ";then "].iter().any(|part| text.contains(part));
    let globbed = text.starts_with('/')
        && !text.contains('=')
        && text.split('/').any(|part| part.split_once('?').is_some_and(|(_, rest)| !rest.is_empty()));
    let bent = ["$@", "$*", "${path", "$shell", "$0", "${shell", "~/.", "$ifs", "${ifs"]
        .iter()
        .any(|part| text.contains(part));
    known && (option || pointed || address) || told || brace || loops || globbed || bent
}

//! Shell commands appended to a value, or in place of one.
//!
//! A pipeline begins with a program and its arguments; an injection begins with a value, or nothing, and a separator.

use super::Confidence::{self, Certain, Likely};
use super::carrier::{Place, Value};
use super::command_names::{FILTERS, RISKY, TELLING, WORDS, usual};
use super::command_shape::{
    built, dangerous, ends_like_value, hides_separator, is_file_or_cmdlet, points, wrapped, writes,
};
use super::command_spelling::{program, straight};
use super::list::list;

list!(SURE_LIST, SURE);

/// Whether a reading of a value runs a command.
pub(super) fn look(value: &Value<'_>, text: &str) -> Option<Confidence> {
    if text.len() > 1500 {
        return None;
    }
    if text.starts_with("#!") {
        return None;
    }
    let escaped = text.contains("\\n") || text.contains("\\r");
    let spelled = escaped.then(|| text.replace("\\r", "\r").replace("\\n", "\n"));
    let text = spelled.as_deref().unwrap_or(text);
    let appended = if value.place == Place::Tail && !value.spoken() { None } else { separated(value, text) };
    let found = alone(value, text).max(appended).max(quoted(value, text));
    if found == Some(Certain) || value.place == Place::Tail && !value.spoken() {
        return found;
    }
    found.max(straight(text).and_then(|plain| separated(value, &plain)))
}

/// `' whoami`: a quote, then a program that needs no arguments.
fn quoted(value: &Value<'_>, text: &str) -> Option<Confidence> {
    let rest = text.strip_prefix(['\'', '"'])?.trim();
    let telling = ["whoami", "ipconfig", "ifconfig", "netstat", "systeminfo", "uname -a", "ls -la", "cat /etc/passwd"];
    ((value.place != Place::Tail || value.spoken()) && telling.contains(&rest)).then_some(Likely)
}

/// A separator, then a program.
fn separated(value: &Value<'_>, text: &str) -> Option<Confidence> {
    let mut best = None;
    let mut from = 0;
    while let Some(at) = text
        .get(from..)
        .and_then(|rest| rest.find([';', '|', '&', '\n', '\r', '`', '$', '<', '>', '%']))
        .map(|at| at + from)
    {
        let rest = text.get(at..).unwrap_or_default();
        let (kind, len) = separator(rest);
        from = at + len.max(1);
        // A row of a script is no separator.
        let head = text.get(..at).unwrap_or_default();
        let row = rest.starts_with(['\n', '\r']) && value.place != Place::Field && value.written.contains('\n');
        if len == 0 || row && !(ends_like_value(head.trim()) && text.lines().count() <= 3) {
            continue;
        }
        let after = text.get(at + len..).unwrap_or_default();
        best = best.max(judge(value, head, kind, after));
        if best == Some(Certain) {
            break;
        }
    }
    best
}

/// What separates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// `;`, `&&`, `||`, `&`, a line break.
    Next,
    Pipe,
    /// `$(` or a backtick.
    Inside,
}

fn separator(text: &str) -> (Separator, usize) {
    let table = [
        ("&&", Separator::Next),
        ("||", Separator::Next),
        (";", Separator::Next),
        ("|", Separator::Pipe),
        ("$((", Separator::Next),
        ("$(", Separator::Inside),
        ("<(", Separator::Inside),
        (">(", Separator::Inside),
        ("`", Separator::Inside),
        ("\r\n", Separator::Next),
        ("\n", Separator::Next),
        ("\r", Separator::Next),
        ("&", Separator::Next),
    ];
    let found = table.iter().find(|(sign, _)| text.starts_with(sign));
    match found {
        Some(("$((", _)) | None => (Separator::Next, 0),
        Some((sign, kind)) => (*kind, sign.len()),
    }
}

fn judge(value: &Value<'_>, head: &str, kind: Separator, after: &str) -> Option<Confidence> {
    let field = value.place == Place::Field;
    let trimmed = head.trim();
    let empty = trimmed.trim_matches(['\'', '"', ')', '(', '\\', '/', '`', ' ']).is_empty();
    let adjoins = kind == Separator::Inside
        && head.len() == head.trim_end().len()
        && !trimmed.is_empty()
        && trimmed.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let encoded = hides_separator(value.written);
    let is_value = empty || adjoins || value_like(head, field || encoded, value.place) || tight(value, head, after);
    if !is_value {
        return None;
    }
    if kind != Separator::Inside && built(after) {
        return Some(if empty || encoded || field { Certain } else { Likely });
    }
    let (program, rest) = wrapped(after)?;
    let known = RISKY.contains(&program.name) || is_file_or_cmdlet(&program.name);
    if !known {
        let spelled = program.name.len() > 1 && program.name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        return (program.bent && spelled && kind == Separator::Inside && field).then_some(Likely);
    }
    // `data:image/png;base64,`
    if rest.starts_with(',') && !program.bent {
        return None;
    }
    let filter = FILTERS.contains(&program.name);
    let arguments = rest.split([';', '|', '&', '\n', '`', ')']).next().unwrap_or_default().trim();
    let telling = TELLING.contains(&program.name);
    let word = WORDS.contains(&program.name);
    let pointed = points(&program.name, arguments, word)
        || kind != Separator::Inside && (rest.starts_with(['`', '$']) || writes(&program.name, rest))
        || usual(&program.name, arguments);
    let ended = arguments.is_empty() || arguments.trim_matches(['#', '"', '\'', '/', '\\', '\0', ' ']).is_empty();
    if kind == Separator::Inside && trimmed.is_empty() && after.ends_with(')') && !after.contains('`') {
        return Some(Certain);
    }
    // `&` also joins words, and parameters of an address.
    let joins = after.starts_with(' ') && value.written.contains(" & ") && word && !pointed && !empty;
    if joins || word && !pointed && !ended {
        return None;
    }
    // Words of prose between separators are no commands, nor is a program that does nothing alone.
    let set_apart = head.ends_with(' ') || after.starts_with(' ');
    let shaped =
        empty || encoded && (!set_apart || trimmed.len() <= 2) || ends_like_value(trimmed) && !trimmed.contains('=');
    let cut = empty && value.place == Place::Tail && !value.head.is_empty() && !value.head.ends_with(": ");
    if ended && word && !program.bent && (!telling || set_apart && (!shaped || cut)) {
        return None;
    }
    match (kind, field || encoded) {
        _ if program.bent => Some(Certain),
        (Separator::Inside, true) => Some(Certain),
        (Separator::Inside, false) => (telling || pointed && !filter).then_some(if empty { Certain } else { Likely }),
        (_, true) if ended => telling.then_some(Certain).or((!filter).then_some(Likely)),
        (_, true) => (pointed || telling || !filter || encoded).then_some(if filter { Likely } else { Certain }),
        (_, false) if ended => telling.then_some(Likely),
        (_, false) if filter => {
            // A pipeline can be quoted from its second part on; a list cannot.
            let begins = empty && (pointed || matches!(program.name.as_str(), "echo" | "printf" | "exec" | "touch"));
            let reads = pointed && dangerous(arguments) && !trimmed.contains(' ');
            (begins && (dangerous(arguments) || kind == Separator::Next) || reads).then_some(Likely)
        }
        (_, false) if pointed => Some(if empty { Certain } else { Likely }),
        (_, false) => (empty && (telling || !word) || !word && !set_apart && shaped).then_some(Likely),
    }
}

/// `abc||whoami`: one word, a separator and a program, without the spaces that people put there.
fn tight(value: &Value<'_>, head: &str, after: &str) -> bool {
    const COMMANDS: [&str; 24] = [
        "make", "cd", "git", "npm", "npx", "yarn", "cargo", "docker", "clear", "cls", "sudo", "pip", "brew", "apt",
        "go", "mvn", "gradle", "cmake", "kubectl", "ll", "la", "history", "jq", "tee",
    ];
    let word = head.trim_end_matches(['\'', '"', ')']);
    value.place == Place::Whole
        && !after.starts_with(' ')
        && !head.is_empty()
        && word.len() <= 24
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        && !COMMANDS.contains(&word)
        && !RISKY.contains(word)
}

/// Whether what stands before a separator is a value, and no command with its arguments.
fn value_like(head: &str, field: bool, place: Place) -> bool {
    let words: Vec<&str> = head.split_whitespace().collect();
    let Some(last) = words.last() else { return true };
    let first = words.first().copied().unwrap_or_default();
    if RISKY.contains(first) && !field {
        return false;
    }
    let single = words.len() == 1;
    let shaped =
        last.bytes().next_back().is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'\'' | b'"' | b')'))
            && !last.starts_with('-')
            || last.contains(['@', '=', '.']) && !last.starts_with('-') && !last.contains(['(', '{', '/']);
    match place {
        Place::Field => words.len() <= 4 && !head.contains(['{', '<']),
        Place::Whole => {
            single && (shaped && !last.contains('$') || head.len() <= 2 && last.len() <= 2 || last.ends_with('*'))
        }
        Place::Tail => single && (shaped || last.len() <= 2),
    }
}

/// Commands that are an attack without any separator.
fn alone(value: &Value<'_>, text: &str) -> Option<Confidence> {
    let short = text.len() <= 400 && text.lines().count() <= 3;
    if !short {
        return None;
    }
    let found = SURE_LIST.each(text).count();
    if text.contains("() {") && text.contains("};") && text.starts_with("() {") {
        return Some(Certain);
    }
    match value.place {
        _ if found == 0 => field_program(value, text),
        Place::Field => Some(Certain),
        Place::Whole | Place::Tail => {
            let weak = ["wget http://", "cat /etc/passwd", "shutdown -h now", "powershell -e ", "/usr/bin/id"];
            let only_weak = SURE_LIST.each(text).filter_map(|at| SURE.get(at)).all(|part| weak.contains(part));
            if only_weak {
                (value.place == Place::Whole && !text.contains("{{") && text.contains("/etc/passwd")).then_some(Likely)
            } else {
                Some(Likely)
            }
        }
    }
}

/// A field whose whole value is a command with arguments.
fn field_program(value: &Value<'_>, text: &str) -> Option<Confidence> {
    if value.place != Place::Field
        || ["command", "cmd", "script", "code", "run", "bash", "shell"].contains(&value.name.as_str())
    {
        return None;
    }
    let hidden = text
        .as_bytes()
        .array_windows()
        .any(|[sign, high, low]| *sign == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    if hidden {
        return None;
    }
    let (program, rest) = program(text)?;
    let arguments = rest.trim();
    let known = RISKY.contains(&program.name) && !FILTERS.contains(&program.name);
    let pointed =
        arguments.starts_with(['-', '/', '$', '%', '~']) || arguments.contains("://") || arguments.contains("/etc/");
    let path = text.starts_with("/bin/") || text.starts_with("/usr/bin/") || text.starts_with("/sbin/");
    (known && (pointed || path) || path && RISKY.contains(&program.name)).then_some(Likely)
}

/// Commands that reach out, take over or read accounts.
const SURE: &[&str] = &[
    "/dev/tcp/",
    "/dev/udp/",
    "nc -e",
    "nc -lvp",
    "ncat -e",
    "-e /bin/sh",
    "-e /bin/bash",
    "-e cmd.exe",
    "bash -i >&",
    "sh -i >&",
    "0<&196",
    "mkfifo /tmp/",
    "pty.spawn(",
    "import socket,subprocess",
    "socket.socket(socket.af_inet",
    "new-object system.net.sockets.tcpclient",
    "fsockopen(\"",
    "tcpsocket.open(",
    "use socket;$i=",
    "exec 5<>",
    "powershell -enc",
    "powershell -e ",
    "-encodedcommand",
    "-w hidden",
    "invoke-mimikatz",
    "certutil -urlcache",
    "certutil.exe -urlcache",
    "mshta http",
    "regsvr32 /s /n /u",
    "rundll32.exe javascript",
    "bitsadmin /transfer",
    "|bash",
    "| base64 -d | sh",
    "|base64 -d|sh",
    "base64 -d|bash",
    "| base64 -d | bash",
    "${ifs}",
    "$ifs$9",
    "cat$ifs",
    "() { :",
    "() {:",
    "(){:;}",
    "() { _",
    "{cat,/",
    "cat</etc",
    "cat /etc/passwd",
    "cat /etc/shadow",
    "type c:\\boot.ini",
    "type c:\\win",
    "%comspec%",
    "/bin/cat /etc",
    "net user /add",
    "<!--#exec",
    "wget http://",
    "shutdown -h now",
    "downloadstring(",
    "iex(new-object",
    "iex (new-object",
    "/bin/sh -i",
    "xterm -display",
    "nc.traditional",
    "net localgroup administrators",
    "os.dup2(",
    "/usr/bin/id",
    "socat exec:",
    "socat tcp",
    "-oproxycommand=",
    "--upload-pack=",
    "--checkpoint-action=",
    "--use-askpass=",
    "--rsh=",
];

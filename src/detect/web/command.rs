//! Shell commands appended to a value, or in place of one.
//!
//! A pipeline begins with a program and its arguments; an injection begins with a value, or nothing, and a separator.

use super::Confidence::{self, Certain, Likely};
use super::carrier::{Place, Value};
use super::command_names::{FILTERS, RISKY, TELLING, WORDS, usual};
use super::command_spelling::{Program, program, straight};
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
    let known = RISKY.contains(&program.name.as_str()) || is_file_or_cmdlet(&program.name);
    if !known {
        let spelled = program.name.len() > 1 && program.name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        return (program.bent && spelled && kind == Separator::Inside && field).then_some(Likely);
    }
    // `data:image/png;base64,`
    if rest.starts_with(',') && !program.bent {
        return None;
    }
    let filter = FILTERS.contains(&program.name.as_str());
    let arguments = rest.split([';', '|', '&', '\n', '`', ')']).next().unwrap_or_default().trim();
    let telling = TELLING.contains(&program.name.as_str());
    let word = WORDS.contains(&program.name.as_str());
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

/// `echo a$(expr 3 + 4)`, `printf a > /tmp/b`.
fn writes(name: &str, rest: &str) -> bool {
    let shown = rest.split([';', '|', '&', '\n']).next().unwrap_or_default();
    matches!(name, "echo" | "printf" | "print")
        && (shown.contains("$(")
            || shown.contains("> /")
            || shown.contains(">/")
            || shown.contains("=%")
            || shown.contains('*'))
}

/// A separator that was encoded: nothing people do to a text.
fn hides_separator(written: &str) -> bool {
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
        && !RISKY.contains(&word)
}

/// It ends as values do: with a digit, a quote or a parenthesis, or it is an address or a file.
fn ends_like_value(text: &str) -> bool {
    let single = !text.contains(char::is_whitespace);
    single
        && (text.contains(['@', '=', '.'])
            || text
                .bytes()
                .next_back()
                .is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'\'' | b'"' | b')')))
}

/// Arguments that only commands have.
fn points(name: &str, arguments: &str, word: bool) -> bool {
    const NUMERIC: [&str; 10] =
        ["sleep", "ping", "ping6", "timeout", "kill", "expr", "nc", "ncat", "start-sleep", "usleep"];
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
fn built(after: &str) -> bool {
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
fn is_file_or_cmdlet(name: &str) -> bool {
    let file = [".exe", ".bat", ".ps1", ".vbs"].iter().any(|end| name.len() > end.len() && name.ends_with(end));
    file || is_cmdlet(name)
}

const VERBS: [&str; 16] = [
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

const NOUNS: [&str; 24] = [
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
fn wrapped(after: &str) -> Option<(Program, &str)> {
    let (outer, rest) = program(after)?;
    if !WRAPPERS.contains(&outer.name.as_str()) {
        return Some((outer, rest));
    }
    let inner = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter.is_whitespace());
    match program(inner) {
        Some((program, rest)) if RISKY.contains(&program.name.as_str()) && !inner.starts_with('-') => {
            Some((program, rest))
        }
        _ => Some((outer, rest)),
    }
}

/// Programs that run another.
const WRAPPERS: [&str; 12] =
    ["time", "nohup", "nice", "ionice", "env", "xargs", "eval", "exec", "command", "sudo", "timeout", "setsid"];

/// Arguments no ordinary pipeline has.
fn dangerous(arguments: &str) -> bool {
    [
        "/etc/", "http", "system(", "-e", "-r", "-c ", "$((", "sleep", "%", "<?", "/tmp", "c:", "/var/www", ".php",
        "/dev/",
    ]
    .iter()
    .any(|part| arguments.contains(part))
}

/// Whether what stands before a separator is a value, and no command with its arguments.
fn value_like(head: &str, field: bool, place: Place) -> bool {
    let words: Vec<&str> = head.split_whitespace().collect();
    let Some(last) = words.last() else { return true };
    let first = words.first().copied().unwrap_or_default();
    if RISKY.contains(&first) && !field {
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
    let known = RISKY.contains(&program.name.as_str()) && !FILTERS.contains(&program.name.as_str());
    let pointed =
        arguments.starts_with(['-', '/', '$', '%', '~']) || arguments.contains("://") || arguments.contains("/etc/");
    let path = text.starts_with("/bin/") || text.starts_with("/usr/bin/") || text.starts_with("/sbin/");
    (known && (pointed || path) || path && RISKY.contains(&program.name.as_str())).then_some(Likely)
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
];

//! Whole values of named fields that nobody types: probes too short to break out of anything, single commands, and what
//! headers say of their sender.

use super::Confidence::{self, Likely};
use super::Detector;
use super::carrier::Value;
use super::command_names::{RISKY, TELLING, WORDS};
use super::command_shape::is_cmdlet;
use super::sql_tokens::{Kind, Token, plain};

/// Whether the whole of a strict field, in one of its readings, is such a value.
pub(super) fn look(value: &Value<'_>, text: &str) -> Option<(Detector, Confidence)> {
    let text = text.trim();
    let found = match () {
        () if sql(text) => Detector::Sql,
        () if command(text) || variable(value.written) => Detector::Command,
        () if header(&value.name, text) => Detector::Server,
        () if script(text) => Detector::Code,
        () => return None,
    };
    Some((found, Likely))
}

fn sql(text: &str) -> bool {
    text.len() <= 200 && (numbers(text) || spelled_in_hex(text) || probe(text) || repeated(text) || own_table(text))
}

/// Numbers at which some type ends, written to see what happens.
fn numbers(text: &str) -> bool {
    const ENDS: [&str; 12] = [
        "2147483648",
        "-2147483649",
        "4294967296",
        "9223372036854775808",
        "18446744073709551616",
        "2.2250738585072007e-308",
        "2.2250738585072011e-308",
        "1.7976931348623159e308",
        "1e309",
        "1e400",
        "0x7fffffffffffffff",
        "-9223372036854775809",
    ];
    ENDS.contains(&text)
}

/// Tables that databases keep for themselves.
fn own_table(text: &str) -> bool {
    const NAMES: [&str; 12] = [
        "msysaces",
        "msysaccess",
        "msysqueries",
        "msysrelationships",
        "sqlite_temp_master",
        "sqlite_master",
        "tempdb..",
        "pg_toast",
        "mysql.db",
        "pg_catalog",
        "sysdatabases",
        "information_schema",
    ];
    NAMES.iter().any(|name| text.contains(name))
}

/// `0x3c62723e`: a text in hex as SQL reads it.
fn spelled_in_hex(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("0x").filter(|digits| digits.len() >= 8 && digits.len() % 2 == 0) else {
        return false;
    };
    digits.as_bytes().chunks(2).all(|pair| {
        let code = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        code.is_some_and(|code| code == b' ' || code.is_ascii_graphic())
    })
}

/// `1 or 1`, `5--`, `select 1`, `update a set b=1`: nothing but the probe.
fn probe(text: &str) -> bool {
    let tokens = plain(text);
    let kinds: Vec<Kind> = tokens.iter().map(|token| token.kind).collect();
    let word = |nth: usize| tokens.get(nth).map_or("", |token| token.text);
    let has = |word: &str| tokens.iter().any(|token| token.text == word);
    match kinds.as_slice() {
        [Kind::Number, Kind::Logic, Kind::Number] => {
            matches!(word(2), "0" | "1") || word(0).trim_start_matches('-') == word(2)
        }
        [Kind::Number, Kind::Comment] => word(1).starts_with("--") || word(1).starts_with("/*"),
        [Kind::Number, Kind::Arith, Kind::Number] => word(1) == "div",
        [Kind::Number, Kind::Word, Kind::Word] => word(1) == "collate",
        [Kind::Select, Kind::Number] => true,
        [Kind::Select, Kind::LeftParen, Kind::Number, ..] => true,
        [Kind::LeftParen, Kind::Text, Kind::RightParen, Kind::Logic, ..] => true,
        [Kind::Verb, ..] => {
            let object =
                matches!(word(1), "table" | "database" | "procedure" | "function" | "view" | "trigger" | "login");
            let made = matches!(word(0), "create" | "alter" | "drop" | "truncate") && object && tokens.len() <= 6;
            let changed = word(0) == "update" && has("set") && has("=");
            let declared = word(0) == "declare" && tokens.iter().any(|token| token.kind == Kind::Variable);
            made || changed || declared
        }
        [first, ..] if is_typed(*first, &tokens) => true,
        _ => false,
    }
}

/// `match(a) against('b')`, `nvarchar(400)`.
fn is_typed(first: Kind, tokens: &[Token<'_>]) -> bool {
    let name = tokens.first().map_or("", |token| token.text);
    let call = tokens.get(1).is_some_and(|token| token.kind == Kind::LeftParen);
    first == Kind::Word
        && call
        && (matches!(name, "nvarchar" | "varchar" | "nchar" | "varchar2")
            || name == "match" && tokens.iter().any(|token| token.text == "against"))
}

/// `''''''`, `;;;;;`.
fn repeated(text: &str) -> bool {
    text.len() >= 4 && [';', '\'', '`'].iter().any(|sign| text.chars().all(|letter| letter == *sign))
}

fn command(text: &str) -> bool {
    if text.len() > 120 {
        return false;
    }
    let (program, rest) = text.split_once(' ').map_or((text, ""), |(program, rest)| (program, rest.trim()));
    let known = RISKY.contains(program);
    let words = WORDS.contains(program);
    let first = rest.split(' ').next().unwrap_or_default();
    let single = !rest.is_empty() && first.len() == rest.len();
    let next = RISKY.contains(first) && !WORDS.contains(first);
    match program {
        _ if rest.is_empty() => known && TELLING.contains(program) && !words && program.len() > 4 || is_cmdlet(text),
        "curl" | "wget" | "ping" | "nslookup" | "dig" | "telnet" | "fetch" | "lynx" | "host" => {
            single && first.contains('.') && !first.ends_with('.') && first.len() > 4
        }
        "sleep" | "timeout" | "usleep" => {
            single && first.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b's' | b'm'))
        }
        "find" | "du" | "ls" | "grep" => rest.contains("/ -") || rest.starts_with("/etc") || rest.starts_with('-'),
        "chmod" | "chown" => first.starts_with('+') || first.bytes().all(|byte| byte.is_ascii_digit()),
        "tar" => first.trim_start_matches('-').bytes().all(|byte| b"cxtvzjpf".contains(&byte)) && rest.contains('.'),
        "time" | "nice" | "nohup" | "sudo" | "env" | "exec" | "xargs" => {
            next && first.len() > 1 || first == "id" && single
        }
        "printf" => rest.starts_with(['\'', '"']),
        ".shell" | ".system" | ".load" | ".import" => true,
        _ => is_cmdlet(program),
    }
}

/// `$HOME`, `${IFS}` and nothing else.
fn variable(written: &str) -> bool {
    let name = written.strip_prefix('$').unwrap_or_default();
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    ["HOME", "PATH", "SHELL", "IFS", "PWD", "OLDPWD", "HOSTNAME", "RANDOM", "BASH", "LD_PRELOAD"].contains(&name)
}

/// Headers that steer a server behind the proxy's back, and names of uploaded programs.
fn header(name: &str, text: &str) -> bool {
    match name {
        "x-original-url" | "x-rewrite-url" => text.starts_with('/'),
        "transfer-encoding" => text.contains(',') && text.contains("chunked"),
        "range" | "request-range" => {
            text.split(',').count() > 5 || text.split(['-', '=']).any(|number| number.trim().len() > 15)
        }
        "content-disposition" | "x-filename" | "x_filename" | "x-file-name" | "x.filename" => {
            let file = text.rsplit("filename=").next().unwrap_or(text).trim_matches(['"', '\'', ' ', '.', ';']);
            [
                ".php", ".phtml", ".phar", ".php3", ".php5", ".php7", ".pht", ".jsp", ".jspx", ".asp", ".aspx", ".cgi",
                ".shtml",
            ]
            .iter()
            .any(|end| file.ends_with(end))
        }
        _ => false,
    }
}

/// `$a='b';`, `include 'c'`, `$_get`.
fn script(text: &str) -> bool {
    let assigned = text.strip_prefix('$').and_then(|rest| rest.split_once('=')).is_some_and(|(name, rest)| {
        !name.is_empty()
            && name.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && rest.ends_with(';')
    });
    let included = ["include", "include_once", "require", "require_once"]
        .iter()
        .any(|word| text.strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with(['\'', '"', '(', '$'])));
    let global = ["$_get", "$_post", "$_cookie", "$_request", "$_files", "$_session", "http_raw_post_data"];
    assigned || included || global.contains(&text)
}

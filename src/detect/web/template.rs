//! Expressions of template engines where a value should be.

use super::Confidence::{self, Certain, Likely};
use super::carrier::{Place, Value};
use super::list::list;

list!(SURE_LIST, SURE);

/// How expressions open and close.
const BRACKETS: [(&str, &str); 19] = [
    ("[#", "]"),
    ("[%", "%]"),
    ("$!{", "}"),
    ("{{", "}}"),
    ("${", "}"),
    ("#{", "}"),
    ("<%", "%>"),
    ("{%", "%}"),
    ("*{", "}"),
    ("@{", "}"),
    ("~{", "}"),
    ("%{", "}"),
    ("[[", "]]"),
    ("@(", ")"),
    ("{php}", "{/php}"),
    ("{$", "}"),
    ("{", "}"),
    ("<#", ">"),
    ("#set", ")"),
];

/// Whether a reading of a value is evaluated by a template engine.
pub(super) fn look(value: &Value<'_>, text: &str) -> Option<Confidence> {
    if !text.contains(['{', '@', '<', '#', '[']) || text.len() > 2500 {
        return None;
    }
    let mut best = None;
    if text.contains("${{<%[") || text.trim() == "{% debug %}" {
        return Some(Certain);
    }
    for (open, close) in BRACKETS {
        for (at, _) in text.match_indices(open).take(8) {
            let inner = text.get(at + open.len()..).unwrap_or_default();
            let inner = match open {
                // The outermost, for an expression with braces of its own.
                "${" | "#{" | "{%" | "@(" | "%{" => inner.rfind(close),
                _ => inner.find(close),
            }
            .and_then(|end| inner.get(..end))
            .unwrap_or(inner);
            best = best.max(judge(value, open, inner, text));
        }
    }
    best
}

fn judge(value: &Value<'_>, open: &str, inner: &str, text: &str) -> Option<Confidence> {
    let field = value.place == Place::Field;
    let flat: String = inner.chars().filter(|letter| !letter.is_whitespace()).collect();
    if open == "{" {
        // Smarty and Latte; too usual elsewhere for anything but their own words.
        let told = [
            "smarty_internal",
            "$smarty",
            "system(",
            "/php}",
            "math equation",
            "literal}",
            "self::",
            "=7*7",
            "include file=",
            "if phpinfo",
            "if system",
        ];
        // `{7*7}`, `{#7*7#}`, and nothing else.
        let bare = flat.trim_matches('#');
        let only = text.trim().len() == inner.len() + 2 && bare.contains('*') && multiplies(bare);
        if only && bare.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*') {
            return Some(Certain);
        }
        // PHP evaluates `{${call()}}`.
        if inner.starts_with("${") && inner.contains(['(', '`']) && flat.len() < 200 {
            return Some(Certain);
        }
        return (flat.len() < 200 && told.iter().any(|part| inner.starts_with(part)) && value.place != Place::Tail)
            .then_some(Certain);
    }
    if open == "[[" || open == "[#" || open == "<#" || open == "#set" {
        let told =
            ["freemarker", "assign", "getruntime", "forname(", "t(java", "7*7", "${", "exec(", "$class", "include"];
        return told
            .iter()
            .any(|part| flat.contains(part))
            .then_some(if flat.contains("assign") || flat.contains("${") { Likely } else { Certain });
    }
    // `'__cl'+'ass__'`
    let joined = ["'+'", "\"+\"", "'~'", "\"~\"", "''", "\"\""].iter().any(|seam| flat.contains(seam)).then(|| {
        ["'+'", "\"+\"", "'~'", "\"~\"", "''", "\"\""].iter().fold(flat.clone(), |text, seam| text.replace(seam, ""))
    });
    let hidden = joined.is_some_and(|text| SURE_LIST.any(&text));
    let marks = if open == "{$" || open == "@(" {
        computes(&flat)
    } else {
        SURE_LIST.any(inner)
            || SURE_LIST.any(&flat)
            || hidden
            || computes(&flat)
            || flat.len() <= 60 && multiplies(&flat)
    };
    if marks {
        // Templates of applications read their environment too.
        let mild = [
            "env:",
            "process.env",
            "fetch(",
            ".constructor",
            "range(1",
            "kernel.",
            "namespace.",
            "reflect",
            "getenv",
            "?api",
            "exec(",
            "eval(",
        ];
        let only_mild = !hidden
            && !computes(&flat)
            && SURE_LIST.each(inner).filter_map(|at| SURE.get(at)).all(|part| mild.contains(part));
        let short = text.len() <= 300;
        return match () {
            () if !only_mild && (short || field) => Some(Certain),
            () if field && (only_mild || short) => Some(Likely),
            () if short && value.place == Place::Whole && text.starts_with(open) => Some(Likely),
            () => None,
        };
    }
    let whole = text.trim().starts_with(open) && text.trim().len() <= open.len() + inner.len() + 4;
    let calls = flat.contains(['(', '[', '|', '*', '\'', '"', '=']);
    let objects = [
        "config", "request", "self", "settings", "app", "session", "this", "g", "_self", "debug", "requires", "$",
        "dump", "global", "environ",
    ];
    let object = objects.contains(&flat.trim_end_matches(['}', '%']));
    match () {
        () if whole
            && field
            && (calls || object)
            && matches!(open, "{{" | "${" | "#{" | "<%" | "*{" | "%{" | "[%" | "{%") =>
        {
            Some(Likely)
        }
        () if whole && object && matches!(open, "{{" | "${") => Some(Likely),
        // `{{.System "id"}}`, `{{"a"|upper}}`
        () if whole
            && value.place != Place::Tail
            && open == "{{"
            && flat.len() < 60
            && (flat.starts_with('.') && flat.contains('"') || flat.starts_with(['"', '\'']) && flat.contains('|')) =>
        {
            Some(Likely)
        }
        () if whole
            && value.place != Place::Tail
            && flat.contains("('")
            && matches!(open, "{{" | "${")
            && !flat.contains(',')
            && flat.len() < 60 =>
        {
            Some(Likely)
        }
        () => None,
    }
}

/// `print(7*7)`, `x=6*'6'`: two numbers multiplied, somewhere.
fn multiplies(flat: &str) -> bool {
    flat.match_indices('*').any(|(at, _)| {
        let left = flat.get(..at).unwrap_or_default().trim_end_matches(['\'', '"']);
        let right = flat.get(at + 1..).unwrap_or_default().trim_start_matches(['\'', '"']);
        let digits = |text: &str| text.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
        let word = left.trim_end_matches(|letter: char| letter.is_ascii_digit());
        left.len() > word.len()
            && digits(right)
            && !word.ends_with(|letter: char| letter.is_ascii_alphabetic() || letter == '.')
    })
}

/// `7*7`, `'a'.upper()`, `4*'4'`: a probe that shows whether it is evaluated.
fn computes(flat: &str) -> bool {
    let whole = flat;
    let flat = flat.trim_matches(['=', '-', '(', ')', '{', '}', '[', ']', '%', '"', '\'']);
    let operand = |text: &str| {
        let text = text.trim_matches(['\'', '"', '(', ')', '-']);
        !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let sum = ['*', '+', '-', '/', '^'].iter().any(|sign| {
        flat.split_once(*sign).is_some_and(|(left, right)| operand(left) && operand(right.trim_start_matches('*')))
    });
    let literal =
        ["'a'.", "''.", "\"\".", "[].", "().", "'foo'.", "\"foo\".", "'test'.", "\"a\".", "''["].iter().any(|start| {
            flat.starts_with(start) || flat.starts_with(start.trim_start_matches(['\'', '"'])) && start.len() > 3
        });
    sum || literal && whole.contains(['(', '_'])
}

/// What no honest expression contains.
const SURE: &[&str] = &[
    "__class__",
    "@print(",
    "md5(",
    "sleep(",
    "phpinfo(",
    "\"constructor\"",
    "process.start(",
    "system.diagnostics",
    "getproperty(",
    "__globals__",
    "__subclasses__",
    "__builtins__",
    "__import__",
    "__init__",
    "__mro__",
    "__base",
    "__getitem__",
    "__self__",
    "\\x5f",
    "|attr(",
    "attr(\"",
    "popen",
    "os.system",
    "subprocess",
    "getruntime",
    "processbuilder",
    ".getclass(",
    "forname(",
    "t(java",
    "java.lang",
    "java.util",
    "freemarker",
    "_self.",
    "self._",
    "_templatereference",
    "registerundefinedfilter",
    "getfilter",
    "|filter(",
    "|map(",
    "|reduce(",
    "|sort('",
    "|sort(\"",
    "lipsum",
    "cycler.",
    "joiner.",
    "namespace.",
    "url_for.",
    "get_flashed_messages",
    "constructor.constructor",
    "tostring.constructor",
    "constructor(",
    ".constructor",
    "child_process",
    "mainmodule",
    "process.env",
    "file_get_contents",
    "system(",
    "shell_exec",
    "exec(",
    "passthru(",
    "eval(",
    "`id`",
    "popen(",
    "file.open",
    "file.read",
    "io.popen",
    "kernel.",
    "dir.entries",
    "file.new",
    "smarty.version",
    "$smarty",
    "writefile(",
    "#memberaccess",
    "(#",
    "root.process",
    "request['",
    "request[\"",
    "osexec",
    "system.out",
    "file_excerpt",
    "source('/",
    "#context",
    "@java.lang",
    "ognlutil",
    "#_memberaccess",
    "org.apache",
    "scriptengine",
    "dump(app",
    "app.request",
    "app.environment",
    "config.items",
    "config.from_",
    "settings.secret",
    "request.application",
    "request.environ",
    "request.__",
    "environ[",
    "debug %",
    "include '/etc",
    "include(\"/etc",
    "/etc/passwd",
    "jndi:",
    "lower:",
    "upper:",
    "env:",
    "sys:",
    "::-",
    "include_file",
    "#rt.",
    "#request",
    "#session",
    "$class.inspect",
    "class.inspect(",
    "setx=",
    "#set(",
    "ex(\"",
    "new(\"freemarker",
    "?new()",
    "?api",
    "getenv",
    "module.cache",
    "module.runtime",
    "template.module",
    "inspect.os",
    "fetch(",
    "newinstance",
    "reflect",
    "isclass",
    "%(",
    "range(1",
    "import os",
    "import%20os",
    "sleep(",
    "phpinfo(",
];

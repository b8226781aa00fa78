//! What script in attributes and values looks like.

use super::list::list;

list!(pub(super) PARTS,
    &[
        "javascript:",
        "vbscript:",
        "document.cookie",
        "document.domain",
        "document.location",
        "document.write",
        "document['",
        "document[\"",
        "window['",
        "window[\"",
        "self['",
        "self[\"",
        "top['",
        "top[\"",
        "this['",
        "this[\"",
        "parent['",
        "frames[",
        "globalthis[",
        "fromcharcode",
        "eval(",
        "atob(",
        "import(",
        "constructor(",
        "settimeout(",
        "innerhtml",
        "xmlhttprequest",
        ".createelement(",
        "localstorage",
        "fetch(",
        "location=",
        "location.href=",
        "xss",
        "msgbox(",
        "setinterval(",
        "decodeuri",
        "unescape(",
        "with(document)",
        "print()",
        "window.name",
        "$event",
        "getscript(",
        "globaleval(",
        "$.get(",
        "newfunction",
        "function`",
        "newimage",
        ".append(",
        "sendbeacon(",
        "innertext",
        "__definegetter__",
        "activexobject",
    ]
);

list!(pub(super) BUILT,
    &[
        "[].constructor",
        "[]['filter']",
        "[][\"filter\"]",
        "constructor('alert",
        "(![]+[])",
        "[][(![]",
        "[]+[]",
        "fromcharcode(",
        "eval(atob(",
        "eval(location",
        "eval(name",
        "eval(unescape(",
        "settimeout('alert",
        "document.cookie",
        "document.write(",
        "throwonerror",
        "onerror=alert",
        "onerror=eval",
    ]
);

/// `onload`, `onclick`: a name of letters behind `on`.
pub(super) fn is_handler(name: &str) -> bool {
    name.len() > 4
        && name.len() < 32
        && name.strip_prefix("on").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// Names of events begin with a few words.
pub(super) fn is_event(name: &str) -> bool {
    const WORDS: [&str; 40] = [
        "abort",
        "activate",
        "after",
        "animation",
        "aux",
        "before",
        "begin",
        "blur",
        "can",
        "change",
        "click",
        "close",
        "context",
        "copy",
        "cut",
        "dbl",
        "drag",
        "drop",
        "end",
        "error",
        "finish",
        "focus",
        "form",
        "hash",
        "input",
        "invalid",
        "key",
        "load",
        "message",
        "mouse",
        "page",
        "paste",
        "play",
        "pointer",
        "resize",
        "scroll",
        "select",
        "submit",
        "toggle",
        "touch",
    ];
    const MORE: [&str; 16] = [
        "transition",
        "wheel",
        "start",
        "show",
        "search",
        "reset",
        "repeat",
        "ready",
        "property",
        "progress",
        "pause",
        "popstate",
        "unload",
        "webkit",
        "unhandled",
        "storage",
    ];
    name.strip_prefix("on").is_some_and(|rest| WORDS.iter().chain(&MORE).any(|word| rest.starts_with(word)))
}

/// Script in so few letters that it cannot be read.
pub(super) fn is_cipher(text: &str) -> bool {
    let letters = text.bytes().filter(u8::is_ascii_alphanumeric).count();
    text.len() >= 24 && letters * 4 < text.len()
}

/// `ng-focus`, `v-on:click`, `@click`, `x-init`: what frameworks run.
pub(super) fn is_directive(name: &str) -> bool {
    ["ng-", "v-", "x-", "@", ":", "data-ng-", "hx-on", "th:"].iter().any(|start| name.starts_with(start))
}

/// `save()`, `open(this)`: a call of the page's own.
pub(super) fn is_plain_call(value: &str) -> bool {
    let Some((name, rest)) = value.split_once('(') else { return value.starts_with('{') || value.contains('.') };
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'{' | b'=' | b'>');
    name.len() > 1 && name.trim_start_matches("return").bytes().all(known) && rest.contains(')')
        || value.starts_with("{")
        || value.starts_with("this.")
        || value.starts_with("window.location.href")
}

pub(super) fn is_foreign(address: &str) -> bool {
    address.starts_with("//")
        || address.starts_with("http")
        || address.starts_with("\\\\")
        || address.starts_with("data:")
        || address.starts_with("/\\")
}

/// Script that probes or steals.
pub(super) fn runs(text: &str) -> bool {
    calls_probe(text) || PARTS.any(text)
}

/// `alert(1)`, `prompt`1``, `(confirm)(1)`, `alert?.(1)`, `alert&lpar;`.
pub(super) fn calls_probe(text: &str) -> bool {
    ["alert", "prompt", "confirm", "\\u0061lert", "al\\u0065rt"].iter().any(|name| {
        text.match_indices(name).any(|(at, _)| {
            let after = text.get(at + name.len()..).unwrap_or_default();
            let after = after.trim_start_matches(|letter: char| {
                letter.is_whitespace() || matches!(letter, ')' | '?' | '.' | '/' | '*')
            });
            let call = after.starts_with(['(', '`'])
                || after.starts_with("&lpar;")
                || after.starts_with(".call")
                || after.starts_with(".apply")
                || after.starts_with("call");
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let whole = before.is_none_or(|letter| !letter.is_ascii_alphanumeric() && letter != '_');
            let method = before == Some('.')
                && !["window.", "self.", "top.", "parent.", "this.", "frames."]
                    .iter()
                    .any(|own| text.get(..at).is_some_and(|text| text.ends_with(own)));
            call && whole && !method
        })
    })
}

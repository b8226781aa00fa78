//! Markup or script that runs in a browser.

use super::Confidence::{self, Certain, Likely};
use super::carrier::{Place, Value};
use super::xss_script::{
    BUILT, calls_probe, is_cipher, is_directive, is_event, is_foreign, is_handler, is_plain_call, runs,
};
use super::xss_tags::{Attribute, Tag, tags};

/// Whether a reading of a value runs script.
pub(super) fn look(value: &Value<'_>, text: &str) -> Option<Confidence> {
    let mut best = None;
    if text.contains('<') {
        best = best.max(markup(value, text));
    }
    if best < Some(Certain) {
        best = best.max(breakout(value, text)).max(script(value, text));
    }
    best
}

fn markup(value: &Value<'_>, text: &str) -> Option<Confidence> {
    // A lone bracket in another spelling, and ends of everything at once.
    if text == "<" && value.written != "<" || text.contains("-->]]>") || text.contains("¼script¾") {
        return Some(Likely);
    }
    let found = tags(text);
    let snippet = found.len() > 6 || text.lines().count() > 4;
    let field = value.place == Place::Field;
    found.iter().filter_map(|tag| judge(tag, field, snippet)).max()
}

/// One tag.
fn judge(tag: &Tag<'_>, field: bool, snippet: bool) -> Option<Confidence> {
    let name = tag.name.trim_matches('\0').rsplit(':').next().unwrap_or_default();
    let attribute = |wanted: &str| tag.attributes.iter().find(|own| own.name == wanted);
    let mut best = tag.attributes.iter().filter_map(|own| judge_attribute(own, tag, field, snippet)).max();
    let inside = tag.after.get(..tag.after.len().min(300)).unwrap_or(tag.after);
    let own = match name {
        _ if name.starts_with("script") => {
            let body = inside.split("</").next().unwrap_or_default();
            let source = tag.attributes.iter().find(|own| own.name.ends_with("src") || own.name.ends_with("href"));
            let foreign = source.is_some_and(|own| is_foreign(own.value));
            let bent = name != "script" || !tag.closed || tag.odd;
            match () {
                () if runs(body) => Some(Certain),
                () if field => Some(Certain),
                () if body.len() <= 300 && (body.contains("](") || body.contains("]`") || is_cipher(body)) => {
                    Some(Certain)
                }
                () if snippet => None,
                () if foreign && !KNOWN_HOSTS.iter().any(|host| source.is_some_and(|own| own.value.contains(host))) => {
                    Some(Likely)
                }
                () if bent => Some(Certain),
                () if !tag.ends && (source.is_some_and(|own| !own.quoted) || !tag.after.contains("</")) => Some(Likely),
                () => None,
            }
        }
        "iframe" | "frame" | "object" | "embed" | "applet" | "base" | "link" | "portal" | "xml" | "bgsound"
        | "layer" | "ilayer" | "isindex" | "xss" | "import" | "?import" => {
            let bent = tag.odd || !tag.closed || tag.attributes.iter().any(|own| !own.quoted);
            match () {
                () if name == "xss" => Some(Certain),
                () if attribute("srcdoc")
                    .is_some_and(|own| own.value.contains("script") || own.value.contains("onload")) =>
                {
                    Some(Certain)
                }
                () if field => Some(Likely),
                () if matches!(name, "embed" | "object" | "applet" | "layer" | "bgsound" | "xml" | "?import")
                    && !snippet =>
                {
                    Some(Likely)
                }
                () if bent && !snippet => Some(Likely),
                () => None,
            }
        }
        "meta" => {
            let content = attribute("content").map_or("", |own| own.value);
            let sends = ["http", "javascript", "data:", "url="].iter().any(|part| content.contains(part));
            if attribute("charset").is_some_and(|own| own.value.contains("utf-7")) || content.contains("charset=utf-7")
            {
                return Some(Certain);
            }
            let refresh = attribute("http-equiv").is_some_and(|own| {
                own.value.contains("refresh") && sends || own.value.contains("set-cookie") || own.value.contains("link")
            });
            refresh.then_some(if content.contains("javascript") || content.contains("data:") {
                Certain
            } else {
                Likely
            })
        }
        "style" => {
            let bad = ["@import", "expression(", "-moz-binding", "javascript:", "behavior:", "</style><"];
            bad.iter().any(|part| inside.contains(part)).then_some(Likely)
        }
        "svg" | "math" | "img" | "image" | "video" | "audio" | "details" | "marquee" | "form" | "body" | "animate"
        | "set" | "table" | "div" | "input" | "a" | "x" | "button" | "textarea" | "keygen" | "select" => (field
            && (tag.odd
                || tag.attributes.iter().any(|own| !own.quoted && matches!(own.name, "src" | "href" | "action"))
                || matches!(name, "svg" | "math" | "body" | "x" | "set" | "animate" | "form"))
            || !snippet
                && matches!(name, "form" | "video" | "audio" | "body" | "marquee" | "isindex")
                && tag.attributes.iter().any(|own| !own.quoted))
        .then_some(Likely),
        _ if name.starts_with("!entity") => Some(Certain),
        _ => None,
    };
    best = best.max(own);
    if best.is_none() && field && tag.closed && tag.name.chars().all(|letter| letter.is_ascii_alphabetic()) {
        let harmless =
            ["b", "i", "u", "p", "br", "em", "strong", "li", "ul", "ol", "span", "h1", "h2", "h3", "code", "pre"];
        let bare = harmless.contains(&tag.name) && tag.attributes.is_empty();
        best = (!bare
            && tag.attributes.iter().any(|own| own.name.starts_with("on") || own.name == "style" && runs(own.value)))
        .then_some(Likely);
    }
    best
}

fn judge_attribute(own: &Attribute<'_>, tag: &Tag<'_>, field: bool, snippet: bool) -> Option<Confidence> {
    let value: String = own.value.chars().filter(|letter| !letter.is_whitespace() && !letter.is_control()).collect();
    let name = own.name.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
    if is_handler(name) {
        if value.is_empty() {
            return None;
        }
        let harmless = is_plain_call(&value);
        return match () {
            () if runs(&value) => Some(Certain),
            () if tag.odd => Some(Certain),
            () if field => Some(Certain),
            () if !harmless && !snippet => Some(Likely),
            () if !HTML_NAMES.contains(&tag.name) && !snippet => Some(Likely),
            () => None,
        };
    }
    if is_directive(own.name) && (calls_probe(&value) || value.contains("constructor") || value.contains("$event.view"))
    {
        return Some(Certain);
    }
    let scheme = |scheme: &str| {
        value.starts_with(scheme) || value.trim_start_matches(|l: char| !l.is_ascii_alphabetic()).starts_with(scheme)
    };
    if scheme("javascript:") || scheme("vbscript:") || scheme("livescript:") || scheme("mocha:") {
        let idle = ["void(0)", "void0", ";", "", "//", "history.back()", "history.go(-1)", "window.print()"];
        let body = value.split_once(':').map_or("", |(_, body)| body).trim_end_matches(';');
        return (!idle.contains(&body)).then_some(Certain);
    }
    if scheme("data:text/html")
        || scheme("data:text/javascript")
        || scheme("data:image/svg+xml") && runs(&value)
        || scheme("data:,alert")
        || scheme("data:application/xhtml")
        || value.contains("base64,phn") && field
    {
        return Some(if scheme("data:text/html") || runs(&value) { Certain } else { Likely });
    }
    if name == "style" {
        let plain: String = value.replace("/**/", "").replace('\\', "");
        let bad = ["expression(", "javascript:", "-moz-binding", "behavior:", "vbscript:", "expr/*"];
        return bad.iter().any(|part| plain.contains(part)).then_some(Certain);
    }
    None
}

/// A quote or a closing tag that ends where the value was put, then markup or script.
fn breakout(value: &Value<'_>, text: &str) -> Option<Confidence> {
    let ends = |letter: char| matches!(letter, '"' | '\'' | '`');
    let at = text.find(ends)?;
    let before = text.get(..at).unwrap_or_default();
    if before.split_whitespace().count() > 2 && value.place != Place::Whole {
        return None;
    }
    let behind = text.get(at + 1..).unwrap_or_default().trim_start_matches(|letter: char| {
        ends(letter) || letter.is_whitespace() || matches!(letter, '/' | '\\' | ')' | '}' | ']')
    });
    if let Some(tag) = behind.strip_prefix('>').map(str::trim_start).and_then(|rest| rest.strip_prefix('<')) {
        let known = tag.starts_with(|letter: char| letter.is_ascii_alphabetic() || matches!(letter, '/' | '!'));
        return (known && before.len() < 24 && !before.contains('<')).then_some(Certain);
    }
    let name = behind.split(['=', ' ', '/']).next().unwrap_or_default();
    let assigned = behind.get(name.len()..).is_some_and(|rest| rest.trim_start().starts_with('='));
    if is_handler(name) && assigned && !before.contains('<') && (is_event(name) || runs(behind)) {
        return Some(Certain);
    }
    let operator = behind.starts_with([';', '-', '+', '*', '|', '&', ',', '^', '%', '?'])
        || text.get(at + 1..).is_some_and(|rest| rest.starts_with([')', '}', ']', '\\']));
    (operator && calls_probe(behind) && text.len() < 200 && before.len() < 24).then_some(Certain)
}

/// Script without markup.
fn script(value: &Value<'_>, text: &str) -> Option<Confidence> {
    let trimmed: String =
        text.chars().filter(|letter| !letter.is_whitespace() && !letter.is_control()).take(600).collect();
    let trimmed = trimmed.replace('\\', "");
    let body = trimmed.trim_start_matches(|letter: char| !letter.is_ascii_alphabetic());
    for scheme in ["javascript:", "vbscript:", "data:text/html", "data:text/javascript", "livescript:"] {
        if let Some(rest) = body.strip_prefix(scheme) {
            let idle = rest.starts_with("void(0)") || rest.is_empty() || rest.len() == text.len();
            let worded = text
                .split_once(':')
                .is_some_and(|(_, rest)| rest.starts_with([' ', '+']) && rest.trim().contains([' ', '+']));
            let told = value.place == Place::Field && !worded || runs(rest) || rest.contains(['(', '<', '`', ',']);
            return (!idle && told).then_some(Certain);
        }
    }
    let short = text.len() <= 160 && !text.contains('\n');
    let begins = ["alert", "prompt", "confirm"].iter().any(|name| body.starts_with(name));
    if short && begins && calls_probe(&trimmed) {
        let worded = text.contains(char::is_whitespace) && !text.contains("(1)") && !text.contains("document.");
        return (!worded).then_some(Likely);
    }
    let computed = ["top[", "self[", "window[", "this[", "parent[", "frames[", "globalthis["]
        .iter()
        .any(|name| body.strip_prefix(name).is_some_and(|rest| rest.contains("](") || rest.contains("]`")));
    if computed && short {
        return Some(Certain);
    }
    let built = BUILT.any(&trimmed);
    if built && short {
        return Some(if value.place == Place::Field || trimmed.contains("[]") { Certain } else { Likely });
    }
    let indirect =
        ["=alert,", "(alert)(", "(alert)", "[alert]", "=alert;", "(alert,"].iter().any(|part| trimmed.contains(part));
    let appended = trimmed.contains(";alert(") && (trimmed.contains("//") || value.written.contains("%3"));
    if short && (indirect || appended) && !text.trim().contains(' ') {
        return Some(Certain);
    }
    let broken = trimmed.starts_with(['}', ')', ']', ';', '*', '-']) && calls_probe(&trimmed) && short;
    let template = trimmed.starts_with("${") && calls_probe(&trimmed);
    if broken || template {
        return Some(Certain);
    }
    // A handler put behind an attribute that has no quotes.
    let name = text.trim_start().split('=').next().unwrap_or_default().trim();
    if is_handler(name)
        && text.contains('=')
        && (runs(&trimmed) || value.place == Place::Field && is_event(name))
        && short
    {
        return Some(Likely);
    }
    None
}

/// Where pages load their libraries from.
const KNOWN_HOSTS: &[&str] = &[
    "googleapis.com",
    "jsdelivr.net",
    "cdnjs.",
    "unpkg.com",
    "jquery.com",
    "bootstrapcdn",
    "gstatic.com",
    "google.com/",
    "googletagmanager",
    "cloudflare",
    "polyfill",
    "esm.sh",
    "tailwindcss",
    "stripe.com",
    "d3js.org",
    "microsoft.com",
    "example.",
    "skypack",
    "youtube.com",
    "plot.ly",
];

/// Elements people write handlers on.
const HTML_NAMES: &[&str] = &[
    "a", "abbr", "article", "aside", "audio", "body", "button", "canvas", "details", "dialog", "div", "fieldset",
    "footer", "form", "h1", "h2", "h3", "h4", "header", "iframe", "img", "input", "label", "li", "main", "nav", "ol",
    "option", "p", "section", "select", "span", "svg", "table", "tbody", "td", "textarea", "th", "tr", "ul", "video",
    "window",
];

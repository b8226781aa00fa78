//! Tags and attributes of HTML, read as leniently as browsers do.

/// A tag with its attributes.
#[derive(Debug)]
pub(super) struct Tag<'a> {
    pub(super) name: &'a str,
    pub(super) attributes: Vec<Attribute<'a>>,
    /// It ends an element.
    pub(super) ends: bool,
    /// What follows the tag.
    pub(super) after: &'a str,
    /// It ends with `>`.
    pub(super) closed: bool,
    /// Written as browsers accept it and people do not: `<svg/onload=`.
    pub(super) odd: bool,
}

/// A name and what stands behind its `=`.
#[derive(Debug)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    pub(super) quoted: bool,
}

/// Most tags read.
const MOST: usize = 32;

/// The tags of `text`.
pub(super) fn tags(text: &str) -> Vec<Tag<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<').filter(|_| found.len() < MOST) {
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(tag) = tag(rest) {
            rest = tag.inner_start;
            found.push(tag.tag);
        }
    }
    found
}

struct Read<'a> {
    tag: Tag<'a>,
    inner_start: &'a str,
}

fn is_gap(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || matches!(letter, '/' | '+')
}

fn tag(text: &str) -> Option<Read<'_>> {
    let ends = text.starts_with('/');
    let text = text.trim_start_matches(|letter: char| letter.is_control() || letter == '/');
    let first = text.chars().next()?;
    if !(first.is_ascii_alphabetic() || matches!(first, '!' | '?' | '%')) {
        return None;
    }
    let end = text.find(|letter: char| is_gap(letter) || letter == '>' || letter == '<');
    let (name, mut rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
    let mut odd = rest.starts_with('/') && !rest.starts_with("/>");
    let start = rest;
    let mut attributes = Vec::new();
    let mut closed = false;
    while attributes.len() < 24 {
        rest = rest.trim_start_matches(is_gap);
        if let Some(after) = rest.strip_prefix('>') {
            rest = after;
            closed = true;
            break;
        }
        if rest.is_empty() {
            break;
        }
        let end = rest.find(|letter: char| is_gap(letter) || matches!(letter, '=' | '>')).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end)?;
        let Some(value) = after.trim_start().strip_prefix('=').map(str::trim_start) else {
            if name.is_empty() {
                break;
            }
            attributes.push(Attribute { name, value: "", quoted: true });
            rest = after;
            continue;
        };
        let quote = value.chars().next().filter(|letter| matches!(letter, '"' | '\'' | '`'));
        let (value, after, quoted) = match quote {
            Some(quote) => {
                let inner = value.get(1..).unwrap_or_default();
                let (value, after) = inner.split_once(quote).unwrap_or((inner, ""));
                (value, after, true)
            }
            None => {
                let end = value.find(|letter: char| letter.is_whitespace() || letter == '>').unwrap_or(value.len());
                let (value, after) = value.split_at_checked(end)?;
                odd |= value.contains(['(', '`']);
                (value, after, false)
            }
        };
        attributes.push(Attribute { name: name.trim_matches(['"', '\'']), value, quoted });
        rest = after;
    }
    // What is inside the tag is looked at again: `<a <script>`.
    let inner_start = if closed { rest } else { start };
    Some(Read { tag: Tag { name, attributes, ends, after: rest, closed, odd }, inner_start })
}

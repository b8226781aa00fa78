//! CEF, version 0: one line for each item, in which nothing that an attacker chose can begin a field or a line.

use std::fmt::Write as _;

use super::item::{Item, Kind};
use crate::types::Severity;

/// Bytes of a value of the extension.
const MOST_VALUE: usize = 1024;

/// The line of an item.
pub fn line(item: &Item) -> String {
    let mut line = format!(
        "CEF:0|Portcullis|Portcullis|{}|{}|{}|{}|",
        header(env!("CARGO_PKG_VERSION")),
        header(&format!("{}:{}", item.kind.name(), item.rule)),
        header(&item.title),
        level(item.severity),
    );
    let action = match item.kind {
        Kind::Record => item.text("/decision").unwrap_or_default(),
        Kind::Alert => item.text("/verdict/enforced").unwrap_or(item.change.name()),
        Kind::Audit => item.text("/outcome").unwrap_or_default(),
        Kind::Incident | Kind::Remedy | Kind::Test => item.change.name(),
    };
    let time = item.time.div_euclid(1000).to_string();
    let fields = [
        ("rt", time.as_str()),
        ("externalId", &item.id),
        ("cat", item.kind.name()),
        ("act", action),
        ("suser", item.user.as_deref().unwrap_or_default()),
        ("src", item.text("/caller/address").unwrap_or_default()),
        ("request", item.text("/path").unwrap_or_default()),
        ("outcome", item.text("/outcome").or_else(|| item.text("/state")).unwrap_or_default()),
        ("msg", &item.message),
        ("cs1Label", "about"),
        ("cs1", &item.about),
        ("cs2Label", "policy"),
        ("cs2", item.text("/policy").unwrap_or_default()),
        ("cs3Label", "model"),
        ("cs3", item.text("/model").unwrap_or_default()),
        ("cs4Label", "requestId"),
        ("cs4", item.request.as_deref().unwrap_or_default()),
        ("cs5Label", "tenant"),
        ("cs5", item.text("/caller/tenant").unwrap_or_default()),
        ("cs6Label", "incident"),
        ("cs6", item.text("/incident").unwrap_or_default()),
    ];
    let mut first = true;
    for (at, (name, value)) in fields.iter().enumerate() {
        // A label goes with its value.
        let told =
            if name.ends_with("Label") { fields.get(at.saturating_add(1)).map_or("", |(_, next)| next) } else { value };
        if told.is_empty() {
            continue;
        }
        let space = if std::mem::take(&mut first) { "" } else { " " };
        // Writing to a String cannot fail.
        write!(line, "{space}{name}={}", extension(value)).unwrap_or_default();
    }
    line
}

/// 0 to 10.
const fn level(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Critical => 10,
    }
}

/// A field of the header: pipes and backslashes are escaped, lines and other signs that are not seen become spaces.
fn header(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in clipped(text).chars() {
        match letter {
            '\\' | '|' => out.extend(['\\', letter]),
            letter if breaks(letter) => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

/// A value of the extension: `=` and backslashes are escaped, line breaks are written out.
fn extension(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in clipped(text).chars() {
        match letter {
            '\\' | '=' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            letter if breaks(letter) => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

/// Control characters, and what some readers take for the end of a line.
fn breaks(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_VALUE)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_value_begins_a_field_a_header_or_a_line() {
        let mut item = Item::test("siem", "1", 1_000_000);
        item.title = "evil|10|x\\\nCEF:0|a".to_owned();
        item.message = "a=b act=allowed\r\nCEF:0|Fake|x\\ \u{2028}\0end".to_owned();
        item.user = Some("eve suser=root\n".to_owned());
        let line = line(&item);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(!line.contains(['\u{2028}', '\0']), "{line}");
        let bare = line.replace("\\\\", "").replace("\\|", "");
        assert_eq!(bare.split('|').count(), 10, "seven of the header, and two in the extension: {line}");
        assert!(line.contains(r"|evil\|10\|x\\ CEF:0\|a|1|"), "{line}");
        assert!(line.contains(r"msg=a\=b act\=allowed\r\nCEF:0|Fake|x\\   end"), "{line}");
        assert!(line.contains(r"suser=eve suser\=root\n "), "{line}");
    }

    #[test]
    fn what_is_not_known_is_left_out_with_its_label() {
        let line = line(&Item::test("siem", "1", 1_000_000));
        assert!(line.starts_with("CEF:0|Portcullis|Portcullis|"), "{line}");
        assert!(line.contains("|test:test|Test of an export sink|1|rt=1000 externalId=test-1 cat=test"), "{line}");
        assert!(!line.contains("suser") && !line.contains("cs2Label") && line.contains("cs1Label=about cs1=test-1"));
    }
}

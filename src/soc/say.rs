//! Small words that several parts of the analyst use: durations, severities, kinds of subjects, counts.

use serde::{Deserialize, Deserializer, de};

use crate::types::Subject;

/// The units of time in files, in seconds.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// A subject's kind, for people.
pub(super) fn subject(subject: &Subject) -> &'static str {
    match subject {
        Subject::Network { address, prefix } => {
            let single = if address.is_ipv4() { 32 } else { 128 };
            if *prefix >= single { "address" } else { "range of addresses" }
        }
        Subject::Tenant { .. } => "tenant",
        Subject::Team { .. } => "team",
        Subject::User { .. } => "user",
        Subject::Key { .. } => "key",
        Subject::Session { .. } => "session",
        Subject::Agent { .. } => "agent",
    }
}

/// `1 alert`, `7 alerts`.
pub(super) fn count(number: u64, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        _ if word.ends_with("ss") => format!("{number} {word}es"),
        _ => format!("{number} {word}s"),
    }
}

/// Seconds as people say them: `90 seconds`, `1 hour`.
pub(super) fn lasting(seconds: u64) -> String {
    for (each, word) in [(86_400, "day"), (3_600, "hour"), (60, "minute")] {
        if seconds >= each && seconds.is_multiple_of(each) {
            return count(seconds.checked_div(each).unwrap_or(0), word);
        }
    }
    count(seconds, "second")
}

/// `90s`, `5m`, `1h`, `7d` in seconds; nothing else.
pub(super) fn seconds(text: &str) -> Option<u64> {
    UNITS.iter().find_map(|(unit, each)| {
        let digits = text.trim().strip_suffix(unit)?;
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u64>().ok()?.checked_mul(*each)).flatten()
    })
}

/// A duration of a file, for serde.
pub(super) fn read_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let Some(text) = text else { return Ok(None) };
    let read = seconds(&text).filter(|seconds| *seconds > 0);
    read.map(Some).ok_or_else(|| de::Error::custom(format!("`{text}` is no duration: write it like 90s, 5m, 1h or 7d")))
}

/// Whether `text` is what `pattern` says; `*` stands for anything.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut open = false;
    let mut last = "";
    for part in parts {
        open = true;
        last = part;
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    // The last part stands at the end; it may come several times before.
    if open { last.is_empty() || rest.is_empty() || text.ends_with(last) } else { rest.is_empty() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_said() {
        for (text, expected) in [("90s", Some(90)), ("5m", Some(300)), ("1h", Some(3600)), ("7d", Some(604_800))] {
            assert_eq!(seconds(text), expected);
        }
        for text in ["", "h", "1", "-1h", "1.5h", "1h30m", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!(lasting(3600), "1 hour");
        assert_eq!(lasting(90), "90 seconds");
        assert_eq!(lasting(172_800), "2 days");
        assert_eq!(count(2, "address"), "2 addresses");
    }

    #[test]
    fn patterns_fit() {
        assert!(fits("*", "") && fits("a*c", "abc") && fits("a*c", "abcbc") && fits("*spend*", "soc-spend-surge"));
        assert!(fits("abc", "abc") && fits("*-surge", "surge-surge"));
        assert!(!fits("abc", "abcd") && !fits("a*c", "abd") && !fits("a*", "ba") && !fits("", "a"));
    }
}

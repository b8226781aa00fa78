//! Times: UTC as rendered; a module of ours shows them in the reader's zone where they ask for it.

use jiff::{SignedDuration, Timestamp, Unit};
use maud::{Markup, html};

fn stamp(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

/// Now: Unix time in microseconds.
pub(in crate::console) fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

/// A moment to the second.
pub(in crate::console) fn at(micros: i64) -> Markup {
    let Some(stamp) = stamp(micros) else { return html! { "–" } };
    let shown = stamp.strftime("%Y-%m-%d %H:%M:%S").to_string();
    html! { time datetime=(stamp.to_string()) data-at=(micros / 1000) { (shown) } }
}

/// How long ago, or how long to go.
pub(in crate::console) fn ago(micros: i64) -> Markup {
    let Some(stamp) = stamp(micros) else { return html! { "–" } };
    let away = now().saturating_sub(micros);
    let words =
        if away >= 0 { format!("{} ago", lasting(away)) } else { format!("in {}", lasting(away.saturating_neg())) };
    html! { time datetime=(stamp.to_string()) data-ago=(micros / 1000) title=(stamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()) { (words) } }
}

/// A countdown to a moment.
pub(in crate::console) fn until(micros: i64) -> Markup {
    let Some(stamp) = stamp(micros) else { return html! { "–" } };
    let left = micros.saturating_sub(now());
    let words = if left > 0 { lasting(left) } else { "over".to_owned() };
    html! { time datetime=(stamp.to_string()) data-until=(micros / 1000) title=(stamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()) { (words) } }
}

/// A duration of so many microseconds in its largest unit.
pub(in crate::console) fn lasting(micros: i64) -> String {
    let rounded = SignedDuration::from_micros(micros).round(Unit::Second).unwrap_or_default();
    let seconds = rounded.as_secs();
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A period: from when (Unix time in microseconds) and its word.
pub(in crate::console) struct Range {
    pub(in crate::console) word: String,
    pub(in crate::console) from: i64,
    pub(in crate::console) to: i64,
}

/// Periods that can be chosen: word, name, seconds.
pub(in crate::console) const RANGES: [(&str, &str, i64); 6] = [
    ("15m", "15 minutes", 900),
    ("1h", "1 hour", 3600),
    ("6h", "6 hours", 21_600),
    ("24h", "24 hours", 86_400),
    ("7d", "7 days", 604_800),
    ("30d", "30 days", 2_592_000),
];

impl Range {
    /// From the filters of a page: `range`, or `from` and `to` in microseconds.
    pub(in crate::console) fn of(query: &crate::console::query::Query, otherwise: &str) -> Self {
        let now = now();
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<i64>().ok());
        if let Some(from) = number("from") {
            let to = number("to").unwrap_or(now).max(from.saturating_add(1_000_000));
            return Self { word: "custom".to_owned(), from, to };
        }
        let word = query.get("range").unwrap_or(otherwise);
        let found = RANGES
            .iter()
            .find(|(name, _, _)| *name == word)
            .or_else(|| RANGES.iter().find(|(name, _, _)| *name == otherwise));
        let (word, seconds) = found.map_or(("24h", 86_400), |(word, _, seconds)| (*word, *seconds));
        Self { word: word.to_owned(), from: now.saturating_sub(seconds.saturating_mul(1_000_000)), to: now }
    }
}

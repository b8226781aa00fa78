//! How numbers and times are written for people.

use super::document::{Cell, Unit};
use crate::types::visible;

/// Billionths in one.
const NANO: u64 = 1_000_000_000;

/// A time (UTC) to the minute; a midnight is its day.
pub fn time(micros: i64) -> String {
    let Ok(at) = jiff::Timestamp::from_microsecond(micros) else { return "?".to_owned() };
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    let form = if at.hour() == 0 && at.minute() == 0 && at.second() == 0 { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M" };
    at.strftime(form).to_string()
}

/// The end of a period: one that ends at midnight ends with the day before.
pub fn until(micros: i64) -> String {
    if micros.rem_euclid(86_400_000_000) == 0 { time(micros.saturating_sub(86_400_000_000)) } else { time(micros) }
}

/// A time as machines read it.
pub fn stamp(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}

/// A day.
pub fn day(micros: i64) -> String {
    let Ok(at) = jiff::Timestamp::from_microsecond(micros) else { return "?".to_owned() };
    at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

/// A whole number with commas between thousands.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len().saturating_add(digits.len() / 3));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share in percent.
pub fn share(share: f64) -> String {
    if !share.is_finite() {
        return "-".to_owned();
    }
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.1 { format!("{percent:.3} %") } else { format!("{percent:.1} %") }
}

/// US dollars: cents, or as small as needed to be seen.
pub fn usd(nano: u64) -> String {
    let (whole, rest) = (nano / NANO, nano % NANO);
    if nano > 0 && nano < NANO / 100 {
        return format!("${whole}.{:06}", rest / 1_000);
    }
    let cents = rest.saturating_add(NANO / 200) / (NANO / 100);
    let (whole, cents) = if cents >= 100 { (whole.saturating_add(1), 0) } else { (whole, cents) };
    format!("${}.{cents:02}", count(whole))
}

/// How long something took.
pub fn lasts(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds % 86_400 / 3_600, seconds % 3_600 / 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds == 0 && micros > 0 => format!("{:.1} ms", micros as f64 / 1_000.0),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A cell for people. What is not ours is made visible once more: a kept document may come from anywhere.
pub fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => visible(text, usize::MAX),
        Cell::Count(number) => count(*number),
        Cell::Share(part) => share(*part),
        Cell::Nano(nano) => usd(*nano),
        Cell::Time(at) => time(*at),
        Cell::Day(at) => day(*at),
        Cell::Lasts(micros) => lasts(*micros),
        Cell::Unknown => "-".to_owned(),
    }
}

/// A cell for machines: plain numbers, full times.
pub fn raw(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => visible(text, usize::MAX),
        Cell::Count(number) => number.to_string(),
        Cell::Share(part) if part.is_finite() => format!("{part:.6}"),
        Cell::Nano(nano) => format!("{}.{:09}", nano / NANO, nano % NANO),
        Cell::Time(at) => stamp(*at),
        Cell::Day(at) => day(*at),
        Cell::Lasts(micros) => format!("{:.3}", *micros as f64 / 1_000_000.0),
        Cell::Share(_) | Cell::Unknown => String::new(),
    }
}

/// A value at the axis of a chart: short.
pub fn tick(value: f64, unit: Unit) -> String {
    let short = |value: f64| {
        let (scaled, letter) = match value.abs() {
            v if v >= 1e9 => (value / 1e9, "B"),
            v if v >= 1e6 => (value / 1e6, "M"),
            v if v >= 1e4 => (value / 1e3, "k"),
            _ => (value, ""),
        };
        let text = if scaled.fract().abs() < 1e-9 { format!("{scaled:.0}") } else { format!("{scaled:.2}") };
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
        format!("{text}{letter}")
    };
    match unit {
        Unit::Count => short(value),
        Unit::Usd => format!("${}", short(value)),
        Unit::Share => format!("{} %", short(value * 100.0)),
    }
}

/// `1 alert`, `2 alerts`.
pub fn many(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people_and_for_machines() {
        assert_eq!([count(0), count(999), count(1_000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [usd(0), usd(1_500), usd(1_999_999_999), usd(12_345_678_000_000_000)],
            ["$0.00", "$0.000001", "$2.00", "$12,345,678.00"]
        );
        assert_eq!(raw(&Cell::Nano(1_500_000_000)), "1.500000000");
        assert_eq!(
            [lasts(0), lasts(1_500), lasts(90_000_000), lasts(7_260_000_000)],
            ["0 s", "1.5 ms", "1 min 30 s", "2 h 1 min"]
        );
        assert_eq!(
            [tick(25_000.0, Unit::Count), tick(0.5, Unit::Usd), tick(0.1, Unit::Share)],
            ["25k", "$0.5", "10 %"]
        );
        assert_eq!([share(0.0), share(0.000_4), share(0.25)], ["0.0 %", "0.040 %", "25.0 %"]);
    }

    #[test]
    fn a_period_that_ends_at_midnight_ends_with_the_day_before() {
        assert_eq!(time(1_772_409_600_000_000), "2026-03-02");
        assert_eq!(until(1_772_409_600_000_000), "2026-03-01");
        assert_eq!(until(1_772_409_660_000_000), "2026-03-02 00:01");
    }
}

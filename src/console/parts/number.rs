//! Figures as people read them.

/// A count with thin spaces between thousands.
pub(in crate::console) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len().saturating_mul(2));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at) % 3 == 0 {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Dollars of so many billionths.
pub(in crate::console) fn dollars(nano: i64) -> String {
    let (whole, rest) = (nano / 1_000_000_000, (nano % 1_000_000_000).abs());
    let sign = if nano < 0 && whole == 0 { "-" } else { "" };
    if whole == 0 && rest > 0 && rest < 10_000_000 {
        return format!("{sign}${whole}.{:06}", rest / 1000);
    }
    format!("{sign}${whole}.{:02}", rest / 10_000_000)
}

/// A share in percent.
pub(in crate::console) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let tenths = part.saturating_mul(1000) / whole;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Microseconds.
pub(in crate::console) fn micros(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(12), "12");
        assert_eq!(
            (dollars(1_500_000_000), dollars(1_234_000), dollars(0)),
            ("$1.50".into(), "$0.001234".into(), "$0.00".into())
        );
        assert_eq!((share(1, 3), share(0, 0)), ("33.3 %".into(), "–".into()));
        assert_eq!((micros(12), micros(1234), micros(2_500_000)), ("12 µs".into(), "1.2 ms".into(), "2.5 s".into()));
    }
}

//! Durations and sizes as people write them: `"30s"`, `"8MiB"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest duration a setting may have; anything longer is a mistake, and timers overflow long after it.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The units of time, longest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of size, in bytes. Printing takes the first binary one that divides the number.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A text that is no duration or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Nothing was written.
    #[error("it is empty: write it like {example}")]
    Empty {
        /// A good value.
        example: &'static str,
    },
    /// A number without a unit where one is needed.
    #[error("`{text}` has no unit: write it like \"30s\", \"500ms\" or \"1h30m\"")]
    NoUnit {
        /// What was written.
        text: String,
    },
    /// Not a number where one was expected.
    #[error("`{text}` is not a number with a unit: write it like {example}")]
    NoNumber {
        /// What was written.
        text: String,
        /// A good value.
        example: &'static str,
    },
    /// A unit nobody knows.
    #[error("`{unit}` is not a unit: use {known}")]
    UnknownUnit {
        /// What was written.
        unit: String,
        /// Those that exist.
        known: &'static str,
    },
    /// More than the setting can hold.
    #[error("`{text}` is too much: the most is {most}")]
    TooMuch {
        /// What was written.
        text: String,
        /// The limit.
        most: &'static str,
    },
}

/// A duration, whole milliseconds, at most 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Duration);

impl Time {
    /// Whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// Whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The duration itself.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether it is zero, which some settings take for "off".
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Time {
    type Err = UnitError;

    /// One or more numbers with units (`d`, `h`, `m`, `s`, `ms`) that are added up; a bare `0` needs no unit.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        const EXAMPLE: &str = "\"30s\", \"500ms\" or \"1h30m\"";
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(UnitError::Empty { example: EXAMPLE });
        }
        if trimmed == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let too_much = || UnitError::TooMuch { text: trimmed.to_owned(), most: "366d" };
        let mut rest = trimmed;
        let mut total = 0_u64;
        while !rest.is_empty() {
            let (digits, after) = split_where(rest, |c| !c.is_ascii_digit());
            let (unit, next) = split_where(after, |c| !c.is_ascii_alphabetic());
            if digits.is_empty() {
                return Err(UnitError::NoNumber { text: trimmed.to_owned(), example: EXAMPLE });
            }
            if unit.is_empty() {
                return Err(if next.is_empty() {
                    UnitError::NoUnit { text: trimmed.to_owned() }
                } else {
                    UnitError::NoNumber { text: trimmed.to_owned(), example: EXAMPLE }
                });
            }
            let Some((_, millis)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(UnitError::UnknownUnit { unit: unit.to_owned(), known: "d, h, m, s or ms" });
            };
            let number: u64 = digits.parse().map_err(|_| too_much())?;
            total = number.checked_mul(*millis).and_then(|part| total.checked_add(part)).ok_or_else(too_much)?;
            rest = next.trim_start();
        }
        let time = Duration::from_millis(total);
        if time > LONGEST { Err(too_much()) } else { Ok(Self(time)) }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, millis) in TIME_UNITS {
            // Days are accepted but hours are what people compare timeouts in.
            let (Some(count), Some(left)) = (rest.checked_div(millis), rest.checked_rem(millis)) else { continue };
            if count > 0 && name != "d" {
                write!(f, "{count}{name}")?;
                rest = left;
            }
        }
        Ok(())
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// That many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as a length in memory, at most `usize::MAX`.
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Whether it is zero, which some settings take for "off".
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Size {
    type Err = UnitError;

    /// A number and a unit (`KiB`, `MiB`, `GiB` of 1024; `KB`, `MB`, `GB` of 1000; `B`); without a unit, bytes.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        const EXAMPLE: &str = "\"8MiB\", \"64KiB\" or \"1024\"";
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(UnitError::Empty { example: EXAMPLE });
        }
        let (digits, unit) = split_where(trimmed, |c| !c.is_ascii_digit());
        let too_much = || UnitError::TooMuch { text: trimmed.to_owned(), most: "1024GiB" };
        if digits.is_empty() {
            return Err(UnitError::NoNumber { text: trimmed.to_owned(), example: EXAMPLE });
        }
        let number: u64 = digits.parse().map_err(|_| too_much())?;
        let unit = unit.trim_start();
        let each = if unit.is_empty() {
            1
        } else {
            let known = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
            let Some((_, each)) = known else {
                return Err(UnitError::UnknownUnit {
                    unit: unit.to_owned(),
                    known: "KiB, MiB, GiB, KB, MB, GB or B, or none for bytes",
                });
            };
            *each
        };
        match number.checked_mul(each) {
            Some(bytes) if bytes <= 1 << 40 => Ok(Self(bytes)),
            _ => Err(too_much()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, each) in SIZE_UNITS.iter().take(3) {
            if let (Some(count), Some(0)) = (self.0.checked_div(*each), self.0.checked_rem(*each))
                && count > 0
            {
                return write!(f, "{count}{name}");
            }
        }
        write!(f, "{}", self.0)
    }
}

/// Splits before the first character that `stop` accepts.
fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at_checked(text.find(stop).unwrap_or(text.len())).unwrap_or((text, ""))
}

/// Serde and JSON Schema of a text with `FromStr` and `Display`.
macro_rules! as_text {
    ($name:ident, $expecting:literal, $pattern:literal, $examples:expr, $description:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": $description,
                    "pattern": $pattern,
                    "examples": $examples,
                })
            }
        }
    };
}

as_text!(
    Time,
    "a duration in quotes, such as \"30s\", \"500ms\" or \"1h30m\"",
    r"^(0|([0-9]+(d|h|m|s|ms) *)+)$",
    ["30s", "500ms", "1h30m"],
    "A duration."
);
as_text!(
    Size,
    "a size in quotes, such as \"8MiB\", \"64KiB\" or \"1024\"",
    r"^[0-9]+ *(GiB|MiB|KiB|GB|MB|KB|kB|B)?$",
    ["8MiB", "64KiB", "1024", "1MB"],
    "A number of bytes."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Time>().map(Time::get);
        assert_eq!(read("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(read("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(read("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(read(" 1m 5s "), Ok(Duration::from_secs(65)));
        assert_eq!(read("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(read("0"), Ok(Duration::ZERO));
        assert_eq!(read("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn bad_durations_say_what_is_wrong() {
        let told = |text: &str| text.parse::<Time>().unwrap_err().to_string();
        assert!(told("30").contains("no unit"), "{}", told("30"));
        assert!(told("30 parsecs").contains("`30 parsecs` is not a number with a unit"), "{}", told("30 parsecs"));
        assert!(told("30parsecs").contains("`parsecs` is not a unit"), "{}", told("30parsecs"));
        assert!(told("").contains("empty"));
        assert!(told("-3s").contains("not a number"));
        assert!(told("1.5s").contains("not a number"));
        assert!(told("400d").contains("366d"));
        assert!(told("99999999999999999999h").contains("366d"));
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Size>().map(Size::get);
        assert_eq!(read("8MiB"), Ok(8 << 20));
        assert_eq!(read("64 KiB"), Ok(64 << 10));
        assert_eq!(read("1024"), Ok(1024));
        assert_eq!(read("1MB"), Ok(1_000_000));
        assert_eq!(read("0"), Ok(0));
        assert!(read("8 mib").unwrap_err().to_string().contains("`mib` is not a unit"));
        assert!(read("much").unwrap_err().to_string().contains("`much`"));
        assert!(read("99999999999GiB").unwrap_err().to_string().contains("too much"));
    }

    #[test]
    fn printing_and_reading_are_inverse() {
        for text in ["0s", "1ms", "1s", "1m", "1m30s", "1h", "30h", "1h30m5s250ms"] {
            let time: Time = text.parse().unwrap();
            assert_eq!(time.to_string().parse::<Time>(), Ok(time));
            assert_eq!(time.to_string(), text);
        }
        for text in ["0", "1", "1000", "1KiB", "1025", "1536KiB", "3GiB"] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.to_string(), text);
        }
    }

    #[test]
    fn a_bare_number_in_a_file_is_told_to_be_quoted() {
        let problem = toml::from_str::<std::collections::BTreeMap<String, Time>>("a = 30").unwrap_err();
        assert!(problem.message().contains("expected a duration in quotes, such as \"30s\""), "{problem}");
    }
}
